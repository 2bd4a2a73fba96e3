package enginetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"pillarbox"
)

// OpenQueue opens a fresh, empty queue whose retries are due by now.
type OpenQueue func(t *testing.T, now func() time.Time) pillarbox.Queue

// queueStory is a queue with a clock that only the story moves.
type queueStory struct {
	*testing.T
	pillarbox.Queue
	clock  *atomic.Int64 // nanoseconds since 1970
	traits pillarbox.QueueTraits
}

const (
	storyDestination = "events"
	twoDestinations  = "lets each destination go its own pace"
)

// Queue tests the contract of pillarbox.Queue by the queue's own Traits: what it says that it can
// do, and that the rest fails as it must. Each story has its own queue.
func Queue(t *testing.T, open OpenQueue) {
	probe := open(t, time.Now)
	traits := probe.Traits()
	closeTwice(t, probe)
	stories := []struct {
		name string
		tell func(queueStory)
	}{
		{"hands out what was appended, byte for byte and in order", queueHandsOut},
		{"keeps nothing of the slice", queueKeepsNoSlice},
		{"keeps no text of an event", queueKeepsNoText},
		{"does not hand out what is leased", queueLeasesOnce},
		{"respects the limits of a lease", queueLimits},
		{"keeps attempts and due times of a retry", queueRetries},
		{"gives back what is released", queueReleases},
		{"hands out the rejected first, with their rejection", queueRejected},
		{"refuses to settle what is not leased", queueConflict},
		{twoDestinations, queueDestinations},
		{"balances its account at every step", queueAccount},
		{"wakes a waiting lease", queueWakes},
		{"ends a lease with its context", queueLeaseContext},
		{"refuses everything after Close", queueClosed},
		{"takes concurrent appends", queueConcurrent},
		{"counts what is skipped by its rule", queueSkips},
		{"can do what its traits say, and nothing else", queueTraits},
	}
	for _, story := range stories {
		if story.name != twoDestinations || traits.FanOut {
			t.Run(story.name, func(t *testing.T) { story.tell(newQueueStory(t, open)) })
		}
	}
	if traits.Obliges {
		obligations(t, open)
	}
}

// newQueueStory opens a queue for one story.
func newQueueStory(t *testing.T, open OpenQueue) queueStory {
	clock := &atomic.Int64{}
	clock.Store(time.Date(2026, 11, 23, 14, 12, 0, 0, time.UTC).UnixNano())
	q := open(t, func() time.Time { return time.Unix(0, clock.Load()).UTC() })
	t.Cleanup(func() {
		if err := q.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return queueStory{T: t, Queue: q, clock: clock, traits: q.Traits()}
}

// patience is how long a lease waits for what is there. Engines across a network need more.
func (s queueStory) patience() time.Duration {
	if s.traits.Local {
		return 50 * time.Millisecond
	}
	return 500 * time.Millisecond
}

func (s queueStory) now() time.Time { return time.Unix(0, s.clock.Load()).UTC() }

func (s queueStory) append(events ...*pillarbox.Event) {
	s.Helper()
	if err := s.Append(context.Background(), events); err != nil {
		s.Fatalf("append: %v", err)
	}
}

// lease leases what is there now, possibly nothing.
func (s queueStory) lease(limits pillarbox.LeaseLimits) []pillarbox.Delivery {
	s.Helper()
	return s.leaseFor(storyDestination, limits)
}

func (s queueStory) leaseFor(destination string,
	limits pillarbox.LeaseLimits) []pillarbox.Delivery {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), s.patience())
	defer cancel()
	deliveries, err := s.Lease(ctx, destination, limits)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		s.Fatalf("lease: %v", err)
	}
	return deliveries
}

