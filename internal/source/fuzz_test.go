package source

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/evidence"
)

// FuzzSecrets holds what is kept of any header and query against the rules read from their decoded
// form.
func FuzzSecrets(f *testing.F) {
	f.Add("Authorization", "Bearer s3cret", "a=1&token=s3cret&b=2")
	f.Add("X-Hub-Signature-256", "sha256=1", "TOKEN=x;y=1")
	f.Add("X-Plain", "1", "%74oken=x&to%6ben=y")
	f.Add("Referer", "https://u:p@h/?token=a#jwt=b", "=&&=&api_key;")
	f.Add("", "\x00\r\n", "a=%zz&api_key=1%zz\xff")
	f.Fuzz(func(t *testing.T, name, value, query string) {
		compiled := New(Settings{Name: "app"}, Options{})
		sent := pillarbox.Header{{Name: name, Value: value}, {Name: "X-Last", Value: "1"}}
		checkHeader(t, sent, compiled.Keep(nil, sent, nil))
		kept := compiled.KeepQuery(query, nil)
		checkQuery(t, query, kept)
		if again := compiled.KeepQuery(kept, nil); again != kept {
			t.Errorf("query %q is kept as %q, and that as %q", query, kept, again)
		}
		if clean, removed := compiled.keeper.cleanURL(value, nil); removed == (clean == value) {
			t.Errorf("URL %q is kept as %q, removed: %v", value, clean, removed)
		}
	})
}

func checkHeader(t *testing.T, sent, kept pillarbox.Header) {
	if slices.Contains(urlHeaders, strings.ToLower(sent[0].Name)) {
		return
	}
	want := slices.DeleteFunc(slices.Clone(sent), func(field pillarbox.HeaderField) bool {
		return evidence.IsSecret(field.Name) ||
			evidence.IsOfConnection(field.Name)
	})
	if !slices.Equal(kept, want) {
		t.Errorf("kept %q of %q, want %q", kept, sent, want)
	}
}

func checkQuery(t *testing.T, sent, kept string) {
	parameters := func(query string) []string {
		return strings.FieldsFunc(query, func(r rune) bool { return r == '&' || r == ';' })
	}
	before, after := parameters(sent), parameters(kept)
	if len(before) != len(after) || strings.Count(sent, ";") != strings.Count(kept, ";") {
		t.Fatalf("query %q is kept as %q", sent, kept)
	}
	for i := range before {
		name, value, _ := strings.Cut(before[i], "=")
		decoded, err := url.QueryUnescape(name)
		if err != nil {
			decoded = name
		}
		want := before[i]
		if evidence.IsSecret(decoded) && value != "" {
			want = name + "=" + Redacted
		}
		if after[i] != want {
			t.Errorf("query %q is kept as %q: %q, want %q", sent, kept, after[i], want)
		}
	}
}
