package files

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"pillarbox/internal/deadletterfile"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/vfs"
)

const (
	// groupLetters and groupBytes bound what gets its files at the cost of one.
	groupLetters = 1000
	groupBytes   = 8 << 20

	// Files are in no hurry, and who puts letters is: their syncs wait for all that the file system
	// has to write. So files wait until no letter has come for quiet, and where letters never
	// cease, they get half of the time after maxUnfiled, and all of it with half of the backlog
	// full.
	quiet      = 250 * time.Millisecond
	maxUnfiled = 5 * time.Second

	fileRetry = time.Second // between tries to write files where one has failed
	tellEvery = time.Minute // how often that is logged
)

// file has the files follow the journal, until ctx ends.
func (l *Letters) file(ctx context.Context) {
	began := time.Now()
	for ctx.Err() == nil {
		for l.busy() && time.Since(began) < maxUnfiled && ctx.Err() == nil {
			rest(ctx, quiet/4)
		}
		start := time.Now()
		more, err := l.fileSome()
		l.tellProblem(err)
		switch {
		case err != nil:
			rest(ctx, fileRetry)
		case !more:
			select {
			case <-ctx.Done():
			case <-l.wake:
			}
			began = time.Now()
		case l.busy():
			rest(ctx, time.Since(start))
		}
	}
}

// busy reports whether a letter was put or resolved just now, and there is room for more.
func (l *Letters) busy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Since(l.putAt) < quiet && l.backlogLocked() < l.maxBacklog/2
}

func (l *Letters) tellProblem(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.problem = err
	if err == nil || time.Since(l.told) < tellEvery {
		return
	}
	l.told = time.Now()
	l.log.Warn("files of dead letters can't be written; the letters are durable and wait",
		telemetry.KeyErr, err)
}

// Flush returns when every letter that was put or resolved before has its file.
func (l *Letters) Flush(ctx context.Context) error {
	if err := l.begin(ctx); err != nil {
		return err
	}
	defer l.life.RUnlock()
	if err := l.fileAll(); err != nil {
		return kindOf(err)
	}
	return nil
}

// Maintain does the maintenance once that are done all the time where the letters are not
// Unmaintained: it makes some of the files that are missing, and looks for what people have
// changed.
func (l *Letters) Maintain() error {
	if err := l.begin(context.Background()); err != nil {
		return err
	}
	defer l.life.RUnlock()
	_, err := l.fileSome()
	if err = errors.Join(err, l.checkAll(context.Background(), 0)); err != nil {
		return kindOf(err)
	}
	return nil
}

