package seglog

import (
	"cmp"
	"context"
	"slices"

	"pillarbox"
)

// scanHeld visits what no destination takes any more: what has left its segment, then the rest.
func (o *obligations) scanHeld(
	ctx context.Context, destination string, visit func(*pillarbox.Delivery) error,
) error {
	c, err := o.destinations.get(destination)
	if err != nil {
		return err
	}
	c.mu.Lock()
	set := c.state.held.clone()
	var evacuated []*item
	for _, it := range c.retries.items {
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
	return o.scanner.walkSet(set.next, func(read *chunk) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		for seq, ok := set.next(read.firstSeq); ok && seq < read.nextSeq(); seq, ok = set.next(seq + 1) {
			event, size := read.event(seq)
			if event == nil {
				continue
			}
			delivery := pillarbox.Delivery{
				Handle: pillarbox.Handle{Seq: seq}, Event: event, Bytes: size,
				Rule: ruleAt(rules, start, seq),
			}
			if err := visit(&delivery); err != nil {
				return err
			}
		}
		return nil
	})
}

// scanPending visits what is to be delivered, and what is being delivered.
func (o *obligations) scanPending(
	ctx context.Context, destination string, visit func(*pillarbox.Delivery) error,
) error {
	c, err := o.destinations.get(destination)
	if err != nil {
		return err
	}
	c.mu.Lock()
	waiting := make([]*item, 0, len(c.retries.items))
	for _, it := range c.retries.items {
		waiting = append(waiting, it)
	}
	slices.SortFunc(waiting, func(a, b *item) int { // those that were tried come first
		return cmp.Or(cmp.Compare(b.tries(), a.tries()), cmp.Compare(a.seq, b.seq))
	})
	deliveries := c.deliveries(waiting)
	needs := c.needs.Load()
	c.mu.Unlock()
	for i := range deliveries {
		if err := visit(&deliveries[i]); err != nil {
			return err
		}
	}
	_, end := o.segments.bounds()
	next := func(from uint64) (uint64, bool) { return max(from, needs), max(from, needs) < end }
	err = o.scanner.walkSet(next, func(read *chunk) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return o.visitPending(c, read, visit)
	})
	if err != nil {
		return err
	}
	visitUnproven := func(seq uint64, rec record) error {
		event, err := decodeRecord(rec.text)
		if err != nil {
			return nil // reported when it is delivered
		}
		handle := pillarbox.Handle{Seq: seq}
		return visit(&pillarbox.Delivery{
			Handle: handle, Event: event, Bytes: rec.bytes, Rule: o.ruleAt(destination, handle),
		})
	}
	first := end - o.segments.unprovenEvents()
	return visitFrom(first, o.segments.openUnproven(), visitUnproven)
}

func (o *obligations) visitPending(
	c *consumer, read *chunk, visit func(*pillarbox.Delivery) error,
) error {
	for i := range read.records {
		seq := read.firstSeq + uint64(i)
		event, size := read.event(seq)
		if event == nil {
			continue
		}
		c.mu.Lock()
		it := c.window.find(seq)
		pending := c.isPending(seq) || it != nil && it.leased
		delivery := pillarbox.Delivery{
			Handle: pillarbox.Handle{Seq: seq}, Event: event, Bytes: size,
			Rule: c.state.ruleAt(seq), Routed: c.state.routed.has(seq),
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

// tries is 1 for what waits for another attempt, or for its dead letter.
func (it *item) tries() int {
	if len(it.attempts) > 0 || it.rejection != nil {
		return 1
	}
	return 0
}

// settleHeld settles held events as skipped or dead. Others are passed over.
func (o *obligations) settleHeld(
	destination string, outcomes []pillarbox.Outcome,
) (settled int, err error) {
	c, err := o.destinations.getToChange(destination)
	if err != nil {
		return 0, err
	}
	c.mu.Lock()
	s := c.newSettlement(len(outcomes))
	for _, outcome := range outcomes {
		if outcome.Kind != pillarbox.OutcomeSkipped && outcome.Kind != pillarbox.OutcomeDead {
			err = pillarbox.Invalid("settle held event %d for %s: it can be skipped or dead",
				outcome.Handle.Seq, destination)
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
	o.destinations.measureBacklog()
	return settled, nil
}

// endHeld settles an event if it is held, and returns how many that are.
func (s *settlement) endHeld(outcome pillarbox.Outcome) int {
	c, seq := s.consumer, outcome.Handle.Seq
	waiting := c.retries.items[seq]
	inState := waiting != nil && waiting.held
	if _, again := s.settled[seq]; again || !inState && !c.state.held.has(seq) {
		return 0
	}
	below := seq < c.state.cursor
	s.end(&item{seq: seq}, outcome, inState || !below, below)
	s.clearMarks(seq, outcome.Kind)
	return 1
}