func (s queueStory) settle(kind pillarbox.OutcomeKind, deliveries ...pillarbox.Delivery) {
	s.Helper()
	outcomes := make([]pillarbox.Outcome, len(deliveries))
	for i, delivery := range deliveries {
		outcomes[i] = pillarbox.Outcome{Handle: delivery.Handle, Kind: kind}
	}
	if err := s.Settle(context.Background(), storyDestination, outcomes); err != nil {
		s.Fatalf("settle: %v", err)
	}
}

func (s queueStory) account(destination string) pillarbox.Account {
	s.Helper()
	a, err := s.Account(destination)
	if err != nil {
		s.Fatalf("account: %v", err)
	}
	if a.Accepted != a.Skipped+a.Stored+a.Dead+a.Damaged+a.Pending {
		s.Fatalf("account does not balance: %+v", a)
	}
	return a
}

var all = pillarbox.LeaseLimits{MaxEvents: 1000}

func queueHandsOut(s queueStory) {
	events := Events(40, 1)
	s.append(events[:1]...)
	s.append(events[1:]...)
	deliveries := s.lease(all)
	if len(deliveries) != len(events) {
		s.Fatalf("got %d deliveries, want %d", len(deliveries), len(events))
	}
	for i, delivery := range deliveries {
		if diff := Diff(delivery.Event, events[i]); diff != "" {
			s.Errorf("event %d: %s", i, diff)
		}
		if len(delivery.Attempts) != 0 || delivery.Rejection != nil || delivery.Bytes <= 0 {
			s.Errorf("a fresh delivery has attempts %v, rejection %v, %d bytes", delivery.Attempts,
				delivery.Rejection, delivery.Bytes)
		}
	}
}

func queueKeepsNoSlice(s queueStory) {
	event := Events(1, 2)[0]
	event.Body = []byte("before")
	want := Clone(event)
	events := []*pillarbox.Event{event}
	s.append(events...)
	copy(event.Body, "AFTER!")
	event.RequestID, events[0] = "changed", nil
	if diff := Diff(s.lease(all)[0].Event, want); diff != "" {
		s.Error(diff)
	}
}

// queueKeepsNoText appends an event whose texts lie in a buffer, as those of an event loop do, and
// uses the buffer for something else then.
func queueKeepsNoText(s queueStory) {
	event := Events(1, 2)[0]
	want := Clone(event)
	var buffers [][]byte
	lend := func(text string) string {
		if text == "" {
			return ""
		}
		buffer := []byte(text)
		buffers = append(buffers, buffer)
		return unsafe.String(&buffer[0], len(buffer))
	}
	for _, text := range []*string{
		&event.RequestID, &event.Source, &event.Method, &event.Path, &event.Query, &event.ContentType, &event.RemoteAddr, &event.Traceparent,
	} {
		*text = lend(*text)
	}
	for i, field := range event.Header {
		event.Header[i] = pillarbox.HeaderField{Name: lend(field.Name), Value: lend(field.Value)}
	}
	event.Facts = &pillarbox.Facts{Caller: lend("shop"), CEID: lend("1"), CEType: lend("a"),
		Attributes: pillarbox.Attributes{{Name: lend("tenant"), Value: lend("acme")}}}
	want.Facts = event.Facts.Clone()
	s.append(event)
	for _, buffer := range buffers {
		for i := range buffer {
			buffer[i] = '#'
		}
	}
	if diff := Diff(s.lease(all)[0].Event, want); diff != "" {
		s.Error(diff)
	}
}

func queueLeasesOnce(s queueStory) {
	s.append(Events(3, 3)...)
	if first := s.lease(all); len(first) != 3 {
		s.Fatalf("got %d deliveries, want 3", len(first))
	}
	if again := s.lease(all); len(again) != 0 {
		s.Errorf("%d leased deliveries came again", len(again))
	}
}

