package seglog

import (
	"time"

	"pillarbox"
)

// What a client is asked to wait when the queue is full.
const (
	leastRetryAfter = time.Second
	mostRetryAfter  = time.Minute
	// roomWorthWaiting is the part of the limit that is to be free again when clients come back: they come all at once.
	roomWorthWaiting = 100 // one in so many
	drainInterval    = time.Second
	drainMemory      = 30 * time.Second // after which a queue that has not moved counts as standing still
)

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

// retryAfter is how long it takes until there is room for so many bytes, as far as the drain goes on as it did.
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

// wouldRefuseLocked reports whether there is no room for one more event of the usual size. A queue that refuses what comes next is
// full, whatever its count of bytes says.
func (l *Log) wouldRefuseLocked(need int64) bool {
	return l.maxBytes > 0 && l.heldLocked()+need+l.pending.size() > l.maxBytes
}

// usualLocked is the size that an event usually has, with all that it may take at the most.
func (l *Log) usualLocked() int64 {
	if l.usual == 0 {
		return sectorBytes
	}
	return int64(l.usual)
}

// noteSizeLocked keeps the average of the last events.
func (l *Log) noteSizeLocked(need int64, events int) {
	size := float64(need) / float64(max(1, events))
	if l.usual == 0 {
		l.usual = size
	}
	l.usual += (size - l.usual) / 16
}

// fullLocked is the refusal of a full queue.
func (l *Log) fullLocked(need int64) error {
	room := max(need, l.maxBytes/roomWorthWaiting)
	return &pillarbox.RetryAfterError{After: l.drain.retryAfter(room, l.opts.Now()), Err: l.fullErrorLocked()}
}
