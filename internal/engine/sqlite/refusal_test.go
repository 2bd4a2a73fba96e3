package sqlite_test

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/sqlite"
)

// A rule that somebody added to the table refuses the rows it is about, and no others. The rows
// stand at the start, in the middle and at the end of the statements that insert several.
func TestRefusedRowsAreNamed(t *testing.T) {
	bad := []int{0, 9, 14, 15, 37, 38}
	for name, test := range map[string]struct {
		rule      string
		permanent bool
		message   string
	}{
		"abort": {
			"CREATE TRIGGER rule BEFORE INSERT ON events WHEN new.query = 'bad' BEGIN SELECT RAISE(ABORT, 'no such amount'); END",
			true, "no such amount",
		},
		"fail": {
			"CREATE TRIGGER rule BEFORE INSERT ON events WHEN new.query = 'bad' BEGIN SELECT RAISE(FAIL, 'no such amount'); END",
			true, "no such amount",
		},
		"abort after": {
			"CREATE TRIGGER rule AFTER INSERT ON events WHEN new.query = 'bad' BEGIN SELECT RAISE(ABORT, 'no such amount'); END",
			true, "no such amount",
		},
		"ignore": {
			"CREATE TRIGGER rule BEFORE INSERT ON events WHEN new.query = 'bad' BEGIN SELECT RAISE(IGNORE); END",
			true, "ignores it",
		},
		"unique": {
			"CREATE UNIQUE INDEX rule ON events (query) WHERE query = 'bad'; INSERT INTO events (timestamp, request_id, query) VALUES ('', '', 'bad')",
			true, "UNIQUE",
		},
		"trigger that fails": {
			"CREATE TRIGGER rule BEFORE INSERT ON events WHEN new.query = 'bad' BEGIN SELECT json_extract('{', '$.a'); END",
			false, "malformed JSON",
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "events.db")
			store := openTest(t, path, sqlite.Options{})
			other := openDatabase(t, path)
			run(t, other, test.rule)
			events := enginetest.Events(39, 1)
			for _, i := range bad {
				events[i].Query = "bad"
			}
			for range 2 { // what comes again is told the same
				refused := refusedRows(t, store.Write(t.Context(), events))
				if got := indexes(refused); !slices.Equal(got, bad) {
					t.Fatalf("refused rows %v, want %v", got, bad)
				}
				for _, item := range refused {
					if pillarbox.IsPermanent(item.Err) != test.permanent ||
						!strings.Contains(item.Err.Error(), test.message) {
						t.Errorf("row %d: permanent %v, %v", item.Index, pillarbox.IsPermanent(item.Err), item.Err)
					}
				}
			}
			if got := value(t, other, "SELECT count(*) FROM events WHERE timestamp != ''"); got != "33" {
				t.Errorf("%s rows are stored, want 33", got)
			}
			// Alone, the event is refused like among others, and once the rule is gone it is stored.
			if got := indexes(refusedRows(t, store.Write(t.Context(), events[9:10]))); !slices.Equal(got,
				[]int{0}) {
				t.Errorf("alone: refused rows %v", got)
			}
			run(t, other, "DROP TRIGGER IF EXISTS rule; DROP INDEX IF EXISTS rule; DELETE FROM events WHERE timestamp = ''")
			write(t, store, events...)
			wantCount(t, store, len(events))
		})
	}
}

func refusedRows(t *testing.T, err error) []pillarbox.ItemError {
	t.Helper()
	var batch *pillarbox.BatchError
	if !errors.As(err, &batch) || errors.Is(err, pillarbox.ErrUnavailable) {
		t.Fatalf("write: %v, want a BatchError", err)
	}
	return batch.Items
}

func indexes(items []pillarbox.ItemError) []int {
	var found []int
	for _, item := range items {
		found = append(found, item.Index)
	}
	return found
}

// RAISE(ROLLBACK) undoes the transaction: the batch is refused as a whole, and splitting it finds
// the row.
func TestRollbackRefusesTheWholeBatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.db")
	store := openTest(t, path, sqlite.Options{})
	run(t, openDatabase(t, path),
		"CREATE TRIGGER rule BEFORE INSERT ON events WHEN new.query = 'bad' BEGIN SELECT RAISE(ROLLBACK, 'out with it'); END")
	events := enginetest.Events(30, 1)
	events[17].Query = "bad"
	for _, batch := range [][]*pillarbox.Event{events, events[17:18]} {
		err := store.Write(t.Context(), batch)
		var items *pillarbox.BatchError
		if !pillarbox.IsPermanent(err) || errors.As(err, &items) ||
			!strings.Contains(err.Error(), "out with it") {
			t.Errorf("write of %d: %v, want a refusal of the whole", len(batch), err)
		}
		wantCount(t, store, 0)
	}
	write(t, store, events[:17]...)
	write(t, store, events[18:]...)
	wantCount(t, store, 29)
}

// An event whose time can't be written is refused; the others are stored.
func TestTimeOutsideTheCalendarIsRefused(t *testing.T) {
	store := openTest(t, filepath.Join(t.TempDir(), "events.db"), sqlite.Options{})
	events := enginetest.Events(3, 1)
	events[1].Timestamp = 1 << 62
	refused := refusedRows(t, store.Write(t.Context(), events))
	if len(refused) != 1 || refused[0].Index != 1 || !pillarbox.IsPermanent(refused[0].Err) {
		t.Errorf("refused: %v", refused)
	}
	wantCount(t, store, 2)
}

// A table that no longer fits is the database's fault, not the events': nothing is blamed, and
// nothing is made anew behind the back of the person at work there.
func TestChangedTableIsAnOutage(t *testing.T) {
	for name, change := range map[string][2]string{
		"renamed table": {"ALTER TABLE events RENAME TO elsewhere",
			"ALTER TABLE elsewhere RENAME TO events"},
		"renamed column": {"ALTER TABLE events RENAME COLUMN body TO content",
			"ALTER TABLE events RENAME COLUMN content TO body"},
		"dropped column": {"ALTER TABLE events DROP COLUMN traceparent", ""},
		"broken trigger": {"CREATE TRIGGER rule AFTER INSERT ON events BEGIN INSERT INTO nowhere VALUES (1); END", "DROP TRIGGER rule"},
		"missing id list": {"ALTER TABLE event_ids RENAME TO elsewhere",
			"ALTER TABLE elsewhere RENAME TO event_ids"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "events.db")
			store := openTest(t, path, sqlite.Options{})
			events := enginetest.Events(30, 1)
			events[25].RequestID = "odd"
			write(t, store, events[:10]...)
			other := openDatabase(t, path)
			run(t, other, change[0])
			for range 2 {
				err := store.Write(t.Context(), events)
				if !errors.Is(err, pillarbox.ErrUnavailable) || pillarbox.IsPermanent(err) ||
					!strings.Contains(err.Error(), "table") {
					t.Errorf("write: %v, want ErrUnavailable and a word on the table", err)
				}
			}
			if change[1] == "" {
				return
			}
			run(t, other, change[1])
			write(t, store, events...)
			wantCount(t, store, len(events))
		})
	}
}
