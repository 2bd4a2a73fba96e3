package seglog

import (
	"context"
	"fmt"

	"pillarbox"
)

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
