package seglog

import (
	"errors"
	"io/fs"
)

// trim removes settled segments that are older than the history to keep. The cursors are durable before the
// first removal: a crash in between must not bring back a cursor that points to a removed segment.
func (l *Log) trim() {
	l.creating.Lock() // nobody is given an event of a segment that is being removed
	defer l.creating.Unlock()
	l.evacuate()
	for _, old := range l.settledSegments((*consumer).oldestNeeded) {
		if err := l.syncStates(); err != nil {
			l.opts.Logger.Warn("sync delivery state before removing a segment", "segment", old.name, "err", err)
			return
		}
		if !l.durablyPassed(old) {
			return
		}
		l.mu.Lock()
		if len(l.segments) > 1 && l.segments[0] == old {
			l.segments = l.segments[1:]
		}
		l.mu.Unlock()
		l.removeSegment(old)
	}
	firstHeld, _ := l.heldSequence()
	for _, c := range l.allConsumers() {
		c.forgetMarks(firstHeld)
	}
}

// forgetMarks drops what is remembered of settled events that are nowhere any more. It is written down by the next
// snapshot; until then the marks are harmless.
func (c *consumer) forgetMarks(firstHeld uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state.routed.count == 0 && c.state.waived.count == 0 {
		return
	}
	for seq := range c.state.retry {
		firstHeld = min(firstHeld, seq) // a retry still asks whether it was routed
	}
	c.state.routed.forgetBelow(firstHeld)
	c.state.waived.forgetBelow(firstHeld)
}

// evacuate empties segments that would be removed if no held events were in them.
func (l *Log) evacuate() {
	for _, old := range l.settledSegments((*consumer).oldestNotHeld) {
		for _, c := range l.allConsumers() {
			if c.needs.Load() >= old.nextSeq {
				continue
			}
			if err := c.evacuate(old); err != nil {
				l.opts.Logger.Debug("a segment is kept for its held events", "segment", old.name, "destination", c.name, "err", err)
				return
			}
		}
	}
}

// oldestNeeded is the oldest event that is pending.
func (c *consumer) oldestNeeded() uint64 { return c.needs.Load() }

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

// settledSegments lists the oldest segments that nobody needs, as far as they exceed the history to keep.
func (l *Log) settledSegments(oldest func(*consumer) uint64) []*segment {
	consumers := l.allConsumers()
	if len(consumers) == 0 {
		return nil
	}
	settled := uint64(1<<64 - 1)
	for _, c := range consumers {
		settled = min(settled, oldest(c))
	}
	passed, bytes := l.passedSegments(settled)
	if len(passed) == 0 {
		return nil
	}
	keep := l.historyToKeep()
	var old []*segment
	for _, segment := range passed {
		if bytes <= keep || l.hasUnreadEnd(segment) {
			break
		}
		bytes -= segment.end
		old = append(old, segment)
	}
	return old
}

// passedSegments lists the segments at the front that hold nothing behind the sequence number, and their bytes.
func (l *Log) passedSegments(settled uint64) (passed []*segment, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, segment := range l.segments[:max(0, len(l.segments)-1)] {
		if segment.nextSeq > settled {
			break
		}
		passed, bytes = append(passed, segment), bytes+segment.end
	}
	return passed, bytes
}

// historyToKeep is the history for which there is room: none on a disk that is nearly full, where new events
// and deliveries need the space more.
func (l *Log) historyToKeep() int64 {
	usage, err := l.fsys.Usage()
	if err != nil || usage.Free < l.minFree(usage)+l.opts.SegmentBytes {
		return 0
	}
	return max(0, l.opts.KeepBytes)
}

func (l *Log) durablyPassed(old *segment) bool {
	for _, c := range l.allConsumers() {
		if c.durableCursor() < old.nextSeq {
			return false
		}
	}
	return true
}

// removeSegment removes a segment that no cursor needs, or moves it to quarantine if it is damaged.
func (l *Log) removeSegment(old *segment) {
	l.mu.Lock()
	damaged := old.damaged
	l.mu.Unlock()
	var err error
	if damaged {
		err = l.quarantine(old)
	} else {
		err = l.fsys.Remove(old.name)
	}
	if err == nil {
		err = l.fsys.SyncDir(l.dir)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.opts.Logger.Warn("remove segment", "segment", old.name, "err", err)
	}
}
