package console

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"unicode/utf8"
)

// Terminal writes to a terminal, and shows in escaped form what could move its cursor, colour it,
// or turn the order of its text around: text that a client sent is among what is written. What
// goes through it stays the same JSON, because there the escaped form means the same. It may be
// used concurrently.
type Terminal struct {
	to      io.Writer
	colours bool

	mu   sync.Mutex // guards what follows
	rest []byte     // the beginning of a character whose end has not come yet
}

// NewTerminal makes one. Close it when everything is written.
func NewTerminal(to io.Writer, colours bool) *Terminal { return &Terminal{to: to, colours: colours} }

// IsTerminal tells who asks for a terminal, as the log does.
func (t *Terminal) IsTerminal() bool { return true }

// Write writes the text in escaped form. A character that is cut at its end waits for the rest.
func (t *Terminal) Write(text []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := text
	if len(t.rest) > 0 {
		all = append(t.rest, text...)
	}
	whole := len(all) - cutOff(all)
	var out bytes.Buffer
	escape(&out, all[:whole])
	t.rest = bytes.Clone(all[whole:])
	if _, err := t.to.Write(out.Bytes()); err != nil {
		return 0, err
	}
	return len(text), nil
}

// Close writes what waits for the rest of its character. It does not close what is beneath.
func (t *Terminal) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out bytes.Buffer
	escape(&out, t.rest)
	t.rest = nil
	_, err := t.to.Write(out.Bytes())
	return err
}

// cutOff is how many bytes at the end are the beginning of a character.
func cutOff(text []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if last := text[len(text)-n:]; utf8.RuneStart(last[0]) {
			if utf8.FullRune(last) {
				return 0
			}
			return n
		}
	}
	return 0
}

// escape writes text as a terminal may see it: \u001b for the character U+001B, \xff for a byte
// that is no text.
func escape(out *bytes.Buffer, text []byte) {
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(out, `\x%02x`, text[0])
		case moves(r):
			fmt.Fprintf(out, `\u%04x`, r)
		default:
			out.Write(text[:size])
		}
		text = text[size:]
	}
}

// moves reports whether a terminal may do something else with the character than to show it, or
// show others in another order.
func moves(r rune) bool {
	switch {
	case r == '\n', r == '\t':
		return false
	case r < 0x20, r >= 0x7f && r <= 0x9f: // C0, DEL, C1
		return true
	case r == 0x2028, r == 0x2029: // line and paragraph separator
		return true
	}
	return r == 0x061c || r == 0x200e || r == 0x200f || // marks of direction
		r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}
