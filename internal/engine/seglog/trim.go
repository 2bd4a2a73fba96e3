package seglog

import (
	"cmp"
	"errors"
	"sync/atomic"
	"time"

	"pillarbox"
	"pillarbox/internal/telemetry"
)

// trimmer removes segments that nobody needs.
//
// Locks: it holds destinations.creating, so that nobody is given an event of a segment that is
// being removed.
type trimmer struct {
	*core
	segments     *segmentSet
	damage       *damageLog
	destinations *destinations
	keys         *keys

	keepBytes atomic.Int64 // of delivered segments that are kept as history
}

// setKeepBytes takes 0 for the default, and less for none.
func (t *trimmer) setKeepBytes(keepBytes int64) {
	t.keepBytes.Store(max(0, cmp.Or(keepBytes, DefaultKeepBytes)))
}

// dropReturned removes segments that were removed before, and that a crash has brought back
// although it left a newer one removed: their removal was not durable yet, or could not be made so.
// Everything in them is settled.
func (t *trimmer) dropReturned() {
	if t.opts.ReadOnly {
		return
	}
	behind := 0 // the first segment behind the last gap
	for i := 1; i < len(t.segments.list); i++ {
		if t.segments.list[i-1].nextSeq < t.segments.list[i].firstSeq {
			behind = i
		}
	}
	for _, c := range t.destinations.all() {
		if behind > 0 && min(c.needs.Load(), c.durableCursor()) < t.segments.list[behind].firstSeq {
			return // something there is missing: the readers say so
		}
	}
	if len(t.destinations.consumers) == 0 {
		return
	}
	for _, old := range t.segments.list[:behind] {
		t.opts.Logger.Info("a segment that was removed has come back",
			telemetry.KeySegment, old.name)
		t.segments.remove(old)
	}
	t.segments.list = t.segments.list[behind:]
}

// run removes settled segments that are older than the history to keep. The cursors are durable
// before the first removal: a crash in between must not bring back a cursor that points to a
// removed segment.
func (t *trimmer) run() {
	t.destinations.creating.Lock() // nobody is given an event of a segment that is being removed
	defer t.destinations.creating.Unlock()
	t.evacuate()
	for _, old := range t.settled(func(c *consumer) uint64 { return c.needs.Load() }) {
		if err := t.destinations.sync(); err != nil {
			t.opts.Logger.Warn("sync delivery state before removing a segment",
				telemetry.KeySegment, old.name, telemetry.KeyErr, err)
			return
		}
		if !t.durablyPassed(old) || !t.keys.cover(old) {
			return
		}
		t.segments.dropOldest(old)
		t.segments.remove(old)
	}
	firstHeld, _ := t.segments.bounds()
	for _, c := range t.destinations.all() {
		c.forgetMarks(firstHeld)
	}
}

// settled lists the oldest segments that nobody needs, as far as they exceed the history to keep.
func (t *trimmer) settled(oldest func(*consumer) uint64) []*segment {
	consumers := t.destinations.all()
	if len(consumers) == 0 {
		return nil
	}
	settled := uint64(1<<64 - 1)
	for _, c := range consumers {
		settled = min(settled, oldest(c))
	}
	passed, bytes := t.segments.passed(settled)
	if len(passed) == 0 {
		return nil
	}
	keep := t.historyToKeep()
	var old []*segment
	for _, segment := range passed {
		if bytes <= keep || t.damage.hasUnreadEnd(segment) {
			break
		}
		bytes -= segment.end
		old = append(old, segment)
	}
	return old
}

// historyToKeep is the history for which there is room: none on a disk that is nearly full, where
// new events and deliveries need the space more.
func (t *trimmer) historyToKeep() int64 {
	usage, err := t.fsys.Usage()
	if err != nil || usage.Free < t.minFree(usage)+t.opts.SegmentBytes {
		return 0
	}
	return t.keepBytes.Load()
}

func (t *trimmer) durablyPassed(old *segment) bool {
	for _, c := range t.destinations.all() {
		if c.durableCursor() < old.nextSeq {
			return false
		}
	}
	return true
}

// evacuate empties segments that would be removed if no held events were in them.
func (t *trimmer) evacuate() {
	for _, old := range t.settled((*consumer).oldestNotHeld) {
		for _, c := range t.destinations.all() {
			if c.needs.Load() >= old.nextSeq {
				continue
			}
			if err := t.empty(c, old); err != nil {
				t.opts.Logger.Debug("a segment is kept for its held events",
					telemetry.KeySegment, old.name, telemetry.KeyDestination, c.name,
					telemetry.KeyErr, err)
				return
			}
		}
	}
}

// oldestNotHeld is the oldest event that is pending and not held.
func (c *consumer) oldestNotHeld() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	oldest := c.state.cursor
	for _, set := range []*seqSet{&c.state.deferred, &c.state.unread} {
		if first, ok := set.next(0); ok {
			oldest = min(oldest, first)
		}
	}
	return oldest
}

// empty moves the held events of a segment that nothing else needs into the delivery state, as far
// as there is room, so that a few of them don't keep it. Deferred events are to be tried again
// soon, and keep their segment.
func (t *trimmer) empty(c *consumer, old *segment) error {
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
			if bytes += size; bytes > c.core.opts.MaxRetryingBytes ||
				c.retries.held+s.retries >= c.core.opts.MaxRetrying {
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

// errNoRoom says that a segment has more held events than the delivery state may take.
var errNoRoom = errors.New("too many held events to keep them in the delivery state")

// errNotNow says that the disk can't read all of a segment.
var errNotNow = errors.New("the disk can't read all of it now")

// forgetMarks drops what is remembered of settled events that are nowhere any more. It is written
// down by the next snapshot; until then the marks are harmless.
func (c *consumer) forgetMarks(firstHeld uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state.routed.count+c.state.waived.count+c.state.filtered.count == 0 {
		return
	}
	for seq := range c.state.retry {
		firstHeld = min(firstHeld, seq) // a retry still asks whether it was routed
	}
	c.state.routed.forgetBelow(firstHeld)
	c.state.waived.forgetBelow(firstHeld)
	c.state.filtered.forgetBelow(firstHeld)
}
