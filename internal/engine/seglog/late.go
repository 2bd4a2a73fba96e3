package seglog

import (
	"fmt"
	"time"

	"pillarbox"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/watchdog"
)

// A commit that is late belongs to the goroutine that makes it, with the group, its frame, and all
// that is owned by whoever leads: nobody else touches them before the call to the disk has
// returned, however long that takes. What is done meanwhile is to tell those who wait, and to take
// nothing more.
//
// When the call returns, the commit goes on by the rules of any other. If it succeeds, the events
// of the group are in the log like all others. Those who sent them were told that the outcome is
// not known.

// retryAfterLate is what a client is asked to wait while the disk does not answer.
const retryAfterLate = 5 * time.Second

// beginLocked says that the caller, who leads, begins to work on a group, or on something else that
// is written to the log.
func (a *appender) beginLocked(g *group) { a.led, a.call = g, a.watch.Begin() }

// endLocked says that the caller has done so.
func (a *appender) endLocked() {
	a.watch.End(a.call)
	if a.lateSince > 0 {
		a.opts.Logger.Warn("the disk answers again", telemetry.KeyQueue, a.dir,
			telemetry.KeyTook, a.lateForLocked().Round(time.Millisecond))
	}
	a.led, a.call, a.lateSince = nil, 0, 0
}

// commitIsLate is called by the watch. The group of the commit may or may not become durable. The
// one that waits behind it was not given to the disk, and is given up: nothing of it is stored.
func (a *appender) commitIsLate(call watchdog.Call) {
	a.mu.Lock()
	if call != a.call || a.lateSince > 0 {
		a.mu.Unlock()
		return // it has returned
	}
	a.lateSince = time.Duration(call)
	events := 0
	var unknown *group
	if a.led != nil && a.led.settleLocked() {
		unknown, events = a.led, int(a.led.count)
	}
	waiting := a.pending
	waiting.settled = true
	a.pending = newGroup(nil)
	refusal := a.lateErrorLocked()
	a.room.Broadcast()
	a.opts.Logger.Error("the disk does not answer, and nothing is accepted until it does",
		telemetry.KeyQueue, a.dir, telemetry.KeyEvents, events,
		telemetry.KeyAfter, a.opts.CommitTimeout)
	a.mu.Unlock()
	if unknown != nil {
		unknown.err = a.unknownError()
		close(unknown.done)
	}
	waiting.err = refusal
	close(waiting.done)
}

func (a *appender) unknownError() error {
	err := fmt.Errorf("the disk has not answered for %s (queue.commit_timeout): %w: %w",
		a.opts.CommitTimeout, pillarbox.ErrUnknown, pillarbox.ErrUnavailable)
	return &pillarbox.RetryAfterError{After: retryAfterLate, Err: err}
}

func (a *appender) lateForLocked() time.Duration {
	return a.watch.Since(watchdog.Call(a.lateSince))
}

// lateErrorLocked is the refusal of what comes while the disk hangs. Nothing of that is stored.
func (a *appender) lateErrorLocked() error {
	err := fmt.Errorf("the disk has not answered for %d s (queue.commit_timeout): %w",
		int(a.lateForLocked().Seconds()), pillarbox.ErrUnavailable)
	return &pillarbox.RetryAfterError{After: retryAfterLate, Err: err}
}
