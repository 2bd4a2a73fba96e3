package deliver_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox"
	"pillarbox/internal/deliver"
	"pillarbox/internal/destination"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/memory"
	"pillarbox/internal/retry"
)

// canaries makes events of the canary that are accepted now.
func canaries(n int) []*pillarbox.Event {
	all := enginetest.Events(n, 90)
	for i, event := range all {
		event.Source, event.Timestamp = pillarbox.CanarySource, pillarbox.TimestampOf(
			time.Now(),
		)+pillarbox.Timestamp(
			i,
		)
	}
	return all
}

func (o *fixture) add(events ...*pillarbox.Event) {
	o.t.Helper()
	if err := o.queue.Append(context.Background(), events); err != nil {
		o.t.Fatal(err)
	}
}

// skipped sees that so many events of the canary are settled, that the equation holds, and that
// nothing of them is in the destination.
func (o *fixture) skipped(canaries int, states ...deliver.CanaryState) {
	o.t.Helper()
	account, err := o.queue.Account("events")
	if err != nil {
		o.t.Fatal(err)
	}
	if account.SkippedBy.Canary != uint64(canaries) ||
		account.Accepted != account.Stored+account.Dead+account.Skipped+account.Pending {
		o.t.Errorf("account %+v, want %d events of the canary", account, canaries)
	}
	stored, err := o.sink.List(
		context.Background(),
		pillarbox.EventFilter{Source: pillarbox.CanarySource},
	)
	if err != nil || len(stored) > 0 {
		o.t.Errorf("%d events of the canary are in the destination, %v", len(stored), err)
	}
	var got []deliver.CanaryState
	for _, result := range o.results() {
		got = append(got, result.State)
	}
	if !slices.Equal(got, states) {
		o.t.Errorf("results %+v, want %v", o.results(), states)
	}
}

// A canary is written, read back and removed, behind the users' events and in a batch of its own,
// whatever the destination takes and changes.
func TestTheCanaryGoesThereAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var batches [][]string
		rules := destination.Settings{
			Rule:  &pillarbox.Rule{},
			Shape: destination.Shape{Drop: destination.Places{JSON: []string{"/a"}}},
		}
		o := open(t, nil, rules, nil)
		defer o.stop()
		o.fault = func(events []*pillarbox.Event) error {
			var sources []string
			for _, e := range events {
				sources = append(sources, e.Source)
			}
			batches = append(batches, slices.Compact(sources))
			return nil
		}
		users, canary := enginetest.Events(4, 91), canaries(2)
		for _, event := range users {
			event.Source, event.Body, event.ContentType = "app", []byte(
				`{"a":1,"b":2}`,
			), "application/json"
		}
		o.add(users[0], canary[0], users[1], canary[1], users[2], users[3])
		o.after(time.Second)
		o.expect(4, 0, 0)
		o.skipped(2, deliver.CanaryReturned, deliver.CanaryReturned)
		if got := fmt.Sprint(batches); got != "[[app] [pillarbox-canary] [pillarbox-canary]]" {
			t.Errorf("batches of %s", got)
		}
		if took := o.results()[0].Took; took < 10*time.Millisecond ||
			o.results()[0].RequestID != canary[0].RequestID {
			t.Errorf("result %+v: the batch alone waits 10 ms", o.results()[0])
		}
	})
}

// What the destination does with a canary tells in its result, spends no attempt, is no dead
// letter, and neither opens a breaker nor fails a user's event.
func TestTheCanaryIsNobodysFailure(t *testing.T) {
	isCanary := func(events []*pillarbox.Event) bool { return events[0].IsCanary() }
	for name, c := range map[string]struct {
		fault  error
		remove error
		state  deliver.CanaryState
		reason string
	}{
		"refused":           {fault: errors.New("no such column"), state: deliver.CanaryLost, reason: "it is not taken: no such column"},
		"refused for good":  {fault: pillarbox.Permanent(errors.New("too wide")), state: deliver.CanaryLost, reason: "too wide"},
		"down":              {fault: fmt.Errorf("connection reset: %w", pillarbox.ErrUnavailable), state: deliver.CanaryLost, reason: "connection reset"},
		"gone":              {fault: pillarbox.ErrGone, state: deliver.CanaryLost, reason: "not taken"},
		"can't be removed":  {remove: errors.New("permission denied"), state: deliver.CanaryLost, reason: "not written, because it could not be removed again: permission denied"},
		"removal not there": {remove: pillarbox.ErrUnavailable, state: deliver.CanaryLost, reason: "not written"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := open(t, nil, destination.Settings{Retry: retry.Policy{MaxAttempts: 3}}, nil)
				defer o.stop()
				o.fault = func(events []*pillarbox.Event) error {
					if isCanary(events) {
						return c.fault
					}
					return nil
				}
				o.sink.RemoveFault = func([]pillarbox.Key) error { return c.remove }
				users := enginetest.Events(2, 92)
				o.add(canaries(1)[0], users[0])
				o.after(time.Second)
				o.skipped(1, c.state)
				if len(o.results()) == 0 || !strings.Contains(o.results()[0].Reason, c.reason) {
					t.Fatalf("results %+v, want %q", o.results(), c.reason)
				}
				if status := o.loop.Status(); status.State != deliver.StateDelivering ||
					status.LastError != "" {
					t.Errorf("status %+v", status)
				}
				o.add(users[1])
				o.after(time.Second)
				o.expect(2, 0, 0)
			})
		})
	}
}

