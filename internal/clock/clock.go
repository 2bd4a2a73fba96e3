// Package clock tells the time to a service whose wall clock may be set at any moment, by a person,
// by NTP, or by a machine that begins in 1970 at each boot.
//
// Now is an anchor plus the time that has really passed since. A wall clock that shows something
// else is believed once it has shown it for a minute, and never where it shows a date before this
// program existed; a clock that is right again by then has changed nothing. Elapsed is the time
// that has passed while the service was alive, and between its lives as far as that can be proven,
// whatever the wall clock says: ages are measured by it. What a later life needs for that is kept
// in a small file.
//
// The package promises no more than the clocks of the system give: across a boot it believes a wall
// clock that is ahead by up to a day. It knows nothing of events.
package clock

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"pillarbox/internal/vfs"
)

// Limits of what is believed.
const (
	// Tolerance is a difference that is taken over at once: what NTP slews, a leap second, a slow
	// reading.
	Tolerance = 2 * time.Second
	// Confirmation is how long a wall clock must show another date until it is believed.
	Confirmation = time.Minute
	// MaxUnproven is the longest time between two boots that the wall clock alone may prove.
	MaxUnproven = 24 * time.Hour

	lookInterval = time.Second      // between two looks at the wall clock
	saveInterval = 10 * time.Minute // between two notes for a later life
)

// Floor is a date before this program existed: no wall clock is right that shows less.
var Floor = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Reading is what the clocks of the system show at one moment.
type Reading struct {
	Wall time.Time     // the date
	Mono time.Duration // since some moment of this process, whatever the date does
	Boot time.Duration // since the system was booted, suspended time included; 0 where that is not known
	ID   string        // of the boot; empty where that is not known
}

// Step is a change of the date that is not the passing of time.
type Step struct {
	By    time.Duration // how far the date has moved
	Start bool          // it happened while no process was alive
}

// Options of a Clock. The zero value works.
type Options struct {
	Read   func() Reading       // default: the clocks of the system
	Mono   func() time.Duration // Mono of Read alone, for who asks often; default: the system's, or that of Read
	Floor  time.Time            // no wall clock is right that shows less; default Floor
	Logger *slog.Logger         // default: discard
	Spawn  func(save func())    // runs what writes the note while the clock is asked; default: at once. See Now
	OnStep func(step Step)      // is told of each step that is believed; called without a lock, possibly concurrently
}

// Clock tells the time. All methods may be called concurrently.
type Clock struct {
	fsys vfs.FS // nil for one that keeps nothing
	name string
	opts Options

	current atomic.Pointer[anchor]
	watcher atomic.Pointer[func(Step)]

	writing sync.Mutex // held while the note is written

	mu      sync.Mutex
	doubt   *doubt // a date that is not believed yet
	elapsed time.Duration
	saved   time.Duration // when the note was last written, in Mono
}

// anchor is a moment at which the date was known.
type anchor struct {
	read    Reading       // of that moment; durations are measured from here
	date    time.Time     // what was believed then
	elapsed time.Duration // of that moment
}

// doubt is a wall clock that shows another date.
type doubt struct {
	since  time.Duration // in Mono
	offset time.Duration
}

// note is what a later life finds.
type note struct {
	Date    time.Time     `json:"date"`    // what was believed
	Boot    time.Duration `json:"boot"`    // nanoseconds since the boot, then
	ID      string        `json:"boot_id"` // of the boot
	Elapsed time.Duration `json:"elapsed"` // nanoseconds
}

