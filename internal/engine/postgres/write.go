package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"pillarbox"
)

// staging is the temporary table that a batch is copied into. Each session has its own.
const staging = "pillarbox_staging"

// Write implements pillarbox.Sink in one transaction. Next to what the contract says:
//   - ErrUnavailable for everything that is wrong with the database and not with an event: no
//     connection, a deadlock, a missing table or right, a standby. A full disk matches ErrNoSpace, too.
//   - PermanentError for a batch of which the server refuses a row for what is in it (SQLSTATE classes
//     22, 23, 44 and 54, and what a trigger raises as P0001).
//   - *pillarbox.BatchError for events that can't be rows, and those that a trigger drops.
func (s *Store) Write(ctx context.Context, events []*pillarbox.Event) error {
	rows, items := rowsOf(events)
	err := s.with(ctx, "write to", func(conn *pgxpool.Conn) error {
		if len(rows) == 0 {
			return nil
		}
		if err := s.ensure(ctx, conn.Conn(), events); err != nil {
			return err
		}
		dropped, identity, err := s.insert(ctx, conn.Conn(), rows)
		if err != nil {
			return err
		}
		items = append(items, dropped...)
		s.identity.Store(&identity)
		return nil
	})
	if err != nil {
		return err
	}
	if len(items) > 0 {
		return &pillarbox.BatchError{Items: items}
	}
	return nil
}

// rowsOf are in the order of their keys, so that two writers of the same events never wait for each
// other in a circle.
func rowsOf(events []*pillarbox.Event) (rows []row, items []pillarbox.ItemError) {
	rows = make([]row, 0, len(events))
	for i, event := range events {
		r, err := newRow(i, event)
		if err != nil {
			items = append(items, pillarbox.ItemError{Index: i, Err: err})
			continue
		}
		rows = append(rows, r)
	}
	slices.SortStableFunc(rows, func(a, b row) int {
		if a.event.Timestamp != b.event.Timestamp {
			if a.event.Timestamp < b.event.Timestamp {
				return -1
			}
			return 1
		}
		return strings.Compare(a.event.RequestID, b.event.RequestID)
	})
	return rows, items
}

// insert stores the rows in one transaction, and returns those that a trigger has dropped.
func (s *Store) insert(ctx context.Context, conn *pgx.Conn, rows []row) (dropped []pillarbox.ItemError,
	identity pillarbox.StoreIdentity, err error) {
	withJSON := s.hasJSON.Load()
	if err := s.stage(ctx, conn, names(withJSON)); err != nil {
		return nil, identity, err
	}
	places := usedColumns(rows, withJSON)
	list := make([]string, len(places))
	for i, place := range places {
		list[i] = columns[place].name
	}
	err = pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{BeginQuery: s.beginWrite}, func(tx pgx.Tx) error {
		all, used := make([]any, 0, len(columns)), make([]any, len(places))
		copied, err := tx.CopyFrom(ctx, pgx.Identifier{staging}, list, pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) {
			all = rows[i].values(all[:0])
			for n, place := range places {
				used[n] = all[place]
			}
			return used, nil
		}))
		if err != nil {
			return err
		}
		var inserted int64
		if identity, inserted, err = s.merge(ctx, tx, list); err != nil {
			return err
		}
		if inserted < copied {
			if dropped, err = s.droppedRows(ctx, tx, rows); err != nil {
				return err
			}
		}
		return s.noteIDs(ctx, tx, rows)
	})
	return dropped, identity, err
}

// stage makes the temporary table of the session.
func (s *Store) stage(ctx context.Context, conn *pgx.Conn, list []string) error {
	selected := strings.Join(list, ", ")
	session := conn.PgConn().CustomData()
	if session[staging] == selected {
		return nil
	}
	_, err := conn.Exec(ctx, "DROP TABLE IF EXISTS pg_temp."+staging)
	if err == nil {
		_, err = conn.Exec(ctx, "CREATE TEMPORARY TABLE "+staging+" ON COMMIT DELETE ROWS AS SELECT "+selected+
			" FROM "+s.table.Sanitize()+" WITH NO DATA")
	}
	if err == nil {
		session[staging] = selected
	}
	return err
}

