package replay_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox"
	"pillarbox/internal/background"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/memory"
	"pillarbox/internal/replay"
)

// morgue is a set of open letters and a destination that may refuse some of them again.
type morgue struct {
	t        *testing.T
	letters  *memory.DeadLetters
	sink     *memory.Sink
	replayer *replay.Replayer
	events   []*pillarbox.Event
	refuse   map[string]bool
	down     bool
	calls    int
	during   func() // runs while letters are on the way
}

func open(t *testing.T, n int) *morgue {
	t.Helper()
	m := &morgue{t: t, letters: memory.NewDeadLetters(), sink: memory.NewSink(),
		events: enginetest.Events(n, 1), refuse: map[string]bool{}}
	for i, event := range m.events {
		letter := &pillarbox.DeadLetter{
			Version: 1, Destination: "events", Reason: "refused", DeadAt: pillarbox.Timestamp(
				1763907120000000 + i), Event: event,
			Attempts: []pillarbox.Attempt{{At: 1, Class: pillarbox.ClassRefused, Error: "no such column"}},
		}
		if err := pillarbox.PutDeadLetter(context.Background(), m.letters, letter); err != nil {
			t.Fatal(err)
		}
	}
	m.replayer = replay.New(replay.Options{Letters: m.letters, Deliver: m.deliver})
	return m
}

func (m *morgue) deliver(ctx context.Context, destination string,
	events []*pillarbox.Event) (errs []error, down error) {
	m.calls++
	if m.during != nil {
		m.during()
	}
	errs = make([]error, len(events))
	for i, event := range events {
		switch {
		case m.down:
			down = fmt.Errorf("connection refused: %w", pillarbox.ErrUnavailable)
			errs[i] = down
		case m.refuse[event.RequestID]:
			errs[i] = errors.New("still no such column")
		default:
			errs[i] = m.sink.Write(ctx, []*pillarbox.Event{event})
		}
	}
	return errs, down
}

func (m *morgue) run(request replay.Request) replay.Progress {
	m.t.Helper()
	progress, err := m.replayer.Run(context.Background(), request, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	return progress
}

func (m *morgue) expect(open, replayed uint64) {
	m.t.Helper()
	count, err := m.letters.Count(context.Background(), "events")
	if err != nil || count.Open != open || count.Replayed != replayed {
		m.t.Errorf("letters %+v, %v, want %d open and %d replayed", count, err, open, replayed)
	}
	if n, _ := m.sink.Count(context.Background()); n != replayed {
		m.t.Errorf("%d events are stored, want %d", n, replayed)
	}
}

func TestReplayingTwiceStoresOnce(t *testing.T) {
	m := open(t, 250)
	if p := m.run(replay.Request{}); p.State != replay.StateDone || p.Replayed != 250 ||
		p.Matched != 250 {
		t.Errorf("progress %+v", p)
	}
	m.expect(0, 250)
	if p := m.run(replay.Request{}); p.Matched != 0 {
		t.Errorf("the second replay found %+v", p)
	}
	m.expect(0, 250)
}

func TestDryRunTouchesNothing(t *testing.T) {
	m := open(t, 20)
	p := m.run(replay.Request{DryRun: true, Filter: pillarbox.DeadLetterFilter{Error: "NO SUCH"}})
	if p.Matched != 20 || len(p.Sample) != replay.DefaultSample || m.calls != 0 {
		t.Errorf("progress %+v after %d writes", p, m.calls)
	}
	m.expect(20, 0)
}

func TestFilterAndLimitChoose(t *testing.T) {
	m := open(t, 20)
	if p := m.run(replay.Request{Filter: pillarbox.DeadLetterFilter{
		RequestIDs: []string{m.events[3].RequestID}}}); p.Replayed != 1 {
		t.Errorf("by id: %+v", p)
	}
	if p := m.run(replay.Request{Filter: pillarbox.DeadLetterFilter{
		Error: "something else"}}); p.Matched != 0 {
		t.Errorf("by error: %+v", p)
	}
	if p := m.run(replay.Request{Limit: 5}); p.Replayed != 5 {
		t.Errorf("with a limit: %+v", p)
	}
	m.expect(14, 6)
}

// TestReplayStopsWhenTooManyFail keeps the cause of all refusals in place.
func TestReplayStopsWhenTooManyFail(t *testing.T) {
	m := open(t, 500)
	for _, event := range m.events {
		m.refuse[event.RequestID] = true
	}
	p := m.run(replay.Request{})
	if p.State != replay.StateStopped || p.Failed < replay.DefaultMaxFailed ||
		p.Failed > replay.DefaultMaxFailed+100 || p.Reason == "" {
		t.Errorf("progress %+v", p)
	}
	m.expect(500, 0)
	letter, err := m.letters.Get(context.Background(), "events", m.events[0].RequestID)
	if err != nil || len(letter.Attempts) != 2 || letter.Attempts[1].Error != "still no such column" {
		t.Errorf("letter %+v, %v", letter, err)
	}
	if p := m.run(replay.Request{MaxFailed: -1}); p.State != replay.StateDone || p.Failed != 500 {
		t.Errorf("without a limit: %+v", p)
	}
}

func TestReplayStopsWhileTheDestinationIsDown(t *testing.T) {
	m := open(t, 50)
	m.down = true
	p := m.run(replay.Request{})
	if p.State != replay.StateStopped || m.calls != 1 || p.Failed != 0 {
		t.Errorf("progress %+v after %d writes", p, m.calls)
	}
	m.expect(50, 0)
	if letter, _ := m.letters.Get(context.Background(), "events",
		m.events[0].RequestID); len(letter.Attempts) != 1 {
		t.Errorf("an outage was recorded as an attempt: %+v", letter.Attempts)
	}
}

func TestRateIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := open(t, 101)
		start := time.Now()
		if p := m.run(replay.Request{Rate: 10}); p.Replayed != 101 {
			t.Errorf("progress %+v", p)
		}
		if took := time.Since(start); took < 9*time.Second || took > 11*time.Second {
			t.Errorf("101 letters at 10 a second took %v", took)
		}
	})
}

func TestJobsRunOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := open(t, 100)
		jobs := replay.NewJobs(m.replayer, background.Options{})
		ctx, cancel := context.WithCancel(context.Background())
		first, err := jobs.Start(ctx, replay.Request{Rate: 1})
		if err != nil {
			t.Fatal(err)
		}
		cancel() // the request that started it is over; the replay goes on
		time.Sleep(10 * time.Second)
		if _, err := jobs.Start(context.Background(), replay.Request{}); !errors.Is(err,
			pillarbox.ErrConflict) {
			t.Errorf("a second replay: %v, want ErrConflict", err)
		}
		p, err := jobs.Cancel(context.Background(), first.ID)
		if err != nil || p.State != replay.StateCancelled || p.Replayed < 5 || p.Replayed > 15 {
			t.Errorf("cancelled: %+v, %v", p, err)
		}
		if _, err := jobs.Get("77"); !errors.Is(err, pillarbox.ErrNotFound) {
			t.Errorf("an unknown replay: %v", err)
		}
		if _, err := jobs.Start(context.Background(), replay.Request{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if list := jobs.List(); len(list) != 2 || list[0].State != replay.StateDone {
			t.Errorf("list %+v", list)
		}
		m.expect(0, 100)
		for range 2 {
			if err := jobs.Close(); err != nil {
				t.Error(err)
			}
		}
		if _, err := jobs.Start(context.Background(), replay.Request{}); !errors.Is(err,
			pillarbox.ErrClosed) {
			t.Errorf("start after close: %v", err)
		}
	})
}

func TestDiscardKeepsTheLetter(t *testing.T) {
	m := open(t, 2)
	id := m.events[0].RequestID
	if err := m.replayer.Discard(context.Background(), "", id); err != nil {
		t.Fatal(err)
	}
	if err := m.replayer.Discard(context.Background(), "", id); !errors.Is(err,
		pillarbox.ErrConflict) {
		t.Errorf("twice: %v, want ErrConflict", err)
	}
	if p := m.run(replay.Request{}); p.Replayed != 1 {
		t.Errorf("a discarded letter was replayed: %+v", p)
	}
	if letter, err := m.letters.Get(context.Background(), "", id); err != nil ||
		letter.Resolved == nil || letter.Resolved.How != pillarbox.ResolvedDiscarded {
		t.Errorf("letter %+v, %v", letter, err)
	}
}

