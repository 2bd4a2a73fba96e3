package files

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"pillarbox"
	"pillarbox/internal/atrest"
	"pillarbox/internal/deadletterfile"
	"pillarbox/internal/vfs"
)

// ours reports whether a name in the directory of a day is a letter's, or an unfinished one.
func ours(name string) bool {
	_, _, ok := deadletterfile.ParseFileName(strings.TrimSuffix(name, vfs.TempSuffix))
	return ok
}

// listDays returns the days that have a directory, in their order.
func (l *Letters) listDays() ([]place, error) {
	entries, err := l.fsys.ReadDir(l.dir)
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", kindOf(err))
	}
	var days []place
	for _, entry := range entries {
		if day, ok := deadletterfile.ParseDay(entry.Name); ok && entry.Dir {
			days = append(days, day)
		}
	}
	slices.SortFunc(days, func(a, b place) int { return cmp.Compare(a.Day, b.Day) })
	return days, nil
}

// rowAt makes the row of a file. Of one that can't be read as its letter, only the name is known,
// and where it is no file of ours, not even the size.
func (l *Letters) rowAt(letter id, at place) (row, error) {
	found := located{row: row{kind: rowLive, state: at.State, letter: letter}, day: at.Day}
	content, err := vfs.ReadFile(l.fsys, l.path(deadletterfile.Name(letter, at)),
		maxFileBytes)
	if isDamage(err) {
		blind := found.row
		blind.blind = true
		return blind, nil
	}
	if err != nil {
		return row{}, err
	}
	read, err := l.decode(content, &found, "")
	if err != nil {
		blind := found.row
		blind.blind, blind.size = true, int64(len(content))
		return blind, nil
	}
	return rowOf(read, letter, at.State, int64(len(content))), nil
}

// maxFileBytes is the largest file that is read as a letter.
var maxFileBytes = atrest.DocumentBytes(deadletterfile.MaxFileBytes)

// encode writes the letter as the content of its file, sealed where the service seals.
func (l *Letters) encode(letter *pillarbox.DeadLetter, resolution *pillarbox.Resolution) (id, []byte, error) {
	named, content, err := deadletterfile.Encode(letter, resolution)
	if err == nil {
		content, err = l.atRest.SealDocument(content, atrest.Letter)
	}
	return named, content, err
}

// decode reads the content of a file. Errors: ErrCorrupt; *atrest.NoKeyError where it is sealed.
func (l *Letters) decode(content []byte, at *located, name string) (*pillarbox.DeadLetter, error) {
	var absent *atrest.NoKeyError
	content, err := l.atRest.OpenDocument(content, atrest.Letter)
	if errors.As(err, &absent) || errors.Is(err, pillarbox.ErrInvalid) {
		return nil, fmt.Errorf("read dead letter %s: %w", name, err)
	}
	if err != nil {
		return nil, deadletterfile.Corrupt(name, err)
	}
	found, err := deadletterfile.Decode(content, at.letter, at.state)
	if err != nil {
		return nil, deadletterfile.Corrupt(name, err)
	}
	return found, nil
}

// remove removes the file of a letter, durably.
func (l *Letters) remove(letter id, from place) error {
	name := l.path(deadletterfile.Name(letter, from))
	if err := l.fsys.Remove(name); err != nil && !notExist(err) {
		return err
	}
	err := l.fsys.SyncDir(path.Dir(name))
	if notExist(err) {
		return nil
	}
	return err
}

func (l *Letters) path(name ...string) string {
	return path.Join(append([]string{l.dir}, name...)...)
}

// Short names for what the whole package speaks of.
type (
	id    = deadletterfile.ID
	token = deadletterfile.Token
	place = deadletterfile.Place
	state = deadletterfile.State
)

const (
	open      = deadletterfile.Open
	replayed  = deadletterfile.Replayed
	discarded = deadletterfile.Discarded
)
