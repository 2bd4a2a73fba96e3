package seglog

import (
	"context"
	"fmt"

	"pillarbox"
)

// scanKept visits everything that is in the log.
func (o *obligations) scanKept(ctx context.Context, visit func(*pillarbox.Delivery) error) error {
	return o.scanner.walkRecords(ctx, func(seq uint64, rec record) error {
		event, err := decodeRecord(rec.text)
		if err != nil {
			return nil // what is damaged is counted by who delivers
		}
		return visit(&pillarbox.Delivery{Handle: pillarbox.Handle{Seq: seq}, Event: event, Bytes: rec.bytes})
	})
}

// began is where and when a destination began.
func (o *obligations) began(destination string) (pillarbox.Handle, pillarbox.Timestamp) {
	c, err := o.destinations.known(destination)
	if err != nil || c == nil {
		return pillarbox.Handle{}, 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return pillarbox.Handle{Seq: c.state.start}, c.state.began
}

// copied is what the destination has recorded of copies.
func (o *obligations) copied(destination string) pillarbox.CopyRecord {
	c, err := o.destinations.known(destination)
	if err != nil || c == nil {
		return pillarbox.CopyRecord{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state.copied
}

// setCopied records how far a copy is, and counts what it has brought. No segment is removed
// meanwhile: what is forgotten stays what it is.
func (o *obligations) setCopied(
	destination string, record pillarbox.CopyRecord, stored, dead uint64,
) (counted uint64, err error) {
	c, err := o.destinations.getToChange(destination)
	if err != nil {
		return 0, err
	}
	o.destinations.creating.Lock()
	defer o.destinations.creating.Unlock()
	firstHeld, _ := o.segments.bounds()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.newSettlement(0)
	stored = min(stored, c.state.forgottenBefore(firstHeld))
	dead = min(dead, c.state.forgottenBefore(firstHeld)-stored)
	counted = stored + dead
	s.after.uncount(pillarbox.SkippedBefore, counted)
	s.after.count(pillarbox.OutcomeStored, "", stored)
	s.after.count(pillarbox.OutcomeDead, "", dead)
	s.finish()
	s.delta.Copied = &record
	if err := c.journal.append(s.delta, c.state, true); err != nil {
		return 0, fmt.Errorf("record a copy to destination %s: %w", destination, err)
	}
	c.state.copied = record
	s.commit()
	return counted, nil
}

// forgottenBefore is how many events are counted as from before the destination and are not in the
// log any more.
func (s *state) forgottenBefore(firstHeld uint64) uint64 {
	if firstHeld >= s.start {
		return s.SkippedBy.Before
	}
	held := s.start - firstHeld
	for seq, ok := s.routed.next(firstHeld); ok && seq < s.start; seq, ok = s.routed.next(seq + 1) {
		held--
	}
	return s.SkippedBy.Before - min(s.SkippedBy.Before, held)
}
