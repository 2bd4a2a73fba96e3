package seglog

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"pillarbox"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/watchdog"
)

// tryAgainInterval is how often a broken log tries to begin a new segment.
const tryAgainInterval = time.Second

// appender gathers events into groups, and has one goroutine at a time, the leader, commit them.
//
// Locks: core.mu guards all of it; the leader is whoever has set committing, and hands over under
// mu.
type appender struct {
	*core
	backlog   *backlog
	segments  *segmentSet
	committer *committer
	keys      *keys
	watch     *watchdog.Watch // over whoever leads; nil without CommitTimeout

	room       *sync.Cond    // pending has room again, or the leader is gone
	pending    *group        // gathers what the next commit writes
	committing bool          // somebody leads
	led        *group        // what the leader commits; nil where that is no group
	call       watchdog.Call // of the leader, in watch
	lateSince  time.Duration // when the call of the leader began that is late, in the time of watch; 0 while none is
	problem    error         // why the log can't accept, nil while it can
	tryAgainAt time.Time
	buffer     []byte // of the group before, for the next one
}

func newAppender(c *core, segments *segmentSet, backlog *backlog, committer *committer,
	keys *keys) *appender {
	a := &appender{
		core: c, segments: segments, backlog: backlog, committer: committer, keys: keys,
		pending: newGroup(nil),
	}
	a.room = sync.NewCond(&c.mu)
	a.watch = watchdog.New(c.opts.CommitTimeout, a.commitIsLate)
	return a
}

func (a *appender) appendFitting(
	ctx context.Context, events []*pillarbox.Event, inline bool,
) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	fitting, tooLarge := a.splitTooLarge(events)
	if len(fitting) > 0 {
		if err := a.append(fitting, inline); err != nil {
			return err
		}
	}
	if tooLarge != nil {
		return tooLarge
	}
	return nil
}

func (c *core) splitTooLarge(
	events []*pillarbox.Event,
) (fitting []*pillarbox.Event, tooLarge *pillarbox.BatchError) {
	for i, event := range events {
		if c.sizeBound(event) <= MaxRecordBytes {
			continue
		}
		if tooLarge == nil {
			tooLarge = &pillarbox.BatchError{}
		}
		err := fmt.Errorf("event of more than %d bytes: %w", MaxRecordBytes, pillarbox.ErrTooLarge)
		tooLarge.Items = append(tooLarge.Items, pillarbox.ItemError{Index: i, Err: err})
	}
	if tooLarge == nil {
		return events, nil
	}
	for _, event := range events {
		if c.sizeBound(event) <= MaxRecordBytes {
			fitting = append(fitting, event)
		}
	}
	return fitting, tooLarge
}

// append takes part in a commit. A caller that is not inline never makes a call to the disk: it
// waits for the goroutine that leads, and the watch ends its wait where that does not come back.
func (a *appender) append(events []*pillarbox.Event, inline bool) error {
	g, leads, err := a.join(events)
	if err != nil {
		return err
	}
	if leads && inline {
		return a.leadOnce()
	}
	if leads {
		go a.lead()
	}
	<-g.done
	return g.err
}

// leadOnce commits the pending group, and leaves what has come meanwhile to another goroutine.
func (a *appender) leadOnce() error {
	// Let those that are about to append join this group instead of waiting for the next one.
	runtime.Gosched()
	more, err := a.commitPending()
	if more {
		go a.lead()
	}
	return err
}

// lead commits for as long as somebody waits for a commit. Close waits for it.
func (a *appender) lead() {
	for more := true; more; {
		a.gather()
		more, _ = a.commitPending() // those that wait have the error
	}
}

// maxYields bounds how often a leader lets the others go first.
const maxYields = 4

// gather lets those that are about to append join the group, for as long as some do. One yield is
// not enough with hundreds of requests under way: the scheduler comes back to whoever has yielded
// after some 60 others (its every 61st look), and the rest would wait for the next commit.
func (a *appender) gather() {
	before := uint32(1)
	for range maxYields {
		runtime.Gosched()
		a.mu.Lock()
		count := a.pending.count
		a.mu.Unlock()
		if count == before {
			return
		}
		before = count
	}
}

