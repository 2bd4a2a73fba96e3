package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pillarbox/internal/adminapi"
	"pillarbox/internal/ledger"
	"pillarbox/test/harness"
)

// configFile writes a configuration with one source at /app and one destination in a database of
// its own name.
func configFile(t *testing.T, source, destination string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "pillarbox.yaml")
	text := fmt.Sprintf("sources: { %s: { path: /app } }\ndestinations: { %s: { url: \"sqlite:%s.db\", sources: [%[1]s] } }\n", source, destination, destination)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestRenamedSourceLosesNothing renames a source, and then its destination, while events are
// pending: they are held, told and counted, come to their destination when the old names are back,
// and may be routed.
func TestRenamedSourceLosesNothing(t *testing.T) {
	data := t.TempDir()
	old, source, destination := configFile(t, "app", "events"), configFile(t, "web",
		"events"), configFile(t, "web", "archive")
	s := harness.Start(t, data, "--config", old)
	accept(t, s.Public+"/app", "text/plain", []byte("first"))
	s.WaitUntil("the first event is stored", drained)
	db := database(t, data)
	db.SetMaxOpenConns(1)
	execute(t, db, "BEGIN EXCLUSIVE")
	const n = 1500
	response, _ := post(t, s.Public+"/app/batch", "application/x-ndjson",
		[]byte(strings.Repeat("{}\n", n)))
	if response.StatusCode != http.StatusAccepted {
		t.Fatalf("batch: %d", response.StatusCode)
	}
	check := func(config string, want int, part string) {
		t.Helper()
		if out, talk, code := harness.Run(t, "config", "check", "--config", config, "--data", data,
			"--admin", strings.TrimPrefix(s.Admin, "http://")); code != want ||
			!strings.Contains(out+talk, part) {
			t.Errorf("config check %s: exit %d, %s%s", config, code, out, talk)
		}
	}
	check(source, 2, "1500 pending events")
	s.Stop()
	check(old, 0, "is right")
	check(source, 2, "1500 pending events")

	s = harness.Start(t, data, "--config", source)
	s.WaitUntil("all are held while the database is locked",
		func(e ledger.Entry) bool { return e.Held == n })
	accept(t, s.Public+"/app", "text/plain", []byte("second"))
	execute(t, db, "ROLLBACK")
	entry := s.WaitUntil("the new name is delivered",
		func(e ledger.Entry) bool { return e.Stored == 2 })
	if entry.Held != n || entry.Pending != n || entry.Skipped != 0 || !entry.Balanced {
		t.Errorf("ledger %+v", entry)
	}
	var page adminapi.HeldPage
	s.Get("/api/v1/held?limit=1", &page)
	id := page.Held[0].Event.RequestID
	if out, _, code := harness.Run(t, "explain", id, "--server", s.Admin); code != 0 ||
		!strings.Contains(out, "held") || !strings.Contains(out, "the event is pending") {
		t.Errorf("explain: exit %d\n%s", code, out)
	}
	if out, _, code := harness.Run(t, "held", "forget", id, "--server", s.Admin); code != 0 ||
		!strings.Contains(out, "1 of 1") {
		t.Errorf("held forget: exit %d\n%s", code, out)
	}
	if out, _, code := harness.Run(t, "explain", id, "--server", s.Admin); code != 0 ||
		!strings.Contains(out, "the event is skipped") {
		t.Errorf("explain: exit %d\n%s", code, out)
	}
	s.Kill()

	s = harness.Start(t, data, "--config", destination)
	if _, talk, code := harness.Run(t, "held", "route", "--server", s.Admin, "--to",
		"archive"); code != 2 || !strings.Contains(talk, "name what to act on") {
		t.Errorf("held route of nothing named: exit %d, %s", code, talk)
	}
	if out, talk, code := harness.Run(t, "held", "route", id, "--server", s.Admin, "--to",
		"nowhere"); code != 1 || !strings.Contains(talk, "nowhere") {
		t.Errorf("held route to nowhere: exit %d, %s%s", code, out, talk)
	}
	var second adminapi.HeldPage
	s.Get("/api/v1/held?limit=1", &second)
	routed := second.Held[0].Event.RequestID
	if out, talk, code := harness.Run(t, "held", "route", routed, "--server", s.Admin, "--to",
		"archive"); code != 0 || !strings.Contains(out, "1 of 1") {
		t.Errorf("held route: exit %d, %s%s", code, out, talk)
	}
	s.WaitUntil("the routed event is in the archive",
		func(e ledger.Entry) bool { return e.Destination == "archive" && e.Stored == 1 })
	s.Kill()

	s = harness.Start(t, data, "--config", old)
	entry = s.WaitUntil("the old names bring the others to their destination",
		func(e ledger.Entry) bool { return e.Stored == n })
	if entry.Held != 0 || entry.Pending != 0 || entry.Skipped != 2 || entry.SkippedBy.Routed != 1 ||
		entry.SkippedBy.Forgotten != 1 || !entry.Balanced {
		t.Errorf("ledger %+v", entry)
	}
	if out, _, code := harness.Run(t, "audit", "--server", s.Admin); code != 0 {
		t.Errorf("audit: exit %d\n%s", code, out)
	}
	s.Stop()
}
