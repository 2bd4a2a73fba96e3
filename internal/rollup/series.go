package rollup

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"pillarbox/internal/telemetry"
	"pillarbox/internal/vfs"
)

// MaxFileBytes is how large a file is at most that is read: a day of minutes with all the values that a
// record may have.
const MaxFileBytes = 64 << 20

const (
	fileSuffix    = ".ndjson"
	damagedSuffix = ".damaged" // of a copy of a file as it was found
)

// unwritten is a record that is in no file yet, and its line.
type unwritten struct {
	record
	line []byte
}

// series is the records of one resolution.
type series struct {
	fsys       vfs.FS
	logger     *slog.Logger
	resolution Resolution
	layout     string // of the name of a file

	name    string // of the file that is written to; empty before the first
	size    int64  // of what is good in it
	failed  bool   // what is behind size is not known: it is written anew
	waiting []unwritten
	dropped int             // of waiting, since the disk takes nothing
	trouble bool            // somebody was told that the disk takes nothing
	told    map[string]bool // files whose damage was told
	pruned  string          // the name of the file when old ones were removed last
}

func newSeries(opts Options, resolution Resolution) *series {
	layout := "minute-2006-01-02"
	if resolution == Hour {
		layout = "hour-2006-01"
	}
	return &series{fsys: opts.FS, logger: opts.Logger, resolution: resolution, layout: layout, told: map[string]bool{}}
}

// nameOf is the file of a record.
func (s *series) nameOf(at int64) string {
	return path.Join(Directory, time.Unix(at, 0).UTC().Format(s.layout)+fileSuffix)
}

func (s *series) keep() time.Duration {
	if s.resolution == Hour {
		return KeepHours
	}
	return KeepMinutes
}

// add makes a record durable, or keeps it until the disk takes it.
func (s *series) add(r record) {
	s.waiting = append(s.waiting, unwritten{r, r.line()})
	err := s.flush()
	if over := len(s.waiting) - MaxWaiting; over > 0 {
		s.waiting, s.dropped = slices.Delete(s.waiting, 0, over), s.dropped+over
	}
	switch {
	case err != nil && !s.trouble:
		s.trouble = true
		s.logger.Warn("the history can't be written, and is kept in memory until it can", telemetry.KeyFile, s.name, telemetry.KeyErr, err)
	case err == nil && s.trouble:
		s.logger.Info("the history is written again, without the records that memory had no room for", telemetry.KeyFile, s.name, telemetry.KeyItems, s.dropped)
		s.trouble, s.dropped = false, 0
	}
}

// flush writes what waits, file by file.
func (s *series) flush() error {
	for len(s.waiting) > 0 {
		name, n := s.nameOf(s.waiting[0].At), 1
		for n < len(s.waiting) && s.nameOf(s.waiting[n].At) == name {
			n++
		}
		var text []byte
		for _, w := range s.waiting[:n] {
			text = append(text, w.line...)
		}
		if err := s.write(name, text); err != nil {
			return err
		}
		s.waiting = slices.Delete(s.waiting, 0, n)
	}
	return nil
}

func (s *series) write(name string, text []byte) error {
	if s.name != name {
		if err := s.open(name); err != nil {
			return err
		}
	}
	var err error
	if s.failed {
		err = s.writeAnew(text)
	} else {
		err = s.append(text)
	}
	if s.failed = err != nil; err == nil {
		s.size += int64(len(text))
	}
	return err
}

// open finds out where a file ends. One that is damaged is put aside, and begun anew with what can be
// read of it.
func (s *series) open(name string) error {
	file, err := vfs.ReadFile(s.fsys, name, MaxFileBytes)
	if errors.Is(err, fs.ErrNotExist) {
		s.name, s.size, s.failed = name, 0, false
		return vfs.MkdirAll(s.fsys, Directory)
	}
	if err != nil && !vfs.IsForeign(err) && !vfs.IsUnreadable(err) { // it says nothing of the file
		return err
	}
	if err != nil {
		s.tell(name, err)
		if err := s.fsys.Rename(name, name+damagedSuffix); err != nil {
			return fmt.Errorf("put %s aside: %w", name, err)
		}
		s.name, s.size, s.failed = name, 0, true
		return nil
	}
	c := read(file)
	if c.damaged >= 0 {
		s.tell(name, damageAt(c.damaged))
		if err := vfs.WriteFile(s.fsys, name+damagedSuffix, file); err != nil {
			return err
		}
		if err := vfs.WriteFile(s.fsys, name, c.good); err != nil {
			return err
		}
		c.end = int64(len(c.good))
	}
	s.name, s.size, s.failed = name, c.end, false
	return nil
}

