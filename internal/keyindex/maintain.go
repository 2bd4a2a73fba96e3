package keyindex

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"pillarbox/internal/telemetry"
	"pillarbox/internal/vfs"
)

const (
	// fanIn is how many neighbouring runs of one size become one.
	fanIn = 8
	// tryAgain is how long a failed write is let alone.
	tryAgain = time.Second
)

// Run writes what is due, until done is closed.
func (x *Index) Run(done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-x.kick:
		}
		if x.Maintain() == nil {
			continue
		}
		select {
		case <-done:
			return
		case <-time.After(tryAgain):
			x.wake()
		}
	}
}

// dueLocked reports whether a table is to be written.
func (x *Index) dueLocked() bool {
	return x.frozen != nil || x.active.len() >= x.limits.table ||
		x.wanted > x.coveredLocked()
}

// Want asks for everything before a sequence number to be in files soon, so that a start need not
// read it.
func (x *Index) Want(seq uint64) {
	x.mu.Lock()
	x.wanted = max(x.wanted, min(seq, x.next))
	due := x.dueLocked()
	x.mu.Unlock()
	if due {
		x.wake()
	}
}

// Cover returns when every key of the events before a sequence number is in a file, durably.
func (x *Index) Cover(seq uint64) error {
	x.mu.Lock()
	covered := x.coveredLocked() >= seq
	x.wanted = max(x.wanted, min(seq, x.next))
	x.mu.Unlock()
	if covered {
		return nil
	}
	return x.Maintain()
}

// Maintain does one round of what is due: a table is written, old runs are removed, and neighbours
// merged.
func (x *Index) Maintain() error {
	x.writing.Lock()
	defer x.writing.Unlock()
	err := x.flush()
	if err == nil {
		err = errors.Join(x.dropOld(), x.merge())
	}
	x.mu.Lock()
	first := err != nil && x.problem == nil
	x.problem = err
	x.mu.Unlock()
	if first {
		x.log.Error("idempotency keys can't be written; they stay in memory meanwhile",
			telemetry.KeyErr, err)
	}
	return err
}

// flush writes the tables that are due.
func (x *Index) flush() error {
	for range 2 { // the frozen one of a try that has failed, and the active one
		x.mu.Lock()
		if !x.dueLocked() {
			x.mu.Unlock()
			return nil
		}
		if x.frozen == nil {
			x.frozen, x.frozeAt = x.active, x.next
			x.active = newTable(x.next)
		}
		frozen, to, count, now := x.frozen, x.frozeAt, x.count, x.now()
		limits := x.limits
		x.mu.Unlock()
		// Without the lock, because requests wait for it: nobody changes a frozen table.
		entries := frozen.sorted(func(e *entry) bool { return limits.live(e, count, now) })
		r, err := x.writeRun(header{log: x.logID, from: frozen.from, to: to, first: firstOrdinal(entries, count), end: count}, entries)
		if err != nil {
			return err
		}
		x.mu.Lock()
		x.runs = append(x.runs[:len(x.runs):len(x.runs)], r)
		x.frozen = nil
		x.mu.Unlock()
	}
	return nil
}

func firstOrdinal(entries []entry, count uint64) uint64 {
	for i := range entries {
		count = min(count, entries[i].ordinal)
	}
	return count
}

func (x *Index) writeRun(about header, entries []entry) (*run, error) {
	w, err := newWriter(x.fsys, x.dir, x.nextID, about, len(entries), x.atRest)
	if err != nil {
		return nil, fmt.Errorf("make a file for idempotency keys: %w", err)
	}
	x.nextID++
	for i := range entries {
		if err := w.add(&entries[i]); err != nil {
			return nil, errors.Join(err, w.abort())
		}
	}
	return w.finish()
}

// dropOld removes the oldest runs whose keys are all forgotten. The newest one stays: it says how
// far the index has come.
func (x *Index) dropOld() error {
	x.mu.Lock()
	now := x.now()
	old := 0
	for old < len(x.runs)-1 {
		r := x.runs[old]
		if r.end-min(r.end, 1)+x.limits.maxKeys >= x.count && now-min(now, r.newest) <= x.limits.window {
			break
		}
		old++
	}
	dropped := x.runs[:old]
	x.runs = x.runs[old:]
	x.mu.Unlock()
	return x.remove(dropped)
}

func (x *Index) remove(runs []*run) error {
	if len(runs) == 0 {
		return nil
	}
	x.reading.Lock()
	defer x.reading.Unlock()
	var errs []error
	for _, r := range runs {
		errs = append(errs, r.file.Close(), x.fsys.Remove(r.name))
	}
	return errors.Join(errs...)
}

