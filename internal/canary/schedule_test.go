package canary_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox"
	"pillarbox/internal/canary"
	"pillarbox/internal/deliver"
)

// round is a schedule in a bubble with a fake clock. The loops are the story.
type round struct {
	*canary.Schedule

	mu     sync.Mutex // guards what follows; the story changes it by set
	sent   []string
	answer error
	gone   atomic.Bool // hook is not configured any more
	early  bool        // what became of it is told before the receipt is here
	tell   map[string]deliver.CanaryState
	done   chan error
}

func (r *round) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

// count is how many were sent.
func (r *round) count() (n int) {
	r.set(func() { n = len(r.sent) })
	return n
}

func begin(t *testing.T, shared, early bool, tell map[string]deliver.CanaryState) *round {
	r := &round{tell: tell, early: early, done: make(chan error, 1)}
	r.Schedule = canary.NewSchedule(
		canary.ScheduleOptions{Every: time.Minute, Timeout: 10 * time.Second, Shared: shared,
			Destinations: func() []canary.To {
				events := canary.To{Name: "events", Sent: true}
				if r.gone.Load() {
					return []canary.To{events}
				}
				return []canary.To{events, {Name: "hook", Sent: tell["hook"] != deliver.CanaryNotSent}}
			},
			Post: func(context.Context) (pillarbox.Receipt, error) {
				r.mu.Lock()
				defer r.mu.Unlock()
				if r.answer != nil {
					return pillarbox.Receipt{}, r.answer
				}
				id := fmt.Sprint("id-", len(r.sent))
				r.sent = append(r.sent, id)
				if r.early {
					r.settleLocked(id)
				} else {
					go func() { time.Sleep(time.Second); r.set(func() { r.settleLocked(id) }) }()
				}
				return pillarbox.Receipt{RequestID: id}, nil
			}},
	)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { r.done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-r.done; err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute) // what is on its way ends, in the bubble
	})
	return r
}

func (r *round) settleLocked(id string) {
	for name, state := range r.tell {
		r.Settled(
			name,
			[]deliver.CanaryResult{
				{RequestID: id, State: state, Reason: "because", Took: 20 * time.Millisecond},
			},
		)
	}
}

func (r *round) after(wait time.Duration) {
	time.Sleep(wait) // in the bubble
	synctest.Wait()
}

var fine = map[string]deliver.CanaryState{
	"events": deliver.CanaryReturned,
	"hook":   deliver.CanaryNotSent,
}

func TestAScheduleHearsWhatBecameOfIt(t *testing.T) {
	for name, c := range map[string]struct {
		early, shared bool
		tell          map[string]deliver.CanaryState
		ok            bool
		text          string
	}{
		"there and back":      {tell: fine, ok: true, text: "accepted in 0s, back from events in 20ms, not sent to hook"},
		"before its receipt":  {early: true, tell: fine, ok: true, text: "back from events in 20ms"},
		"taken":               {tell: map[string]deliver.CanaryState{"events": deliver.CanaryReturned, "hook": deliver.CanarySent}, ok: true, text: "taken by hook in 20ms"},
		"lost":                {tell: map[string]deliver.CanaryState{"events": deliver.CanaryLost, "hook": deliver.CanaryNotSent}, text: "lost at events (because)"},
		"left":                {tell: map[string]deliver.CanaryState{"events": deliver.CanaryLeft, "hook": deliver.CanaryNotSent}, text: "left at events (because)"},
		"nobody tells":        {tell: nil, text: "waiting at events (it is not there and back after 10s (canary.timeout))"},
		"others may have it":  {shared: true, tell: nil, ok: true, text: "not known of events"},
		"others, and it lost": {shared: true, tell: map[string]deliver.CanaryState{"events": deliver.CanaryLost}, text: "lost at events"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := begin(t, c.shared, c.early, c.tell)
				r.after(30 * time.Second)
				got := r.Status()
				if got.OK != c.ok || !strings.Contains(got.Text, c.text) ||
					len(got.Destinations) != 2 ||
					r.count() != 1 ||
					got.EverySeconds != 60 {
					t.Errorf("%+v, want %q", got, c.text)
				}
				if waits := r.Waiting("events"); c.tell != nil && waits != 0 {
					t.Errorf("%d still wait for what was told", waits)
				}
			})
		})
	}
}

func TestADoorThatDoesNotTakeItIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := begin(t, false, false, fine)
		r.after(30 * time.Second) // one is back
		r.set(func() { r.answer = &canary.Refused{Answer: "507 no space"} })
		r.after(time.Minute)
		if got := r.Status(); got.OK ||
			!strings.Contains(got.Text, "was not accepted: 507 no space") {
			t.Errorf("%+v", got)
		}
		r.set(func() { r.answer = errors.New("connection refused") })
		r.after(time.Minute)
		if got := r.Status(); got.OK ||
			!strings.Contains(got.Text, "was not answered: connection refused") {
			t.Errorf("%+v", got)
		}
		r.set(func() { r.answer = nil })
		r.after(time.Minute + 5*time.Second)
		if got := r.Status(); !got.OK {
			t.Errorf("%+v", got)
		}
	})
}

// A destination that is down for days holds few canaries, the others are tried all the same, and no
// more than MaxWaiting wait in the end.
func TestCanariesDontPileUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := begin(t, false, false, map[string]deliver.CanaryState{"events": deliver.CanaryReturned})
		r.after(24 * time.Hour)
		if day := r.count(); day < 40 || day > 60 {
			t.Errorf("%d canaries in a day of an outage: one a minute would be %d", day, 24*60)
		}
		if state := r.Status().Destinations; state[0].State != "returned" ||
			state[1].State != "waiting" ||
			state[1].Waiting != uint64(r.count()) {
			t.Errorf("%+v after %d", state, r.count())
		}
		r.after(30 * 24 * time.Hour)
		if got := r.Waiting("hook"); got != canary.MaxWaiting || r.count() != canary.MaxWaiting {
			t.Errorf("%d wait, %d were sent", got, r.count())
		}
		if got := r.Status(); got.OK ||
			!strings.Contains(
				got.Text,
				"no canary is sent: 100 of them wait for the destination hook",
			) {
			t.Errorf("%+v", got)
		}
		var all []string
		r.set(func() { all = slices.Clone(r.sent) })
		for _, id := range all {
			r.Settled("hook", []deliver.CanaryResult{{RequestID: id, State: deliver.CanaryLate}})
		}
		r.set(func() { r.tell = fine })
		r.after(10 * time.Minute)
		if got := r.Status(); !got.OK || r.Waiting("hook") > 1 ||
			r.count() < canary.MaxWaiting+9 {
			t.Errorf("%+v: it goes on when the destination is back", got)
		}
	})
}

// What others settle of a shared queue is not waited for, wherever it is sent or not.
func TestCanariesOfASharedQueueDontPileUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := begin(t, true, false, nil)
		r.after(10*time.Minute - time.Second)
		if r.count() != 10 || r.Waiting("events") != 0 || r.Waiting("hook") != 0 {
			t.Errorf("%d were sent, %d and %d wait", r.count(), r.Waiting("events"), r.Waiting("hook"))
		}
	})
}

func TestNoScheduleTellsNothing(t *testing.T) {
	var none *canary.Schedule
	none.Settled("events", nil)
	if none.Waiting("events") != 0 || none.Status() != nil {
		t.Error("it tells something")
	}
}

// TestADestinationThatIsGoneKeepsNobodyUp: what waits for one that is not configured any more makes no
// interval longer, and counts again when the destination is back.
func TestADestinationThatIsGoneKeepsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := begin(t, false, false, map[string]deliver.CanaryState{"events": deliver.CanaryReturned})
		r.after(time.Hour) // each minute at first, and then less and less often
		before, waiting := r.count(), r.Waiting("hook")
		if waiting < 5 || waiting > 15 {
			t.Fatalf("%d canaries wait for hook after an hour", waiting)
		}
		r.gone.Store(true)
		r.after(2 * time.Hour)
		if sent := r.count() - before; sent < 100 {
			t.Errorf("%d canaries are sent in two hours in which hook is not configured", sent)
		}
		r.gone.Store(false)
		if got := r.Waiting("hook"); got < waiting {
			t.Errorf("%d canaries wait for hook when it is back, and %d did before", got, waiting)
		}
	})
}