// room waits until there is room in the backlog. It ends with the reason why files can't be
// written, if there is one.
func (l *Letters) room(ctx context.Context) error {
	for {
		l.mu.Lock()
		backlog, moved, problem := l.backlogLocked(), l.moved, l.problem
		l.mu.Unlock()
		switch {
		case backlog < l.maxBacklog:
			return nil
		case l.untended:
			if err := l.fileAll(); err != nil {
				return kindOf(err)
			}
			continue
		case problem != nil:
			return fmt.Errorf("%d bytes of letters wait for their files: %w", backlog, kindOf(problem))
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// backlogLocked returns how many bytes of letters wait for their files.
func (l *Letters) backlogLocked() (backlog int64) {
	for _, j := range l.journals {
		backlog += j.end
		if j.number == l.filed.file {
			backlog -= l.filed.offset
		}
	}
	return backlog
}

// fileAll makes all files that are missing. The caller has stopped the filer.
func (l *Letters) fileAll() error {
	for {
		more, err := l.fileSome()
		if err != nil || !more {
			return err
		}
	}
}

// fileSome makes the files of some letters, or removes a journal whose letters all have theirs. It
// reports whether there may be more to do. A call that fails is made again from where it began:
// writing a file twice does no harm.
func (l *Letters) fileSome() (more bool, err error) {
	l.filing.Lock()
	defer l.filing.Unlock()
	l.mu.Lock()
	if len(l.journals) == 0 {
		l.mu.Unlock()
		return false, nil
	}
	oldest, growing := l.journals[0], l.journals[0].number == l.current
	from := l.filed
	l.mu.Unlock()
	if first := (position{oldest.number, journalHeader}); from.before(first) {
		from = first
	}
	if from.offset >= oldest.end {
		if growing {
			return false, nil
		}
		return true, l.drop(oldest)
	}
	entries, to, err := l.nextGroup(from, oldest.end)
	if err != nil {
		return true, err
	}
	if len(entries) == 0 {
		return true, l.setAside(oldest, to)
	}
	if err := l.makeFiles(entries); err != nil {
		return true, fmt.Errorf("file dead letters: %w", err)
	}
	if err := l.mark.write(l.fsys, to); err != nil {
		return true, fmt.Errorf("note which dead letters have files: %w", err)
	}
	l.advance(to)
	return true, nil
}

// drop removes a journal. The index must not hang on it any more.
func (l *Letters) drop(oldest found) error {
	if err := l.index.sync(); err != nil {
		return err
	}
	if err := l.removeJournal(oldest.number); err != nil {
		return err
	}
	l.forget(oldest)
	return nil
}

// removeJournal removes a journal durably: if an older one came back without the newer ones, it
// would be believed.
func (l *Letters) removeJournal(number uint64) error {
	if err := l.fsys.Remove(journalName(l.path(journalDir), number)); err != nil && !notExist(err) {
		return err
	}
	return l.fsys.SyncDir(l.path(journalDir))
}

// nextGroup reads entries from a journal; of one letter only the last counts, and it removes what
// the others would have.
func (l *Letters) nextGroup(from position, end int64) (entries []entry, to position, err error) {
	places, bytes := map[id]int{}, 0
	offset, err := readFrames(l.fsys, l.path(journalDir), from, end,
		func(_ position, _ int64, e entry) (bool, error) {
			e.content = slices.Clone(e.content)
			bytes += len(e.content)
			if at, again := places[e.letter]; again {
				earlier := entries[at]
				e.from = append(e.from, append(earlier.from, earlier.to)...)
				entries[at] = e
			} else {
				places[e.letter] = len(entries)
				entries = append(entries, e)
			}
			return len(entries) < groupLetters && bytes < groupBytes, nil
		})
	return entries, position{from.file, offset}, err
}

// setAside keeps a journal for a person that can't be read to where it should. What of it has no
// file is missing.
func (l *Letters) setAside(oldest found, at position) error {
	name := journalName(l.path(journalDir), oldest.number)
	l.log.Error("a journal of dead letters is damaged and set aside; letters of it may be missing",
		telemetry.KeyFile, name, telemetry.KeyOffset, at.offset)
	if err := l.fsys.Rename(name, name+".damaged"); err != nil && !notExist(err) {
		return err
	}
	if err := l.fsys.SyncDir(l.path(journalDir)); err != nil {
		return err
	}
	l.forget(oldest)
	return nil
}

func (l *Letters) forget(oldest found) {
	l.mu.Lock()
	l.journals = l.journals[1:]
	l.mu.Unlock()
	l.advance(position{oldest.number + 1, 0})
}

// advance notes that the letters before the position have their files.
func (l *Letters) advance(to position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.filed = to
	close(l.moved)
	l.moved = make(chan struct{})
}

// makeFiles writes the files, makes them durable, and then removes what the letters were before.
func (l *Letters) makeFiles(entries []entry) error {
	var files, dirs, left []string
	for _, e := range entries {
		dir := l.path(e.to.DayName())
		if !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
		name := path.Join(dir, deadletterfile.FileName(e.letter, e.to.State))
		if err := l.writeFile(e.to, name, e.content); err != nil {
			return err
		}
		files = append(files, name)
	}
	if err := vfs.SyncGroup(l.fsys, files, dirs); err != nil {
		return err
	}
	for _, e := range entries {
		for _, from := range e.from {
			if from == e.to {
				continue
			}
			dir := l.path(from.DayName())
			if err := l.fsys.Remove(path.Join(dir,
				deadletterfile.FileName(e.letter, from.State))); err != nil && !notExist(err) {
				return err
			}
			if !slices.Contains(left, dir) {
				left = append(left, dir)
			}
		}
	}
	for _, dir := range left { // what comes back after a crash would be a second letter
		if err := l.fsys.SyncDir(dir); err != nil && !notExist(err) {
			return err
		}
	}
	return nil
}

func (l *Letters) writeFile(day place, name string, content []byte) error {
	if err := l.makeDay(day); err != nil {
		return err
	}
	err := vfs.WriteUnsynced(l.fsys, name, content)
	if notExist(err) { // somebody has removed the empty directory
		delete(l.days, day.Day)
		if err := l.makeDay(day); err != nil {
			return err
		}
		err = vfs.WriteUnsynced(l.fsys, name, content)
	}
	return err
}

// makeDay makes the directory of the day durable, once.
func (l *Letters) makeDay(day place) error {
	if l.days[day.Day] {
		return nil
	}
	if err := vfs.MkdirAll(l.fsys, l.path(day.DayName())); err != nil {
		return err
	}
	l.days[day.Day] = true
	return nil
}

// publish has the filer know what the journal holds.
func (l *Letters) publish() {
	l.mu.Lock()
	n := len(l.journals)
	switch {
	case n > 0 && l.journals[n-1].number == l.journal.last:
		l.journals[n-1].end = l.journal.end
	case l.filed.file <= l.journal.last: // it is a new one, and not one that has failed and is removed
		l.journals = append(l.journals, found{number: l.journal.last, end: l.journal.end})
	}
	if l.current = l.journal.last; l.journal.file == nil {
		l.current = 0
	}
	l.putAt = time.Now()
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}
