package seglog

import (
	"errors"
	"fmt"

	"pillarbox"
	"pillarbox/internal/telemetry"
)

// rotate begins a new segment with room for need bytes. The new header states where the segment
// before ends; from the moment that it is durable, what an abandoned segment holds behind that
// place doesn't count. The caller leads.
//
// On a disk that is nearly full, what is held back of an earlier life gets a segment all the same,
// out of the room that is kept for deliveries, because those events are to be delivered. The error
// is then still ErrNoSpace.
func (c *committer) rotate(need int64) error {
	next, err := c.preallocator.take(need + c.segments.unproven.size())
	if errors.Is(err, pillarbox.ErrNoSpace) && c.segments.unproven != nil {
		next, rescue := c.preallocator.create(c.segments.unproven.size()+dataStart, nil)
		if rescue == nil {
			rescue = c.begin(next)
		}
		return errors.Join(err, rescue)
	}
	if err != nil {
		return err
	}
	return c.begin(next)
}

// begin turns the spare into the live segment. It begins with what is held back of the segment
// before.
func (c *committer) begin(next *spare) error {
	c.segments.lastID++
	header := segmentHeader{
		id: c.segments.lastID, salt: randomUint64(), firstSeq: c.segments.nextSeq, logID: c.segments.logID,
		created: pillarbox.TimestampOf(c.opts.Now()),
		boxed:   c.opts.AtRest.Seals() || c.segments.unproven.boxed(),
	}
	if err := c.opts.AtRest.Renew(); err != nil {
		return errors.Join(fmt.Errorf("begin to seal another segment: %w", err), next.file.Close(), c.fsys.Remove(next.name))
	}
	before := c.segments.newest
	if before != nil {
		header.prevID, header.prevEnd = before.id, before.end
		if c.segments.unproven != nil {
			header.firstSeq = c.segments.unproven.firstSeq
		}
		if before.empty() {
			// Nothing to read there: skip it, so that restarts without traffic leave nothing
			// behind.
			header.prevID, header.prevEnd = before.prevID, before.prevEnd
		}
	}
	name := segmentName(c.dir, header.id)
	content := append(header.encode(), header.encode()...)
	content = c.segments.unproven.copyTo(content, header.salt)
	err := c.publish(next, name, content)
	// The new header may be on the disk even if publishing failed, and it says where the segment
	// before ends: from here on, nothing more may be written there.
	if c.live != nil {
		if linked, linkErr := c.live.Linked(); linkErr == nil && !linked {
			if restoreErr := c.restore(before, c.live); restoreErr != nil {
				c.opts.Logger.Error("a removed segment can't be made anew",
					telemetry.KeySegment, before.name, telemetry.KeyErr, restoreErr)
			}
		}
		if closeErr := c.live.Close(); closeErr != nil {
			c.opts.Logger.Warn("close segment", telemetry.KeySegment, before.name,
				telemetry.KeyErr, closeErr)
		}
		c.live = nil
	}
	if err != nil {
		return errors.Join(fmt.Errorf("begin segment %s: %w", name, unavailable(err)),
			next.file.Close())
	}
	c.install(next, name, header, int64(len(content)))
	if before != nil && before.empty() {
		c.segments.remove(before)
	}
	c.wakeup.now()
	return nil
}

// publish writes what the segment begins with and gives the file its name, durably.
func (c *committer) publish(next *spare, name string, content []byte) error {
	if _, err := next.file.WriteAt(content, 0); err != nil {
		return errors.Join(err, c.fsys.Remove(next.name))
	}
	if err := next.file.Sync(); err != nil {
		return errors.Join(err, c.fsys.Remove(next.name))
	}
	if err := c.fsys.Rename(next.name, name); err != nil {
		return errors.Join(err, c.fsys.Remove(next.name))
	}
	if err := c.fsys.SyncDir(c.dir); err != nil {
		// Whether the name is durable is unknown. Nothing is in the segment, and the next one skips
		// it.
		return errors.Join(err, c.fsys.Remove(name))
	}
	return nil
}

// install makes the segment the live one, whose frames so far end at the offset.
func (c *committer) install(next *spare, name string, header segmentHeader, end int64) {
	c.segments.begin(&segment{
		id: header.id, name: name, salt: header.salt, created: header.created, firstSeq: header.firstSeq,
		nextSeq: c.segments.nextSeq, end: end, prevID: header.prevID, prevEnd: header.prevEnd,
	}, next.size)
	c.live, c.synced, c.marked = next.file, end, end > dataStart
}
