package postgres_test

import (
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/engine/postgres"
)

// A list of a rare source reads its rows alone, and one that looks at rows does not look at more than it
// may, whatever PostgreSQL would rather do.
func TestListsScanNothing(t *testing.T) {
	db := shared.Server(t).Database(t)
	store := openStore(t, db, postgres.Options{})
	first := sample("first", "app")
	if err := store.Write(t.Context(), []*pillarbox.Event{first}); err != nil {
		t.Fatal(err)
	}
	conn := ask(t, db)
	execute(t, conn, `INSERT INTO events (timestamp, request_id, source, method, path, body)
		SELECT (SELECT min(timestamp) FROM events) + n * interval '1 millisecond', 'id-' || n, CASE WHEN n % 1000 = 0 THEN 'rare' ELSE 'app' END,
			'POST', '/app', convert_to('text ' || n, 'UTF8') FROM generate_series(1, 20000) AS n`, "ANALYZE")
	text := &pillarbox.ContentFilter{Text: "nowhere"}
	for name, test := range map[string]struct {
		filter pillarbox.EventFilter
		want   []string // parts of the plan
	}{
		"a source":          {pillarbox.EventFilter{Source: "rare", Newest: true}, []string{"source_timestamp_request_id_idx", "rows=20 "}},
		"text of a source":  {pillarbox.EventFilter{Source: "rare", Content: text, MaxScan: 100}, []string{"source_timestamp_request_id_idx", "Rows Removed by Filter: 20\n"}},
		"text, up to bound": {pillarbox.EventFilter{Content: text, MaxScan: 100}, []string{"Rows Removed by Filter: 100\n", "pkey"}},
	} {
		plan := strings.ReplaceAll(postgres.PlanOf(t, store, conn, test.filter), ".00 ", " ") // since 18 there are parts of rows
		for _, part := range test.want {
			if !strings.Contains(plan, part) {
				t.Errorf("%s: the plan is\n%swant %s", name, plan, part)
			}
		}
		day := "events_" + first.Timestamp.Time().UTC().Format("20060102") // the partitions of other days are empty
		if strings.Contains(plan, "Seq Scan on "+day) {
			t.Errorf("%s: the plan reads all of it:\n%s", name, plan)
		}
	}
	found, err := store.List(t.Context(), pillarbox.EventFilter{Source: "rare"})
	if err != nil || len(found) != 20 {
		t.Errorf("%d events of the rare source, %v", len(found), err)
	}
}
