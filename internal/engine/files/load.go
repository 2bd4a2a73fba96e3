package files

import (
	"strings"

	"pillarbox"
	"pillarbox/internal/deadletterfile"
)

// newest is what counts of a letter while the rows are read: its newest row.
type newest struct {
	slot
	serial      uint64
	kind        kind
	state       state
	destination *pillarbox.DeadLetterCount
}

// loadLocked makes everything in memory, and the table, from the rows.
func (x *index) loadLocked() error {
	x.broken = true
	for _, day := range x.days {
		if err := day.close(); err != nil {
			return err
		}
	}
	x.days, x.counts, x.serial = map[int32]*rows{}, map[string]*pillarbox.DeadLetterCount{}, 0
	entries, err := x.fsys.ReadDir(x.dir)
	if err != nil {
		return err
	}
	letters, moved := map[uint64]newest{}, moves{}
	for _, entry := range entries {
		if name, ok := strings.CutSuffix(entry.Name, rowsSuffix); ok {
			if day, ok := deadletterfile.ParseDay(name); ok {
				if err := x.loadDayLocked(day.Day, entry.Size, letters, moved); err != nil {
					return err
				}
			}
		}
	}
	for _, letter := range letters {
		if letter.kind == rowGone {
			continue
		}
		*counter(letter.destination, letter.kind, letter.state)++
		x.days[letter.row.day()].live++
	}
	if err := x.healMovesLocked(letters, moved); err != nil {
		return err
	}
	err = x.table.build(func(yield func(slot) bool) {
		for _, letter := range letters {
			if letter.kind != rowGone && !yield(letter.slot) {
				return
			}
		}
	}, len(letters))
	x.broken = err != nil
	return err
}

func (x *index) loadDayLocked(day int32, size int64, letters map[uint64]newest, moved moves) error {
	file := x.dayLocked(day)
	end, err := file.scan(size, func(offset int64, found *row) error {
		ofToken, ofLetter := x.table.hashes(found.letter)
		file.all++
		x.serial, x.journal = max(x.serial, found.serial), max(x.journal, found.at.file)
		known, ok := letters[ofLetter]
		if ok && (known.row.day() != day || moved[ofLetter] != nil) {
			if moved[ofLetter] == nil {
				moved.note(ofLetter, known.row.day(),
					&row{serial: known.serial, kind: known.kind, state: known.state,
						letter: found.letter})
			}
			moved.note(ofLetter, day, found)
		}
		if ok && known.serial > found.serial {
			return nil
		}
		letters[ofLetter] = newest{
			slot{ofToken, ofLetter, addressOf(day, offset)}, found.serial, found.kind, found.state,
			x.countLocked(found.letter.Destination),
		}
		return nil
	})
	file.end, file.torn, file.wasTorn, file.dirty = end, end < size, end < size, true
	return err
}

// moves are the letters that have rows in several days, with the newest row in each.
type moves map[uint64]map[int32]row

func (m moves) note(ofLetter uint64, day int32, found *row) {
	if m[ofLetter] == nil {
		m[ofLetter] = map[int32]row{}
	}
	m[ofLetter][day] = *found
}

// healMovesLocked has a day say that a letter has moved away. A crash may have lost that row, and
// not the one of the other day.
func (x *index) healMovesLocked(letters map[uint64]newest, moved moves) error {
	for ofLetter, days := range moved {
		for day, last := range days {
			if last.kind == rowGone || letters[ofLetter].row.day() == day {
				continue
			}
			// It is no newer than the row of the day where the letter is.
			gone := row{serial: last.serial, kind: rowGone, state: last.state, letter: last.letter}
			if _, err := x.days[day].append([]row{gone}); err != nil {
				return err
			}
		}
	}
	return nil
}
