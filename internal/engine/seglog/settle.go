package seglog

import (
	"fmt"
	"slices"
	"time"

	"pillarbox"
)

func (c *consumer) settle(outcomes []pillarbox.Outcome) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.plan(outcomes)
	if err != nil {
		return err
	}
	return s.write()
}

// settlement is the effect of some outcomes, worked out before anything is written or changed.
type settlement struct {
	consumer *consumer
	after    *state
	delta    *stateFrame
	durable  bool
	settled  map[uint64]pillarbox.OutcomeKind
	skips    map[uint64]string // the rules of what is settled as skipped
	released map[uint64]pillarbox.Outcome
	freed    map[uint64]bool // held or skipped until now, and pending from now on: the cursor must not pass them
	retries  int             // entries that join the retry set, and their bytes
	retrying int64
	events   map[uint64]*pillarbox.Event // of the entries in delta.Retry
	due      map[uint64]time.Time        // of the same; other than the entries' own, it is deaf to a clock that is set
	passed   int                         // items at the front of the window that the cursor passes
}

func (c *consumer) newSettlement(size int) *settlement {
	return &settlement{
		consumer: c, delta: &stateFrame{},
		after:    &state{position: c.state.position, counters: c.state.counters},
		settled:  make(map[uint64]pillarbox.OutcomeKind, size),
		skips:    map[uint64]string{},
		released: map[uint64]pillarbox.Outcome{},
		freed:    map[uint64]bool{},
		events:   map[uint64]*pillarbox.Event{},
		due:      map[uint64]time.Time{},
	}
}

func (c *consumer) plan(outcomes []pillarbox.Outcome) (*settlement, error) {
	s := c.newSettlement(len(outcomes))
	inHand := c.leased()
	for _, outcome := range outcomes {
		leased := c.retries.items[outcome.Handle.Seq]
		if leased == nil {
			leased = inHand[outcome.Handle.Seq]
		}
		_, again := s.settled[outcome.Handle.Seq]
		if leased == nil || !leased.leased || again {
			return nil, fmt.Errorf("settle event %d for %s: it is not leased: %w",
				outcome.Handle.Seq, c.name, pillarbox.ErrConflict)
		}
		if err := s.add(leased, outcome, outcome.Handle.Seq < c.state.cursor); err != nil {
			return nil, err
		}
	}
	s.finish()
	return s, nil
}

// leased returns what may be settled beside the retry set.
func (c *consumer) leased() map[uint64]*item {
	leased := make(map[uint64]*item, len(c.window.items))
	for _, it := range c.window.items {
		if it.leased || it.outcome == pillarbox.OutcomeRetry {
			leased[it.seq] = it
		}
	}
	for _, it := range c.resumed.items {
		if it.leased {
			leased[it.seq] = it
		}
	}
	return leased
}

// add notes one outcome. The end of an event below the cursor is counted here; that of any other
// when the cursor passes it.
func (s *settlement) add(leased *item, outcome pillarbox.Outcome, belowCursor bool) error {
	c := s.consumer
	waited := c.retries.items[leased.seq] != nil
	if outcome.Kind == pillarbox.OutcomeSkipped && c.state.routed.has(leased.seq) &&
		!leased.routed {
		// It was routed here meanwhile.
		outcome = pillarbox.Outcome{Handle: outcome.Handle, Kind: pillarbox.OutcomeReleased}
	}
	switch outcome.Kind {
	case pillarbox.OutcomeReleased:
		s.released[leased.seq] = outcome
		return nil
	case pillarbox.OutcomeRetry, pillarbox.OutcomeRejected:
		if !waited && !s.hasRoom(leased) {
			s.deferOne(leased, outcome)
			return nil
		}
		if err := s.wait(newRetryEntry(leased, outcome), leased, outcome.NotBefore); err != nil {
			return err
		}
	case pillarbox.OutcomeHeld:
		if err := s.hold(leased); err != nil {
			return err
		}
	default:
		s.end(leased, outcome, waited, belowCursor)
	}
	s.clearMarks(leased.seq, outcome.Kind)
	return nil
}

// hasRoom reports whether one more event may wait in the retry set, which is held in memory.
func (s *settlement) hasRoom(leased *item) bool {
	c := s.consumer
	return c.retries.active()+s.retries < c.core.opts.MaxRetrying &&
		c.retries.bytes+s.retrying < c.core.opts.MaxRetryingBytes
}

// wait moves an event to the retry set.
func (s *settlement) wait(entry *retryEntry, leased *item, due time.Time) error {
	// The event that was leased is part of its frame, and would keep all of it in memory while it
	// waits.
	own, err := decodeRecord(string(entry.Record))
	if err != nil {
		return fmt.Errorf("retry event %d: %w", leased.seq, err)
	}
	s.settled[leased.seq] = pillarbox.OutcomeRetry
	s.delta.Retry = append(s.delta.Retry, entry)
	s.events[leased.seq], s.due[leased.seq] = own, due
	s.durable = true
	if s.consumer.retries.items[leased.seq] == nil {
		s.retries++
		s.retrying += int64(len(entry.Record))
	}
	return nil
}

