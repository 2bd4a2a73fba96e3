package seglog

import (
	"fmt"

	"pillarbox"
)

// route gives held events to another destination. The other destination has the events durably
// before the first one lets go of them; while that is going on, no segment is removed.
func (o *obligations) route(
	from, to string, deliveries []*pillarbox.Delivery,
) (routed int, err error) {
	if from == to {
		return 0, pillarbox.Invalid("route from %s to itself", from)
	}
	source, err := o.destinations.getToChange(from)
	if err != nil {
		return 0, err
	}
	target, err := o.destinations.getToChange(to)
	if err != nil {
		return 0, err
	}
	o.destinations.creating.Lock()
	defer o.destinations.creating.Unlock()
	held := o.stillHeld(source, deliveries)
	if err := o.take(target, held); err != nil {
		return 0, fmt.Errorf("give held events to %s: %w", to, err)
	}
	outcomes := make([]pillarbox.Outcome, len(held))
	for i, delivery := range held {
		outcomes[i] = pillarbox.Outcome{
			Handle: delivery.Handle, Kind: pillarbox.OutcomeSkipped, Skip: pillarbox.SkippedRouted,
		}
	}
	return o.settleHeld(from, outcomes)
}

func (o *obligations) stillHeld(
	c *consumer, deliveries []*pillarbox.Delivery,
) (held []*pillarbox.Delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, delivery := range deliveries {
		waiting := c.retries.items[delivery.Handle.Seq]
		if waiting != nil && waiting.held || c.state.held.has(delivery.Handle.Seq) {
			held = append(held, delivery)
		}
	}
	return held
}

// take makes events of the log the destination's own, that were not meant for it when they were
// accepted.
func (o *obligations) take(c *consumer, deliveries []*pillarbox.Delivery) error {
	firstHeld, _ := c.segments.bounds()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.newSettlement(len(deliveries))
	var taken []*pillarbox.Delivery
	for _, delivery := range deliveries {
		seq := delivery.Handle.Seq
		if c.state.routed.has(seq) || c.state.hasHad(delivery) && !c.state.held.has(seq) {
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
		c.makePending(delivery.Handle.Seq, delivery.Event)
	}
	return nil
}

// takeOne undoes that an event was skipped or held. One whose segment is gone is taken with its
// bytes.
func (s *settlement) takeOne(delivery *pillarbox.Delivery, segmentGone bool) {
	c, seq := s.consumer, delivery.Handle.Seq
	if entry := c.state.retry[seq]; entry != nil && entry.Outcome == pillarbox.OutcomeSkipped {
		s.delta.Done = append(s.delta.Done, seq) // settled ahead of the cursor
	}
	if seq >= c.state.cursor {
		s.freed[seq] = true
		s.clearMarks(seq, pillarbox.OutcomeReleased)
		return
	}
	switch {
	case c.state.held.has(seq):
		s.delta.aside("held").Remove.add(seq)
	case c.state.waits(seq):
		return // that it is routed is all that changes
	default:
		s.after.uncount(c.state.skipRule(seq, delivery.Event), 1)
		if c.state.waived.has(seq) {
			s.delta.aside("waived").Remove.add(seq)
		}
		if c.state.filtered.has(seq) {
			s.delta.aside("filtered").Remove.add(seq)
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
