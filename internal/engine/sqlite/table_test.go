package sqlite_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/sqlite"
)

// Other programs rely on the columns, their order and their form.
func TestTableIsWhatOthersReadFrom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.db")
	stored := time.Date(2026, 11, 23, 15, 0, 0, 7000, time.UTC)
	store := openTest(t, path, sqlite.Options{Now: func() time.Time { return stored }})
	event := &pillarbox.Event{
		Timestamp: 1795443120_123456, RequestID: "019ab123-4567-7abc-8def-0123456789ab", Source: "app", Method: "POST",
		Path: "/app", Query: "a=1", ContentType: "application/json", RemoteAddr: "203.0.113.7", Traceparent: "00-a-b-01",
		Header: pillarbox.Header{{Name: "Content-Type", Value: "application/json"}}, Body: []byte(`{"hello":"wörld"}`),
		Facts: &pillarbox.Facts{Caller: "shop", CEType: "a.b", Attributes: pillarbox.Attributes{
			{Name: "tenant", Value: "größe"}}},
	}
	write(t, store, event)

	other := openDatabase(t, path)
	columns := value(t, other, "SELECT group_concat(name || ' ' || type || ' ' || pk) FROM pragma_table_info('events')")
	want := "timestamp TEXT 1,request_id TEXT 2,source TEXT 0,method TEXT 0,path TEXT 0,query TEXT 0,content_type TEXT 0," +
		"headers TEXT 0,remote_addr TEXT 0,traceparent TEXT 0,body  0,stored_at TEXT 0," +
		"query_encoding TEXT 0,content_type_encoding TEXT 0,header_encoding TEXT 0," +
		"caller TEXT 0,ce_id TEXT 0,ce_source TEXT 0,ce_type TEXT 0,ce_time TEXT 0,ce_subject TEXT 0,removed TEXT 0,attributes TEXT 0"
	if columns != want {
		t.Errorf("columns are\n%s, want\n%s", columns, want)
	}
	if without := value(t, other, "SELECT wr FROM pragma_table_list('events')"); without != "1" {
		t.Error("the table has rowids")
	}
	for sql, want := range map[string]string{
		"SELECT caller || ce_type FROM events":                              "shopa.b",
		"SELECT ce_id IS NULL FROM events":                                  "1",
		"SELECT attributes ->> 'tenant' FROM events":                        "größe",
		"SELECT timestamp FROM events":                                      "2026-11-23T14:12:00.123456Z",
		"SELECT stored_at FROM events":                                      "2026-11-23T15:00:00.000007Z",
		"SELECT headers FROM events":                                        `{"Content-Type":["application/json"]}`,
		"SELECT json_extract(body, '$.hello') FROM events":                  "wörld",
		"SELECT json_extract(headers, '$.\"Content-Type\"[0]') FROM events": "application/json",
	} {
		if got := value(t, other, sql); got != want {
			t.Errorf("%s: got %s, want %s", sql, got, want)
		}
	}
}

// TestFurtherColumnsAreLeftAlone: a newer version, or a person, may add columns and tables.
func TestFurtherColumnsAreLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.db")
	events := enginetest.Events(3, 1)
	store := openTest(t, path, sqlite.Options{})
	write(t, store, events[0])
	other := openDatabase(t, path)
	for _, statement := range []string{
		"ALTER TABLE events ADD COLUMN later TEXT DEFAULT 'new'", "ALTER TABLE events ADD COLUMN more",
		"CREATE TABLE pillarbox_later (x)",
	} {
		if err := other.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	write(t, store, events[1]) // while it is open
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	store = openTest(t, path, sqlite.Options{})
	write(t, store, events[2])
	for _, want := range events {
		got, err := store.Find(t.Context(), want.RequestID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := enginetest.Diff(got, want); diff != "" {
			t.Error(diff)
		}
	}
	if n := value(t, other, "SELECT count(*) FROM events WHERE later = 'new' AND more IS NULL"); n != "3" {
		t.Errorf("%s rows have the further columns as they were added", n)
	}
}

// People can read a body that is text; no other body is mistaken for text.
func TestBodyIsTextWhereItCanBe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.db")
	store := openTest(t, path, sqlite.Options{})
	bodies := map[string]string{
		"": "text", "123": "text", `{"a":1}`: "text", "Grüße 🐘": "text", "\ufeff": "text", "\ufffd": "text",
		"\x00": "blob", "a\x00": "blob", "\xff": "blob", "\xed\xa0\x80": "blob",
	}
	events := enginetest.Events(len(bodies), 1)
	at := 0
	for body := range bodies {
		events[at].Body = []byte(body)
		at++
	}
	write(t, store, events...)
	other := openDatabase(t, path)
	for _, event := range events {
		sql := "SELECT typeof(body) FROM events WHERE request_id = '" + event.RequestID + "'"
		if got := value(t, other, sql); got != bodies[string(event.Body)] {
			t.Errorf("body %q is stored as %s", event.Body, got)
		}
	}
}

