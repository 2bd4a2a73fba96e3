package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"pillarbox/internal/requestid"

	"github.com/ncruces/go-sqlite3"

	"pillarbox"
)

// MaxPurges is how many purges the database remembers one by one. Older ones are added to the next
// one of the same source, so that a purge each day takes no more than this for ever.
const MaxPurges = 1000

// The table of what was purged. It is made by the first purge, and changed in the transactions that
// delete: so the rows that are gone and the account of them are never at odds.
const purgeSchema = `
CREATE TABLE IF NOT EXISTS pillarbox_purges (
	purged_at TEXT NOT NULL,
	source TEXT NOT NULL,
	until TEXT NOT NULL,
	events INTEGER NOT NULL,
	PRIMARY KEY (purged_at, source)
) WITHOUT ROWID;`

// purgeMemory is what is known of the purges without asking the database.
type purgeMemory struct {
	mu   sync.Mutex
	list []pillarbox.Purge
}

func (m *purgeMemory) get() []pillarbox.Purge {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.list
}

func (m *purgeMemory) set(list []pillarbox.Purge) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.list = list
}

// see takes over what a reader has seen, unless it is older than what is known.
func (m *purgeMemory) see(list []pillarbox.Purge) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if pillarbox.PurgedEvents(list) > pillarbox.PurgedEvents(m.list) {
		m.list = list
	}
}

// Purges implements pillarbox.Purger.
func (s *Store) Purges() []pillarbox.Purge { return s.purges.get() }

// readPurges reads the table, which there need not be.
func readPurges(conn *sqlite3.Conn) (purges []pillarbox.Purge, err error) {
	there := false
	err = query(conn, "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'pillarbox_purges'",
		nil, func(*sqlite3.Stmt) error {
			there = true
			return nil
		})
	if err != nil || !there {
		return nil, err
	}
	err = query(conn,
		"SELECT purged_at, source, until, events FROM pillarbox_purges ORDER BY purged_at, source", nil,
		func(stmt *sqlite3.Stmt) error {
			at, atErr := pillarbox.ParseTimestamp(stmt.ColumnText(0))
			until, untilErr := pillarbox.ParseTimestamp(stmt.ColumnText(2))
			if err := errors.Join(atErr, untilErr); err != nil {
				return fmt.Errorf("table pillarbox_purges: %w: %w", pillarbox.ErrCorrupt, err)
			}
			purges = append(purges, pillarbox.Purge{At: at, Source: stmt.ColumnText(1), Until: until,
				Events: uint64(max(0, stmt.ColumnInt64(3)))})
			return nil
		})
	return purges, err
}

// readWithPurges reads in one state of the database, and takes in what is purged in that state.
func (s *Store) readWithPurges(ctx context.Context, doing string,
	look func(conn *sqlite3.Conn) error) error {
	var purges []pillarbox.Purge
	err := s.read(ctx, doing, func(conn *sqlite3.Conn) error {
		return inSnapshot(conn, func() (err error) {
			if err := look(conn); err != nil {
				return err
			}
			purges, err = readPurges(conn)
			return err
		})
	})
	if err == nil {
		s.purges.see(purges)
	}
	return err
}

// BeginPurge implements pillarbox.Purger. It reads the rows before Until.
func (s *Store) BeginPurge(ctx context.Context,
	filter pillarbox.PurgeFilter) (start pillarbox.PurgeStart, err error) {
	if err := s.lock(ctx); err != nil {
		return start, s.failed(ctx, "purge", err)
	}
	start.At = max(pillarbox.TimestampOf(s.options.Now()), s.latest+1)
	s.begun = start.At
	s.unlock()
	where, arguments := purgeQuery(pillarbox.PurgeStep{PurgeFilter: filter, At: start.At})
	err = s.read(ctx, "count in", func(conn *sqlite3.Conn) error {
		return query(conn, "SELECT count(*) FROM events"+where, arguments,
			func(stmt *sqlite3.Stmt) error {
				start.Matched = uint64(stmt.ColumnInt64(0))
				return nil
			})
	})
	return start, err
}

// purgeQuery writes what a step selects as SQL.
func purgeQuery(step pillarbox.PurgeStep) (string, []string) {
	before := step.At
	if step.StoredBefore != 0 {
		before = min(before, step.StoredBefore)
	}
	// A row that somebody has added by hand need not say when.
	where := []string{"timestamp < ?", "(stored_at IS NULL OR stored_at < ?)"}
	arguments := []string{step.Until.String(), before.String()}
	if step.After != (pillarbox.Key{}) {
		where = append(where, "(timestamp, request_id) > (?, ?)")
		arguments = append(arguments, step.After.Timestamp.String(), step.After.RequestID)
	}
	if step.Source != "" {
		where = append(where, "source = ?")
		arguments = append(arguments, step.Source)
	}
	return " WHERE " + strings.Join(where, " AND "), arguments
}

