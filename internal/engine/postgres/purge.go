package postgres

import (
	"context"
	"hash/crc32"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"pillarbox"
	"pillarbox/internal/requestid"
)

// MaxPurges is how many purges are remembered one by one. Older ones are added to the next one of the
// same source.
const MaxPurges = 1000

// purgeLock is the lock that writes share and that a purge has when it begins.
func (s *Store) purgeLock() int64 {
	return int64(crc32.ChecksumIEEE([]byte("pillarbox purge of " + s.last())))
}

// purgeMemory is what is known of the purges without asking the server.
type purgeMemory struct {
	mu   sync.Mutex
	list []pillarbox.Purge
}

func (m *purgeMemory) get() []pillarbox.Purge {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.list
}

// see takes over what was read, unless it is older than what is known.
func (m *purgeMemory) see(list []pillarbox.Purge) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if pillarbox.PurgedEvents(list) >= pillarbox.PurgedEvents(m.list) {
		m.list = list
	}
}

// Purges implements pillarbox.Purger.
func (s *Store) Purges() []pillarbox.Purge { return s.purges.get() }

func (s *Store) readPurges(ctx context.Context, tx pgx.Tx) ([]pillarbox.Purge, error) {
	rows, err := tx.Query(ctx, "SELECT purged_at, source, until, count FROM "+s.beside(purgesTable)+
		" WHERE events = $1 ORDER BY purged_at, source", s.last())
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (p pillarbox.Purge, err error) {
		var at, until time.Time
		var count int64
		err = row.Scan(&at, &p.Source, &until, &count)
		p.At, p.Until, p.Events = pillarbox.TimestampOf(at), pillarbox.TimestampOf(until), uint64(max(0, count))
		return p, err
	})
}

func (s *Store) loadPurges(ctx context.Context, tx pgx.Tx) error {
	purges, err := s.readPurges(ctx, tx)
	if err == nil {
		s.purges.see(purges)
	}
	return err
}

// withPurges reads in one state of the database, and takes in what is purged in that state.
func (s *Store) withPurges(ctx context.Context, doing string, look func(tx pgx.Tx) error) error {
	return s.inTransaction(ctx, doing, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if err := look(tx); err != nil {
			return err
		}
		return s.loadPurges(ctx, tx)
	})
}

// BeginPurge implements pillarbox.Purger. It waits for the writes that are on their way, and reads the
// rows before Until.
func (s *Store) BeginPurge(ctx context.Context, filter pillarbox.PurgeFilter) (start pillarbox.PurgeStart, err error) {
	var at time.Time
	err = s.inTransaction(ctx, "purge", pgx.TxOptions{}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", s.purgeLock()); err != nil {
			return err
		}
		return tx.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&at)
	})
	if err != nil {
		return start, err
	}
	start.At = pillarbox.TimestampOf(at) + 1
	var matched int64
	err = s.inTransaction(ctx, "count in", pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		q := s.purgeQuery(pillarbox.PurgeStep{PurgeFilter: filter, At: start.At})
		return tx.QueryRow(ctx, "SELECT count(*) FROM "+q.from+q.condition(), q.arguments...).Scan(&matched)
	})
	start.Matched = uint64(max(0, matched))
	return start, err
}

// purgeQuery writes what a step selects as SQL.
func (s *Store) purgeQuery(step pillarbox.PurgeStep) *query {
	before := step.At
	if step.StoredBefore != 0 {
		before = min(before, step.StoredBefore)
	}
	q := &query{from: s.table.Sanitize(), order: "timestamp, request_id"}
	q.add("timestamp < $%d", step.Until.Time())
	q.add("(stored_at IS NULL OR stored_at < $%d)", before.Time()) // a row that somebody has added need not say when
	if step.After != (pillarbox.Key{}) {
		q.add("(timestamp, request_id) > ($%d, $%d)", step.After.Timestamp.Time(), step.After.RequestID)
	}
	if step.Source != "" {
		q.add("source = $%d", step.Source)
	}
	return q
}