func queueLimits(s queueStory) {
	events := Events(10, 4)
	for _, event := range events {
		event.Body = make([]byte, 1000)
	}
	s.append(events...)
	if one := s.lease(pillarbox.LeaseLimits{}); len(one) != 1 {
		s.Errorf("no limits: got %d deliveries, want 1", len(one))
	}
	if four := s.lease(pillarbox.LeaseLimits{MaxEvents: 4}); len(four) > 4 || len(four) == 0 ||
		len(four) < 4 && s.traits.Immediate {
		s.Errorf("limit of 4: got %d deliveries", len(four))
	}
	if some := s.lease(pillarbox.LeaseLimits{MaxEvents: 100, MaxBytes: 3500}); len(some) == 0 ||
		len(some) > 3 {
		s.Errorf("limit of 3500 bytes: got %d deliveries of more than 1000 bytes", len(some))
	}
	if one := s.lease(pillarbox.LeaseLimits{MaxEvents: 100, MaxBytes: 10}); len(one) != 1 {
		s.Errorf("limit of 10 bytes: got %d deliveries, want the one that is too large", len(one))
	}
}

func queueRetries(s queueStory) {
	s.append(Events(2, 5)...)
	deliveries := s.lease(all)
	attempt := &pillarbox.Attempt{At: pillarbox.TimestampOf(s.now()), Class: pillarbox.ClassRefused,
		Error: "no"}
	err := s.Settle(context.Background(), storyDestination, []pillarbox.Outcome{
		{Handle: deliveries[0].Handle, Kind: pillarbox.OutcomeRetry, NotBefore: s.now().Add(time.Minute),
			Attempt: attempt},
		{Handle: deliveries[1].Handle, Kind: pillarbox.OutcomeStored},
	})
	if err != nil {
		s.Fatal(err)
	}
	if early := s.lease(all); len(early) != 0 {
		s.Fatalf("%d deliveries came before they were due", len(early))
	}
	s.clock.Add(int64(time.Minute))
	again := s.lease(all)
	if len(again) != 1 || len(again[0].Attempts) != 1 || again[0].Attempts[0] != *attempt {
		s.Fatalf("the retry came as %+v", again)
	}
	if again[0].Event.RequestID != deliveries[0].Event.RequestID {
		s.Error("another event came")
	}
	s.settle(pillarbox.OutcomeStored, again[0])
	if a := s.account(storyDestination); a.Stored != 2 || a.Pending != 0 {
		s.Errorf("account %+v", a)
	}
}

func queueReleases(s queueStory) {
	s.append(Events(3, 6)...)
	first := s.lease(all)
	s.settle(pillarbox.OutcomeReleased, first...)
	again := s.lease(all)
	if len(again) != 3 {
		s.Fatalf("%d of 3 released deliveries came again", len(again))
	}
	for i := range again {
		if again[i].Event.RequestID != first[i].Event.RequestID || len(again[i].Attempts) != 0 {
			s.Errorf("delivery %d came back changed: %+v", i, again[i])
		}
	}
	late := []pillarbox.Outcome{{Handle: again[0].Handle, Kind: pillarbox.OutcomeReleased,
		NotBefore: s.now().Add(time.Second)}}
	if err := s.Settle(context.Background(), storyDestination, late); err != nil {
		s.Fatal(err)
	}
	if early := s.lease(all); len(early) != 0 {
		s.Errorf("%d deliveries came before they were due", len(early))
	}
	s.clock.Add(int64(time.Second))
	if due := s.lease(all); len(due) != 1 {
		s.Errorf("%d deliveries came when one was due", len(due))
	}
}

