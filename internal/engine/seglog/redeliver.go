package seglog

import (
	"context"

	"pillarbox"
)

// scanSettled visits what is stored or dead and still in the log.
func (o *obligations) scanSettled(
	ctx context.Context, destination string, visit func(*pillarbox.Delivery) error,
) error {
	c, err := o.destinations.get(destination)
	if err != nil {
		return err
	}
	return o.scanner.walkRecords(ctx, func(seq uint64, rec record) error {
		event, err := decodeRecord(rec.text)
		if err != nil || c.standing(seq, event) != pillarbox.StandingSettled {
			return nil
		}
		return visit(
			&pillarbox.Delivery{Handle: pillarbox.Handle{Seq: seq}, Event: event, Bytes: rec.bytes},
		)
	})
}

// redeliver makes settled events pending again. No segment is removed meanwhile.
func (o *obligations) redeliver(
	destination string, handles []pillarbox.Handle, dead uint64,
) (redelivered int, err error) {
	c, err := o.destinations.getToChange(destination)
	if err != nil {
		return 0, err
	}
	o.destinations.creating.Lock()
	defer o.destinations.creating.Unlock()
	firstHeld, _ := o.segments.bounds()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.newSettlement(len(handles))
	for _, handle := range handles {
		seq := handle.Seq
		if seq < firstHeld || seq >= c.state.cursor || c.state.retry[seq] != nil ||
			c.state.isAside(seq) {
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
