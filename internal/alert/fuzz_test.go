package alert

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/vfs"
	"pillarbox/internal/vfs/faultfs"
)

// FuzzState: whatever the state file holds, the rules are looked at, and a state that is written can be read
// again.
func FuzzState(f *testing.F) {
	f.Add([]byte(`{"version":1,"pending":{"a":{"rule":"PillarboxPaused"}},"alerts":[{"key":"PillarboxNotAccepting","owed":{"a":null}}],"past":{"began":"2026-11-30T00:00:00Z","ended":"2026-11-30T00:00:00Z","grown":{"a":[{"at":1,"value":1e300}]}}}`))
	f.Add([]byte(`{"version":1,"past":{}}`))
	f.Add([]byte(`{`))
	at := time.Date(2026, 11, 30, 0, 10, 0, 0, time.UTC)
	rules := BuiltIn()[:1]
	f.Fuzz(func(t *testing.T, content []byte) {
		disk := faultfs.New(faultfs.Options{})
		if err := vfs.WriteFile(disk, StateFile, content); err != nil {
			t.Fatal(err)
		}
		c := New(Options{FS: disk, Rules: rules, Receivers: []Receiver{{Name: "a", Severities: Severities(), Sender: nobody{}}},
			Now: func() time.Time { return at }, Metrics: func() ([]Series, error) {
				return []Series{{Metric: "pillarbox_queue_accepting", Value: 0}, {Metric: "pillarbox_queue_bytes", Value: math.Inf(1)}}, nil
			}})
		for range 3 {
			at = at.Add(time.Minute)
			c.look()
			if m, told := c.plan(c.receivers[0], at); m != nil && len(told) == 0 {
				t.Fatal("a message of nothing")
			}
			c.View()
		}
		c.write()
		if _, err := readState(disk, at); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzRules: whatever a file of rules holds is refused in one line as what can never be right, or can be
// evaluated.
func FuzzRules(f *testing.F) {
	f.Add([]byte(`rules: [{name: Mine, each: destination, when: 'destination.pending > limit.a', limits: {a: 1}, severity: low, summary: a}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		rules, err := parse(text, nil)
		if err != nil {
			if !errors.Is(err, pillarbox.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		for _, r := range rules {
			_, _ = r.holds(r.facts(map[string]any{"destination.pending": 1.0}))
		}
	})
}

// nobody takes everything.
type nobody struct{}

func (nobody) Send(context.Context, *Message) error { return nil }
func (nobody) Single() bool                         { return false }
func (nobody) Close() error                         { return nil }