func queueRejected(s queueStory) {
	s.append(Events(3, 7)...)
	deliveries := s.lease(all)
	rejection := &pillarbox.Rejection{Reason: "too often", DeadAt: pillarbox.TimestampOf(s.now())}
	attempt := &pillarbox.Attempt{At: rejection.DeadAt, Class: pillarbox.ClassPermanent,
		Error: "never"}
	err := s.Settle(context.Background(), storyDestination, []pillarbox.Outcome{
		{Handle: deliveries[0].Handle, Kind: pillarbox.OutcomeReleased},
		{Handle: deliveries[1].Handle, Kind: pillarbox.OutcomeReleased},
		{Handle: deliveries[2].Handle, Kind: pillarbox.OutcomeRejected, Attempt: attempt,
			Rejection: rejection},
	})
	if err != nil {
		s.Fatal(err)
	}
	again := s.lease(pillarbox.LeaseLimits{MaxEvents: 1})
	if len(again) != 1 || again[0].Rejection == nil || *again[0].Rejection != *rejection ||
		len(again[0].Attempts) != 1 {
		s.Fatalf("first came %+v, want the rejected one", again)
	}
	s.settle(pillarbox.OutcomeDead, again[0])
	if a := s.account(storyDestination); a.Dead != 1 || a.Pending != 2 || a.Retrying != 0 {
		s.Errorf("account %+v", a)
	}
}

func queueConflict(s queueStory) {
	s.append(Events(1, 8)...)
	never := []pillarbox.Outcome{{Handle: pillarbox.Handle{Seq: 77, Token: "none"},
		Kind: pillarbox.OutcomeStored}}
	if err := s.Settle(context.Background(), storyDestination, never); !errors.Is(err,
		pillarbox.ErrConflict) {
		s.Errorf("settle of an unknown handle: %v, want ErrConflict", err)
	}
	delivery := s.lease(all)[0]
	both := []pillarbox.Outcome{{Handle: delivery.Handle, Kind: pillarbox.OutcomeStored},
		{Handle: delivery.Handle, Kind: pillarbox.OutcomeStored}}
	if err := s.Settle(context.Background(), storyDestination, both); !errors.Is(err,
		pillarbox.ErrConflict) {
		s.Errorf("settle twice in one call: %v, want ErrConflict", err)
	}
	s.settle(pillarbox.OutcomeStored, delivery)
	twice := []pillarbox.Outcome{{Handle: delivery.Handle, Kind: pillarbox.OutcomeStored}}
	if err := s.Settle(context.Background(), storyDestination, twice); !errors.Is(err,
		pillarbox.ErrConflict) {
		s.Errorf("settle for the second time: %v, want ErrConflict", err)
	}
	if a := s.account(storyDestination); a.Stored != 1 {
		s.Errorf("account %+v", a)
	}
}

func queueDestinations(s queueStory) {
	s.account("fast")
	s.account("slow")
	s.append(Events(5, 9)...)
	for _, name := range []string{"fast", "slow"} {
		deliveries := s.leaseFor(name, all)
		if len(deliveries) != 5 {
			s.Fatalf("%s got %d of 5", name, len(deliveries))
		}
		if name == "slow" {
			continue
		}
		var outcomes []pillarbox.Outcome
		for _, delivery := range deliveries {
			outcomes = append(outcomes, pillarbox.Outcome{Handle: delivery.Handle,
				Kind: pillarbox.OutcomeStored})
		}
		if err := s.Settle(context.Background(), name, outcomes); err != nil {
			s.Fatal(err)
		}
	}
	if fast, slow := s.account("fast"), s.account("slow"); fast.Pending != 0 || slow.Pending != 5 {
		s.Errorf("fast %+v, slow %+v", fast, slow)
	}
	if late := s.account("late"); late.Pending != 0 || late.Skipped != 5 {
		s.Errorf("a destination that comes late gets what was appended before: %+v", late)
	}
	s.append(Events(1, 10)...)
	if late := s.leaseFor("late", all); len(late) != 1 {
		s.Errorf("a destination that came late got %d of 1", len(late))
	}
}

