package seglog

import (
	"context"
	"fmt"

	"pillarbox"
)

// scanSkipped visits what was skipped and is still in the log, from a sequence number on.
func (o *obligations) scanSkipped(
	ctx context.Context, destination string, from uint64,
	visit func(*pillarbox.Delivery, string) error,
) error {
	c, err := o.destinations.get(destination)
	if err != nil {
		return err
	}
	return o.scanner.walkRecordsFrom(ctx, from, func(seq uint64, rec record) error {
		event, err := decodeRecord(rec.text)
		if err != nil {
			return nil
		}
		rule := c.skippedBy(seq, event)
		if rule == "" {
			return nil
		}
		return visit(&pillarbox.Delivery{
			Handle: pillarbox.Handle{Seq: seq}, Event: event, Bytes: rec.bytes,
			Rule: o.ruleAt(destination, pillarbox.Handle{Seq: seq}),
		}, rule)
	})
}

// skippedBy returns the rule by which an event was skipped, and "" where it was not. One that the
// cursor has not passed is not counted as skipped yet, and is left out.
func (c *consumer) skippedBy(seq uint64, event *pillarbox.Event) string {
	standing := c.standing(seq, event)
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.state
	switch {
	case s.routed.has(seq):
		return ""
	case seq < s.start:
		return pillarbox.SkippedBefore
	case standing == pillarbox.StandingSkipped && seq < s.cursor && s.retry[seq] == nil:
		return s.skipRule(seq, event)
	}
	return ""
}

// unskip makes skipped events pending. No segment is removed meanwhile.
func (o *obligations) unskip(
	destination string, deliveries []*pillarbox.Delivery,
) (taken int, err error) {
	c, err := o.destinations.getToChange(destination)
	if err != nil {
		return 0, err
	}
	o.destinations.creating.Lock()
	defer o.destinations.creating.Unlock()
	firstHeld, _ := o.segments.bounds()
	var skipped []*pillarbox.Delivery
	for _, delivery := range deliveries {
		seq := delivery.Handle.Seq
		if seq >= firstHeld && c.skippedBy(seq, delivery.Event) != "" {
			skipped = append(skipped, delivery)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.newSettlement(len(skipped))
	for _, delivery := range skipped {
		s.delta.aside("routed").Add.add(delivery.Handle.Seq)
		s.delta.aside("backfill").Add.add(delivery.Handle.Seq)
		s.takeOne(delivery, false)
	}
	s.durable = true
	s.finish()
	if err := s.write(); err != nil {
		return 0, fmt.Errorf("hand out skipped events of %s: %w", destination, err)
	}
	c.returned.fire()
	return len(skipped), nil
}
