package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pillarbox/internal/ledger"
	"pillarbox/test/harness"
)

// vault is a data directory with encryption, and how it is configured.
type vault struct {
	t            *testing.T
	data, config string
	keys         map[string]string // files, by name
}

func newVault(t *testing.T) *vault {
	v := &vault{t: t, data: t.TempDir(), config: filepath.Join(t.TempDir(), "p.yaml"), keys: map[string]string{}}
	for _, name := range []string{"first", "second"} {
		out, talk, code := harness.Run(t, "encryption", "new-key")
		if code != 0 {
			t.Fatalf("new-key: exit %d, %s", code, talk)
		}
		v.keys[name] = filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(v.keys[name], []byte(out), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

// configure writes the configuration, with a key and old keys by name.
func (v *vault) configure(key string, old ...string) {
	v.t.Helper()
	url := func(name string) string {
		if name == "" {
			return `""`
		}
		return fmt.Sprintf("%q", "file:"+v.keys[name])
	}
	var names []string
	for _, name := range old {
		names = append(names, url(name))
	}
	text := fmt.Sprintf(`
data: %q
encryption: { key: %s, old_keys: [%s] }
sources:
  app: {}
  hook: { preset: github, signature: { secrets: ["a secret of github"], on_failure: quarantine } }
destinations: { events: { url: "sqlite:", sources: [app, hook], max_attempts: 1, backoff: { initial: 10ms, max: 10ms } } }
`, v.data, url(key), strings.Join(names, ", "))
	if err := os.WriteFile(v.config, []byte(text), 0o600); err != nil {
		v.t.Fatal(err)
	}
}

func (v *vault) start() *harness.Server {
	v.t.Helper()
	return harness.Start(v.t, v.data, "--config", v.config)
}

func (v *vault) run(want int, args ...string) (out, talk string) {
	v.t.Helper()
	out, talk, code := harness.Run(v.t, append(args, "--config", v.config)...)
	if code != want {
		v.t.Errorf("%v: exit %d, want %d: %.1000s%.1000s", args, code, want, out, talk)
	}
	return out, talk
}

// search returns the files that have the text, but for the database, which is in the clear.
func (v *vault) search(text string) (with []string, looked int) {
	v.t.Helper()
	err := filepath.WalkDir(v.data, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasPrefix(entry.Name(), "events.db") {
			return err
		}
		looked++
		content, err := os.ReadFile(name)
		if bytes.Contains(content, []byte(text)) {
			with = append(with, name)
		}
		return err
	})
	if err != nil {
		v.t.Fatal(err)
	}
	return with, looked
}

// TestWhatIsOnTheDiskIsSealed: a server that was killed with events stored, refused, waiting and in
// quarantine has left nothing in the clear; the next one has all of it; and without the key no one has.
func TestWhatIsOnTheDiskIsSealed(t *testing.T) {
	const canary = "nobody-may-read-this"
	v := newVault(t)
	v.configure("first")
	s := v.start()
	accept(t, s.Public+"/app", "text/plain", []byte("first"))
	s.WaitUntil("the first event is stored", drained)
	execute(t, database(t, v.data), "CREATE TRIGGER refuse BEFORE INSERT ON events WHEN NEW.body LIKE '%poison%' BEGIN SELECT RAISE(ABORT, 'no "+canary+"'); END")
	send := func(path, body, key string) {
		t.Helper()
		request, err := http.NewRequest("POST", s.Public+path+"?q="+canary, strings.NewReader(body+canary))
		if err != nil {
			t.Fatal(err)
		}
		request.Header = http.Header{"X-Canary": {canary}, "Idempotency-Key": {canary + key}, "X-Hub-Signature-256": {"sha256=" + canary}}
		response, err := http.DefaultClient.Do(request)
		if err != nil || response.StatusCode != http.StatusAccepted && response.StatusCode != http.StatusOK {
			t.Fatalf("%s: %v %v", path, response, err)
		}
		_ = response.Body.Close()
	}
	for i := range 50 {
		send("/app", "plain ", fmt.Sprint(i))
	}
	for i := range 5 {
		send("/app", "poison ", fmt.Sprint("p", i))
		send("/hook", "unsigned ", fmt.Sprint("h", i))
	}
	s.WaitUntil("all is settled", func(e ledger.Entry) bool { return e.Pending == 0 && e.Stored == 51 && e.Dead == 5 })
	v.run(0, "dead", "list", "--server", s.Admin) // a letter has its file when it is asked for
	s.Kill()
	if with, looked := v.search(canary); len(with) > 0 || looked < 10 {
		t.Errorf("of %d files these have it in the clear: %v", looked, with)
	}

	t.Run("verify needs no key", func(t *testing.T) {
		v.configure("second")
		out, talk := v.run(0, "queue", "verify")
		if !strings.Contains(out, "of the events are sealed") || !strings.Contains(talk, "encryption.old_keys") {
			t.Errorf("%s%s", out, talk)
		}
	})
	t.Run("nothing starts with another key", func(t *testing.T) {
		if _, talk := v.run(1, "serve"); !strings.Contains(talk, "encryption.old_keys") {
			t.Errorf("serve: %s", talk)
		}
		v.configure("")
		v.run(1, "serve")
	})
	v.configure("second", "first")
	s = v.start()
	s.WaitUntil("all is there", func(e ledger.Entry) bool { return e.Stored == 51 && e.Dead == 5 && e.Balanced })
	if out, _ := v.run(0, "encryption", "status", "-o", "json"); strings.Count(out, `"wrapped_by"`) != 1 {
		t.Errorf("status: %s", out)
	}
	s.Stop()
	v.configure("second") // the first is not needed any more
	s = v.start()
	var list struct {
		DeadLetters []struct {
			Event struct {
				RequestID string `json:"request_id"`
			} `json:"event"`
		} `json:"dead_letters"`
	}
	s.Get("/api/v1/dead-letters", &list)
	var quarantined struct {
		Quarantine []json.RawMessage `json:"quarantine"`
	}
	s.Get("/api/v1/quarantine", &quarantined)
	if len(list.DeadLetters) != 5 || len(quarantined.Quarantine) != 5 {
		t.Errorf("%d letters and %d requests in quarantine, want 5 of each", len(list.DeadLetters), len(quarantined.Quarantine))
	}
	s.Stop()
	letters, err := filepath.Glob(filepath.Join(v.data, "dead-letters", "*", "*.json"))
	if err != nil || len(letters) != 5 {
		t.Fatalf("%v, %v", letters, err)
	}
	if out, _ := v.run(0, "encryption", "open", letters[0]); !strings.Contains(out, canary) || !json.Valid([]byte(out)) {
		t.Errorf("a letter that was opened: %.300s", out)
	}
	v.run(1, "encryption", "open", v.config)
	v.configure("", "second") // off again
	s = v.start()
	accept(t, s.Public+"/app", "text/plain", []byte("in the clear"))
	v.run(0, "audit", "--server", s.Admin)
	s.Stop()
	if with, _ := v.search("in the clear"); len(with) == 0 {
		t.Error("with encryption off again, it still seals")
	}
}
