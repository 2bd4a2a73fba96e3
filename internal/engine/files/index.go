package files

import (
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"path"
	"slices"
	"sync"

	"pillarbox"
	"pillarbox/internal/atrest"
	"pillarbox/internal/vfs"
)

// index knows which letters there are, where, and what a filter asks of them, so that nothing has
// to be searched or opened to be counted or chosen. It is kept as rows in a file for each day of
// death, and can be made again from the letters. All methods may be called concurrently.
type index struct {
	fsys vfs.FS
	keys *atrest.Keys
	dir  string

	mu     sync.Mutex // guards what follows
	days   map[int32]*rows
	table  table
	serial uint64 // of the newest row
	// journal is the newest one that a row comes from.
	journal uint64
	counts  map[string]*pillarbox.DeadLetterCount
	broken  bool // a change was cut off: what is in memory is made anew from the rows by the next call
}

// located is a row and where it is.
type located struct {
	row
	day    int32
	offset int64
}

func (l *located) place() place { return place{Day: l.day, State: l.state} }

// maxOpenDays bounds the files that are open between calls.
const maxOpenDays = 16

// openIndex reads the rows of all days.
func openIndex(fsys vfs.FS, dir string, keys *atrest.Keys) (*index, error) {
	x := &index{fsys: fsys, keys: keys, dir: dir, table: table{fsys: fsys, name: path.Join(dir, "table"),
		seed: maphash.MakeSeed()}}
	if err := x.loadLocked(); err != nil {
		return nil, errors.Join(err, x.close())
	}
	wasteful := false
	for _, day := range x.days {
		if day.all > 2*day.live+maxWaste {
			wasteful = true
			if err := x.compact(day); err != nil {
				return nil, errors.Join(err, x.close())
			}
		}
	}
	if wasteful {
		return x, x.loadLocked()
	}
	return x, nil
}

func (x *index) close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	errs := []error{x.table.close()}
	for _, day := range x.days {
		errs = append(errs, day.close())
	}
	return errors.Join(errs...)
}

// maxWaste is how many rows of a day may be out of date, whatever the number of letters.
const maxWaste = 10_000