// A destination that says yes and stores nothing, or something else, is found out.
func TestTheCanaryIsReadBack(t *testing.T) {
	event := canaries(1)[0]
	for want, found := range map[string]*pillarbox.Event{"is not there": nil, "comes back as something else": {
		Timestamp: event.Timestamp, RequestID: event.RequestID, Body: []byte("else")}} {
		report := deliver.Step(
			t.Context(),
			forgetful{memory.NewSink(), found},
			[]pillarbox.Delivery{{Event: event}},
			destination.New(
				destination.Settings{Name: "events"},
			),
			deliver.Moment{
				Now:      time.Now(),
				Chance:   func() float64 { return 0 },
				Canaries: deliver.NewCanaries(time.Now(), false),
			},
		)
		if len(report.Canaries) != 1 || report.Canaries[0].State != deliver.CanaryLost ||
			!strings.Contains(report.Canaries[0].Reason, want) {
			t.Errorf("results %+v, want that it %s", report.Canaries, want)
		}
	}
}

// forgetful finds something else than what was written.
type forgetful struct {
	*memory.Sink
	found *pillarbox.Event
}

func (f forgetful) Find(_ context.Context, id string) (*pillarbox.Event, error) {
	if f.found == nil {
		return nil, fmt.Errorf("event %s: %w", id, pillarbox.ErrNotFound)
	}
	return f.found, nil
}

// A destination that is down gets the canary when it is back, if that is in time; else it is late,
// and nothing is written any more.
func TestTheCanaryWaitsForADestinationThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		down.Store(true)
		o := open(
			t,
			nil,
			destination.Settings{Canary: destination.Canary{Timeout: 10 * time.Second}},
			nil,
		)
		defer o.stop()
		o.fault = func([]*pillarbox.Event) error {
			if down.Load() {
				return pillarbox.ErrUnavailable
			}
			return nil
		}
		users := enginetest.Events(2, 93)
		o.add(users[0])
		o.after(time.Second)
		early := canaries(1)[0]
		o.add(early)
		o.after(time.Minute)
		o.skipped(0)
		o.add(enginetest.Clone(early)) // its clock is that of a minute ago
		fresh := canaries(2)[1]
		o.add(fresh, users[1])
		down.Store(false)
		o.after(time.Minute)
		o.expect(2, 0, 0)
		if len(o.results()) != 3 || o.results()[0].State != deliver.CanaryLate ||
			o.results()[1].State != deliver.CanaryLate {
			t.Errorf("results %+v", o.results())
		}
		o.skipped(3, deliver.CanaryLate, deliver.CanaryLate, o.results()[2].State)
	})
}

// What a crash has left in the destination is removed by the next life, however late, and an outage
// of the removal alone holds up no user's event.
func TestWhatACrashLeavesOfTheCanaryIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := canaries(1)[0]
		time.Sleep(5 * time.Minute) // the loop is of a later life
		o := open(t, nil, destination.Settings{}, nil)
		defer o.stop()
		if err := o.sink.Write(t.Context(), []*pillarbox.Event{left}); err != nil {
			t.Fatal(err)
		}
		var fails atomic.Bool
		fails.Store(true)
		o.sink.RemoveFault = func([]pillarbox.Key) error {
			if fails.Load() {
				return pillarbox.ErrUnavailable
			}
			return nil
		}
		users := enginetest.Events(3, 94)
		o.add(left, users[0])
		o.after(time.Minute)
		o.add(users[1:]...)
		o.after(time.Minute)
		if account, _ := o.queue.Account("events"); account.Stored != 3 || account.Pending != 1 ||
			len(o.results()) != 0 {
			t.Errorf(
				"account %+v, results %+v: it may be there, and is not given up yet",
				account,
				o.results(),
			)
		}
		fails.Store(false)
		o.after(time.Minute)
		o.expect(3, 0, 0)
		o.skipped(1, deliver.CanaryLate)
	})
}

