package sqlite_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"pillarbox"
	"pillarbox/internal/benchmark/turns"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/sqlite"
)

const benchBatch = 1000

// benchEvents makes the next batch: the same content under new keys, later than the ones before.
func benchEvents(events []*pillarbox.Event, round int) {
	fresh := enginetest.Events(benchBatch, uint64(round)+1000)
	for i, event := range fresh {
		events[i].Timestamp = event.Timestamp + pillarbox.Timestamp(round*3_000_000)
		milliseconds := events[i].Timestamp / 1000
		events[i].RequestID = fmt.Sprintf("%08x-%04x", int64(milliseconds>>16),
			int64(milliseconds&0xffff)) + event.RequestID[13:]
	}
}

// BenchmarkWrite measures what delivery costs: batches of 1,000 events through the sink, each one
// durable.
func BenchmarkWrite(b *testing.B) {
	store, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "events.db"), sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	benchInserts(b, func(events []*pillarbox.Event) error { return store.Write(b.Context(), events) })
}

// BenchmarkSourceIndex is what the index of sources costs, in turns with the default source, which has
// none: of one source, and of three that alternate, so that each row is at another place of the index.
func BenchmarkSourceIndex(b *testing.B) {
	for _, sources := range [][]string{{"orders"}, {"orders", "sensors", "bills"}} {
		b.Run(fmt.Sprint(len(sources)), func(b *testing.B) {
			turns.Measure(b, writeOf(b, sources...), writeOf(b, "app"))
		})
	}
}

// writeOf writes batches of some sources to a store of its own.
func writeOf(b *testing.B, sources ...string) turns.Side {
	store, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "events.db"), sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := store.Close(); err != nil {
			b.Error(err)
		}
	})
	events := enginetest.Events(benchBatch, 1)
	return func(n int) (int, time.Duration) {
		benchEvents(events, n)
		for i, event := range events {
			event.Source, event.Facts = sources[i%len(sources)], nil
		}
		begun := time.Now()
		if err := store.Write(b.Context(), events); err != nil {
			b.Fatal(err)
		}
		return len(events), time.Since(begun)
	}
}

// BenchmarkWriteAgain measures a redelivery, which changes nothing.
func BenchmarkWriteAgain(b *testing.B) {
	store, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "events.db"), sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	events := enginetest.Events(benchBatch, 1)
	for b.Loop() {
		if err := store.Write(b.Context(), events); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*benchBatch)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkBareDriver is what BenchmarkWrite is compared with: the driver alone with the same
// table, settings, rows and transactions, one prepared statement per row, and the text of headers
// made beforehand.
func BenchmarkBareDriver(b *testing.B) {
	conn, err := sqlite3.Open(filepath.Join(b.TempDir(), "events.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	err = conn.Exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
		CREATE TABLE events (timestamp TEXT NOT NULL, request_id TEXT NOT NULL, source TEXT, method TEXT, path TEXT,
			query TEXT, content_type TEXT, headers TEXT, remote_addr TEXT, traceparent TEXT, body, stored_at TEXT,
			PRIMARY KEY (timestamp, request_id)) WITHOUT ROWID`)
	if err != nil {
		b.Fatal(err)
	}
	insert, _, err := conn.Prepare("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
	if err != nil {
		b.Fatal(err)
	}
	headers := make([]string, benchBatch)
	for i, event := range enginetest.Events(benchBatch, 1) {
		header, _ := event.Header.Encoded()
		text, err := header.MarshalJSON()
		if err != nil {
			b.Fatal(err)
		}
		headers[i] = string(text)
	}
	benchInserts(b, func(events []*pillarbox.Event) error {
		if err := conn.Exec("BEGIN IMMEDIATE"); err != nil {
			return err
		}
		for i, event := range events {
			for column, text := range []string{
				event.Timestamp.String(), event.RequestID, event.Source, event.Method, event.Path, event.Query,
				event.ContentType, headers[i], event.RemoteAddr, event.Traceparent, string(event.Body),
				"2026-11-23T14:12:00.000000Z",
			} {
				if err := insert.BindText(column+1, text); err != nil {
					return err
				}
			}
			if err := insert.Exec(); err != nil {
				return err
			}
		}
		return conn.Exec("COMMIT")
	})
}

func benchInserts(b *testing.B, write func([]*pillarbox.Event) error) {
	events := enginetest.Events(benchBatch, 1)
	for _, event := range events {
		event.Source, event.Facts = "app", nil // as of most events
	}
	round := 0
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		benchEvents(events, round)
		round++
		b.StartTimer()
		if err := write(events); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*benchBatch)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkFind looks up events by id in a table of 100,000.
func BenchmarkFind(b *testing.B) {
	store, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "events.db"), sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	events := enginetest.Events(100_000, 1)
	for at := 0; at < len(events); at += benchBatch {
		if err := store.Write(b.Context(), events[at:at+benchBatch]); err != nil {
			b.Fatal(err)
		}
	}
	at := 0
	for b.Loop() {
		if _, err := store.Find(b.Context(), events[at].RequestID); err != nil {
			b.Fatal(err)
		}
		at = (at + 7919) % len(events)
	}
}
