// Package ratelimit says how much may come in, of everybody together or of each client.
//
// A Bucket holds events and is refilled at a constant rate; what takes from it waits for nothing:
// it is told to come again later. Clients are the buckets of many, with one rate. Both follow the
// generic cell rate algorithm (ITU-T I.371, annex A): the state of a bucket is the one time at which
// it will be full again, so that nobody has to refill it.
//
// It promises that nobody gets more than the rate and one burst, whatever is taken at the same time
// and however many clients there are; that memory does not grow with the number of clients; and
// that taking costs no allocation. It does not promise that a client gets its full rate while more
// clients than a table remembers send at the same time: then some share a bucket.
//
// Times are durations since any moment that is the same for all calls, of a clock that no one sets.
package ratelimit

import (
	"math"
	"sync/atomic"
	"time"
)

// Rate is how much may come in. What one event takes is rounded down to whole nanoseconds: at a
// million events per second, that is exact; at 300 million, it is 11 % more than the rate.
type Rate struct {
	PerSecond int // events; 0 for no limit
	Burst     int // events at once; 0 is PerSecond
}

func (r Rate) burst() int {
	if r.Burst > 0 {
		return r.Burst
	}
	return r.PerSecond
}

// shape is a rate as its buckets need it.
type shape struct {
	each int64 // nanoseconds in which one event is refilled
	full int64 // nanoseconds in which an empty bucket is
	most int   // events that it holds
}

func newShape(r Rate) shape {
	each := max(1, int64(time.Second)/int64(r.PerSecond))
	most := min(int64(r.burst()), math.MaxInt64/4/each)
	return shape{each: each, full: each * most, most: int(most)}
}

// take returns when the bucket is full again once n events are taken from it, or how long they have
// to wait. More than a full bucket holds counts as a full one: it could never be taken otherwise.
func (s *shape) take(fullAt, now int64, n int) (then int64, wait time.Duration) {
	then = max(fullAt, now) + int64(min(n, s.most))*s.each
	if over := then - now - s.full; over > 0 {
		return fullAt, time.Duration(over)
	}
	return then, 0
}

// left is what a bucket holds, and how long it takes until it is full.
func (s *shape) left(fullAt, now int64) Level {
	missing := max(0, fullAt-now)
	return Level{Left: int((s.full - missing) / s.each), Full: time.Duration(missing)}
}

// Level is how full a bucket is.
type Level struct {
	Left int           // events that may be taken at once
	Full time.Duration // until it is full
}

// Bucket holds events. All methods may be called concurrently. A nil bucket is without end.
type Bucket struct {
	shape
	fullAt atomic.Int64
}

// NewBucket makes a full one, or nil for no limit.
func NewBucket(r Rate) *Bucket {
	if r.PerSecond <= 0 {
		return nil
	}
	return &Bucket{shape: newShape(r)}
}

// Take takes n events, and returns 0, or takes none and returns how long it would have to wait for
// them.
func (b *Bucket) Take(now time.Duration, n int) time.Duration {
	if b == nil {
		return 0
	}
	for {
		before := b.fullAt.Load()
		then, wait := b.take(before, int64(now), n)
		if wait > 0 || n == 0 || b.fullAt.CompareAndSwap(before, then) {
			return wait
		}
	}
}

// Return gives n events back that were taken and not needed.
func (b *Bucket) Return(n int) {
	if b != nil {
		b.fullAt.Add(-int64(min(n, b.most)) * b.each)
	}
}

// Wait is how long n events would have to wait now. Nothing is taken.
func (b *Bucket) Wait(now time.Duration, n int) time.Duration {
	if b == nil {
		return 0
	}
	_, wait := b.take(b.fullAt.Load(), int64(now), n)
	return wait
}

// Level is how full it is.
func (b *Bucket) Level(now time.Duration) Level { return b.left(b.fullAt.Load(), int64(now)) }
