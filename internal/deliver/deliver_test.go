package deliver_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox"
	"pillarbox/internal/batch"
	"pillarbox/internal/deliver"
	"pillarbox/internal/destination"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/memory"
	"pillarbox/internal/retry"
)

// fixture is a whole delivery on memory engines, inside a bubble with a fake clock.
type fixture struct {
	t       *testing.T
	queue   *memory.Queue
	sink    *memory.Sink
	letters *memory.DeadLetters
	loop    *deliver.Loop
	watch   *deliver.Watch
	history *deliver.History
	writes  atomic.Int64
	told    sync.Mutex             // guards canary
	canary  []deliver.CanaryResult // see results
	fault   func(events []*pillarbox.Event) error
	stop    func()
}

// open starts a loop over n events that are already queued. The story changes fault before and
// while it runs.
func open(t *testing.T, events []*pillarbox.Event, rules destination.Settings,
	fault func(events []*pillarbox.Event) error) *fixture {
	o := &fixture{
		t: t, queue: memory.NewQueue(nil), sink: memory.NewSink(), letters: memory.NewDeadLetters(),
		history: deliver.NewHistory(), fault: fault,
	}
	o.sink.Fault = func(events []*pillarbox.Event) error {
		o.writes.Add(1)
		if o.fault != nil {
			return o.fault(events)
		}
		return nil
	}
	if _, err := o.queue.Account("events"); err != nil {
		t.Fatal(err)
	}
	if err := o.queue.Append(context.Background(), events); err != nil {
		t.Fatal(err)
	}
	rules.Name, rules.Batch = "events", batch.Limits{MaxEvents: 1000, MaxAge: 10 * time.Millisecond}
	other := destination.Settings{Name: "other", Rule: &pillarbox.Rule{Sources: []string{"other"}}}
	table, err := destination.Compile([]destination.Settings{rules, other},
		func(string, pillarbox.Handle) *pillarbox.Rule { return nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	o.watch = deliver.NewWatch(table)
	o.loop = deliver.NewLoop(deliver.Options{
		Destination: table.Get("events"), Queue: o.queue, Sink: o.sink, Letters: o.letters, Watch: o.watch, History: o.history,
		Canary: func(_ string, results []deliver.CanaryResult) {
			o.told.Lock()
			defer o.told.Unlock()
			o.canary = append(o.canary, results...)
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- o.loop.Run(ctx) }()
	o.stop = func() {
		o.loop.Drain()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		cancel()
	}
	return o
}

// results are what was told of canaries.
func (o *fixture) results() []deliver.CanaryResult {
	o.told.Lock()
	defer o.told.Unlock()
	return slices.Clone(o.canary)
}

// after lets the fake clock run.
func (o *fixture) after(wait time.Duration) *fixture {
	time.Sleep(wait) // in the bubble
	synctest.Wait()
	return o
}

func (o *fixture) expect(stored, dead, pending uint64) {
	o.t.Helper()
	account, err := o.queue.Account("events")
	if err != nil {
		o.t.Fatal(err)
	}
	if account.Stored != stored || account.Dead != dead || account.Pending != pending {
		o.t.Fatalf("account %+v, want %d stored, %d dead, %d pending", account, stored, dead, pending)
	}
	if n, _ := o.sink.Count(context.Background()); n != stored {
		o.t.Errorf("the sink has %d events, want %d", n, stored)
	}
	count, _ := o.letters.Count(context.Background(), "events")
	if count.Open != dead {
		o.t.Errorf("%d dead letters are open, want %d", count.Open, dead)
	}
}

func (o *fixture) attemptsOf(event *pillarbox.Event) []pillarbox.Attempt {
	o.t.Helper()
	letter, err := o.letters.Get(context.Background(), "events", event.RequestID)
	if err != nil {
		o.t.Fatal(err)
	}
	return letter.Attempts
}

// poison makes a fault that refuses a batch as a whole if one of the events is in it.
func poison(err error, events ...*pillarbox.Event) func([]*pillarbox.Event) error {
	return func(batch []*pillarbox.Event) error {
		for _, event := range batch {
			for _, bad := range events {
				if event.RequestID == bad.RequestID {
					return err
				}
			}
		}
		return nil
	}
}

var errRefused = errors.New("no such column")

// TestPoisonStandsAlone refuses batches as a whole because of three events in a thousand: the
// others are stored at once, and only the three spend attempts, 20 of them, and become dead
// letters.
func TestPoisonStandsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := enginetest.Events(1000, 1)
		o := open(t, events, destination.Settings{},
			poison(errRefused, events[0], events[499], events[999]))
		defer o.stop()
		o.after(100 * time.Millisecond)
		o.expect(997, 0, 3)
		if o.writes.Load() > 3*2*11 {
			t.Errorf("%d writes to single out 3 of 1000", o.writes.Load())
		}
		o.after(2 * time.Hour)
		o.expect(997, 3, 0)
		for _, attempt := range o.attemptsOf(events[499]) {
			if attempt.Class != pillarbox.ClassRefused || attempt.Error != errRefused.Error() {
				t.Errorf("attempt %+v", attempt)
			}
		}
		if n := len(o.attemptsOf(events[499])); n != 20 {
			t.Errorf("%d attempts, want 20", n)
		}
	})
}

func TestPermanentRefusalIsDeadAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := enginetest.Events(100, 2)
		o := open(t, events, destination.Settings{}, poison(pillarbox.Permanent(errRefused), events[42]))
		defer o.stop()
		o.after(100 * time.Millisecond)
		o.expect(99, 1, 0)
		if attempts := o.attemptsOf(events[42]); len(attempts) != 1 ||
			attempts[0].Class != pillarbox.ClassPermanent {
			t.Errorf("attempts %+v", attempts)
		}
	})
}

func TestPartialAnswerSettlesEachEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := enginetest.Events(5, 3)
		first := true
		o := open(t, events, destination.Settings{}, func(batch []*pillarbox.Event) error {
			if !first {
				return nil
			}
			first = false
			return &pillarbox.BatchError{Items: []pillarbox.ItemError{
				{Index: 1, Err: errRefused}, {Index: 2, Err: pillarbox.Permanent(errRefused)},
				{Index: 4, Err: fmt.Errorf("throttled: %w", pillarbox.ErrUnavailable)},
			}}
		})
		defer o.stop()
		o.after(100 * time.Millisecond)
		o.expect(2, 1, 2)
		o.after(5 * time.Second)
		o.expect(4, 1, 0)
	})
}

// TestOutageBurnsNoAttempts keeps the destination down for 72 hours while events go on to arrive.
func TestOutageBurnsNoAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := enginetest.Events(400, 4)
		var down atomic.Bool
		down.Store(true)
		o := open(t, events[:200], destination.Settings{MaxAge: 0}, func([]*pillarbox.Event) error {
			if down.Load() {
				return fmt.Errorf("connection refused: %w", pillarbox.ErrUnavailable)
			}
			return nil
		})
		defer o.stop()
		o.after(time.Hour)
		if status := o.loop.Status(); status.State != deliver.StateDown || status.LastError == "" ||
			status.NextProbe.IsZero() {
			t.Errorf("status %+v", status)
		}
		if err := o.queue.Append(context.Background(), events[200:]); err != nil {
			t.Fatal(err)
		}
		o.after(71 * time.Hour)
		o.expect(0, 0, 400)
		if account, _ := o.queue.Account("events"); account.Retrying != 0 {
			t.Errorf("%d events spent an attempt", account.Retrying)
		}
		if o.writes.Load() > 72*3600/15*2+100 {
			t.Errorf("%d writes to a destination that is down", o.writes.Load())
		}
		down.Store(false)
		o.after(time.Minute)
		o.expect(400, 0, 0)
		if status := o.loop.Status(); status.State != deliver.StateDelivering || status.LastError != "" {
			t.Errorf("status %+v", status)
		}
	})
}

// TestEventThatLooksLikeAnOutage has one event whose write always ends like an outage. A control
// event shows that the destination is up, so the event is charged, and its neighbours are not held
// up.
func TestEventThatLooksLikeAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := enginetest.Events(300, 5)
		hang := fmt.Errorf("connection reset: %w", pillarbox.ErrUnavailable)
		o := open(t, events, destination.Settings{
			Retry: retry.Policy{MaxAttempts: 3, Initial: time.Second, Max: time.Second}}, poison(
			hang, events[7]))
		defer o.stop()
		o.after(time.Minute)
		o.expect(299, 0, 1)
		for seed := range uint64(5) { // without other events there is no control event
			if err := o.queue.Append(context.Background(), enginetest.Events(10, 100+seed)); err != nil {
				t.Fatal(err)
			}
			o.after(time.Minute)
		}
		o.expect(349, 1, 0)
		for _, attempt := range o.attemptsOf(events[7]) {
			if attempt.Class != pillarbox.ClassUnavailable {
				t.Errorf("attempt %+v", attempt)
			}
		}
	})
}

