package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pillarbox/internal/ledger"
	"pillarbox/test/harness"
)

// TestWhatAStoreHasLostComesBack deletes rows, removes a dead letter, and replaces the whole
// database, behind the server's back: the audit says so each time, and what the queue still has
// comes back.
func TestWhatAStoreHasLostComesBack(t *testing.T) {
	data := t.TempDir()
	s := harness.Start(t, data)
	accept(t, s.Public+"/app", "text/plain", []byte("first"))
	s.WaitUntil("the first event is stored", drained)
	db := database(t, data)
	execute(t, db, `CREATE TRIGGER refuse BEFORE INSERT ON events WHEN NEW.body LIKE '%poison%' BEGIN SELECT RAISE(ABORT, 'no'); END`)
	const n = 3000
	var lines strings.Builder
	for i := range n {
		fmt.Fprintf(&lines, "{\"n\":%d}\n", i)
	}
	post(t, s.Public+"/app/batch", "application/x-ndjson", []byte(lines.String()))
	accept(t, s.Public+"/app", "text/plain", []byte("poison 1"))
	accept(t, s.Public+"/app", "text/plain", []byte("poison 2"))
	s.WaitUntil("everything is settled",
		func(e ledger.Entry) bool { return e.Pending == 0 && e.Dead == 2 && e.Stored == n+1 })

	audit := func(want int, parts ...string) {
		t.Helper()
		out, talk, code := harness.Run(t, "audit", "--server", s.Admin)
		for _, part := range parts {
			if !strings.Contains(out, part) {
				t.Errorf("audit does not say %q:\n%.2000s%s", part, out, talk)
			}
		}
		if code != want {
			t.Errorf("audit: exit %d, want %d\n%.2000s%s", code, want, out, talk)
		}
	}
	redeliver := func(missing uint64) {
		t.Helper()
		var list struct{ Redeliveries []ledger.Redelivery }
		out, talk, code := harness.Run(t, "audit", "--redeliver", "-o", "json", "--server", s.Admin)
		if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 ||
			list.Redeliveries[0].Redelivered != missing {
			t.Fatalf("redeliver: exit %d, %s%s, want %d", code, out, talk, missing)
		}
		s.WaitUntil("what came again is settled", drained)
		audit(0)
	}
	audit(0)
	execute(t, db, "DELETE FROM events WHERE json_valid(body) AND json_extract(body, '$.n') < 1200")
	audit(1, "1200 events are neither stored nor dead nor pending; 1000 of them are named")
	redeliver(1200)

	execute(t, db, "DROP TRIGGER refuse")
	_ = db.Close()
	s.Stop() // every letter has its file then
	letters, err := filepath.Glob(filepath.Join(data, "dead-letters", "*", "*.json"))
	if err != nil || len(letters) != 2 {
		t.Fatalf("%d letters have their files, %v", len(letters), err)
	}
	if err := os.Remove(letters[0]); err != nil {
		t.Fatal(err)
	}
	s = harness.Start(t, data)
	audit(1, "1 of 2 dead letters are missing", "its file was removed")
	redeliver(1)

	s.Stop()
	for _, name := range []string{"events.db", "events.db-wal", "events.db-shm"} {
		if err := os.Remove(filepath.Join(data, name)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	s = harness.Start(t, data)
	audit(1, "the store was replaced", "another store")
	redeliver(n + 2)
	s.Stop()
}

// TestLedgerIsConsistentWhileLettersAreWritten reads the account again and again while every event
// becomes a dead letter: each reading balances.
func TestLedgerIsConsistentWhileLettersAreWritten(t *testing.T) {
	data := t.TempDir()
	s := harness.Start(t, data)
	accept(t, s.Public+"/app", "text/plain", []byte("first"))
	s.WaitUntil("the first event is stored", drained)
	execute(t, database(t, data), `CREATE TRIGGER refuse BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'no'); END`)
	for range 5 {
		post(t, s.Public+"/app/batch", "application/x-ndjson", []byte(strings.Repeat("{}\n", 2000)))
	}
	readings, between := 0, 0
	s.WaitUntil("everything is dead", func(e ledger.Entry) bool {
		if readings++; !e.Balanced {
			t.Errorf("reading %d: %+v", readings, e)
		}
		if e.Pending > 0 && e.Dead > 0 {
			between++
		}
		return e.Dead == 10_000
	})
	if out, _, code := harness.Run(t, "audit", "--server", s.Admin); code != 0 {
		t.Errorf("audit: exit %d\n%.1000s", code, out)
	}
	t.Logf("%d readings, %d of them while letters were written", readings, between)
	s.Stop()
}

// TestRemovedQueueIsTold removes the queue's directory while no server runs, and leaves the
// database: the next start says so.
func TestRemovedQueueIsTold(t *testing.T) {
	data := t.TempDir()
	s := harness.Start(t, data)
	accept(t, s.Public+"/app", "text/plain", []byte("first"))
	s.WaitUntil("the event is stored", drained)
	s.Stop()
	if err := os.RemoveAll(filepath.Join(data, "queue")); err != nil {
		t.Fatal(err)
	}
	s = harness.Start(t, data)
	if out, _, code := harness.Run(t, "audit", "--server", s.Admin); code != 1 ||
		!strings.Contains(out, "the queue was removed") {
		t.Errorf("audit: exit %d\n%.1000s", code, out)
	}
	if _, _, code := harness.Run(t, "audit", "--redeliver", "--server", s.Admin); code != 0 {
		t.Errorf("redeliver: exit %d", code)
	}
	if out, _, code := harness.Run(t, "audit", "--server", s.Admin); code != 0 {
		t.Errorf("audit after it was looked at: exit %d\n%.1000s", code, out)
	}
	s.Stop()
}
