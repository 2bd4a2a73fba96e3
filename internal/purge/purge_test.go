package purge_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/memory"
	"pillarbox/internal/purge"
)

const destination = "events"

func newPurger(queue pillarbox.Queue, sink pillarbox.Sink) *purge.Purger {
	return purge.New(purge.Options{Queue: queue,
		Sink: func(string) (pillarbox.Sink, error) { return sink, nil }})
}

// TestNothingThatIsPurgedComesBack: of ten events, three are stored and not settled, as after a
// crash, and two are not stored yet. The purge takes the five that are settled, and the others are
// there once the queue has delivered.
func TestNothingThatIsPurgedComesBack(t *testing.T) {
	ctx, queue, sink := t.Context(), memory.NewQueue(nil), memory.NewSink()
	events := enginetest.Events(10, 1)
	if _, err := queue.Account(destination); err != nil {
		t.Fatal(err)
	}
	if err := queue.Append(ctx, events); err != nil {
		t.Fatal(err)
	}
	leased, err := queue.Lease(ctx, destination,
		pillarbox.LeaseLimits{MaxEvents: 10, MaxBytes: 1 << 30})
	if err != nil || len(leased) != 10 {
		t.Fatalf("%d are leased, %v", len(leased), err)
	}
	if err := sink.Write(ctx, events[:8]); err != nil {
		t.Fatal(err)
	}
	var outcomes []pillarbox.Outcome
	for _, delivery := range leased[:5] {
		outcomes = append(outcomes,
			pillarbox.Outcome{Handle: delivery.Handle, Kind: pillarbox.OutcomeStored})
	}
	if err := queue.Settle(ctx, destination, outcomes); err != nil {
		t.Fatal(err)
	}
	request := purge.Request{Destination: destination, Until: events[9].Timestamp + 1, Rate: 1e6}
	progress, err := newPurger(queue, sink).Run(ctx, request, nil)
	if err != nil || progress.State != purge.StateDone || progress.Matched != 8 ||
		progress.Kept != 3 || progress.Purged != 5 {
		t.Errorf("%+v, %v; want 5 of 8 purged, 3 kept", progress, err)
	}
	if err := sink.Write(ctx, events[5:]); err != nil { // the queue delivers what is pending
		t.Fatal(err)
	}
	count, err := sink.Count(ctx)
	if purged := pillarbox.PurgedEvents(sink.Purges()); err != nil || count != 5 || purged != 5 {
		t.Errorf("%d are stored and %d are purged, %v; want 5 and 5", count, purged, err)
	}
}

// TestDryRunDeletesNothing, and counts.
func TestDryRunDeletesNothing(t *testing.T) {
	sink, events := memory.NewSink(), enginetest.Events(10, 2)
	if err := sink.Write(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	progress, err := newPurger(memory.NewQueue(nil), sink).Run(t.Context(), purge.Request{
		Destination: destination, Until: events[4].Timestamp, DryRun: true}, nil)
	if count, _ := sink.Count(t.Context()); err != nil || progress.Matched != 4 || count != 10 {
		t.Errorf("%+v, %v, %d are left; want 4 that match, and 10", progress, err, count)
	}
}

// large is a store whose steps delete what a file has: a thousand events, twice.
type large struct {
	*memory.Sink
	steps int
}

func (l *large) Traits() pillarbox.SinkTraits {
	return pillarbox.SinkTraits{Readable: true, Purges: true, PurgesFiles: true}
}

func (l *large) Purge(_ context.Context, step pillarbox.PurgeStep) (result pillarbox.PurgeResult, _ error) {
	if l.steps++; l.steps > 2 {
		return result, nil
	}
	return pillarbox.PurgeResult{Deleted: 1000, Last: pillarbox.Key{Timestamp: pillarbox.Timestamp(l.steps)}}, nil
}

// TestRateHoldsForWholeFiles: a step that takes more than its limit is waited for.
func TestRateHoldsForWholeFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		progress, err := newPurger(memory.NewQueue(nil), &large{Sink: memory.NewSink()}).Run(t.Context(),
			purge.Request{Destination: destination, Until: 10, Rate: 100}, nil)
		if err != nil || progress.Purged != 2000 {
			t.Errorf("%+v, %v", progress, err)
		}
		if took := time.Since(begun); took < 19*time.Second || took > 21*time.Second {
			t.Errorf("2,000 events at 100 a second take %v", took)
		}
	})
}

// eternal is a store that deletes nothing.
type eternal struct{ *memory.Sink }

func (eternal) Traits() pillarbox.SinkTraits { return pillarbox.SinkTraits{Readable: true} }

// TestStoreThatCannotBePurgedSaysSo, and so does a request without an age.
func TestStoreThatCannotBePurgedSaysSo(t *testing.T) {
	request := purge.Request{Destination: destination, Until: 1}
	if _, err := newPurger(memory.NewQueue(nil), eternal{memory.NewSink()}).Run(t.Context(), request,
		nil); !errors.Is(err, pillarbox.ErrInvalid) || !strings.Contains(err.Error(), "TTL") {
		t.Errorf("a store that can't be purged: %v", err)
	}
	_, err := newPurger(memory.NewQueue(nil), memory.NewSink()).Run(t.Context(),
		purge.Request{Destination: destination}, nil)
	if !errors.Is(err, pillarbox.ErrInvalid) {
		t.Errorf("without an age: %v", err)
	}
}
