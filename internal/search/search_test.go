package search_test

import (
	"errors"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/search"
)

// What an engine finds is in the table of package enginetest. Here is what is refused before any engine
// is asked.
func TestFiltersThatCantBeMeantAreRefused(t *testing.T) {
	many := pillarbox.ContentFilter{}
	for range search.MaxConditions {
		many.JSON = append(many.JSON, pillarbox.PointerValue{Pointer: "/a", Value: "b"})
	}
	more := many
	more.Headers = []pillarbox.HeaderField{{Name: "A", Value: "b"}}
	for name, test := range map[string]struct {
		filter pillarbox.ContentFilter
		good   bool
	}{
		"nothing":                   {pillarbox.ContentFilter{}, true},
		"as many as may be":         {many, true},
		"more than may be":          {more, false},
		"a long text":               {pillarbox.ContentFilter{Text: strings.Repeat("x", search.MaxText)}, true},
		"a text that is too long":   {pillarbox.ContentFilter{Text: strings.Repeat("x", search.MaxText+1)}, false},
		"a header without a name":   {pillarbox.ContentFilter{Headers: []pillarbox.HeaderField{{Value: "b"}}}, false},
		"a pointer without a slash": {pillarbox.ContentFilter{JSON: []pillarbox.PointerValue{{Pointer: "a"}}}, false},
		"a pointer with a bad ~":    {pillarbox.ContentFilter{JSON: []pillarbox.PointerValue{{Pointer: "/a~2"}}}, false},
		"a pointer to nothing":      {pillarbox.ContentFilter{JSON: []pillarbox.PointerValue{{Pointer: ""}}}, false},
	} {
		err := search.Check(&test.filter)
		if (err == nil) != test.good || err != nil && !errors.Is(err, pillarbox.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := search.Check(nil); err != nil {
		t.Error(err)
	}
}

// FuzzTakes holds that no body and no pointer brings the search down, and that a string is found by what
// it says.
func FuzzTakes(f *testing.F) {
	f.Add([]byte(`{"a":[{"b":"c"}]}`), "/a/*/b", "c")
	f.Add([]byte("\xff\x00{"), "/~0~1", "")
	f.Add([]byte(`{"a":1e400,"a":"\ud800"}`), "/a", "1e400")
	f.Fuzz(func(t *testing.T, body []byte, pointer, value string) {
		filter := &pillarbox.ContentFilter{JSON: []pillarbox.PointerValue{{Pointer: pointer, Value: value}}, Text: value}
		if search.Check(filter) != nil {
			return
		}
		event := &pillarbox.Event{Body: body}
		taken := search.Compile(filter).Takes(event)
		if taken && !strings.Contains(string(body), value) {
			t.Fatalf("%q is taken for %q", body, value)
		}
	})
}
