package enginetest

import (
	"context"
	"errors"
	"testing"

	"pillarbox"
)

// remover tests what a sink promises that can take back what was written.
func remover(t *testing.T, opened func(t *testing.T) pillarbox.Sink) {
	t.Run("RemoveLeavesTheOthers", func(t *testing.T) { testRemove(t, opened(t)) })
	t.Run("RemovedMayComeAgain", func(t *testing.T) { testRemoveAndWrite(t, opened(t)) })
	t.Run("RemoveCancelledOrClosed", func(t *testing.T) { testRemoveCancelled(t, opened(t)) })
}

func keysOf(events []*pillarbox.Event) (keys []pillarbox.Key) {
	for _, event := range events {
		keys = append(keys, event.Key())
	}
	return keys
}

func testRemove(t *testing.T, sink pillarbox.Sink) {
	events := Events(20, 81)
	write(t, sink, events[:15])
	before := sink.Identity()
	// Those from 15 on are not there, and one comes twice.
	keys := append(keysOf(events[10:]), events[10].Key())
	for range 2 {
		if err := sink.Remove(t.Context(), keys); err != nil {
			t.Fatalf("remove: %v", err)
		}
	}
	wantStored(t, sink, events[:10])
	if purges := sink.Purges(); len(purges) > 0 {
		t.Errorf("what was removed is remembered as purged: %+v", purges)
	}
	if after := sink.Identity(); after != before {
		t.Errorf("the store was %+v and is %+v: it would be taken for an older copy", before, after)
	}
	if err := sink.Remove(t.Context(), nil); err != nil {
		t.Errorf("remove nothing: %v", err)
	}
}

func testRemoveAndWrite(t *testing.T, sink pillarbox.Sink) {
	events := Events(4, 82)
	for range 2 {
		write(t, sink, events)
		if err := sink.Remove(t.Context(), keysOf(events[1:3])); err != nil {
			t.Fatalf("remove: %v", err)
		}
		if _, err := sink.Find(t.Context(), events[1].RequestID); !errors.Is(
			err,
			pillarbox.ErrNotFound,
		) {
			t.Errorf("find what was removed: %v", err)
		}
	}
	write(t, sink, events)
	wantStored(t, sink, events)
}

func testRemoveCancelled(t *testing.T, sink pillarbox.Sink) {
	events := Events(2, 83)
	write(t, sink, events)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sink.Remove(ctx, keysOf(events)); !errors.Is(err, context.Canceled) {
		t.Errorf("remove without time: %v", err)
	}
	wantStored(t, sink, events)
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	if err := sink.Remove(t.Context(), keysOf(events)); !errors.Is(err, pillarbox.ErrClosed) {
		t.Errorf("remove after the end: %v", err)
	}
}
