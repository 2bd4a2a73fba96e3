package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"pillarbox/internal/benchmark/turns"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/postgres"
)

// batchRows is as many as a delivery writes at once.
const batchRows = 1000

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
	turns.Measure(b, func(n int) (int, time.Duration) {
		events := enginetest.Usual(batchRows, n)
		start := time.Now()
		if err := store.Write(b.Context(), events); err != nil {
			b.Fatal(err)
		}
		return len(events), time.Since(start)
	}, func(n int) (int, time.Duration) {
		events := enginetest.Usual(batchRows, n)
		start := time.Now()
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
		return len(events), time.Since(start)
	})
}
