package retry

import "time"

// BreakerState says what may be sent to a destination.
type BreakerState int

// The states of a Breaker.
const (
	Closed  BreakerState = iota // everything
	Open                        // nothing until the next probe is due
	Probing                     // a probe
	Warming                     // batches that double with each success
)

func (s BreakerState) String() string {
	return [...]string{Closed: "closed", Open: "open", Probing: "probing", Warming: "warming"}[s]
}

// The defaults of a Breaker.
const (
	DefaultProbeInitial = time.Second
	DefaultProbeMax     = 30 * time.Second
)

// ProbeEvents is how many events a probe takes to choose from. It writes one, and where that fails
// another as a control event, which tells a destination that is down from an event that only looks
// like it.
const ProbeEvents = 16

// Breaker keeps a destination that is down from being flooded, and finds out when it is back. It is
// a plain value, to be used by one goroutine. The zero value is closed and has the default waits.
type Breaker struct {
	ProbeInitial time.Duration // wait before the first probe
	ProbeMax     time.Duration // longest wait between probes

	state    BreakerState
	failures int       // in a row
	since    time.Time // when it opened
	probeAt  time.Time
	allowed  int // events of the next batch while warming
}

// State returns what may be sent now.
func (b *Breaker) State(now time.Time) BreakerState {
	if b.state == Open && !now.Before(b.probeAt) {
		return Probing
	}
	return b.state
}

// OpenSince returns when the destination went down, and zero while it is up.
func (b *Breaker) OpenSince() time.Time {
	if b.state == Closed {
		return time.Time{}
	}
	return b.since
}

// Wait is how long nothing may be sent.
func (b *Breaker) Wait(now time.Time) time.Duration {
	if b.state != Open {
		return 0
	}
	return max(0, b.probeAt.Sub(now))
}

// Allow returns how many of n events may be sent together now.
func (b *Breaker) Allow(now time.Time, n int) int {
	switch b.State(now) {
	case Open:
		return 0
	case Probing:
		return min(n, ProbeEvents)
	case Warming:
		return min(n, b.allowed)
	}
	return n
}

// Fail notes that the destination is down. after is what it asked to wait, or 0. chance is in [0,
// 1).
func (b *Breaker) Fail(now time.Time, after time.Duration, chance float64) {
	if b.state == Closed {
		b.since = now
	}
	b.state = Open
	b.failures++
	initial, longest := b.ProbeInitial, b.ProbeMax
	if initial <= 0 {
		initial = DefaultProbeInitial
	}
	if longest <= 0 {
		longest = DefaultProbeMax
	}
	wait := jitter(backoff(initial, longest, b.failures), chance)
	b.probeAt = now.Add(max(wait, after))
}

// Succeed notes that a batch got through, out of at most full events. After a probe, batches grow
// from small to full, so that a destination that has just come back is not knocked over again.
func (b *Breaker) Succeed(full int) {
	switch b.state {
	case Open:
		b.state, b.allowed, b.failures = Warming, ProbeEvents, 0
	case Warming:
		b.allowed *= 2
		if b.allowed >= full {
			b.state = Closed
		}
	}
}
