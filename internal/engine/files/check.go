package files

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"syscall"
	"time"

	"pillarbox"
	"pillarbox/internal/deadletterfile"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/vfs"
)

const (
	// checkEvery is how often all directories are held against the index, and their files against
	// the sizes in it.
	checkEvery = 10 * time.Minute
	// checkShare is the share of the time that this may take: as many times as long it rests.
	checkShare = 9
	// settled is how old the last change of a directory must be to be told from a later one by its
	// time.
	settled = 100 * time.Millisecond
)

// watch looks for what people have added, changed and removed, until ctx ends.
func (l *Letters) watch(ctx context.Context) {
	for ctx.Err() == nil {
		if err := l.checkAll(ctx, checkShare); err != nil && ctx.Err() == nil {
			l.log.Warn("dead letters can't be held against their index", telemetry.KeyErr, err)
		}
		rest(ctx, checkEvery)
	}
}

// checkAll checks every day, and rests after each for as many times as long as share says.
func (l *Letters) checkAll(ctx context.Context, share int) error {
	days, err := l.allDays()
	if err != nil {
		return err
	}
	for _, day := range days {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		start := time.Now()
		if err := l.check(day, true); errors.Is(err, pillarbox.ErrCorrupt) {
			l.log.Error("dead letters can't be held against their index", telemetry.KeyErr, err)
		} else if err != nil {
			return err
		}
		if share > 0 {
			rest(ctx, time.Duration(share)*time.Since(start))
		}
	}
	return nil
}

// allDays returns the days that have a directory or rows, in their order.
func (l *Letters) allDays() ([]int32, error) {
	found, err := l.listDays()
	if err != nil {
		return nil, err
	}
	days := l.index.listDays()
	for _, day := range found {
		days = append(days, day.Day)
	}
	slices.Sort(days)
	return slices.Compact(days), nil
}

