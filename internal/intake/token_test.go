package intake_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/intake"
	"pillarbox/internal/node/nodetest"
	"pillarbox/internal/source"
)

// slowTokens are decided about only by who has waited, if that helps.
type slowTokens struct {
	helps, known   bool
	asked, awaited atomic.Int64
}

func (s *slowTokens) Identify(_ string, _ time.Time, _ bool) (string, pillarbox.Attributes, string) {
	s.asked.Add(1)
	if s.awaited.Load() == 0 || !s.known {
		return "", nil, "undecided"
	}
	return "alice", nil, ""
}

func (s *slowTokens) Await() bool {
	s.awaited.Add(1)
	return s.helps
}

// TestATokenIsWaitedForOffTheLoop: single events, whole and in pieces, and batches. What can't be
// said is told as that, and what nobody knows is refused.
func TestATokenIsWaitedForOffTheLoop(t *testing.T) { onAllFronts(t, waitedFor) }

func waitedFor(t *testing.T, f front) {
	b := openPublic(t, intake.Options{})
	server := f.serve(t, b, 0, 0)
	for name, c := range map[string]struct {
		helps, known bool
		status       int
	}{"known": {true, true, 202}, "not known": {true, false, 401}, "away": {false, false, 503}} {
		for _, pieces := range []int{1, 2, 0} {
			for _, target := range []string{"/app", "/app/batch"} {
				tokens := &slowTokens{helps: c.helps, known: c.known}
				use(t, b, source.Settings{Name: "app", Path: "/app", Tokens: []source.Tokens{tokens}}, source.Settings{Name: "plain", Path: "/plain"})
				before := len(b.Queued())
				door := nodetest.Door{Name: name, Target: target, Body: "[1]", Header: []string{"Content-Type", "application/json", "Authorization", "Bearer x"}}
				got := send(t, server, &door, pieces)
				if got.Status != c.status || tokens.awaited.Load() != 1 {
					t.Errorf("%s at %s in %d pieces: answered with %d %s after %d waits", name, target, pieces, got.Status, got.Body, tokens.awaited.Load())
				}
				if (c.status == 503) != (got.Header.Get("Retry-After") != "") {
					t.Errorf("%s: Retry-After is %q", name, got.Header.Get("Retry-After"))
				}
				stored := map[int]int{202: 1}[c.status]
				if pieces == 0 && (got.Status != http.StatusUnauthorized || f.gateway != "") { // which keeps its connections
					stored++ // the one behind it
				}
				if n := len(b.Queued()) - before; n != stored {
					t.Errorf("%s at %s in %d pieces: %d events are stored, want %d", name, target, pieces, n, stored)
				}
			}
		}
	}
}
