package seglog

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"pillarbox"
	"pillarbox/internal/telemetry"
)

// unreadEndReason is what is said of a segment whose end the disk could not read at a start.
const unreadEndReason = readFault + "this is the end of what an earlier life has written: an unknown number of events may be missing there until it can be read"

// unreadEnd is the end of a segment that the disk could not read at a start. What was whole at its
// beginning is counted.
type unreadEnd struct {
	segment *segment
	from    int64  // where the frame begins that could not be read
	seq     uint64 // of its first event
	kept    int    // how many of its events were saved
}

// noteUnreadEnd remembers that nobody knows what is behind the end of a segment. Its file is kept,
// and read again.
func (d *damageLog) noteUnreadEnd(end *unreadEnd) {
	d.unreadEnds = append(d.unreadEnds, end)
	c := &chunk{offset: end.from, end: end.from, firstSeq: end.seq, kept: end.kept, unread: true}
	c.damage = []pillarbox.CorruptError{
		{File: end.segment.name, Offset: end.from, Reason: unreadEndReason},
	}
	d.report(c.damage)
	d.keepReport(c, end.segment)
}

// findUnreadEnd takes up what an earlier life has noted.
func (d *damageLog) findUnreadEnd(report *damageReport) {
	for _, s := range d.segments.list {
		if s.name == report.File && !d.hasUnreadEnd(s) {
			d.unreadEnds = append(d.unreadEnds,
				&unreadEnd{segment: s, from: report.Offset, seq: report.First, kept: report.Kept})
		}
	}
}

func (d *damageLog) hasUnreadEnd(s *segment) bool {
	return slices.ContainsFunc(d.unreadEnds, func(end *unreadEnd) bool { return end.segment == s })
}

// rereadEnds reads again the ends that the disk could not read, and accepts once more what is whole
// there: it may have been acknowledged, and nothing has counted it. It reports whether one is left.
func (d *damageLog) rereadEnds(accept func([]*pillarbox.Event) error) (left bool) {
	d.mu.Lock()
	ends := slices.Clone(d.unreadEnds)
	d.mu.Unlock()
	for _, end := range ends {
		events, err := d.readEnd(end)
		if err == nil && len(events) > 0 {
			err = accept(events)
		}
		if err != nil {
			left = true
			continue
		}
		d.opts.Logger.Warn(
			"the end of an earlier life can be read again; its events are accepted once more",
			telemetry.KeySegment, end.segment.name, telemetry.KeyEvents, len(events),
		)
		d.mu.Lock()
		d.unreadEnds = slices.DeleteFunc(d.unreadEnds,
			func(done *unreadEnd) bool { return done == end })
		d.mu.Unlock()
	}
	return left
}

// errStillUnread says that a part of an end can't be read yet.
var errStillUnread = errors.New("the disk can't read it yet")

// readEnd returns the events at the end of a segment that nothing has counted.
func (d *damageLog) readEnd(end *unreadEnd) (events []*pillarbox.Event, err error) {
	s := end.segment
	file, err := d.fsys.OpenFile(s.name, os.O_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	defer file.Close()
	size, err := file.Size()
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	w := &walker{
		file: file, name: s.name, salt: s.salt, offset: end.from, seq: end.seq, limit: size,
	}
	d.mu.Unlock()
	for {
		c, err := w.next()
		switch {
		case errors.Is(err, errEnd) && w.couldNotRead(end.from, size):
			return nil, errStillUnread
		case errors.Is(err, errEnd):
			return events, nil
		case err != nil:
			return nil, err
		case c.unread:
			return nil, errStillUnread
		}
		if c.open(d.opts.AtRest, s.name); c.unread {
			return nil, errStillUnread
		}
		for i, rec := range c.records {
			if c.offset == end.from && i < end.kept {
				continue
			}
			if event, err := decodeRecord(string([]byte(rec.text))); err == nil && !rec.missing {
				events = append(events, event)
			}
		}
	}
}
