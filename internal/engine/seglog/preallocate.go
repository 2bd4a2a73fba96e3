package seglog

import (
	"errors"
	"io/fs"
	"time"

	"pillarbox"
	"pillarbox/internal/telemetry"
)

// preallocator makes files of zeros that wait to become segments, and gives back the kernel's
// memory of old ones.
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
		p.opts.Logger.Debug("prepare a segment", telemetry.KeyQueue, p.dir, telemetry.KeyErr, err)
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

// fillPause is the wait between two pieces of a spare that nobody is in a hurry for. A commit that
// meets such a piece waits for it on the disk, so they are to be few.
const fillPause = 10 * time.Millisecond

// pace lets the spare be whole when the live segment is half full: its pieces then come as seldom
// as they can.
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

// uncacheSealed gives the memory back that the kernel holds of old segments, which it would
// otherwise fill with the log: new pages cost more than used ones, and a backlog is read in order,
// once. The newest sealed segment is kept, because deliveries that are only a little behind read
// it.
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
		if err := p.fsys.Uncache(s.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			p.opts.Logger.Debug("give back the memory of a segment", telemetry.KeySegment, s.name,
				telemetry.KeyErr, err)
		}
		p.uncached = s.id
	}
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
