package pillarbox

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Facts are what is known of an event beside the request itself. An empty text is not known. All
// texts are valid UTF-8. Nobody changes the facts of an event.
type Facts struct {
	Caller string // who it is from: a name, and never the credential

	// The attributes of a CloudEvent (CloudEvents 1.0.2), decoded.
	CEID, CESource, CEType, CETime, CESubject string

	// Removed is what is not kept of the request, by name, as in "header Authorization": secrets, and
	// what a rule leaves out or replaces.
	Removed string

	Attributes Attributes // what else the source was told to find out
}

// FactCount is how many single texts there are in Facts.
const FactCount = 7

// factNames are the names of the single texts, in JSON and as columns, in the order of Texts.
var factNames = [FactCount]string{"caller", "ce_id", "ce_source", "ce_type", "ce_time", "ce_subject", "removed"}

// FactNames are the names of the single texts, in JSON and as columns, in the order of Texts.
func FactNames() [FactCount]string { return factNames }

// Texts are the single texts, in the order of FactNames.
func (f *Facts) Texts() [FactCount]*string {
	return [FactCount]*string{&f.Caller, &f.CEID, &f.CESource, &f.CEType, &f.CETime, &f.CESubject, &f.Removed}
}

// IsZero reports whether nothing is known.
func (f *Facts) IsZero() bool {
	return f == nil || len(f.Attributes) == 0 && f.Caller == "" && f.CEID == "" && f.CESource == "" &&
		f.CEType == "" && f.CETime == "" && f.CESubject == "" && f.Removed == ""
}

// Equal reports whether the same is known. No facts and facts that are empty are the same.
func (f *Facts) Equal(other *Facts) bool {
	if f.IsZero() || other.IsZero() {
		return f.IsZero() && other.IsZero()
	}
	a, b := f.Texts(), other.Texts()
	for i := range a {
		if *a[i] != *b[i] {
			return false
		}
	}
	return len(f.Attributes) == len(other.Attributes) && f.Attributes.include(other.Attributes)
}

// Clone is a copy that shares no memory; nil of nil.
func (f *Facts) Clone() *Facts {
	if f == nil {
		return nil
	}
	clone := *f
	for _, text := range clone.Texts() {
		*text = strings.Clone(*text)
	}
	clone.Attributes = nil
	for _, a := range f.Attributes {
		clone.Attributes = append(clone.Attributes,
			Attribute{strings.Clone(a.Name), strings.Clone(a.Value)})
	}
	return &clone
}

// Bytes is the size of all texts, and of the names of attributes.
func (f *Facts) Bytes() (n int) {
	if f == nil {
		return 0
	}
	for _, text := range f.Texts() {
		n += len(*text)
	}
	for _, a := range f.Attributes {
		n += len(a.Name) + len(a.Value)
	}
	return n
}

// Of reports whether everything that f knows is true of the event. Nil knows nothing.
func (f *Facts) Of(event *Event) bool {
	if f.IsZero() {
		return true
	}
	if event.Facts == nil {
		return false
	}
	wanted, has := f.Texts(), event.Facts.Texts()
	for i := range wanted {
		if *wanted[i] != "" && *wanted[i] != *has[i] {
			return false
		}
	}
	return event.Facts.Attributes.include(f.Attributes)
}

// Attributes are named texts, each name once, sorted by name.
type Attributes []Attribute

// Attribute is one of them.
type Attribute struct{ Name, Value string }

// MaxAttributeName is the longest name of an attribute, in bytes.
const MaxAttributeName = 63

// CheckAttributeName refuses what can't be the name of an attribute, as ErrInvalid: a name is a
// column's or a parameter's for those who ask for it.
func CheckAttributeName(name string) error {
	for i, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '_') {
			return Invalid("%q is no name of an attribute: want a-z, then a-z, 0-9 and _", name)
		}
	}
	if name == "" || len(name) > MaxAttributeName {
		return Invalid("%q is no name of an attribute: want 1 to %d characters", name, MaxAttributeName)
	}
	return nil
}

// Get returns the value under a name, and whether there is one.
func (a Attributes) Get(name string) (string, bool) {
	for i := range a {
		if a[i].Name == name {
			return a[i].Value, true
		}
	}
	return "", false
}

// Set puts a value under a name, in its place.
func (a *Attributes) Set(name, value string) {
	at := 0
	for at < len(*a) && (*a)[at].Name < name {
		at++
	}
	if at < len(*a) && (*a)[at].Name == name {
		(*a)[at].Value = value
		return
	}
	*a = append(*a, Attribute{})
	copy((*a)[at+1:], (*a)[at:])
	(*a)[at] = Attribute{name, value}
}

func (a Attributes) include(others Attributes) bool {
	for _, wanted := range others {
		if value, has := a.Get(wanted.Name); !has || value != wanted.Value {
			return false
		}
	}
	return true
}

// MarshalJSON writes an object of name to value.
func (a Attributes) MarshalJSON() ([]byte, error) {
	return a.appendTo(nil), nil
}

func (a Attributes) appendTo(text []byte) []byte {
	text = append(text, '{')
	for i, attribute := range a {
		if i > 0 {
			text = append(text, ',')
		}
		text = appendQuoted(text, attribute.Name)
		text = appendQuoted(append(text, ':'), attribute.Value)
	}
	return append(text, '}')
}

// UnmarshalJSON reads an object of name to value.
func (a *Attributes) UnmarshalJSON(text []byte) error {
	var values map[string]string
	if err := json.Unmarshal(text, &values); err != nil {
		return fmt.Errorf("attributes: want an object of name to text: %w", err)
	}
	*a = nil
	for name, value := range values {
		a.Set(name, value)
	}
	return nil
}
