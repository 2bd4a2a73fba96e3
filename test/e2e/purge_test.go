package e2e_test

import (
	"encoding/json"
	"strings"
	"testing"

	"pillarbox/internal/ledger"
	"pillarbox/test/harness"
)

// TestPurgedEventsAreNotMissed purges with a server and without one: the ledger balances, nothing
// comes back, and rows that are deleted by hand are missed as ever.
func TestPurgedEventsAreNotMissed(t *testing.T) {
	data := t.TempDir()
	s := harness.Start(t, data)
	const n = 1200
	post(t, s.Public+"/app/batch", "application/x-ndjson", []byte(strings.Repeat("{}\n", n-1)))
	id := accept(t, s.Public+"/app", "text/plain", []byte("last")).RequestID
	s.WaitUntil("all is stored", func(e ledger.Entry) bool { return e.Stored == n && e.Pending == 0 })
	run := func(want int, part string, args ...string) string {
		t.Helper()
		out, talk, code := harness.Run(t, args...)
		if code != want || !strings.Contains(out+talk, part) {
			t.Errorf("%v: exit %d, want %d with %q\n%.2000s%s", args, code, want, part, out, talk)
		}
		return out
	}
	server := []string{"--server", s.Admin}
	purge := func(args ...string) []string { return append([]string{"purge", "events"}, args...) }
	run(2, "--older-than", purge(server...)...)
	run(2, "in the future", purge(append(server, "--older-than", "2999-01-01")...)...)
	run(1, "no destination", append([]string{"purge", "nobody", "--older-than", "0s", "--yes"},
		server...)...)
	run(0, "1200 events of events", purge(append(server, "--older-than", "0s", "--dry-run")...)...)
	run(0, "0 events of events", purge(append(server, "--older-than", "90d", "--dry-run")...)...)
	run(1, "nothing was purged", purge(append(server, "--older-than", "0s")...)...)
	run(0, "1200 of 1200", purge(append(server, "--older-than", "0s", "--yes")...)...)
	run(0, "1200 of the stored events are purged", append([]string{"audit"}, server...)...)
	run(0, "purged", append([]string{"explain", id}, server...)...)
	var list struct{ Redeliveries []ledger.Redelivery }
	out := run(0, "", append([]string{"audit", "--redeliver", "-o", "json"}, server...)...)
	if err := json.Unmarshal([]byte(out), &list); err != nil || list.Redeliveries[0].Redelivered != 0 {
		t.Errorf("what was purged comes back: %s, %v", out, err)
	}

	s.Kill()
	s = harness.Start(t, data)
	post(t, s.Public+"/app/batch", "application/x-ndjson", []byte(strings.Repeat("{}\n", 10)))
	s.WaitUntil("the others are stored", func(e ledger.Entry) bool {
		return e.Stored == n+10 && e.Pending == 0 && e.Purged == n && e.Balanced
	})
	server = []string{"--server", s.Admin}
	run(0, "1200 of the stored events are purged", append([]string{"audit"}, server...)...)
	execute(t, database(t, data),
		"DELETE FROM events WHERE request_id = (SELECT max(request_id) FROM events)")
	run(1, `"pillarbox purge"`, append([]string{"audit"}, server...)...)
	run(0, "", append([]string{"audit", "--redeliver"}, server...)...)
	s.WaitUntil("it came again", drained)
	run(0, "", append([]string{"audit"}, server...)...)
	s.Stop()

	offline := []string{"--data", data, "--admin", "127.0.0.1:1"}
	run(0, "10 of 10", purge(append(offline, "--older-than", "0s", "--source", "app", "--yes")...)...)
	run(0, "1210 of the stored events are purged", append([]string{"audit"}, offline...)...)
}
