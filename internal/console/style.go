package console

import (
	"bytes"
	"io"
)

// Style is how a word is shown where colours are.
type Style int

// The styles, each with its sequence of ECMA-48 ("select graphic rendition"): of the eight colours that
// every terminal has in its own shades, so that they can be read on light and dark.
const (
	Plain Style = iota
	Good
	Warning
	Bad
	Faint
	Strong
)

var sequences = [...]string{Plain: "", Good: "\x1b[32m", Warning: "\x1b[33m", Bad: "\x1b[31m", Faint: "\x1b[2m", Strong: "\x1b[1m"}

const unstyled = "\x1b[m"

// Write writes a text in the style: to a terminal with colours, and elsewhere the text alone. It says
// nothing that the text does not say.
func (s Style) Write(w io.Writer, text string) error {
	if terminal, ok := w.(Painter); ok && s != Plain {
		return terminal.Paint(s, text)
	}
	_, err := io.WriteString(w, text)
	return err
}

// Painter is what a terminal is, and what wraps one.
type Painter interface {
	Paint(s Style, text string) error
}

// Paint writes a text in escaped form, and in a style if the terminal has colours.
func (t *Terminal) Paint(s Style, text string) error {
	if !t.colours {
		_, err := t.Write([]byte(text))
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	out := bytes.NewBufferString(sequences[s])
	escape(out, append(t.rest, text...))
	out.WriteString(unstyled)
	t.rest = nil
	_, err := t.to.Write(out.Bytes())
	return err
}

// styleOf is the style of a word that says how something is, in a column of states.
func styleOf(word string) Style {
	switch word {
	case "delivering", "stored", "delivered", "yes", "resolved":
		return Good
	case "paused", "held", "retrying", "pending":
		return Warning
	case "down", "dead", "damaged", "no", "dead letter":
		return Bad
	case "idle", "skipped", "elsewhere":
		return Faint
	}
	return Plain
}
