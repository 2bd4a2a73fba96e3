package seglog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
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

// passedReports lists the reports of damage that was the disk's, where all of it may have passed. They are removed without
// mu, for which status and metrics would wait with a disk that hangs.
func (l *Log) passedReports() map[string]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	reports := map[string]bool{}
	passed := func(item pillarbox.CorruptError) bool { return strings.HasPrefix(item.Reason, readFault) }
	if !slices.ContainsFunc(l.damage, passed) || len(l.unreadEnds) > 0 {
		return reports
	}
	for name, fault := range l.reported {
		if fault {
			reports[name] = true
		}
	}
	return reports
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

// trim removes settled segments that are older than the history to keep. The cursors are durable before the
// first removal: a crash in between must not bring back a cursor that points to a removed segment.
func (l *Log) trim() {
	l.creating.Lock() // nobody is given an event of a segment that is being removed
	defer l.creating.Unlock()
	l.evacuate()
	for _, old := range l.settledSegments((*consumer).oldestNeeded) {
		if err := l.syncStates(); err != nil {
			l.opts.Logger.Warn("sync delivery state before removing a segment", "segment", old.name, "err", err)
			return
		}
		if !l.durablyPassed(old) {
			return
		}
		l.mu.Lock()
		if len(l.segments) > 1 && l.segments[0] == old {
			l.segments = l.segments[1:]
		}
		l.mu.Unlock()
		l.removeSegment(old)
	}
	firstHeld, _ := l.heldSequence()
	for _, c := range l.allConsumers() {
		c.forgetMarks(firstHeld)
	}
}

// forgetMarks drops what is remembered of settled events that are nowhere any more. It is written down by the next
// snapshot; until then the marks are harmless.
func (c *consumer) forgetMarks(firstHeld uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state.routed.count == 0 && c.state.waived.count == 0 {
		return
	}
	for seq := range c.state.retry {
		firstHeld = min(firstHeld, seq) // a retry still asks whether it was routed
	}
	c.state.routed.forgetBelow(firstHeld)
	c.state.waived.forgetBelow(firstHeld)
}

// evacuate empties segments that would be removed if no held events were in them.
func (l *Log) evacuate() {
	for _, old := range l.settledSegments((*consumer).oldestNotHeld) {
		for _, c := range l.allConsumers() {
			if c.needs.Load() >= old.nextSeq {
				continue
			}
			if err := c.evacuate(old); err != nil {
				l.opts.Logger.Debug("a segment is kept for its held events", "segment", old.name, "destination", c.name, "err", err)
				return
			}
		}
	}
}

// oldestNeeded is the oldest event that is pending.
func (c *consumer) oldestNeeded() uint64 { return c.needs.Load() }

// oldestNotHeld is the oldest event that is pending and not held.
func (c *consumer) oldestNotHeld() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	oldest := c.state.cursor
	for _, set := range []*seqSet{&c.state.deferred, &c.state.unread} {
		if first, ok := set.next(0); ok {
			oldest = min(oldest, first)
		}
	}
	return oldest
}

// settledSegments lists the oldest segments that nobody needs, as far as they exceed the history to keep.
func (l *Log) settledSegments(oldest func(*consumer) uint64) []*segment {
	consumers := l.allConsumers()
	if len(consumers) == 0 {
		return nil
	}
	settled := uint64(1<<64 - 1)
	for _, c := range consumers {
		settled = min(settled, oldest(c))
	}
	passed, bytes := l.passedSegments(settled)
	if len(passed) == 0 {
		return nil
	}
	keep := l.historyToKeep()
	var old []*segment
	for _, segment := range passed {
		if bytes <= keep || l.hasUnreadEnd(segment) {
			break
		}
		bytes -= segment.end
		old = append(old, segment)
	}
	return old
}

// passedSegments lists the segments at the front that hold nothing behind the sequence number, and their bytes.
func (l *Log) passedSegments(settled uint64) (passed []*segment, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, segment := range l.segments[:max(0, len(l.segments)-1)] {
		if segment.nextSeq > settled {
			break
		}
		passed, bytes = append(passed, segment), bytes+segment.end
	}
	return passed, bytes
}

