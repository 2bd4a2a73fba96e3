package seglog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"time"

	"pillarbox/internal/telemetry"
	"pillarbox/internal/vfs"
)

// errRemoved says that somebody has removed, moved or replaced the file of the live segment.
var errRemoved = errors.New("somebody has removed, moved or replaced the file")

// restoreChunk is how much of a removed segment is copied at once.
const restoreChunk = 1 << 20

// restore makes the file of a segment anew that somebody has removed, moved or replaced while it
// was open: what was acknowledged can still be read here, and nowhere else. A file of that name
// that somebody has put there is moved to quarantine. The caller leads.
func (c *committer) restore(s *segment, from vfs.File) (err error) {
	temp := path.Join(c.dir, fmt.Sprintf("%s%016x%s", sparePrefix, randomUint64(), vfs.TempSuffix))
	to, err := c.fsys.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return fmt.Errorf("make %s anew: %w", s.name, unavailable(err))
	}
	err = copyRange(to, from, s.end)
	if err == nil {
		err = to.Sync()
	}
	if err = errors.Join(err, to.Close()); err == nil {
		err = c.quarantineForeign(s)
	}
	if err == nil {
		err = c.fsys.Rename(temp, s.name)
	}
	if err == nil {
		err = c.fsys.SyncDir(c.dir)
	}
	if err != nil {
		return fmt.Errorf("make %s anew: %w", s.name, unavailable(err))
	}
	c.opts.Logger.Error(
		"somebody has removed, moved or replaced a segment that is written to; it was made anew with all that was acknowledged, and a new one is begun",
		telemetry.KeySegment, s.name, telemetry.KeyBytes, s.end,
	)
	return nil
}

// quarantineForeign moves a file out of the way that has the name of a segment and is not it.
func (c *committer) quarantineForeign(s *segment) error {
	file, err := c.fsys.OpenFile(s.name, os.O_RDONLY)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	dir := path.Join(c.dir, quarantineDir)
	if err := vfs.MkdirAll(c.fsys, dir); err != nil {
		return err
	}
	return c.fsys.Rename(s.name, path.Join(dir, path.Base(s.name)+".foreign"))
}

// copyRange copies the first bytes of a file.
func copyRange(to io.WriterAt, from io.ReaderAt, size int64) error {
	buffer := make([]byte, min(size, restoreChunk))
	for at := int64(0); at < size; {
		n, err := from.ReadAt(buffer[:min(int64(len(buffer)), size-at)], at)
		if n == 0 && err != nil {
			return err
		}
		if _, err := to.WriteAt(buffer[:n], at); err != nil {
			return err
		}
		at += int64(n)
	}
	return nil
}

// verifyInterval is how often the name of the live segment is looked at. That the file has a name
// at all is looked at with each commit.
const verifyInterval = time.Second

// verifyLive returns an error that matches errRemoved where the live segment is not what its name
// stands for. The caller leads.
func (c *committer) verifyLive(now time.Time) error {
	if c.live == nil {
		return nil
	}
	if linked, err := c.live.Linked(); err != nil || !linked {
		return errors.Join(errRemoved, err)
	}
	if now.Sub(c.verified).Abs() < verifyInterval {
		return nil
	}
	c.verified = now
	if there, err := c.fsys.IsFile(c.segments.newest.name, c.live); err == nil && !there {
		return errRemoved
	}
	return nil
}
