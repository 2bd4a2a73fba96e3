package seglog

import (
	"crypto/rand"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"pillarbox"
	"pillarbox/internal/vfs"
	"pillarbox/internal/watchdog"
)

// Log is the queue. See the package comment for what it promises.
type Log struct {
	fsys  vfs.FS
	dir   string
	opts  Options
	logID [16]byte

	grown  broadcast     // fired after each commit
	done   chan struct{} // closed by Close
	kick   chan struct{} // wakes the keeper
	wanted chan struct{} // wakes the filler
	kept   sync.WaitGroup
	watch  *watchdog.Watch // over whoever leads; nil without CommitTimeout

	creating sync.Mutex // held while a destination is made, before mu

	mu         sync.Mutex
	room       *sync.Cond    // pending has room again, or the leader is gone
	pending    *group        // gathers what the next commit writes
	committing bool          // somebody leads
	led        *group        // what the leader commits; nil where that is no group
	call       watchdog.Call // of the leader, in watch
	lateSince  time.Duration // when the call of the leader began that is late, in the time of watch; 0 while none is
	closed     bool
	segments   []*segment // oldest first; the last one is live unless the log is broken
	nextSeq    uint64     // of the next event
	maxBytes   int64
	usual      float64 // size of an event, an average
	drain      drain
	oldest     int64 // position up to which every destination has settled
	spare      *spare
	problem    error // why the log can't accept, nil while it can
	tryAgainAt time.Time
	damage     []pillarbox.CorruptError
	reported   map[string]bool // files of damage reports that exist, and whether the damage is the disk's and may pass

	unreadEnds []*unreadEnd // what the disk could not read at a start, so that nobody knows what is missing there
	consumers  map[string]*consumer

	// Owned by whoever leads: the one that set committing.
	live     vfs.File // nil where there is no usable live segment
	liveSize int64    // changed with mu held as well
	newest   *segment // the live segment, or the last one that was; changed with mu held as well
	synced   int64    // everything below this offset of the live segment was synced
	lastID   uint64
	marked   bool      // nothing was committed since the last mark
	looked   time.Time // when the name of the live segment was last looked at
	unproven *tail     // held back until the next segment begins with it; nil where there is none; changed with mu held as well
	buffer   []byte

	aging sync.Mutex // guards ages
	ages  ages

	uncached uint64 // id of the newest segment that was given back; owned by the filler

	reread     time.Time // when what the disk could not read was last read again, and how long to wait; owned by the keeper
	rereadWait time.Duration

	tended  uint64      // events that were accepted at the last chores; owned by the keeper
	resting atomic.Bool // the keeper sleeps long, and wants to be woken by stir
}

// Open opens or creates the log in dir, reads the segment headers, the tail and the delivery states, and
// begins a new segment. The caller makes sure that no other process has the directory.
//
// Errors: ErrCorrupt where a delivery state can't be read at all ("pillarbox queue repair" mends it);
// ErrNoSpace and ErrUnavailable of the disk. Nothing is removed but files that were never finished.
func Open(fsys vfs.FS, dir string, opts Options) (*Log, error) {
	opts = opts.withDefaults()
	if err := opts.validate(); err != nil {
		return nil, err
	}
	l := &Log{
		fsys: fsys, dir: dir, opts: opts, maxBytes: opts.MaxBytes, nextSeq: 1,
		done: make(chan struct{}), kick: make(chan struct{}, 1), wanted: make(chan struct{}, 1),
		pending: newGroup(nil), consumers: map[string]*consumer{}, reported: map[string]bool{},
	}
	l.room = sync.NewCond(&l.mu)
	l.watch = watchdog.New(opts.CommitTimeout, l.commitIsLate)
	if err := l.open(); err != nil {
		return nil, errors.Join(kinded(err), l.closeFiles())
	}
	if !opts.ReadOnly && !opts.Untended {
		l.kept.Add(2)
		go l.keep()
		go l.fill()
	}
	return l, nil
}