// Open begins to tell the time. It goes on where the note in the file ends, which is made where it
// is missing. A note that can't be read is logged, and costs what it proves. fsys may be nil: then
// nothing is kept.
func Open(fsys vfs.FS, name string, opts Options) *Clock {
	switch {
	case opts.Read == nil:
		opts.Read, opts.Mono = read, mono
	case opts.Mono == nil:
		opts.Mono = func() time.Duration { return opts.Read().Mono }
	}
	if opts.Floor.IsZero() {
		opts.Floor = Floor
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Spawn == nil {
		opts.Spawn = func(save func()) { save() }
	}
	if opts.OnStep == nil {
		opts.OnStep = func(Step) {}
	}
	c := &Clock{fsys: fsys, name: name, opts: opts}
	c.begin(c.load())
	return c
}

// Watch sets who is told of each step from now on, besides Options.OnStep: what depends on the
// clock is made after it.
func (c *Clock) Watch(watcher func(step Step)) { c.watcher.Store(&watcher) }

// maxNoteBytes bounds what is read of the note, in bytes: it is a few hundred.
const maxNoteBytes = 64 << 10

func (c *Clock) load() *note {
	if c.fsys == nil {
		return nil
	}
	text, err := vfs.ReadFile(c.fsys, c.name, maxNoteBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	last := &note{}
	if err == nil {
		err = json.Unmarshal(text, last)
	}
	if err != nil {
		c.opts.Logger.Warn("the note of the clock can't be read; ages are measured anew where it would have been needed", "file", c.name, "err", err)
		return nil
	}
	return last
}

// begin sets the first anchor of this life.
func (c *Clock) begin(last *note) {
	now := c.opts.Read()
	a := &anchor{read: now, date: now.Wall}
	if last != nil {
		passed, step := since(last, now)
		a.elapsed = last.Elapsed + passed
		if step != 0 {
			c.opts.Logger.Warn("the clock was set, or the machine was off for long, since the service last ran; that makes no event older",
				"last", last.Date, "now", a.date, "counted", passed, "step", step)
			c.opts.OnStep(Step{By: step, Start: true})
		}
		if expected := last.Date.Add(passed); a.date.Before(expected.Add(-Tolerance)) ||
			last.sameBoot(now) && step != 0 {
			a.date = expected // until the wall clock is confirmed
		}
	}
	c.elapsed, c.saved = a.elapsed, now.Mono
	c.current.Store(a)
	c.look(now)
	c.save()
}

func (n *note) sameBoot(now Reading) bool {
	return n.ID != "" && n.ID == now.ID &&
		now.Boot >= n.Boot
}

// since returns how much time has surely passed since the note, and how far the date has moved
// besides.
func since(last *note, now Reading) (passed, step time.Duration) {
	wall := now.Wall.Sub(last.Date)
	passed = min(max(0, wall), MaxUnproven)
	if last.sameBoot(now) {
		passed = now.Boot - last.Boot
	}
	if step = wall - passed; step.Abs() <= Tolerance {
		step = 0
	}
	return passed, step
}

// Now returns the date. It never goes back, except by a step that is believed. It writes the note
// now and then, by Spawn: whoever asks for the time must not wait for a disk that hangs.
func (c *Clock) Now() time.Time {
	a := c.current.Load()
	now := c.opts.Mono()
	if now-a.read.Mono >= lookInterval {
		c.look(c.opts.Read())
		a = c.current.Load()
	}
	return a.date.Add(max(0, now-a.read.Mono))
}

// Elapsed returns the time that has passed in all lives, and between them as far as that is proven.
// It never goes back.
func (c *Clock) Elapsed() time.Duration {
	c.look(c.opts.Read())
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.elapsed
}

// look compares the wall clock with what is believed, and moves the anchor to this moment.
func (c *Clock) look(now Reading) {
	c.mu.Lock()
	a := c.current.Load()
	passed := now.passedSince(a.read)
	if passed < 0 {
		c.mu.Unlock()
		return // an older reading than the anchor's
	}
	next := &anchor{read: now, date: a.date.Add(passed), elapsed: a.elapsed + passed}
	step := c.weigh(now, next)
	next.date = next.date.Add(step)
	c.elapsed = max(c.elapsed, next.elapsed)
	c.current.Store(next)
	save := now.Mono-c.saved >= saveInterval || step.Abs() > Tolerance
	if save {
		c.saved = now.Mono
	}
	c.mu.Unlock()
	if step.Abs() > Tolerance {
		c.opts.Logger.Warn("the clock was set, and is believed from now on; that makes no event older",
			"by", step, "now", next.date)
		c.opts.OnStep(Step{By: step})
		if watcher := c.watcher.Load(); watcher != nil {
			(*watcher)(Step{By: step})
		}
	}
	if save {
		c.opts.Spawn(c.save)
	}
}

// passedSince is the time between two readings, suspended time included where that is known.
func (r Reading) passedSince(before Reading) time.Duration {
	if r.ID != "" && r.ID == before.ID && r.Boot > 0 {
		return r.Boot - before.Boot
	}
	return r.Mono - before.Mono
}

// weigh decides how far the date moves besides the time that has passed.
func (c *Clock) weigh(now Reading, next *anchor) time.Duration {
	offset := now.Wall.Sub(next.date)
	switch {
	case offset.Abs() <= Tolerance:
		c.doubt = nil
		return max(0, offset) // a date that is a little behind is waited for
	case now.Wall.Before(c.opts.Floor) && !next.date.Before(c.opts.Floor):
		c.doubt = nil
		return 0
	case next.date.Before(c.opts.Floor) && !now.Wall.Before(c.opts.Floor):
		c.doubt = nil
		return offset // anything is better than a date that can't be
	case c.doubt == nil || (offset-c.doubt.offset).Abs() > Tolerance:
		c.doubt = &doubt{since: now.Mono, offset: offset}
		return 0
	case now.Mono-c.doubt.since < Confirmation:
		return 0
	}
	c.doubt = nil
	return offset
}

// save writes the note. A failure costs what the note would have proven to a later life.
func (c *Clock) save() {
	if err := c.write(); err != nil {
		c.opts.Logger.Debug("write the note of the clock", "file", c.name, "err", err)
	}
}

func (c *Clock) write() error {
	if c.fsys == nil {
		return nil
	}
	a := c.current.Load()
	text, err := json.Marshal(note{Date: a.date.UTC(), Boot: a.read.Boot, ID: a.read.ID,
		Elapsed: a.elapsed})
	if err != nil {
		return err
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := vfs.WriteFile(c.fsys, c.name, append(text, '\n')); err != nil {
		return fmt.Errorf("write the note of the clock: %w", err)
	}
	return nil
}

// Close writes a last note.
func (c *Clock) Close() error {
	c.look(c.opts.Read())
	return c.write()
}