// merge makes one run of neighbours of like size, as long as there are enough of them.
func (x *Index) merge() error {
	for {
		x.mu.Lock()
		first, n := x.neighboursLocked()
		runs := x.runs[first : first+n]
		x.mu.Unlock()
		if n == 0 {
			return nil
		}
		merged, err := x.mergeRuns(runs)
		if vfs.IsUnreadable(err) {
			continue // the run that can't be read is a neighbour of none any more
		}
		if err != nil {
			return err
		}
		x.mu.Lock()
		rest := x.runs[first+n:]
		x.runs = append(append(x.runs[:first:first], merged), rest...)
		x.mu.Unlock()
		if err := x.remove(runs); err != nil {
			return err
		}
	}
}

// neighboursLocked finds runs to merge: fanIn in a row that are of one class or of smaller ones. A
// run of more than an eighth of all keys is merged no more, because it can only go as a whole.
func (x *Index) neighboursLocked() (first, n int) {
	small, large := uint64(x.limits.table), max(uint64(fanIn*x.limits.table), x.limits.maxKeys/8)
	for class := small; class < large; class *= fanIn {
		first, n = 0, 0
		for i, r := range x.runs {
			if r.keys > class || r.unreadable.Load() {
				first, n = i+1, 0
				continue
			}
			if n++; n == fanIn {
				return first, n
			}
		}
	}
	return 0, 0
}

// mergeRuns writes one run with the keys of several, without those that are forgotten.
func (x *Index) mergeRuns(runs []*run) (*run, error) {
	about := header{log: x.logID, from: runs[0].from, to: runs[len(runs)-1].to, first: runs[0].first,
		end: runs[len(runs)-1].end}
	most := 0
	cursors := make([]*cursor, len(runs))
	for i, r := range runs {
		most += int(r.keys)
		about.first = min(about.first, r.first)
		cursors[i] = &cursor{run: r, damaged: x.noteDamage}
		if err := cursors[i].advance(); err != nil {
			return nil, err
		}
	}
	w, err := newWriter(x.fsys, x.dir, x.nextID, about, most, x.atRest)
	if err != nil {
		return nil, fmt.Errorf("make a file for idempotency keys: %w", err)
	}
	x.nextID++
	if err := x.copyTo(w, cursors); err != nil {
		return nil, errors.Join(err, w.abort())
	}
	return w.finish()
}

func (x *Index) copyTo(w *writer, cursors []*cursor) error {
	now := x.now()
	for {
		least := leastOf(cursors)
		if least == nil {
			return nil
		}
		e := least.entry
		for _, c := range cursors { // the newest of those with this key; the others are forgotten
			if !c.ended && c.entry.key == e.key && c.entry.ordinal > e.ordinal {
				e = c.entry
			}
		}
		for _, c := range cursors {
			if !c.ended && c.entry.key == e.key {
				if err := c.advance(); err != nil {
					return err
				}
			}
		}
		x.mu.Lock()
		keep := x.liveLocked(&e, now)
		x.mu.Unlock()
		if !keep {
			continue
		}
		if err := w.add(&e); err != nil {
			return err
		}
	}
}

func leastOf(cursors []*cursor) (least *cursor) {
	for _, c := range cursors {
		if !c.ended && (least == nil || bytes.Compare(c.entry.key[:], least.entry.key[:]) < 0) {
			least = c
		}
	}
	return least
}

// cursor walks through the entries of a run.
type cursor struct {
	run     *run
	damaged func(error)
	ended   bool
	entry   entry
	ahead   []byte // pages that were read
	next    int    // the page behind them
	entries []byte // of the page at hand that are left
}

// advance goes to the next entry. A page that is damaged is passed over, and told. One that the disk
// can't read may be there another time: its run is left as it is.
func (c *cursor) advance() error {
	for len(c.entries) == 0 {
		if len(c.ahead) == 0 {
			n := min(int(c.run.pages)-c.next, writeAhead/pageBytes)
			if n == 0 {
				c.ended = true
				return nil
			}
			c.ahead = make([]byte, n*pageBytes)
			if err := readFull(c.run.file, c.ahead, pageBytes*(1+int64(c.next))); err != nil {
				c.run.unreadable.Store(true)
				return fmt.Errorf("read %s: %w", c.run.name, err)
			}
			c.next += n
		}
		page := c.ahead[:pageBytes]
		c.ahead = c.ahead[pageBytes:]
		var err error
		if c.entries, err = c.run.checkPage(c.next-1-len(c.ahead)/pageBytes, page); err != nil {
			c.damaged(err)
		}
	}
	c.entry = c.run.decodeEntry(c.entries)
	c.entries = c.entries[entryBytes:]
	return nil
}
