package seglog

import (
	"crypto/rand"
	"fmt"
	"path"

	"pillarbox/internal/telemetry"
	"pillarbox/internal/vfs"
)

// loader finds what earlier lives have left. Locks: none, for it is used by Open before anything
// else runs.
type loader struct {
	*core
	segments *segmentSet
	damage   *damageLog
}

// removeUnfinished removes spares and half-made state files of an earlier life. None of them ever
// held something acknowledged.
func (o *loader) removeUnfinished() error {
	entries, err := o.fsys.ReadDir(o.dir)
	if err != nil {
		return fmt.Errorf("list %s: %w", o.dir, unavailable(err))
	}
	for _, entry := range entries {
		if entry.Dir || !vfs.IsTemp(entry.Name) {
			continue
		}
		if err := o.fsys.Remove(path.Join(o.dir, entry.Name)); err != nil {
			return fmt.Errorf("remove unfinished file: %w", unavailable(err))
		}
	}
	return nil
}

func (o *loader) load() error {
	all, newest, damage, err := listSegments(o.fsys, o.dir)
	if err == nil {
		err = refuseNewer(o.fsys, o.dir)
	}
	if err != nil {
		return err
	}
	o.segments.lastID = newest
	o.damage.report(damage)
	linkSegments(all)
	base := int64(0)
	for i, item := range all {
		if !item.linked {
			if err := o.clearAbandoned(item); err != nil {
				return err
			}
			continue
		}
		if !item.scanned || !item.readable {
			if err := o.scanTail(item, i == len(all)-1); err != nil {
				return err
			}
		}
		item.base = base
		base += max(0, item.end-dataStart)
		segment := item.segment
		if item.unreadEnd != nil && i == len(all)-1 {
			item.unreadEnd.segment = &segment
			o.damage.noteUnreadEnd(item.unreadEnd)
		}
		o.segments.add(&segment)
		if item.readable {
			o.segments.logID = item.header.logID
		}
	}
	if o.segments.logID == [16]byte{} {
		_, _ = rand.Read(o.segments.logID[:]) // never fails, by its documentation
	}
	if o.opts.ReadOnly {
		return nil
	}
	return o.removeUnfinished() // at the end: nothing is removed beside what is not understood
}

// clearAbandoned removes a segment that a newer one skips: it was left before its first
// acknowledged event. Should there be events in it all the same, it is not understood, and goes to
// quarantine.
func (o *loader) clearAbandoned(item *foundSegment) error {
	if o.opts.ReadOnly {
		return nil
	}
	if _, _, err := item.scan(o.fsys, o.segments.nextSeq); err != nil {
		return err
	}
	abandoned := item.segment
	abandoned.damaged = abandoned.damaged || !abandoned.empty()
	o.opts.Logger.Info("segment was abandoned before its first event",
		telemetry.KeySegment, item.name, telemetry.KeyQuarantined, abandoned.damaged)
	o.segments.remove(&abandoned)
	return nil
}

// scanTail finds the end of a segment that nothing else tells: the newest one, or one beside lost
// headers.
func (o *loader) scanTail(item *foundSegment, newest bool) error {
	end, nextSeq, known := item.end, item.nextSeq, item.scanned
	damage, torn, err := item.scan(o.fsys, o.segments.nextSeq)
	if err != nil {
		return err
	}
	if known {
		item.end, item.nextSeq = end, nextSeq // the next header's word, whatever is readable
	}
	if torn > 0 && newest {
		o.opts.Logger.Warn(
			"segment ends in an unfinished write, which was never acknowledged; what is whole of it is kept",
			telemetry.KeySegment, item.name, telemetry.KeyOffset, item.end,
			telemetry.KeyBytes, torn,
		)
	}
	o.damage.report(damage)
	if newest && !o.opts.ReadOnly {
		o.holdBack(item)
	}
	return nil
}

// holdBack ends a segment where it is proven to be on the disk. What is behind that place counts as
// accepted, and comes to the destinations once the next segment has a copy of it.
func (o *loader) holdBack(item *foundSegment) {
	o.segments.nextSeq = max(o.segments.nextSeq, item.nextSeq)
	item.end, item.nextSeq = item.tail.from, item.tail.firstSeq
	if len(item.tail.chunks) > 0 {
		o.segments.unproven = &item.tail
	}
}
