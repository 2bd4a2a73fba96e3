package files

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"

	"pillarbox"
	"pillarbox/internal/atrest"
	"pillarbox/internal/deadletterfile"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/vfs"
)

// maxSmallFile bounds what is read of the small files beside the rows, in bytes.
const maxSmallFile = 64 << 10

// completeName is a file that says that the index is of all letters.
const completeName = "complete"

// recover opens index and journals, and finds out what an earlier life has promised and not filed.
func (l *Letters) recover() error {
	if err := l.refuseNewer(); err != nil {
		return err
	}
	for _, dir := range []string{l.dir, l.path(journalDir), l.path(indexDir)} {
		if err := vfs.MkdirAll(l.fsys, dir); err != nil {
			return err
		}
		// An earlier life may have died between changing a name and making that durable.
		if err := l.fsys.SyncDir(dir); err != nil {
			return err
		}
	}
	if err := l.openIndex(); err != nil {
		return err
	}
	journals, number, foreign, err := findJournals(l.fsys, l.path(journalDir))
	if err != nil {
		return err
	}
	if foreign != nil {
		l.log.Error("what has the name of a journal of dead letters is none; letters may be missing",
			telemetry.KeyErr, foreign)
	}
	l.mark.name = l.path(indexDir, "filed")
	marked, err := l.mark.read(l.fsys)
	if err != nil {
		return err
	}
	number = max(number, marked.file, l.index.journal)
	l.journal = journal{fsys: l.fsys, dir: l.path(journalDir), magic: l.magic(), number: number}
	if err := l.believe(journals, marked); err != nil {
		return err
	}
	for _, torn := range l.index.torn() { // rows that no journal has are found again as files
		if err := l.check(torn, true); errors.Is(err, pillarbox.ErrCorrupt) {
			l.log.Error("dead letters can't be held against their index", telemetry.KeyErr, err)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// openIndex opens the index, and makes it from the files where there is none that is complete.
func (l *Letters) openIndex() (err error) {
	version, missing := vfs.ReadFile(l.fsys, l.path(indexDir, completeName), maxSmallFile)
	if missing != nil && !notExist(missing) && !vfs.IsForeign(missing) {
		return missing
	}
	l.sealed = l.atRest.Seals() || missing == nil && versionOf(version) == sealedIndexVersion
	if missing == nil && l.sealed && versionOf(version) != sealedIndexVersion {
		// An older program is to refuse it before anything in it is sealed.
		if err := l.writeComplete(); err != nil {
			return err
		}
	}
	if missing == nil {
		if l.index, err = openIndex(l.fsys, l.path(indexDir), l.atRest); !vfs.IsForeign(err) {
			return err
		}
		l.log.Error("the index of the dead letters is made anew, because a file of it is not one",
			telemetry.KeyErr, err)
	}
	if err := l.removeRows(); err != nil {
		return err
	}
	if l.index, err = openIndex(l.fsys, l.path(indexDir), l.atRest); err != nil {
		return err
	}
	rebuild := rebuild{Letters: l, found: map[id][]place{}}
	if err := rebuild.run(); err != nil {
		return err
	}
	if err := l.index.sync(); err != nil {
		return err
	}
	return l.writeComplete()
}

// writeComplete says that the index is of all letters, and of which version it is.
func (l *Letters) writeComplete() error {
	version := indexVersion
	if l.sealed {
		version = sealedIndexVersion
	}
	return vfs.WriteFile(l.fsys, l.path(indexDir, completeName), []byte(strconv.Itoa(version)+"\n"))
}

// magic is what a journal begins with.
func (l *Letters) magic() string {
	if l.sealed {
		return sealedMagic
	}
	return journalMagic
}

// removeRows removes the index. It is not complete any more before anything is missing of it.
func (l *Letters) removeRows() error {
	entries, err := l.fsys.ReadDir(l.path(indexDir))
	if err != nil {
		return err
	}
	if slices.ContainsFunc(entries, func(e vfs.Entry) bool { return e.Name == completeName }) {
		if err := l.fsys.Remove(l.path(indexDir, completeName)); err != nil {
			return err
		}
		if err := l.fsys.SyncDir(l.path(indexDir)); err != nil {
			return err
		}
	}
	for _, entry := range entries {
		if path.Ext(entry.Name) == rowsSuffix {
			if err := l.fsys.Remove(l.path(indexDir, entry.Name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// rebuild makes the index from the letters. It reads all of them.
type rebuild struct {
	*Letters
	found map[id][]place // letters of which there is more than one file, and all of those
	rows  []change
}

func (r *rebuild) run() error {
	days, err := r.listDays()
	if err != nil {
		return err
	}
	for _, day := range days {
		if err := r.day(day); err != nil {
			return err
		}
	}
	if err := r.flush(); err != nil {
		return err
	}
	for letter, places := range r.found {
		if err := r.choose(letter, places); err != nil {
			return err
		}
	}
	return nil
}

// day adds the letters of one day. The directory is synced before it is read: if a change of a name
// were lost after all, a file could come back and win over one that was put since.
func (r *rebuild) day(day place) error {
	dir := r.path(day.DayName())
	if err := r.fsys.SyncDir(dir); err != nil {
		return err
	}
	entries, err := r.fsys.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !ours(entry.Name) {
			continue
		}
		if vfs.IsTemp(entry.Name) {
			if err := removeUnfinished(r.fsys, path.Join(dir, entry.Name)); err != nil {
				return err
			}
			continue
		}
		letter, in, _ := deadletterfile.ParseFileName(entry.Name)
		if err := r.add(letter, place{Day: day.Day, State: in}); err != nil {
			return err
		}
	}
	return nil
}

func (r *rebuild) add(letter id, here place) error {
	if len(r.rows) >= groupLetters {
		if err := r.flush(); err != nil {
			return err
		}
	}
	known, twice := r.find(letter)
	if twice {
		if len(r.found[letter]) == 0 {
			r.found[letter] = []place{known}
		}
		r.found[letter] = append(r.found[letter], here)
		return nil
	}
	row, err := r.rowAt(letter, here)
	if err != nil {
		return err
	}
	r.rows = append(r.rows, change{day: here.Day, row: row})
	return nil
}

func (r *rebuild) flush() error {
	err := r.index.apply(r.rows)
	r.rows = nil
	return err
}

// find returns where a letter was met before.
func (r *rebuild) find(letter id) (place, bool) {
	for _, added := range r.rows {
		if added.row.letter == letter {
			return place{Day: added.day, State: added.row.state}, true
		}
	}
	at, known, err := r.index.lookup(letter)
	return at.place(), known && err == nil
}

// choose keeps one of several files of a letter. They differ because a call of an earlier version
// was cut off before it removed the older one, and had not returned: resolved wins over open, and
// the later day over the earlier. Nothing is removed unless the one that is kept can be read.
func (r *rebuild) choose(letter id, places []place) error {
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(-cmp.Compare(min(a.State, replayed), min(b.State, replayed)),
			-cmp.Compare(a.Day, b.Day))
	})
	all := make([]row, len(places))
	for i, at := range places {
		var err error
		if all[i], err = r.rowAt(letter, at); err != nil {
			return err
		}
	}
	kept := max(0, slices.IndexFunc(all, func(found row) bool { return !found.blind }))
	if err := r.index.apply([]change{{day: places[kept].Day, row: all[kept]}}); err != nil {
		return err
	}
	for i, at := range places {
		if i == kept {
			continue
		}
		if all[i].blind || all[kept].blind {
			// to be looked at by a person, until the letter is written again
			r.suspects[letter] = append(r.suspects[letter], at)
			continue
		}
		r.log.Info("leftover of a dead letter removed", telemetry.KeyFile,
			deadletterfile.Name(letter, at), telemetry.KeyKept,
			deadletterfile.Name(letter, places[kept]))
		if err := r.remove(letter, at); err != nil {
			return fmt.Errorf("remove leftover of a dead letter: %w", err)
		}
	}
	return nil
}

// believe takes over what the journals of earlier lives hold. Where letters have no files yet, they
// are copied to a journal of this life: what is read may be in no place that survives a power cut,
// if a sync has failed in the life that wrote it, and to sync it again proves nothing. The copy
// takes effect with its name. For letters that have their files, the index may have lost the rows.
func (l *Letters) believe(journals []found, marked position) error {
	c := copying{Letters: l, marked: marked}
	for _, j := range journals {
		if err := c.read(j); err != nil {
			return err
		}
	}
	if err := errors.Join(c.flush(), c.finish()); err != nil {
		return err
	}
	l.filed = position{l.journal.number + 1, 0}
	if c.file != nil {
		l.journals = []found{{number: l.journal.number, end: c.end}}
		l.filed = position{l.journal.number, journalHeader}
		l.journal.last, l.journal.end = l.journal.number, c.end
	}
	for _, j := range journals {
		if err := l.removeJournal(j.number); err != nil {
			return err
		}
	}
	return nil
}

// maxDamagedJournal bounds the copy of a journal that is damaged, in bytes: a journal and the group
// that makes it full are smaller, as long as nobody else writes to it.
const maxDamagedJournal = 1 << 30

// copying makes the journal that a life begins with.
type copying struct {
	*Letters
	marked  position
	group   group
	unfiled []bool // of the entries in the group
	bytes   int

	file vfs.File // nil where there was nothing to copy
	end  int64
}

func (c *copying) read(j found) error {
	dir := c.path(journalDir)
	end, err := readFrames(c.fsys, dir, position{j.number, journalHeader}, j.end,
		func(at position, length int64, e entry) (bool, error) {
			if _, again := c.group.places[e.letter]; again || len(c.group.entries) >= groupLetters ||
				c.bytes >= groupBytes {
				if err := c.flush(); err != nil {
					return false, err
				}
			}
			return true, c.add(at, length, e)
		})
	if err != nil || j.end < 0 || end == j.end {
		return err
	}
	name := journalName(dir, j.number)
	c.log.Error("a journal of dead letters is damaged, and a copy is kept; letters of it may be missing", telemetry.KeyFile, name, telemetry.KeyOffset, end)
	content, err := vfs.ReadFile(c.fsys, name, maxDamagedJournal)
	if err != nil {
		return err
	}
	return vfs.WriteFile(c.fsys, name+".damaged", content)
}

// flush writes the letters of the group that have no files to the copy, and has the index know the
// others. The index must not know what is in no journal yet.
func (c *copying) flush() error {
	var buffer []byte
	var changes []change
	for i := range c.group.entries {
		if !c.unfiled[i] {
			changes = append(changes, change{day: c.group.entries[i].to.Day, row: c.group.rows[i]})
			continue
		}
		if err := c.open(); err != nil {
			return err
		}
		buffer = c.group.entries[i].encode(buffer, c.end+int64(len(buffer)))
	}
	if len(buffer) > 0 {
		if _, err := c.file.WriteAt(buffer, c.end); err != nil {
			return err
		}
		c.end += int64(len(buffer))
	}
	c.clear()
	return c.index.apply(changes)
}

func (c *copying) open() (err error) {
	if c.file != nil {
		return nil
	}
	c.journal.number++
	if c.file, err = vfs.Create(c.fsys, c.tempName()); err != nil {
		return err
	}
	c.end = journalHeader
	_, err = c.file.WriteAt(journalHead(c.magic(), c.journal.number, 0, 0), 0)
	return err
}

// finish has the copy count instead of the journals before.
func (c *copying) finish() error {
	if c.file == nil {
		return c.index.sync()
	}
	if err := errors.Join(c.file.Sync(), c.file.Close()); err != nil {
		return err
	}
	if err := c.index.sync(); err != nil {
		return err
	}
	if err := c.fsys.Rename(c.tempName(),
		journalName(c.path(journalDir), c.journal.number)); err != nil {
		return err
	}
	if err := c.fsys.SyncDir(c.path(journalDir)); err != nil {
		return err
	}
	return c.adopt()
}

func (c *copying) tempName() string {
	return journalName(c.path(journalDir), c.journal.number) + vfs.TempSuffix
}

// adopt has the index know the letters of the copy.
func (c *copying) adopt() error {
	apply := func() error {
		var changes []change
		for i := range c.group.entries {
			changes = append(changes, change{day: c.group.entries[i].to.Day, row: c.group.rows[i]})
		}
		c.clear()
		return c.index.apply(changes)
	}
	_, err := readFrames(c.fsys, c.path(journalDir), position{c.journal.number, journalHeader},
		c.end, func(at position, length int64, e entry) (bool, error) {
			if len(c.group.entries) >= groupLetters {
				if err := apply(); err != nil {
					return false, err
				}
			}
			return true, c.add(at, length, e)
		})
	return errors.Join(err, apply())
}

func (c *copying) clear() { c.group, c.unfiled, c.bytes = group{}, nil, 0 }

func (c *copying) add(at position, length int64, e entry) error {
	before, known, err := c.index.lookup(e.letter)
	unfiled := !at.before(c.marked)
	if err != nil || !unfiled && known && !before.at.before(at) {
		return err
	}
	found := row{kind: rowLive, state: e.to.State, letter: e.letter, size: int64(len(e.content))}
	letter, err := c.decode(e.content, &located{row: found}, journalName(c.path(journalDir), at.file))
	var absent *atrest.NoKeyError
	switch {
	case errors.As(err, &absent):
		found.blind = true // its file follows all the same, as sealed as it is
	case err != nil:
		return fmt.Errorf("journal %d of dead letters at offset %d: %w", at.file, at.offset, err)
	default:
		found = rowOf(letter, e.letter, e.to.State, found.size)
	}
	found.at, found.length = at, length
	c.bytes += len(e.content)
	e.content = slices.Clone(e.content)
	c.group.add(e, found)
	c.unfiled = append(c.unfiled, unfiled)
	return nil
}
