package seglog_test

import (
	"context"
	"sync/atomic"
	"testing"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/seglog"
	"pillarbox/internal/vfs"
)

// benchRound is how many events a benchmark appends before they are delivered and their segments
// removed, so that it needs no more room on the disk the longer it runs.
const benchRound = 20_000

func openBench(b *testing.B) *seglog.Log {
	b.Helper()
	disk, err := vfs.OpenDisk(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	l, err := seglog.Open(disk, "queue",
		seglog.Options{KeepBytes: -1, MinFreeBytes: 1, ManualMaintenance: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := l.Close(); err != nil {
			b.Error(err)
		}
		_ = disk.Close()
	})
	if _, err := l.Account("events"); err != nil {
		b.Fatal(err)
	}
	return l
}

// deliver leases and settles so many events.
func deliver(b *testing.B, l *seglog.Log, n, batch int) {
	b.Helper()
	ctx := context.Background()
	for n > 0 {
		deliveries, err := l.Lease(ctx, "events", pillarbox.LeaseLimits{MaxEvents: min(n, batch)})
		if err != nil {
			b.Fatal(err)
		}
		outcomes := make([]pillarbox.Outcome, len(deliveries))
		for i := range deliveries {
			outcomes[i] = pillarbox.Outcome{
				Handle: deliveries[i].Handle, Kind: pillarbox.OutcomeStored,
			}
		}
		if err := l.Settle(ctx, "events", outcomes); err != nil {
			b.Fatal(err)
		}
		n -= len(deliveries)
	}
}

func benchEvents(n int) []*pillarbox.Event {
	events := enginetest.Events(n, 1)
	for _, event := range events {
		event.Body = make([]byte, 512)
	}
	return events
}

// BenchmarkAppend has one caller append one event at a time, as the event loop does with a lone
// request.
func BenchmarkAppend(b *testing.B) {
	benchAppend(b, 1)
}

// BenchmarkAppendBatch appends 64 events with one call, as a busy turn of the event loop does.
func BenchmarkAppendBatch(b *testing.B) {
	benchAppend(b, 64)
}

func benchAppend(b *testing.B, size int) {
	l, events, ctx := openBench(b), benchEvents(size), context.Background()
	b.ReportAllocs()
	appended := 0
	for b.Loop() {
		if err := l.AppendInline(ctx, events); err != nil {
			b.Fatal(err)
		}
		if appended += size; appended >= benchRound {
			b.StopTimer()
			deliver(b, l, appended, 1000)
			l.Maintain()
			appended = 0
			b.StartTimer()
		}
	}
}

// BenchmarkAppendTogether has 16 callers at a time, which share their commits.
func BenchmarkAppendTogether(b *testing.B) {
	l, events, ctx := openBench(b), benchEvents(1), context.Background()
	b.ReportAllocs()
	b.SetParallelism(8)
	var appended atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := l.Append(ctx, events); err != nil {
				b.Error(err)
				return
			}
			appended.Add(1)
		}
	})
	if stats := l.Stats(); stats.Accepted != uint64(appended.Load()) {
		b.Errorf("%d events were appended, and %d accepted", appended.Load(), stats.Accepted)
	}
}

// BenchmarkDeliver leases and settles a batch of 100 events.
func BenchmarkDeliver(b *testing.B) {
	const batch = 100
	l, events, ctx := openBench(b), benchEvents(batch), context.Background()
	b.ReportAllocs()
	ready := 0
	for b.Loop() {
		if ready == 0 {
			b.StopTimer()
			l.Maintain()
			for ; ready < benchRound; ready += batch {
				if err := l.AppendInline(ctx, events); err != nil {
					b.Fatal(err)
				}
			}
			b.StartTimer()
		}
		deliver(b, l, batch, batch)
		ready -= batch
	}
}
