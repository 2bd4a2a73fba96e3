package postgres

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"pillarbox"
)

// Bodies are those of the tests.
var Bodies = bodies

// PlanOf returns how PostgreSQL goes about a list, a step on each line, and how many rows it reads. It
// asks as often as it takes until a plan is for all arguments.
func PlanOf(t *testing.T, store *Store, conn *pgx.Conn, filter pillarbox.EventFilter) string {
	t.Helper()
	q := store.listQuery(filter)
	var plan []string
	for range 8 {
		rows, err := conn.Query(t.Context(), "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) "+q.sql()+" LIMIT 100", q.arguments...)
		if err != nil {
			t.Fatal(err)
		}
		if plan, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			t.Fatal(err)
		}
	}
	return strings.Join(plan, "\n") + "\n"
}