// Purge implements pillarbox.Purger: one transaction. The rows are looked for before, on a
// connection for reading, so that deliveries wait for the deleting only. The pages of deleted rows
// are used again; the file becomes no smaller.
func (s *Store) Purge(ctx context.Context,
	step pillarbox.PurgeStep) (result pillarbox.PurgeResult, err error) {
	if step.Limit <= 0 || step.Limit > pillarbox.PurgeStepLimit {
		step.Limit = pillarbox.PurgeStepLimit
	}
	keys, err := s.purgeable(ctx, step)
	if err != nil || len(keys) == 0 {
		return result, err
	}
	if err := s.lock(ctx); err != nil {
		return result, s.failed(ctx, "purge", err)
	}
	defer s.unlock()
	writer, err := s.ready(ctx)
	if err != nil {
		return result, s.failed(ctx, "open", err)
	}
	err = protect(func() (err error) {
		result.Deleted, err = writer.purge(ctx, step, keys)
		return err
	})
	if err == nil {
		s.purges.set(writer.purges)
		err = writer.files.check(s.path)
		s.noteSize()
	}
	if err != nil {
		s.afterError(err)
		return pillarbox.PurgeResult{}, s.failed(ctx, "purge", err)
	}
	result.Last = keys[len(keys)-1]
	return result, nil
}

// purgeable lists the keys of what a step deletes, oldest first. Rows that are no events are left
// alone.
func (s *Store) purgeable(ctx context.Context,
	step pillarbox.PurgeStep) (keys []pillarbox.Key, err error) {
	where, arguments := purgeQuery(step)
	sql := "SELECT timestamp, request_id FROM events" + where + " ORDER BY timestamp, request_id"
	err = s.read(ctx, "look for what to purge in", func(conn *sqlite3.Conn) error {
		err := query(conn, sql, arguments, func(stmt *sqlite3.Stmt) error {
			at, err := pillarbox.ParseTimestamp(stmt.ColumnText(0))
			key := pillarbox.Key{Timestamp: at, RequestID: stmt.ColumnText(1)}
			if err != nil || at.String() != stmt.ColumnText(0) || step.Keep[key] {
				return nil
			}
			if keys = append(keys, key); len(keys) == step.Limit {
				return errEnough
			}
			return nil
		})
		if errors.Is(err, errEnough) {
			return nil
		}
		return err
	})
	return keys, err
}

// purge deletes the rows and accounts for them, in one transaction.
func (w *writer) purge(ctx context.Context, step pillarbox.PurgeStep,
	keys []pillarbox.Key) (deleted uint64, err error) {
	w.conn.SetInterrupt(ctx)
	defer w.conn.SetInterrupt(context.Background())
	if err := w.conn.Exec("BEGIN IMMEDIATE"); err != nil {
		return 0, fmt.Errorf("begin: %w", err)
	}
	var purges []pillarbox.Purge
	deleted, err = w.deleteRows(keys)
	if err == nil && deleted > 0 {
		err = w.recordPurge(pillarbox.Purge{At: step.At, Source: step.Source,
			Until: keys[len(keys)-1].Timestamp + 1, Events: deleted})
	}
	if err == nil {
		purges, err = readPurges(w.conn)
	}
	if err == nil {
		if err = w.conn.Exec("COMMIT"); err != nil {
			err = fmt.Errorf("commit: %w", err)
		}
	}
	if err != nil {
		return 0, errors.Join(err, w.rollback())
	}
	w.purges = purges
	return deleted, nil
}

// deleteRows counts what was there, and what no trigger kept.
func (w *writer) deleteRows(keys []pillarbox.Key) (deleted uint64, err error) {
	const sql = "DELETE FROM events WHERE timestamp = ? AND request_id = ?"
	for _, key := range keys {
		at := key.Timestamp.String()
		if err := w.run(sql, at, key.RequestID); err != nil {
			return 0, fmt.Errorf("delete event %s: %w", key.RequestID, err)
		}
		if w.conn.Changes() == 0 {
			continue
		}
		deleted++
		if requestid.TellsTime(key) {
			continue
		}
		if err := w.run("DELETE FROM event_ids WHERE timestamp = ? AND request_id = ?", at,
			key.RequestID); err != nil {
			return 0, fmt.Errorf("delete from event_ids: %w", err)
		}
	}
	return deleted, nil
}

// run runs a statement that answers with no rows.
func (w *writer) run(sql string, arguments ...string) error {
	return query(w.conn, sql, arguments, func(*sqlite3.Stmt) error { return nil })
}

// recordPurge adds a step to the table.
func (w *writer) recordPurge(step pillarbox.Purge) error {
	if err := w.conn.Exec(purgeSchema); err != nil {
		return fmt.Errorf("create the table of purges: %w", err)
	}
	err := w.run(fmt.Sprintf(`INSERT INTO pillarbox_purges (purged_at, source, until, events)
		VALUES (?, ?, ?, %d) ON CONFLICT (purged_at, source) DO UPDATE
		SET until = max(until, excluded.until), events = events + excluded.events`, step.Events),
		step.At.String(), step.Source, step.Until.String())
	if err != nil {
		return fmt.Errorf("record the purge: %w", err)
	}
	purges, err := readPurges(w.conn)
	if err != nil || len(purges) <= MaxPurges {
		return err
	}
	return w.foldPurge(purges)
}

// foldPurge adds the oldest purge that has a later one of the same source to that.
func (w *writer) foldPurge(purges []pillarbox.Purge) error {
	for i, old := range purges {
		for _, next := range purges[i+1:] {
			if next.Source != old.Source {
				continue
			}
			err := w.run(fmt.Sprintf(`UPDATE pillarbox_purges SET until = max(until, ?),
				events = events + %d WHERE purged_at = ? AND source = ?`, old.Events),
				old.Until.String(), next.At.String(), next.Source)
			if err == nil {
				err = w.run("DELETE FROM pillarbox_purges WHERE purged_at = ? AND source = ?",
					old.At.String(), old.Source)
			}
			if err != nil {
				return fmt.Errorf("add up old purges: %w", err)
			}
			return nil
		}
	}
	return nil
}