// TestUnknownOutcomeIsWrittenAgain loses the answer of a write that was done.
// TestDestinationThatAnswersNowAndThenChargesNobody probes a destination that answers every second
// call: the control event was stored by luck, and the event before it is not to blame.
func TestDestinationThatAnswersNowAndThenChargesNobody(t *testing.T) {
	sink, calls := memory.NewSink(), 0
	sink.Fault = func([]*pillarbox.Event) error {
		if calls++; calls == 2 {
			return nil
		}
		return fmt.Errorf("connection reset: %w", pillarbox.ErrUnavailable)
	}
	events := enginetest.Events(2, 1)
	deliveries := []pillarbox.Delivery{{Handle: pillarbox.Handle{Seq: 1}, Event: events[0]},
		{Handle: pillarbox.Handle{Seq: 2}, Event: events[1]}}
	report := deliver.Step(context.Background(), sink, deliveries,
		destination.New(destination.Settings{}), deliver.Moment{Now: time.Now(),
			Chance: func() float64 { return 0 }, Probe: true})
	if report.Down == nil || report.Outcomes[0].Kind != pillarbox.OutcomeReleased ||
		report.Outcomes[1].Kind != pillarbox.OutcomeStored {
		t.Errorf("after %d calls: down is %v, outcomes %+v", calls, report.Down, report.Outcomes)
	}
}

func TestUnknownOutcomeIsWrittenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := enginetest.Events(10, 6)
		o := open(t, nil, destination.Settings{}, nil)
		defer o.stop()
		lost := 0
		o.sink.AfterWrite = func([]*pillarbox.Event) error {
			if lost++; lost <= 2 {
				return context.DeadlineExceeded
			}
			return nil
		}
		if err := o.queue.Append(context.Background(), events); err != nil {
			t.Fatal(err)
		}
		o.after(time.Minute)
		o.expect(10, 0, 0)
	})
}

func TestOldEventsBecomeDeadLettersEvenDuringAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := enginetest.Events(50, 7)
		for _, event := range events {
			event.Timestamp = pillarbox.TimestampOf(time.Now())
		}
		o := open(t, events, destination.Settings{MaxAge: 14 * 24 * time.Hour},
			func([]*pillarbox.Event) error { return pillarbox.ErrUnavailable })
		defer o.stop()
		o.after(13 * 24 * time.Hour)
		o.expect(0, 0, 50)
		o.after(25 * time.Hour)
		o.expect(0, 50, 0)
		if attempts := o.attemptsOf(events[3]); len(attempts) != 1 ||
			attempts[0].Class != pillarbox.ClassExpired {
			t.Errorf("attempts %+v", attempts)
		}
	})
}

func TestOtherSourcesAreSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := enginetest.Events(10, 8)
		for i, event := range events {
			event.Source = []string{"app", "other"}[i%2]
		}
		o := open(t, events, destination.Settings{Rule: &pillarbox.Rule{Sources: []string{"app"}}}, nil)
		defer o.stop()
		o.after(time.Second)
		o.expect(5, 0, 0)
		if account, _ := o.queue.Account("events"); account.Skipped != 5 {
			t.Errorf("account %+v", account)
		}
	})
}

// TestRulesDecideWhatBecomesOfAnEvent is the table of what was meant for a destination, what it
// takes today, and whether another one has it.
func TestRulesDecideWhatBecomesOfAnEvent(t *testing.T) {
	takes, not := &pillarbox.Rule{Sources: []string{"app"}}, &pillarbox.Rule{
		Sources: []string{"other"}}
	for _, c := range []struct {
		then, today       *pillarbox.Rule
		elsewhere, routed bool
		kind              pillarbox.OutcomeKind
		skip              string
	}{
		{then: takes, today: takes, kind: pillarbox.OutcomeStored},
		{then: takes, today: nil, kind: pillarbox.OutcomeStored},
		{then: takes, today: not, kind: pillarbox.OutcomeHeld},
		{then: takes, today: not, elsewhere: true, kind: pillarbox.OutcomeSkipped,
			skip: pillarbox.SkippedElsewhere},
		{then: takes, today: not, routed: true, kind: pillarbox.OutcomeStored},
		{then: not, today: takes, kind: pillarbox.OutcomeSkipped, skip: pillarbox.SkippedSource},
		{then: not, today: takes, routed: true, kind: pillarbox.OutcomeStored},
		{then: not, today: not, kind: pillarbox.OutcomeSkipped, skip: pillarbox.SkippedSource},
		{then: nil, today: takes, kind: pillarbox.OutcomeStored},
		{then: nil, today: not, kind: pillarbox.OutcomeHeld},
		{then: nil, today: not, elsewhere: true, kind: pillarbox.OutcomeSkipped,
			skip: pillarbox.SkippedSource},
	} {
		event := enginetest.Events(1, 1)[0]
		event.Source = "app"
		all := []destination.Settings{{Name: "events", Rule: c.today}}
		if c.elsewhere {
			all = append(all, destination.Settings{Name: "other"})
		}
		table, err := destination.Compile(all,
			func(string, pillarbox.Handle) *pillarbox.Rule { return nil }, nil)
		if err != nil {
			t.Fatal(err)
		}
		deliveries := []pillarbox.Delivery{{Event: event, Rule: c.then, Routed: c.routed}}
		report := deliver.Step(t.Context(), memory.NewSink(), deliveries, table.Get("events"),
			deliver.Moment{Now: event.Timestamp.Time(), Chance: func() float64 { return 0 }})
		if got := report.Outcomes[0]; got.Kind != c.kind || got.Skip != c.skip {
			t.Errorf("%+v: became %d by %q", c, got.Kind, got.Skip)
		}
	}
}