// TestReplayLeavesWhatWasDiscardedMeanwhile discards a letter while its event is on the way: that
// it is refused again does not open it.
func TestReplayLeavesWhatWasDiscardedMeanwhile(t *testing.T) {
	m := open(t, 1)
	id := m.events[0].RequestID
	m.refuse[id] = true
	m.during = func() {
		if err := m.replayer.Discard(context.Background(), "events", id); err != nil {
			t.Error(err)
		}
	}
	if p := m.run(replay.Request{}); p.Failed != 1 {
		t.Errorf("progress %+v", p)
	}
	m.expect(0, 0)
}

// TestReplayThroughTheQueue puts events back, and only where the queue can take them.
func TestReplayThroughTheQueue(t *testing.T) {
	letters := memory.NewDeadLetters()
	letter := enginetest.Letters(1, 1)[0]
	if err := pillarbox.PutDeadLetter(t.Context(), letters, letter); err != nil {
		t.Fatal(err)
	}
	deliver := func(context.Context, string, []*pillarbox.Event) ([]error, error) {
		t.Error("it went straight to the destination")
		return []error{nil}, nil
	}
	replayer := replay.New(replay.Options{Letters: letters, Deliver: deliver})
	request := replay.Request{ThroughQueue: true}
	if _, err := replayer.Run(t.Context(), request, nil); !errors.Is(err, pillarbox.ErrInvalid) {
		t.Errorf("without such a queue: %v, want ErrInvalid", err)
	}
	if _, err := replay.NewJobs(replayer, background.Options{}).Start(t.Context(), request); !errors.Is(err,
		pillarbox.ErrInvalid) {
		t.Errorf("in the background: %v, want ErrInvalid", err)
	}
	var back []*pillarbox.DeadLetter
	replayer = replay.New(replay.Options{Letters: letters, Deliver: deliver,
		Queue: shared(func(letters []*pillarbox.DeadLetter) error {
			back = append(back, letters...)
			return nil
		})})
	progress, err := replayer.Run(t.Context(), request, nil)
	if err != nil || progress.Replayed != 1 || len(back) != 1 ||
		enginetest.DiffLetter(back[0], letter) != "" {
		t.Errorf("replayed %+v, %v; %d letters went back", progress, err, len(back))
	}
	if got, err := letters.Get(t.Context(), letter.Destination, letter.Event.RequestID); err != nil ||
		got.Resolved == nil {
		t.Errorf("the letter is %+v, %v; want it resolved", got, err)
	}
}

// sharedQueue is a queue that takes letters back.
type sharedQueue struct {
	pillarbox.Queue
	requeue func(letters []*pillarbox.DeadLetter) error
}

func shared(requeue func(letters []*pillarbox.DeadLetter) error) pillarbox.Queue {
	return sharedQueue{Queue: memory.NewQueue(nil), requeue: requeue}
}

func (q sharedQueue) Traits() pillarbox.QueueTraits {
	return pillarbox.QueueTraits{Shared: true, Requeues: true}
}

func (q sharedQueue) Requeue(_ context.Context, letters []*pillarbox.DeadLetter) error {
	return q.requeue(letters)
}

// TestOutageOfTheQueueIsNoRefusal of the letters that were on their way: a replay tells them apart
// by the error.
func TestOutageOfTheQueueIsNoRefusal(t *testing.T) {
	letters, calls := memory.NewDeadLetters(), 0
	for i, letter := range enginetest.Letters(3, 1) {
		letter.Destination, letter.Attempts = "events", nil
		letter.DeadAt = pillarbox.Timestamp(1763907110000000 + i)
		if err := pillarbox.PutDeadLetter(t.Context(), letters, letter); err != nil {
			t.Fatal(err)
		}
	}
	replayer := replay.New(replay.Options{Letters: letters,
		Queue: shared(func(letters []*pillarbox.DeadLetter) error {
			calls++
			if calls == 1 {
				return nil
			}
			away := func() error { return fmt.Errorf("no answer: %w", pillarbox.ErrUnavailable) }
			return &pillarbox.BatchError{Items: []pillarbox.ItemError{{Index: 0, Err: pillarbox.ErrTooLarge},
				{Index: 1, Err: away()}}}
		})})
	p, err := replayer.Run(t.Context(), replay.Request{ThroughQueue: true}, nil)
	if err != nil || p.State != replay.StateStopped || p.Replayed != 1 || p.Failed != 1 {
		t.Errorf("progress %+v, %v", p, err)
	}
	charged := 0
	for letter, err := range letters.List(t.Context(), pillarbox.DeadLetterFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		charged += len(letter.Attempts)
	}
	if charged != 1 {
		t.Errorf("%d attempts were spent on one refusal and an outage", charged)
	}
}

