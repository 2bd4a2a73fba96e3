// Package watchdog notices calls that do not return in time: of a disk or of a database, which
// can't be called back.
//
// A Watch is for calls that are made one after the other, often, and are hardly ever late: it costs
// such a call two atomic operations and no timer. Calls are for any number at a time. Both are
// asleep while nothing runs. The package decides nothing: it tells, and who is told acts.
package watchdog

import (
	"sync/atomic"
	"time"
)

// Watch looks after one call at a time. A nil Watch looks after nothing. All methods may be called
// concurrently.
type Watch struct {
	bound time.Duration
	late  func(call Call)
	start time.Time
	now   atomic.Int64 // the call that runs; 0 while none does
	timer *time.Timer  // fires within the bound of the call that runs, unless asleep
	sleep atomic.Bool  // the timer is not set
}

// Call names one call of a Watch: when it began, in nanoseconds since the Watch was made.
type Call int64

// New makes a Watch that calls late once for each call that has run for longer than the bound, on a
// goroutine of its own. The call may have ended meanwhile. Without a bound it returns nil.
func New(bound time.Duration, late func(call Call)) *Watch {
	if bound <= 0 {
		return nil
	}
	w := &Watch{bound: bound, late: late, start: time.Now().Add(-1)}
	w.sleep.Store(true)
	w.timer = time.AfterFunc(time.Hour, w.look) // set anew before it counts
	w.timer.Stop()
	return w
}

// Begin says that a call begins. The one before has ended.
func (w *Watch) Begin() Call {
	if w == nil {
		return 0
	}
	call := int64(time.Since(w.start)) // never 0
	w.now.Store(call)
	w.wake()
	return Call(call)
}

// wake sets the timer, where it isn't. While calls follow each other, it goes off once in a bound.
func (w *Watch) wake() {
	if w.sleep.Load() && w.sleep.CompareAndSwap(true, false) {
		w.timer.Reset(w.bound)
	}
}

// End says that the call has ended. Of those who end one call, the first gets true: so somebody who
// is told that a call is late can take over what it would have gone on to do.
func (w *Watch) End(call Call) bool {
	return w == nil || w.now.CompareAndSwap(int64(call), 0)
}

// Since returns how long ago a call began.
func (w *Watch) Since(call Call) time.Duration { return time.Since(w.start) - time.Duration(call) }

// Current returns the call that runs, and 0 while none does.
func (w *Watch) Current() Call {
	if w == nil {
		return 0
	}
	return Call(w.now.Load())
}

// look is called by the timer. It was set when the call that runs now had not begun, or had just,
// so it never comes late.
func (w *Watch) look() {
	call := w.now.Load()
	if call != 0 {
		if rest := time.Duration(call) + w.bound - time.Since(w.start); rest > 0 {
			w.timer.Reset(rest)
			return
		}
	}
	w.sleep.Store(true)
	if call != 0 {
		w.late(Call(call))
		return
	}
	if w.now.Load() != 0 { // it began before it could see that nobody looks
		w.wake()
	}
}
