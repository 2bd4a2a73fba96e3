package express

import "net/textproto"

// names gives header names the form that net/http gives them, and makes each text once: senders use
// the same few names.
type names struct{ known map[string]string }

// Bounds of what is known, because clients can invent names.
const (
	maxKnownNames = 1024
	maxKnownName  = 64
)

func newNames() names { return names{known: map[string]string{}} }

// canonical returns a text of its own, and not a part of the buffer.
func (n *names) canonical(name []byte) string {
	if text, known := n.known[string(name)]; known {
		return text
	}
	text := textproto.CanonicalMIMEHeaderKey(string(name))
	if len(name) > maxKnownName {
		return text
	}
	if len(n.known) == maxKnownNames {
		clear(n.known) // the ones in use come back at once, the invented ones don't
	}
	n.known[string(name)] = text
	return text
}