// Events hold what people sent: nobody else on the machine may read the files.
func TestFilesArePrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.db")
	store := openTest(t, path, sqlite.Options{})
	write(t, store, enginetest.Events(1, 1)...)
	wantMode(t, path, 0o600)
	must(t, store.Close())
	// The shared memory of an earlier version, or of another program, is closed, too.
	must(t, os.WriteFile(path+"-shm", nil, 0o600))
	must(t, os.Chmod(path+"-shm", 0o644))
	store = openTest(t, path, sqlite.Options{})
	write(t, store, enginetest.Events(1, 2)...)
	wantMode(t, path, 0o600)
	must(t, store.Close())
	// Whoever may read the database may read all of it.
	must(t, os.Chmod(path, 0o640))
	store = openTest(t, path, sqlite.Options{})
	write(t, store, enginetest.Events(1, 3)...)
	wantMode(t, path, 0o640)
}

func wantMode(t *testing.T, path string, want os.FileMode) {
	t.Helper()
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, %v; want %v", name, info.Mode(), err, want)
		}
	}
}

// A name that means something in a URI is a name all the same.
func TestAnyPathWillDo(t *testing.T) {
	for _, name := range []string{"with space.db", "100%25?mode=memory#x.db", "ünï&vfs=none.db",
		":memory:", "it's.db"} {
		path := filepath.Join(t.TempDir(), name)
		store := openTest(t, path, sqlite.Options{})
		write(t, store, enginetest.Events(1, 1)...)
		if _, err := os.Stat(path + "-wal"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, path := range []string{"", "a\x00b"} {
		if _, err := sqlite.Open(t.Context(), path, sqlite.Options{}); !errors.Is(err,
			pillarbox.ErrInvalid) {
			t.Errorf("open %q: %v, want ErrInvalid", path, err)
		}
	}
	if _, err := sqlite.Open(t.Context(), "x.db", sqlite.Options{BusyTimeout: -1}); !errors.Is(err,
		pillarbox.ErrInvalid) {
		t.Errorf("open with a negative timeout: %v, want ErrInvalid", err)
	}
}

// The sqlite3 program reads and writes the database while it is open, and sees what was written
// before.
func TestSQLiteProgramReadsAlong(t *testing.T) {
	program, err := exec.LookPath("sqlite3")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("the sqlite3 program is missing: .ci/run installs it")
		}
		t.Skip("the sqlite3 program is not installed")
	}
	path := filepath.Join(t.TempDir(), "events.db")
	store := openTest(t, path, sqlite.Options{})
	ask := func(sql string) string {
		out, err := exec.Command(program, path, sql).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", sql, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	events := enginetest.Events(30, 1)
	for i := range 3 {
		write(t, store, events[i*10:(i+1)*10]...)
		want := fmt.Sprintf("%d|%s", (i+1)*10, events[i*10+9].Timestamp)
		if got := ask("SELECT count(*), max(timestamp) FROM events"); got != want {
			t.Errorf("the program sees %s, want %s", got, want)
		}
	}
	if mode := ask("PRAGMA journal_mode"); mode != "wal" {
		t.Errorf("journal mode is %s", mode)
	}
	ask("DELETE FROM events WHERE request_id = '" + events[3].RequestID + "'")
	wantCount(t, store, 29)
	write(t, store, events...)
	wantCount(t, store, 30)
	if check := ask("PRAGMA integrity_check"); check != "ok" {
		t.Errorf("integrity check: %s", check)
	}
}

// An event whose id tells its time costs no row besides its own.
func TestOnlyOddIDsAreNoted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.db")
	store := openTest(t, path, sqlite.Options{})
	events := enginetest.Events(40, 1)
	events[11].RequestID = "JKJaXmPLvHcESHA="                    // from a gateway
	events[12].RequestID = strings.ToUpper(events[12].RequestID) // not the form that we write
	events[13].Timestamp += 3_600_000_000                        // far from the time in its id
	write(t, store, events...)
	write(t, store, events...)
	other := openDatabase(t, path)
	want := events[11].RequestID + "," + events[12].RequestID + "," + events[13].RequestID
	if got := value(t, other, "SELECT group_concat(request_id ORDER BY timestamp) FROM event_ids"); got != want {
		t.Errorf("noted ids are %s, want %s", got, want)
	}
}

// The largest event that is allowed can be stored and read, as text and as bytes; a larger one is
// refused.
func TestLargeEvents(t *testing.T) {
	store := openTest(t, filepath.Join(t.TempDir(), "events.db"), sqlite.Options{})
	events := enginetest.Events(3, 1)
	for i, fill := range []string{"x", "\xff", "x"} {
		event := &pillarbox.Event{Timestamp: events[i].Timestamp, RequestID: events[i].RequestID}
		room := sqlite.MaxEventBytes - len(event.RequestID) - len("{}")
		event.Body = []byte(strings.Repeat(fill, room+i/2))
		events[i] = event
	}
	err := store.Write(t.Context(), events)
	var batch *pillarbox.BatchError
	if !errors.As(err, &batch) || len(batch.Items) != 1 || batch.Items[0].Index != 2 ||
		!errors.Is(err, pillarbox.ErrTooLarge) || !pillarbox.IsPermanent(batch.Items[0].Err) {
		t.Fatalf("write: %v, want the last event too large for good", err)
	}
	for _, event := range events[:2] {
		found, err := store.Find(t.Context(), event.RequestID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := enginetest.Diff(found, event); diff != "" {
			t.Error(diff)
		}
	}
}
