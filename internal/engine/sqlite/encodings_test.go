package sqlite_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/ncruces/go-sqlite3"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/sqlite"
)

// table is every value of every row, with its type.
func table(t *testing.T, path string) (rows []string) {
	t.Helper()
	conn, err := sqlite3.Open(path)
	must(t, err)
	defer func() { must(t, conn.Close()) }()
	stmt, _, err := conn.Prepare("SELECT * FROM events ORDER BY timestamp, request_id")
	must(t, err)
	defer stmt.Close()
	for stmt.Step() {
		var row strings.Builder
		for column := range stmt.ColumnCount() {
			kind := stmt.ColumnType(column) // reading it as text changes it
			text := stmt.ColumnRawText(column)
			if kind == sqlite3.TEXT && !utf8.Valid(text) {
				t.Errorf("the text %.40q of the column %s is no valid UTF-8", text, stmt.ColumnName(column))
			}
			fmt.Fprintf(&row, "%s: %s %q\n", stmt.ColumnName(column), kind, text)
		}
		rows = append(rows, row.String())
	}
	must(t, stmt.Err())
	return rows
}

// What is replayed from the text of a dead letter is the row that was written directly, whatever
// bytes the client sent.
func TestReplayedRowsAreTheDirectOnes(t *testing.T) {
	events := enginetest.Events(3000, 7)
	dir := t.TempDir()
	options := sqlite.Options{Now: func() time.Time { return time.UnixMicro(1) }}
	direct := openTest(t, filepath.Join(dir, "direct.db"), options)
	replayed := openTest(t, filepath.Join(dir, "replayed.db"), options)
	for batch := range slices.Chunk(events, 100) {
		write(t, direct, batch...)
		again := make([]*pillarbox.Event, len(batch))
		for i, event := range batch {
			text, err := json.Marshal(&pillarbox.DeadLetter{Version: pillarbox.DeadLetterVersion,
				Event: event})
			must(t, err)
			var letter pillarbox.DeadLetter
			must(t, json.Unmarshal(text, &letter))
			again[i] = letter.Event
		}
		write(t, replayed, again...)
	}
	want, got := table(t, filepath.Join(dir, "direct.db")), table(t, filepath.Join(dir, "replayed.db"))
	if len(want) != len(events) || !slices.Equal(got, want) {
		t.Fatalf("%d rows directly and %d replayed, and they differ", len(want), len(got))
	}
	encoded := 0
	for _, row := range want {
		encoded += strings.Count(row, `_encoding: TEXT "base64"`)
	}
	if encoded < 300 {
		t.Errorf("only %d texts have an encoding: the test shows little", encoded)
	}
	found, err := direct.List(t.Context(), pillarbox.EventFilter{Limit: len(events)})
	must(t, err)
	for i := range found {
		if diff := enginetest.Diff(found[i], events[i]); diff != "" {
			t.Fatal(diff)
		}
	}
}

// schemaBefore is the table as it was before texts had an encoding.
const schemaBefore = `CREATE TABLE events (timestamp TEXT NOT NULL, request_id TEXT NOT NULL, source TEXT, method TEXT,
	path TEXT, query TEXT, content_type TEXT, headers TEXT, remote_addr TEXT, traceparent TEXT, body, stored_at TEXT,
	PRIMARY KEY (timestamp, request_id)) WITHOUT ROWID;`