// deferOne gives an event back for which the retry set has no room. It keeps its place in its
// segment and costs one bit, and the events behind it go on; it is handed out again when there is
// room, as if it had not been tried.
func (s *settlement) deferOne(leased *item, outcome pillarbox.Outcome) {
	if s.consumer.resumed.items[leased.seq] != nil {
		s.released[leased.seq] = pillarbox.Outcome{
			Handle: outcome.Handle, NotBefore: outcome.NotBefore,
		}
		return
	}
	s.settled[leased.seq] = outcomeDeferred
	s.delta.aside("deferred").Add.add(leased.seq)
}

// outcomeDeferred is the outcome of an item that left the window to be handed out again later.
const outcomeDeferred pillarbox.OutcomeKind = 100

// hold notes that no destination takes the event any more. One of the retry set stays there with
// its attempts, because its segment may be gone.
func (s *settlement) hold(leased *item) error {
	if entry := s.consumer.state.retry[leased.seq]; entry != nil {
		held := *entry
		held.Held = true
		return s.wait(&held, leased, leased.due)
	}
	s.settled[leased.seq] = pillarbox.OutcomeHeld
	s.delta.aside("held").Add.add(leased.seq)
	return nil
}

// end notes that an event is stored, dead or skipped.
func (s *settlement) end(leased *item, outcome pillarbox.Outcome, waited, belowCursor bool) {
	if s.consumer.state.backfill.has(leased.seq) {
		s.delta.aside("backfill").Remove.add(leased.seq)
	}
	s.settled[leased.seq] = outcome.Kind
	if outcome.Kind == pillarbox.OutcomeSkipped {
		s.skips[leased.seq] = outcome.Skip
		switch {
		case waives(outcome.Skip):
			s.delta.aside("waived").Add.add(leased.seq)
		case outcome.Skip == pillarbox.SkippedFilter:
			s.delta.aside("filtered").Add.add(leased.seq)
		}
	}
	s.durable = s.durable || waited || outcome.Kind == pillarbox.OutcomeDead
	switch {
	case belowCursor:
		s.after.count(outcome.Kind, outcome.Skip, 1)
		if waited {
			s.delta.Done = append(s.delta.Done, leased.seq)
		}
	case waited || outcome.Kind == pillarbox.OutcomeDead:
		// An older event is not settled yet. What is known of this one must outlive a crash all the
		// same.
		s.delta.Retry = append(s.delta.Retry,
			&retryEntry{Seq: leased.seq, Outcome: outcome.Kind, Skip: outcome.Skip})
	}
}

// waives reports whether an event may be skipped by the rule although it was meant for the
// destination.
func waives(rule string) bool {
	return rule == pillarbox.SkippedElsewhere || rule == pillarbox.SkippedRouted ||
		rule == pillarbox.SkippedForgotten
}

// clearMarks takes the event out of the sets that it does not belong to any more.
func (s *settlement) clearMarks(seq uint64, kind pillarbox.OutcomeKind) {
	if s.consumer.state.deferred.has(seq) {
		s.delta.aside("deferred").Remove.add(seq)
	}
	if s.consumer.state.held.has(seq) && kind != pillarbox.OutcomeHeld {
		s.delta.aside("held").Remove.add(seq)
	}
}

func newRetryEntry(leased *item, outcome pillarbox.Outcome) *retryEntry {
	entry := &retryEntry{
		Seq: leased.seq, Record: appendRecord(nil, leased.event), Rejection: leased.rejection,
		Attempts: append([]pillarbox.Attempt(nil), leased.attempts...),
	}
	if !outcome.NotBefore.IsZero() {
		entry.Due = pillarbox.TimestampOf(outcome.NotBefore)
	}
	if outcome.Attempt != nil {
		entry.Attempts = append(entry.Attempts, *outcome.Attempt)
	}
	if outcome.Rejection != nil {
		entry.Rejection = outcome.Rejection
	}
	return entry
}

// finish moves the cursor, and completes the delta.
func (s *settlement) finish() {
	s.moveCursor()
	s.delta.Start, s.delta.Cursor = s.after.start, s.after.cursor
	s.delta.Segment, s.delta.Offset = s.after.segment, s.after.offset
	s.delta.Counters = s.after.counters
	s.delta.Store = s.consumer.state.store
}

