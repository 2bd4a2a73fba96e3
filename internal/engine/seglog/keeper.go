package seglog

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"

	"pillarbox"
	"pillarbox/internal/vfs"
)

const (
	keeperInterval  = time.Second      // bounds what a crash delivers again, and how long a mark waits
	restInterval    = 10 * time.Minute // of a log at rest, in which only the room on the disk can change
	quarantineDir   = "quarantine"
	damageSuffix    = ".damage.json"
	damageReportMax = 64 << 10
)

// keep does the chores that no request should wait for, until Close: each second while there is something to do,
// and hardly ever in a log at rest, so that an idle server does not wake its machine.
func (l *Log) keep() {
	defer l.kept.Done()
	timer := time.NewTimer(keeperInterval)
	defer timer.Stop()
	for {
		l.wakeFiller()
		select {
		case <-l.done:
			return
		case <-l.kick:
			if l.resting.CompareAndSwap(true, false) {
				timer.Reset(keeperInterval)
			}
		case <-timer.C:
			timer.Reset(l.rest(l.doChores()))
		}
	}
}

// rest says how long the keeper may wait after its chores. done says that they left nothing to do. Whoever makes
// work after that wakes it, by stir; what was made in between is seen here.
func (l *Log) rest(done bool) time.Duration {
	l.resting.Store(done)
	if done && l.atRest() {
		return restInterval
	}
	l.resting.Store(false)
	return keeperInterval
}

