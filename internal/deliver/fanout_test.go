package deliver_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/benchmark/turns"
	"pillarbox/internal/deliver"
	"pillarbox/internal/destination"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/memory"
	"pillarbox/internal/engine/seglog"
	"pillarbox/internal/engine/sqlite"
	"pillarbox/internal/vfs"
)

// dead is a destination that does not answer.
type dead struct{ pillarbox.SinkDefaults }

func (dead) Write(ctx context.Context, _ []*pillarbox.Event) error {
	return fmt.Errorf("connection refused: %w", pillarbox.ErrUnavailable)
}

func (dead) Close() error { return nil }

// fanOut delivers events from a log to so many SQLite stores, beside one more destination that is down
// if there is to be one, and returns how long the stores took for all of them.
func fanOut(t testing.TB, stores, events int, down bool) time.Duration {
	t.Helper()
	dir := t.TempDir()
	disk, err := vfs.OpenDisk(dir)
	if err != nil {
		t.Fatal(err)
	}
	log, err := seglog.Open(disk, "queue", seglog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	sinks := map[string]pillarbox.Sink{}
	for i := range stores {
		name := fmt.Sprintf("store%d", i)
		if sinks[name], err = sqlite.Open(t.Context(), filepath.Join(dir, name+".db"), sqlite.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	if down {
		sinks["down"] = dead{}
	}
	for name := range sinks {
		if err := log.Oblige(t.Context(), name, pillarbox.Rule{}); err != nil {
			t.Fatal(err)
		}
	}
	for chunk := range slices.Chunk(enginetest.Events(events, 1), 1000) {
		if err := log.Append(t.Context(), chunk); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	began := time.Now()
	for name, sink := range sinks {
		loop := deliver.NewLoop(deliver.Options{Destination: destination.New(destination.Settings{Name: name}), Queue: log, Sink: sink,
			Letters: memory.NewDeadLetters()})
		running.Go(func() { _ = loop.Run(ctx) })
	}
	for name := range sinks {
		for name != "down" {
			account, err := log.Account(name)
			if err != nil {
				t.Fatal(err)
			}
			if account.Stored == uint64(events) {
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
	took := time.Since(began)
	cancel()
	running.Wait()
	for _, sink := range sinks {
		if err := sink.Close(); err != nil {
			t.Error(err)
		}
	}
	if account, err := log.Account("down"); down && (err != nil || account.Pending != uint64(events)) {
		t.Errorf("the one that is down: %+v, %v", account, err)
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
	if err := disk.Close(); err != nil {
		t.Error(err)
	}
	return took
}

// TestADeadDestinationHoldsUpNobody: the others get everything while it gets nothing.
func TestADeadDestinationHoldsUpNobody(t *testing.T) {
	fanOut(t, 2, 2000, true)
}

// BenchmarkFanOut compares four stores beside a destination that is down with the four alone.
func BenchmarkFanOut(b *testing.B) {
	const stores, events = 4, 10_000
	side := func(down bool) turns.Side {
		return func(int) (int, time.Duration) { return stores * events, fanOut(b, stores, events, down) }
	}
	turns.Measure(b, side(true), side(false))
}