// TestLetterThatDiesAgainStaysOpen, though it was put back into the queue by a replay that has not
// marked it yet.
func TestLetterThatDiesAgainStaysOpen(t *testing.T) {
	letters := memory.NewDeadLetters()
	letter := enginetest.Letters(1, 1)[0]
	again := *letter
	again.DeadAt++
	if err := pillarbox.PutDeadLetter(t.Context(), letters, letter); err != nil {
		t.Fatal(err)
	}
	replayer := replay.New(replay.Options{Letters: letters,
		Queue: shared(func([]*pillarbox.DeadLetter) error {
			return pillarbox.PutDeadLetter(t.Context(), letters, &again)
		})})
	if progress, err := replayer.Run(t.Context(), replay.Request{ThroughQueue: true},
		nil); err != nil || progress.Replayed != 1 {
		t.Errorf("replayed %+v, %v", progress, err)
	}
	if got, err := letters.Get(t.Context(), letter.Destination, letter.Event.RequestID); err != nil ||
		got.Resolved != nil || got.DeadAt != again.DeadAt {
		t.Errorf("the letter is %+v, %v; want the new one, open", got, err)
	}
}

// TestNoMoreAreRefusedThanMayBe, whatever the batches are.
func TestNoMoreAreRefusedThanMayBe(t *testing.T) {
	for _, limit := range []int{0, 1, 3, 10, 25} {
		m := open(t, 60)
		for _, event := range m.events {
			m.refuse[event.RequestID] = true
		}
		want := limit
		if limit == 0 {
			want = replay.DefaultMaxFailed
		}
		if p := m.run(replay.Request{MaxFailed: limit}); p.State != replay.StateStopped ||
			p.Failed != want {
			t.Errorf("limit %d: progress %+v", limit, p)
		}
	}
}

// TestOutageDoesNotHideTheLimit: a batch may end in one with its last refusals before it, and then
// no other is tried.
func TestOutageDoesNotHideTheLimit(t *testing.T) {
	m := open(t, 3)
	for i, event := range enginetest.Events(3, 2) {
		letter := &pillarbox.DeadLetter{Version: 1, Destination: "other", Reason: "refused",
			DeadAt: pillarbox.Timestamp(1763907110000000 + i), Event: event}
		if err := pillarbox.PutDeadLetter(t.Context(), m.letters, letter); err != nil {
			t.Fatal(err)
		}
	}
	first := ""
	deliver := func(_ context.Context, destination string, events []*pillarbox.Event) ([]error,
		error) {
		if first = cmp.Or(first, destination); destination != first {
			t.Error("another destination was tried beyond the limit")
		}
		errs := slices.Repeat([]error{pillarbox.ErrUnavailable}, len(events))
		errs[0] = errors.New("no")
		return errs, pillarbox.ErrUnavailable
	}
	p, err := replay.New(replay.Options{Letters: m.letters, Deliver: deliver}).Run(t.Context(),
		replay.Request{MaxFailed: 1}, nil)
	if err != nil || p.State != replay.StateStopped || p.Failed != 1 {
		t.Errorf("progress %+v, %v", p, err)
	}
}

