package enginetest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"pillarbox"
)

// Sink tests what a sink promises, by its Traits: what it says that it can do, and that the rest
// fails as it must. open returns a fresh, empty store.
func Sink(t *testing.T, open func(t *testing.T) pillarbox.Sink) {
	opened := func(t *testing.T) pillarbox.Sink {
		sink := open(t)
		t.Cleanup(func() { closeTwice(t, sink) })
		return sink
	}
	t.Run("WriteOfNothing", func(t *testing.T) { write(t, opened(t), nil) })
	t.Run("WriteAgain", func(t *testing.T) { testWriteAgain(t, opened(t)) })
	t.Run("WriteConcurrently", func(t *testing.T) { testWriteConcurrently(t, opened(t)) })
	t.Run("WriteChangesNothing", func(t *testing.T) { testWriteChangesNothing(t, opened(t)) })
	t.Run("WriteCancelled", func(t *testing.T) { testWriteCancelled(t, opened(t)) })
	t.Run("WriteAfterClose", func(t *testing.T) { testWriteAfterClose(t, opened(t)) })
	t.Run("CloseWhileWriting", func(t *testing.T) { testCloseWhileWriting(t, opened(t)) })
	t.Run("Traits", func(t *testing.T) { testSinkTraits(t, opened(t)) })
	probe := open(t)
	traits := probe.Traits()
	closeTwice(t, probe)
	if traits.Readable {
		eventStore(t, opened)
	}
	if traits.Purges {
		purger(t, opened)
	}
	if traits.Removes {
		remover(t, opened)
	}
	if traits.Identified {
		t.Run("Identity", func(t *testing.T) { testIdentity(t, opened(t), opened(t)) })
	}
}

func closeTwice(t *testing.T, store interface{ Close() error }) {
	t.Helper()
	for range 2 {
		if err := store.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
}

func write(t *testing.T, sink pillarbox.Sink, events []*pillarbox.Event) {
	t.Helper()
	if err := sink.Write(t.Context(), events); err != nil {
		t.Fatalf("write %d events: %v", len(events), err)
	}
}

// A delivery comes again after a crash: the write that changes nothing succeeds like the first one.
func testWriteAgain(t *testing.T, sink pillarbox.Sink) {
	events := Events(50, 1)
	write(t, sink, events[:1])
	write(t, sink, events[:1])
	write(t, sink, events)
	write(t, sink, []*pillarbox.Event{events[3], events[3], Clone(events[3])})
}

func testWriteConcurrently(t *testing.T, sink pillarbox.Sink) {
	events := Events(400, 2)
	writeConcurrently(t, sink, events)
}

// writeConcurrently writes overlapping windows of the events from several goroutines.
func writeConcurrently(t *testing.T, sink pillarbox.Sink, events []*pillarbox.Event) {
	t.Helper()
	const writers, window = 8, 60
	var group sync.WaitGroup
	for writer := range writers {
		group.Go(func() {
			for at := writer * 7 % window; at < len(events); at += window / 2 {
				if err := sink.Write(t.Context(),
					events[max(0, at-window/2):min(at+window, len(events))]); err != nil {
					t.Errorf("writer %d: %v", writer, err)
				}
			}
		})
	}
	group.Wait()
}

func testWriteChangesNothing(t *testing.T, sink pillarbox.Sink) {
	events, want := Events(40, 3), Events(40, 3)
	// A sink that orders its batch must not do so in the caller's slice.
	events[0], events[39] = events[39], events[0]
	want[0], want[39] = want[39], want[0]
	write(t, sink, events)
	for i := range events {
		if diff := Diff(events[i], want[i]); diff != "" {
			t.Errorf("write changed event %d: %s", i, diff)
		}
	}
}

// A cancelled write blames no event: its error is the context's own, or says that the destination
// is down.
func testWriteCancelled(t *testing.T, sink pillarbox.Sink) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	events := Events(10, 4)
	err := sink.Write(ctx, events)
	if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, pillarbox.ErrUnavailable) {
		t.Errorf("write with a cancelled context: %v", err)
	}
	if pillarbox.IsPermanent(err) {
		t.Errorf("write with a cancelled context blames an event: %v", err)
	}
	write(t, sink, events)
}

func testWriteAfterClose(t *testing.T, sink pillarbox.Sink) {
	events := Events(2, 5)
	write(t, sink, events[:1])
	closeTwice(t, sink)
	for _, batch := range [][]*pillarbox.Event{events, nil} {
		if err := sink.Write(t.Context(), batch); !errors.Is(err, pillarbox.ErrClosed) {
			t.Errorf("write of %d events after close: %v, want ErrClosed", len(batch), err)
		}
	}
}

// Close may come at any moment: writes that lose the race say so, and nothing panics.
func testCloseWhileWriting(t *testing.T, sink pillarbox.Sink) {
	events := Events(200, 6)
	started := make(chan struct{}, 4)
	var group sync.WaitGroup
	for range cap(started) {
		group.Go(func() {
			started <- struct{}{}
			for at := range events {
				err := sink.Write(t.Context(), events[at:at+1])
				if errors.Is(err, pillarbox.ErrClosed) {
					return
				}
				if err != nil {
					t.Errorf("write while closing: %v", err)
					return
				}
			}
		})
	}
	<-started
	closeTwice(t, sink)
	group.Wait()
}
