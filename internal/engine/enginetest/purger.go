package enginetest

import (
	"slices"
	"testing"

	"pillarbox"
)

// purger tests what a sink promises that deletes old events.
func purger(t *testing.T, opened func(t *testing.T) pillarbox.Sink) {
	t.Run("PurgeByAge", func(t *testing.T) { testPurgeByAge(t, opened(t)) })
	t.Run("PurgeBySource", func(t *testing.T) { testPurgeBySource(t, opened(t)) })
	t.Run("PurgeKeeps", func(t *testing.T) { testPurgeKeeps(t, opened(t)) })
	t.Run("PurgeLeavesWhatCameLater", func(t *testing.T) { testPurgeLater(t, opened(t)) })
	t.Run("PurgeByTimeOfWriting", func(t *testing.T) { testPurgeStoredBefore(t, opened(t)) })
	t.Run("PurgeOfNothing", func(t *testing.T) { testPurgeOfNothing(t, opened(t)) })
}

// purgeAll does the steps of a purge, limit events each.
func purgeAll(t *testing.T, sink pillarbox.Sink, filter pillarbox.PurgeFilter, limit int,
	keep map[pillarbox.Key]bool) (start pillarbox.PurgeStart, deleted uint64) {
	t.Helper()
	start, err := sink.BeginPurge(t.Context(), filter)
	if err != nil {
		t.Fatalf("begin a purge: %v", err)
	}
	step := pillarbox.PurgeStep{PurgeFilter: filter, At: start.At, Limit: limit, Keep: keep}
	for {
		result, err := sink.Purge(t.Context(), step)
		if err != nil {
			t.Fatalf("purge: %v", err)
		}
		if result.Deleted > uint64(limit) && !sink.Traits().PurgesFiles {
			t.Errorf("a step deletes %d events, and may %d", result.Deleted, limit)
		}
		deleted += result.Deleted
		if result.Last == (pillarbox.Key{}) {
			return start, deleted
		}
		step.After = result.Last
	}
}

func testPurgeByAge(t *testing.T, sink pillarbox.Sink) {
	events := Events(100, 70)
	write(t, sink, events)
	until := events[60].Timestamp
	old := slices.IndexFunc(events, func(e *pillarbox.Event) bool { return e.Timestamp >= until })
	start, deleted := purgeAll(t, sink, pillarbox.PurgeFilter{Until: until}, 7, nil)
	if start.Matched != uint64(old) || deleted != uint64(old) {
		t.Errorf("%d match and %d are deleted, want %d", start.Matched, deleted, old)
	}
	wantStored(t, sink, events[old:])
	purges := sink.Purges()
	if len(purges) != 1 || purges[0].At != start.At || purges[0].Events != uint64(old) ||
		pillarbox.PurgedEvents(purges) != uint64(old) {
		t.Fatalf("remembered are %+v, want %d events at %v", purges, old, start.At)
	}
	for i, event := range events {
		_, covered := pillarbox.CoveredBy(purges, event.Source, event.Timestamp)
		if covered != (i < old) {
			t.Errorf("event %d of %d old ones: covered by a purge is %v", i, old, covered)
		}
		if _, err := sink.Find(t.Context(), event.RequestID); (err != nil) != (i < old) {
			t.Errorf("find event %d of %d old ones: %v", i, old, err)
		}
	}
	again, deleted := purgeAll(t, sink, pillarbox.PurgeFilter{Until: until}, 7, nil)
	if again.Matched != 0 || deleted != 0 || len(sink.Purges()) != 1 {
		t.Errorf("again: %+v, %d deleted, remembered are %+v", again, deleted, sink.Purges())
	}
}