// TestLetterThatCantBeWrittenIsNotLost fails the dead letters for a while: the rejected event is
// neither tried again nor settled before its letter is durable.
func TestLetterThatCantBeWrittenIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := enginetest.Events(3, 9)
		o := open(t, nil, destination.Settings{}, poison(pillarbox.Permanent(errRefused), events[1]))
		defer o.stop()
		var broken atomic.Bool
		broken.Store(true)
		o.letters.Fault = func(*pillarbox.DeadLetter) error {
			if broken.Load() {
				return pillarbox.ErrNoSpace
			}
			return nil
		}
		if err := o.queue.Append(context.Background(), events); err != nil {
			t.Fatal(err)
		}
		o.after(time.Minute)
		o.expect(2, 0, 1)
		writes := o.writes.Load()
		broken.Store(false)
		o.after(time.Minute)
		o.expect(2, 1, 0)
		if o.writes.Load() != writes {
			t.Error("a rejected event was tried again")
		}
	})
}

func TestWatchSeesWhatIsSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := enginetest.Events(2, 10)
		o := open(t, nil, destination.Settings{}, poison(pillarbox.Permanent(errRefused), events[1]))
		defer o.stop()
		stored, dead := o.watch.Expect(events[0]), o.watch.Expect(events[1])
		defer stored.Close()
		defer dead.Close()
		follower := o.watch.Follow("events")
		if err := o.queue.Append(context.Background(), events); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if !stored.Wait(ctx) {
			t.Error("the stored event was not seen")
		}
		if dead.Wait(ctx) || ctx.Err() != nil {
			t.Error("the dead event must end the wait with false, before its time is over")
		}
		if batch := <-follower.Batches; len(batch) != 1 || batch[0].RequestID != events[0].RequestID {
			t.Errorf("followed %v", batch)
		}
		follower.Close()
		follower.Close()
	})
}

// TestHistoryOutlivesTheQueue refuses an event twice before it is stored, and finds the two
// attempts afterwards.
func TestHistoryOutlivesTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := enginetest.Events(2, 11)
		var refusals atomic.Int64
		o := open(t, events, destination.Settings{}, func(batch []*pillarbox.Event) error {
			if len(batch) == 1 && batch[0].RequestID == events[1].RequestID && refusals.Add(1) > 2 {
				return nil
			}
			return poison(errRefused, events[1])(batch)
		})
		defer o.stop()
		o.after(time.Minute)
		o.expect(2, 0, 0)
		if attempts := o.history.Attempts("events", events[1].RequestID); len(attempts) != 2 ||
			attempts[0].Error != errRefused.Error() {
			t.Errorf("attempts %+v, want the two refusals", attempts)
		}
		if attempts := o.history.Attempts("events", events[0].RequestID); len(attempts) != 0 {
			t.Errorf("an event that was stored at once has attempts %+v", attempts)
		}
	})
}

// twiceLeased hands out one of its deliveries twice in a lease, as a queue may where the answer to
// a release was lost.
type twiceLeased struct {
	*memory.Queue
	did bool
}

func (q *twiceLeased) Lease(ctx context.Context, destination string,
	limits pillarbox.LeaseLimits) ([]pillarbox.Delivery, error) {
	deliveries, err := q.Queue.Lease(ctx, destination, limits)
	if len(deliveries) > 1 && !q.did {
		q.did = true
		deliveries = append(deliveries, deliveries[0])
	}
	return deliveries, err
}

// TestOneConflictHoldsUpNoOther settles a batch of which one outcome is a conflict: the others must
// not stay leased for that.
func TestOneConflictHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue, sink := &twiceLeased{Queue: memory.NewQueue(nil)}, memory.NewSink()
		if _, err := queue.Account("events"); err != nil {
			t.Fatal(err)
		}
		if err := queue.Append(t.Context(), enginetest.Events(20, 1)); err != nil {
			t.Fatal(err)
		}
		loop := deliver.NewLoop(deliver.Options{
			Destination: destination.New(destination.Settings{
				Name: "events"}), Queue: queue, Sink: sink, Letters: memory.NewDeadLetters()})
		done := make(chan error, 1)
		go func() { done <- loop.Run(context.Background()) }()
		time.Sleep(time.Minute) // in the bubble
		loop.Drain()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if account, err := queue.Account("events"); err != nil || account.Stored != 20 ||
			account.Pending != 0 || !queue.did {
			t.Errorf("account %+v (%v), want 20 stored", account, err)
		}
	})
}
