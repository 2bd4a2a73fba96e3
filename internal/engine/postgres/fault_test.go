package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/postgres"
	"pillarbox/test/faultproxy"
	"pillarbox/test/pgserver"
	"pillarbox/test/setting"
)

// refusing are tables and settings that refuse an event whose source is "bad", and what becomes of it.
var refusing = []struct {
	name       string
	statements []string
	permanent  bool // the event is refused for good
	alone      bool // the event is named, and all others are stored
}{
	{"a check", []string{"ALTER TABLE events ADD CONSTRAINT good CHECK (source <> 'bad')"}, true, false},
	{"a unique index", []string{"CREATE UNIQUE INDEX ON events (source, timestamp) WHERE source = 'bad'",
		"CREATE TABLE events_20261123 PARTITION OF events FOR VALUES FROM ('2026-11-23 00:00Z') TO ('2026-11-24 00:00Z')",
		"INSERT INTO events (timestamp, request_id, source, body) VALUES ('2026-11-23 14:12:00.123456Z', 'other', 'bad', '')"}, true, false},
	{"a trigger that raises", trigger("RAISE EXCEPTION 'no bad events'"), true, false},
	{"a trigger that fails", trigger("PERFORM 1 / 0"), true, false}, // class 22
	{"a trigger that asks for nothing", trigger("RAISE EXCEPTION USING ERRCODE = 'P0002'"), false, false},
	{"a trigger that drops", trigger("RETURN NULL"), true, true},
	{"a column that is too short", []string{"ALTER TABLE events ALTER COLUMN source TYPE varchar(2)"}, true, false},
}

func trigger(body string) []string {
	return []string{
		"CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.source = 'bad' THEN " + body + "; END IF; RETURN NEW; END $$",
		"CREATE TRIGGER look BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION look()",
	}
}

func sample(id, source string) *pillarbox.Event {
	return &pillarbox.Event{Timestamp: 1795443120_123456, RequestID: id, Source: source, Method: "POST", Path: "/a", Body: []byte("{}")}
}

// TestRefusalsAreTheEvents: what the table refuses is told apart from an outage, the server's own
// words are in the error, and the other events of the batch are stored in the end.
func TestRefusalsAreTheEvents(t *testing.T) {
	for _, test := range refusing {
		t.Run(test.name, func(t *testing.T) {
			db := shared.Server(t).Database(t)
			store := openStore(t, db, postgres.Options{})
			if err := store.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			execute(t, ask(t, db), test.statements...)
			good, bad, last := sample("good", "ok"), sample("bad", "bad"), sample("last", "ok")
			last.Timestamp++
			err := store.Write(t.Context(), []*pillarbox.Event{good, bad, last})
			var items *pillarbox.BatchError
			if errors.As(err, &items) != test.alone || !test.alone && pillarbox.IsPermanent(err) != test.permanent ||
				errors.Is(err, pillarbox.ErrUnavailable) {
				t.Fatalf("the batch: %v", err)
			}
			if test.alone {
				if len(items.Items) != 1 || items.Items[0].Index != 1 || !pillarbox.IsPermanent(items.Items[0].Err) {
					t.Errorf("named are %+v", items.Items)
				}
			} else if err := store.Write(t.Context(), []*pillarbox.Event{bad}); err == nil || pillarbox.IsPermanent(err) != test.permanent {
				t.Errorf("the event alone: %v", err)
			}
			if err := store.Write(t.Context(), []*pillarbox.Event{good, last}); err != nil {
				t.Errorf("the others: %v", err)
			}
			missing, err := store.Missing(t.Context(), []pillarbox.Key{good.Key(), bad.Key(), last.Key()})
			if err != nil || len(missing) != 1 || missing[0] != bad.Key() {
				t.Errorf("missing are %v, %v", missing, err)
			}
		})
	}
}

