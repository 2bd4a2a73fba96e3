package seglog

import (
	"errors"
	"fmt"
	"os"
	"path"

	"pillarbox"
	"pillarbox/internal/vfs"
)

// spare is a file filled with zeros that waits to become a segment.
type spare struct {
	name string
	size int64
	file vfs.File
}

// rotate begins a new segment with room for need bytes. The new header states where the segment before ends;
// from the moment that it is durable, what an abandoned segment holds behind that place doesn't count.
// The caller leads.
//
// On a disk that is nearly full, what is held back of an earlier life gets a segment all the same, out of the room that is
// kept for deliveries, because those events are to be delivered. The error is then still ErrNoSpace.
func (l *Log) rotate(need int64) error {
	next, err := l.takeSpare(need + l.unproven.size())
	if errors.Is(err, pillarbox.ErrNoSpace) && l.unproven != nil {
		next, rescue := l.createSpare(l.unproven.size()+dataStart, nil)
		if rescue == nil {
			rescue = l.begin(next)
		}
		return errors.Join(err, rescue)
	}
	if err != nil {
		return err
	}
	return l.begin(next)
}

// takeSpare takes the file that waits, if it is large enough, or makes one.
func (l *Log) takeSpare(need int64) (*spare, error) {
	l.mu.Lock()
	next := l.spare
	l.spare = nil
	l.mu.Unlock()
	if next != nil && next.size >= need+dataStart {
		return next, nil
	}
	if next != nil {
		l.discard(next)
	}
	return l.makeSpare(need, l.firstSize(), nil)
}

// firstSize is the size of a segment that somebody waits for.
func (l *Log) firstSize() int64 { return min(l.opts.SegmentBytes, maxFirstSegment) }

// begin turns the spare into the live segment. It begins with what is held back of the segment before.
func (l *Log) begin(next *spare) error {
	l.lastID++
	header := segmentHeader{
		id: l.lastID, salt: randomUint64(), firstSeq: l.nextSeq, logID: l.logID,
		created: pillarbox.TimestampOf(l.opts.Now()),
	}
	before := l.newest
	if before != nil {
		header.prevID, header.prevEnd = before.id, before.end
		if l.unproven != nil {
			header.firstSeq = l.unproven.firstSeq
		}
		if before.empty() {
			// Nothing to read there: skip it, so that restarts without traffic leave nothing behind.
			header.prevID, header.prevEnd = before.prevID, before.prevEnd
		}
	}
	name := segmentName(l.dir, header.id)
	content := append(header.encode(), header.encode()...)
	content = l.unproven.copyTo(content, header.salt)
	err := l.publish(next, name, content)
	// The new header may be on the disk even if publishing failed, and it says where the segment before ends:
	// from here on, nothing more may be written there.
	if l.live != nil {
		if linked, linkErr := l.live.Linked(); linkErr == nil && !linked {
			if restoreErr := l.restore(before, l.live); restoreErr != nil {
				l.opts.Logger.Error("a removed segment can't be made anew", "segment", before.name, "err", restoreErr)
			}
		}
		if closeErr := l.live.Close(); closeErr != nil {
			l.opts.Logger.Warn("close segment", "segment", before.name, "err", closeErr)
		}
		l.live = nil
	}
	if err != nil {
		return errors.Join(fmt.Errorf("begin segment %s: %w", name, unavailable(err)), next.file.Close())
	}
	l.install(next, name, header, int64(len(content)))
	if before != nil && before.empty() {
		l.removeSegment(before)
	}
	l.wakeKeeper()
	return nil
}

// publish writes what the segment begins with and gives the file its name, durably.
func (l *Log) publish(next *spare, name string, content []byte) error {
	if _, err := next.file.WriteAt(content, 0); err != nil {
		return errors.Join(err, l.fsys.Remove(next.name))
	}
	if err := next.file.Sync(); err != nil {
		return errors.Join(err, l.fsys.Remove(next.name))
	}
	if err := l.fsys.Rename(next.name, name); err != nil {
		return errors.Join(err, l.fsys.Remove(next.name))
	}
	if err := l.fsys.SyncDir(l.dir); err != nil {
		// Whether the name is durable is unknown. Nothing is in the segment, and the next one skips it.
		return errors.Join(err, l.fsys.Remove(name))
	}
	return nil
}

// install makes the segment the live one, whose frames so far end at the offset.
func (l *Log) install(next *spare, name string, header segmentHeader, end int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	segment := &segment{
		id: header.id, name: name, salt: header.salt, created: header.created, firstSeq: header.firstSeq,
		nextSeq: l.nextSeq, end: end, prevID: header.prevID, prevEnd: header.prevEnd,
	}
	if before := l.newest; before != nil {
		segment.base = before.position(before.end)
		if before.empty() && len(l.segments) > 0 {
			l.segments = l.segments[:len(l.segments)-1]
		}
	}
	l.segments = append(l.segments, segment)
	l.newest, l.live, l.liveSize, l.synced, l.marked = segment, next.file, next.size, end, end > dataStart
	l.unproven = nil
}

// makeSpare creates a file of zeros with room for need bytes of frames: size, or less on a disk that is
// nearly full, or more for a large group. pace, if set, is asked before each piece.
func (l *Log) makeSpare(need, size int64, pace func(filled, size int64) error) (*spare, error) {
	usage, err := l.fsys.Usage()
	if err != nil {
		return nil, fmt.Errorf("ask for free space: %w", unavailable(err))
	}
	if least := minFreeFiles(usage); usage.TotalFiles > 0 && usage.FreeFiles < least {
		return nil, noFiles(usage.FreeFiles, least)
	}
	need = alignUp(need) + dataStart
	room := usage.Free - l.minFree(usage)
	if size > room/2 {
		size = max(smallestFallback, (room/2)&^(sectorBytes-1))
	}
	size = max(min(size, l.opts.SegmentBytes), need)
	if size > room {
		return nil, noSpace(usage.Free, l.minFree(usage))
	}
	return l.createSpare(size, pace)
}

// createSpare creates a file of so many zeros.
func (l *Log) createSpare(size int64, pace func(filled, size int64) error) (*spare, error) {
	name := path.Join(l.dir, fmt.Sprintf("%s%016x%s", sparePrefix, randomUint64(), vfs.TempSuffix))
	file, err := l.fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return nil, fmt.Errorf("create segment: %w", unavailable(err))
	}
	made := &spare{name: name, size: size, file: file}
	if err := vfs.Zero(file, size, paceOf(size, pace)); err != nil {
		l.discard(made)
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

// minFreeFiles is how many files a new segment leaves for delivery states, databases and dead letters.
func minFreeFiles(usage vfs.Usage) int64 {
	return min(defaultMinFreeFiles, usage.TotalFiles/minFreeFraction)
}

func (l *Log) minFree(usage vfs.Usage) int64 {
	if l.opts.MinFreeBytes > 0 {
		return l.opts.MinFreeBytes
	}
	return min(defaultMinFree, usage.Total/minFreeFraction)
}

// discard gives up a file that never became a segment.
func (l *Log) discard(unused *spare) {
	if err := errors.Join(unused.file.Close(), l.fsys.Remove(unused.name)); err != nil {
		l.opts.Logger.Warn("remove unused segment file", "segment", unused.name, "err", err)
	}
}