// Where it is never known whether an earlier life has written a canary, it is not waited for longer
// than an hour, and is said.
func TestACanaryThatCanNeverBeRemovedIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := canaries(1)[0]
		time.Sleep(time.Minute)
		o := open(t, nil, destination.Settings{}, nil)
		defer o.stop()
		o.sink.RemoveFault = func([]pillarbox.Key) error { return pillarbox.ErrUnavailable }
		o.add(old)
		o.after(58 * time.Minute)
		o.skipped(0)
		o.after(2 * time.Minute)
		o.skipped(1, deliver.CanaryLeft)
	})
}

// What a crash has left is removed also where no canary is sent any more.
func TestWhatIsLeftIsRemovedWhereNoneIsSentAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := canaries(1)[0]
		time.Sleep(time.Minute)
		o := open(t, nil, destination.Settings{
			Canary: destination.Canary{Policy: destination.CanaryNever}}, nil)
		defer o.stop()
		if err := o.sink.Write(t.Context(), []*pillarbox.Event{left}); err != nil {
			t.Fatal(err)
		}
		o.add(left)
		o.after(time.Second)
		o.skipped(1, deliver.CanaryNotSent)
		o.sink.RemoveFault = func([]pillarbox.Key) error { return errors.New("permission denied") }
		o.add(canaries(2)[1])
		o.after(time.Second)
		o.skipped(2, deliver.CanaryNotSent, deliver.CanaryNotSent)
	})
}

// A canary whose removal is refused after it was written is said, and is not waited for.
func TestACanaryThatStaysBehindIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := open(t, nil, destination.Settings{}, nil)
		defer o.stop()
		removals := 0
		o.sink.RemoveFault = func([]pillarbox.Key) error {
			if removals++; removals > 1 {
				return errors.New("permission denied")
			}
			return nil
		}
		o.add(canaries(1)[0])
		o.after(time.Second)
		if len(o.results()) != 1 || o.results()[0].State != deliver.CanaryLeft ||
			o.results()[0].Reason != "permission denied" {
			t.Errorf("results %+v", o.results())
		}
		if account, _ := o.queue.Account("events"); account.SkippedBy.Canary != 1 ||
			account.Pending != 0 {
			t.Errorf("account %+v", account)
		}
	})
}

// A destination that can't be read back is sent a canary only where it asks for it; one that asks
// for none gets none.
func TestTheCanaryIsSentWhereItMayBe(t *testing.T) {
	for _, c := range []struct {
		policy   destination.CanaryPolicy
		readable bool
		state    deliver.CanaryState
		writes   int
	}{
		{destination.CanaryThereAndBack, false, deliver.CanaryNotSent, 0},
		{destination.CanarySend, false, deliver.CanarySent, 1},
		{destination.CanaryNever, true, deliver.CanaryNotSent, 0},
		{destination.CanarySend, true, deliver.CanaryReturned, 1},
	} {
		sink := memory.NewSink()
		writes := 0
		sink.Fault = func([]*pillarbox.Event) error { writes++; return nil }
		var to pillarbox.Sink = sink
		if !c.readable {
			to = oneWay{sink}
		}
		report := deliver.Step(
			t.Context(),
			to,
			[]pillarbox.Delivery{{Event: canaries(1)[0]}},
			destination.New(
				destination.Settings{Name: "events", Canary: destination.Canary{Policy: c.policy}},
			),
			deliver.Moment{
				Now:      time.Now(),
				Chance:   func() float64 { return 0 },
				Canaries: deliver.NewCanaries(time.Now(), false),
			},
		)
		if len(report.Canaries) != 1 || report.Canaries[0].State != c.state || writes != c.writes ||
			report.Outcomes[0].Skip != pillarbox.SkippedCanary || report.Down != nil {
			t.Errorf("policy %d, readable %v: %+v, %d writes", c.policy, c.readable, report, writes)
		}
	}
}

// Who delivers without a way for canaries, as a function does, skips them, and touches nothing.
func TestACanaryWithoutAWayIsSkipped(t *testing.T) {
	sink := memory.NewSink()
	sink.Fault = func([]*pillarbox.Event) error { t.Error("it is written"); return nil }
	sink.RemoveFault = func([]pillarbox.Key) error { t.Error("something is removed"); return nil }
	report := deliver.Step(t.Context(), sink, []pillarbox.Delivery{{Event: canaries(1)[0]}},
		destination.New(destination.Settings{Name: "events"}), deliver.Moment{Now: time.Now()})
	if report.Outcomes[0].Skip != pillarbox.SkippedCanary ||
		report.Canaries[0].State != deliver.CanaryNotSent {
		t.Errorf("%+v", report)
	}
}

// oneWay can't be read back.
type oneWay struct{ *memory.Sink }

func (oneWay) Traits() pillarbox.SinkTraits { return pillarbox.SinkTraits{} }
