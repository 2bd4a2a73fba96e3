package memory

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"pillarbox"
)

// Queue is a pillarbox.Queue in memory. It keeps every event for its whole life and loses all of
// them with the process: it is for tests, and it shows what the role means in its shortest form.
type Queue struct {
	pillarbox.QueueDefaults // it takes no letters back, and has no limit

	now  func() time.Time
	keys Keys

	mu        sync.Mutex
	closed    bool
	events    []*pillarbox.Event // event with sequence number n is at n-1
	forgotten int                // how many of them it acts as if it did not have any more
	positions map[string]*position
	changed   chan struct{} // closed and replaced at every change
	fault     func(events []*pillarbox.Event) error
}

// position is one destination's view: the state of every event it has come across.
type position struct {
	states []*deliveryState // one for each event
	rules  []ruleFrom
	store  pillarbox.StoreRecord
	pause  pillarbox.PauseRecord
	began  pillarbox.Timestamp
	copied pillarbox.CopyRecord
	joins  bool // there were others when it was made
	joined int  // index of the first event after that
}

// ruleFrom is the rule for the events from an index on.
type ruleFrom struct {
	first int
	rule  pillarbox.Rule
}

type deliveryState struct {
	leased    bool
	outcome   pillarbox.OutcomeKind // of a settled event, else 0
	skip      string                // by which rule it was skipped
	held      bool
	routed    bool
	backfill  bool
	unaware   bool // leased before it was routed
	due       time.Time
	attempts  []pillarbox.Attempt
	rejection *pillarbox.Rejection
}

// NewQueue makes an empty queue. now is the clock that retries are due by; nil is time.Now.
func NewQueue(now func() time.Time) *Queue {
	if now == nil {
		now = time.Now
	}
	return &Queue{now: now, keys: Keys{Now: now}, positions: map[string]*position{}, changed: make(chan struct{})}
}

// SetFault sets a function that is called before each Append and may refuse it. nil takes it away.
func (q *Queue) SetFault(fault func(events []*pillarbox.Event) error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.fault = fault
}

// Forget makes the queue forget its n oldest events, as one does that has kept what it had room for. All
// destinations must have settled them.
func (q *Queue) Forget(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.forgotten = n
}

// Keys implements pillarbox.Queue.
func (q *Queue) Keys() pillarbox.Keys { return &q.keys }

// SetKeyLimits implements pillarbox.Queue.
func (q *Queue) SetKeyLimits(window time.Duration, maxKeys int64) { q.keys.SetLimits(window, maxKeys) }

// Append implements pillarbox.Queue. "Durable" here means that it is in memory.
func (q *Queue) Append(ctx context.Context, events []*pillarbox.Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return fmt.Errorf("append: %w", pillarbox.ErrClosed)
	}
	if q.fault != nil {
		if err := q.fault(events); err != nil {
			return err
		}
	}
	for _, event := range events {
		q.events = append(q.events, cloneEvent(event))
		q.keys.store(event)
	}
	q.changeLocked()
	return nil
}

func (q *Queue) changeLocked() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// positionLocked returns the destination's view, and makes it on first use.
func (q *Queue) positionLocked(destination string) *position {
	p := q.positions[destination]
	if p == nil {
		p = &position{began: pillarbox.TimestampOf(q.now())}
		if len(q.positions) > 0 {
			p.joins, p.joined = true, len(q.events)
			for range q.events {
				p.states = append(p.states, &deliveryState{outcome: pillarbox.OutcomeSkipped,
					skip: pillarbox.SkippedBefore})
			}
		}
		q.positions[destination] = p
	}
	for len(p.states) < len(q.events) {
		p.states = append(p.states, &deliveryState{})
	}
	return p
}

// Lease implements pillarbox.Queue.
func (q *Queue) Lease(ctx context.Context, destination string,
	limits pillarbox.LeaseLimits) ([]pillarbox.Delivery, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		q.mu.Lock()
		if q.closed {
			q.mu.Unlock()
			return nil, fmt.Errorf("lease: %w", pillarbox.ErrClosed)
		}
		deliveries, wait := q.leaseLocked(q.positionLocked(destination), limits)
		changed := q.changed
		q.mu.Unlock()
		if len(deliveries) > 0 {
			return deliveries, nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (q *Queue) leaseLocked(p *position,
	limits pillarbox.LeaseLimits) (deliveries []pillarbox.Delivery, wait time.Duration) {
	wait = time.Hour
	bytes := int64(0)
	for _, i := range p.order() {
		s := p.states[i]
		if s.leased || s.outcome != 0 || s.held {
			continue
		}
		if early := s.due.Sub(q.now()); early > 0 {
			wait = min(wait, early)
			continue
		}
		size := q.size(i)
		if len(deliveries) >= max(1, limits.MaxEvents) ||
			(limits.MaxBytes > 0 && len(deliveries) > 0 && bytes+size > limits.MaxBytes) {
			break
		}
		s.leased, s.unaware = true, false
		bytes += size
		deliveries = append(deliveries, q.delivery(p, i))
	}
	return deliveries, wait
}

func (q *Queue) size(i int) int64 { return int64(len(q.events[i].Body)) + 64 }

func (q *Queue) delivery(p *position, i int) pillarbox.Delivery {
	s := p.states[i]
	return pillarbox.Delivery{
		Handle: pillarbox.Handle{Seq: uint64(i + 1)}, Event: q.events[i], Bytes: q.size(i),
		Attempts: slices.Clone(s.attempts), Rejection: s.rejection, Rule: p.ruleAt(i), Routed: s.routed,
	}
}

// order lists rejected events first, then retries, then the others as they were appended.
func (p *position) order() []int {
	rank := func(s *deliveryState) int {
		switch {
		case s.rejection != nil:
			return 0
		case len(s.attempts) > 0:
			return 1
		}
		return 2
	}
	order := make([]int, len(p.states))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return rank(p.states[a]) - rank(p.states[b]) })
	return order
}

