package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pillarbox/internal/console"
	"pillarbox/internal/engine/enginetest"
)

// TestAuditComparesReceipts of what was posted, of what is a dead letter, and of what is nowhere:
// online and offline, from a file and from standard input.
func TestAuditComparesReceipts(t *testing.T) {
	s := startServer(t, "")
	file := filepath.Join(t.TempDir(), "receipts.ndjson")
	public := "http://" + s.serving.Public[0].Addr().String() + "/app"
	if got := try(t, "post", public, "-n", "50", "--receipts", file); got.err != nil {
		t.Fatal(got.err, got.talk)
	}
	check := func(code int, parts []string, args ...string) {
		t.Helper()
		for _, where := range [][]string{{"--server", s.admin},
			{"--data", s.data, "--admin", nobody(t)}} {
			if where[0] == "--data" {
				s.stop()
			}
			got := try(t, append(append([]string{"audit", "--receipts", file}, args...), where...)...)
			if got.code != code {
				t.Errorf("%v: exit %d, %v\n%s%s", where, got.code, got.err, got.out, got.talk)
			}
			for _, part := range parts {
				if !strings.Contains(got.out+got.talk, part) {
					t.Errorf("%v: no %q in\n%s%s", where, part, got.out, got.talk)
				}
			}
		}
		s = restart(t, s)
	}
	eventually(t, "all is stored", func() bool {
		return strings.Contains(try(t, "audit", "--receipts", file, "--server", s.admin).out, "50 stored")
	})
	check(exitDone, []string{"50 receipts compared: 50 stored, 0 dead, 0 held, 0 pending, 0 skipped, 0 lost\n",
		"\nbalanced"})
	dead := enginetest.Events(2, 7)
	s.putDeadLetters(dead[:1], "events")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i, event := range dead {
		line, err := json.Marshal(map[string]any{"request_id": event.RequestID,
			"timestamp": event.Timestamp, "number": i})
		if err != nil {
			t.Fatal(err)
		}
		text = append(append(text, line...), '\n')
	}
	if err := os.WriteFile(file, append(text, "half a li"...), 0o600); err != nil {
		t.Fatal(err)
	}
	wrong := []string{"receipt on line 52: missing " + dead[1].RequestID,
		"line 53 is no receipt", "52 receipts compared: 50 stored, 1 dead", "1 lost", "1 lines are no receipts"}
	check(exitFailed, append(wrong, "NOT balanced"))
	check(exitFailed, wrong, "-o", "csv")
	check(exitFailed, []string{`"balanced": false,`, `"lost": 1,`, `"line": 52,`, `"wrong": 1,`}, "-o", "json")
	try(t, "audit", "--receipts", "no such file").failsWith(t, exitUsage, "--receipts", "no such file")
	try(t, "audit", "--receipts", file, "--redeliver").failsWith(t, exitUsage, "together")
}

// TestAuditSaysTheSameInEveryForm, whatever makes it unbalanced.
func TestAuditSaysTheSameInEveryForm(t *testing.T) {
	s := startServer(t, "")
	s.putDeadLetters(enginetest.Events(1, 1), "events") // a letter of no event
	table := try(t, "audit", "--server", s.admin)
	inJSON := try(t, "audit", "--server", s.admin, "-o", "json")
	var said console.AuditResult
	if err := json.Unmarshal([]byte(inJSON.out), &said); err != nil {
		t.Fatal(err)
	}
	if table.code != exitFailed || inJSON.code != exitFailed || said.Balanced ||
		said.Destinations[0].Balanced || !strings.Contains(table.out, "NOT balanced") ||
		!strings.Contains(table.out, "false") {
		t.Errorf("exit %d and %d\n%s%s", table.code, inJSON.code, table.out, inJSON.out)
	}
}
