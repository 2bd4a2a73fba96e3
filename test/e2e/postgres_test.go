package e2e_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // PostgreSQL as any other program sees it

	"pillarbox"
	"pillarbox/internal/ledger"
	"pillarbox/test/harness"
	"pillarbox/test/pgserver"
)

// usePostgres makes a database, and a configuration with it as the destination "events".
func usePostgres(t *testing.T, server *pgserver.Server) (config string, db *sql.DB) {
	t.Helper()
	url := server.Database(t)
	config = filepath.Join(t.TempDir(), "p.yaml")
	text := fmt.Sprintf("sources: { app: {} }\ndestinations:\n  events: { url: %q, sources: [app], max_attempts: 2, backoff: { initial: 10ms, max: 100ms }, probe: { initial: 50ms, max: 200ms } }\n",
		url+"&table=events")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return config, db
}

// TestBytesComeOutOfPostgres is TestBytesComeOutAsTheyCameIn for PostgreSQL.
func TestBytesComeOutOfPostgres(t *testing.T) {
	config, db := usePostgres(t, postgresServer.Server(t))
	s := harness.Start(t, t.TempDir(), "--config", config)
	want := sendBytes(t, s.Public)
	s.WaitUntil("all is stored", drained)
	equal(t, "the table of PostgreSQL", tableDigests(t, db, "body"), want)

	execute(t, db, "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$")
	execute(t, db, "CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse()")
	sendBytes(t, s.Public)
	s.WaitUntil("all others are dead", func(e ledger.Entry) bool { return e.Dead == sentRequests })
	execute(t, db, "DROP TRIGGER refuse ON events")
	if out, talk, code := harness.Run(t, "dead", "replay", "--all", "--server", s.Admin); code != 0 {
		t.Fatalf("replay: exit %d\n%s%s", code, out, talk)
	}
	twice := slices.Sorted(slices.Values(slices.Concat(want, want)))
	equal(t, "the table after the replay", tableDigests(t, db, "body"), twice)
	equal(t, "events over the API", apiDigests(t, s), twice)
	if out, talk, code := harness.Run(t, "audit", "--server", s.Admin); code != 0 {
		t.Errorf("audit: exit %d\n%s%s", code, out, talk)
	}
}

// TestCommandsWorkOnPostgres: events, explain, audit and purge, as with SQLite.
func TestCommandsWorkOnPostgres(t *testing.T) {
	config, db := usePostgres(t, postgresServer.Server(t))
	s := harness.Start(t, t.TempDir(), "--config", config)
	var receipts []pillarbox.Receipt
	for n := range 30 {
		receipts = append(receipts, accept(t, s.Public+"/app?n="+fmt.Sprint(n), "application/json", fmt.Appendf(nil, `{"n":%d}`, n)))
	}
	s.WaitUntil("all is stored", func(e ledger.Entry) bool { return e.Stored == 30 })
	run := func(want int, args ...string) string {
		t.Helper()
		out, talk, code := harness.Run(t, append(args, "--server", s.Admin)...)
		if code != want {
			t.Errorf("%v: exit %d, want %d\n%s%s", args, code, want, out, talk)
		}
		return out + talk
	}
	var page struct{ Events []pillarbox.Event }
	if err := json.Unmarshal([]byte(run(0, "events", "--limit", "7", "-o", "json")), &page); err != nil || len(page.Events) != 7 {
		t.Errorf("%d events, %v", len(page.Events), err)
	}
	if out := run(0, "explain", receipts[3].RequestID); !strings.Contains(out, "stored") {
		t.Errorf("explain: %s", out)
	}
	var sum int
	if err := db.QueryRow("SELECT sum((body_json ->> 'n')::int) FROM events").Scan(&sum); err != nil || sum != 435 {
		t.Errorf("the sum is %d, %v", sum, err)
	}
	run(0, "audit")
	execute(t, db, "DELETE FROM events WHERE body_json ->> 'n' = '7'")
	if out := run(1, "audit"); !strings.Contains(out, receipts[7].RequestID) {
		t.Errorf("the audit does not name the row that is gone: %s", out)
	}
	run(0, "audit", "--redeliver")
	s.WaitUntil("it is back", drained)
	run(0, "audit")
	if out := run(0, "purge", "events", "--older-than", "1us", "--yes"); !strings.Contains(out, "30") {
		t.Errorf("purge: %s", out)
	}
	run(0, "audit")
}

// TestPostgresCrashesUnderLoad: server and database are killed in turn while clients post; in the end
// each receipt is one row.
func TestPostgresCrashesUnderLoad(t *testing.T) {
	postgresServer.Server(t) // to skip where there is none
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	server, err := pgserver.Start(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop()
	config, _ := usePostgres(t, server)
	data := t.TempDir()
	receipts := map[string]bool{}
	var mu sync.Mutex
	for round := range 4 {
		s := harness.Start(t, data, "--config", config)
		stop := make(chan struct{})
		var clients sync.WaitGroup
		for client := range 4 {
			clients.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					response, err := http.Post(s.Public+"/app", "text/plain", strings.NewReader(fmt.Sprint(round, client, n)))
					if err != nil {
						return
					}
					var receipt pillarbox.Receipt
					if json.NewDecoder(response.Body).Decode(&receipt) == nil && response.StatusCode == http.StatusAccepted {
						mu.Lock()
						receipts[receipt.RequestID] = true
						mu.Unlock()
					}
					_ = response.Body.Close()
				}
			})
		}
		enough := func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(receipts) > 400*(round+1)
		}
		for !enough() {
			time.Sleep(5 * time.Millisecond)
		}
		server.End(syscall.SIGQUIT)
		if round%2 == 1 {
			s.Kill()
		}
		if err := server.Run(ctx); err != nil {
			t.Fatal(err)
		}
		close(stop)
		clients.Wait()
		if round%2 == 0 {
			s.Kill()
		}
	}
	s := harness.Start(t, data, "--config", config)
	entry := s.WaitUntil("all is stored", drained)
	if entry.Dead != 0 || !entry.Balanced {
		t.Errorf("ledger %+v", entry)
	}
	db, err := sql.Open("pgx", server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var name string
	if err := db.QueryRow("SELECT max(datname) FROM pg_database WHERE datname LIKE 'test%'").Scan(&name); err != nil {
		t.Fatal(err)
	}
	events, err := sql.Open("pgx", server.URL(name))
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	rows, err := events.Query("SELECT request_id FROM events")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	stored := map[string]int{}
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		stored[id]++
	}
	for id, n := range stored {
		if n != 1 {
			t.Errorf("%s is there %d times", id, n)
		}
	}
	lost := 0
	for id := range receipts {
		if stored[id] == 0 {
			lost++
		}
	}
	if lost > 0 || uint64(len(stored)) != entry.Stored {
		t.Errorf("of %d receipts %d are lost; %d rows, and the ledger says %d", len(receipts), lost, len(stored), entry.Stored)
	}
	if out, talk, code := harness.Run(t, "audit", "--server", s.Admin); code != 0 {
		t.Errorf("audit: exit %d\n%s%s", code, out, talk)
	}
}