// TestOneThatIsDownHoldsUpNoOther destination.
func TestOneThatIsDownHoldsUpNoOther(t *testing.T) {
	m := open(t, 5)
	for i, event := range enginetest.Events(5, 2) {
		letter := &pillarbox.DeadLetter{Version: 1, Destination: "gone", Reason: "refused",
			DeadAt: pillarbox.Timestamp(1763907110000000 + i), Event: event}
		if err := pillarbox.PutDeadLetter(t.Context(), m.letters, letter); err != nil {
			t.Fatal(err)
		}
	}
	deliver := func(ctx context.Context, destination string, events []*pillarbox.Event) ([]error,
		error) {
		if destination == "gone" {
			return slices.Repeat([]error{pillarbox.ErrUnavailable}, len(events)), pillarbox.ErrUnavailable
		}
		return m.deliver(ctx, destination, events)
	}
	p, err := replay.New(replay.Options{Letters: m.letters, Deliver: deliver}).Run(t.Context(),
		replay.Request{}, nil)
	if err != nil || p.State != replay.StateStopped || p.Replayed != 5 || p.Matched != 10 ||
		!strings.Contains(p.Reason, "destination gone can't take events now") {
		t.Errorf("progress %+v, %v", p, err)
	}
	m.expect(0, 5)
}

func TestDiscardManyTakesWhatWasMeant(t *testing.T) {
	m := open(t, 2500)
	ctx := context.Background()
	if _, err := m.replayer.DiscardMany(ctx, pillarbox.DeadLetterFilter{Resolved: true}, false); !errors.Is(err, pillarbox.ErrInvalid) {
		t.Errorf("without a filter: %v", err)
	}
	cause := pillarbox.DeadLetterFilter{Cause: "refused", Destination: "events"}
	for i, c := range []struct {
		filter pillarbox.DeadLetterFilter
		dry    bool
		want   int
		open   uint64
	}{
		{pillarbox.DeadLetterFilter{Cause: "another"}, false, 0, 2500},
		{pillarbox.DeadLetterFilter{RequestIDs: []string{m.events[7].RequestID}}, false, 1, 2499},
		{cause, true, 2499, 2499}, {cause, false, 2499, 0}, {cause, false, 0, 0},
	} {
		n, err := m.replayer.DiscardMany(ctx, c.filter, c.dry)
		count, _ := m.letters.Count(ctx, "events")
		if err != nil || n != c.want || count.Open != c.open {
			t.Errorf("case %d: %d were discarded, %v, and %d are open", i, n, err, count.Open)
		}
	}
}

// cutOff is a list that ends before its end.
type cutOff struct {
	*memory.DeadLetters
	after int
}

func (c cutOff) List(ctx context.Context, filter pillarbox.DeadLetterFilter) iter.Seq2[*pillarbox.DeadLetter, error] {
	return cut(c.DeadLetters.List(ctx, filter), c.after)
}

func (c cutOff) Summaries(ctx context.Context, filter pillarbox.DeadLetterFilter) iter.Seq2[pillarbox.DeadLetterSummary, error] {
	return cut(c.DeadLetters.Summaries(ctx, filter), c.after)
}

// cut yields an unreadable item, then some of a list, and then that it can't go on.
func cut[T any](list iter.Seq2[T, error], after int) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		if !yield(none, fmt.Errorf("a sector: %w", pillarbox.ErrUnavailable)) {
			return
		}
		n := 0
		for item, err := range list {
			if n++; n > after {
				yield(none, fmt.Errorf("the index: %w", pillarbox.ErrUnavailable))
				return
			}
			if !yield(item, err) {
				return
			}
		}
	}
}

// TestAListThatEndsEarlyIsNoEnd: what it has given is replayed, and the replay says that it is not done.
func TestAListThatEndsEarlyIsNoEnd(t *testing.T) {
	m := open(t, 5)
	m.replayer = replay.New(replay.Options{Letters: cutOff{m.letters, 3}, Deliver: m.deliver})
	for _, dry := range []bool{true, false} {
		got, err := m.replayer.Run(t.Context(), replay.Request{DryRun: dry}, nil)
		if !errors.Is(err, pillarbox.ErrUnavailable) || got.State != replay.StateStopped || got.Matched != 3 || got.Unreadable != 1 ||
			!strings.Contains(got.Reason, "has ended early") {
			t.Errorf("dry run %v: %+v, %v", dry, got, err)
		}
	}
	if n, _ := m.sink.Count(t.Context()); n != 3 {
		t.Errorf("%d events are stored, want 3", n)
	}
	m.replayer = replay.New(replay.Options{Letters: cutOff{m.letters, 9}, Deliver: m.deliver})
	if got := m.run(replay.Request{}); got.State != replay.StateDone || got.Replayed != 2 || got.Unreadable != 1 {
		t.Errorf("one unreadable letter: %+v", got)
	}
}