// Settle implements pillarbox.Queue.
func (q *Queue) Settle(_ context.Context, destination string, outcomes []pillarbox.Outcome) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return fmt.Errorf("settle: %w", pillarbox.ErrClosed)
	}
	p := q.positionLocked(destination)
	seen := map[uint64]bool{}
	for _, outcome := range outcomes {
		i := int(outcome.Handle.Seq) - 1
		again := seen[outcome.Handle.Seq]
		seen[outcome.Handle.Seq] = true
		if again || i < 0 || i >= len(p.states) || !p.states[i].leased {
			return fmt.Errorf("settle event %d for %s: it is not leased: %w", outcome.Handle.Seq,
				destination, pillarbox.ErrConflict)
		}
	}
	for _, outcome := range outcomes {
		p.states[outcome.Handle.Seq-1].settle(outcome)
	}
	q.changeLocked()
	return nil
}

func (s *deliveryState) settle(outcome pillarbox.Outcome) {
	if outcome.Kind == pillarbox.OutcomeSkipped && s.unaware {
		outcome = pillarbox.Outcome{Kind: pillarbox.OutcomeReleased} // it was routed here meanwhile
	}
	s.leased, s.unaware, s.due = false, false, outcome.NotBefore
	if outcome.Attempt != nil {
		s.attempts = append(s.attempts, *outcome.Attempt)
	}
	switch outcome.Kind {
	case pillarbox.OutcomeRetry, pillarbox.OutcomeReleased:
	case pillarbox.OutcomeRejected:
		s.rejection = outcome.Rejection
	case pillarbox.OutcomeHeld:
		s.held = true
	default:
		s.outcome, s.skip, s.held, s.backfill = outcome.Kind, outcome.Skip, false, false
	}
}

// Account implements pillarbox.Queue.
func (q *Queue) Account(destination string) (pillarbox.Account, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return pillarbox.Account{}, fmt.Errorf("account: %w", pillarbox.ErrClosed)
	}
	p := q.positionLocked(destination)
	account := pillarbox.Account{Accepted: uint64(len(q.events))}
	for i, s := range p.states {
		switch s.outcome {
		case pillarbox.OutcomeStored:
			account.Stored++
		case pillarbox.OutcomeDead:
			account.Dead++
		case pillarbox.OutcomeSkipped:
			account.Skipped++
			*account.SkippedBy.Of(s.skip)++
		default:
			account.Pending++
			if s.backfill {
				account.Backfill++
			}
			if s.held {
				account.Held++
				continue
			}
			if stamp := q.events[i].Timestamp; !s.backfill && !q.events[i].IsCanary() && (account.OldestPending == 0 || stamp < account.OldestPending) {
				account.OldestPending = stamp
			}
			if len(s.attempts) > 0 || s.rejection != nil {
				account.Retrying++
			}
		}
	}
	return account, nil
}

// Stats implements pillarbox.Queue.
func (q *Queue) Stats() pillarbox.QueueStats {
	q.mu.Lock()
	defer q.mu.Unlock()
	stats := pillarbox.QueueStats{Accepted: uint64(len(q.events))}
	for name := range q.positions {
		stats.Destinations = append(stats.Destinations, name)
	}
	return stats
}

// Find implements pillarbox.EventFinder.
func (q *Queue) Find(_ context.Context, requestID string) (*pillarbox.Event, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, event := range q.events[q.forgotten:] {
		if event.RequestID == requestID {
			return event, nil
		}
	}
	return nil, fmt.Errorf("event %s: %w", requestID, pillarbox.ErrNotFound)
}

// Waiting returns the attempts and the rejection of an event that waits for another attempt.
func (q *Queue) Waiting(destination,
	requestID string) (attempts []pillarbox.Attempt, rejection *pillarbox.Rejection, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	p := q.positionLocked(destination)
	for i, s := range p.states {
		if q.events[i].RequestID == requestID && s.outcome == 0 && len(s.attempts) > 0 {
			return slices.Clone(s.attempts), s.rejection, true
		}
	}
	return nil, nil, false
}

// Scan implements pillarbox.EventScanner.
func (q *Queue) Scan(ctx context.Context, destination string,
	visit func(event *pillarbox.Event, standing pillarbox.Standing) error) error {
	q.mu.Lock()
	p := q.positionLocked(destination)
	events := slices.Clone(q.events)
	standings := make([]pillarbox.Standing, len(events))
	for i, s := range p.states {
		standings[i] = s.standing()
	}
	q.mu.Unlock()
	for i, event := range events {
		if err := ctx.Err(); err != nil {
			return err
		}
		if standings[i] == 0 {
			continue
		}
		if err := visit(event, standings[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *deliveryState) standing() pillarbox.Standing {
	switch {
	case s.outcome == 0:
		return pillarbox.StandingPending
	case s.skip == pillarbox.SkippedBefore:
		return 0
	case s.outcome == pillarbox.OutcomeSkipped:
		return pillarbox.StandingSkipped
	}
	return pillarbox.StandingSettled
}

// Close implements pillarbox.Queue.
func (q *Queue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed = true
		q.changeLocked()
	}
	return nil
}