func queueAccount(s queueStory) {
	s.append(Events(6, 11)...)
	if a := s.account(storyDestination); a.Accepted != 6 || a.Pending != 6 {
		s.Errorf("after append: %+v", a)
	}
	d := s.lease(all)
	s.settle(pillarbox.OutcomeStored, d[3], d[1])
	s.settle(pillarbox.OutcomeSkipped, d[0])
	if a := s.account(storyDestination); a.Stored != 2 || a.Skipped != 1 || a.Pending != 3 {
		s.Errorf("settled out of order: %+v", a)
	}
	s.settle(pillarbox.OutcomeDead, d[2])
	s.settle(pillarbox.OutcomeStored, d[4], d[5])
	if a := s.account(storyDestination); a.Stored != 4 || a.Dead != 1 || a.Skipped != 1 ||
		a.Pending != 0 {
		s.Errorf("all settled: %+v", a)
	}
	if stats := s.Stats(); stats.Accepted != 6 || stats.Problem != "" {
		s.Errorf("stats %+v", stats)
	}
}

func queueWakes(s queueStory) {
	leased := make(chan []pillarbox.Delivery)
	go func() {
		deliveries, err := s.Lease(context.Background(), storyDestination, all)
		if err != nil {
			s.Errorf("lease: %v", err)
		}
		leased <- deliveries
	}()
	s.append(Events(1, 12)...)
	if got := <-leased; len(got) != 1 {
		s.Errorf("got %d deliveries, want 1", len(got))
	}
}

func queueLeaseContext(s queueStory) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Lease(ctx, storyDestination, all); !errors.Is(err, context.Canceled) {
		s.Errorf("lease with a cancelled context: %v", err)
	}
	if err := s.Append(ctx, Events(1, 13)); !errors.Is(err, context.Canceled) {
		s.Errorf("append with a cancelled context: %v", err)
	}
}

func queueClosed(s queueStory) {
	s.append(Events(1, 14)...)
	delivery := s.lease(all)[0]
	waiting := make(chan error)
	go func() {
		_, err := s.Lease(context.Background(), storyDestination, all)
		waiting <- err
	}()
	for range 2 {
		if err := s.Close(); err != nil {
			s.Fatalf("close: %v", err)
		}
	}
	if err := <-waiting; !errors.Is(err, pillarbox.ErrClosed) {
		s.Errorf("a waiting lease ended with %v, want ErrClosed", err)
	}
	ctx := context.Background()
	if err := s.Append(ctx, Events(1, 15)); !errors.Is(err, pillarbox.ErrClosed) {
		s.Errorf("append: %v, want ErrClosed", err)
	}
	if _, err := s.Lease(ctx, storyDestination, all); !errors.Is(err, pillarbox.ErrClosed) {
		s.Errorf("lease: %v, want ErrClosed", err)
	}
	outcomes := []pillarbox.Outcome{{Handle: delivery.Handle, Kind: pillarbox.OutcomeStored}}
	if err := s.Settle(ctx, storyDestination, outcomes); !errors.Is(err, pillarbox.ErrClosed) {
		s.Errorf("settle: %v, want ErrClosed", err)
	}
}

func queueConcurrent(s queueStory) {
	const writers, each = 16, 50
	var running sync.WaitGroup
	for w := range writers {
		running.Go(func() {
			for i := range each {
				event := Events(1, uint64(w*each+i+100))[0]
				event.RequestID = fmt.Sprintf("%02d-%02d", w, i)
				if err := s.Append(context.Background(), []*pillarbox.Event{event}); err != nil {
					s.Errorf("append: %v", err)
				}
			}
		})
	}
	seen, next := map[string]bool{}, map[string]int{}
	for len(seen) < writers*each && !s.Failed() {
		deliveries, err := s.Lease(context.Background(), storyDestination,
			pillarbox.LeaseLimits{MaxEvents: 7})
		if err != nil {
			s.Fatal(err)
		}
		for _, delivery := range deliveries {
			id := delivery.Event.RequestID
			if seen[id] {
				s.Errorf("%s came twice", id)
			}
			seen[id] = true
			if want := fmt.Sprintf("%s-%02d", id[:2], next[id[:2]]); id != want && s.traits.Ordered {
				s.Errorf("%s came where %s was next", id, want)
			}
			next[id[:2]]++
		}
		s.settle(pillarbox.OutcomeStored, deliveries...)
	}
	running.Wait()
}
