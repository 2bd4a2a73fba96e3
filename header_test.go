package pillarbox

import (
	"bytes"
	"testing"
)

// FuzzHeaderText: the short way of writing headers gives what the general way gives.
func FuzzHeaderText(f *testing.F) {
	f.Add("", "", "", "", "", "")
	f.Add("Accept", "*/*", "X-Tag", "b", "Accept", "a<&>")
	f.Add("B", "\\", "A", "\"", "B", "\x00\x7f\xff")
	f.Add("b", "é", "", "\u2028", "a", "\n")
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2, name3, value3 string) {
		header := Header{{Name: name1, Value: value1}, {Name: name2, Value: value2}, {Name: name3, Value: value3}}
		for n := range header {
			want, wantErr := header[:n+1].marshalAny()
			got, err := header[:n+1].MarshalJSON()
			if (err == nil) != (wantErr == nil) || !bytes.Equal(got, want) {
				t.Errorf("got %s, %v; want %s, %v", got, err, want, wantErr)
			}
		}
		if header[0].Name != name1 || header[2].Value != value3 {
			t.Error("the headers were changed")
		}
	})
}

func TestNoHeadersAreAnEmptyObject(t *testing.T) {
	if text, err := Header(nil).MarshalJSON(); err != nil || string(text) != "{}" {
		t.Errorf("got %s, %v", text, err)
	}
}
