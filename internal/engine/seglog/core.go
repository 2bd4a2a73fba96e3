package seglog

import (
	"sync"
	"sync/atomic"

	"pillarbox/internal/vfs"
)

// core is what all parts of a log share: its files, its options, its one lock, and the signals
// between the parts.
type core struct {
	fsys vfs.FS
	dir  string
	opts Options

	grown  broadcast     // fired after each commit
	done   chan struct{} // closed by Close
	wakeup wakeup        // of the maintenance

	// mu is one lock for the appender, the committer, the segment set, the backlog, the damage and
	// the list of destinations, because an append looks at and changes most of them at once, and
	// each lock more would be paid for by each request. No call to the disk is made with it held.
	mu     sync.Mutex
	closed bool // guarded by mu
}

func newCore(fsys vfs.FS, dir string, opts Options) *core {
	return &core{
		fsys: fsys, dir: dir, opts: opts, done: make(chan struct{}),
		wakeup: wakeup{kick: make(chan struct{}, 1)},
	}
}

func (c *core) minFree(usage vfs.Usage) int64 {
	if c.opts.MinFreeBytes > 0 {
		return c.opts.MinFreeBytes
	}
	return min(defaultMinFree, usage.Total/minFreeFraction)
}

// wakeup wakes the maintenance. It needs no lock.
type wakeup struct {
	kick     chan struct{} // holds one wake-up
	sleeping atomic.Bool   // the maintenance sleeps long, and wants to be woken by ifSleeping
}

// ifSleeping wakes a maintenance that sleeps. It is called after anything that makes work for it.
func (w *wakeup) ifSleeping() {
	if w.sleeping.Load() {
		w.now()
	}
}

func (w *wakeup) now() {
	select {
	case w.kick <- struct{}{}:
	default: // a wake-up is on its way
	}
}

// broadcast wakes everybody who waits, and costs nothing while nobody does.
type broadcast struct {
	mu      sync.Mutex
	waiting chan struct{}
}

// wait returns a channel that the next fire closes. Call it before looking at what is waited for.
func (b *broadcast) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting == nil {
		b.waiting = make(chan struct{})
	}
	return b.waiting
}

func (b *broadcast) fire() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting != nil {
		close(b.waiting)
		b.waiting = nil
	}
}
