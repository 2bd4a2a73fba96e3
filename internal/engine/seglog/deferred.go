package seglog

import (
	"fmt"
	"time"

	"pillarbox"
	"pillarbox/internal/telemetry"
)

// Bounds of the deferred events that are in memory again at a time.
const (
	maxResumed      = 1024
	maxResumedBytes = 16 << 20
)

// Bounds of the pause while the retry set is full and everything is refused.
const (
	firstBackoff = time.Second
	maxBackoff   = 30 * time.Second
)

// backoff is the pause before new events are read for a destination that has refused all of a batch
// while its retry set was full. Without it, a destination that refuses everything would be asked
// for the whole backlog, once for each event.
type backoff struct {
	pause time.Duration
	until time.Time
}

// over reports whether reading may go on, and tells the picker when it may.
func (b *backoff) over(pick *picker) bool {
	wait := b.until.Sub(pick.now)
	if wait > 0 {
		pick.wait = min(pick.wait, wait)
	}
	return wait <= 0
}

// backOff begins or ends the pause after a settlement.
func (c *consumer) backOff(s *settlement) {
	deferred := 0
	for _, kind := range s.settled {
		switch kind {
		case outcomeDeferred:
			deferred++
		case pillarbox.OutcomeStored:
			c.backoff = backoff{}
			return
		}
	}
	if deferred > 0 && deferred == len(s.settled) {
		c.backoff.pause = min(max(2*c.backoff.pause, firstBackoff), maxBackoff)
		c.backoff.until = c.core.opts.Now().Add(c.backoff.pause)
	}
}

// resume reads deferred events again while there is room for them to wait.
func (c *consumer) resume() error {
	o := c.core.opts
	active := c.retries.active()
	if c.state.deferred.count == 0 || active >= o.MaxRetrying*3/4 ||
		c.retries.bytes >= o.MaxRetryingBytes*3/4 {
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

// resumeFromChunk takes all deferred events of the chunk that holds seq. One that can't be read is
// lost.
func (c *consumer) resumeFromChunk(seq uint64) (bytes int64, err error) {
	if c.resumed.reader == nil {
		c.resumed.reader = c.scanner.reader(0, false)
	}
	read, segment, err := c.resumed.reader.chunkOf(seq)
	if err != nil {
		return 0, err
	}
	var lost runs
	for at, ok := c.state.deferred.next(read.firstSeq); ok && at < read.nextSeq() &&
		at < c.state.cursor; at, ok = c.state.deferred.next(at + 1) {
		if c.resumed.items[at] != nil {
			continue
		}
		event, size := read.event(at)
		if event == nil {
			lost.add(at)
			continue
		}
		c.resumed.items[at] = &item{
			seq: at, event: event, bytes: size, segment: segment.id, offset: read.offset,
			routed: c.state.routed.has(at),
		}
		bytes += size
	}
	c.resumed.from = read.nextSeq()
	return bytes, c.lose(lost, read.unread)
}

// event returns a record of the chunk, decoded from a copy of its own, and its size; nil where it
// can't be read.
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

// skipAside settles events whose segments are gone although they were kept for them, as skipTo
// does.
func (c *consumer) skipAside(firstHeld uint64) {
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
		c.core.opts.Logger.Warn(
			"an older delivery state is used; held and deferred events of removed segments count as stored",
			telemetry.KeyDestination, c.name, telemetry.KeyEvents, gone,
		)
		c.state.Stored += gone
	default:
		c.damage.noteMissing(oldest, gone, c.name)
		c.state.Damaged += gone
	}
}
