package seglog

import (
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"path"
	"slices"
	"sort"
	"sync"
	"time"

	"pillarbox"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/vfs"
)

const (
	agesName     = "ages.json"
	maxAgesBytes = 1 << 20 // of their file: each mark is less than 100 bytes
	maxMarks     = 1024    // of the time at which events were accepted; with more, every second one of the older half goes
	// ageInterval is the least time between two marks, and saveAges that between two writes of
	// them.
	ageInterval = time.Second
	saveAges    = 10 * time.Minute
)

// ages knows when events were accepted, on a time that passes as it does whatever the wall clock
// says. It keeps few marks: an event counts as accepted when the next mark was made, and so as a
// little younger than it is.
//
// Locks: mu guards all of it, for a lease measures its deliveries with the lock of its destination
// held.
type ages struct {
	core     *core
	segments *segmentSet

	mu sync.Mutex

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
	if n := len(a.marks); n > 0 &&
		(a.marks[n-1].Next >= next || now-a.marks[n-1].At < ageInterval) {
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

// load reads the marks of earlier lives. What they lack counts as accepted now.
func (a *ages) load() {
	a.elapsed = a.core.opts.Elapsed
	if a.core.opts.Elapsed == nil {
		return
	}
	var last agesFile
	text, err := vfs.ReadFile(a.core.fsys, path.Join(a.core.dir, agesName), maxAgesBytes)
	if err == nil {
		err = json.Unmarshal(text, &last)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.core.opts.Logger.Warn(
			"when events were accepted can't be read; their age is measured from now on",
			telemetry.KeyFile, agesName, telemetry.KeyErr, err,
		)
		last = agesFile{}
	}
	a.marks = last.Marks
	sorted := slices.IsSortedFunc(a.marks,
		func(x, y ageMark) int { return cmp.Or(cmp.Compare(x.Next, y.Next), cmp.Compare(x.At, y.At)) })
	a.base = max(0, last.Now-a.elapsed())
	if n := len(a.marks); n > 0 && (!sorted || a.marks[n-1].At > last.Now) {
		a.marks = nil
	}
	a.marks = slices.DeleteFunc(a.marks,
		func(m ageMark) bool { return m.Next > a.segments.nextSeq })
	a.mark(a.segments.nextSeq, 0)
}

// maintain makes a mark, and writes them down now and then, or at once at the end of a life.
func (a *ages) maintain(last bool, oldestUnsettled func() uint64) {
	if a.core.opts.Elapsed == nil {
		return
	}
	oldest := oldestUnsettled()
	_, next := a.segments.bounds()
	a.mu.Lock()
	a.mark(next, min(oldest, next))
	now := a.now()
	due := (a.unsaved || len(a.marks) > 0) && (last || now-a.saved >= saveAges)
	text, err := json.Marshal(agesFile{Now: now, Marks: a.marks})
	if due {
		a.saved, a.unsaved = now, false
	}
	a.mu.Unlock()
	if !due {
		return
	}
	if err == nil {
		err = vfs.WriteFile(a.core.fsys, path.Join(a.core.dir, agesName), append(text, '\n'))
	}
	if err != nil {
		a.core.opts.Logger.Debug("write down when events were accepted",
			telemetry.KeyFile, agesName, telemetry.KeyErr, err)
	}
}

// measure fills in how long events have waited, if that is measured.
func (a *ages) measure(deliveries []pillarbox.Delivery) {
	if a.core.opts.Elapsed == nil || len(deliveries) == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	for i := range deliveries {
		deliveries[i].Measured, deliveries[i].Waited = true, a.waited(deliveries[i].Handle.Seq, now)
	}
}
