package postgres

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"pillarbox"
	"pillarbox/internal/telemetry"
)

// column is one of the table.
type column struct {
	name, form string
	optional   bool // a table that somebody else has made may be without it
}

// columns are in the order of row.values.
var columns = []column{
	{"timestamp", "timestamptz NOT NULL", false},
	{"request_id", `text COLLATE "C" NOT NULL`, false},
	{"source", "text", false},
	{"method", "text", false},
	{"path", "text", false},
	{"query", "text", false},
	{"content_type", "text", false},
	{"headers", "jsonb", false},
	{"remote_addr", "text", false},
	{"traceparent", "text", false},
	{"body", "bytea NOT NULL", false},
	{"stored_at", "timestamptz", false},
	{"query_encoding", "text", false},
	{"content_type_encoding", "text", false},
	{"header_encoding", "text", false},
	{"caller", "text", false},
	{"ce_id", "text", false},
	{"ce_source", "text", false},
	{"ce_type", "text", false},
	{"ce_time", "text", false},
	{"ce_subject", "text", false},
	{"removed", "text", false},
	{"attributes", "jsonb", false},
	{"fact_encoding", "text", false},
	{"body_json", "jsonb", true},
}

// Where some of them are.
const (
	headersColumn    = 7
	bodyColumn       = 10
	storedAtColumn   = 11
	encodingColumns  = 12
	factColumns      = 15
	attributesColumn = factColumns + pillarbox.FactCount
	factEncoding     = attributesColumn + 1
	jsonColumn       = factEncoding + 1
)

// names are those of the columns that every table has, and of the optional ones where it has them.
func names(withJSON bool) []string {
	list := make([]string, 0, len(columns))
	for _, c := range columns {
		if !c.optional || withJSON {
			list = append(list, c.name)
		}
	}
	return list
}

// The default source, which is the only one or the busiest, has no index: its events are found where
// they are looked for, and an index costs each write.
const (
	unindexedSource = "app"
	withIndex       = "source <> '" + unindexedSource + "'"
)

// The names of an account of ours; the tables of several destinations share them.
const (
	storeTable  = "pillarbox_store"
	purgesTable = "pillarbox_purges"
)

// maxName is how long a name may be, in bytes, without the ends that are put to it (63 is the
// server's limit).
const maxName = 50

// parseTable reads the name of a table, with or without a schema.
func parseTable(text string) (pgx.Identifier, error) {
	parts := pgx.Identifier(strings.Split(text, "."))
	if len(parts) > 2 {
		return nil, pillarbox.Invalid("table %q: want NAME or SCHEMA.NAME", text)
	}
	for _, part := range parts {
		if part == "" || len(part) > maxName || strings.ContainsAny(part, "\x00\"") {
			return nil, pillarbox.Invalid("table %q: a name has 1 to %d bytes, and no quotes", text, maxName)
		}
	}
	return parts, nil
}

// beside is a table in the schema of the events.
func (s *Store) beside(name string) string {
	table := append(pgx.Identifier{}, s.table...)
	table[len(table)-1] = name
	return table.Sanitize()
}

func (s *Store) last() string     { return s.table[len(s.table)-1] }
func (s *Store) idsTable() string { return s.beside(s.last() + "_ids") }

// prepare makes what is missing, once, and again after an error that says that something is.
func (s *Store) prepare(ctx context.Context, conn *pgx.Conn) error {
	if s.prepared.Load() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.prepared.Load() {
		return nil
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	if err := s.makeTables(ctx, tx); err != nil {
		_ = tx.Rollback(context.WithoutCancel(ctx)) // the first error is the one that matters
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return err
	}
	s.prepared.Store(true)
	return nil
}

// lockTables lets those that make tables take turns, on all nodes, until the transaction ends.
func lockTables(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtext('pillarbox tables'))")
	return err
}

