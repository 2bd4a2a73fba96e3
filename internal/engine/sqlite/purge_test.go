package sqlite_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/sqlite"
)

func TestPurgeOutlivesTheProcess(t *testing.T) {
	enginetest.PurgeDurable(t, func(t *testing.T) func() pillarbox.Sink {
		path := filepath.Join(t.TempDir(), "events.db")
		return func() pillarbox.Sink { return openTest(t, path, sqlite.Options{}) }
	})
}

// TestPurgeAndItsAccountAreOneAfterACrash cuts the WAL of a purge at every frame, as a crash may
// leave it: what is there and what counts as purged add up each time.
func TestPurgeAndItsAccountAreOneAfterACrash(t *testing.T) {
	const total, perStep = 60, 10
	path := filepath.Join(t.TempDir(), "events.db")
	store := openTest(t, path, sqlite.Options{})
	events := enginetest.Events(total, 1)
	if err := store.Write(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil { // the rows are in the file, and the WAL is the purge's
		t.Fatal(err)
	}
	store = openTest(t, path, sqlite.Options{})
	filter := pillarbox.PurgeFilter{Until: events[40].Timestamp}
	start, err := store.BeginPurge(t.Context(), filter)
	if err != nil {
		t.Fatal(err)
	}
	step := pillarbox.PurgeStep{PurgeFilter: filter, At: start.At, Limit: perStep}
	for range 3 { // it does not come to its end
		result, err := store.Purge(t.Context(), step)
		if err != nil || result.Deleted != perStep {
			t.Fatalf("step: %+v, %v", result, err)
		}
		step.After = result.Last
	}
	database, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	wal, err := os.ReadFile(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	const header, frame = 32, 24 + 4096
	states := map[uint64]bool{}
	for cut := header; cut <= len(wal); cut += frame {
		copied := filepath.Join(t.TempDir(), "events.db")
		for name, content := range map[string][]byte{copied: database, copied + "-wal": wal[:cut]} {
			if err := os.WriteFile(name, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		left := openTest(t, copied, sqlite.Options{})
		count, err := left.Count(t.Context())
		purged := pillarbox.PurgedEvents(left.Purges())
		if err != nil || count+purged != total {
			t.Errorf("cut at %d: %d events are there and %d are purged of %d, %v", cut, count, purged,
				total, err)
		}
		states[purged] = true
		if err := left.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, purged := range []uint64{0, 10, 20, 30} {
		if !states[purged] {
			t.Errorf("no cut leaves %d events purged: %v", purged, states)
		}
	}
}

// TestPurgeThatIsRefusedDoesNothing: a step is done as a whole or not at all.
func TestPurgeThatIsRefusedDoesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.db")
	store := openTest(t, path, sqlite.Options{})
	events := enginetest.Events(10, 1)
	if err := store.Write(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	err := openDatabase(t, path).Exec(`CREATE TRIGGER keep BEFORE DELETE ON events WHEN OLD.request_id = '` +
		events[5].RequestID + `' BEGIN SELECT RAISE(ABORT, 'not this one'); END`)
	if err != nil {
		t.Fatal(err)
	}
	filter := pillarbox.PurgeFilter{Until: events[9].Timestamp + 1}
	start, err := store.BeginPurge(t.Context(), filter)
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.Purge(t.Context(), pillarbox.PurgeStep{PurgeFilter: filter, At: start.At})
	if err == nil || !strings.Contains(err.Error(), "not this one") {
		t.Errorf("purge: %v", err)
	}
	if count, err := store.Count(t.Context()); count != 10 || err != nil || len(store.Purges()) > 0 {
		t.Errorf("%d are left, %v, %+v are purged", count, err, store.Purges())
	}
	if err := store.Write(t.Context(), events); err != nil {
		t.Errorf("the store is of no use any more: %v", err)
	}
}

// TestPurgesAreAddedUp: a purge each day takes no more than MaxPurges rows, and none is forgotten.
func TestPurgesAreAddedUp(t *testing.T) {
	store := openTest(t, filepath.Join(t.TempDir(), "events.db"), sqlite.Options{})
	const more = 3
	events := enginetest.Events(sqlite.MaxPurges+more, 1)
	if err := store.Write(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	for i := range events {
		filter := pillarbox.PurgeFilter{Until: events[len(events)-1].Timestamp + 1}
		start, err := store.BeginPurge(t.Context(), filter)
		if err != nil {
			t.Fatal(err)
		}
		_, err = store.Purge(t.Context(),
			pillarbox.PurgeStep{PurgeFilter: filter, At: start.At, Limit: 1})
		if err != nil {
			t.Fatalf("purge %d: %v", i, err)
		}
	}
	purges := store.Purges()
	if total := pillarbox.PurgedEvents(purges); len(purges) != sqlite.MaxPurges ||
		total != uint64(len(events)) {
		t.Errorf("%d purges of %d events are remembered, want %d of %d", len(purges), total,
			sqlite.MaxPurges, len(events))
	}
	for _, event := range events {
		if _, covered := pillarbox.CoveredBy(purges, event.Source, event.Timestamp); !covered {
			t.Fatalf("event at %v is in no purge", event.Timestamp)
		}
	}
}