// TestFactsAreAddedToATable that was made before there were any: its rows stay as they are, and a
// table that may only be read has none.
func TestFactsAreAddedToATable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.db")
	conn, err := sqlite3.Open(path)
	must(t, err)
	run(t, conn, strings.Replace(schemaBefore, "stored_at TEXT", "stored_at TEXT, query_encoding TEXT, content_type_encoding TEXT, header_encoding TEXT", 1))
	run(t, conn, `INSERT INTO events (timestamp, request_id, source, method, path, query, query_encoding, stored_at) VALUES
		('2026-11-23T14:12:00.000001Z', 'old', 'app', 'POST', '/app', 'bj1N/G4=', 'base64', '2026-11-23T14:12:01.000000Z')`)
	must(t, conn.Close())
	before := table(t, path)
	store := openTest(t, path, sqlite.Options{})
	known := enginetest.Events(1, 5)[0]
	known.Facts = &pillarbox.Facts{Caller: "shop", Attributes: pillarbox.Attributes{{Name: "tenant", Value: "acme"}}}
	write(t, store, known)
	found, err := store.List(t.Context(), pillarbox.EventFilter{})
	must(t, err)
	if len(found) != 2 || found[0].Query != "n=M\xfcn" || found[0].Facts != nil || enginetest.Diff(found[1], known) != "" {
		t.Errorf("found %+v", found)
	}
	for _, facts := range []*pillarbox.Facts{{Caller: "shop"}, {Attributes: known.Facts.Attributes}} {
		found, err := store.List(t.Context(), pillarbox.EventFilter{Facts: facts})
		if err != nil || len(found) != 1 || found[0].RequestID != known.RequestID {
			t.Errorf("%+v: found %+v, %v", facts, found, err)
		}
	}
	if after := table(t, path); !strings.HasPrefix(after[0], before[0]) || !strings.Contains(after[0], "caller: NULL") {
		t.Errorf("the row is now\n%s, was\n%s", after[0], before[0])
	}
}

// TestRowsOfOthersWithStrangeAttributes are passed over, and keep nobody from asking for attributes.
func TestRowsOfOthersWithStrangeAttributes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.db")
	store := openTest(t, path, sqlite.Options{})
	known := enginetest.Events(1, 5)[0]
	known.Facts = &pillarbox.Facts{Attributes: pillarbox.Attributes{{Name: "tenant", Value: "acme"}}}
	write(t, store, known)
	conn, err := sqlite3.Open(path)
	must(t, err)
	run(t, conn, `INSERT INTO events (timestamp, request_id, source, method, path, attributes) VALUES
		('2026-11-23T14:12:00.000001Z', 'strange', 'app', 'POST', '/app', 'no JSON'), ('2026-11-23T14:12:00.000002Z', 'list', 'app', 'POST', '/app', '[1]')`)
	must(t, conn.Close())
	found, err := store.List(t.Context(), pillarbox.EventFilter{Facts: known.Facts})
	if err != nil || len(found) != 1 {
		t.Errorf("found %+v, %v", found, err)
	}
	found, err = store.List(t.Context(), pillarbox.EventFilter{})
	var others *pillarbox.UnreadableError
	if len(found) != 1 || !errors.As(err, &others) || others.Count != 2 {
		t.Errorf("found %+v, %v", found, err)
	}
}

// A table that holds invalid text is repaired once, in words, and reads the same bytes as before.
func TestInvalidTextIsRepairedOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.db")
	const id = "01a20982-735b-7980-86a3-0c4338e0f4c"
	conn, err := sqlite3.Open(path)
	must(t, err)
	run(t, conn, schemaBefore)
	for i, row := range []string{
		`CAST(x'6e3d4dfc6e' AS TEXT), 'text/plain'`, `'a=Ü', CAST(x'c1ff' AS TEXT)`, `'a=1', 'text/plain'`,
		`NULL, 'text/plain; name=é'`, `CAST(x'80' AS TEXT), NULL`,
	} {
		run(t, conn, fmt.Sprintf("INSERT INTO events (source, method, path, timestamp, request_id, query, content_type) VALUES ('app', 'POST', '/app', '2026-11-23T14:12:00.00000%dZ', '%s%d', %s)", i, id, i, row))
	}
	must(t, conn.Close())
	var log bytes.Buffer
	options := sqlite.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}
	for life := range 2 {
		store := openTest(t, path, options)
		found, err := store.List(t.Context(), pillarbox.EventFilter{})
		must(t, err)
		var got []string
		for _, event := range found {
			got = append(got, event.Query+"|"+event.ContentType)
		}
		want := []string{"n=M\xfcn|text/plain", "a=Ü|\xc1\xff", "a=1|text/plain", "|text/plain; name=é",
			"\x80|"}
		if !slices.Equal(got, want) {
			t.Errorf("life %d: got %q, want %q", life, got, want)
		}
		must(t, store.Close())
		table(t, path)
	}
	if text := log.String(); strings.Count(text, "no valid UTF-8") != 1 ||
		!strings.Contains(text, "events=3") {
		t.Errorf("the log says %q, want once that 3 rows are repaired", text)
	}
}
