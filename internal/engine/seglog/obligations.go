package seglog

import (
	"context"
	"fmt"
	"slices"
	"sort"

	"pillarbox"
)

var _ pillarbox.Obligations = (*Log)(nil)

// nothing is the rule of a destination for what was accepted before it began.
var nothing = &pillarbox.Rule{Sources: []string{}}

// ruleAt returns the rule that held for an event, and nil where no rule was recorded yet.
func (s *state) ruleAt(seq uint64) *pillarbox.Rule { return ruleAt(s.rules, s.start, seq) }

func ruleAt(rules []ruleFrom, start, seq uint64) *pillarbox.Rule {
	if seq < start {
		return nothing
	}
	for i := len(rules) - 1; i >= 0; i-- {
		if rules[i].From <= seq {
			return &rules[i].Rule
		}
	}
	return nil
}

// Oblige implements pillarbox.Obligations.
func (l *Log) Oblige(_ context.Context, destination string, rule pillarbox.Rule) error {
	if err := l.writable(); err != nil {
		return err
	}
	c, err := l.consumer(destination)
	if err != nil {
		return err
	}
	rule.Sources = slices.Clone(rule.Sources)
	slices.Sort(rule.Sources)
	firstHeld, next := l.heldSequence()
	c.mu.Lock()
	defer c.mu.Unlock()
	rules := slices.DeleteFunc(slices.Clone(c.state.rules), func(r ruleFrom) bool { return r.From >= next })
	if n := len(rules); n > 0 && rules[n-1].Rule.Equal(&rule) && len(rules) == len(c.state.rules) {
		return nil
	}
	for len(rules) > 1 && rules[1].From <= min(firstHeld, c.needs.Load()) && !c.hasRetryBelow(rules[1].From) {
		rules = rules[1:] // nothing is left of its time
	}
	s := c.newSettlement(0)
	s.delta.Rules, s.durable = append(rules, ruleFrom{From: next, Rule: rule}), true
	s.finish()
	if err := s.write(); err != nil {
		return fmt.Errorf("record the rule of destination %s: %w", destination, err)
	}
	return nil
}

func (c *consumer) hasRetryBelow(seq uint64) bool {
	for waiting := range c.state.retry {
		if waiting < seq {
			return true
		}
	}
	return false
}

// writable refuses what changes a delivery state in a log that was opened for reading.
func (l *Log) writable() error {
	if l.opts.ReadOnly {
		return fmt.Errorf("change a delivery state in %s: opened for reading only: %w", l.dir, pillarbox.ErrClosed)
	}
	return nil
}

// RuleAt implements pillarbox.Obligations.
func (l *Log) RuleAt(destination string, handle pillarbox.Handle) *pillarbox.Rule {
	c, err := l.knownConsumer(destination)
	if err != nil || c == nil {
		return nil
	}
	return ruleAt(*c.rules.Load(), c.position.Load().start, handle.Seq)
}

// Review implements pillarbox.Obligations.
func (l *Log) Review(ctx context.Context, destination string, hold func(*pillarbox.Delivery) bool) error {
	if err := l.writable(); err != nil {
		return err
	}
	c, err := l.consumer(destination)
	if err != nil {
		return err
	}
	if err := c.reviewRetrying(hold); err != nil {
		return fmt.Errorf("review what waits for %s: %w", destination, err)
	}
	return l.walkSet(c.toReview(), func(read *chunk) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return c.reviewChunk(read, hold)
	})
}

// toReview finds what a review must look at: what is held, and everything from a time whose rule the current one does not
// cover.
func (c *consumer) toReview() func(from uint64) (uint64, bool) {
	_, end := c.log.heldSequence()
	c.mu.Lock()
	defer c.mu.Unlock()
	held, rules, needs := c.state.held.clone(), c.state.rules, c.needs.Load()
	uncovered := uncoveredBy(rules, end)
	return func(from uint64) (uint64, bool) {
		seq, ok := held.next(from)
		for _, span := range uncovered {
			first := max(from, span[0], needs)
			if first < span[1] && (!ok || first < seq) {
				seq, ok = first, true
			}
		}
		return seq, ok && seq < end
	}
}

