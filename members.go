package pillarbox

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Members are members of a JSON object, as they came, sorted by name.
type Members []Member

// Member is one of them.
type Member struct {
	Name string
	Text json.RawMessage
}

// Names are theirs.
func (m Members) Names() (names []string) {
	for _, member := range m {
		names = append(names, member.Name)
	}
	return names
}

// Without leaves out those with these names.
func (m Members) Without(names ...string) Members {
	return slices.DeleteFunc(slices.Clone(m), func(one Member) bool { return slices.Contains(names, one.Name) })
}

// appendTo puts them at the end of an object that has members.
func (m Members) appendTo(object []byte) []byte {
	for _, member := range m {
		object = appendQuoted(append(object[:len(object)-1], ','), member.Name)
		object = append(append(append(object, ':'), member.Text...), '}')
	}
	return object
}

// eventNames are the names that an event has in its JSON form, in lower case: package json takes
// names in any case.
var eventNames = namesOf(reflect.TypeFor[eventJSON]())

func namesOf(form reflect.Type) map[string]bool {
	names := map[string]bool{}
	for i := range form.NumField() {
		field := form.Field(i)
		if field.Anonymous {
			maps.Copy(names, namesOf(field.Type))
			continue
		}
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		names[name] = true
	}
	return names
}

// othersIn are the members of an event's text that are not known. The text was read already. It costs
// one look at each name where all of them are known.
func othersIn(text []byte) (others Members) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil
	}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return others
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return others
		}
		if text := name.(string); !eventNames[strings.ToLower(text)] {
			others = append(others, Member{text, value})
		}
	}
	slices.SortStableFunc(others, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(others, func(a, b Member) bool { return a.Name == b.Name })
}
