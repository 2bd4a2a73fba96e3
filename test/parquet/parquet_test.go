// Package parquet_test reads what the real binary writes into a directory of Parquet files with the
// programs that people use for that: DuckDB, pyarrow and ClickHouse (chdb), in Python.
package parquet_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/parquet"
	"pillarbox/internal/ledger"
	"pillarbox/test/harness"
)

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m))
}

// python finds an interpreter that has the libraries: that of make tools, or the system's.
func python(t *testing.T, libraries ...string) string {
	t.Helper()
	home, _ := os.UserHomeDir()
	for _, path := range []string{os.Getenv("PARQUET_PYTHON"), filepath.Join(home, ".cache/pillarbox/python/bin/python"), "python3"} {
		if path == "" {
			continue
		}
		if exec.Command(path, append([]string{"read.py", "has"}, libraries...)...).Run() == nil {
			return path
		}
	}
	missing := fmt.Sprintf("no Python has %s: run make tools, or set PARQUET_PYTHON", strings.Join(libraries, " and "))
	if os.Getenv("CI") != "" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

// ways are the readers, and what they need.
var ways = map[string]string{"view": "duckdb", "glob": "duckdb", "pyarrow": "pyarrow", "clickhouse": "chdb"}

// read reads a directory, and returns a line for each event.
func read(t *testing.T, dir, how string) []string {
	t.Helper()
	command := exec.Command(python(t, ways[how]), "read.py", dir, how)
	var failure bytes.Buffer
	command.Stderr = &failure
	out, err := command.Output()
	if err != nil {
		t.Fatalf("read by %s: %v\n%s", how, err, failure.String())
	}
	var lines []string
	for text := range bytes.Lines(out) {
		var values []any
		if err := json.Unmarshal(text, &values); err != nil {
			t.Fatal(err)
		}
		line, err := json.Marshal(values)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(line))
	}
	slices.Sort(lines)
	return lines
}

// lines are what a reader must find of events.
func lines(t *testing.T, events []*pillarbox.Event) []string {
	t.Helper()
	list := make([]string, len(events))
	for i, e := range events {
		query, queryEncoding := pillarbox.EncodeText(e.Query)
		header, headerEncoding := e.Header.Encoded()
		headers, err := header.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		orNil := func(text string) any {
			if text == "" {
				return nil
			}
			return text
		}
		values := []any{float64(e.Timestamp), e.RequestID, e.Source, query, orNil(queryEncoding), string(headers), orNil(headerEncoding), hex.EncodeToString(e.Body)}
		line, err := json.Marshal(values)
		if err != nil {
			t.Fatal(err)
		}
		list[i] = string(line)
	}
	slices.Sort(list)
	return list
}

func compare(t *testing.T, what string, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d events, want %d", what, len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("%s, event %d:\n%.300s\n%.300s", what, i, got[i], want[i])
		}
	}
}

// TestReadersGetWhatWasWritten: each reader gets each event once and byte for byte, out of small files
// and out of large ones, while the store is open and after it.
func TestReadersGetWhatWasWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "it's events")
	store := parquet.Open(dir, parquet.Options{Unmaintained: true, FoldFiles: 3})
	events := enginetest.Events(200, 8)
	bodies := [][]byte{nil, {0}, []byte("a\x00b"), {0xff, 0xfe}, []byte("\xed\xa0\x80"), []byte(`"\ud800"`), []byte("1e99999"),
		[]byte(strings.Repeat("9", 5000)), bytes.Repeat([]byte{0, 1, 0xff}, 1<<19), []byte("Grüße 🐘")}
	for i, e := range events {
		e.Body = bodies[i%len(bodies)]
		e.Source = []string{"app", "we/ird ü=%", "x"}[i%3]
		e.Timestamp += pillarbox.Timestamp(i%4) * 3_600_000_000
		if i%5 == 0 {
			e.Query = "q=\xff\x00"
		}
		if i%7 == 0 {
			e.Header = pillarbox.Header{{Name: "X", Value: "\xff"}}
		}
	}
	want := lines(t, events)
	for some := range slices.Chunk(events, 20) {
		if err := store.Write(t.Context(), some); err != nil {
			t.Fatal(err)
		}
	}
	compare(t, "the view, of small files", read(t, dir, "view"), want)
	if err := store.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	compare(t, "the view, of large files beside small ones", read(t, dir, "view"), want)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	for how := range ways {
		t.Run(how, func(t *testing.T) { compare(t, how, read(t, dir, how), want) })
	}
}