// uncoveredBy lists the ranges of events up to end whose rule the last one does not cover, or is not known.
func uncoveredBy(rules []ruleFrom, end uint64) (uncovered runs) {
	if len(rules) == 0 {
		return runs{{1, end}}
	}
	current := &rules[len(rules)-1].Rule
	uncovered = runs{{1, rules[0].From}}
	for i, r := range rules[:len(rules)-1] {
		if !current.Covers(&r.Rule) {
			uncovered = append(uncovered, [2]uint64{r.From, rules[i+1].From})
		}
	}
	return uncovered
}

// reviewRetrying reviews the retry set.
func (c *consumer) reviewRetrying(hold func(*pillarbox.Delivery) bool) error {
	c.mu.Lock()
	waiting := make([]*item, 0, len(c.retrying))
	for _, it := range c.retrying {
		if !it.leased && it.verdict == nil { // what is condemned only waits for its letter
			waiting = append(waiting, it)
		}
	}
	deliveries := c.deliveries(waiting)
	c.mu.Unlock()
	wanted := make([]bool, len(deliveries))
	for i := range deliveries {
		wanted[i] = hold(&deliveries[i])
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.newSettlement(0)
	for i, it := range waiting {
		entry := c.state.retry[it.seq]
		if c.retrying[it.seq] != it || it.leased || it.held == wanted[i] {
			continue // it has moved on meanwhile, or stays as it is
		}
		changed := *entry
		changed.Held = wanted[i]
		if err := s.wait(&changed, it, it.due); err != nil {
			return err
		}
	}
	s.finish()
	return s.write()
}

// reviewChunk reviews the events of a chunk that are pending and not leased.
func (c *consumer) reviewChunk(read *chunk, hold func(*pillarbox.Delivery) bool) error {
	verdicts := make(map[uint64]bool, len(read.records))
	events := make(map[uint64]*pillarbox.Event, len(read.records))
	for i := range read.records {
		seq := read.firstSeq + uint64(i)
		event, size := read.event(seq)
		if event == nil {
			continue // it is counted as lost when it is delivered
		}
		delivery := pillarbox.Delivery{Handle: pillarbox.Handle{Seq: seq}, Event: event, Bytes: size}
		c.mu.Lock()
		pending := c.isPending(seq)
		delivery.Rule, delivery.Routed = c.state.ruleAt(seq), c.state.routed.has(seq)
		c.mu.Unlock()
		if pending {
			verdicts[seq], events[seq] = hold(&delivery), event
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.review(verdicts, events)
}

// isPending reports whether the event waits in its segment and nobody has it in hand.
func (c *consumer) isPending(seq uint64) bool {
	if c.state.retry[seq] != nil {
		return false
	}
	if seq < c.state.cursor {
		resumed := c.resumed[seq]
		return c.state.held.has(seq) || c.state.deferred.has(seq) && (resumed == nil || !resumed.leased)
	}
	it := c.windowItem(seq)
	return it == nil || !it.leased && it.lost == 0 && (it.outcome == 0 || it.outcome == pillarbox.OutcomeHeld)
}

// windowItem finds an event in the window, nil where it was not read yet.
func (c *consumer) windowItem(seq uint64) *item {
	at := sort.Search(len(c.window), func(i int) bool { return c.window[i].seq >= seq })
	if at < len(c.window) && c.window[at].seq == seq {
		return c.window[at]
	}
	return nil
}

// review holds events, or lets them go, as the verdicts say.
func (c *consumer) review(verdicts map[uint64]bool, events map[uint64]*pillarbox.Event) error {
	s := c.newSettlement(len(verdicts))
	var freed []uint64
	for seq, held := range verdicts {
		if !c.isPending(seq) || c.state.held.has(seq) == held {
			continue
		}
		if held {
			s.settled[seq] = pillarbox.OutcomeHeld
			s.delta.aside("held").Add.add(seq)
			s.leaveAside(seq, pillarbox.OutcomeHeld)
			continue
		}
		s.delta.aside("held").Remove.add(seq)
		if seq < c.state.cursor {
			s.delta.aside("deferred").Add.add(seq)
		}
		freed = append(freed, seq)
	}
	s.finish()
	if err := s.write(); err != nil {
		return err
	}
	for _, seq := range freed {
		c.putBack(seq, events[seq])
	}
	return nil
}

// putBack makes an event of the window pending again that was settled ahead of the cursor.
func (c *consumer) putBack(seq uint64, event *pillarbox.Event) {
	if it := c.windowItem(seq); it != nil && !it.leased && it.lost == 0 {
		it.outcome, it.skip, it.event, it.routed = 0, "", event, c.state.routed.has(seq)
	}
	c.returned.fire()
}

// ScanHeld implements pillarbox.Obligations.
func (l *Log) ScanHeld(ctx context.Context, destination string, visit func(*pillarbox.Delivery) error) error {
	c, err := l.consumer(destination)
	if err != nil {
		return err
	}
	c.mu.Lock()
	set := c.state.held.clone()
	var evacuated []*item
	for _, it := range c.retrying {
		if it.held {
			evacuated = append(evacuated, it)
		}
	}
	slices.SortFunc(evacuated, func(a, b *item) int { return int(int64(a.seq) - int64(b.seq)) })
	deliveries := c.deliveries(evacuated)
	rules, start := c.state.rules, c.state.start
	c.mu.Unlock()
	for i := range deliveries {
		if err := visit(&deliveries[i]); err != nil {
			return err
		}
	}
	return l.walkSet(set.next, func(read *chunk) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		for seq, ok := set.next(read.firstSeq); ok && seq < read.nextSeq(); seq, ok = set.next(seq + 1) {
			event, size := read.event(seq)
			if event == nil {
				continue
			}
			delivery := pillarbox.Delivery{Handle: pillarbox.Handle{Seq: seq}, Event: event, Bytes: size, Rule: ruleAt(rules, start, seq)}
			if err := visit(&delivery); err != nil {
				return err
			}
		}
		return nil
	})
}

// ScanPending implements pillarbox.Obligations.
func (l *Log) ScanPending(ctx context.Context, destination string, visit func(*pillarbox.Delivery) error) error {
	c, err := l.consumer(destination)
	if err != nil {
		return err
	}
	c.mu.Lock()
	waiting := make([]*item, 0, len(c.retrying))
	for _, it := range c.retrying {
		waiting = append(waiting, it)
	}
	deliveries := c.deliveries(waiting)
	needs := c.needs.Load()
	c.mu.Unlock()
	for i := range deliveries {
		if err := visit(&deliveries[i]); err != nil {
			return err
		}
	}
	_, end := l.heldSequence()
	next := func(from uint64) (uint64, bool) { return max(from, needs), max(from, needs) < end }
	err = l.walkSet(next, func(read *chunk) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return c.visitPending(read, visit)
	})
	if err != nil {
		return err
	}
	return visitFrom(end-l.heldBackEvents(), l.heldBack(), func(seq uint64, rec record) error {
		event, err := decodeRecord(rec.text)
		if err != nil {
			return nil // reported when it is delivered
		}
		return visit(&pillarbox.Delivery{Handle: pillarbox.Handle{Seq: seq}, Event: event, Bytes: rec.bytes, Rule: l.RuleAt(destination, pillarbox.Handle{Seq: seq})})
	})
}

// heldBackEvents is how many events at the end of the log have not been copied into a segment of this life.
func (l *Log) heldBackEvents() (n uint64) {
	for _, c := range l.heldBack() {
		n += uint64(len(c.records))
	}
	return n
}

func (c *consumer) visitPending(read *chunk, visit func(*pillarbox.Delivery) error) error {
	for i := range read.records {
		seq := read.firstSeq + uint64(i)
		event, size := read.event(seq)
		if event == nil {
			continue
		}
		c.mu.Lock()
		it := c.windowItem(seq)
		pending := c.isPending(seq) || it != nil && it.leased
		delivery := pillarbox.Delivery{
			Handle: pillarbox.Handle{Seq: seq}, Event: event, Bytes: size, Rule: c.state.ruleAt(seq), Routed: c.state.routed.has(seq),
		}
		c.mu.Unlock()
		if !pending {
			continue
		}
		if err := visit(&delivery); err != nil {
			return err
		}
	}
	return nil
}

// SettleHeld implements pillarbox.Obligations.
func (l *Log) SettleHeld(_ context.Context, destination string, outcomes []pillarbox.Outcome) (settled int, err error) {
	if err := l.writable(); err != nil {
		return 0, err
	}
	c, err := l.consumer(destination)
	if err != nil {
		return 0, err
	}
	c.mu.Lock()
	s := c.newSettlement(len(outcomes))
	for _, outcome := range outcomes {
		if outcome.Kind != pillarbox.OutcomeSkipped && outcome.Kind != pillarbox.OutcomeDead {
			err = fmt.Errorf("settle held event %d for %s: it can be skipped or dead: %w", outcome.Handle.Seq, destination, pillarbox.ErrInvalid)
			break
		}
		settled += s.endHeld(outcome)
	}
	if err == nil {
		s.durable = true
		s.finish()
		err = s.write()
	}
	c.mu.Unlock()
	if err != nil {
		return 0, err
	}
	l.updateOldest()
	return settled, nil
}

// endHeld settles an event if it is held, and returns how many that are.
func (s *settlement) endHeld(outcome pillarbox.Outcome) int {
	c, seq := s.consumer, outcome.Handle.Seq
	waiting := c.retrying[seq]
	inState := waiting != nil && waiting.held
	if _, again := s.settled[seq]; again || !inState && !c.state.held.has(seq) {
		return 0
	}
	below := seq < c.state.cursor
	s.end(&item{seq: seq}, outcome, inState || !below, below)
	s.leaveAside(seq, outcome.Kind)
	return 1
}

// Route implements pillarbox.Obligations. The other destination has the events durably before the first one lets go of
// them; while that is going on, no segment is removed.
func (l *Log) Route(ctx context.Context, from, to string, deliveries []*pillarbox.Delivery) (routed int, err error) {
	if err := l.writable(); err != nil {
		return 0, err
	}
	if from == to {
		return 0, fmt.Errorf("route from %s to itself: %w", from, pillarbox.ErrInvalid)
	}
	source, err := l.consumer(from)
	if err != nil {
		return 0, err
	}
	target, err := l.consumer(to)
	if err != nil {
		return 0, err
	}
	l.creating.Lock()
	defer l.creating.Unlock()
	held := source.stillHeld(deliveries)
	if err := target.take(held); err != nil {
		return 0, fmt.Errorf("give held events to %s: %w", to, err)
	}
	outcomes := make([]pillarbox.Outcome, len(held))
	for i, delivery := range held {
		outcomes[i] = pillarbox.Outcome{Handle: delivery.Handle, Kind: pillarbox.OutcomeSkipped, Skip: pillarbox.SkippedRouted}
	}
	return l.SettleHeld(ctx, from, outcomes)
}

func (c *consumer) stillHeld(deliveries []*pillarbox.Delivery) (held []*pillarbox.Delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, delivery := range deliveries {
		waiting := c.retrying[delivery.Handle.Seq]
		if waiting != nil && waiting.held || c.state.held.has(delivery.Handle.Seq) {
			held = append(held, delivery)
		}
	}
	return held
}

// take makes events of the log the destination's own, that were not meant for it when they were accepted.
func (c *consumer) take(deliveries []*pillarbox.Delivery) error {
	firstHeld, _ := c.log.heldSequence()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.newSettlement(len(deliveries))
	var taken []*pillarbox.Delivery
	for _, delivery := range deliveries {
		seq := delivery.Handle.Seq
		if c.state.routed.has(seq) || c.hasHad(delivery) && !c.state.held.has(seq) {
			continue
		}
		taken = append(taken, delivery)
		s.delta.aside("routed").Add.add(seq)
		s.takeOne(delivery, seq < firstHeld)
	}
	s.durable = true
	s.finish()
	if err := s.write(); err != nil {
		return err
	}
	for _, delivery := range taken {
		c.putBack(delivery.Handle.Seq, delivery.Event)
	}
	return nil
}

// hasHad reports whether the event was meant for the destination anyway. Where no rule is known for its time, the first
// known one speaks for it.
func (c *consumer) hasHad(delivery *pillarbox.Delivery) bool {
	seq := delivery.Handle.Seq
	rule := c.state.ruleAt(seq)
	if rule == nil && len(c.state.rules) > 0 {
		rule = &c.state.rules[0].Rule
	}
	return rule != nil && rule.Takes(delivery.Event) && !c.state.waived.has(seq)
}

// takeOne undoes that an event was skipped or held. One whose segment is gone is taken with its bytes.
func (s *settlement) takeOne(delivery *pillarbox.Delivery, segmentGone bool) {
	c, seq := s.consumer, delivery.Handle.Seq
	if entry := c.state.retry[seq]; entry != nil && entry.Outcome == pillarbox.OutcomeSkipped {
		s.delta.Done = append(s.delta.Done, seq) // settled ahead of the cursor
	}
	if seq >= c.state.cursor {
		s.leaveAside(seq, pillarbox.OutcomeReleased)
		return
	}
	switch {
	case c.state.held.has(seq):
		s.delta.aside("held").Remove.add(seq)
	default:
		s.after.uncount(c.state.skipRule(seq))
		if c.state.waived.has(seq) {
			s.delta.aside("waived").Remove.add(seq)
		}
	}
	if segmentGone {
		entry := newRetryEntry(&item{seq: seq, event: delivery.Event}, pillarbox.Outcome{})
		s.delta.Retry = append(s.delta.Retry, entry)
		s.events[seq] = delivery.Event
		return
	}
	s.delta.aside("deferred").Add.add(seq)
}

// skipRule says by which rule an event below the cursor was skipped.
func (s *state) skipRule(seq uint64) string {
	switch {
	case seq < s.start:
		return pillarbox.SkippedBefore
	case !s.waived.has(seq):
		return pillarbox.SkippedSource
	case s.SkippedBy.Elsewhere > 0:
		return pillarbox.SkippedElsewhere
	case s.SkippedBy.Routed > 0:
		return pillarbox.SkippedRouted
	}
	return pillarbox.SkippedForgotten
}

// uncount takes a skipped event back.
func (s *state) uncount(rule string) {
	s.Skipped -= min(s.Skipped, 1)
	by := s.SkippedBy.Of(rule)
	*by -= min(*by, 1)
}

// ScanSettled implements pillarbox.Obligations.
func (l *Log) ScanSettled(ctx context.Context, destination string, visit func(*pillarbox.Delivery) error) error {
	c, err := l.consumer(destination)
	if err != nil {
		return err
	}
	return l.walkRecords(ctx, func(seq uint64, rec record) error {
		event, err := decodeRecord(rec.text)
		if err != nil || c.standing(seq, event) != pillarbox.StandingSettled {
			return nil
		}
		return visit(&pillarbox.Delivery{Handle: pillarbox.Handle{Seq: seq}, Event: event, Bytes: rec.bytes})
	})
}

// Redeliver implements pillarbox.Obligations. No segment is removed meanwhile.
func (l *Log) Redeliver(_ context.Context, destination string, handles []pillarbox.Handle, dead uint64) (redelivered int, err error) {
	if err := l.writable(); err != nil {
		return 0, err
	}
	c, err := l.consumer(destination)
	if err != nil {
		return 0, err
	}
	l.creating.Lock()
	defer l.creating.Unlock()
	firstHeld, _ := l.heldSequence()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.newSettlement(len(handles))
	for _, handle := range handles {
		seq := handle.Seq
		if seq < firstHeld || seq >= c.state.cursor || c.state.retry[seq] != nil || c.isAside(seq) {
			continue
		}
		s.delta.aside("deferred").Add.add(seq)
		redelivered++
	}
	was := min(dead, uint64(redelivered), s.after.Dead)
	s.after.Dead -= was
	s.after.Stored -= min(s.after.Stored, uint64(redelivered)-was)
	s.durable = true
	s.finish()
	if err := s.write(); err != nil {
		return 0, err
	}
	c.returned.fire()
	return redelivered, nil
}

// isAside reports whether an event below the cursor is not settled.
func (c *consumer) isAside(seq uint64) bool {
	return c.state.held.has(seq) || c.state.deferred.has(seq) || c.state.unread.has(seq)
}

// Store implements pillarbox.Obligations.
func (l *Log) Store(destination string) pillarbox.StoreRecord {
	c, err := l.knownConsumer(destination)
	if err != nil || c == nil {
		return pillarbox.StoreRecord{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state.store
}

// SetStore implements pillarbox.Obligations.
func (l *Log) SetStore(_ context.Context, destination string, record pillarbox.StoreRecord) error {
	if err := l.writable(); err != nil {
		return err
	}
	c, err := l.consumer(destination)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.state.store
	c.state.store = record
	if before.Changed == record.Changed && before.ID == record.ID {
		return nil
	}
	s := c.newSettlement(0)
	s.finish()
	if err := c.journal.append(s.delta, c.state, true); err != nil {
		c.state.store = before
		return fmt.Errorf("record the store of destination %s: %w", destination, err)
	}
	s.commit()
	return nil
}
