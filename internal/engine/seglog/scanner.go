package seglog

import (
	"context"
	"errors"
	"io/fs"
	"os"
)

// scanner reads what the log holds beside the deliveries, with files of its own. It owns nothing,
// and holds no lock while it reads or visits.
type scanner struct {
	*core
	segments *segmentSet
	damage   *damageLog
}

func (s *scanner) reader(seq uint64, sparse bool) *reader {
	return &reader{segments: s.segments, damage: s.damage, seq: seq, sparse: sparse}
}

// walkSet calls visit for the members of a set that can be read, in their order, with files of its
// own. What is trimmed meanwhile is passed over.
func (s *scanner) walkSet(
	next func(from uint64) (uint64, bool), visit func(c *chunk) error,
) (err error) {
	r := s.reader(0, true)
	defer func() { err = errors.Join(err, r.close()) }()
	for seq, ok := next(0); ok; {
		c, _, err := r.chunkOf(seq)
		firstHeld, _ := s.segments.bounds()
		switch {
		case errors.Is(err, errEnd):
			return nil
		case errors.Is(err, fs.ErrNotExist) && seq < firstHeld:
			r.segment = nil
			seq, ok = next(firstHeld)
			continue
		case err != nil:
			return err
		}
		if err := visit(c); err != nil {
			return err
		}
		seq, ok = next(c.nextSeq())
	}
	return nil
}

// walkRecords calls visit for every record that is held, oldest first.
func (s *scanner) walkRecords(ctx context.Context, visit func(seq uint64, rec record) error) error {
	return s.walkRecordsFrom(ctx, 0, visit)
}

// walkRecordsFrom begins at a sequence number.
func (s *scanner) walkRecordsFrom(ctx context.Context, first uint64,
	visit func(seq uint64, rec record) error) error {
	firstHeld, _ := s.segments.bounds()
	firstHeld = max(first, firstHeld)
	unproven := s.segments.openUnproven() // should it be copied meanwhile, it is read there
	r := s.reader(firstHeld, true)
	for {
		if err := ctx.Err(); err != nil {
			return errors.Join(err, r.close())
		}
		c, _, err := r.next()
		if errors.Is(err, errEnd) {
			return errors.Join(visitFrom(r.seq, unproven, visit), r.close())
		}
		if errors.Is(err, fs.ErrNotExist) && s.trimmedSince(r) {
			continue
		}
		if err != nil {
			return errors.Join(err, r.close())
		}
		if err := visitFrom(first, []*chunk{c}, visit); err != nil {
			return errors.Join(err, r.close())
		}
	}
}

// visitFrom calls visit for the records of the chunks from a sequence number on.
func visitFrom(first uint64, chunks []*chunk, visit func(seq uint64, rec record) error) error {
	for _, c := range chunks {
		for i, rec := range c.records {
			seq := c.firstSeq + uint64(i)
			if seq < first || rec.missing {
				continue
			}
			if err := visit(seq, rec); err != nil {
				return err
			}
		}
	}
	return nil
}

// trimmedSince reports whether the segment that the reader wanted has been trimmed, so that going
// on finds another one.
func (s *scanner) trimmedSince(r *reader) bool {
	next, ok := extentForReader(r)
	if !ok {
		return true
	}
	file, err := s.fsys.OpenFile(next.segment.name, os.O_RDONLY)
	if err != nil {
		return false
	}
	return file.Close() == nil
}
