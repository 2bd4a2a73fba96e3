package sqlite_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/sqlite"
)

// wantOutage checks that the database is to blame, and that the message holds the words.
func wantOutage(t *testing.T, err error, words string) {
	t.Helper()
	if !errors.Is(err, pillarbox.ErrUnavailable) || pillarbox.IsPermanent(err) {
		t.Errorf("got %v, want ErrUnavailable", err)
	} else if !strings.Contains(err.Error(), words) {
		t.Errorf("got %v, want a message with %q", err, words)
	}
}

// Accepting goes on while the database can't be opened, and delivery as soon as it can.
func TestOpenWaitsForTheDatabase(t *testing.T) {
	for name, test := range map[string]struct {
		harm func(t *testing.T, path string) (heal func())
		want string
	}{
		"missing directory": {func(t *testing.T, path string) func() {
			return func() { must(t, os.Mkdir(filepath.Dir(path), 0o700)) }
		}, "its directory"},
		"file for a directory": {func(t *testing.T, path string) func() {
			must(t, os.WriteFile(filepath.Dir(path), nil, 0o600))
			return func() {
				must(t, os.Remove(filepath.Dir(path)))
				must(t,
					os.Mkdir(filepath.Dir(path), 0o700))
			}
		}, "its directory"},
		"directory for a file": {func(t *testing.T, path string) func() {
			must(t, os.MkdirAll(path, 0o700))
			return func() { must(t, os.Remove(path)) }
		}, "plain file"},
		"no database": {func(t *testing.T, path string) func() {
			must(t, os.Mkdir(filepath.Dir(path), 0o700))
			must(t, os.WriteFile(path, []byte(strings.Repeat("this is no database", 500)), 0o600))
			return func() { must(t, os.Remove(path)) }
		}, "no database"},
		"locked": {func(t *testing.T, path string) func() {
			must(t, os.Mkdir(filepath.Dir(path), 0o700))
			other := openDatabase(t, path)
			run(t, other, "CREATE TABLE theirs (x); BEGIN EXCLUSIVE")
			return func() { run(t, other, "ROLLBACK") }
		}, "lock"},
		"other encoding": {func(t *testing.T, path string) func() {
			must(t, os.Mkdir(filepath.Dir(path), 0o700))
			other := openDatabase(t, path)
			run(t, other, "PRAGMA encoding = 'UTF-16'; CREATE TABLE theirs (x)")
			return func() { must(t, os.Remove(path)) }
		}, "UTF-16"},
		"other table": {func(t *testing.T, path string) func() {
			must(t, os.Mkdir(filepath.Dir(path), 0o700))
			other := openDatabase(t, path)
			run(t, other, "CREATE TABLE events (id INTEGER PRIMARY KEY)")
			return func() { run(t, other, "DROP TABLE events") }
		}, "table events"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "sub", "events.db")
			heal := test.harm(t, path)
			store := openTest(t, path, sqlite.Options{BusyTimeout: time.Millisecond})
			events := enginetest.Events(20, 1)
			for range 2 {
				wantOutage(t, store.Write(t.Context(), events), test.want)
				_, err := store.List(t.Context(), pillarbox.EventFilter{})
				if name != "locked" {
					wantOutage(t, err, "")
				}
			}
			heal()
			write(t, store, events...)
			wantCount(t, store, len(events))
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A process that goes on writing to an unlinked file loses every row without an error.
func TestRemovedDatabaseIsMadeAnew(t *testing.T) {
	for name, suffixes := range map[string][]string{
		"database": {""}, "all files": {"", "-wal", "-shm"}, "database and WAL": {"", "-wal"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "events.db")
			store := openTest(t, path, sqlite.Options{})
			events := enginetest.Events(60, 1)
			write(t, store, events[:20]...)
			wantCount(t, store, 20)
			for _, suffix := range suffixes {
				must(t, os.Remove(path+suffix))
			}
			wantCount(t, store, 0)
			write(t, store, events[20:40]...)
			write(t, store, events[40:]...)
			wantCount(t, store, 40)
			if got := value(t, openDatabase(t, path), "SELECT count(*) FROM events"); got != "40" {
				t.Errorf("others see %s rows, want 40", got)
			}
			orphans, err := filepath.Glob(path + "-wal.orphan-*")
			if want := len(suffixes) == 1; err != nil || (len(orphans) == 1) != want {
				t.Errorf("orphaned WALs: %v, %v; want one: %v", orphans, err, want)
			}
		})
	}
}

