package sqlite

import (
	"fmt"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"pillarbox"
)

// LimitPages makes the database full at that many pages.
func LimitPages(t *testing.T, store *Store, pages int) {
	t.Helper()
	if err := store.lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer store.unlock()
	if err := store.writer.conn.Exec(fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
		t.Fatal(err)
	}
}

// WithVFS makes the store use the driver's VFS of that name.
func WithVFS(options Options, name string) Options {
	options.vfs = name
	return options
}

// MaxRowsToIndex is how many rows a table may have that gets the index of sources by itself.
const MaxRowsToIndex = maxRowsToIndex

// PlanOf returns how SQLite goes about a list, a step on each line.
func PlanOf(t *testing.T, store *Store, filter pillarbox.EventFilter) (plan string) {
	t.Helper()
	err := store.read(t.Context(), "explain", func(conn *sqlite3.Conn) error {
		indexed, err := hasSourceIndex(conn)
		if err != nil {
			return err
		}
		sql, arguments := listQuery(columns, filter, indexed && filter.Source != unindexedSource, nil).sql()
		return query(conn, "EXPLAIN QUERY PLAN "+sql, arguments, func(stmt *sqlite3.Stmt) error {
			plan += stmt.ColumnText(3) + "\n"
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}
