package sqlite_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/sqlite"
)

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) // in place
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestReplacedStoreIsKnown lets somebody remove, replace, cut and overwrite the database, while it
// is open and while it is not: the identity tells each time, and what is written later is stored.
func TestReplacedStoreIsKnown(t *testing.T) {
	for _, open := range []bool{true, false} {
		for name, meddle := range map[string]func(t *testing.T, path, older string){
			"removed": func(t *testing.T, path, _ string) {
				for _, suffix := range []string{"", "-wal", "-shm"} {
					_ = os.Remove(path + suffix)
				}
			},
			"an older copy": func(t *testing.T, path, older string) {
				for _, suffix := range []string{"", "-wal", "-shm"} {
					_ = os.Remove(path + suffix)
				}
				copyFile(t, older, path)
			},
			"overwritten in place": func(t *testing.T, path, older string) { copyFile(t, older, path) },
			"cut to nothing in place": func(t *testing.T, path, _ string) {
				if err := os.Truncate(path, 0); err != nil {
					t.Fatal(err)
				}
			},
		} {
			t.Run(name, func(t *testing.T) { meddleWithStore(t, meddle, open) })
		}
	}
}

func meddleWithStore(t *testing.T, meddle func(t *testing.T, path, older string), open bool) {
	ctx := context.Background()
	path, older := filepath.Join(t.TempDir(), "events.db"), filepath.Join(t.TempDir(), "older.db")
	store := openTest(t, path, sqlite.Options{})
	record := pillarbox.StoreRecord{}.Meet(store.Identity(), 1)
	events := enginetest.Events(3000, 1)
	write := func(events []*pillarbox.Event) {
		t.Helper()
		for len(events) > 0 {
			n := min(100, len(events))
			if err := store.Write(ctx, events[:n]); err != nil {
				t.Fatal(err)
			}
			events = events[n:]
		}
	}
	reopen := func() {
		t.Helper()
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		store = openTest(t, path, sqlite.Options{})
	}
	write(events[:100])
	reopen() // the WAL is copied into the file
	copyFile(t, path, older)
	write(events[100:2900])
	record = record.Meet(store.Identity(), 1)
	if record.Changed != "" || record.Mark != 2900 {
		t.Fatalf("record %+v", record)
	}
	reopen()
	if again := record.Meet(store.Identity(), 2); again != record {
		t.Fatalf("opened again: %+v, was %+v", again, record)
	}
	if !open {
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
	meddle(t, path, older)
	if !open {
		store = openTest(t, path, sqlite.Options{})
	}
	write(events[2900:])
	if met := record.Meet(store.Identity(), 3); met.Changed == "" || met.At != 3 {
		t.Errorf("nothing is noticed: was %+v, is %+v", record, store.Identity())
	}
	if missing, err := store.Missing(ctx, keysOf(events[2900:])); err != nil || len(missing) > 0 {
		t.Errorf("%d of the events that were written later are missing, %v", len(missing), err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}

func keysOf(events []*pillarbox.Event) (keys []pillarbox.Key) {
	for _, event := range events {
		keys = append(keys, event.Key())
	}
	return keys
}

// TestVacuumIsNoReplacement vacuums from another connection: the file becomes smaller, and nothing
// is lost or told.
func TestVacuumIsNoReplacement(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.db")
	store := openTest(t, path, sqlite.Options{})
	record := pillarbox.StoreRecord{}.Meet(store.Identity(), 1)
	events := enginetest.Events(2000, 1)
	if err := store.Write(t.Context(), events[:1900]); err != nil {
		t.Fatal(err)
	}
	record = record.Meet(store.Identity(), 1)
	other := openDatabase(t, path)
	for _, statement := range []string{"DELETE FROM events", "DELETE FROM event_ids", "VACUUM",
		"PRAGMA wal_checkpoint(TRUNCATE)"} {
		if err := other.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	if err := store.Write(t.Context(), events[1900:]); err != nil {
		t.Fatal(err)
	}
	if met := record.Meet(store.Identity(), 2); met.Changed != "" {
		t.Errorf("a vacuum is taken for a replacement: %+v", met)
	}
	if n, err := store.Count(t.Context()); err != nil || n != 100 {
		t.Errorf("%d rows, %v", n, err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}
