package seglog

import (
	"cmp"
	"fmt"
	"time"

	"pillarbox"
)

// What a client is asked to wait when the queue is full.
const (
	leastRetryAfter = time.Second
	mostRetryAfter  = time.Minute
	// roomWorthWaiting is the part of the limit that is to be free again when clients come back:
	// they come all at once.
	roomWorthWaiting = 100 // one in so many
	drainInterval    = time.Second
	drainMemory      = 30 * time.Second // after which a queue that has not moved counts as standing still
)

// backlog is how much of the log is not delivered, and how much of that there may be.
//
// Locks: core.mu guards all of it.
type backlog struct {
	*core
	segments *segmentSet

	maxBytes int64
	usual    float64 // size of an event, an average
	drain    drain
	oldest   int64 // position up to which every destination has settled
}

func (b *backlog) setMaxBytes(maxBytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.maxBytes = cmp.Or(maxBytes, DefaultMaxBytes)
}

// measure recomputes what some destination has not settled, for the limit on bytes.
func (b *backlog) measure(consumers []*consumer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.segments.list) == 0 {
		return
	}
	last := b.segments.list[len(b.segments.list)-1]
	oldest := last.position(last.end)
	if len(consumers) == 0 {
		oldest = b.segments.list[0].base
	}
	for _, c := range consumers {
		at := c.position.Load()
		oldest = min(oldest, b.segments.distanceLocked(at))
		if needs := c.needs.Load(); needs < at.cursor {
			oldest = min(oldest, b.segments.segmentOfLocked(needs).base)
		}
	}
	b.oldest = oldest
	b.drain.measure(oldest, b.opts.Now())
}

// bytesLocked is the number of bytes of frames that some destination has not settled.
func (b *backlog) bytesLocked() int64 {
	if len(b.segments.list) == 0 {
		return 0
	}
	last := b.segments.list[len(b.segments.list)-1]
	return last.position(last.end) - b.oldest
}

// wouldRefuseLocked reports whether there is no room for one more event of the usual size. A queue
// that refuses what comes next is full, whatever its count of bytes says.
func (b *backlog) wouldRefuseLocked(need int64) bool {
	return b.maxBytes > 0 && b.bytesLocked()+need > b.maxBytes
}

// usualLocked is the size that an event usually has, with all that it may take at the most.
func (b *backlog) usualLocked() int64 {
	if b.usual == 0 {
		return sectorBytes
	}
	return int64(b.usual)
}

// noteSizeLocked keeps the average of the last events.
func (b *backlog) noteSizeLocked(need int64, events int) {
	size := float64(need) / float64(max(1, events))
	if b.usual == 0 {
		b.usual = size
	}
	b.usual += (size - b.usual) / 16
}

// fullLocked is the refusal of a full queue.
func (b *backlog) fullLocked(need int64) error {
	room := max(need, b.maxBytes/roomWorthWaiting)
	return &pillarbox.RetryAfterError{
		After: b.drain.retryAfter(room, b.opts.Now()), Err: b.fullErrorLocked(),
	}
}

func (b *backlog) fullErrorLocked() error {
	return fmt.Errorf("the queue holds its limit of %d undelivered bytes (queue.max_bytes): %w",
		b.maxBytes, pillarbox.ErrFull)
}

// drain measures how fast the queue gets room.
type drain struct {
	oldest int64 // position at the last measure
	at     time.Time
	rate   float64 // bytes a second
	moved  time.Time
}

// measure notes how far the slowest destination is. It is called with each settle.
func (d *drain) measure(oldest int64, now time.Time) {
	if d.at.IsZero() {
		d.oldest, d.at = oldest, now
		return
	}
	passed := now.Sub(d.at)
	if passed < drainInterval {
		return
	}
	rate := float64(oldest-d.oldest) / passed.Seconds()
	if d.rate == 0 || passed > drainMemory {
		d.rate = rate
	} else {
		d.rate += (rate - d.rate) / 4
	}
	if oldest > d.oldest {
		d.moved = now
	}
	d.oldest, d.at = oldest, now
}

// retryAfter is how long it takes until there is room for so many bytes, as far as the drain goes
// on as it did.
func (d *drain) retryAfter(bytes int64, now time.Time) time.Duration {
	if d.rate <= 0 || now.Sub(d.moved).Abs() > drainMemory {
		return mostRetryAfter
	}
	seconds := float64(bytes) / d.rate
	if seconds > mostRetryAfter.Seconds() {
		return mostRetryAfter
	}
	return max(leastRetryAfter, time.Duration(seconds*float64(time.Second)).Round(time.Second))
}
