package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"pillarbox/internal/alert"
	"pillarbox/test/harness"
	"pillarbox/test/standin/mailbox"
)

// alertHook is a webhook for alerts that keeps what it is told.
type alertHook struct {
	*httptest.Server
	mu   sync.Mutex
	told []string // event and alert
}

func startAlertHook(t *testing.T) *alertHook {
	t.Helper()
	h := &alertHook{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the server was killed in the middle of it
		}
		var m struct {
			Alerts []struct{ Event, Alert, Subject string }
		}
		if err := json.Unmarshal(body, &m); err != nil {
			t.Errorf("%s: %v", body, err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, a := range m.Alerts {
			h.told = append(h.told, strings.TrimSpace(a.Event+" "+a.Alert+" "+a.Subject))
		}
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *alertHook) has(what string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Contains(h.told, what)
}

// TestAlertsAreToldOverAKill: a destination is down. A webhook and a mailbox are told; the server is
// killed, and once the destination is back, they are told that too.
func TestAlertsAreToldOverAKill(t *testing.T) {
	var down atomic.Bool
	down.Store(true)
	destination := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if down.Load() {
			http.Error(w, "not now", http.StatusServiceUnavailable)
		}
	}))
	defer destination.Close()
	beats := atomic.Int64{}
	beat := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { beats.Add(1) }))
	defer beat.Close()
	hook, mail, data := startAlertHook(t), mailbox.Start(t, mailbox.Options{Password: "geheim"}), t.TempDir()
	config := configureAlerts(t, destination.URL, hook.URL, beat.URL, mail)

	s := harness.Start(t, data, "--config", config)
	accept(t, s.Public+"/app", "text/plain", []byte("waits for its destination"))
	const fires, over = "firing PillarboxDestinationDown hook", "resolved PillarboxDestinationDown hook"
	until(t, "both are told that it fires", func() bool { return hook.has(fires) && letterWith(mail, "FIRING: PillarboxDestinationDown") })
	wantOutput(t, 0, "PillarboxDestinationDown", "alerts", "--config", config, "--data", data, "--server", s.Admin)
	wantOutput(t, 0, "pager", "alerts", "test", "pager", "--config", config, "--server", s.Admin)
	s.Kill()

	s = harness.Start(t, data, "--config", config)
	var view alert.View
	s.Get("/api/v1/alerts", &view)
	if len(view.Alerts) == 0 || view.Alerts[0].State != alert.StateFiring || len(view.Alerts[0].Told) != 2 {
		t.Fatalf("after a kill there is %+v", view)
	}
	if hook.has(over) {
		t.Fatal("a restart has resolved the alert")
	}
	down.Store(false)
	until(t, "both are told that it is over", func() bool { return hook.has(over) && letterWith(mail, "RESOLVED: PillarboxDestinationDown") })
	s.Stop()
	if beats.Load() < 2 {
		t.Errorf("there were %d heartbeats in two lives", beats.Load())
	}
	wantOutput(t, 0, "mail", "alerts", "test", "--config", config, "--data", data) // without a server
	wantOutput(t, 1, "there is no receiver", "alerts", "test", "nobody", "--config", config, "--data", data)
	wantOutput(t, 1, "needs a running server", "alerts", "--config", config, "--data", data)
}

func configureAlerts(t *testing.T, destination, hook, beat string, mail *mailbox.Server) (config string) {
	t.Helper()
	dir := t.TempDir()
	rules, config := filepath.Join(dir, "rules.yaml"), filepath.Join(dir, "p.yaml")
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(rules, "rules: [{ name: PillarboxDestinationDown, for: 1s }]\n")
	t.Setenv("MAIL_PASSWORD", "geheim")
	write(config, fmt.Sprintf(`
sources: { app: {} }
destinations:
  hook: { url: "%s/in", sources: [app], allow_private: true, probe: { initial: 50ms, max: 200ms } }
alerts:
  name: box
  rules: %s
  every: 1s
  group_wait: 1s
  resolve_after: 2s
  heartbeat: { url: "%s", every: 1s, allow_private: true }
  receivers:
    - { name: pager, kind: webhook, url: "%s", allow_private: true, signing_secrets: ["%s"] }
    - { name: mail, kind: email, server: "%s", ca: %s, user: box, password: "${MAIL_PASSWORD}", from: box@example.org, to: [ops@example.org] }
`, destination, rules, beat, hook, hookSecret, mail.Address, mail.CA))
	return config
}

func letterWith(mail *mailbox.Server, text string) bool {
	return slices.ContainsFunc(mail.Letters(), func(l mailbox.Letter) bool { return strings.Contains(l.Text, text) })
}

func wantOutput(t *testing.T, code int, want string, args ...string) {
	t.Helper()
	out, talk, got := harness.Run(t, args...)
	if got != code || !strings.Contains(out+talk, want) {
		t.Errorf("%v: exit %d, want %d and %q\n%s%s", args, got, code, want, out, talk)
	}
}
