package catalog_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/engine/catalog"
	"pillarbox/internal/engine/webhook"
)

// TestWebhooksAreOpenedWithWhatIsSet: secrets out of files, without the end of their line, and the
// date of the house.
func TestWebhooksAreOpenedWithWhatIsSet(t *testing.T) {
	var got http.Header
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = r.Header
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	defer receiver.Close()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return "file:" + path
	}
	headers := map[string]string{"Authorization": file("token", "Bearer abc\r\n"), "X-Plain": "b"}
	options := webhook.Options{AllowPrivate: true, Headers: headers,
		SigningSecrets: []string{file("secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")}}
	place := catalog.Place{Now: func() time.Time { return time.Unix(1_795_443_120, 0) }}
	sink, err := catalog.OpenDestination(context.Background(), place, "hook", catalog.Destination{URL: receiver.URL, Webhook: options})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	if err := sink.Write(t.Context(), []*pillarbox.Event{{Timestamp: 1, RequestID: "a"}}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"Authorization": "Bearer abc", "X-Plain": "b", "Webhook-Timestamp": "1795443120"} {
		if got.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, got.Get(name), want)
		}
	}
	if !strings.HasPrefix(got.Get("Webhook-Signature"), "v1,") || headers["X-Plain"] != "b" || !strings.HasPrefix(headers["Authorization"], "file:") {
		t.Errorf("signed %q; the caller's headers are %v", got.Get("Webhook-Signature"), headers)
	}
	for value, want := range map[string]string{"file:" + dir + "/none": "no such file", file("empty", "\n"): "is empty",
		file("large", strings.Repeat("x", 65<<10)): "is larger than"} {
		err := catalog.CheckDestination("hook", catalog.Destination{URL: "https://hook.example/",
			Webhook: webhook.Options{Headers: map[string]string{"X-A": value}}})
		if err == nil || !strings.HasPrefix(err.Error(), "destinations.hook.headers.X-A: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", value, err, want)
		}
	}
}

// TestTwoWebhooksMayShareAURL, as two stores may not: nothing of either is read back.
func TestTwoWebhooksMayShareAURL(t *testing.T) {
	if err := catalog.CheckSinks(map[string]string{"a": "https://hook.example/", "b": "https://hook.example/"}); err != nil {
		t.Error(err)
	}
	for _, url := range []string{"https:", "https:///in", "http:hook.example", "https://hook.example/#a"} {
		if err := catalog.CheckSink("hook", url); err == nil || !strings.HasPrefix(err.Error(), "destinations.hook.url: ") {
			t.Errorf("%s: %v", url, err)
		}
	}
}
