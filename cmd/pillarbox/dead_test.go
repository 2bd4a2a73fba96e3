package main

import (
	"context"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
)

// twoDestinations can both be read back.
const twoDestinations = "destinations: {one: {url: \"sqlite:one.db\", sources: [app]}, two: {url: \"sqlite:two.db\", sources: [app]}}"

// putDeadLetters makes each event a dead letter of each destination.
func (s *running) putDeadLetters(events []*pillarbox.Event, destinations ...string) {
	s.t.Helper()
	for _, event := range events {
		for _, destination := range destinations {
			letter := &pillarbox.DeadLetter{
				Version: 1, Destination: destination, Reason: "refused", DeadAt: event.Timestamp, Event: event,
				Attempts: []pillarbox.Attempt{{At: event.Timestamp, Class: pillarbox.ClassRefused,
					Error: "no such column"}},
			}
			if err := pillarbox.PutDeadLetter(context.Background(), s.engines.DeadLetters,
				letter); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}

// TestReplayOfWhatIsNotOpenIsAnError: whoever names a letter wants that one, and learns what became
// of it. The others are replayed.
func TestReplayOfWhatIsNotOpenIsAnError(t *testing.T) {
	s := startServer(t, "")
	events := enginetest.Events(4, 1)
	s.putDeadLetters(events, "events")
	replay := func(args ...string) result {
		return try(t, append([]string{"dead", "replay", "--server", s.admin}, args...)...)
	}
	id := func(n int) string { return events[n].RequestID }
	replay("nobody").failsWith(t, exitFailed, "nobody is unknown")
	replay(id(0), "--destination", "two").failsWith(t, exitFailed, id(0)+" is unknown")
	if got := replay(id(0)); got.err != nil || !strings.Contains(got.out, "1 of 1 replayed") {
		t.Errorf("%v %s", got.err, got.out)
	}
	if got := try(t, "dead", "discard", id(1), "--server", s.admin); got.err != nil {
		t.Fatal(got.err)
	}
	replay(id(0), id(1)).failsWith(t, exitFailed, id(0)+" was replayed already",
		id(1)+" was discarded already")
	got := replay("--dry-run", id(0), id(2), "nobody")
	got.failsWith(t, exitFailed, id(0)+" was replayed already", "nobody is unknown")
	if strings.Contains(got.err.Error(), id(2)) ||
		!strings.Contains(got.out, "1 dead letters would be replayed") {
		t.Errorf("%v\n%s", got.err, got.out)
	}
	replay(id(2), "--error", "another").failsWith(t, exitFailed, "matches the other filters")
	got = replay("nobody", id(2), id(3))
	got.failsWith(t, exitFailed, "nobody is unknown")
	if !strings.Contains(got.out, "2 of 2 replayed") {
		t.Errorf("the others: %s", got.out)
	}
}

// TestSeveralDestinationsNameTheFlag that chooses one.
func TestSeveralDestinationsNameTheFlag(t *testing.T) {
	s := startServer(t, twoDestinations)
	events := enginetest.Events(1, 1)
	s.putDeadLetters(events, "one", "two")
	id := events[0].RequestID
	try(t, "events", "--server", s.admin).failsWith(t, exitUsage, "--destination", "one, two")
	try(t, "events", "--follow", "--server", s.admin).failsWith(t, exitUsage, "--destination",
		"one, two")
	try(t, "dead", "show", id, "--server", s.admin).failsWith(t, exitFailed, "--destination",
		"one, two")
	try(t, "dead", "discard", id, "--server", s.admin).failsWith(t, exitFailed, "--destination",
		"one, two")
	if got := try(t, "dead", "discard", id, "--destination", "one", "--server",
		s.admin); got.err != nil {
		t.Error(got.err)
	}
	if got := try(t, "explain", id, "--server", s.admin); got.err != nil ||
		!strings.Contains(got.out, "two") {
		t.Errorf("explain tells of all: %v\n%s", got.err, got.out)
	}
}