func rest(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// checkIfChanged checks a day unless nobody has changed its directory since it was last seen to
// agree.
func (l *Letters) checkIfChanged(day int32) error {
	at, err := l.fsys.Changed(l.path(place{Day: day}.DayName()))
	if err != nil && !notExist(err) {
		return kindOf(err)
	}
	l.mu.Lock()
	seen, known := l.checked[day]
	l.mu.Unlock()
	if err == nil && known && !at.IsZero() && at.Equal(seen) {
		return nil
	}
	return l.check(day, false)
}

// check holds the directory of a day against the index: what somebody has added is a letter from
// now on, what somebody has removed is missing, and what has another size, where sizes are asked
// for, is read anew.
func (l *Letters) check(day int32, sizes bool) error {
	c := dayCheck{Letters: l, day: day, known: map[uint64]*seen{}}
	err := c.run(sizes)
	if vfs.IsForeign(err) {
		name := l.path(place{Day: day}.DayName())
		return &pillarbox.CorruptError{File: name, Reason: vfs.Damage(name, err)}
	}
	if err != nil {
		return fmt.Errorf("check the dead letters of %s: %w", place{Day: day}.DayName(), kindOf(err))
	}
	return nil
}

type dayCheck struct {
	*Letters
	day   int32
	known map[uint64]*seen
	filed position // as of before the directory was read: what is newer may have its file or not
	added []located
	temps []string
}

// seen is the newest row of a letter of this day.
type seen struct {
	serial uint64
	offset int64
	size   int64
	at     position
	kind   kind
	state  state
	there  bool // its file is
}

func (c *dayCheck) run(sizes bool) error {
	c.mu.Lock()
	c.filed = c.Letters.filed
	c.mu.Unlock()
	dir := c.path(place{Day: c.day}.DayName())
	changed, err := c.fsys.Changed(dir)
	if err != nil && !notExist(err) {
		return err
	}
	entries, err := c.list(dir, sizes)
	if err != nil {
		return err
	}
	if err := c.readRows(); err != nil {
		return err
	}
	for _, entry := range entries {
		c.meet(entry, sizes)
	}
	if err := errors.Join(c.removeTemps(dir), c.addFound(), c.missAbsent()); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.Letters.filed == c.filed && !changed.IsZero() && time.Since(changed) > settled {
		c.checked[c.day] = changed
	}
	return nil
}

func (c *dayCheck) list(dir string, sizes bool) (entries []vfs.Entry, err error) {
	if sizes {
		entries, err = c.fsys.ReadDir(dir)
	} else {
		var names []string
		names, err = c.fsys.Names(dir)
		for _, name := range names {
			entries = append(entries, vfs.Entry{Name: name})
		}
	}
	if notExist(err) {
		return nil, nil
	}
	return entries, err
}

func (c *dayCheck) readRows() error {
	return c.index.scan(c.day, func(offset int64, found *row) error {
		_, ofLetter := c.index.table.hashes(found.letter)
		c.known[ofLetter] = &seen{
			serial: found.serial, offset: offset, size: found.size, at: found.at, kind: found.kind,
			state: found.state,
		}
		return nil
	})
}

// meet looks at one file.
func (c *dayCheck) meet(entry vfs.Entry, sizes bool) {
	if vfs.IsTemp(entry.Name) && ours(entry.Name) {
		c.temps = append(c.temps, entry.Name)
		return
	}
	letter, in, ok := deadletterfile.ParseFileName(entry.Name)
	if !ok {
		return
	}
	_, ofLetter := c.index.table.hashes(letter)
	known := c.known[ofLetter]
	if known != nil && known.kind == rowLive && known.state == in {
		known.there = true
		if !sizes || known.size == entry.Size {
			return
		}
	}
	if known != nil && !known.at.before(c.filed) {
		return // it is being filed
	}
	c.added = append(c.added,
		located{row: row{letter: letter, state: in, size: entry.Size}, day: c.day})
}

// removeTemps removes letters that were never finished. The filer makes none meanwhile.
func (c *dayCheck) removeTemps(dir string) error {
	if len(c.temps) == 0 {
		return nil
	}
	c.filing.Lock()
	defer c.filing.Unlock()
	for _, name := range c.temps {
		if err := removeUnfinished(c.fsys, path.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// removeUnfinished removes a letter that was never finished. A directory of that name is
// somebody's, and stays.
func removeUnfinished(fsys vfs.FS, name string) error {
	err := fsys.Remove(name)
	if err == nil || notExist(err) || errors.Is(err, syscall.ENOTEMPTY) ||
		errors.Is(err, syscall.EEXIST) {
		return nil
	}
	return fmt.Errorf("remove unfinished dead letter: %w", err)
}

// addFound takes files into the index that it does not know as they are.
func (c *dayCheck) addFound() error {
	var changes []change
	for _, file := range c.added {
		known, isKnown, err := c.index.lookup(file.letter)
		if err != nil {
			return err
		}
		elsewhere := isKnown && known.kind == rowLive && known.place() != file.place()
		if isKnown && !known.at.before(c.filed) || elsewhere && c.exists(&known) {
			continue // it is being filed, or it is a second file of a letter: the first one counts
		}
		found, err := c.rowAt(file.letter, file.place())
		if notExist(err) {
			continue
		}
		if err != nil {
			return err
		}
		if found.blind { // the size that the next look compares with
			found.size = file.size
		}
		found.at, found.length = known.at, known.length
		changes = append(changes, change{day: c.day, row: found, only: known.serial, fresh: !isKnown})
	}
	return c.index.apply(changes)
}

// missAbsent notes which letters have no file any more.
func (c *dayCheck) missAbsent() error {
	var gone []located
	for _, known := range c.known {
		if known.kind != rowLive || known.there || !known.at.before(c.filed) {
			continue
		}
		letter, err := c.index.at(c.day, known.offset)
		if err != nil {
			return err
		}
		if now, isKnown, err := c.index.lookup(letter.letter); err != nil {
			return err
		} else if isKnown && now.serial == known.serial && !c.exists(&letter) {
			gone = append(gone, letter)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	return c.miss(gone)
}

func (c *dayCheck) exists(letter *located) bool {
	file, err := c.fsys.OpenFile(c.path(letter.nameAt(letter.place())), os.O_RDONLY)
	if err != nil {
		return !notExist(err)
	}
	return file.Close() == nil
}