func (l *Log) atRest() bool {
	for _, c := range l.allConsumers() {
		if c.unsynced() {
			return false
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.nextSeq-1 == l.tended && l.pending.count == 0 && !l.committing && l.problem == nil &&
		(l.spare != nil || l.newestIsFresh())
}

// stir wakes a keeper that rests. It is called after anything that makes work for it.
func (l *Log) stir() {
	if l.resting.Load() {
		l.wakeKeeper()
	}
}

// Tend does one round of the chores. It is for a log that was opened with Untended, whose caller decides when.
func (l *Log) Tend() {
	l.prepareSpare(nil)
	l.doChores()
}

// doChores reports whether everything is done, as it is in a log that was idle since the chores before.
func (l *Log) doChores() bool {
	err := l.syncStates()
	if err != nil {
		l.opts.Logger.Warn("sync delivery state", "queue", l.dir, "err", err)
	}
	l.rereadAll()
	l.trim()
	l.nameRemoved()
	l.tendAges(false)
	if accepted := l.accepted(); accepted != l.tended {
		l.tended = accepted
		return false
	}
	return l.whileIdle() && err == nil && l.rereadWait <= firstReread
}

// What the disk could not read is left alone for so long at first, and then for twice as long each time, up to the second.
const (
	firstReread = time.Second
	maxReread   = time.Minute
)

// rereadAll reads again, now and then, what the disk could not read, and forgives the damage that has passed.
func (l *Log) rereadAll() {
	now := l.opts.Now()
	if now.Sub(l.reread).Abs() < l.rereadWait {
		return
	}
	l.reread, l.rereadWait = now, min(max(2*l.rereadWait, firstReread), maxReread)
	pending := false
	for _, c := range l.allConsumers() {
		if err := c.reread(); err != nil {
			l.opts.Logger.Warn("read again what the disk could not read", "queue", l.dir, "err", err)
		}
		c.mu.Lock()
		pending = pending || c.state.unread.count > 0
		c.mu.Unlock()
	}
	if !l.rereadEnds() && !pending {
		l.rereadWait = firstReread
		l.forgive()
	}
}

// forgive drops damage that was nothing but the disk's, once nothing is missing because of it.
func (l *Log) forgive() {
	reports := l.passedReports()
	for name := range reports {
		if err := l.fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			l.opts.Logger.Warn("remove the report of damage that has passed", "file", name, "err", err)
			delete(reports, name)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	passed := func(item pillarbox.CorruptError) bool { return strings.HasPrefix(item.Reason, readFault) }
	if !slices.ContainsFunc(l.damage, passed) || len(l.unreadEnds) > 0 {
		return
	}
	l.damage = slices.DeleteFunc(l.damage, passed)
	for name := range reports {
		delete(l.reported, name)
	}
	for _, s := range l.segments {
		s.damaged = slices.ContainsFunc(l.damage, func(item pillarbox.CorruptError) bool { return item.File == s.name })
	}
	l.opts.Logger.Info("the disk can read again what it could not", "queue", l.dir)
}

func (l *Log) wakeKeeper() {
	select {
	case l.kick <- struct{}{}:
	default: // a wake-up is on its way
	}
}

// fill makes spares, whenever one is missing, until Close.
func (l *Log) fill() {
	defer l.kept.Done()
	for {
		select {
		case <-l.done:
			return
		case <-l.wanted:
			l.uncacheSealed()
			l.prepareSpare(l.pace)
		}
	}
}

// uncacheSealed gives the memory back that the kernel holds of old segments, which it would otherwise fill with the log:
// new pages cost more than used ones, and a backlog is read in order, once. The newest sealed segment is kept, because
// deliveries that are only a little behind read it.
func (l *Log) uncacheSealed() {
	l.mu.Lock()
	var old []*segment
	for _, s := range l.segments[:max(0, len(l.segments)-2)] {
		if s.id > l.uncached {
			old = append(old, s)
		}
	}
	l.mu.Unlock()
	for _, s := range old {
		if err := vfs.Uncache(l.fsys, s.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			l.opts.Logger.Debug("give back the memory of a segment", "segment", s.name, "err", err)
		}
		l.uncached = s.id
	}
}

func (l *Log) wakeFiller() {
	select {
	case l.wanted <- struct{}{}:
	default: // a wake-up is on its way
	}
}

// prepareSpare makes the next segment file while the live one still has room.
func (l *Log) prepareSpare(pace func(filled, size int64) error) {
	l.mu.Lock()
	wanted := l.spare == nil && !l.closed && !l.newestIsFresh()
	l.mu.Unlock()
	if !wanted {
		return
	}
	made, err := l.makeSpare(0, l.opts.SegmentBytes, pace)
	if err != nil {
		l.opts.Logger.Debug("prepare a segment", "queue", l.dir, "err", err)
		return
	}
	l.mu.Lock()
	unwanted := l.spare != nil || l.closed
	if !unwanted {
		l.spare = made
	}
	l.mu.Unlock()
	if unwanted {
		l.discard(made)
	}
}

// fillPause is the wait between two pieces of a spare that nobody is in a hurry for. A commit that meets such a piece
// waits for it on the disk, so they are to be few.
const fillPause = 10 * time.Millisecond

// pace lets the spare be whole when the live segment is half full: its pieces then come as seldom as they can.
func (l *Log) pace(filled, size int64) error {
	l.mu.Lock()
	hurry := l.newest == nil || filled*l.liveSize < 2*l.newest.end*size
	l.mu.Unlock()
	pause := fillPause
	if hurry {
		pause = 0
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-l.done:
		return pillarbox.ErrClosed
	case <-timer.C:
		return nil
	}
}

// newestIsFresh reports whether nothing was appended yet in this life: an idle server needs no spare.
func (l *Log) newestIsFresh() bool { return l.newest != nil && l.newest.empty() }

// whileIdle leads once to mark the end of the log, or to begin a segment where the log is broken, so that it
// is healed before the next request comes. It reports whether that is done.
func (l *Log) whileIdle() bool {
	l.mu.Lock()
	if l.committing || l.closed || l.pending.count > 0 {
		l.mu.Unlock()
		return false
	}
	l.committing = true
	l.beginLocked(nil)
	broken := l.live == nil || l.problem != nil
	l.mu.Unlock()
	err := l.stillThere(l.opts.Now())
	if err != nil {
		l.abandon(err)
		broken = true
	}
	if broken {
		err = l.rotate(0)
	} else {
		err = l.mark(false)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endLocked()
	l.noteLocked(err)
	if l.goOnLocked() {
		go l.lead()
	}
	return err == nil
}

// syncStates makes the delivery states durable.
func (l *Log) syncStates() error {
	var errs []error
	for _, c := range l.allConsumers() {
		errs = append(errs, c.sync())
	}
	return errors.Join(errs...)
}

func (l *Log) allConsumers() []*consumer {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]*consumer, 0, len(l.consumers))
	for _, c := range l.consumers {
		all = append(all, c)
	}
	return all
}

// updateOldest recomputes how far every destination is, for the limit on bytes.
func (l *Log) updateOldest() {
	consumers := l.allConsumers()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.segments) == 0 {
		return
	}
	last := l.segments[len(l.segments)-1]
	oldest := last.position(last.end)
	if len(consumers) == 0 {
		oldest = l.segments[0].base
	}
	for _, c := range consumers {
		at := c.position.Load()
		oldest = min(oldest, l.positionLocked(at))
		if needs := c.needs.Load(); needs < at.cursor {
			oldest = min(oldest, l.segmentOfLocked(needs).base)
		}
	}
	l.oldest = oldest
	l.drain.measure(oldest, l.opts.Now())
}

// segmentOfLocked returns the segment that holds the event, or the oldest one behind it.
func (l *Log) segmentOfLocked(seq uint64) *segment {
	for _, segment := range l.segments {
		if seq < segment.nextSeq {
			return segment
		}
	}
	return l.segments[len(l.segments)-1]
}

// positionLocked turns a place into a distance from the start of the log.
func (l *Log) positionLocked(at *place) int64 {
	for _, segment := range l.segments {
		if segment.id >= at.segment {
			if segment.id == at.segment {
				return segment.position(at.offset)
			}
			return segment.base
		}
	}
	last := l.segments[len(l.segments)-1]
	return last.position(last.end)
}