// historyToKeep is the history for which there is room: none on a disk that is nearly full, where new events
// and deliveries need the space more.
func (l *Log) historyToKeep() int64 {
	usage, err := l.fsys.Usage()
	if err != nil || usage.Free < l.minFree(usage)+l.opts.SegmentBytes {
		return 0
	}
	return max(0, l.opts.KeepBytes)
}

func (l *Log) durablyPassed(old *segment) bool {
	for _, c := range l.allConsumers() {
		if c.durableCursor() < old.nextSeq {
			return false
		}
	}
	return true
}

// removeSegment removes a segment that no cursor needs, or moves it to quarantine if it is damaged.
func (l *Log) removeSegment(old *segment) {
	l.mu.Lock()
	damaged := old.damaged
	l.mu.Unlock()
	var err error
	if damaged {
		err = l.quarantine(old)
	} else {
		err = l.fsys.Remove(old.name)
	}
	if err == nil {
		err = l.fsys.SyncDir(l.dir)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.opts.Logger.Warn("remove segment", "segment", old.name, "err", err)
	}
}

func (l *Log) quarantine(old *segment) error {
	dir := path.Join(l.dir, quarantineDir)
	if err := vfs.MkdirAll(l.fsys, dir); err != nil {
		return err
	}
	if err := l.fsys.Rename(old.name, path.Join(dir, path.Base(old.name))); err != nil {
		return err
	}
	return l.fsys.SyncDir(dir)
}

// damageReport is what is kept of damage that was found, so that the ledger can name it after a restart.
type damageReport struct {
	File   string `json:"file"`
	Offset int64  `json:"offset"`
	Reason string `json:"reason"`
	Lost   uint64 `json:"lost_events"`
	First  uint64 `json:"first_sequence"`
	Kept   int    `json:"kept_events,omitempty"` // of an end that could not be read: what was saved at its beginning
}

// keepReport writes down damage that was met, beside the segment's future place in quarantine. It returns false
// for damage that has its report already.
func (l *Log) keepReport(c *chunk, segment *segment) bool {
	if l.opts.ReadOnly || len(c.damage) == 0 {
		return false
	}
	dir := path.Join(l.dir, quarantineDir)
	name := path.Join(dir, fmt.Sprintf("%016d-%d%s", segment.id, c.offset, damageSuffix))
	l.mu.Lock()
	_, known := l.reported[name]
	l.reported[name] = c.unread
	l.mu.Unlock()
	if known {
		return false
	}
	first := c.damage[0]
	report := damageReport{File: first.File, Offset: first.Offset, Reason: first.Reason, Lost: c.missing(), First: c.firstSeq, Kept: c.kept}
	text, err := json.MarshalIndent(report, "", "  ")
	if err == nil {
		err = vfs.MkdirAll(l.fsys, dir)
	}
	if err == nil {
		err = vfs.WriteFile(l.fsys, name, append(text, '\n'))
	}
	if err != nil {
		l.opts.Logger.Warn("write damage report", "segment", segment.name, "err", err)
	}
	return true
}

// loadQuarantine reads the reports of earlier lives.
func (l *Log) loadQuarantine() error {
	dir := path.Join(l.dir, quarantineDir)
	entries, err := l.fsys.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list %s: %w", dir, unavailable(err))
	}
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name, damageSuffix) || entry.Size > damageReportMax {
			continue
		}
		text, err := vfs.ReadFile(l.fsys, path.Join(dir, entry.Name))
		if vfs.IsUnreadable(err) {
			l.opts.Logger.Warn("damage report can't be read", "file", entry.Name, "err", err)
			continue
		}
		if err != nil {
			return fmt.Errorf("read damage report: %w", unavailable(err))
		}
		var report damageReport
		if err := json.Unmarshal(text, &report); err != nil {
			l.opts.Logger.Warn("damage report can't be read", "file", entry.Name, "err", err)
			continue
		}
		l.mu.Lock()
		l.reported[path.Join(dir, entry.Name)] = strings.HasPrefix(report.Reason, readFault)
		l.mu.Unlock()
		l.reportDamage([]pillarbox.CorruptError{{File: report.File, Offset: report.Offset, Reason: report.Reason}})
		if report.Reason == unreadEndReason {
			l.findUnreadEnd(&report)
		}
	}
	return nil
}
