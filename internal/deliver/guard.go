package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"pillarbox"
	"pillarbox/internal/telemetry"
)

// WriteGrace is how long a write may take to return after its time is over, before it counts as
// hanging.
const WriteGrace = time.Second

// Guard is a sink whose Write, Find and Remove return when their context ends, even if the engine
// can't: one that waits for a disk can't be called back. While such a write hangs, every other one
// is refused as unavailable at once, so that they don't pile up. What was given to the write is its
// own until it returns, and must not be changed. Its result is then dropped: its events were given
// back, come again, and the sink keeps one of each.
type Guard struct {
	pillarbox.Sink
	destination string
	logger      *slog.Logger

	mu      sync.Mutex
	hanging int       // writes that were left
	since   time.Time // when the oldest of them began
}

// NewGuard guards the sink of a destination, for everybody who writes to it. A nil logger discards.
func NewGuard(destination string, sink pillarbox.Sink, logger *slog.Logger) *Guard {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Guard{Sink: sink, destination: destination, logger: logger}
}

// Write implements pillarbox.Sink.
func (g *Guard) Write(ctx context.Context, events []*pillarbox.Event) error {
	return g.call(ctx, func() error { return g.Sink.Write(ctx, events) })
}

// Remove implements pillarbox.Sink.
func (g *Guard) Remove(ctx context.Context, keys []pillarbox.Key) error {
	return g.call(ctx, func() error { return g.Sink.Remove(ctx, keys) })
}

// Find implements pillarbox.EventFinder.
func (g *Guard) Find(ctx context.Context, requestID string) (*pillarbox.Event, error) {
	found := make(chan *pillarbox.Event, 1) // a call that was left may still find something
	if err := g.call(ctx, func() error {
		event, err := g.Sink.Find(ctx, requestID)
		found <- event
		return err
	}); err != nil {
		return nil, err
	}
	return <-found, nil
}

// call makes one of them.
func (g *Guard) call(ctx context.Context, do func() error) error {
	if since := g.Hanging(); since > 0 {
		return g.hangs(since)
	}
	began, returned := time.Now(), make(chan error, 1)
	go func() { returned <- do() }()
	select {
	case err := <-returned:
		return err
	case <-ctx.Done():
	}
	timer := time.NewTimer(WriteGrace)
	defer timer.Stop()
	select {
	case err := <-returned:
		return err
	case <-timer.C:
	}
	g.leave(began, returned)
	return fmt.Errorf("%w: %w", g.hangs(time.Since(began)), ctx.Err())
}

// Hanging returns for how long a write has not returned whose time is over; 0 where there is none.
func (g *Guard) Hanging() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.hanging == 0 {
		return 0
	}
	return time.Since(g.since)
}

func (g *Guard) hangs(since time.Duration) error {
	return fmt.Errorf("the destination has not answered for %d s (destinations.%s.write_timeout), and nothing more is written until it does: %w",
		int(since.Seconds()), g.destination, pillarbox.ErrUnavailable)
}

// leave goes on without a write.
func (g *Guard) leave(began time.Time, returned <-chan error) {
	g.mu.Lock()
	if g.hanging++; g.hanging == 1 {
		g.since = began
	}
	g.mu.Unlock()
	g.logger.Error("a destination does not answer, and nothing is written to it until it does",
		telemetry.KeyDestination, g.destination, telemetry.KeyAfter, time.Since(began).Round(
			time.Millisecond))
	go func() {
		err := <-returned
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			err = nil // says nothing
		}
		g.mu.Lock()
		g.hanging--
		g.mu.Unlock()
		g.logger.Warn("a destination answers again", telemetry.KeyDestination, g.destination,
			telemetry.KeyTook, time.Since(began).Round(time.Millisecond), telemetry.KeyErr, err)
	}()
}
