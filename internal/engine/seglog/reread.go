package seglog

import (
	"time"

	"pillarbox"
	"pillarbox/internal/telemetry"
)

// What the disk could not read is left alone for so long at first, and then for twice as long each
// time, up to the second.
const (
	firstReread = time.Second
	maxReread   = time.Minute
)

// rereadAll reads again, now and then, what the disk could not read, and forgives the damage that
// has passed.
func (m *maintenance) rereadAll() {
	now := m.opts.Now()
	if now.Sub(m.reread).Abs() < m.rereadWait {
		return
	}
	m.reread, m.rereadWait = now, min(max(2*m.rereadWait, firstReread), maxReread)
	pending := false
	for _, c := range m.destinations.all() {
		if err := m.rereadFor(c); err != nil {
			m.opts.Logger.Warn("read again what the disk could not read", telemetry.KeyQueue, m.dir,
				telemetry.KeyErr, err)
		}
		c.mu.Lock()
		pending = pending || c.state.unread.count > 0
		c.mu.Unlock()
	}
	if !m.damage.rereadEnds(m.acceptAgain) && !pending {
		m.rereadWait = firstReread
		m.damage.forgive()
	}
}

// rereadFor reads again what the disk could not read before. What it can read now comes to the
// destination as if it had been deferred; what turns out to be damaged for good is counted as that.
func (m *maintenance) rereadFor(c *consumer) error {
	c.mu.Lock()
	set := c.state.unread.clone()
	c.mu.Unlock()
	if set.count == 0 {
		return nil
	}
	return c.scanner.walkSet(set.next, func(read *chunk) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		s := c.newSettlement(0)
		again, rotten := 0, uint64(0)
		for seq, ok := set.next(read.firstSeq); ok && seq < read.nextSeq(); seq, ok = set.next(seq + 1) {
			if !c.state.unread.has(seq) {
				continue
			}
			event, _ := read.event(seq)
			switch {
			case event != nil:
				again++
				s.delta.aside("unread").Remove.add(seq)
				s.delta.aside("deferred").Add.add(seq)
			case !read.unread:
				rotten++
				s.after.Damaged++
				s.delta.aside("unread").Remove.add(seq)
			}
		}
		if again == 0 && rotten == 0 {
			return nil
		}
		c.core.opts.Logger.Warn("events that the disk could not read can be read again",
			telemetry.KeyDestination, c.name, telemetry.KeyEvents, again,
			telemetry.KeyDamaged, rotten)
		s.finish()
		if err := s.write(); err != nil {
			return err
		}
		c.returned.fire()
		return nil
	})
}

// acceptAgain appends events of an earlier life. The maintenance may wait, and needs to know.
func (m *maintenance) acceptAgain(events []*pillarbox.Event) error {
	return m.appender.append(events, true)
}
