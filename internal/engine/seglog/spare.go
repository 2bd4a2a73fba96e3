package seglog

import (
	"errors"
	"fmt"
	"os"
	"path"

	"pillarbox"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/vfs"
)

// spare is a file filled with zeros that waits to become a segment.
type spare struct {
	name string
	size int64
	file vfs.File
}

// build creates a file of zeros with room for need bytes of frames: size, or less on a disk that is
// nearly full, or more for a large group. pace, if set, is asked before each piece.
func (p *preallocator) build(
	need, size int64, pace func(filled, size int64) error,
) (*spare, error) {
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
	err := fmt.Errorf(
		"the disk has %d bytes free, and %d are kept back for deliveries (queue.min_free); free some space: %w",
		free, reserve, pillarbox.ErrNoSpace,
	)
	return &pillarbox.RetryAfterError{After: retryAfterFull, Err: err}
}

func noFiles(free, reserve int64) error {
	err := fmt.Errorf(
		"the disk has room for %d more files (inodes), and %d are kept back for deliveries; remove some files: %w",
		free, reserve, pillarbox.ErrNoSpace,
	)
	return &pillarbox.RetryAfterError{After: retryAfterFull, Err: err}
}

// minFreeFiles is how many files a new segment leaves for delivery states, databases and dead
// letters.
func minFreeFiles(usage vfs.Usage) int64 {
	return min(defaultMinFreeFiles, usage.TotalFiles/minFreeFraction)
}

// discard gives up a file that never became a segment.
func (p *preallocator) discard(unused *spare) {
	if err := errors.Join(unused.file.Close(), p.fsys.Remove(unused.name)); err != nil {
		p.opts.Logger.Warn("remove unused segment file", telemetry.KeySegment, unused.name,
			telemetry.KeyErr, err)
	}
}
