// Package search decides whether an event is what a person looks for.
//
// It promises the same answer for every engine: what an engine can push down to its database only
// spares reading events that would not match. Nothing is a pattern: neither % nor _ nor * in a text.
//
//   - content_type: the media type, in any case of ASCII; what is behind its first semicolon counts
//     only where the filter has one too, in any case and without the spaces at both ends.
//   - method and path: the same bytes.
//   - a header: one of the lines of that name, which may be in any case, has exactly this value.
//   - text: the bytes are in the body, somewhere, in this case.
//   - a JSON value: the body is one JSON text, and the pointer leads to a string with this text once its
//     escapes are resolved, or to a number, true, false or null that is written like this. Numbers are
//     compared as they were sent: 1.0 is not 1. Of several members with one name each counts. Objects and
//     arrays equal nothing. A * in a pointer is every item or member. A byte order mark in front is passed over.
//
// A number and a string that look the same both match.
package search

import (
	"bytes"
	"strings"

	"github.com/tidwall/gjson"

	"pillarbox"
	"pillarbox/internal/jsontext"
)

// The bounds of a filter.
const (
	MaxConditions = 20      // headers and JSON values, together
	MaxText       = 4 << 10 // bytes of one text or value
)

// Check refuses a filter that can't be meant, or is too large, as ErrInvalid. Nil is fine.
func Check(c *pillarbox.ContentFilter) error {
	if c == nil {
		return nil
	}
	if n := len(c.Headers) + len(c.JSON); n > MaxConditions {
		return pillarbox.Invalid("the filter has %d headers and JSON values; it may have %d", n, MaxConditions)
	}
	texts := []string{c.ContentType, c.Method, c.Path, c.Text}
	for _, h := range c.Headers {
		if h.Name == "" {
			return pillarbox.Invalid("the filter asks for a header without a name; write header.NAME=VALUE")
		}
		texts = append(texts, h.Name, h.Value)
	}
	for _, v := range c.JSON {
		if err := jsontext.CheckPointer(v.Pointer); err != nil {
			return pillarbox.Invalid("pointer %q: %v", v.Pointer, err)
		}
		texts = append(texts, v.Pointer, v.Value)
	}
	for _, text := range texts {
		if len(text) > MaxText {
			return pillarbox.Invalid("the filter has a text of %d bytes; one may have %d", len(text), MaxText)
		}
	}
	return nil
}

// Match is a filter, ready to be held against events. Nil takes all. Its methods may be called
// concurrently.
type Match struct {
	filter      *pillarbox.ContentFilter
	contentType string
	pointers    []jsontext.Pointer
}

// Compile readies a filter that Check takes.
func Compile(c *pillarbox.ContentFilter) *Match {
	if c.IsZero() {
		return nil
	}
	m := &Match{filter: c, contentType: Lower(c.ContentType)}
	for _, v := range c.JSON {
		m.pointers = append(m.pointers, jsontext.ParsePointer(v.Pointer))
	}
	return m
}

// Takes reports whether the event is one of those that are looked for.
func (m *Match) Takes(event *pillarbox.Event) bool {
	if m == nil {
		return true
	}
	f := m.filter
	switch {
	case f.Method != "" && event.Method != f.Method, f.Path != "" && event.Path != f.Path,
		!m.takesType(event.ContentType):
		return false
	}
	for _, wanted := range f.Headers {
		if !hasHeader(event.Header, wanted) {
			return false
		}
	}
	return m.TakesBody(event.Body)
}

// TakesBody reports whether a body is one of those that are looked for, whatever else there is of its
// event. It does not change the body.
func (m *Match) TakesBody(body []byte) bool {
	if m == nil {
		return true
	}
	return (m.filter.Text == "" || bytes.Contains(body, []byte(m.filter.Text))) && m.takesJSON(body)
}

func (m *Match) takesType(contentType string) bool {
	if m.contentType == "" {
		return true
	}
	if !strings.Contains(m.contentType, ";") {
		contentType, _, _ = strings.Cut(contentType, ";")
	}
	return strings.Trim(Lower(contentType), " ") == strings.Trim(m.contentType, " ")
}

func hasHeader(header pillarbox.Header, wanted pillarbox.HeaderField) bool {
	name := Lower(wanted.Name)
	for _, field := range header {
		if field.Value == wanted.Value && Lower(field.Name) == name {
			return true
		}
	}
	return false
}

func (m *Match) takesJSON(body []byte) bool {
	if len(m.pointers) == 0 {
		return true
	}
	text := jsontext.Text(body)
	if !jsontext.Valid(text) {
		return false
	}
	root := gjson.ParseBytes(text)
	for i, pointer := range m.pointers {
		found := false
		pointer.Find(root, func(value gjson.Result) {
			found = found || equals(value, m.filter.JSON[i].Value)
		})
		if !found {
			return false
		}
	}
	return true
}

func equals(value gjson.Result, wanted string) bool {
	switch value.Type {
	case gjson.String:
		return value.Str == wanted
	case gjson.JSON:
		return false
	}
	return value.Raw == wanted // never through a float
}

// Lower makes the letters of ASCII small, and nothing else: as SQLite does, and PostgreSQL with the
// collation C.
func Lower(text string) string {
	for i := range len(text) {
		if c := text[i]; c >= 'A' && c <= 'Z' {
			return lowered(text)
		}
	}
	return text
}

func lowered(text string) string {
	lower := []byte(text)
	for i, c := range lower {
		if c >= 'A' && c <= 'Z' {
			lower[i] = c + 'a' - 'A'
		}
	}
	return string(lower)
}

// Plain reports whether a text is the same between the quotes of a JSON string that we write, so that
// a database finds it there as it is.
func Plain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return true
}

// Scan counts the events that a list looks at, for engines that look in the process.
type Scan struct {
	Max    int // 0 for no bound
	looked int
	last   pillarbox.Key
}

// Full reports whether no other event may be looked at.
func (s *Scan) Full() bool { return s.Max > 0 && s.looked >= s.Max }

// Look counts an event that is looked at.
func (s *Scan) Look(key pillarbox.Key) { s.looked, s.last = s.looked+1, key }

// Err is what a list returns that Full has ended.
func (s *Scan) Err() error { return &pillarbox.ScanLimitError{Looked: s.looked, Last: s.last} }
