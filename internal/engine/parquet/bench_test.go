package parquet_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/benchmark/turns"
	"pillarbox/internal/engine/parquet"
	"pillarbox/internal/engine/sqlite"
)

// batch makes the next events: the same content under new keys, later than the ones before.
func batch(n, size int) []*pillarbox.Event {
	events := make([]*pillarbox.Event, size)
	for i := range events {
		at := time.UnixMicro(1_795_443_120_000_000 + int64(n*size+i)*7)
		milliseconds := at.UnixMilli()
		events[i] = &pillarbox.Event{
			Timestamp: pillarbox.TimestampOf(at), Source: "app", Method: "POST", Path: "/app", ContentType: "application/json", RemoteAddr: "203.0.113.7",
			RequestID: fmt.Sprintf("%08x-%04x-7000-8000-%012x", milliseconds>>16, milliseconds&0xffff, uint64(n*size+i)*0x9e3779b97f4a7c15>>16),
			Header:    pillarbox.Header{{Name: "Content-Type", Value: "application/json"}, {Name: "User-Agent", Value: "bench"}},
			Body:      fmt.Appendf(nil, `{"n":%d,"text":"%0150d","rand":%d}`, i, n, uint64(i)*0x9e3779b97f4a7c15),
		}
	}
	return events
}

// The sizes of the default batches of the two engines.
const (
	parquetBatch = 50_000
	sqliteBatch  = 1000
	sqliteShare  = 10 // batches: a fifth of the rows is enough to know its rate
)

// BenchmarkWrite compares Write with that of package sqlite, in turns, each with the batches that it
// gets by default.
func BenchmarkWrite(b *testing.B) {
	store := parquet.Open(filepath.Join(b.TempDir(), "events"), parquet.Options{})
	defer store.Close()
	other, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "events.db"), sqlite.Options{})
	must(b, err)
	defer other.Close()
	turns.Measure(b, func(n int) (int, time.Duration) {
		events := batch(n, parquetBatch)
		start := time.Now()
		must(b, store.Write(b.Context(), events))
		return parquetBatch, time.Since(start)
	}, func(n int) (int, time.Duration) {
		events := batch(n, parquetBatch)[:sqliteShare*sqliteBatch]
		start := time.Now()
		for batch := range slices.Chunk(events, sqliteBatch) {
			must(b, other.Write(b.Context(), batch))
		}
		return len(events), time.Since(start)
	})
}

// BenchmarkWriteAgain measures a redelivery, which changes nothing.
func BenchmarkWriteAgain(b *testing.B) {
	store := parquet.Open(filepath.Join(b.TempDir(), "events"), parquet.Options{})
	defer store.Close()
	events := batch(0, parquetBatch)
	for b.Loop() {
		must(b, store.Write(b.Context(), events))
	}
	b.ReportMetric(float64(b.N*parquetBatch)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkMaintain measures how fast small files become a large one.
func BenchmarkMaintain(b *testing.B) {
	rows := 0
	for n := 0; b.Loop(); n++ {
		b.StopTimer()
		store := parquet.Open(filepath.Join(b.TempDir(), "events"), parquet.Options{Unmaintained: true})
		for i := range 8 {
			must(b, store.Write(b.Context(), batch(i, parquetBatch/5)))
			rows += parquetBatch / 5
		}
		b.StartTimer()
		must(b, store.Maintain(b.Context()))
		must(b, store.Close())
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}
