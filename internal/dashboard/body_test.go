package dashboard

import (
	"encoding/json"
	"html"
	"regexp"
	"strings"
	"testing"

	"pillarbox"
)

func TestBodiesAreShownByType(t *testing.T) {
	for _, c := range []struct{ kind, content, want, part string }{
		{"application/json", `{"n":12345678901234567890.10,"a":[1,{}]}`, "json", "12345678901234567890.10"},
		{"", `{"a":1,"a":2}`, "json", `<span class="json-number">2</span>`},
		{"application/x-www-form-urlencoded", "a=1&b=x%20y&a=2", "form", ""},
		{"application/x-www-form-urlencoded", "a=%zz", "text", "a=%zz"},
		{"application/xml; charset=utf-8", "<a/>", "xml", "<a/>"},
		{"text/plain", "hello", "text", "hello"},
		{"image/png", "\x89PNG", "image", ""},
		{"application/octet-stream", "\xff\x00", "hex", "ff 00"},
		{"text/plain", "", "empty", ""},
	} {
		got := showBody(&pillarbox.Event{ContentType: c.kind, Body: []byte(c.content)})
		if got.Kind != c.want || !strings.Contains(string(got.JSON)+got.Text, c.part) || got.Size != len(c.content) {
			t.Errorf("%s %q: %+v, want %s with %q", c.kind, c.content, got, c.want, c.part)
		}
	}
	form := showBody(&pillarbox.Event{ContentType: "application/x-www-form-urlencoded", Body: []byte("a=1&b=x%20y&a=2")})
	if len(form.Form) != 3 || form.Form[1].Value != "x y" || form.Form[2].Value != "2" {
		t.Errorf("form %+v", form.Form)
	}
}

func TestWhatIsShownIsBounded(t *testing.T) {
	deep := showBody(&pillarbox.Event{Body: []byte(strings.Repeat("[", 9000) + strings.Repeat("]", 9000))})
	if depth := strings.Count(string(deep.JSON), "<details"); depth > maxFoldDepth {
		t.Errorf("%d levels fold", depth)
	}
	wide := showBody(&pillarbox.Event{Body: []byte("[" + strings.Repeat("[1],", 20_000) + "0]")})
	if n := strings.Count(string(wide.JSON), "<details"); n > maxNodes {
		t.Errorf("%d values fold", n)
	}
	long := showBody(&pillarbox.Event{Body: []byte(strings.Repeat("é", maxShown))})
	if !long.Cut || len(long.Text) > maxShown {
		t.Errorf("%d bytes are shown, cut %v", len(long.Text), long.Cut)
	}
	binary := showBody(&pillarbox.Event{Body: append(make([]byte, 1<<20), 0xff)})
	if !binary.Cut || len(binary.Text) > 10*maxHex {
		t.Errorf("%d bytes are shown", len(binary.Text))
	}
}

var tags = regexp.MustCompile(`<[^>]*>`)

// FuzzFoldJSON: what is shown is the JSON that came, token for token, and no element that is not ours.
func FuzzFoldJSON(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2.50,"x<script>"]}`, `"\u202e"`, `[[],{},null,true]`, `{"":{"":0}}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !json.Valid([]byte(text)) {
			return
		}
		got := string(foldJSON([]byte(text)))
		for _, tag := range tags.FindAllString(got, -1) {
			if !regexp.MustCompile(`^</?(details( open)?|summary|ul|li|span)( class="json-[a-z]*")?>$`).MatchString(tag) {
				t.Fatalf("%q is shown with %s", text, tag)
			}
		}
		if shown := html.UnescapeString(tags.ReplaceAllString(got, "")); strings.Count(shown, `"`) < strings.Count(text, `"`) {
			t.Errorf("%q lost a string: %q", text, shown)
		}
	})
}