func damageAt(offset int64) error {
	return fmt.Errorf("what is at byte %d is no record", offset)
}

// tell names a file that can't be read, once.
func (s *series) tell(name string, err error) {
	if !s.told[name] {
		s.told[name] = true
		s.logger.Error("a file of the history can't be read; charts lack a part of it, and nothing else does", telemetry.KeyFile, name, telemetry.KeyErr, err)
	}
}

// append writes behind what is good. A kill leaves nothing of it, a part, or all.
func (s *series) append(text []byte) (err error) {
	file, err := s.fsys.OpenFile(s.name, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, file.Close()) }()
	size, err := file.Size()
	if err != nil {
		return err
	}
	if size > s.size { // of a line that was not finished
		if err := file.Truncate(s.size); err != nil {
			return err
		}
	}
	if _, err := file.WriteAt(text, s.size); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if s.size == 0 {
		return s.fsys.SyncDir(Directory)
	}
	return nil
}

// writeAnew puts another file in the place of one that an error has left in doubt.
func (s *series) writeAnew(text []byte) error {
	if err := vfs.MkdirAll(s.fsys, Directory); err != nil {
		return err
	}
	file, err := vfs.ReadFile(s.fsys, s.name, MaxFileBytes)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.size = min(s.size, int64(len(file)))
	return vfs.WriteFile(s.fsys, s.name, append(file[:s.size:s.size], text...))
}

// file returns the records of a file, as far as they can be read.
func (s *series) file(name string) []record {
	file, err := vfs.ReadFile(s.fsys, name, MaxFileBytes)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			s.tell(name, err)
		}
		return nil
	}
	if s.failed && name == s.name { // the rest waits, and must not count twice
		file = file[:min(s.size, int64(len(file)))]
	}
	c := read(file)
	if c.damaged >= 0 {
		s.tell(name, damageAt(c.damaged))
	}
	return c.records
}

// between returns the records from since to before until, in the order of their files.
func (s *series) between(since, until int64) (found []record) {
	last := ""
	for at := since; at < until+int64(24*time.Hour/time.Second); at += int64(24 * time.Hour / time.Second) {
		name := s.nameOf(min(at, until))
		if name == last {
			continue
		}
		last = name
		found = append(found, s.file(name)...)
	}
	for _, w := range s.waiting {
		found = append(found, w.record)
	}
	return slices.DeleteFunc(found, func(r record) bool { return r.At < since || r.At >= until })
}

// merged returns them in the order of time, one for each interval: minutes with one beginning add up,
// of hours the last counts.
func (s *series) merged(since, until int64) []record {
	intervals := map[int64]*record{}
	for _, r := range s.between(since, until) {
		if intervals[r.At] == nil || s.resolution == Hour {
			intervals[r.At] = &record{At: r.At}
		}
		intervals[r.At].merge(&r)
	}
	return sorted(intervals)
}

// prune removes the files of what is too old, each time that another file has begun.
func (s *series) prune(now time.Time, keep time.Duration) {
	if s.pruned == s.name {
		return
	}
	names, err := s.fsys.Names(Directory)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	oldest := path.Base(s.nameOf(now.Add(-keep).Unix()))
	prefix, _, _ := strings.Cut(s.layout, "-")
	for _, name := range names {
		base := strings.TrimSuffix(strings.TrimSuffix(name, vfs.TempSuffix), damagedSuffix)
		if strings.HasPrefix(base, prefix+"-") && strings.HasSuffix(base, fileSuffix) && base < oldest {
			err = errors.Join(err, s.fsys.Remove(path.Join(Directory, name)))
		}
	}
	if err != nil {
		s.logger.Warn("old files of the history can't be removed", telemetry.KeyErr, err)
		return
	}
	s.pruned = s.name
}