func (l *Log) open() error {
	if !l.opts.ReadOnly {
		if err := vfs.MkdirAll(l.fsys, l.dir); err != nil {
			return fmt.Errorf("make %s: %w", l.dir, unavailable(err))
		}
		if err := l.removeUnfinished(); err != nil {
			return err
		}
	}
	if err := l.loadSegments(); err != nil {
		return err
	}
	if err := l.loadConsumers(); err != nil {
		return err
	}
	if err := l.loadQuarantine(); err != nil {
		return err
	}
	l.loadAges()
	l.dropReturned()
	if l.opts.ReadOnly {
		return nil
	}
	l.updateOldest()
	err := l.rotate(0)
	if errors.Is(err, pillarbox.ErrNoSpace) {
		// Deliveries can make room; until then the log refuses to accept, and says why.
		l.mu.Lock()
		defer l.mu.Unlock()
		l.noteLocked(err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("begin a segment in %s: %w", l.dir, err)
	}
	return nil
}

// removeUnfinished removes spares and half-made state files of an earlier life. None of them ever held
// something acknowledged.
func (l *Log) removeUnfinished() error {
	entries, err := l.fsys.ReadDir(l.dir)
	if err != nil {
		return fmt.Errorf("list %s: %w", l.dir, unavailable(err))
	}
	for _, entry := range entries {
		if entry.Dir || !vfs.IsTemp(entry.Name) {
			continue
		}
		if err := l.fsys.Remove(path.Join(l.dir, entry.Name)); err != nil {
			return fmt.Errorf("remove unfinished file: %w", unavailable(err))
		}
	}
	return nil
}

func (l *Log) loadSegments() error {
	all, damage, err := listSegments(l.fsys, l.dir)
	if err != nil {
		return err
	}
	l.reportDamage(damage)
	linkSegments(all)
	base := int64(0)
	for i, item := range all {
		l.lastID = item.id
		if !item.linked {
			if err := l.clearAbandoned(item); err != nil {
				return err
			}
			continue
		}
		if !item.scanned || !item.readable {
			if err := l.scanTail(item, i == len(all)-1); err != nil {
				return err
			}
		}
		item.base = base
		base += max(0, item.end-dataStart)
		segment := item.segment
		if item.unreadEnd != nil && i == len(all)-1 {
			item.unreadEnd.segment = &segment
			l.noteUnreadEnd(item.unreadEnd)
		}
		l.segments = append(l.segments, &segment)
		l.newest = &segment
		l.nextSeq = max(l.nextSeq, segment.nextSeq)
		if item.readable {
			l.logID = item.header.logID
		}
	}
	if l.logID == [16]byte{} {
		_, _ = rand.Read(l.logID[:]) // never fails, by its documentation
	}
	return nil
}

// dropReturned removes segments that were removed before, and that a crash has brought back although it left a newer one
// removed: their removal was not durable yet, or could not be made so. Everything in them is settled.
func (l *Log) dropReturned() {
	if l.opts.ReadOnly {
		return
	}
	behind := 0 // the first segment behind the last gap
	for i := 1; i < len(l.segments); i++ {
		if l.segments[i-1].nextSeq < l.segments[i].firstSeq {
			behind = i
		}
	}
	for _, c := range l.allConsumers() {
		if behind > 0 && min(c.needs.Load(), c.durableCursor()) < l.segments[behind].firstSeq {
			return // something there is missing: the readers say so
		}
	}
	if len(l.consumers) == 0 {
		return
	}
	for _, old := range l.segments[:behind] {
		l.opts.Logger.Info("a segment that was removed has come back", "segment", old.name)
		l.removeSegment(old)
	}
	l.segments = l.segments[behind:]
}

// clearAbandoned removes a segment that a newer one skips: it was left before its first acknowledged event.
// Should there be events in it all the same, it is not understood, and goes to quarantine.
func (l *Log) clearAbandoned(item *found) error {
	if l.opts.ReadOnly {
		return nil
	}
	if _, _, err := item.scan(l.fsys, l.nextSeq); err != nil {
		return err
	}
	abandoned := item.segment
	abandoned.damaged = abandoned.damaged || !abandoned.empty()
	l.opts.Logger.Info("segment was abandoned before its first event", "segment", item.name, "quarantined", abandoned.damaged)
	l.removeSegment(&abandoned)
	return nil
}

// scanTail finds the end of a segment that nothing else tells: the newest one, or one beside lost headers.
func (l *Log) scanTail(item *found, newest bool) error {
	end, nextSeq, known := item.end, item.nextSeq, item.scanned
	damage, torn, err := item.scan(l.fsys, l.nextSeq)
	if err != nil {
		return err
	}
	if known {
		item.end, item.nextSeq = end, nextSeq // the next header's word, whatever is readable
	}
	if torn > 0 && newest {
		l.opts.Logger.Warn("segment ends in an unfinished write, which was never acknowledged; what is whole of it is kept",
			"segment", item.name, "offset", item.end, "bytes", torn)
	}
	l.reportDamage(damage)
	if newest && !l.opts.ReadOnly {
		l.holdBack(item)
	}
	return nil
}

// holdBack ends a segment where it is proven to be on the disk. What is behind that place counts as accepted, and comes to
// the destinations once the next segment has a copy of it.
func (l *Log) holdBack(item *found) {
	l.nextSeq = max(l.nextSeq, item.nextSeq)
	item.end, item.nextSeq = item.tail.from, item.tail.firstSeq
	if len(item.tail.chunks) > 0 {
		l.unproven = &item.tail
	}
}

// SetMaxBytes changes the limit of undelivered bytes.
func (l *Log) SetMaxBytes(maxBytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.maxBytes = maxBytes
}

// Stats implements pillarbox.Queue.
func (l *Log) Stats() pillarbox.QueueStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	stats := pillarbox.QueueStats{
		Accepted: l.nextSeq - 1,
		Bytes:    l.heldLocked(),
		MaxBytes: l.maxBytes,
		Damage:   append([]pillarbox.CorruptError(nil), l.damage...),
	}
	for name := range l.consumers {
		stats.Destinations = append(stats.Destinations, name)
	}
	switch {
	case l.lateSince > 0:
		stats.Hanging, stats.Problem = l.lateForLocked(), l.lateErrorLocked().Error()
	case l.problem != nil:
		stats.Problem = l.problem.Error()
	case l.wouldRefuseLocked(l.usualLocked()):
		stats.Problem = l.fullErrorLocked().Error()
	}
	return stats
}

