package seglog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"time"

	"pillarbox"
	"pillarbox/internal/vfs"
)

// preallocator makes files of zeros that wait to become segments, and gives back the kernel's memory of old ones.
//
// Locks: core.mu guards the spare; the rest belongs to its goroutine.
type preallocator struct {
	*core
	segments *segmentSet

	wanted   chan struct{} // holds one wake-up
	spare    *spare
	uncached uint64 // id of the newest segment that was given back
}

// run makes spares, whenever one is missing, until Close.
func (p *preallocator) run() {
	for {
		select {
		case <-p.done:
			return
		case <-p.wanted:
			p.uncacheSealed()
			p.prepare(p.pace)
		}
	}
}

// uncacheSealed gives the memory back that the kernel holds of old segments, which it would otherwise fill with the log:
// new pages cost more than used ones, and a backlog is read in order, once. The newest sealed segment is kept, because
// deliveries that are only a little behind read it.
func (p *preallocator) uncacheSealed() {
	p.mu.Lock()
	var old []*segment
	for _, s := range p.segments.list[:max(0, len(p.segments.list)-2)] {
		if s.id > p.uncached {
			old = append(old, s)
		}
	}
	p.mu.Unlock()
	for _, s := range old {
		if err := vfs.Uncache(p.fsys, s.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			p.opts.Logger.Debug("give back the memory of a segment", "segment", s.name, "err", err)
		}
		p.uncached = s.id
	}
}

func (p *preallocator) wake() {
	select {
	case p.wanted <- struct{}{}:
	default: // a wake-up is on its way
	}
}

// prepare makes the next segment file while the live one still has room.
func (p *preallocator) prepare(pace func(filled, size int64) error) {
	p.mu.Lock()
	wanted := p.spare == nil && !p.closed && !p.segments.newestIsFresh()
	p.mu.Unlock()
	if !wanted {
		return
	}
	made, err := p.build(0, p.opts.SegmentBytes, pace)
	if err != nil {
		p.opts.Logger.Debug("prepare a segment", "queue", p.dir, "err", err)
		return
	}
	p.mu.Lock()
	unwanted := p.spare != nil || p.closed
	if !unwanted {
		p.spare = made
	}
	p.mu.Unlock()
	if unwanted {
		p.discard(made)
	}
}

// fillPause is the wait between two pieces of a spare that nobody is in a hurry for. A commit that meets such a piece
// waits for it on the disk, so they are to be few.
const fillPause = 10 * time.Millisecond

// pace lets the spare be whole when the live segment is half full: its pieces then come as seldom as they can.
func (p *preallocator) pace(filled, size int64) error {
	p.mu.Lock()
	hurry := p.segments.newest == nil || filled*p.segments.liveSize < 2*p.segments.newest.end*size
	p.mu.Unlock()
	pause := fillPause
	if hurry {
		pause = 0
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-p.done:
		return pillarbox.ErrClosed
	case <-timer.C:
		return nil
	}
}

// spare is a file filled with zeros that waits to become a segment.
type spare struct {
	name string
	size int64
	file vfs.File
}

// take takes the file that waits, if it is large enough, or makes one.
func (p *preallocator) take(need int64) (*spare, error) {
	p.mu.Lock()
	next := p.spare
	p.spare = nil
	p.mu.Unlock()
	if next != nil && next.size >= need+dataStart {
		return next, nil
	}
	if next != nil {
		p.discard(next)
	}
	return p.build(need, p.firstSize(), nil)
}

// firstSize is the size of a segment that somebody waits for.
func (p *preallocator) firstSize() int64 { return min(p.opts.SegmentBytes, maxFirstSegment) }

// build creates a file of zeros with room for need bytes of frames: size, or less on a disk that is
// nearly full, or more for a large group. pace, if set, is asked before each piece.
func (p *preallocator) build(need, size int64, pace func(filled, size int64) error) (*spare, error) {
	usage, err := p.fsys.Usage()
	if err != nil {
		return nil, fmt.Errorf("ask for free space: %w", unavailable(err))
	}
	if least := minFreeFiles(usage); usage.TotalFiles > 0 && usage.FreeFiles < least {
		return nil, noFiles(usage.FreeFiles, least)
	}
	need = alignUp(need) + dataStart
	room := usage.Free - p.minFree(usage)
	if size > room/2 {
		size = max(smallestFallback, (room/2)&^(sectorBytes-1))
	}
	size = max(min(size, p.opts.SegmentBytes), need)
	if size > room {
		return nil, noSpace(usage.Free, p.minFree(usage))
	}
	return p.create(size, pace)
}

// create creates a file of so many zeros.
func (p *preallocator) create(size int64, pace func(filled, size int64) error) (*spare, error) {
	name := path.Join(p.dir, fmt.Sprintf("%s%016x%s", sparePrefix, randomUint64(), vfs.TempSuffix))
	file, err := p.fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return nil, fmt.Errorf("create segment: %w", unavailable(err))
	}
	made := &spare{name: name, size: size, file: file}
	if err := vfs.Zero(file, size, paceOf(size, pace)); err != nil {
		p.discard(made)
		return nil, fmt.Errorf("fill segment: %w", unavailable(err))
	}
	return made, nil
}

func paceOf(size int64, pace func(filled, size int64) error) func(filled int64) error {
	if pace == nil {
		return nil
	}
	return func(filled int64) error { return pace(filled, size) }
}

func noSpace(free, reserve int64) error {
	err := fmt.Errorf("the disk has %d bytes free, and %d are kept back for deliveries (queue.min_free); free some space: %w", free, reserve, pillarbox.ErrNoSpace)
	return &pillarbox.RetryAfterError{After: retryAfterFull, Err: err}
}

func noFiles(free, reserve int64) error {
	err := fmt.Errorf("the disk has room for %d more files (inodes), and %d are kept back for deliveries; remove some files: %w", free, reserve, pillarbox.ErrNoSpace)
	return &pillarbox.RetryAfterError{After: retryAfterFull, Err: err}
}

// discard gives up a file that never became a segment.
func (p *preallocator) discard(unused *spare) {
	if err := errors.Join(unused.file.Close(), p.fsys.Remove(unused.name)); err != nil {
		p.opts.Logger.Warn("remove unused segment file", "segment", unused.name, "err", err)
	}
}
