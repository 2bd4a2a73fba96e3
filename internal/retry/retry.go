// Package retry decides when to try again. It holds pure values: time and chance are arguments,
// nothing sleeps and nothing runs.
//
// There are two questions, kept apart on purpose. A Policy answers for one event that its
// destination refused: wait longer each time, and give up after some attempts. A Breaker answers
// for a destination that is down: probe it from time to time, for as long as it takes, at no
// event's expense.
package retry

import "time"

// Policy is how often and how fast one event is tried again.
type Policy struct {
	Initial     time.Duration // wait after the first attempt
	Max         time.Duration // longest wait
	MaxAttempts int           // attempts after which the event is given up
}

// The defaults of a Policy: 20 attempts in about an hour. 20 is the number after which the cloud
// design hands a message to its dead-letter queue.
const (
	DefaultInitial     = time.Second
	DefaultMax         = 5 * time.Minute
	DefaultMaxAttempts = 20
)

// WithDefaults fills what is zero.
func (p Policy) WithDefaults() Policy {
	if p.Initial <= 0 {
		p.Initial = DefaultInitial
	}
	if p.Max <= 0 {
		p.Max = DefaultMax
	}
	if p.MaxAttempts <= 0 {
		p.MaxAttempts = DefaultMaxAttempts
	}
	return p
}

// Exhausted reports whether an event with so many attempts is to be given up.
func (p Policy) Exhausted(attempts int) bool { return attempts >= p.MaxAttempts }

// Delay is the wait after the attempt with this number, from 1 on. chance is in [0, 1): half of the
// wait is fixed and half is left to chance, so that events refused together don't come back
// together, and none comes back at once.
func (p Policy) Delay(attempt int, chance float64) time.Duration {
	return jitter(backoff(p.Initial, p.Max, attempt), chance)
}

func backoff(initial, longest time.Duration, step int) time.Duration {
	wait := initial
	for i := 1; i < step && wait < longest; i++ {
		wait *= 2
	}
	return min(wait, longest)
}

func jitter(wait time.Duration, chance float64) time.Duration {
	return wait/2 + time.Duration(float64(wait/2)*chance)
}