// TestKilledUnderLoad: the server is killed again and again while clients post. In the end each
// receipt is one event, for the commands and for DuckDB.
func TestKilledUnderLoad(t *testing.T) {
	python(t, "duckdb")
	data := t.TempDir()
	config := filepath.Join(t.TempDir(), "p.yaml")
	text := "sources: { app: {}, other: {} }\ndestinations:\n  events: { url: 'parquet:', sources: [app, other], batch: { max_age: 50ms, max_events: 300 } }\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	receipts := map[string]bool{}
	for round := range 4 {
		s := harness.Start(t, data, "--config", config)
		var clients sync.WaitGroup
		for client := range 4 {
			clients.Go(func() {
				for n := 0; ; n++ {
					id, ok := postOne(s.Public+[]string{"/app", "/other"}[n%2], fmt.Sprint(round, client, n))
					if !ok {
						return // it was killed
					}
					mu.Lock()
					receipts[id] = true
					mu.Unlock()
				}
			})
		}
		s.WaitUntil("some are stored", func(e ledger.Entry) bool { return e.Stored >= uint64(500*(round+1)) })
		s.Kill()
		clients.Wait()
	}
	s := harness.Start(t, data, "--config", config)
	entry := s.WaitUntil("all is stored", func(e ledger.Entry) bool { return e.Pending == 0 })
	if entry.Dead != 0 || !entry.Balanced {
		t.Errorf("ledger %+v", entry)
	}
	var last string
	for last = range receipts {
		break
	}
	for _, args := range [][]string{{"audit"}, {"events", "--limit", "5"}, {"explain", last}} {
		if out, talk, code := harness.Run(t, append(args, "--server", s.Admin)...); code != 0 {
			t.Errorf("%v: exit %d\n%s%s", args, code, out, talk)
		}
	}
	dir := filepath.Join(data, "events")
	wantReceipts(t, "the view", read(t, dir, "view"), receipts, entry.Stored)
	s.Stop()
	wantReceipts(t, "the glob", read(t, dir, "glob"), receipts, entry.Stored)
	purge(t, data, config, dir)
}

// purge deletes all events of one source, and sees that the others are there, for everybody.
func purge(t *testing.T, data, config, dir string) {
	t.Helper()
	s := harness.Start(t, data, "--config", config)
	for _, args := range [][]string{{"purge", "events", "--older-than", "1us", "--source", "app", "--yes"}, {"audit"}} {
		if out, talk, code := harness.Run(t, append(args, "--server", s.Admin)...); code != 0 {
			t.Errorf("%v: exit %d\n%s%s", args, code, out, talk)
		}
	}
	entry := s.WaitUntil("the purge is counted", func(e ledger.Entry) bool { return e.Purged > 0 })
	if !entry.Balanced {
		t.Errorf("ledger %+v", entry)
	}
	view := read(t, dir, "view")
	s.Stop()
	for how, lines := range map[string][]string{"the view": view, "the glob": read(t, dir, "glob")} {
		if uint64(len(lines)) != entry.Stored-entry.Purged {
			t.Errorf("%s: %d events, and %d of %d are purged", how, len(lines), entry.Purged, entry.Stored)
		}
		for _, line := range lines {
			if strings.Contains(line, `"app"`) {
				t.Fatalf("%s: purged and there: %.200s", how, line)
			}
		}
	}
}

func postOne(url, body string) (id string, ok bool) {
	response, err := http.Post(url, "text/plain", strings.NewReader(body))
	if err != nil {
		return "", false
	}
	defer response.Body.Close()
	var receipt pillarbox.Receipt
	err = json.NewDecoder(response.Body).Decode(&receipt)
	return receipt.RequestID, err == nil && response.StatusCode == http.StatusAccepted
}

func wantReceipts(t *testing.T, what string, lines []string, receipts map[string]bool, stored uint64) {
	t.Helper()
	found := map[string]bool{}
	for _, line := range lines {
		var values []any
		if err := json.Unmarshal([]byte(line), &values); err != nil {
			t.Fatal(err)
		}
		id := values[1].(string)
		if found[id] {
			t.Errorf("%s: event %s is there twice", what, id)
		}
		found[id] = true
	}
	for id := range receipts {
		if !found[id] {
			t.Errorf("%s: event %s has a receipt, and is not there", what, id)
		}
	}
	if uint64(len(found)) != stored {
		t.Errorf("%s: %d events, and %d are stored", what, len(found), stored)
	}
}
