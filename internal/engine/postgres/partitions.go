package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"pillarbox"
)

// partitions are the days that have a partition, as far as this process knows.
type partitions struct {
	mu    sync.Mutex // guards the rest
	used  bool       // the table is partitioned
	known map[int64]bool
}

func (p *partitions) reset(used bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used, p.known = used, map[int64]bool{}
}

// missing are the days of the events, of now and of tomorrow that are not known to have one.
func (p *partitions) missing(events []*pillarbox.Event, now time.Time) (days []int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.used {
		return nil
	}
	want := func(day int64) {
		if !p.known[day] {
			days, p.known[day] = append(days, day), true
		}
	}
	today := dayOf(pillarbox.TimestampOf(now))
	want(today)
	want(today + 1)
	for _, event := range events {
		want(dayOf(event.Timestamp))
	}
	for _, day := range days {
		delete(p.known, day) // until they are made
	}
	return days
}

func (p *partitions) made(days []int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, day := range days {
		p.known[day] = true
	}
}

const dayMicroseconds = 24 * 60 * 60 * 1_000_000

// dayOf is the number of the day in UTC.
func dayOf(at pillarbox.Timestamp) int64 {
	day := int64(at) / dayMicroseconds
	if int64(at)%dayMicroseconds < 0 {
		day--
	}
	return day
}

func startOf(day int64) time.Time { return pillarbox.Timestamp(day * dayMicroseconds).Time() }

// ensure makes the partitions that the events need, each in a transaction of its own: to attach one
// locks nobody out who reads or writes.
func (s *Store) ensure(ctx context.Context, conn *pgx.Conn, events []*pillarbox.Event) error {
	days := s.partitions.missing(events, s.options.Now())
	for _, day := range days {
		if err := s.makePartition(ctx, conn, day); err != nil && !errors.Is(err, errCovered) {
			return fmt.Errorf("make the partition of %s: %w", startOf(day).Format(time.DateOnly), err)
		}
	}
	s.partitions.made(days)
	return nil
}

func (s *Store) makePartition(ctx context.Context, conn *pgx.Conn, day int64) error {
	from, to := startOf(day), startOf(day+1)
	name := s.beside(fmt.Sprintf("%s_%s", s.last(), from.Format("20060102")))
	bounds := fmt.Sprintf("FOR VALUES FROM ('%s') TO ('%s')", from.Format(time.RFC3339), to.Format(time.RFC3339))
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if err := lockTables(ctx, tx); err != nil {
			return err
		}
		var there bool
		err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM pg_inherits WHERE inhrelid = to_regclass($1))", name).Scan(&there)
		if err != nil || there {
			return err
		}
		// A table of that name that is none of the partitions was detached by somebody: its rows are
		// theirs, and events of the day go where the server puts them.
		if err := tx.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", name).Scan(&there); err != nil {
			return err
		}
		if there {
			return fmt.Errorf("%s is there, and is no partition any more: attach it, or give it another name: %w", name, pillarbox.ErrUnavailable)
		}
		_, err = tx.Exec(ctx, "CREATE TABLE "+name+" (LIKE "+s.table.Sanitize()+" INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
		if err == nil {
			_, err = tx.Exec(ctx, "ALTER TABLE "+s.table.Sanitize()+" ATTACH PARTITION "+name+" "+bounds)
		}
		var server *pgconn.PgError
		if errors.As(err, &server) && server.Code == "42P17" {
			// The day lies in a partition of another width, which somebody has made.
			return errCovered
		}
		return err
	})
}

// errCovered ends a transaction that has nothing to make.
var errCovered = errors.New("another partition has the day")