func (x *index) compact(day *rows) error {
	kept := map[int64]bool{}
	number := int32(0)
	for n, file := range x.days {
		if file == day {
			number = n
		}
	}
	_, err := day.scan(day.end, func(offset int64, found *row) error {
		if at, known, err := x.lookupLocked(found.letter); err != nil || known &&
			at.day == number && at.offset == offset {
			kept[offset] = true
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	return day.rewrite(x.dir, func(offset int64) bool { return kept[offset] })
}

// lookup returns what is known of a letter.
func (x *index) lookup(letter id) (found located, known bool, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.healLocked(); err != nil {
		return found, false, err
	}
	return x.lookupLocked(letter)
}

// find returns the letters with the token, missing ones too; an empty destination is any.
func (x *index) find(wanted token, destination string) (found []located, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.healLocked(); err != nil {
		return nil, err
	}
	ofToken, _ := x.table.hashes(id{Token: wanted})
	slots, err := x.table.find(ofToken)
	if err != nil {
		return nil, err
	}
	for _, one := range slots {
		letter, err := x.readLocked(one.row)
		if err != nil {
			return nil, err
		}
		if letter.letter.Token == wanted &&
			(destination == "" || letter.letter.Destination == destination) {
			found = append(found, letter)
		}
	}
	return found, nil
}

// apply changes letters, all at once as far as count and lookup see it. A letter stands in one
// change only. After an error the letters may be as before or as they should be; the same call may
// be made again.
func (x *index) apply(changes []change) (err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.healLocked(); err != nil {
		return err
	}
	defer func() { x.broken = x.broken || err != nil }()
	added, befores := map[int32][]row{}, make([]*located, len(changes))
	applied := make([]bool, len(changes))
	for i := range changes {
		one := &changes[i]
		before, known, err := x.lookupLocked(one.row.letter)
		if err != nil {
			return err
		}
		if applied[i] = one.mayFollow(before.serial, known); !applied[i] {
			continue
		}
		if known {
			befores[i] = &before
		}
		// the new row is the newer one, in whatever order the days are read
		if known && before.day != one.day {
			x.serial++
			added[before.day] = append(added[before.day],
				row{serial: x.serial, kind: rowGone, state: before.state, letter: one.row.letter})
		}
		x.serial++
		one.row.serial = x.serial
		added[one.day] = append(added[one.day], one.row)
	}
	offsets := map[int32][]int64{}
	for _, day := range slices.Sorted(maps.Keys(added)) {
		if offsets[day], err = x.dayLocked(day).append(added[day]); err != nil {
			return err
		}
	}
	return x.noteLocked(changes, applied, befores, added, offsets)
}

// healLocked makes good what a call that was cut off has left.
func (x *index) healLocked() error {
	if !x.broken {
		return nil
	}
	return x.loadLocked()
}

func (x *index) lookupLocked(letter id) (found located, known bool, err error) {
	ofToken, ofLetter := x.table.hashes(letter)
	slots, err := x.table.find(ofToken)
	if err != nil {
		return found, false, err
	}
	for _, one := range slots {
		if one.letter != ofLetter {
			continue
		}
		found, err = x.readLocked(one.row)
		if err != nil || found.letter == letter {
			return found, err == nil, err
		}
	}
	return found, false, nil
}

// change is what becomes of one letter.
type change struct {
	day int32
	row row
	// only, where it is set, is the serial of the row that the letter must have: else nothing is
	// changed.
	only uint64
	// fresh says that the letter must not be known: else nothing is changed.
	fresh bool
}

func (c *change) mayFollow(serial uint64, known bool) bool {
	if known {
		return !c.fresh && (c.only == 0 || c.only == serial)
	}
	return c.only == 0
}

// noteLocked brings table and counts up to date with rows that are written.
func (x *index) noteLocked(changes []change, applied []bool, befores []*located,
	added map[int32][]row, offsets map[int32][]int64) error {
	written := map[id]int64{}
	for day, some := range added {
		for i := range some {
			if some[i].kind != rowGone {
				written[some[i].letter] = offsets[day][i]
			}
		}
	}
	for i, one := range changes {
		if !applied[i] {
			continue
		}
		ofToken, ofLetter := x.table.hashes(one.row.letter)
		if err := x.table.set(slot{ofToken, ofLetter,
			addressOf(one.day, written[one.row.letter])}); err != nil {
			return err
		}
	}
	for i, one := range changes {
		if !applied[i] {
			continue
		}
		count := x.countLocked(one.row.letter.Destination)
		if before := befores[i]; before != nil {
			*counter(count, before.kind, before.state)--
			x.days[before.day].live--
		}
		*counter(count, one.row.kind, one.row.state)++
		x.days[one.day].live++
	}
	return nil
}

// count returns the counts of a destination, as of one moment.
func (x *index) count(destination string) pillarbox.DeadLetterCount {
	x.mu.Lock()
	defer x.mu.Unlock()
	if known := x.counts[destination]; known != nil {
		return *known
	}
	return pillarbox.DeadLetterCount{}
}

// listDays returns the days that have rows, in their order.
func (x *index) listDays() []int32 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Sorted(maps.Keys(x.days))
}

// scan calls visit with every row of a day as of now, oldest first. No lock is held meanwhile.
func (x *index) scan(day int32, visit func(offset int64, found *row) error) (err error) {
	x.mu.Lock()
	known := x.days[day]
	if known == nil {
		x.mu.Unlock()
		return nil
	}
	end := known.end
	x.mu.Unlock()
	own := rows{fsys: x.fsys, keys: x.keys, name: known.name} // the other one may be closed meanwhile
	if end == 0 {
		return nil
	}
	defer func() { err = errors.Join(err, own.close()) }()
	stopped, err := own.scan(end, visit)
	if err == nil && stopped < end {
		x.mu.Lock()
		x.broken = true // what is behind is cut off, and found again as files
		x.mu.Unlock()
		err = &pillarbox.CorruptError{File: known.name, Offset: stopped, Reason: "the row is damaged"}
	}
	return err
}

// sync makes all rows durable. Nobody waits for it who counts or looks up.
func (x *index) sync() error {
	x.mu.Lock()
	ends, made := map[int32]int64{}, true
	for number, day := range x.days {
		if day.dirty {
			ends[number], made = day.end, made && day.made
		}
	}
	x.mu.Unlock()
	for _, number := range slices.Sorted(maps.Keys(ends)) {
		if err := vfs.SyncFile(x.fsys, rowsName(x.dir, place{Day: number})); err != nil {
			return fmt.Errorf("sync the index: %w", err)
		}
	}
	if !made {
		if err := x.fsys.SyncDir(x.dir); err != nil {
			return fmt.Errorf("sync the index: %w", err)
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for number, end := range ends {
		if day := x.days[number]; day != nil {
			day.made, day.dirty = true, day.end != end
		}
	}
	return nil
}

// torn returns the days whose rows were not whole to the end.
func (x *index) torn() (days []int32) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for number, day := range x.days {
		if day.wasTorn {
			days = append(days, number)
		}
	}
	slices.Sort(days)
	return days
}

// at reads a row.
func (x *index) at(day int32, offset int64) (located, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.readLocked(addressOf(day, offset))
}

func (x *index) readLocked(at address) (located, error) {
	found, err := x.dayLocked(at.day()).read(at.offset())
	return located{found, at.day(), at.offset()}, err
}

// reader returns a reader of the rows of a day, as they are now.
func (x *index) reader(day int32) *rowReader {
	x.mu.Lock()
	defer x.mu.Unlock()
	own := rows{fsys: x.fsys, keys: x.keys, name: rowsName(x.dir, place{Day: day}), end: x.dayLocked(day).end}
	return &rowReader{rows: own}
}
