package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"pillarbox"
	"pillarbox/internal/engine/postgres"
)

// batchRows is as many as a delivery writes at once.
const batchRows = 1000

func batch(n int) []*pillarbox.Event {
	events := make([]*pillarbox.Event, batchRows)
	for i := range events {
		at := time.UnixMicro(1_795_443_120_000_000 + int64(n*batchRows+i))
		milliseconds := at.UnixMilli()
		events[i] = &pillarbox.Event{
			Timestamp: pillarbox.TimestampOf(at), Source: "app", Method: "POST", Path: "/app", ContentType: "application/json", RemoteAddr: "203.0.113.7",
			RequestID: fmt.Sprintf("%08x-%04x-7000-8000-%012x", milliseconds>>16, milliseconds&0xffff, n*batchRows+i),
			Header:    pillarbox.Header{{Name: "Content-Type", Value: "application/json"}, {Name: "User-Agent", Value: "bench"}},
			Body:      fmt.Appendf(nil, `{"n":%d,"text":"%0150d"}`, i, n),
		}
	}
	return events
}

// BenchmarkWrite compares Write with the bare driver that does the same COPY and merge, in turns.
func BenchmarkWrite(b *testing.B) {
	db := shared.Server(b).Database(b)
	store := openStore(b, db, postgres.Options{})
	bare := openStore(b, db, postgres.Options{Table: "bare"})
	if err := bare.Check(b.Context()); err != nil {
		b.Fatal(err)
	}
	conn := ask(b, db)
	execute(b, conn, "CREATE TABLE bare_20261123 PARTITION OF bare FOR VALUES FROM ('2026-11-23 00:00Z') TO ('2026-11-24 00:00Z')")
	columns := []string{"timestamp", "request_id", "source", "method", "path", "query", "content_type", "headers", "remote_addr", "traceparent", "body", "body_json"}
	list := "timestamp, request_id, source, method, path, query, content_type, headers, remote_addr, traceparent, body, body_json"
	execute(b, conn, "CREATE TEMPORARY TABLE staging ON COMMIT DELETE ROWS AS SELECT "+list+" FROM bare WITH NO DATA")
	header := []byte(`{"Content-Type":["application/json"],"User-Agent":["bench"]}`)
	var ours, theirs time.Duration
	n := 0
	for b.Loop() {
		events := batch(n)
		n++
		start := time.Now()
		if err := store.Write(b.Context(), events); err != nil {
			b.Fatal(err)
		}
		ours += time.Since(start)
		start = time.Now()
		err := pgx.BeginFunc(b.Context(), conn, func(tx pgx.Tx) error {
			_, err := tx.CopyFrom(b.Context(), pgx.Identifier{"staging"}, columns, pgx.CopyFromSlice(len(events), func(i int) ([]any, error) {
				e := events[i]
				return []any{e.Timestamp.Time(), e.RequestID, e.Source, e.Method, e.Path, e.Query, e.ContentType, header, e.RemoteAddr, e.Traceparent, e.Body, e.Body}, nil
			}))
			if err != nil {
				return err
			}
			_, err = tx.Exec(context.Background(), "INSERT INTO bare ("+list+") SELECT "+list+" FROM staging ON CONFLICT (timestamp, request_id) DO NOTHING")
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
		theirs += time.Since(start)
	}
	b.ReportMetric(float64(n*batchRows)/ours.Seconds(), "rows/s")
	b.ReportMetric(theirs.Seconds()/ours.Seconds(), "of-bare-pgx")
}