// heldLocked is the number of bytes of frames that some destination has not settled.
func (l *Log) heldLocked() int64 {
	if len(l.segments) == 0 {
		return 0
	}
	last := l.segments[len(l.segments)-1]
	return last.position(last.end) - l.oldest
}

func (l *Log) fullErrorLocked() error {
	return fmt.Errorf("the queue holds its limit of %d undelivered bytes (queue.max_bytes): %w", l.maxBytes, pillarbox.ErrFull)
}

// Close implements pillarbox.Queue.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	close(l.done)
	for l.committing {
		l.room.Wait()
	}
	l.committing = true // nobody leads any more
	l.mu.Unlock()
	l.kept.Wait()
	var err error
	if !l.opts.ReadOnly {
		l.tendAges(true)
		err = errors.Join(l.mark(true), l.syncStates())
	}
	return errors.Join(err, l.closeFiles())
}

func (l *Log) closeFiles() error {
	var errs []error
	if l.live != nil {
		errs = append(errs, l.live.Close())
		l.live = nil
	}
	for _, c := range l.consumers {
		errs = append(errs, c.close())
	}
	if l.spare != nil {
		errs = append(errs, l.spare.file.Close(), l.fsys.Remove(l.spare.name))
		l.spare = nil
	}
	return errors.Join(errs...)
}

// reportDamage logs damage, keeps it for Stats, and sees to it that the segment ends in quarantine. What is
// known already is left alone: every reader that passes a damaged place reports it.
func (l *Log) reportDamage(damage []pillarbox.CorruptError) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, item := range damage {
		if !slices.Contains(l.damage, item) {
			l.reportDamageLocked(item)
		}
	}
}

func (l *Log) reportDamageLocked(item pillarbox.CorruptError) {
	l.opts.Logger.Error("the log is damaged", "segment", item.File, "offset", item.Offset, "reason", item.Reason)
	if len(l.damage) < MaxDamageReports {
		l.damage = append(l.damage, item)
	}
	for _, segment := range l.segments {
		if segment.name == item.File {
			segment.damaged = true
		}
	}
}

// checkDestination refuses names that can't be part of a file name.
func checkDestination(name string) error {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789_-"
	if name == "" || len(name) > 63 || strings.Trim(name, letters) != "" || strings.ContainsAny(name[:1], "_-") {
		return fmt.Errorf("destination name %q: want up to 63 of a-z, 0-9, _ and -, beginning with a letter or digit: %w", name, pillarbox.ErrInvalid)
	}
	return nil
}

// broadcast wakes everybody who waits, and costs nothing while nobody does.
type broadcast struct {
	mu      sync.Mutex
	waiting chan struct{}
}

// wait returns a channel that the next fire closes. Call it before looking at what is waited for.
func (b *broadcast) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting == nil {
		b.waiting = make(chan struct{})
	}
	return b.waiting
}

func (b *broadcast) fire() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting != nil {
		close(b.waiting)
		b.waiting = nil
	}
}