// Purge implements pillarbox.Purger: one transaction.
func (s *Store) Purge(ctx context.Context, step pillarbox.PurgeStep) (result pillarbox.PurgeResult, err error) {
	if step.Limit <= 0 || step.Limit > pillarbox.PurgeStepLimit {
		step.Limit = pillarbox.PurgeStepLimit
	}
	var purges []pillarbox.Purge
	err = s.inTransaction(ctx, "purge", pgx.TxOptions{}, func(tx pgx.Tx) error {
		keys, err := s.purgeable(ctx, tx, step)
		if err != nil || len(keys) == 0 {
			return err
		}
		if result.Deleted, err = s.deleteRows(ctx, tx, keys); err != nil {
			return err
		}
		result.Last = keys[len(keys)-1]
		if result.Deleted > 0 {
			if err := s.recordPurge(ctx, tx, pillarbox.Purge{At: step.At, Source: step.Source, Until: result.Last.Timestamp + 1, Events: result.Deleted}); err != nil {
				return err
			}
		}
		purges, err = s.readPurges(ctx, tx)
		return err
	})
	if err != nil {
		return pillarbox.PurgeResult{}, err
	}
	if purges != nil {
		s.purges.see(purges)
	}
	return result, nil
}

// purgeable lists the keys of what a step deletes, oldest first.
func (s *Store) purgeable(ctx context.Context, tx pgx.Tx, step pillarbox.PurgeStep) (keys []pillarbox.Key, err error) {
	q := s.purgeQuery(step)
	rows, err := tx.Query(ctx, "SELECT timestamp, request_id FROM "+q.from+q.condition()+" ORDER BY "+q.order, q.arguments...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for len(keys) < step.Limit && rows.Next() {
		var at time.Time
		var key pillarbox.Key
		if err := rows.Scan(&at, &key.RequestID); err != nil {
			return nil, err
		}
		if key.Timestamp = pillarbox.TimestampOf(at); !step.Keep[key] {
			keys = append(keys, key)
		}
	}
	rows.Close()
	return keys, rows.Err()
}

// deleteRows counts what was there, and what no trigger kept.
func (s *Store) deleteRows(ctx context.Context, tx pgx.Tx, keys []pillarbox.Key) (deleted uint64, err error) {
	times, ids := make([]time.Time, len(keys)), make([]string, len(keys))
	for i, key := range keys {
		times[i], ids[i] = key.Timestamp.Time(), key.RequestID
	}
	const these = " AS e USING unnest($1::timestamptz[], $2::text[]) AS k (timestamp, request_id) WHERE e.timestamp = k.timestamp AND e.request_id = k.request_id"
	tag, err := tx.Exec(ctx, "DELETE FROM "+s.table.Sanitize()+these, times, ids)
	if err == nil && slices.ContainsFunc(keys, func(key pillarbox.Key) bool { return !requestid.TellsTime(key) }) {
		_, err = tx.Exec(ctx, "DELETE FROM "+s.idsTable()+these, times, ids)
	}
	return uint64(tag.RowsAffected()), err
}

// recordPurge adds a step to the table.
func (s *Store) recordPurge(ctx context.Context, tx pgx.Tx, step pillarbox.Purge) error {
	table := s.beside(purgesTable)
	_, err := tx.Exec(ctx, "INSERT INTO "+table+` AS p (events, purged_at, source, until, count) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (events, purged_at, source) DO UPDATE SET until = greatest(p.until, excluded.until), count = p.count + excluded.count`,
		s.last(), step.At.Time(), step.Source, step.Until.Time(), int64(step.Events))
	if err != nil {
		return err
	}
	purges, err := s.readPurges(ctx, tx)
	if err != nil || len(purges) <= MaxPurges {
		return err
	}
	return s.foldPurge(ctx, tx, purges)
}

// foldPurge adds the oldest purge that has a later one of the same source to that.
func (s *Store) foldPurge(ctx context.Context, tx pgx.Tx, purges []pillarbox.Purge) error {
	for i, old := range purges {
		later := slices.IndexFunc(purges[i+1:], func(p pillarbox.Purge) bool { return p.Source == old.Source })
		if later < 0 {
			continue
		}
		next := purges[i+1+later]
		table := s.beside(purgesTable)
		_, err := tx.Exec(ctx, "UPDATE "+table+" SET until = greatest(until, $4), count = count + $5 WHERE events = $1 AND purged_at = $2 AND source = $3",
			s.last(), next.At.Time(), next.Source, old.Until.Time(), int64(old.Events))
		if err == nil {
			_, err = tx.Exec(ctx, "DELETE FROM "+table+" WHERE events = $1 AND purged_at = $2 AND source = $3", s.last(), old.At.Time(), old.Source)
		}
		return err
	}
	return nil
}