func testPurgeBySource(t *testing.T, sink pillarbox.Sink) {
	events := Events(40, 71)
	for i, event := range events {
		if event.Source = "a"; i%2 == 1 {
			event.Source = "b"
		}
	}
	write(t, sink, events)
	until := events[39].Timestamp + 1
	_, deleted := purgeAll(t, sink, pillarbox.PurgeFilter{Until: until, Source: "b"}, 500, nil)
	if count, err := sink.Count(t.Context()); err != nil || deleted != 20 || count != 20 {
		t.Errorf("%d are deleted, and %d are left, %v; want 20 of each", deleted, count, err)
	}
	for _, event := range list(t, sink, pillarbox.EventFilter{}) {
		if _, covered := pillarbox.CoveredBy(sink.Purges(), event.Source,
			event.Timestamp); covered || event.Source != "a" {
			t.Errorf("an event of source %s is left, covered: %v", event.Source, covered)
		}
	}
	if _, deleted := purgeAll(t, sink, pillarbox.PurgeFilter{Until: until}, 500, nil); deleted != 20 {
		t.Errorf("all sources: %d are deleted, want 20", deleted)
	}
	if purged := pillarbox.PurgedEvents(sink.Purges()); purged != 40 {
		t.Errorf("%d are remembered as purged, want 40", purged)
	}
}

func testPurgeKeeps(t *testing.T, sink pillarbox.Sink) {
	events := Events(20, 72)
	write(t, sink, events)
	keep := map[pillarbox.Key]bool{events[3].Key(): true, events[12].Key(): true}
	_, deleted := purgeAll(t, sink, pillarbox.PurgeFilter{Until: events[19].Timestamp + 1}, 3, keep)
	if deleted != 18 {
		t.Errorf("%d are deleted, want 18", deleted)
	}
	wantStored(t, sink, []*pillarbox.Event{events[3], events[12]})
}

// What is written while a purge runs has perhaps waited for longer than its bound.
func testPurgeLater(t *testing.T, sink pillarbox.Sink) {
	events := Events(20, 73)
	write(t, sink, events[10:])
	filter := pillarbox.PurgeFilter{Until: events[19].Timestamp + 1}
	start, err := sink.BeginPurge(t.Context(), filter)
	if err != nil {
		t.Fatal(err)
	}
	write(t, sink, events[:10])
	result, err := sink.Purge(t.Context(), pillarbox.PurgeStep{PurgeFilter: filter, At: start.At})
	if err != nil || result.Deleted != 10 {
		t.Errorf("%+v, %v; want 10 deleted", result, err)
	}
	wantStored(t, sink, events[:10])
}

func testPurgeStoredBefore(t *testing.T, sink pillarbox.Sink) {
	events := Events(10, 74)
	write(t, sink, events)
	filter := pillarbox.PurgeFilter{Until: events[9].Timestamp + 1, StoredBefore: 1}
	if start, deleted := purgeAll(t, sink, filter, 500, nil); start.Matched != 0 || deleted != 0 {
		t.Errorf("%d match, %d are deleted; all were written later", start.Matched, deleted)
	}
	wantStored(t, sink, events)
}

func testPurgeOfNothing(t *testing.T, sink pillarbox.Sink) {
	_, deleted := purgeAll(t, sink, pillarbox.PurgeFilter{Until: 1}, 500, nil)
	if deleted != 0 || len(sink.Purges()) != 0 {
		t.Errorf("%d are deleted of an empty store, remembered are %+v", deleted, sink.Purges())
	}
}

// PurgeDurable tests that what was purged, and that it was, are there when the store is opened
// again. place is that of SinkDurable.
func PurgeDurable(t *testing.T, place func(t *testing.T) (open func() pillarbox.Sink)) {
	open := place(t)
	events := Events(50, 75)
	store := open()
	write(t, store, events)
	purgeAll(t, store, pillarbox.PurgeFilter{Until: events[30].Timestamp}, 10, nil)
	want := store.Purges()
	closeTwice(t, store)
	store = open()
	defer closeTwice(t, store)
	if got := store.Purges(); len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("remembered are %+v, were %+v", got, want)
	}
	count, err := store.Count(t.Context())
	if err != nil || count+pillarbox.PurgedEvents(want) != uint64(len(events)) {
		t.Errorf("%d are left, %v, and %+v were purged of %d", count, err, want, len(events))
	}
}
