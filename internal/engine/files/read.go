package files

import (
	"errors"
	"fmt"

	"pillarbox"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/vfs"
)

// load reads the letter, wherever it is now. A letter whose file somebody has removed is missing
// from then on.
func (l *Letters) load(letter id) (*pillarbox.DeadLetter, located, error) {
	for {
		at, known, err := l.index.lookup(letter)
		if err != nil {
			return nil, at, fmt.Errorf("read dead letter: %w", kindOf(err))
		}
		if !known || at.kind != rowLive {
			return nil, at, fmt.Errorf("dead letter %s of %s: %w", letter.Token, letter.Destination,
				pillarbox.ErrNotFound)
		}
		found, err := l.read(&at)
		if !errors.Is(err, pillarbox.ErrNotFound) {
			return found, at, err
		}
		if again, known, lookErr := l.index.lookup(letter); lookErr != nil || known &&
			again.serial != at.serial {
			continue // it has moved meanwhile
		}
		return nil, at, errors.Join(err, l.miss([]located{at}))
	}
}

// read reads a letter from where it is: from the journal as long as its file is not complete.
func (l *Letters) read(at *located) (*pillarbox.DeadLetter, error) {
	name := l.path(at.nameAt(at.place()))
	if l.pending(&at.row) {
		written, err := readEntry(l.fsys, l.path(journalDir), at.at, at.length)
		switch {
		case err == nil:
			return l.decode(written.content, at, journalName(l.path(journalDir), at.at.file))
		case !notExist(err) || l.pending(&at.row):
			return nil, fmt.Errorf("read dead letter: %w", kindOf(err))
		}
		// It has got its file since.
	}
	content, err := vfs.ReadFile(l.fsys, name, maxFileBytes)
	switch {
	case notExist(err):
		return nil, fmt.Errorf("dead letter %s: %w: %w", name, pillarbox.ErrNotFound, err)
	case isDamage(err):
		return nil, &pillarbox.CorruptError{File: name, Reason: vfs.Damage(name, err)}
	case err != nil:
		return nil, fmt.Errorf("read dead letter: %w", kindOf(err))
	}
	return l.decode(content, at, name)
}

// pending reports whether the letter has no file yet.
func (l *Letters) pending(letter *row) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !letter.at.before(l.filed)
}

// miss notes that the files of letters are gone.
func (l *Letters) miss(letters []located) error {
	changes := make([]change, len(letters))
	for i, gone := range letters {
		changes[i] = change{day: gone.day, row: gone.row, only: gone.serial}
		changes[i].row.kind = rowMissing
		l.log.Warn("the file of a dead letter was removed; it counts as missing", telemetry.KeyFile,
			gone.nameAt(gone.place()))
	}
	if err := l.index.apply(changes); err != nil {
		return fmt.Errorf("note that dead letters are missing: %w", kindOf(err))
	}
	return nil
}
