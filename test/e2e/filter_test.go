package e2e_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pillarbox/internal/ledger"
	"pillarbox/test/harness"
)

// configured writes a configuration.
func configured(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "p.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// waits posts and waits for the event to be stored.
func waits(t *testing.T, url, body string) (status int) {
	t.Helper()
	request, err := http.NewRequest("POST", url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Prefer", "wait=10")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// TestFiltersChooseAndLoseNothing: each destination gets what its filter takes, shaped; what is skipped
// says by which filter; a filter that fails loses nothing; and one that is changed while events wait
// holds what it does not take any more.
func TestFiltersChooseAndLoseNothing(t *testing.T) {
	const form = `
sources: { app: {}, only: {} }
destinations:
  all: { url: "sqlite:all.db", sources: [app] }
  paid: { url: "sqlite:paid.db", sources: [app, only], where: 'WHERE', shape: { redact: { json: [/card] } } }
`
	data := t.TempDir()
	config := func(where string) string { return configured(t, strings.Replace(form, "WHERE", where, 1)) }
	s := harness.Start(t, data, "--config", config(`json.type == "paid"`))
	run := func(want int, args ...string) string {
		t.Helper()
		out, talk, code := harness.Run(t, append(args, "--server", s.Admin)...)
		if code != want {
			t.Errorf("%v: exit %d, want %d\n%s%s", args, code, want, out, talk)
		}
		return out + talk
	}
	if got := waits(t, s.Public+"/app", `{"type":"paid","card":"4111"}`); got != http.StatusCreated {
		t.Errorf("what both take: %d", got)
	}
	if got := waits(t, s.Public+"/only", `{"type":"open"}`); got != http.StatusAccepted {
		t.Errorf("what every destination skips: %d, want 202 at once", got)
	}
	for _, body := range []string{`{"type":"open"}`, `{"type":"paid"}`, `{}`} {
		waits(t, s.Public+"/app", body)
	}
	drainedAt := func(name string, want ledger.Entry) {
		t.Helper()
		for _, e := range settledEverywhere(t, s, 2) {
			if e.Destination == name && (e.Stored != want.Stored || e.Skipped != want.Skipped || e.SkippedBy != want.SkippedBy || e.Held != want.Held) {
				t.Errorf("ledger of %s: %+v", name, e)
			}
		}
	}
	want := ledger.Entry{Stored: 3, Skipped: 2} // {} has no type, and passes
	want.SkippedBy.Filter = 2
	drainedAt("paid", want)
	if out := run(0, "events", "--destination", "paid", "-o", "json"); !strings.Contains(out, "REDACTED") || strings.Contains(out, "4111") ||
		!strings.Contains(out, "redacted json /card") {
		t.Errorf("events of paid: %s", out)
	}
	run(0, "audit")

	run(0, "pause", "paid")
	for range 3 {
		accept(t, s.Public+"/only", "application/json", []byte(`{"type":"paid"}`))
	}
	s.Kill()
	changed := config(`json.type == "piad"`)
	out, talk, _ := harness.Run(t, "config", "check", "--config", changed, "--data", data)
	if !strings.Contains(out+talk, "up to 3 pending events") {
		t.Errorf("config check: %s%s", out, talk)
	}
	s = harness.Start(t, data, "--config", changed)
	run(0, "resume", "paid")
	until(t, "they are held", func() bool {
		var totals ledger.Totals
		s.Get("/api/v1/ledger", &totals)
		return totals.Destinations[1].Held == 3
	})
	run(0, "audit")
	s.Stop()
	s = harness.Start(t, data, "--config", config(`json.type == "paid"`))
	want.Stored = 6 // the filter that takes them is back
	drainedAt("paid", want)
	run(0, "audit")
}
