package jsontext_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/tidwall/gjson"

	"pillarbox/internal/jsontext"
)

func TestEditsChangeNothingElse(t *testing.T) {
	for name, c := range map[string]struct {
		text, want   string
		drop, rename string
		to           string
		count        int
	}{
		"the first":         {text: `{"a":1, "b":2 ,"c":3}`, drop: "/a", want: `{"b":2 ,"c":3}`, count: 1},
		"in the middle":     {text: `{"a":1, "b":2 ,"c":3}`, drop: "/b", want: `{"a":1 ,"c":3}`, count: 1},
		"the last":          {text: `{ "a" : 1.0, "c" : 3 }`, drop: "/c", want: `{ "a" : 1.0 }`, count: 1},
		"the only one":      {text: `{ "a" : 1 }`, drop: "/a", want: `{  }`, count: 1},
		"all members":       {text: `{"a":1, "b":2 ,"c":3}`, drop: "/*", want: `{}`, count: 3},
		"both of one name":  {text: `{"a":1,"b":2,"a":3}`, drop: "/a", want: `{"b":2}`, count: 2},
		"of every item":     {text: `[{"a":1,"b":[1e400]},{"a":2}, 7]`, drop: "/*/a", want: `[{"b":[1e400]},{}, 7]`, count: 2},
		"an item":           {text: `{"l":[1, 2,3]}`, drop: "/l/1", want: `{"l":[1,3]}`, count: 1},
		"behind an escape":  {text: `{"a/b":{"~":1,"x":2}}`, drop: "/a~1b/~0", want: `{"a/b":{"x":2}}`, count: 1},
		"written otherwise": {text: `{"\u0061":1,"b":2}`, drop: "/a", want: `{"b":2}`, count: 1},
		"nothing there":     {text: `{"a":1}`, drop: "/a/b", want: `{"a":1}`},
		"renamed":           {text: `{ "a" : 1e9999, "b":{"a":2}}`, rename: "/a", to: `x"y`, want: `{ "x\"y" : 1e9999, "b":{"a":2}}`, count: 1},
		"renamed inside":    {text: `[{"a":1},{"a":2}]`, rename: "/*/a", to: "z", want: `[{"z":1},{"z":2}]`, count: 2},
		"the name is taken": {text: `{"a":1,"z":2}`, rename: "/a", to: "z", want: `{"a":1,"z":2}`},
		"an item has none":  {text: `[1,2]`, rename: "/0", to: "z", want: `[1,2]`},
	} {
		t.Run(name, func(t *testing.T) {
			var edits jsontext.Edits
			root, count := gjson.Parse(c.text), 0
			if c.drop != "" {
				count = edits.Drop(root, jsontext.ParsePointer(c.drop))
			} else {
				count = edits.Rename(root, jsontext.ParsePointer(c.rename), c.to)
			}
			if got := string(edits.Apply([]byte(c.text))); got != c.want || count != c.count {
				t.Errorf("%s (%d), want %s (%d)", got, count, c.want, c.count)
			}
		})
	}
}

// FuzzDrop holds dropping of a member at the top against encoding/json.
func FuzzDrop(f *testing.F) {
	for _, text := range []string{`{"a":1,"b":2}`, `{"b":[{"a":1}],"a":{}}`, `{"a":1,"a":2 , "c":"\u2028"}`, ` { } `} {
		f.Add(text, "a")
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		var want map[string]json.RawMessage
		if name == "" || name == "*" || json.Unmarshal([]byte(text), &want) != nil || want == nil {
			return
		}
		delete(want, name)
		pointer := jsontext.ParsePointer("/" + name)
		if name != pointerText(name) {
			return
		}
		var edits jsontext.Edits
		edits.Drop(gjson.Parse(text), pointer)
		var got map[string]json.RawMessage
		edited := edits.Apply([]byte(text))
		if err := json.Unmarshal(edited, &got); err != nil {
			t.Fatalf("%q without %q is %q: %v", text, name, edited, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q without %q is %q", text, name, edited)
		}
	})
}

// pointerText is a name that means the same in a pointer; names that JSON changes are left out.
func pointerText(name string) string {
	text, err := json.Marshal(name)
	if err != nil {
		return ""
	}
	var back string
	if json.Unmarshal(text, &back) != nil {
		return ""
	}
	for _, c := range back {
		if c == '/' || c == '~' || c == '\uFFFD' {
			return ""
		}
	}
	return back
}

func TestPointers(t *testing.T) {
	for text, good := range map[string]bool{"/a": true, "/a~1b/~0": true, "/*/b": true, "": false, "a": false, "/": false,
		"/a~": false, "/a~2": false} {
		if err := jsontext.CheckPointer(text); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
	if got := jsontext.ParsePointer("/a.b/*/c~1d").Path(); gjson.Get(`{"a.b":{"*":{"c/d":7}}}`, got).Int() != 7 {
		t.Errorf("path %q", got)
	}
}

func TestValidKnowsItsDepth(t *testing.T) {
	deep := make([]byte, 0, 30_000)
	for range 15_000 {
		deep = append(deep, '[')
	}
	for range 15_000 {
		deep = append(deep, ']')
	}
	if jsontext.Valid(deep) {
		t.Error("nesting that encoding/json refuses is valid")
	}
}
