package source

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"pillarbox"
)

// FuzzCredentials accepts any header and query: no header that carries a credential is kept, no
// parameter that does keeps its value, and everything else is as it was sent.
func FuzzCredentials(f *testing.F) {
	f.Add("Authorization", "Bearer s3cret", "a=1&token=s3cret&b=2")
	f.Add("X-Hub-Signature-256", "sha256=1", "TOKEN=x;y=1")
	f.Add("X-Plain", "1", "%74oken=x&to%6ben=y")
	f.Add("Content-Type", "text/plain", "=&&=&api_key")
	f.Add("", "\x00\r\n", "a=%zz&key=1%zz")
	f.Fuzz(func(t *testing.T, name, value, query string) {
		compiled := New(Settings{Name: "app"}, nil)
		sent := pillarbox.Header{{Name: name, Value: value}, {Name: "X-Last", Value: "1"}}
		checkHeader(t, sent, compiled.Keep(nil, sent))
		checkQuery(t, query, compiled.KeepQuery(query))
	})
}

func checkHeader(t *testing.T, sent, kept pillarbox.Header) {
	want := slices.DeleteFunc(slices.Clone(sent), func(field pillarbox.HeaderField) bool {
		name := strings.ToLower(field.Name)
		return isCredential(name) || slices.Contains(connectionHeaders, name)
	})
	if !slices.Equal(kept, want) {
		t.Errorf("kept %q of %q, want %q", kept, sent, want)
	}
}

func checkQuery(t *testing.T, sent, kept string) {
	before, _ := url.ParseQuery(sent) // what can't be read is looked at as far as it can
	after, _ := url.ParseQuery(kept)
	for name, values := range after {
		credential := slices.Contains(credentialParameters, strings.ToLower(name))
		for _, value := range values {
			if credential && value != Redacted && value != "" {
				t.Errorf("query %q is kept as %q, with the value of %q", sent, kept, name)
			}
		}
		if !credential && !slices.Equal(values, before[name]) {
			t.Errorf("query %q is kept as %q, and %q has changed", sent, kept, name)
		}
	}
}