// TestOutagesAreNobodysFault: nothing that is wrong with server, user, table or network blames an
// event, each says what to do, and it passes.
func TestOutagesAreNobodysFault(t *testing.T) {
	server := shared.Server(t)
	admin := ask(t, server.URL("postgres"))
	execute(t, admin, "DROP ROLE IF EXISTS poor", "CREATE ROLE poor LOGIN")
	for _, test := range []struct {
		name  string
		url   func(db string) string
		begin []string
		end   []string
		want  string
	}{
		{"no rights", func(db string) string { return strings.Replace(db, "postgres@", "poor@", 1) }, nil,
			[]string{"ALTER ROLE poor SUPERUSER"}, "grant the user"},
		{"no such user", func(db string) string { return strings.Replace(db, "postgres@", "nobody_like_this@", 1) }, nil,
			[]string{"CREATE ROLE nobody_like_this SUPERUSER LOGIN"}, "check user and password"},
		{"read-only", nil, []string{"ALTER DATABASE %s SET default_transaction_read_only = on"},
			[]string{"ALTER DATABASE %s SET default_transaction_read_only = off"}, "target_session_attrs"},
		{"connections are not allowed", nil, []string{"ALTER DATABASE %s ALLOW_CONNECTIONS false"},
			[]string{"ALTER DATABASE %s ALLOW_CONNECTIONS true"}, "not currently accepting"},
	} {
		t.Run(test.name, func(t *testing.T) {
			db := server.Database(t)
			parsed, err := url.Parse(db)
			if err != nil {
				t.Fatal(err)
			}
			each := func(statements []string) {
				for _, sql := range statements {
					execute(t, admin, strings.ReplaceAll(sql, "%s", strings.Trim(parsed.Path, "/")))
				}
			}
			each(test.begin)
			if test.url != nil {
				db = test.url(db)
			}
			store := openStore(t, db, postgres.Options{})
			for _, err := range []error{store.Write(t.Context(), enginetest.Events(3, 1)), store.Check(t.Context())} {
				if !errors.Is(err, pillarbox.ErrUnavailable) || pillarbox.IsPermanent(err) || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v, want an outage with %q", err, test.want)
				}
			}
			each(test.end)
			again := openStore(t, db, postgres.Options{})
			if err := again.Write(t.Context(), enginetest.Events(3, 1)); err != nil {
				t.Errorf("after it: %v", err)
			}
		})
	}
}

// TestTablesThatGoAreTold: a table that somebody drops is made anew, as another store; a partition
// comes back when an event needs it; a column that is missing is named.
func TestTablesThatGoAreTold(t *testing.T) {
	db := shared.Server(t).Database(t)
	conn := ask(t, db)
	store := openStore(t, db, postgres.Options{})
	events := enginetest.Events(20, 1)
	write := func(want string) {
		t.Helper()
		err := store.Write(t.Context(), events)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, pillarbox.ErrUnavailable)) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	write("")
	first := store.Identity()
	execute(t, conn, "DROP TABLE events_20261123")
	write("no partition")
	write("")
	if now := store.Identity(); now.ID != first.ID || now.Mark <= first.Mark {
		t.Errorf("the store was %+v, and is %+v", first, now)
	}
	execute(t, conn, "ALTER TABLE events DROP COLUMN caller")
	write("caller")
	execute(t, conn, "ALTER TABLE events ADD COLUMN caller text")
	write("")
	execute(t, conn, "DROP TABLE events")
	write("is missing")
	write("")
	if now := store.Identity(); now.ID == first.ID {
		t.Error("a table that was dropped and made anew passes for the same store")
	}
	if n, err := store.Count(t.Context()); err != nil || n != 20 {
		t.Errorf("%d events, %v", n, err)
	}
}

