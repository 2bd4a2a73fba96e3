package sqlite

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"pillarbox"
	"pillarbox/internal/search"
	"pillarbox/internal/telemetry"
)

// sourceIndex leads to the events of a source, in the order of their keys, which SQLite puts behind
// the column by itself. A source that sends one event in a thousand is found without it by reading
// all of them. It takes a fifth of the rate of writes, and nearly a half where sources alternate
// (BenchmarkSourceIndex), so the default source, which is the only one or the busiest, is left out: its
// events are found where they are looked for.
// The other columns have too few values, or are asked for too rarely, to pay for an index at all.
const (
	sourceIndex       = "events_source"
	unindexedSource   = "app"
	withIndex         = "source <> '" + unindexedSource + "'"
	sourceIndexSchema = "CREATE INDEX IF NOT EXISTS " + sourceIndex + " ON events (source) WHERE " + withIndex
)

// maxRowsToIndex is how many rows a table may have that gets the index by itself: it takes well below
// a second then. Longer than that, nothing may hold up a start.
const maxRowsToIndex = 100_000

// addIndex makes the index of sources where it is missing and the table is small.
func (w *writer) addIndex(ctx context.Context, path string) error {
	there, err := hasSourceIndex(w.conn)
	if err != nil || there {
		return err
	}
	behind, err := w.text(fmt.Sprintf("SELECT count(*) FROM (SELECT 1 FROM events LIMIT 1 OFFSET %d)", maxRowsToIndex))
	if err != nil {
		return fmt.Errorf("look how large the table is: %w", err)
	}
	if behind != "0" {
		w.log.InfoContext(ctx, "lists of one source look at the events of all of them: the table is too large to get the index events_source at a start; docs/OPERATIONS.md says how to make it",
			telemetry.KeyDatabase, path)
		return nil
	}
	if err := w.conn.Exec(sourceIndexSchema); err != nil {
		return fmt.Errorf("make the index of sources: %w", err)
	}
	return nil
}

func hasSourceIndex(conn *sqlite3.Conn) (there bool, err error) {
	err = query(conn, "SELECT 1 FROM sqlite_schema WHERE type = 'index' AND name = '"+sourceIndex+"'", nil, func(*sqlite3.Stmt) error {
		there = true
		return nil
	})
	return there, err
}

// condition is a part of WHERE.
type condition struct {
	sql       string
	arguments []string
}

// selection is a filter as SQL, without its limit: rows that are no events don't count.
type selection struct {
	columns string
	keys    []condition // an index leads to the rows
	others  []condition // each row has to be looked at
	order   string
	bound   int // rows that others may be asked of; 0 for no bound
}

func (s *selection) key(sql string, arguments ...string) {
	s.keys = append(s.keys, condition{sql, arguments})
}

func (s *selection) other(sql string, arguments ...string) {
	s.others = append(s.others, condition{sql, arguments})
}

// where writes conditions behind what is there.
func where(sql string, arguments []string, conditions []condition) (string, []string) {
	word := " WHERE "
	for _, c := range conditions {
		sql, arguments = sql+word+c.sql, append(arguments, c.arguments...)
		word = " AND "
	}
	return sql, arguments
}

// sql is the query. Rows behind the bound are not looked at: SQLite takes no condition into a query
// that has a LIMIT. It hands its rows on one by one in their order; to ask for the order again would
// let SQLite read all of them first and sort them.
func (s *selection) sql() (string, []string) {
	from, order := "SELECT "+s.columns+" FROM events", " ORDER BY "+s.order
	if !s.bounded() {
		sql, arguments := where(from, nil, slices.Concat(s.keys, s.others))
		return sql + order, arguments
	}
	within, arguments := where("SELECT * FROM events", nil, s.keys)
	within += order + " LIMIT " + strconv.Itoa(s.bound)
	return where("SELECT "+s.columns+" FROM ("+within+")", arguments, s.others)
}

func (s *selection) bounded() bool { return s.bound > 0 }

// ended returns a *pillarbox.ScanLimitError where rows are left behind the bound.
func (s *selection) ended(conn *sqlite3.Conn) error {
	sql, arguments := where("SELECT timestamp, request_id FROM events", nil, s.keys)
	var rows []pillarbox.Key
	err := query(conn, sql+" ORDER BY "+s.order+" LIMIT 2 OFFSET "+strconv.Itoa(s.bound-1), arguments,
		func(stmt *sqlite3.Stmt) error {
			at, err := pillarbox.ParseTimestamp(stmt.ColumnText(0))
			if err != nil && len(rows) == 0 {
				return pillarbox.Invalid("the filter needs a time range: the row up to which events were looked at is no event (%s)",
					nameRow(stmt, err.Error()))
			}
			rows = append(rows, pillarbox.Key{Timestamp: at, RequestID: stmt.ColumnText(1)})
			return nil
		})
	if err != nil || len(rows) < 2 {
		return err
	}
	return &pillarbox.ScanLimitError{Looked: s.bound, Last: rows[0]}
}

// content adds what spares reading rows that do not match. What is left decides search.Match.
func (s *selection) content(c *pillarbox.ContentFilter) {
	if c.Method != "" {
		s.other("method = ?", c.Method)
	}
	if c.Path != "" {
		s.other("path = ?", c.Path)
	}
	if c.ContentType != "" {
		s.other("(content_type_encoding IS NOT NULL OR instr(lower(content_type), ?) > 0)", strings.Trim(search.Lower(c.ContentType), " "))
	}
	const inBody = "instr(CAST(body AS BLOB), CAST(? AS BLOB)) > 0"
	if c.Text != "" {
		s.other(inBody, c.Text)
	}
	for _, v := range c.JSON { // it may be written with escapes
		s.other("("+inBody+" OR "+inBody+")", v.Value, `\`)
	}
	for _, h := range c.Headers {
		if search.Plain(h.Value) {
			s.other(`(header_encoding IS NOT NULL OR instr(headers, ?) > 0 OR instr(headers, '\u') > 0)`, h.Value)
		}
	}
}
