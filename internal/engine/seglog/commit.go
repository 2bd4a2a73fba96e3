package seglog

import (
	"errors"
	"fmt"
	"time"

	"pillarbox/internal/telemetry"
	"pillarbox/internal/vfs"
)

// committer writes to the live segment, and begins a new one where that is full or broken.
//
// Locks: it belongs to the leader, and has none; the segment set, which it tells what it has
// written, takes core.mu.
type committer struct {
	*core
	segments     *segmentSet
	preallocator *preallocator

	live     vfs.File  // nil where there is no usable live segment
	synced   int64     // everything below this offset of the live segment was synced
	marked   bool      // nothing was committed since the last mark
	verified time.Time // when the name of the live segment was last looked at
}

// commit writes and syncs the group. After an error in the live segment that file is left for good
// and the group goes to a new one, once.
func (c *committer) commit(g *group) error {
	var errs []error
	for range 2 {
		need := alignUp(g.size())
		if c.live == nil || c.segments.newest.end+need > c.segments.liveSize {
			if err := c.rotate(need); err != nil {
				return errors.Join(append(errs, err)...)
			}
		}
		err := c.write(g)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
		c.abandon(err)
	}
	return errors.Join(errs...)
}

func (c *committer) write(g *group) error {
	tail := c.segments.newest
	frame := g.seal(tail.salt, tail.end, c.synced, tail.nextSeq)
	size := int64(len(frame))
	frame = toPage(frame, tail.end, c.segments.liveSize)
	g.frame = frame[:len(g.frame)] // with the room that the rest has taken, for the next group
	if _, err := c.live.WriteAt(frame, tail.end); err != nil {
		return fmt.Errorf("write %s at %d: %w", tail.name, tail.end, unavailable(err))
	}
	start := time.Now()
	if err := c.live.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", tail.name, unavailable(err))
	}
	c.opts.Meter.Committed(int(g.count), size, time.Since(start))
	if err := c.verifyLive(c.opts.Now()); err != nil {
		return fmt.Errorf("look at %s after the sync: %w", tail.name, unavailable(err))
	}
	c.marked = false
	c.segments.grow(alignUp(size), uint64(g.count))
	c.synced = tail.end
	c.grown.fire()
	return nil
}

// pageBytes is what the kernel caches files in.
const pageBytes = 4096

// toPage lets a write end where a page ends, with zeros like those that are there. Segments are not
// filled through the page cache, and a part of a page that is not in it would be read from the disk
// first, while the group waits.
func toPage(frame []byte, offset, limit int64) []byte {
	end := offset + int64(len(frame))
	whole := min((end+pageBytes-1)&^(pageBytes-1), limit)
	return append(frame, make([]byte, max(0, whole-end))...)
}

// abandon leaves the live segment at its last durable frame. What came behind may or may not be on
// the disk; the header of the next segment says that it doesn't count. The file of one that was
// removed is made anew with what was acknowledged, as long as it can be read here.
func (c *committer) abandon(cause error) {
	if errors.Is(cause, errRemoved) {
		cause = errors.Join(cause, c.restore(c.segments.newest, c.live))
	}
	c.opts.Meter.IOError()
	c.opts.Logger.Error("segment is left after an I/O error",
		telemetry.KeySegment, c.segments.newest.name, telemetry.KeyOffset, c.segments.newest.end,
		telemetry.KeyErr, cause)
	if err := c.live.Close(); err != nil {
		c.opts.Logger.Warn("close segment", telemetry.KeySegment, c.segments.newest.name,
			telemetry.KeyErr, err)
	}
	c.live = nil
}

// mark writes a frame without events behind the last one. Its presence proves that what stands
// before it was synced, so that later damage there is known to be damage and not a torn write. The
// caller leads.
func (c *committer) mark(sync bool) error {
	if c.live == nil || c.marked || c.segments.newest.empty() {
		return nil
	}
	tail := c.segments.newest
	if tail.end+sectorBytes > c.segments.liveSize {
		return nil // the next header will say it
	}
	frame := make([]byte, frameHeaderBytes)
	frameHeader{
		kind: frameMark, salt: tail.salt, offset: tail.end, firstSeq: tail.nextSeq,
		durableUpTo: c.synced,
	}.encode(frame)
	_, err := c.live.WriteAt(frame, tail.end)
	if err == nil && sync {
		err = c.live.Sync()
	}
	if err != nil {
		err = fmt.Errorf("mark the end of %s: %w", tail.name, unavailable(err))
		c.abandon(err)
		return err
	}
	c.segments.grow(sectorBytes, 0)
	c.marked = true
	if sync {
		c.synced = tail.end
	}
	return nil
}