// moveCursor passes what is settled at the front of the window.
func (s *settlement) moveCursor() {
	for _, front := range s.consumer.window.items {
		kind, now := s.settled[front.seq]
		rule := s.skips[front.seq]
		if !now {
			kind, rule = front.outcome, front.skip
		}
		if kind == 0 && front.lost == 0 || s.freed[front.seq] {
			break
		}
		s.forgetSettled(front.seq, kind)
		s.passed++
		s.after.cursor = front.seq + max(1, front.lost)
		s.after.segment, s.after.offset = front.segment, front.offset
		if front.lost > 0 {
			s.lose(front.seq, front.lost, front.unread)
		} else {
			s.after.count(kind, rule, 1)
		}
	}
	if r := s.consumer.reader; s.passed > 0 && s.passed == len(s.consumer.window.items) &&
		r.walk != nil {
		s.after.segment, s.after.offset = r.segment.id, r.walk.offset
	}
}

// lose counts events that the cursor passes and that can't be read. What only the disk could not
// read is remembered, so that it is read again.
func (s *settlement) lose(first, n uint64, unread bool) {
	s.loseAside(first, n)
	if !unread {
		s.after.Damaged += n
		return
	}
	for seq := first; seq < first+n; seq++ {
		s.delta.aside("unread").Add.add(seq)
	}
}

// loseAside takes events out of the sets that can't be read.
func (s *settlement) loseAside(first, n uint64) {
	for name, set := range s.consumer.state.sets() {
		for seq, ok := set.next(first); ok && seq < first+n; seq, ok = set.next(seq + 1) {
			s.delta.aside(name).Remove.add(seq)
		}
	}
}

// forgetSettled drops the entry of an event that was settled before the cursor came by.
func (s *settlement) forgetSettled(seq uint64, kind pillarbox.OutcomeKind) {
	if kind == pillarbox.OutcomeRetry {
		return
	}
	s.delta.Retry = slices.DeleteFunc(s.delta.Retry,
		func(entry *retryEntry) bool { return entry.Seq == seq })
	if s.consumer.state.retry[seq] != nil {
		s.delta.Done = append(s.delta.Done, seq)
	}
}

// write makes the settlement durable, as far as it asks for that, and applies it to memory.
func (s *settlement) write() error {
	c := s.consumer
	if s.changes() {
		defer c.core.wakeup.ifSleeping()
		if err := c.journal.append(s.delta, c.state, s.durable); err != nil {
			return err
		}
	}
	s.commit()
	return nil
}

func (s *settlement) changes() bool {
	return s.passed > 0 || len(s.delta.Retry) > 0 || len(s.delta.Done) > 0 ||
		len(s.delta.Aside) > 0 ||
		s.delta.Rules != nil
}

// noteAhead writes down what is settled in front of the cursor, where an older event is not: a
// settle keeps that in memory, because a crash may forget it. The window bounds how many there are.
func (c *consumer) noteAhead() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.newSettlement(0)
	for _, it := range c.window.items {
		ended := it.outcome == pillarbox.OutcomeStored || it.outcome == pillarbox.OutcomeSkipped
		if ended && c.state.retry[it.seq] == nil {
			s.delta.Retry = append(s.delta.Retry,
				&retryEntry{Seq: it.seq, Outcome: it.outcome, Skip: it.skip})
		}
	}
	if len(s.delta.Retry) == 0 {
		return nil
	}
	s.finish()
	return s.write()
}

// commit applies to memory what was written.
func (s *settlement) commit() {
	c := s.consumer
	for _, it := range c.window.items {
		if kind, ok := s.settled[it.seq]; ok {
			it.leased, it.outcome, it.event, it.skip = false, kind, nil, s.skips[it.seq]
		}
	}
	for seq := range s.settled {
		delete(c.resumed.items, seq)
	}
	for _, seq := range s.delta.Done {
		c.retries.drop(seq)
		delete(c.state.retry, seq)
	}
	for _, entry := range s.delta.Retry {
		c.state.retry[entry.Seq] = entry
		if entry.Outcome != 0 {
			c.retries.drop(entry.Seq)
		} else {
			c.retries.add(entry, s.events[entry.Seq], s.due[entry.Seq], c.state.routed.has(entry.Seq))
		}
	}
	s.commitReleased()
	c.window.pass(s.passed)
	c.state.position, c.state.counters = s.after.position, s.after.counters
	if s.delta.Rules != nil {
		c.state.rules = s.delta.Rules
	}
	c.state.applyAside(s.delta)
	c.backOff(s)
	c.publish()
	if len(s.delta.Retry) > 0 || len(s.released) > 0 {
		c.returned.fire()
	}
}

func (s *settlement) commitReleased() {
	c := s.consumer
	release := func(it *item) {
		if outcome, ok := s.released[it.seq]; ok && it.leased {
			it.leased, it.due, it.routed = false, outcome.NotBefore, c.state.routed.has(it.seq)
		}
	}
	for _, it := range c.window.items {
		release(it)
	}
	for _, it := range c.retries.items {
		release(it)
	}
	for _, it := range c.resumed.items {
		release(it)
	}
}
