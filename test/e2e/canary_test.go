package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pillarbox/internal/adminapi"
	"pillarbox/internal/ledger"
	"pillarbox/test/harness"
)

// canaryConfig writes a configuration that sends a canary.
func canaryConfig(t *testing.T, every time.Duration) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "pillarbox.yaml")
	text := fmt.Sprintf("canary: { enabled: true, every: %s }\n", every)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// slowRemoval keeps each removal of a canary from its commit for long: until then, whoever looks
// finds the event in the destination.
const slowRemoval = `CREATE TRIGGER slow AFTER DELETE ON events WHEN OLD.source = 'pillarbox-canary' BEGIN
	DELETE FROM events WHERE timestamp = (WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 500000000) SELECT max(x) FROM c);
END`

// TestAKillBetweenWriteAndRemovalLeavesNoCanary: the next life removes it, whether or not it sends
// any itself, and the account is of users' events at all times.
func TestAKillBetweenWriteAndRemovalLeavesNoCanary(t *testing.T) {
	for _, again := range []bool{true, false} {
		t.Run(fmt.Sprintf("canary in the next life %v", again), func(t *testing.T) {
			data, config := t.TempDir(), canaryConfig(t, time.Hour)
			s := harness.Start(t, data)
			accept(t, s.Public+"/app", "text/plain", []byte("a user's"))
			s.WaitUntil("it is stored", drained)
			s.Stop()
			db := database(t, data)
			execute(t, db, slowRemoval)
			s = harness.Start(t, data, "--config", config)
			canaries := func() (n int) {
				if err := db.QueryRow("SELECT count(*) FROM events WHERE source = 'pillarbox-canary'").Scan(&n); err != nil {
					t.Fatal(err)
				}
				return n
			}
			waitFor(t, "a canary in the destination", func() bool { return canaries() == 1 })
			s.Kill()
			execute(t, db, "DROP TRIGGER slow")
			if n := canaries(); n != 1 {
				t.Fatalf("%d canaries are left by the kill: nothing is tried", n)
			}
			wantUsersAudit(t, data, 1)
			args := []string{}
			if again {
				args = []string{"--config", config}
			}
			s = harness.Start(t, data, args...)
			waitFor(t, "it is removed", func() bool { return canaries() == 0 })
			entry := s.WaitUntil(
				"it is settled",
				func(e ledger.Entry) bool { return e.Canary > 0 && drained(e) },
			)
			if entry.Accepted != 1 || entry.Stored != 1 || entry.Skipped != 0 || !entry.Balanced {
				t.Errorf("the ledger has %+v", entry)
			}
			s.Stop()
			wantUsersAudit(t, data, 1)
		})
	}
}

// wantUsersAudit audits the data at rest, and looks at what people are shown of events.
func wantUsersAudit(t *testing.T, data string, users int) {
	t.Helper()
	var audit ledger.Audit
	out, talk, code := harness.Run(t, "audit", "--data", data, "-o", "json")
	if err := json.Unmarshal([]byte(out), &audit); err != nil || code != 0 || !audit.Balanced ||
		audit.Destinations[0].Stored != uint64(users) {
		t.Errorf("audit: exit %d, %v, %s%s", code, err, out, talk)
	}
	var page adminapi.EventPage
	out, talk, code = harness.Run(t, "events", "--data", data, "-o", "json")
	if err := json.Unmarshal([]byte(out), &page); err != nil || code != 0 ||
		len(page.Events) != users {
		t.Errorf("events: exit %d, %v, %s%s", code, err, out, talk)
	}
}

// TestTheCanaryOfTheRealBinary is told in the status, on both fronts.
func TestTheCanaryOfTheRealBinary(t *testing.T) {
	for _, express := range []string{"true", "false"} {
		t.Run("listen.express "+express, func(t *testing.T) {
			t.Setenv("PILLARBOX_LISTEN_EXPRESS", express)
			s := harness.Start(t, t.TempDir(), "--config", canaryConfig(t, time.Second))
			accept(t, s.Public+"/app", "text/plain", []byte("a user's"))
			var status adminapi.Status
			waitFor(t, "two are back", func() bool {
				s.Get("/api/v1/status", &status)
				entry := s.WaitUntil(
					"a user's event is stored",
					func(e ledger.Entry) bool { return e.Stored == 1 },
				)
				// One whose answer is not there yet is not known to be a canary's.
				return status.Canary.OK && status.Canary.SentAt != 0 && entry.Canary >= 2 &&
					status.Queue.Accepted == 1
			})
			if status.Canary.Destinations[0].State != "returned" ||
				status.Canary.AcceptedSeconds <= 0 {
				t.Errorf("status %+v, canary %+v", status.Queue, status.Canary)
			}
			s.Stop()
		})
	}
}

// TestTheCanaryOfADestinationInPostgres comes back, is lost while its table can't be written, and comes
// back when it can; the table has users' events alone.
func TestTheCanaryOfADestinationInPostgres(t *testing.T) {
	config, db := usePostgres(t, postgresServer.Server(t))
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, "canary: { enabled: true, every: 1s, timeout: 20s }\n"...)
	if err := os.WriteFile(config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s := harness.Start(t, t.TempDir(), "--config", config)
	accept(t, s.Public+"/app", "text/plain", []byte("a user's"))
	state := func(want string) func() bool {
		return func() bool {
			var status adminapi.Status
			s.Get("/api/v1/status", &status)
			return len(status.Canary.Destinations) == 1 &&
				status.Canary.Destinations[0].State == want
		}
	}
	waitFor(t, "it is back", state("returned"))
	execute(t, db, "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$")
	execute(t, db, "CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse()")
	waitFor(t, "it is lost", state("lost"))
	execute(t, db, "DROP TRIGGER refuse ON events")
	waitFor(t, "it is back again", state("returned"))
	entry := s.WaitUntil("users' events are there", func(e ledger.Entry) bool {
		return e.Accepted == 1 && e.Stored == 1 && drained(e)
	})
	if entry.Dead != 0 || entry.Canary < 3 || !entry.Balanced {
		t.Errorf("the ledger has %+v", entry)
	}
	s.Stop()
	var rows int
	if err := db.QueryRow("SELECT count(*) FROM events").Scan(&rows); err != nil || rows != 1 {
		t.Errorf("the table has %d rows, %v", rows, err)
	}
}