func (s *Store) makeTables(ctx context.Context, tx pgx.Tx) error {
	if err := lockTables(ctx, tx); err != nil {
		return err
	}
	kind, err := s.kind(ctx, tx)
	if err != nil {
		return err
	}
	made := kind == ""
	if made {
		if err := s.makeEvents(ctx, tx); err != nil {
			return err
		}
		kind = "p"
	}
	s.partitions.reset(kind == "p")
	if err := s.lookAtColumns(ctx, tx); err != nil {
		return err
	}
	for _, sql := range []string{
		"CREATE TABLE IF NOT EXISTS " + s.idsTable() + ` (request_id text COLLATE "C" NOT NULL, timestamp timestamptz NOT NULL,
			PRIMARY KEY (request_id, timestamp))`,
		"CREATE TABLE IF NOT EXISTS " + s.beside(storeTable) + " (events text PRIMARY KEY, id text NOT NULL, mark bigint NOT NULL)",
		"CREATE TABLE IF NOT EXISTS " + s.beside(purgesTable) + ` (events text NOT NULL, purged_at timestamptz NOT NULL, source text NOT NULL,
			until timestamptz NOT NULL, count bigint NOT NULL, PRIMARY KEY (events, purged_at, source))`,
	} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return err
		}
	}
	if made {
		// What an earlier table of the name had is not in this one.
		if _, err := tx.Exec(ctx, "DELETE FROM "+s.beside(storeTable)+" WHERE events = $1", s.last()); err != nil {
			return err
		}
	}
	return s.identify(ctx, tx)
}

// kind is what PostgreSQL calls relkind: p for a partitioned table, r for another one, v for a view,
// and empty where there is none.
func (s *Store) kind(ctx context.Context, tx pgx.Tx) (kind string, err error) {
	err = tx.QueryRow(ctx, "SELECT coalesce((SELECT relkind::text FROM pg_class WHERE oid = to_regclass($1)), '')",
		s.table.Sanitize()).Scan(&kind)
	return kind, err
}

func (s *Store) makeEvents(ctx context.Context, tx pgx.Tx) error {
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = c.name + " " + c.form
	}
	_, err := tx.Exec(ctx, "CREATE TABLE "+s.table.Sanitize()+" ("+strings.Join(list, ", ")+
		", PRIMARY KEY (timestamp, request_id)) PARTITION BY RANGE (timestamp)")
	if err == nil { // each partition gets it; see hasSourceIndex
		_, err = tx.Exec(ctx, "CREATE INDEX ON "+s.table.Sanitize()+" (source, timestamp, request_id) WHERE "+withIndex)
	}
	if err == nil {
		s.options.Logger.InfoContext(ctx, "the table of events is made", telemetry.KeyDatabase, s.name)
	}
	return err
}

// lookAtColumns refuses a table that lacks some, and gives it those that it may lack as one of ours
// from before.
func (s *Store) lookAtColumns(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped",
		s.table.Sanitize())
	if err != nil {
		return err
	}
	there, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	has := map[string]bool{}
	for _, name := range there {
		has[name] = true
	}
	var missing []string
	for _, c := range columns {
		if !has[c.name] && !c.optional {
			missing = append(missing, c.name+" "+c.form)
		}
	}
	s.hasJSON.Store(has[columns[jsonColumn].name])
	var indexed bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_index AS i JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
		WHERE i.indrelid = to_regclass($1) AND i.indisvalid AND a.attname = 'source')`, s.table.Sanitize()).Scan(&indexed); err != nil {
		return err
	}
	s.hasSourceIndex.Store(indexed)
	if len(missing) > 0 {
		return fmt.Errorf("the table has no column %s; add what is missing, or name another table: %w",
			strings.Join(missing, ", "), pillarbox.ErrUnavailable)
	}
	return nil
}

// identify makes the row that tells this table from every other one where it is missing, and reads it.
func (s *Store) identify(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, "INSERT INTO "+s.beside(storeTable)+" (events, id, mark) VALUES ($1, $2, 0) ON CONFLICT DO NOTHING",
		s.last(), rand.Text())
	if err != nil {
		return err
	}
	var found pillarbox.StoreIdentity
	var mark int64
	if err := tx.QueryRow(ctx, "SELECT id, mark FROM "+s.beside(storeTable)+" WHERE events = $1", s.last()).
		Scan(&found.ID, &mark); err != nil {
		return err
	}
	found.Mark = uint64(max(0, mark))
	s.identity.Store(&found)
	return s.loadPurges(ctx, tx)
}
