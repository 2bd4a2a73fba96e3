package deliver_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox"
	"pillarbox/internal/deliver"
	"pillarbox/internal/destination"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/memory"
	"pillarbox/internal/retry"
)

// deaf is a sink that does not listen to its context, as one that waits for a disk can't. It looks
// at its events only when it is released.
type deaf struct {
	*memory.Sink
	armed   atomic.Bool
	writes  atomic.Int64 // that are under way
	most    atomic.Int64
	release chan struct{}
}

func (d *deaf) Write(_ context.Context, events []*pillarbox.Event) error {
	d.most.Store(max(d.most.Load(), d.writes.Add(1)))
	defer d.writes.Add(-1)
	if d.armed.CompareAndSwap(true, false) {
		<-d.release
	}
	return d.Sink.Write(context.Background(), events)
}

// TestHangingWrite lets a write hang for an hour. The loop goes on after its time and a little,
// says so, begins no other one, and spends no attempt; a replay is refused at once; a stop does not
// wait. When the write returns, everything is stored once.
func TestHangingWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue, letters := memory.NewQueue(nil), memory.NewDeadLetters()
		if _, err := queue.Account("events"); err != nil {
			t.Fatal(err)
		}
		sink := &deaf{Sink: memory.NewSink(), release: make(chan struct{})}
		guard := deliver.NewGuard("events", sink, nil)
		loop := deliver.NewLoop(deliver.Options{
			Queue: queue, Sink: guard, Letters: letters, Destination: destination.New(destination.Settings{
				Name: "events", WriteTimeout: 4 * time.Second, Probe: retry.Breaker{ProbeInitial: time.Second,
					ProbeMax: 30 * time.Second},
			}),
		})
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		ended := make(chan error, 1)
		go func() { ended <- loop.Run(ctx) }()
		sink.armed.Store(true)
		events := enginetest.Events(100, 1)
		if err := queue.Append(ctx, events); err != nil {
			t.Fatal(err)
		}
		time.Sleep(4*time.Second + deliver.WriteGrace + 500*time.Millisecond)
		if status := loop.Status(); status.State != deliver.StateDown ||
			status.Hanging < 5*time.Second ||
			!strings.Contains(status.LastError, "destinations.events.write_timeout") {
			t.Errorf("status %+v", status)
		}
		time.Sleep(time.Hour)
		began := time.Now()
		if _, down := deliver.Once(ctx, guard, events[:2], deliver.Moment{Now: began}, destination.New(destination.Settings{WriteTimeout: 4 * time.Second})); !errors.Is(down,
			pillarbox.ErrUnavailable) || time.Since(began) > 0 {
			t.Errorf("a replay meanwhile: %v after %s", down, time.Since(began))
		}
		if most := sink.most.Load(); most != 1 {
			t.Errorf("%d writes at a time", most)
		}
		close(sink.release)
		time.Sleep(time.Minute)
		if status := loop.Status(); status.State != deliver.StateDelivering || status.Hanging != 0 {
			t.Errorf("afterwards %+v", status)
		}
		account, err := queue.Account("events")
		if count, countErr := sink.Count(ctx); err != nil || countErr != nil || count != 100 ||
			account.Stored != 100 || account.Retrying != 0 {
			t.Errorf("%d are stored, %+v, %v", count, account, errors.Join(err, countErr))
		}
		loop.Drain()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestStopLeavesAHangingWrite cancels the loop while a write hangs that has much time left.
func TestStopLeavesAHangingWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := memory.NewQueue(nil)
		if _, err := queue.Account("events"); err != nil {
			t.Fatal(err)
		}
		sink := &deaf{Sink: memory.NewSink(), release: make(chan struct{})}
		loop := deliver.NewLoop(deliver.Options{
			Destination: destination.New(destination.Settings{Name: "events",
				WriteTimeout: time.Hour}), Queue: queue, Sink: sink, Letters: memory.NewDeadLetters()})
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- loop.Run(ctx) }()
		sink.armed.Store(true)
		if err := queue.Append(ctx, enginetest.Events(1, 1)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		began := time.Now()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) || time.Since(began) > deliver.WriteGrace {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		close(sink.release)
		synctest.Wait()
	})
}
