package seglog

import (
	"errors"
	"fmt"
	"sync"

	"pillarbox"
	"pillarbox/internal/vfs"
)

// Log is the queue. See the package comment for what it promises, and DESIGN.md for its parts, each
// of which owns its state and says which lock guards it. The order of the locks is
// destinations.creating, consumer.mu, core.mu, and ages.mu and those of the broadcasts alone behind
// them.
type Log struct {
	*core
	segments     *segmentSet
	backlog      *backlog
	appender     *appender
	committer    *committer
	preallocator *preallocator
	damage       *damageLog
	scanner      *scanner
	ages         *ages
	destinations *destinations
	obligations  *obligations
	trimmer      *trimmer
	keys         *keys
	maintenance  *maintenance

	running sync.WaitGroup // maintenance and preallocator
}

// Open opens or creates the log in dir, reads the segment headers, the tail and the delivery
// states, and begins a new segment. The caller makes sure that no other process has the directory.
//
// Errors: ErrCorrupt where a delivery state can't be read at all ("pillarbox queue repair" mends
// it); ErrInvalid where something was written in a newer format, and then nothing is changed;
// ErrNoSpace and ErrUnavailable of the disk. Nothing is removed but files that were never
// finished.
func Open(fsys vfs.FS, dir string, opts Options) (*Log, error) {
	opts = opts.withDefaults()
	if err := opts.validate(); err != nil {
		return nil, err
	}
	l := newLog(newCore(fsys, dir, opts))
	if err := l.open(); err != nil {
		return nil, errors.Join(kinded(err), l.closeFiles())
	}
	if !opts.ReadOnly && !opts.ManualMaintenance {
		l.running.Go(l.maintenance.run)
		l.running.Go(func() { l.keys.index.Run(l.done) })
		l.running.Go(l.preallocator.run)
	}
	return l, nil
}

// newLog connects the parts.
func newLog(c *core) *Log {
	l := &Log{core: c}
	l.segments = &segmentSet{core: c, nextSeq: 1}
	l.backlog = &backlog{core: c, segments: l.segments, maxBytes: c.opts.MaxBytes}
	l.damage = &damageLog{core: c, segments: l.segments, reported: map[string]bool{}}
	l.preallocator = &preallocator{core: c, segments: l.segments, wanted: make(chan struct{}, 1)}
	l.committer = &committer{core: c, segments: l.segments, preallocator: l.preallocator}
	l.scanner = &scanner{core: c, segments: l.segments, damage: l.damage}
	l.ages = &ages{core: c, segments: l.segments}
	l.keys = &keys{core: c, segments: l.segments, scanner: l.scanner, ages: l.ages}
	l.appender = newAppender(c, l.segments, l.backlog, l.committer, l.keys)
	l.destinations = &destinations{
		core: c, segments: l.segments, damage: l.damage, backlog: l.backlog, scanner: l.scanner, ages: l.ages,
		consumers: map[string]*consumer{},
	}
	l.obligations = &obligations{
		core: c, segments: l.segments, destinations: l.destinations, scanner: l.scanner,
	}
	l.trimmer = &trimmer{
		core: c, segments: l.segments, damage: l.damage, destinations: l.destinations,
		keys: l.keys,
	}
	l.trimmer.setKeepBytes(c.opts.KeepBytes)
	l.maintenance = &maintenance{
		core: c, segments: l.segments, appender: l.appender, preallocator: l.preallocator, destinations: l.destinations,
		trimmer: l.trimmer, damage: l.damage, ages: l.ages, keys: l.keys,
	}
	return l
}

func (l *Log) open() error {
	earlier := &loader{core: l.core, segments: l.segments, damage: l.damage}
	if !l.opts.ReadOnly {
		if err := vfs.MkdirAll(l.fsys, l.dir); err != nil {
			return fmt.Errorf("make %s: %w", l.dir, unavailable(err))
		}
	}
	if err := earlier.load(); err != nil {
		return err
	}
	if err := l.destinations.load(); err != nil {
		return err
	}
	if err := l.damage.load(); err != nil {
		return err
	}
	l.ages.load()
	l.trimmer.dropReturned()
	l.destinations.measureBacklog()
	if l.opts.ReadOnly {
		return nil
	}
	err := l.committer.rotate(0)
	if errors.Is(err, pillarbox.ErrNoSpace) {
		// Deliveries can make room; until then the log refuses to accept, and says why.
		l.mu.Lock()
		l.appender.noteLocked(err)
		l.mu.Unlock()
		err = nil
	}
	if err != nil {
		return fmt.Errorf("begin a segment in %s: %w", l.dir, err)
	}
	return l.keys.load()
}

// Stats implements pillarbox.Queue.
func (l *Log) Stats() pillarbox.QueueStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	stats := pillarbox.QueueStats{
		Accepted: l.segments.nextSeq - 1,
		Bytes:    l.backlog.bytesLocked(),
		MaxBytes: l.backlog.maxBytes,
		Damage:   append([]pillarbox.CorruptError(nil), l.damage.found...),
	}
	for name := range l.destinations.consumers {
		stats.Destinations = append(stats.Destinations, name)
	}
	switch {
	case l.appender.lateSince > 0:
		stats.Hanging = l.appender.lateForLocked()
		stats.Problem = l.appender.lateErrorLocked().Error()
	case l.appender.problem != nil:
		stats.Problem = l.appender.problem.Error()
	case l.backlog.wouldRefuseLocked(l.backlog.usualLocked() + l.appender.pending.size()):
		stats.Problem = l.backlog.fullErrorLocked().Error()
	}
	return stats
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
	for l.appender.committing {
		l.appender.room.Wait()
	}
	l.appender.committing = true // nobody leads any more
	l.mu.Unlock()
	l.running.Wait()
	var err error
	if !l.opts.ReadOnly {
		l.ages.maintain(true, l.destinations.oldestUnsettled)
		err = errors.Join(l.committer.mark(true), l.destinations.noteAhead(), l.destinations.sync(),
			l.keys.close())
	}
	return errors.Join(err, l.closeFiles())
}

func (l *Log) closeFiles() error {
	var errs []error
	if l.committer.live != nil {
		errs = append(errs, l.committer.live.Close())
		l.committer.live = nil
	}
	for _, c := range l.destinations.consumers {
		errs = append(errs, c.close())
	}
	if l.preallocator.spare != nil {
		errs = append(errs, l.preallocator.spare.file.Close(),
			l.fsys.Remove(l.preallocator.spare.name))
		l.preallocator.spare = nil
	}
	return errors.Join(errs...)
}

// Maintain does one round of the maintenance. It is for a log that was opened with
// ManualMaintenance, whose caller decides when.
func (l *Log) Maintain() {
	l.preallocator.prepare(nil)
	l.maintenance.runOnce()
	_ = l.keys.index.Maintain() // it keeps what it could not write, and says so
}
