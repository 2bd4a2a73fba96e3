package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"pillarbox/internal/benchmark"
)

// These tests are in the package itself because a command can't be imported.

// TestALongRunDoesMore, except for what a flag says otherwise.
func TestALongRunDoesMore(t *testing.T) {
	short, long := flags(nil), flags([]string{"-long", "-backlog", "1", "-connections", "2,3"})
	if short.backlog != 0 || short.events != 0 || len(short.groups()) != 5 {
		t.Errorf("a short run is %+v", short)
	}
	if long.backlog != 1 || !slices.Equal(long.connections, []int{2, 3}) ||
		long.events != 10_000_000 || len(long.groups()) != 6 {
		t.Errorf("a long run is %+v", long)
	}
	if n := new(numbers); n.Set("1,x") == nil || n.Set("0") == nil || n.Set("") == nil {
		t.Error("what is no number was taken")
	}
}

func sample() *benchmark.Report {
	report := &benchmark.Report{
		Started: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC), Commit: "abc",
		Contenders: []benchmark.Contender{
			{Name: benchmark.Bare, Class: benchmark.Nothing}, {Name: benchmark.Accepting,
				Class: benchmark.Durable},
			{Name: "a <peer> & co", Class: benchmark.Before, Peer: true}, {Name: "absent",
				Missing: "not here\nat all"},
		},
	}
	for i, c := range report.Contenders[:3] {
		report.Measurements = append(report.Measurements, benchmark.Measurement{
			Contender: c.Name, Scenario: benchmark.ClosedLoop(256,
				200), Round: 1, Figures: benchmark.Figures{PerSecond: float64(1000 * (i + 1))},
		})
	}
	report.Complete()
	return report
}

// TestTheChartIsAPicture: well-formed, with a bar for each contender that was measured, the fastest
// first.
func TestTheChartIsAPicture(t *testing.T) {
	drawn := chart(sample())
	var texts []string
	for decoder := xml.NewDecoder(bytes.NewReader(drawn)); ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, drawn)
		}
		if text, ok := token.(xml.CharData); ok {
			texts = append(texts, string(text))
		}
	}
	all := strings.Join(texts, "|")
	for _, want := range []string{"a <peer> & co|3,000 (3.00)", "pillarbox|2,000 (2.00)",
		"bare net/http|1,000 (1.00)"} {
		at := strings.Index(all, want)
		if at < 0 {
			t.Fatalf("%q is not in %q", want, all)
		}
		all = all[at:]
	}
	if chart(&benchmark.Report{}) != nil {
		t.Error("nothing was drawn as a chart")
	}
}

// TestResultsAreKept with their date and commit, and can be read again.
func TestResultsAreKept(t *testing.T) {
	dir := t.TempDir()
	o := options{out: filepath.Join(dir, "results"), chart: filepath.Join(dir, "chart.svg")}
	if err := keep(o, sample()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(o.out, "2026-11-23-abc.json"))
	if err != nil {
		t.Fatal(err)
	}
	var again benchmark.Report
	if err := json.Unmarshal(text, &again); err != nil || len(again.Rows) != 3 || again.Verdict == "" {
		t.Errorf("%v, %+v", err, again)
	}
	table, err := os.ReadFile(filepath.Join(o.out, "2026-11-23-abc.md"))
	if err != nil || !strings.Contains(string(table), "## Goals") ||
		!strings.Contains(string(table), "| absent |  |  | not here |") {
		t.Errorf("%v\n%s", err, table)
	}
}

// TestTheDriverInsertsTheSameRows, with their types, in more than one transaction.
func TestTheDriverInsertsTheSameRows(t *testing.T) {
	const rows = 2500
	from, to := filepath.Join(t.TempDir(), "from.db"), filepath.Join(t.TempDir(), "to.db")
	conn, err := sqlite3.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	err = conn.Exec(`CREATE TABLE events (timestamp TEXT, request_id TEXT, body, PRIMARY KEY (timestamp, request_id)) WITHOUT ROWID;
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 2500)
		INSERT INTO events SELECT printf('%06d', i), 'id', CASE i % 3 WHEN 0 THEN NULL WHEN 1 THEN 'text' ELSE x'00ff' END FROM n`)
	if err := errors.Join(err, conn.Close()); err != nil {
		t.Fatal(err)
	}
	inserted, took, err := insertAgain(from, to)
	if err != nil || inserted != rows || took <= 0 {
		t.Fatalf("%d rows in %v, %v", inserted, took, err)
	}
	_, want, _, err1 := readAll(from)
	_, got, _, err2 := readAll(to)
	same := slices.EqualFunc(want, got,
		func(a, b cell) bool { return a.of == b.of && bytes.Equal(a.bytes, b.bytes) })
	if err := errors.Join(err1, err2); err != nil || !same {
		t.Errorf("the rows differ, %v", err)
	}
}

// TestPairsAreMeasuredByBenchmarksOfTheTree, each of which has the name that is told.
func TestPairsAreMeasuredByBenchmarksOfTheTree(t *testing.T) {
	for _, p := range pairs {
		files, err := filepath.Glob(filepath.Join("..", p.module, p.pkg, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(files, func(name string) bool {
			text, err := os.ReadFile(name)
			return err == nil && bytes.Contains(text, []byte("\nfunc "+p.measure+"(b *testing.B) "))
		}) {
			t.Errorf("%s: no %s in %s of %s", p.Name, p.measure, p.pkg, p.module)
		}
	}
	if _, err := measurePairs(t.Context(), "no such pair"); err == nil {
		t.Error("a name that no pair has is no mistake")
	}
}

// TestAPairWithoutFiguresSaysWhy.
func TestAPairWithoutFiguresSaysWhy(t *testing.T) {
	for output, want := range map[string]string{
		"BenchmarkWrite\n    pg_test.go:3: PostgreSQL is missing\n--- SKIP: BenchmarkWrite\n    pg_test.go:3: PostgreSQL is missing\nPASS\n": "skipped: pg_test.go:3: PostgreSQL is missing",
		"some text\n\n": "it gave no figures: some text",
	} {
		if got := whySkipped(output); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := lastLine("x_test.go:1: no disk\nFAIL\nexit status 1\nFAIL\tpillarbox/x\t1s\n"); got != "x_test.go:1: no disk" {
		t.Errorf("the last line is %q", got)
	}
}