// usedColumns are those that a batch has something for. Most events have no facts and no encodings,
// and a third of the time goes with the columns.
func usedColumns(rows []row, withJSON bool) []int {
	encodings, facts := false, false
	for i := range rows {
		r := &rows[i]
		encodings = encodings || r.queryEncoding != "" || r.typeEncoding != "" || r.headerEncoding != ""
		facts = facts || r.event.Facts != nil
	}
	places := make([]int, 0, len(columns))
	for place := range columns {
		unused := place == storedAtColumn || place >= encodingColumns && place < factColumns && !encodings ||
			place >= factColumns && place < jsonColumn && !facts || place == jsonColumn && !withJSON
		if !unused {
			places = append(places, place)
		}
	}
	return places
}

// merge inserts what is new of the temporary table, and lets the mark grow by it. The row of the mark
// is locked behind those of the events, which are in their order.
// The clock is asked once, by a query of its own: for each row it is a tenth of the time.
func (s *Store) merge(ctx context.Context, tx pgx.Tx, list []string) (identity pillarbox.StoreIdentity, inserted int64, err error) {
	names := strings.Join(list, ", ")
	sql := "WITH merged AS (INSERT INTO " + s.table.Sanitize() + " (" + names + ", stored_at) SELECT " + names +
		", (SELECT clock_timestamp()) FROM " + staging + ` ORDER BY timestamp, request_id COLLATE "C"
		ON CONFLICT (timestamp, request_id) DO NOTHING RETURNING 1), counted AS (SELECT count(*) AS n FROM merged)
		UPDATE ` + s.beside(storeTable) + " SET mark = mark + counted.n FROM counted WHERE events = $1 RETURNING id, mark, counted.n"
	var mark int64
	err = tx.QueryRow(ctx, sql, s.last()).Scan(&identity.ID, &mark, &inserted)
	if errors.Is(err, pgx.ErrNoRows) {
		s.prepared.Store(false)
		return identity, 0, fmt.Errorf("the row of the table in %s is gone: %w", storeTable, pillarbox.ErrUnavailable)
	}
	identity.Mark = uint64(max(0, mark))
	return identity, inserted, err
}

// errDropped is why an event that nothing refused is not there.
var errDropped = errors.New("a trigger on the table drops it")

// droppedRows are those that are not in the table although nothing has refused them.
func (s *Store) droppedRows(ctx context.Context, tx pgx.Tx, rows []row) (items []pillarbox.ItemError, err error) {
	missing, err := missingOf(ctx, tx, s.table.Sanitize(), keysOf(rows))
	if err != nil || len(missing) == 0 {
		return nil, err
	}
	gone := map[pillarbox.Key]bool{}
	for _, key := range missing {
		gone[key] = true
	}
	for _, r := range rows {
		if gone[r.event.Key()] {
			items = append(items, pillarbox.ItemError{Index: r.index, Err: pillarbox.Permanent(errDropped)})
		}
	}
	return items, nil
}

func keysOf(rows []row) []pillarbox.Key {
	keys := make([]pillarbox.Key, len(rows))
	for i, r := range rows {
		keys[i] = r.event.Key()
	}
	return keys
}

// noteIDs makes events findable whose ids do not tell when they were.
func (s *Store) noteIDs(ctx context.Context, tx pgx.Tx, rows []row) error {
	var ids []string
	var times []time.Time
	for _, r := range rows {
		if !r.findable {
			ids, times = append(ids, r.event.RequestID), append(times, r.event.Timestamp.Time())
		}
	}
	if len(ids) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, "INSERT INTO "+s.idsTable()+" (request_id, timestamp) SELECT * FROM unnest($1::text[], $2::timestamptz[]) ON CONFLICT DO NOTHING",
		ids, times)
	return err
}