// join adds the events to the pending group. leads says that the caller must commit it.
func (a *appender) join(events []*pillarbox.Event) (g *group, leads bool, err error) {
	need := int64(0)
	for _, event := range events {
		need += a.sizeBound(event)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.pending.count > 0 && a.pending.size()+need > MaxGroupBytes && !a.closed {
		a.room.Wait()
	}
	if err := a.acceptsLocked(need); err != nil {
		return nil, false, err
	}
	if err := a.addLocked(events); err != nil {
		return nil, false, err
	}
	a.backlog.noteSizeLocked(need, len(events))
	if a.committing {
		return a.pending, false, nil
	}
	a.committing = true
	return a.pending, true, nil
}

// addLocked adds all of the events to the pending group, or none.
func (a *appender) addLocked(events []*pillarbox.Event) error {
	g := a.pending
	frame, lengths, keys := len(g.frame), len(g.lengths), len(g.keys)
	for _, event := range events {
		if err := g.add(event, a.opts.AtRest); err != nil {
			g.undo(frame, lengths, keys)
			return fmt.Errorf("seal an event for %s: %w: %w", a.dir, err, pillarbox.ErrUnavailable)
		}
	}
	return nil
}

func (a *appender) acceptsLocked(need int64) error {
	switch {
	case a.lateSince > 0:
		return a.lateErrorLocked()
	case a.closed || a.opts.ReadOnly:
		return fmt.Errorf("append to %s: %w", a.dir, pillarbox.ErrClosed)
	case a.problem != nil && a.opts.Now().Before(a.tryAgainAt):
		return a.problem
	case a.backlog.wouldRefuseLocked(need + a.pending.size()):
		return a.backlog.fullLocked(need)
	}
	return nil
}

// commitPending makes the pending group durable. The caller leads, and goes on to lead where there
// is more to commit.
func (a *appender) commitPending() (more bool, err error) {
	a.mu.Lock()
	g := a.pending
	a.pending = newGroup(a.buffer)
	a.buffer = nil
	a.beginLocked(g)
	a.room.Broadcast()
	a.mu.Unlock()

	if err = a.committer.commit(g); err == nil {
		a.keys.committed(g.keys) // before anybody hears of it
	}
	a.mu.Lock()
	a.endLocked()
	a.noteLocked(err)
	if cap(g.frame) <= MaxGroupBytes {
		a.buffer = g.frame
	}
	last := g.settleLocked()
	more = a.goOnLocked()
	a.mu.Unlock()
	a.wakeup.ifSleeping()
	if last {
		g.err = err
		close(g.done)
	}
	return more, err
}

// goOnLocked reports whether whoever leads has to go on. Else nobody leads any more.
func (a *appender) goOnLocked() bool {
	if a.pending.count > 0 {
		return true
	}
	a.committing = false
	a.room.Broadcast()
	return false
}

func (a *appender) noteLocked(err error) {
	if err == nil {
		if a.problem != nil {
			a.opts.Logger.Info("the log accepts again", telemetry.KeyQueue, a.dir)
		}
		a.problem = nil
		return
	}
	if a.problem == nil {
		a.opts.Logger.Error("the log can't accept", telemetry.KeyQueue, a.dir,
			telemetry.KeyErr, err)
	}
	a.problem, a.tryAgainAt = err, a.opts.Now().Add(tryAgainInterval)
}

// markOrHeal leads once to mark the end of the log, or to begin a segment where the log is broken,
// so that it is healed before the next request comes. It reports whether that is done.
func (a *appender) markOrHeal() bool {
	a.mu.Lock()
	if a.committing || a.closed || a.pending.count > 0 {
		a.mu.Unlock()
		return false
	}
	a.committing = true
	a.beginLocked(nil)
	broken := a.committer.live == nil || a.problem != nil
	a.mu.Unlock()
	err := a.committer.verifyLive(a.opts.Now())
	if err != nil {
		a.committer.abandon(err)
		broken = true
	}
	if broken {
		err = a.committer.rotate(0)
	} else {
		err = a.committer.mark(false)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.endLocked()
	a.noteLocked(err)
	if a.goOnLocked() {
		go a.lead()
	}
	return err == nil
}
