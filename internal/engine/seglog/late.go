package seglog

import (
	"fmt"
	"time"

	"pillarbox"
	"pillarbox/internal/watchdog"
)

// A commit that is late belongs to the goroutine that makes it, with the group, its frame, and all that is owned by whoever
// leads: nobody else touches them before the call to the disk has returned, however long that takes. What is done meanwhile is
// to tell those who wait, and to take nothing more.
//
// When the call returns, the commit goes on by the rules of any other. If it succeeds, the events of the group are in the log
// like all others. Those who sent them were told that the outcome is not known.

// retryAfterLate is what a client is asked to wait while the disk does not answer.
const retryAfterLate = 5 * time.Second

// beginLocked says that the caller, who leads, begins to work on a group, or on something else that is written to the log.
func (l *Log) beginLocked(g *group) { l.led, l.call = g, l.watch.Begin() }

// endLocked says that the caller has done so.
func (l *Log) endLocked() {
	l.watch.End(l.call)
	if l.lateSince > 0 {
		l.opts.Logger.Warn("the disk answers again", "queue", l.dir, "took", l.lateForLocked().Round(time.Millisecond))
	}
	l.led, l.call, l.lateSince = nil, 0, 0
}

// commitIsLate is called by the watch. The group of the commit may or may not become durable. The one that waits behind it was
// not given to the disk, and is given up: nothing of it is stored.
func (l *Log) commitIsLate(call watchdog.Call) {
	l.mu.Lock()
	if call != l.call || l.lateSince > 0 {
		l.mu.Unlock()
		return // it has returned
	}
	l.lateSince = time.Duration(call)
	events := 0
	var unknown *group
	if l.led != nil && l.led.settleLocked() {
		unknown, events = l.led, int(l.led.count)
	}
	waiting := l.pending
	waiting.settled = true
	l.pending = newGroup(nil)
	refusal := l.lateErrorLocked()
	l.room.Broadcast()
	l.opts.Logger.Error("the disk does not answer, and nothing is accepted until it does", "queue", l.dir, "events", events, "after", l.opts.CommitTimeout)
	l.mu.Unlock()
	if unknown != nil {
		unknown.err = l.unknownError()
		close(unknown.done)
	}
	waiting.err = refusal
	close(waiting.done)
}

func (l *Log) unknownError() error {
	err := fmt.Errorf("the disk has not answered for %s (queue.commit_timeout): %w: %w", l.opts.CommitTimeout, pillarbox.ErrUnknown, pillarbox.ErrUnavailable)
	return &pillarbox.RetryAfterError{After: retryAfterLate, Err: err}
}

func (l *Log) lateForLocked() time.Duration { return l.watch.Since(watchdog.Call(l.lateSince)) }

// lateErrorLocked is the refusal of what comes while the disk hangs. Nothing of that is stored.
func (l *Log) lateErrorLocked() error {
	err := fmt.Errorf("the disk has not answered for %d s (queue.commit_timeout): %w", int(l.lateForLocked().Seconds()), pillarbox.ErrUnavailable)
	return &pillarbox.RetryAfterError{After: retryAfterLate, Err: err}
}
