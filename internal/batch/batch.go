// Package batch decides when a batch is ready to go. It holds pure values: time is an argument.
package batch

import "time"

// Limits of a batch. A batch goes when it reaches one of them.
type Limits struct {
	MaxEvents int           // events in a batch
	MaxBytes  int64         // stored bytes in a batch; a single event may exceed it
	MaxAge    time.Duration // how long the first event waits for others
}

// The defaults of Limits.
const (
	DefaultMaxEvents = 1000
	DefaultMaxBytes  = 4 << 20
	DefaultMaxAge    = 10 * time.Millisecond
)

// WithDefaults fills what is zero. A negative MaxAge means not to wait at all.
func (l Limits) WithDefaults() Limits {
	if l.MaxEvents <= 0 {
		l.MaxEvents = DefaultMaxEvents
	}
	if l.MaxBytes <= 0 {
		l.MaxBytes = DefaultMaxBytes
	}
	if l.MaxAge == 0 {
		l.MaxAge = DefaultMaxAge
	}
	return l
}

// Filling is a batch that gathers. The zero value is empty.
type Filling struct {
	Events int
	Bytes  int64
	Since  time.Time // when the first event came
}

// Add counts events that joined at now.
func (f *Filling) Add(now time.Time, events int, bytes int64) {
	if f.Events == 0 {
		f.Since = now
	}
	f.Events += events
	f.Bytes += bytes
}

// Room returns what still fits. Zero events means that the batch is full.
func (f *Filling) Room(limits Limits) (events int, bytes int64) {
	if f.Events >= limits.MaxEvents || f.Bytes >= limits.MaxBytes {
		return 0, 0
	}
	return limits.MaxEvents - f.Events, limits.MaxBytes - f.Bytes
}

// Wait returns how long the batch may still wait for more; 0 means that it goes now.
func (f *Filling) Wait(now time.Time, limits Limits) time.Duration {
	if events, _ := f.Room(limits); events == 0 || f.Events == 0 {
		return 0
	}
	return max(0, limits.MaxAge-now.Sub(f.Since))
}
