package parquet_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/parquet"
)

// purgeAll purges all that is older than a time, and returns in how many steps.
func purgeAll(t *testing.T, store *parquet.Store, until pillarbox.Timestamp) (deleted uint64, steps int) {
	t.Helper()
	filter := pillarbox.PurgeFilter{Until: until}
	start, err := store.BeginPurge(t.Context(), filter)
	must(t, err)
	step := pillarbox.PurgeStep{PurgeFilter: filter, At: start.At}
	for {
		result, err := store.Purge(t.Context(), step)
		must(t, err)
		if result.Last == (pillarbox.Key{}) {
			return deleted, steps
		}
		steps++
		deleted += result.Deleted
		step.After = result.Last
	}
}

// hours writes the events as one batch for each of so many hours.
func hours(t *testing.T, store *parquet.Store, n int) []*pillarbox.Event {
	t.Helper()
	events := enginetest.Events(n*10, 95)
	for i, e := range events {
		e.Source = "app"
		e.Timestamp += pillarbox.Timestamp(i/10) * 3_600_000_000
	}
	for some := range slices.Chunk(events, 10) {
		must(t, store.Write(t.Context(), some))
	}
	return events
}

// What is purged is gone from the disk when the step returns, without a grace: whole files, and the file
// that has events on both sides of the bound.
func TestPurgedIsGoneAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "events")
	store := parquet.Open(dir, parquet.Options{Unmaintained: true, Grace: time.Hour})
	events := hours(t, store, 4)
	glob := func() []string {
		files, err := filepath.Glob(filepath.Join(dir, "source=*/day=*/hour=*/*.parquet"))
		must(t, err)
		return files
	}
	before := glob()
	if deleted, steps := purgeAll(t, store, events[25].Timestamp); deleted != 25 || steps != 2 {
		t.Errorf("%d are deleted in %d steps, want 25 in 2: two files at once, and the half of one", deleted, steps)
	}
	left := glob()
	same := 0
	for _, name := range left {
		if slices.Contains(before, name) {
			same++
		}
	}
	if len(left) != 2 || same != 1 {
		t.Errorf("%d files are left, %d of them as before; want 2 and 1", len(left), same)
	}
	must(t, store.Maintain(t.Context()))
	found, err := store.List(t.Context(), pillarbox.EventFilter{})
	if err != nil || len(found) != 15 {
		t.Errorf("%d events are left, %v", len(found), err)
	}
	must(t, store.Close())
}

// A purge that was begun in an earlier life goes on: it looks into the files then.
func TestPurgeGoesOnInTheNextLife(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "events")
	store := parquet.Open(dir, parquet.Options{Unmaintained: true})
	events := hours(t, store, 3)
	filter := pillarbox.PurgeFilter{Until: events[29].Timestamp + 1}
	start, err := store.BeginPurge(t.Context(), filter)
	must(t, err)
	must(t, store.Close())
	store = parquet.Open(dir, parquet.Options{Unmaintained: true})
	late := enginetest.Clone(events[29])
	late.RequestID, late.Timestamp = late.RequestID+"1", events[0].Timestamp
	must(t, store.Write(t.Context(), []*pillarbox.Event{late}))
	step, deleted := pillarbox.PurgeStep{PurgeFilter: filter, At: start.At}, uint64(0)
	for {
		result, err := store.Purge(t.Context(), step)
		must(t, err)
		if deleted += result.Deleted; result.Last == (pillarbox.Key{}) {
			break
		}
	}
	if count, err := store.Count(t.Context()); err != nil || deleted != 30 || count != 1 {
		t.Errorf("%d are deleted and %d are left, %v; want 30, and what came later", deleted, count, err)
	}
	must(t, store.Close())
}

// A file that is damaged stops a purge that has to look into it, with its name. One that goes as a whole
// goes.
func TestPurgeAndDamagedFiles(t *testing.T) {
	dir, events, files := stored(t)
	must(t, os.Truncate(files[1], 100))
	store := parquet.Open(dir, parquet.Options{Unmaintained: true})
	defer store.Close()
	if _, err := store.BeginPurge(t.Context(), pillarbox.PurgeFilter{Until: events[15].Timestamp}); !errors.Is(err, pillarbox.ErrCorrupt) {
		t.Errorf("half of a damaged file: %v, want ErrCorrupt", err)
	}
	if deleted, _ := purgeAll(t, store, events[19].Timestamp+1); deleted != 20 {
		t.Errorf("%d are deleted, want all 20", deleted)
	}
}

// A purge each day takes no more than MaxPurges places, and none is forgotten.
func TestPurgesAreAddedUp(t *testing.T) {
	var steps []pillarbox.Purge
	for i := range pillarbox.Timestamp(parquet.MaxPurges + 5) {
		for range 2 { // two steps of each
			steps = append(steps, pillarbox.Purge{At: i, Source: []string{"", "app"}[i%2], Until: i, Events: 1})
		}
	}
	purges := parquet.RecordPurges(steps)
	if total := pillarbox.PurgedEvents(purges); len(purges) != parquet.MaxPurges || total != uint64(len(steps)) {
		t.Errorf("%d purges with %d events, want %d with %d", len(purges), total, parquet.MaxPurges, len(steps))
	}
}
