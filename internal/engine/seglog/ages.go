package seglog

import (
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"path"
	"slices"
	"sort"
	"time"

	"pillarbox"
	"pillarbox/internal/vfs"
)

const (
	agesName = "ages.json"
	maxMarks = 1024 // of the time at which events were accepted; with more, every second one of the older half goes
	// ageInterval is the least time between two marks, and saveAges that between two writes of them.
	ageInterval = time.Second
	saveAges    = 10 * time.Minute
)

// ages knows when events were accepted, on a time that passes as it does whatever the wall clock says. It keeps few marks:
// an event counts as accepted when the next mark was made, and so as a little younger than it is.
type ages struct {
	elapsed func() time.Duration // nil where nothing measures
	base    time.Duration        // added to elapsed, so that time does not go back where what it counts from was lost
	marks   []ageMark            // in order
	saved   time.Duration
	unsaved bool
}

// agesFile is what later lives find.
type agesFile struct {
	Now   time.Duration `json:"now"` // nanoseconds
	Marks []ageMark     `json:"marks"`
}

// ageMark says that all events below a sequence number were accepted by then.
type ageMark struct {
	Next uint64        `json:"next"`
	At   time.Duration `json:"at"` // nanoseconds
}

func (a *ages) now() time.Duration { return a.base + a.elapsed() }

// waited returns how long an event has waited at least, at a moment.
func (a *ages) waited(seq uint64, now time.Duration) time.Duration {
	at := sort.Search(len(a.marks), func(i int) bool { return a.marks[i].Next > seq })
	if at == len(a.marks) {
		return 0
	}
	return max(0, now-a.marks[at].At)
}

// mark notes that events up to next are there. What is below oldest needs no mark.
func (a *ages) mark(next, oldest uint64) {
	now := a.now()
	if n := len(a.marks); n > 0 && (a.marks[n-1].Next >= next || now-a.marks[n-1].At < ageInterval) {
		return
	}
	done := sort.Search(len(a.marks), func(i int) bool { return a.marks[i].Next > oldest })
	a.marks = append(slices.Delete(a.marks, 0, done), ageMark{Next: next, At: now})
	if len(a.marks) > maxMarks {
		kept := a.marks[:0]
		for i, m := range a.marks {
			if i >= maxMarks/2 || i%2 == 1 {
				kept = append(kept, m)
			}
		}
		a.marks = kept
	}
	a.unsaved = true
}

// loadAges reads the marks of earlier lives. What they lack counts as accepted now.
func (l *Log) loadAges() {
	l.ages.elapsed = l.opts.Elapsed
	if l.opts.Elapsed == nil {
		return
	}
	var last agesFile
	text, err := vfs.ReadFile(l.fsys, path.Join(l.dir, agesName))
	if err == nil {
		err = json.Unmarshal(text, &last)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.opts.Logger.Warn("when events were accepted can't be read; their age is measured from now on", "file", agesName, "err", err)
		last = agesFile{}
	}
	l.ages.marks = last.Marks
	sorted := slices.IsSortedFunc(l.ages.marks, func(x, y ageMark) int { return cmp.Or(cmp.Compare(x.Next, y.Next), cmp.Compare(x.At, y.At)) })
	l.ages.base = max(0, last.Now-l.ages.elapsed())
	if n := len(l.ages.marks); n > 0 && (!sorted || l.ages.marks[n-1].At > last.Now) {
		l.ages.marks = nil
	}
	l.ages.marks = slices.DeleteFunc(l.ages.marks, func(m ageMark) bool { return m.Next > l.nextSeq })
	l.ages.mark(l.nextSeq, 0)
}

// tendAges makes a mark, and writes them down now and then, or at once at the end of a life.
func (l *Log) tendAges(last bool) {
	if l.opts.Elapsed == nil {
		return
	}
	oldest := uint64(1<<64 - 1)
	for _, c := range l.allConsumers() {
		oldest = min(oldest, c.needs.Load())
		c.mu.Lock()
		for seq := range c.state.retry {
			oldest = min(oldest, seq)
		}
		c.mu.Unlock()
	}
	_, next := l.heldSequence()
	l.aging.Lock()
	l.ages.mark(next, min(oldest, next))
	now := l.ages.now()
	due := (l.ages.unsaved || len(l.ages.marks) > 0) && (last || now-l.ages.saved >= saveAges)
	text, err := json.Marshal(agesFile{Now: now, Marks: l.ages.marks})
	if due {
		l.ages.saved, l.ages.unsaved = now, false
	}
	l.aging.Unlock()
	if !due {
		return
	}
	if err == nil {
		err = vfs.WriteFile(l.fsys, path.Join(l.dir, agesName), append(text, '\n'))
	}
	if err != nil {
		l.opts.Logger.Debug("write down when events were accepted", "file", agesName, "err", err)
	}
}

// measure fills in how long events have waited, if that is measured.
func (l *Log) measure(deliveries []pillarbox.Delivery) {
	if l.opts.Elapsed == nil || len(deliveries) == 0 {
		return
	}
	l.aging.Lock()
	defer l.aging.Unlock()
	now := l.ages.now()
	for i := range deliveries {
		deliveries[i].Measured, deliveries[i].Waited = true, l.ages.waited(deliveries[i].Handle.Seq, now)
	}
}
