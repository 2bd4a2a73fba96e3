// Package jsontext finds values in JSON as it came, and changes the text around them and nothing
// else: numbers stay as they were written, names in their order, white space where it is.
//
// It promises that what it does not change is kept byte for byte. It does not say what a text means
// where a name stands twice in an object: all of them are found. Texts must be Valid.
package jsontext

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// maxNesting is how deep arrays and objects may be in one another, by encoding/json.
const maxNesting = 10_000

// Valid is json.Valid, nearly three times as fast for texts of the usual sizes. gjson calls itself
// for each level of nesting and knows no limit, so it gets what is too short to be deeper than the
// limit.
func Valid(text []byte) bool {
	if len(text) > maxNesting {
		return json.Valid(text)
	}
	return gjson.ValidBytes(text)
}

var byteOrderMark = []byte("\uFEFF")

// Text is the JSON text of a body: what is behind a byte order mark.
func Text(body []byte) []byte { return bytes.TrimPrefix(body, byteOrderMark) }

// Pointer is a place in a JSON text (RFC 6901). A "*" in it stands for every item of an array and
// every member of an object.
type Pointer struct {
	Text string
	path []string
}

// CheckPointer reports why a text is no pointer to a value, or one to all of a text.
func CheckPointer(text string) error {
	rest, found := strings.CutPrefix(text, "/")
	if !found || rest == "" {
		return fmt.Errorf("want a JSON pointer, as in /card/number, or /items/*/email for each item")
	}
	for _, part := range strings.Split(text, "~")[1:] {
		if part == "" || part[0] != '0' && part[0] != '1' {
			return fmt.Errorf("a ~ in a JSON pointer is written ~0, and a / in a name ~1")
		}
	}
	return nil
}

// escapes are those of RFC 6901, section 4.
var escapes = strings.NewReplacer("~1", "/", "~0", "~")

// ParsePointer reads what CheckPointer takes.
func ParsePointer(text string) Pointer {
	p := Pointer{Text: text}
	for token := range strings.SplitSeq(strings.TrimPrefix(text, "/"), "/") {
		p.path = append(p.path, escapes.Replace(token))
	}
	return p
}

// Path is the pointer as a path of gjson, for which "*" is a name like any other.
func (p Pointer) Path() string {
	escaped := make([]string, len(p.path))
	for i, token := range p.path {
		escaped[i] = gjson.Escape(token)
	}
	return strings.Join(escaped, ".")
}

// Find calls visit with every value that the pointer leads to.
func (p Pointer) Find(root gjson.Result, visit func(value gjson.Result)) {
	if len(p.path) == 0 {
		visit(root)
		return
	}
	p.parents(root, func(members []member) {
		for i := range members {
			if p.leads(&members[i]) {
				visit(members[i].value)
			}
		}
	})
}

// leads reports whether the last step of the pointer is to the member.
func (p Pointer) leads(m *member) bool {
	last := p.path[len(p.path)-1]
	return last == "*" || last == m.token
}

// member is one of an object or an array.
type member struct {
	token string       // its name, or its number
	key   gjson.Result // its name as it is written; nothing of an array
	value gjson.Result
}

// start is where the member begins.
func (m *member) start() int {
	if m.key.Raw != "" {
		return m.key.Index
	}
	return m.value.Index
}

func (m *member) end() int { return m.value.Index + len(m.value.Raw) }

func membersOf(at gjson.Result) (members []member) {
	object := at.IsObject()
	if !object && !at.IsArray() {
		return nil
	}
	at.ForEach(func(key, value gjson.Result) bool {
		m := member{value: value}
		if object {
			m.key, m.token = key, key.String()
		} else {
			m.token = strconv.Itoa(len(members))
		}
		members = append(members, m)
		return true
	})
	return members
}

// parents calls visit with the members of everything that the pointer leads through last.
func (p Pointer) parents(root gjson.Result, visit func(members []member)) {
	at := Pointer{path: p.path[:len(p.path)-1]}
	descend := func(value gjson.Result) { visit(membersOf(value)) }
	if len(at.path) == 0 {
		descend(root)
		return
	}
	at.Find(root, descend)
}

// Edits are changes of one text.
type Edits struct{ spans []span }

// span is a piece of the text, and what takes its place.
type span struct {
	start, end int
	text       string
}

// Replace puts JSON in the place of a value.
func (e *Edits) Replace(value gjson.Result, text string) {
	e.add(value.Index, value.Index+len(value.Raw), text)
}

func (e *Edits) add(start, end int, text string) {
	e.spans = append(e.spans, span{start: start, end: end, text: text})
}

// Drop takes out every member and item that the pointer leads to, with its comma, and returns how
// many.
func (e *Edits) Drop(root gjson.Result, p Pointer) (dropped int) {
	p.parents(root, func(members []member) {
		keptBefore := false
		for i := range members {
			m := &members[i]
			switch {
			case !p.leads(m):
				keptBefore = true
				continue
			case keptBefore:
				e.add(members[i-1].end(), m.end(), "")
			case i+1 < len(members):
				e.add(m.start(), members[i+1].start(), "")
			default:
				e.add(m.start(), m.end(), "")
			}
			dropped++
		}
	})
	return dropped
}

// Rename gives the members that the pointer leads to another name, and returns how many. Where an
// object has a member of that name already, both are left as they are.
func (e *Edits) Rename(root gjson.Result, p Pointer, to string) (renamed int) {
	p.parents(root, func(members []member) {
		taken := slices.ContainsFunc(members, func(m member) bool { return m.token == to })
		for i := range members {
			if m := &members[i]; !taken && m.key.Raw != "" && p.leads(m) {
				e.add(m.key.Index, m.key.Index+len(m.key.Raw), quote(to))
				renamed++
			}
		}
	})
	return renamed
}

// quote makes a string of JSON.
func quote(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic("jsontext: bug: a text can't be quoted: " + err.Error())
	}
	return string(quoted)
}

// Apply returns the text with the changes, in new memory where there are any. Of two that overlap,
// the outer one counts.
func (e *Edits) Apply(text []byte) []byte {
	if len(e.spans) == 0 {
		return text
	}
	slices.SortFunc(e.spans, func(a, b span) int {
		if a.start != b.start {
			return a.start - b.start
		}
		return b.end - a.end
	})
	size := len(text)
	for _, s := range e.spans {
		size += len(s.text)
	}
	out, done := make([]byte, 0, size), 0
	for _, s := range e.spans {
		if s.start < done {
			continue
		}
		out = append(append(out, text[done:s.start]...), s.text...)
		done = s.end
	}
	return append(out, text[done:]...)
}
