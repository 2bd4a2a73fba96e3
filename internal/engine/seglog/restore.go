package seglog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"time"

	"pillarbox/internal/vfs"
)

// restoreChunk is how much of a removed segment is copied at once.
const restoreChunk = 1 << 20

// restore makes the file of a segment anew that somebody has removed, moved or replaced while it was open: what was
// acknowledged can still be read here, and nowhere else. A file of that name that somebody has put there is moved to quarantine.
// The caller leads.
func (l *Log) restore(s *segment, from vfs.File) (err error) {
	temp := path.Join(l.dir, fmt.Sprintf("%s%016x%s", sparePrefix, randomUint64(), vfs.TempSuffix))
	to, err := l.fsys.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return fmt.Errorf("make %s anew: %w", s.name, unavailable(err))
	}
	err = copyRange(to, from, s.end)
	if err == nil {
		err = to.Sync()
	}
	if err = errors.Join(err, to.Close()); err == nil {
		err = l.setForeignAside(s)
	}
	if err == nil {
		err = l.fsys.Rename(temp, s.name)
	}
	if err == nil {
		err = l.fsys.SyncDir(l.dir)
	}
	if err != nil {
		return fmt.Errorf("make %s anew: %w", s.name, unavailable(err))
	}
	l.opts.Logger.Error("somebody has removed, moved or replaced a segment that is written to; it was made anew with all that was acknowledged, and a new one is begun",
		"segment", s.name, "bytes", s.end)
	return nil
}

// setForeignAside moves a file out of the way that has the name of a segment and is not it.
func (l *Log) setForeignAside(s *segment) error {
	file, err := l.fsys.OpenFile(s.name, os.O_RDONLY)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	dir := path.Join(l.dir, quarantineDir)
	if err := vfs.MkdirAll(l.fsys, dir); err != nil {
		return err
	}
	return l.fsys.Rename(s.name, path.Join(dir, path.Base(s.name)+".foreign"))
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

// lookInterval is how often the name of the live segment is looked at. That the file has a name at all is looked at with each
// commit.
const lookInterval = time.Second

// stillThere returns an error that matches errRemoved where the live segment is not what its name stands for. The caller
// leads.
func (l *Log) stillThere(now time.Time) error {
	if l.live == nil {
		return nil
	}
	if linked, err := l.live.Linked(); err != nil || !linked {
		return errors.Join(errRemoved, err)
	}
	if now.Sub(l.looked).Abs() < lookInterval {
		return nil
	}
	l.looked = now
	if there, err := l.fsys.IsFile(l.newest.name, l.live); err == nil && !there {
		return errRemoved
	}
	return nil
}

// nameRemoved logs sealed segments whose files are gone.
func (l *Log) nameRemoved() {
	entries, err := l.fsys.ReadDir(l.dir)
	if err != nil {
		return // the next commit or chore meets it
	}
	names := make(map[string]bool, len(entries))
	for _, entry := range entries {
		names[path.Join(l.dir, entry.Name)] = true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.segments[:max(0, len(l.segments)-1)] {
		if !names[s.name] && !s.removed {
			s.removed = true
			l.opts.Logger.Error("somebody has removed a segment; what was not delivered of it is lost, unless the file is put back before it is missed",
				"segment", s.name, "first", s.firstSeq, "events", s.nextSeq-s.firstSeq)
		}
	}
}
