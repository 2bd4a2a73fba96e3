package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/sqlite"
)

func TestStoreKeepsItsContract(t *testing.T) {
	enginetest.Sink(t, func(t *testing.T) pillarbox.Sink {
		return openTest(t, filepath.Join(t.TempDir(), "events.db"), sqlite.Options{})
	})
}

// TestStoreKeepsItsContractDecorated: a decorator takes nothing from what it can do.
func TestStoreKeepsItsContractDecorated(t *testing.T) {
	enginetest.Sink(t, func(t *testing.T) pillarbox.Sink {
		store := openTest(t, filepath.Join(t.TempDir(), "events.db"), sqlite.Options{})
		return enginetest.TraceSink(store, &enginetest.Spans{})
	})
}

func TestStoreOutlivesTheProcess(t *testing.T) {
	enginetest.SinkDurable(t, func(t *testing.T) func() pillarbox.Sink {
		path := filepath.Join(t.TempDir(), "events.db")
		return func() pillarbox.Sink { return openTest(t, path, sqlite.Options{}) }
	})
}

// openTest opens a store, and at the end of the test closes it and verifies the database.
func openTest(t *testing.T, path string, options sqlite.Options) *sqlite.Store {
	t.Helper()
	store, err := sqlite.Open(t.Context(), path, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		verify(t, path)
	})
	return store
}

// verify checks every page and index of the database.
func verify(t *testing.T, path string) {
	t.Helper()
	conn, err := sqlite3.OpenFlags(path, sqlite3.OPEN_READWRITE)
	if err != nil {
		t.Errorf("open to verify: %v", err)
		return
	}
	defer conn.Close()
	if result := value(t, conn, "PRAGMA integrity_check"); result != "ok" {
		t.Errorf("integrity check: %s", result)
	}
}

// openDatabase opens the database as another program would.
func openDatabase(t *testing.T, path string) *sqlite3.Conn {
	t.Helper()
	conn, err := sqlite3.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Errorf("close the other connection: %v", err)
		}
	})
	return conn
}

func run(t *testing.T, conn *sqlite3.Conn, sql string) {
	t.Helper()
	if err := conn.Exec(sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// value returns the first column of the first row as text.
func value(t *testing.T, conn *sqlite3.Conn, sql string) string {
	t.Helper()
	stmt, _, err := conn.Prepare(sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	defer stmt.Close()
	if !stmt.Step() {
		t.Fatalf("%s: no row: %v", sql, stmt.Err())
	}
	return stmt.ColumnText(0)
}

func write(t *testing.T, store pillarbox.Sink, events ...*pillarbox.Event) {
	t.Helper()
	if err := store.Write(t.Context(), events); err != nil {
		t.Fatalf("write %d events: %v", len(events), err)
	}
}

func wantCount(t *testing.T, store pillarbox.Sink, want int) {
	t.Helper()
	if count, err := store.Count(t.Context()); err != nil || count != uint64(want) {
		t.Errorf("count: got %d, %v; want %d", count, err, want)
	}
}
