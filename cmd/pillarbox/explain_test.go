package main

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/ncruces/go-sqlite3/driver" // the database as any other program sees it

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
)

// TestExplainShowsTheReasonOfDeathAtTheTimeOfDeath, whatever a replay is refused for, and after a
// replay has stored the event.
func TestExplainShowsTheReasonOfDeathAtTheTimeOfDeath(t *testing.T) {
	s := startServer(t, "")
	events := enginetest.Events(2, 1)
	if err := s.engines.Sinks["events"].Write(t.Context(), events[1:]); err != nil { // makes the table
		t.Fatal(err)
	}
	s.putDeadLetters(events[:1], "events") // refused: no such column
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(s.data, "events.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	execute := func(statement string) {
		t.Helper()
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	id := events[0].RequestID
	check := func(step string, parts ...string) {
		t.Helper()
		got := try(t, "explain", id, "-o", "csv", "--server", s.admin)
		var death string
		for _, line := range strings.Split(got.out, "\n") {
			if strings.Contains(line, ",dead letter,") {
				death = line
			}
		}
		if want := events[0].Timestamp.String() + ",dead letter,events,refused"; death != want {
			t.Errorf("%s: the death is told as %q, want %q", step, death, want)
		}
		for _, part := range parts {
			if !strings.Contains(got.out, part) {
				t.Errorf("%s: no %q in\n%s", step, part, got.out)
			}
		}
	}
	check("dead")
	execute("CREATE TRIGGER no BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'another reason'); END")
	for range 2 {
		try(t, "dead", "replay", id, "--server", s.admin)
		check("refused again", "another reason")
	}
	got := try(t, "dead", "show", id, "--server", s.admin)
	if !strings.Contains(got.out, `"reason": "refused again at replay: `) ||
		!strings.Contains(got.out, `"death_reason": "refused"`) {
		t.Errorf("the letter is\n%s", got.out)
	}
	execute("DROP TRIGGER no")
	if got := try(t, "dead", "replay", id, "--server", s.admin); got.err != nil {
		t.Fatal(got.err)
	}
	check("replayed", ",replayed,events,", ",stored,events,")
	execute("DELETE FROM events") // it is not there any more: the reason for that is of now
	check("gone", "replayed, and not in the destination")
}

// TestReasonOfDeathOfAnOldLetter, which does not name it, is the last error before its death.
func TestReasonOfDeathOfAnOldLetter(t *testing.T) {
	letter := pillarbox.DeadLetter{DeadAt: 10, Reason: "refused again at replay: c",
		Attempts: []pillarbox.Attempt{{At: 8, Error: "a"}, {At: 10, Error: "b"}, {At: 20, Error: "c"}}}
	if got := letter.ReasonOfDeath(); got != "b" {
		t.Errorf("it is %q", got)
	}
	letter.Attempts = letter.Attempts[:2]
	if got := letter.ReasonOfDeath(); got != letter.Reason {
		t.Errorf("of one that was not replayed it is %q", got)
	}
	if letter.DeathReason = "d"; letter.ReasonOfDeath() != "d" {
		t.Error("what the letter says does not count")
	}
}
