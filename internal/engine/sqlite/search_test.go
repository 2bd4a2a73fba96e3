package sqlite_test

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/sqlite"
)

// No list reads more of the table than it must: an index leads to keys and sources, in the order of the
// list, and what has to be looked at is bounded.
func TestListsScanNothing(t *testing.T) {
	store := openTest(t, filepath.Join(t.TempDir(), "events.db"), sqlite.Options{})
	events := enginetest.Events(20, 1)
	write(t, store, events...)
	text := &pillarbox.ContentFilter{Text: "x"}
	since, until := events[3].Timestamp, events[9].Timestamp
	for name, test := range map[string]struct {
		filter pillarbox.EventFilter
		want   string // part of the plan
	}{
		"times":                       {pillarbox.EventFilter{Since: since, Until: until}, "SEARCH events USING PRIMARY KEY (timestamp>? AND timestamp<?)"},
		"a source":                    {pillarbox.EventFilter{Source: "orders"}, "INDEX events_source (source=?)"},
		"a source, newest first":      {pillarbox.EventFilter{Source: "orders", Newest: true}, "INDEX events_source (source=?)"},
		"a source between times":      {pillarbox.EventFilter{Source: "orders", Since: since, Until: until}, "INDEX events_source (source=? AND timestamp>? AND timestamp<?)"},
		"a page of a source":          {pillarbox.EventFilter{Source: "orders", After: events[5].Key()}, "INDEX events_source (source=? AND (timestamp,request_id)>(?,?))"},
		"text of a source":            {pillarbox.EventFilter{Source: "orders", Content: text, MaxScan: 100}, "INDEX events_source (source=?)"},
		"the default source":          {pillarbox.EventFilter{Source: "app", Since: since, MaxScan: 100}, "SEARCH events USING PRIMARY KEY (timestamp>?)"},
		"text between times":          {pillarbox.EventFilter{Since: since, Until: until, Content: text, MaxScan: 100}, "SEARCH events USING PRIMARY KEY (timestamp>? AND timestamp<?)"},
		"text alone, up to its bound": {pillarbox.EventFilter{Content: text, MaxScan: 100}, "SCAN events"},
	} {
		plan := sqlite.PlanOf(t, store, test.filter)
		if !strings.Contains(plan, test.want) || strings.Contains(plan, "TEMP B-TREE") {
			t.Errorf("%s: the plan is\n%swant %s, and nothing sorted", name, plan, test.want)
		}
	}
}

// A table from before, or one of somebody else, gets the index where that takes no time that anybody
// waits for. Without it lists of a source find the same, up to their bound.
func TestLargeTablesGetNoIndexAtAStart(t *testing.T) {
	for rows, want := range map[int]string{10: "1", sqlite.MaxRowsToIndex + 1: "0"} {
		path := filepath.Join(t.TempDir(), "events.db")
		store := openTest(t, path, sqlite.Options{})
		write(t, store, enginetest.Events(1, 1)...)
		must(t, store.Close())
		other := openDatabase(t, path)
		run(t, other, "DROP INDEX events_source")
		fill(t, other, rows)
		store = openTest(t, path, sqlite.Options{})
		write(t, store, enginetest.Events(2, 1)...)
		if got := value(t, other, "SELECT count(*) FROM sqlite_schema WHERE name = 'events_source'"); got != want {
			t.Errorf("%d rows: %s indexes of sources, want %s", rows, got, want)
		}
		found, err := store.List(t.Context(), pillarbox.EventFilter{Source: "rare"})
		if err != nil || len(found) != rows/rareEvery {
			t.Errorf("%d rows: %d events of a rare source, %v", rows, len(found), err)
		}
	}
}

// rareEvery is how far apart events of the source "rare" are.
const rareEvery = 10_000

// fill adds rows as a server would, much faster.
func fill(t testing.TB, conn *sqlite3.Conn, rows int) {
	t.Helper()
	err := conn.Exec(fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
		INSERT INTO events (timestamp, request_id, source, method, path, query, content_type, headers, remote_addr, traceparent, body, stored_at)
		SELECT strftime('%%Y-%%m-%%dT%%H:%%M:%%S', 1800000000 + i / 100, 'unixepoch') || printf('.%%02d0000Z', i %% 100),
			printf('019ab123-4567-7abc-8def-%%012d', i), CASE WHEN i %% %d = 0 THEN 'rare' ELSE 'app' END, 'POST', '/app', '', 'application/json',
			'{"Content-Type":["application/json"],"User-Agent":["probe/1.0"]}', '203.0.113.7', '',
			printf('{"type":"paid","n":%%d,"of":"somebody who has bought something, and waits for it","where":"at home"}', i),
			'2027-01-01T00:00:00.000000Z' FROM n`, rows, rareEvery))
	if err != nil {
		t.Fatal(err)
	}
}

// BenchmarkPage measures a page of 100 out of 200,000 events, or of as many as PILLARBOX_TEST_ROWS says,
// by filter.
func BenchmarkPage(b *testing.B) {
	rows, err := strconv.Atoi(cmp.Or(os.Getenv("PILLARBOX_TEST_ROWS"), "200000"))
	if err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(b.TempDir(), "events.db")
	store, err := sqlite.Open(b.Context(), path, sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	if err := store.Write(b.Context(), enginetest.Events(1, 1)); err != nil {
		b.Fatal(err)
	}
	other, err := sqlite3.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer other.Close()
	fill(b, other, rows)
	const bound = 100_000
	for _, test := range []struct {
		name   string
		filter pillarbox.EventFilter
	}{
		{"none", pillarbox.EventFilter{}},
		{"source", pillarbox.EventFilter{Source: "rare"}},
		{"source and JSON", pillarbox.EventFilter{Source: "rare", Content: &pillarbox.ContentFilter{
			JSON: []pillarbox.PointerValue{{Pointer: "/type", Value: "paid"}}}}},
		{"text that all have", pillarbox.EventFilter{Content: &pillarbox.ContentFilter{Text: "bought"}}},
		{"text that none has", pillarbox.EventFilter{Content: &pillarbox.ContentFilter{Text: "sold"}}},
		{"JSON that none has", pillarbox.EventFilter{Content: &pillarbox.ContentFilter{
			JSON: []pillarbox.PointerValue{{Pointer: "/type", Value: "somebody"}}}}},
		{"JSON to be parsed", pillarbox.EventFilter{Content: &pillarbox.ContentFilter{
			JSON: []pillarbox.PointerValue{{Pointer: "/where", Value: "paid"}}}}},
	} {
		b.Run(test.name, func(b *testing.B) {
			test.filter.Newest, test.filter.MaxScan = true, bound
			for b.Loop() {
				var ended *pillarbox.ScanLimitError
				if _, err := store.List(b.Context(), test.filter); err != nil && !errors.As(err, &ended) {
					b.Fatal(err)
				}
			}
		})
	}
}
