package source_test

import (
	"testing"

	"pillarbox"
	"pillarbox/internal/source"
)

// TestWhatIsTheSameRequest changes one thing at a time.
func TestWhatIsTheSameRequest(t *testing.T) {
	known := func(from string, settings source.Settings, content source.Content, header ...string) pillarbox.Idempotency {
		t.Helper()
		settings.Name = from
		head := &source.Head{Method: "POST"}
		for i := 0; i < len(header); i += 2 {
			head.Header = append(head.Header, pillarbox.HeaderField{Name: header[i], Value: header[i+1]})
		}
		grant, _, err := source.New(settings, source.Options{}).AdmitOne(head, content.Body)
		if err != nil {
			t.Fatal(err)
		}
		content.Header = head.Header
		return grant.Idempotency(&content)
	}
	content := source.Content{Method: "POST", Path: "/app", Query: "a=1", Body: []byte("x")}
	first := known("app", source.Settings{}, content, "Idempotency-Key", "k")
	if first.IsZero() || first != known("app", source.Settings{}, content, "Idempotency-Key", `"k"`) {
		t.Fatalf("%+v", first)
	}
	for name, change := range map[string]func(*source.Content){
		"method": func(c *source.Content) { c.Method = "PUT" },
		"path":   func(c *source.Content) { c.Path = "/app/x" },
		"query":  func(c *source.Content) { c.Query = "a=2" },
		"body":   func(c *source.Content) { c.Body = []byte("y") },
		"parts":  func(c *source.Content) { c.Path, c.Query = "/appa", "=1" },
	} {
		other := content
		change(&other)
		got := known("app", source.Settings{}, other, "Idempotency-Key", "k")
		if got.Key != first.Key || got.Fingerprint == first.Fingerprint {
			t.Errorf("with another %s it is %+v, and %+v before", name, got, first)
		}
		alone := source.Settings{KeyAlone: true}
		if known("app", alone, other, "Idempotency-Key", "k") != known("app", alone, content, "Idempotency-Key", "k") {
			t.Errorf("with another %s it is not the same, where the key alone counts", name)
		}
	}
	if known("other", source.Settings{}, content, "Idempotency-Key", "k").Key == first.Key {
		t.Error("another source has the same key")
	}
	if !known("app", source.Settings{}, content).IsZero() {
		t.Error("a request without a key has one")
	}
}

// TestPlacesOfKeysAreChecked reads what a configuration may say.
func TestPlacesOfKeysAreChecked(t *testing.T) {
	for _, bad := range []string{"header", "header:", "header:a b", "body:id", "body", "cloudevent", "x"} {
		if _, err := source.Compile([]source.Settings{{Name: "app", Key: bad}}, source.Options{}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
