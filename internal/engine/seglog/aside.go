package seglog

import (
	"errors"
	"fmt"
	"time"

	"pillarbox"
)

// Bounds of the deferred events that are in memory again at a time.
const (
	maxResumed      = 1024
	maxResumedBytes = 16 << 20
)

// Bounds of the pause while the retry set is full and everything is refused.
const (
	firstCalm = time.Second
	maxCalm   = 30 * time.Second
)

// calm is the pause before new events are read for a destination that has refused all of a batch while its retry set was
// full. Without it, a destination that refuses everything would be asked for the whole backlog, once for each event.
type calm struct {
	pause time.Duration
	until time.Time
}

// over reports whether reading may go on, and tells the picker when it may.
func (c *calm) over(pick *picker) bool {
	wait := c.until.Sub(pick.now)
	if wait > 0 {
		pick.wait = min(pick.wait, wait)
	}
	return wait <= 0
}

// pace begins or ends the pause after a settlement.
func (c *consumer) pace(s *settlement) {
	deferred := 0
	for _, kind := range s.settled {
		switch kind {
		case outcomeDeferred:
			deferred++
		case pillarbox.OutcomeStored:
			c.calm = calm{}
			return
		}
	}
	if deferred > 0 && deferred == len(s.settled) {
		c.calm.pause = min(max(2*c.calm.pause, firstCalm), maxCalm)
		c.calm.until = c.core.opts.Now().Add(c.calm.pause)
	}
}

// resume reads deferred events again while there is room for them to wait.
func (c *consumer) resume() error {
	o := c.core.opts
	active := c.retries.active()
	if c.state.deferred.count == 0 || active >= o.MaxRetrying*3/4 || c.retries.bytes >= o.MaxRetryingBytes*3/4 {
		return nil
	}
	bytes := c.resumed.bytes()
	for len(c.resumed.items) < maxResumed && bytes < maxResumedBytes {
		seq, ok := c.resumed.next(c.state)
		if !ok {
			return nil
		}
		read, err := c.resumeFromChunk(seq)
		if err != nil {
			return fmt.Errorf("read a deferred event of %s again: %w", c.name, err)
		}
		bytes += read
	}
	return nil
}

// resumeFromChunk takes all deferred events of the chunk that holds seq. One that can't be read is lost.
func (c *consumer) resumeFromChunk(seq uint64) (bytes int64, err error) {
	if c.resumed.reader == nil {
		c.resumed.reader = c.scanner.reader(0, false)
	}
	read, segment, err := c.resumed.reader.chunkOf(seq)
	if err != nil {
		return 0, err
	}
	var lost runs
	for at, ok := c.state.deferred.next(read.firstSeq); ok && at < read.nextSeq() && at < c.state.cursor; at, ok = c.state.deferred.next(at + 1) {
		if c.resumed.items[at] != nil {
			continue
		}
		event, size := read.event(at)
		if event == nil {
			lost.add(at)
			continue
		}
		c.resumed.items[at] = &item{seq: at, event: event, bytes: size, segment: segment.id, offset: read.offset, routed: c.state.routed.has(at)}
		bytes += size
	}
	c.resumed.from = read.nextSeq()
	return bytes, c.lose(lost, read.unread)
}

// event returns a record of the chunk, decoded from a copy of its own, and its size; nil where it can't be read.
func (c *chunk) event(seq uint64) (*pillarbox.Event, int64) {
	if seq < c.firstSeq || seq-c.firstSeq >= uint64(len(c.records)) {
		return nil, 0
	}
	rec := c.records[seq-c.firstSeq]
	if rec.missing {
		return nil, 0
	}
	event, err := decodeRecord(string([]byte(rec.text)))
	if err != nil {
		return nil, 0
	}
	return event, rec.bytes
}

// lose settles events below the cursor that can't be read any more.
func (c *consumer) lose(lost runs, unread bool) error {
	if len(lost) == 0 {
		return nil
	}
	s := c.newSettlement(0)
	lost.each(func(seq uint64) { s.lose(seq, 1, unread) })
	s.finish()
	return s.write()
}

// missAside settles events whose segments are gone although they were kept for them, as skipTo does.
func (c *consumer) missAside(firstHeld uint64) {
	gone := uint64(0)
	oldest := c.state.cursor
	for _, set := range []*seqSet{&c.state.held, &c.state.deferred, &c.state.unread} {
		for seq, ok := set.next(0); ok && seq < firstHeld; seq, ok = set.next(seq) {
			set.remove(seq)
			if seq < c.state.cursor { // the others are counted by skipTo
				gone, oldest = gone+1, min(oldest, seq)
			}
		}
	}
	switch {
	case gone == 0:
	case c.journal.suspect:
		c.core.opts.Logger.Warn("an older delivery state is used; held and deferred events of removed segments count as stored", "destination", c.name, "events", gone)
		c.state.Stored += gone
	default:
		c.damage.noteMissing(oldest, gone, c.name)
		c.state.Damaged += gone
	}
}

// evacuate moves the held events of a segment that nothing else needs into the delivery state, as far as there is room, so
// that a few of them don't keep it. Deferred events are to be tried again soon, and keep their segment.
func (c *consumer) evacuate(old *segment) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.newSettlement(0)
	bytes := int64(0)
	for _, it := range c.retries.items {
		if it.held {
			bytes += it.bytes
		}
	}
	next := func(from uint64) (uint64, bool) {
		seq, ok := c.state.held.next(max(from, old.firstSeq))
		return seq, ok && seq < min(old.nextSeq, c.state.cursor)
	}
	var lost runs
	err := c.scanner.walkSet(next, func(read *chunk) error {
		if read.unread {
			return errNotNow
		}
		for seq, ok := next(read.firstSeq); ok && seq < read.nextSeq(); seq, ok = next(seq + 1) {
			event, size := read.event(seq)
			if event == nil {
				lost.add(seq)
				continue
			}
			if bytes += size; bytes > c.core.opts.MaxRetryingBytes || c.retries.held+s.retries >= c.core.opts.MaxRetrying {
				return errNoRoom
			}
			entry := newRetryEntry(&item{seq: seq, event: event}, pillarbox.Outcome{})
			entry.Held = true
			if err := s.wait(entry, &item{seq: seq}, time.Time{}); err != nil {
				return err
			}
			s.delta.aside("held").Remove.add(seq)
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.finish()
	return errors.Join(s.write(), c.lose(lost, false))
}

// errNotNow says that the disk can't read all of a segment.
var errNotNow = errors.New("the disk can't read all of it now")

// errNoRoom says that a segment has more held events than the delivery state may take.
var errNoRoom = errors.New("too many held events to keep them in the delivery state")

// reread reads again what the disk could not read before. What it can read now comes to the destination as if it had been
// deferred; what turns out to be damaged for good is counted as that.
func (c *consumer) reread() error {
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
		c.core.opts.Logger.Warn("events that the disk could not read can be read again", "destination", c.name, "events", again, "damaged", rotten)
		s.finish()
		if err := s.write(); err != nil {
			return err
		}
		c.returned.fire()
		return nil
	})
}