// The WAL holds rows that are not yet in the database; when somebody removes it, they are saved.
func TestRemovedWALLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.db")
	store := openTest(t, path, sqlite.Options{})
	events := enginetest.Events(40, 1)
	write(t, store, events[:20]...)
	wantCount(t, store, 20)
	// Another program that has it open keeps SQLite from doing this on its own when we close.
	if got := value(t, openDatabase(t, path), "SELECT count(*) FROM events"); got != "20" {
		t.Errorf("others see %s rows, want 20", got)
	}
	must(t, os.Remove(path+"-wal"))
	must(t, os.Remove(path+"-shm"))
	write(t, store, events[20:]...)
	wantCount(t, store, 40)
	must(t, store.Close())
	wantCount(t, openTest(t, path, sqlite.Options{}), 40)
}

// A restored backup is opened as it is: the WAL of the database that was there before is kept out
// of it.
func TestReplacedDatabaseIsOpened(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "events.db")
	events := enginetest.Events(90, 1)
	backup, err := sqlite.Open(t.Context(), filepath.Join(dir, "backup.db"), sqlite.Options{})
	must(t, err)
	write(t, backup, events[60:]...)
	must(t, backup.Close())

	store := openTest(t, path, sqlite.Options{})
	write(t, store, events[:30]...)
	wantCount(t, store, 30)
	must(t, os.Rename(filepath.Join(dir, "backup.db"), path))
	wantCount(t, store, 30) // the ones in the backup
	write(t, store, events[30:60]...)
	got, err := store.List(t.Context(), pillarbox.EventFilter{})
	if err != nil || len(got) != 60 || enginetest.Diff(got[0], events[30]) != "" {
		t.Errorf("list: %d events, %v; want the 30 of the backup and the 30 new ones", len(got), err)
	}
}

// While another program writes, Write waits, gives up, and reads go on all the time.
func TestLockedDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.db")
	store := openTest(t, path, sqlite.Options{BusyTimeout: time.Millisecond})
	events := enginetest.Events(20, 1)
	write(t, store, events[:10]...)
	other := openDatabase(t, path)
	run(t, other, "BEGIN IMMEDIATE; DELETE FROM events")
	wantOutage(t, store.Write(t.Context(), events[10:]), "end its transaction")
	wantCount(t, store, 10)
	if _, err := store.Find(t.Context(), events[3].RequestID); err != nil {
		t.Errorf("find while locked: %v", err)
	}
	run(t, other, "ROLLBACK")
	write(t, store, events...)
	wantCount(t, store, 20)
}

// A full disk stores nothing of the batch, blames nobody, and says what is missing.
func TestFullDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.db")
	must(t, os.WriteFile(path, nil, 0o600))
	store := openTest(t, path, sqlite.Options{})
	events := enginetest.Events(40, 1)
	write(t, store, events[:10]...)
	sqlite.LimitPages(t, store, 60)
	for _, event := range events[10:] {
		event.Body = []byte(strings.Repeat("x", 20_000))
	}
	err := store.Write(t.Context(), events)
	wantOutage(t, err, "free space")
	if !errors.Is(err, pillarbox.ErrNoSpace) {
		t.Errorf("write: %v, want ErrNoSpace too", err)
	}
	wantCount(t, store, 10)
	sqlite.LimitPages(t, store, 1<<30)
	write(t, store, events...)
	wantCount(t, store, 40)
}

// Waiting for a lock ends with the caller, not with the timeout.
func TestCancelledWriteReturns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.db")
	store := openTest(t, path, sqlite.Options{BusyTimeout: time.Hour})
	events := enginetest.Events(10, 1)
	other := openDatabase(t, path)
	run(t, other, "BEGIN IMMEDIATE")
	for range 2 { // the second one waits for its turn as well
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		waiting := make(chan error, 1)
		go func() { waiting <- store.Write(ctx, events) }()
		if err := store.Write(ctx, events); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("write: %v, want the context's error", err)
		}
		if err := <-waiting; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("write: %v, want the context's error", err)
		}
	}
	run(t, other, "ROLLBACK")
	wantCount(t, store, 0)
	write(t, store, events...)
	wantCount(t, store, 10)
}

// A query that takes long is interrupted.
func TestCancelledReadReturns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.db")
	store := openTest(t, path, sqlite.Options{})
	write(t, store, enginetest.Events(1, 1)...)
	run(t, openDatabase(t, path), `ALTER TABLE events RENAME TO real;
		CREATE VIEW events AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
		SELECT real.* FROM n, real WHERE real.method = 'none'`)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := store.List(ctx, pillarbox.EventFilter{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("list: %v, want the context's error", err)
	}
}

func TestClosedStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.db")
	store := openTest(t, path, sqlite.Options{})
	write(t, store, enginetest.Events(10, 1)...)
	must(t, store.Close())
	if _, err := store.Count(t.Context()); !errors.Is(err, pillarbox.ErrClosed) {
		t.Errorf("count after close: %v, want ErrClosed", err)
	}
	// Everything is in the one file that remains.
	for _, suffix := range []string{"-wal", "-shm"} {
		if _, err := os.Stat(path + suffix); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", suffix, err)
		}
	}
}

// TestRowThatIsNoEvent has rows that somebody added or changed by hand: they are named, take no
// room of a page, and all events come, forwards and backwards, over pages.
func TestRowThatIsNoEvent(t *testing.T) {
	const row = "INSERT INTO events (timestamp, request_id, source, method, path, headers) VALUES "
	for what, sql := range map[string]string{
		"timestamp":           row + "('yesterday', 'by-hand', 'app', 'POST', '/', '{}')",
		"timestamp is BLOB":   row + "(x'00ff', 'by-hand', 'app', 'POST', '/', '{}')",
		"timestamp is that":   row + "('1970-01-01T00:00:00.000000Z', 'by-hand', 'app', 'POST', '/', '{}')",
		"request_id is empty": row + "('2026-11-23T14:12:00.000000Z', '', 'app', 'POST', '/', '{}')",
		"source is NULL":      row + "('2026-11-23T14:12:00.000000Z', 'by-hand', NULL, 'POST', '/', '{}')",
		"method is NULL":      row + "('2026-11-23T14:12:00.000000Z', 'by-hand', 'app', NULL, '/', '{}')",
		"method is BLOB":      row + "('2026-11-23T14:12:00.000000Z', 'by-hand', 'app', x'ff', '/', '{}')",
		"invalid character":   row + "('2026-11-23T14:12:00.000000Z', 'by-hand', 'app', 'POST', '/', 'nonsense')",
		"want an object":      row + "('2026-11-23T14:12:00.000000Z', 'by-hand', 'app', 'POST', '/', '[]')",
	} {
		t.Run(what, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "events.db")
			store := openTest(t, path, sqlite.Options{})
			events := enginetest.Events(5, 1)
			write(t, store, events...)
			run(t, openDatabase(t, path), sql)
			for _, newest := range []bool{false, true} {
				named, found, filter := 0, 0, pillarbox.EventFilter{Limit: 2, Newest: newest}
				for {
					page, err := store.List(t.Context(), filter)
					var others *pillarbox.UnreadableError
					if errors.As(err, &others) {
						if named += others.Count; !strings.Contains(err.Error(), what) ||
							!strings.Contains(err.Error(), "request_id \"") || errors.Is(err, pillarbox.ErrInvalid) {
							t.Errorf("list: %v, want %q", err, what)
						}
					} else if err != nil {
						t.Fatal(err)
					}
					if found += len(page); len(page) < 2 {
						break
					}
					filter.After = page[1].Key()
				}
				if found != 5 || named != 1 {
					t.Errorf("newest %v: %d events, %d rows are named", newest, found, named)
				}
			}
			if _, err := store.Find(t.Context(), events[0].RequestID); err != nil {
				t.Errorf("another event: %v", err)
			}
			if _, err := store.Find(t.Context(), "by-hand"); !errors.Is(err, pillarbox.ErrNotFound) &&
				!errors.Is(err, pillarbox.ErrCorrupt) {
				t.Errorf("the row itself: %v", err)
			}
			wantCount(t, store, 6)
		})
	}
}

// TestTableOfSomebodyElse has no rule that a key must be there.
func TestTableOfSomebodyElse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.db")
	store := openTest(t, path, sqlite.Options{})
	events := enginetest.Events(3, 1)
	write(t, store, events...)
	run(t, openDatabase(t, path), `ALTER TABLE events RENAME TO before;
		CREATE TABLE events AS SELECT * FROM before;
		INSERT INTO events (request_id, method) VALUES ('by-hand', 5)`)
	page, err := store.List(t.Context(), pillarbox.EventFilter{})
	if len(page) != 3 || !errors.Is(err, pillarbox.ErrCorrupt) ||
		!strings.Contains(err.Error(), "timestamp is NULL") {
		t.Errorf("%d events, %v", len(page), err)
	}
}
