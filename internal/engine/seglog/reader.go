package seglog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"pillarbox"
	"pillarbox/internal/vfs"
)

// reader walks the log from a place on, across segments, up to what is durable. It is not safe for
// concurrent use.
type reader struct {
	segments *segmentSet
	damage   *damageLog
	segment  *segment
	file     vfs.File
	walk     *walker
	seq      uint64 // next sequence number
	sparse   bool   // it looks for single events: that those in between are not there any more is no damage
}

// next returns the next chunk that holds seq or later ones, with its segment, or errEnd when all
// that is durable was read.
func (r *reader) next() (*chunk, *segment, error) {
	for {
		if r.walk == nil {
			gap, err := r.open(extentForReader(r))
			if gap != nil || err != nil {
				return gap, r.segment, err
			}
		}
		now := r.segments.extentOf(r.segment)
		r.walk.limit, r.walk.endSeq = now.end, now.nextSeq
		c, err := r.walk.next()
		if err == nil {
			// a reader that looks for its place reads what lies before it, too
			r.seq = max(r.seq, c.nextSeq())
			c.open(r.segments.opts.AtRest, r.segment.name)
			r.noteDamage(c)
			return c, r.segment, nil
		}
		if !errors.Is(err, errEnd) {
			return nil, nil, err
		}
		if !now.sealed {
			return nil, nil, errEnd
		}
		if err := r.close(); err != nil {
			return nil, nil, err
		}
		if r.seq < now.nextSeq {
			return r.missing(now.nextSeq, now.end,
				"the end of the segment is missing"), r.segment, nil
		}
	}
}

// extentForReader finds where the reader goes on.
func extentForReader(r *reader) (extent, bool) {
	after := uint64(0)
	if r.segment != nil {
		after = r.segment.id
	}
	return r.segments.extentFor(r.seq, after)
}

// open starts on a segment. It returns a chunk of lost events where segments are missing in
// between.
func (r *reader) open(next extent, ok bool) (*chunk, error) {
	if !ok {
		return nil, errEnd
	}
	file, err := r.segments.fsys.OpenFile(next.segment.name, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) && r.segments.sealed(next.segment) {
		r.segment, r.seq = next.segment, max(r.seq, next.segment.firstSeq)
		return r.missing(next.nextSeq, 0, "somebody has removed the segment"), nil
	}
	if err != nil {
		return nil, fmt.Errorf("open segment: %w", unavailable(err))
	}
	r.segment, r.file = next.segment, file
	r.walk = &walker{
		file: file, name: next.segment.name, salt: next.segment.salt,
		offset: dataStart, seq: next.segment.firstSeq, limit: next.end, endSeq: next.nextSeq,
	}
	if r.sparse {
		r.seq = max(r.seq, next.segment.firstSeq)
	}
	if r.seq < next.segment.firstSeq {
		return r.missing(next.segment.firstSeq, 0, "earlier segments are missing"), nil
	}
	return nil, nil
}

func (r *reader) missing(until uint64, offset int64, reason string) *chunk {
	c := &chunk{offset: offset, end: offset, firstSeq: r.seq, lost: until - r.seq}
	c.damage = []pillarbox.CorruptError{{
		File: r.segment.name, Offset: offset, Reason: fmt.Sprintf("%s: events %d to %d", reason, r.seq,
			until-1),
	}}
	r.seq = until
	r.noteDamage(c)
	return c
}

// seek moves to a frame that is known to begin at or before the wanted event. A hint that turns out
// wrong is ignored: the segment is then read from its start.
func (r *reader) seek(at position) error {
	r.seq = at.cursor
	next, ok := r.segments.extentFor(at.cursor, 0)
	if !ok || next.segment.id != at.segment {
		return nil
	}
	if _, err := r.open(next, true); err != nil {
		return err
	}
	header, payload, err := r.walk.frameAt(at.offset)
	if err != nil {
		return err
	}
	if payload != nil && header.firstSeq <= at.cursor {
		r.walk.offset, r.walk.seq = at.offset, header.firstSeq
	}
	return nil
}

// chunkOf returns the chunk that holds the event, wherever the reader was before.
func (r *reader) chunkOf(seq uint64) (*chunk, *segment, error) {
	if r.segment == nil || r.seq > seq || r.segments.extentOf(r.segment).nextSeq <= seq {
		if err := r.close(); err != nil {
			return nil, nil, err
		}
		r.segment, r.seq = nil, seq
	}
	for {
		c, segment, err := r.next()
		if err != nil {
			return nil, nil, err
		}
		if c.nextSeq() > seq {
			return c, segment, nil
		}
	}
}

func (r *reader) noteDamage(c *chunk) {
	if len(c.damage) == 0 {
		return
	}
	r.damage.report(c.damage)
	if r.damage.keepReport(c, r.segment) {
		r.segments.opts.Meter.Damaged(c.missing())
	}
}

func (r *reader) close() error {
	if r.file == nil {
		return nil
	}
	file := r.file
	r.file, r.walk = nil, nil
	return file.Close()
}
