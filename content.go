package pillarbox

import "fmt"

// ContentFilter selects events by what was sent: all of it must be so. The zero value selects all.
// Package search says what each part means, byte for byte, and checks and applies it.
type ContentFilter struct {
	ContentType string         // a media type, or one with its parameters; empty for all
	Method      string         // exact; empty for all
	Path        string         // exact; empty for all
	Headers     []HeaderField  // each is a line of the event: the name in any case, the value exact
	JSON        []PointerValue // each is a value of the body, which is JSON
	Text        string         // bytes that the body has somewhere; empty for all
}

// PointerValue is a value of a JSON text, and where it is.
type PointerValue struct {
	Pointer string // RFC 6901, with * for every item or member
	Value   string // the text of a string, or a number, true, false or null as it was sent
}

// IsZero reports whether it selects all. Nil does.
func (c *ContentFilter) IsZero() bool {
	return c == nil || c.ContentType == "" && c.Method == "" && c.Path == "" && len(c.Headers) == 0 &&
		len(c.JSON) == 0 && c.Text == ""
}

// ScanLimitError says that a list has looked at as many events as EventFilter.MaxScan allows before
// its page was full. It comes beside the events that were found. It matches ErrInvalid.
type ScanLimitError struct {
	Looked int // how many events were looked at
	Last   Key // of the last one: a list behind it goes on
}

// Error says what to add to the filter.
func (e *ScanLimitError) Error() string {
	return fmt.Sprintf("the filter needs a time range: no index leads to what it asks for, and the %d events up to the time %s were looked at; add since and until around fewer events, or go on from that time",
		e.Looked, e.Last.Timestamp)
}

// Unwrap makes it match ErrInvalid.
func (e *ScanLimitError) Unwrap() error { return ErrInvalid }