// TestOtherPeoplesTable is used as it is: not partitioned, with more columns, without body_json.
func TestOtherPeoplesTable(t *testing.T) {
	db := shared.Server(t).Database(t)
	conn := ask(t, db)
	other := openStore(t, db, postgres.Options{Table: "model"})
	if err := other.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	execute(t, conn, "CREATE SCHEMA app", `CREATE TABLE app."Hooks" (LIKE model INCLUDING CONSTRAINTS, note text DEFAULT 'mine', PRIMARY KEY (timestamp, request_id))`,
		`ALTER TABLE app."Hooks" DROP COLUMN body_json`)
	store := openStore(t, db, postgres.Options{Table: "app.Hooks"})
	events := enginetest.Events(30, 5)
	if err := store.Write(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM app."Hooks" WHERE note = 'mine'`).Scan(&n); err != nil || n != 30 {
		t.Errorf("%d rows, %v", n, err)
	}
	execute(t, conn, `CREATE TABLE keyless (LIKE model)`)
	keyless := openStore(t, db, postgres.Options{Table: "keyless"})
	if err := keyless.Write(t.Context(), events); !errors.Is(err, pillarbox.ErrUnavailable) || !strings.Contains(err.Error(), "unique key") {
		t.Errorf("a table without a key: %v", err)
	}
}

// TestPartitionsAreMadeAhead: of today and tomorrow, and of whatever day an event has.
func TestPartitionsAreMadeAhead(t *testing.T) {
	db := shared.Server(t).Database(t)
	conn := ask(t, db)
	now := time.Date(2026, 12, 31, 23, 59, 0, 0, time.UTC)
	store := openStore(t, db, postgres.Options{Now: func() time.Time { return now }})
	var events []*pillarbox.Event
	for day := range 5 {
		event := sample(fmt.Sprint("day ", day), "app")
		event.Timestamp = pillarbox.TimestampOf(time.Date(1969, 12, 30+day, 23, 59, 59, 999_999_000, time.UTC))
		events = append(events, event)
	}
	events[0].Timestamp = pillarbox.TimestampOf(time.Date(2036, 2, 29, 0, 0, 0, 0, time.UTC))
	if err := store.Write(t.Context(), events[:1]); err != nil {
		t.Fatal(err)
	}
	if err := store.Write(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	var names []string
	rows, err := conn.Query(t.Context(), "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'events'::regclass ORDER BY 1")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	want := "events_19691231 events_19700101 events_19700102 events_19700103 events_20261231 events_20270101 events_20360229"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("partitions\n%s, want\n%s", got, want)
	}
	if n, err := store.Count(t.Context()); err != nil || n != 5 {
		t.Errorf("%d events, %v", n, err)
	}
}

// TestCutConnections: connections are cut in the middle of anything, commits too; who writes again
// until it succeeds has stored each event once.
func TestCutConnections(t *testing.T) {
	server := shared.Server(t)
	db := server.Database(t)
	seed := setting.Seed(t)
	proxy := faultproxy.Start(t, server.Addr(), seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	through := openStore(t, strings.Replace(db, server.Addr(), proxy.Addr(), 1), postgres.Options{})
	if err := through.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	events := enginetest.Events(600, seed)
	failures := 0
	for at := 0; at < len(events); at += 20 {
		batch := events[max(0, at-rng.IntN(5)):min(len(events), at+1+rng.IntN(20))]
		for attempt := range 6 { // the last one is not cut
			if proxy.CutWithin(25_000); attempt == 5 {
				proxy.CutWithin(0)
			}
			proxy.CutAll()
			err := through.Write(t.Context(), batch)
			if err == nil {
				break
			}
			if !errors.Is(err, pillarbox.ErrUnavailable) || pillarbox.IsPermanent(err) {
				t.Fatalf("a cut connection blames an event: %v", err)
			}
			failures++
		}
	}
	proxy.CutWithin(0)
	direct := openStore(t, db, postgres.Options{})
	if err := direct.Write(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	if n, err := direct.Count(t.Context()); err != nil || n != 600 {
		t.Errorf("%d events are stored, %v, want 600", n, err)
	}
	if failures < 10 || proxy.Cuts() < 3 {
		t.Errorf("only %d writes failed, and %d connections were cut", failures, proxy.Cuts())
	}
	t.Logf("%d writes failed, %d connections were cut", failures, proxy.Cuts())
}

// TestCrashOfTheServer: what Write has returned nil for is there after the server was killed.
func TestCrashOfTheServer(t *testing.T) {
	shared.Server(t) // to skip where there is none
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	server, err := pgserver.Start(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop()
	store := openStore(t, server.URL("postgres"), postgres.Options{})
	var mu sync.Mutex
	var acked []pillarbox.Key
	var writers sync.WaitGroup
	for writer := range 4 {
		writers.Go(func() {
			for n := 0; ; n++ {
				events := enginetest.Events(20, uint64(writer*1000+n))
				if err := store.Write(ctx, events); err != nil {
					if !errors.Is(err, pillarbox.ErrUnavailable) {
						t.Errorf("writer %d: %v", writer, err)
					}
					return
				}
				mu.Lock()
				for _, event := range events {
					acked = append(acked, event.Key())
				}
				mu.Unlock()
			}
		})
	}
	for enough := false; !enough; time.Sleep(5 * time.Millisecond) {
		mu.Lock()
		enough = len(acked) > 2000
		mu.Unlock()
	}
	server.End(syscall.SIGQUIT)
	writers.Wait()
	if err := server.Run(ctx); err != nil {
		t.Fatal(err)
	}
	again := openStore(t, server.URL("postgres"), postgres.Options{})
	missing, err := again.Missing(ctx, acked)
	if err != nil || len(missing) > 0 {
		t.Errorf("of %d acknowledged events %d are missing after the crash, %v", len(acked), len(missing), err)
	}
	if err := store.Write(ctx, enginetest.Events(1, 1)); err != nil {
		t.Errorf("the store that was open goes on: %v", err)
	}
}

// TestServerThatKeepsNothing is warned of, and synchronous_commit is set for our sessions.
func TestServerThatKeepsNothing(t *testing.T) {
	shared.Server(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	server, err := pgserver.Start(ctx, "fsync=off", "synchronous_commit=off")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop()
	var lines bytes.Buffer
	store := openStore(t, server.URL("postgres"), postgres.Options{Logger: slog.New(slog.NewTextHandler(&lines, nil))})
	if err := store.Check(ctx); err != nil {
		t.Fatal(err)
	}
	conn := ask(t, server.URL("postgres"))
	execute(t, conn, `CREATE FUNCTION setting_of_writer() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.removed = current_setting('synchronous_commit'); RETURN NEW; END $$`,
		`CREATE TRIGGER setting_of_writer BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION setting_of_writer()`)
	event := sample("one", "app")
	if err := store.Write(ctx, []*pillarbox.Event{event}); err != nil {
		t.Fatal(err)
	}
	found, err := store.Find(ctx, "one")
	if err != nil || found.Facts == nil || found.Facts.Removed != "on" {
		t.Errorf("synchronous_commit of the writer: %+v, %v", found, err)
	}
	if !strings.Contains(lines.String(), "does not keep what it commits") {
		t.Errorf("nothing is said of fsync=off: %s", lines.String())
	}
}

func TestURLsThatAreNone(t *testing.T) {
	for db, table := range map[string]string{
		"postgres://host:port/db": "", "postgres://host/db?sslmode=perhaps": "", "postgres://host/db": "a.b.c",
		"postgres://host/db?connect_timeout=-": "", "postgres://h/d": strings.Repeat("x", 51), "postgres://h/e": `a"b`,
	} {
		store, err := postgres.Open(db, postgres.Options{Table: table})
		if !errors.Is(err, pillarbox.ErrInvalid) {
			t.Errorf("%s, table %q: %v", db, table, err)
			if err == nil {
				_ = store.Close()
			}
		}
	}
}
