package watchdog

import (
	"sync"
	"time"
)

// Calls looks after any number of calls at a time. A nil one looks after nothing. All methods may
// be called concurrently.
type Calls struct {
	bound time.Duration
	late  func(what string, since time.Duration)
	back  func(what string, took time.Duration)

	mu     sync.Mutex
	oldest *Running // first of a list in the order of beginning
	newest *Running
	timer  *time.Timer
	set    bool
	hangs  bool // late was called, and back was not
}

// Running is a call that has not returned.
type Running struct {
	of           *Calls
	doing, name  string
	began        time.Time
	older, newer *Running
}

// NewCalls makes Calls that call late when one has run for longer than the bound, and back when
// none does any more. Neither is called while a call waits for it. Without a bound it returns nil.
func NewCalls(bound time.Duration, late, back func(what string, took time.Duration)) *Calls {
	if bound <= 0 {
		return nil
	}
	return &Calls{bound: bound, late: late, back: back}
}

// Begin says that something is being done to something that has a name.
func (c *Calls) Begin(doing, name string) *Running {
	if c == nil {
		return nil
	}
	r := &Running{of: c, doing: doing, name: name, began: time.Now()}
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.older = c.newest; r.older != nil {
		r.older.newer = r
	} else {
		c.oldest = r
	}
	c.newest = r
	if !c.set && !c.hangs {
		c.setTimer(c.bound)
	}
	return r
}

// End says that the call has returned. A nil one is none.
func (r *Running) End() {
	if r == nil {
		return
	}
	c := r.of
	c.mu.Lock()
	c.unlink(r)
	over := c.hangs && !c.overdueLocked()
	if over {
		c.hangs = false
		if c.oldest != nil {
			c.setTimer(c.bound - time.Since(c.oldest.began))
		}
	}
	c.mu.Unlock()
	if over {
		c.back(r.what(), time.Since(r.began))
	}
}

// Hanging returns what has not returned within the bound, for the longest time, and for how long.
// It returns "" while everything does.
func (c *Calls) Hanging() (what string, since time.Duration) {
	if c == nil {
		return "", 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.overdueLocked() {
		return "", 0
	}
	return c.oldest.what(), time.Since(c.oldest.began)
}

func (r *Running) what() string { return r.doing + " " + r.name }

func (c *Calls) overdueLocked() bool {
	return c.oldest != nil && time.Since(c.oldest.began) >= c.bound
}

func (c *Calls) unlink(r *Running) {
	if r.older != nil {
		r.older.newer = r.newer
	} else {
		c.oldest = r.newer
	}
	if r.newer != nil {
		r.newer.older = r.older
	} else {
		c.newest = r.older
	}
}

func (c *Calls) setTimer(wait time.Duration) {
	c.set = true
	if c.timer == nil {
		c.timer = time.AfterFunc(wait, c.look)
		return
	}
	c.timer.Reset(wait)
}

// look is called by the timer, which is set while anything runs and nothing hangs.
func (c *Calls) look() {
	c.mu.Lock()
	c.set = false
	if c.oldest == nil || c.hangs {
		c.mu.Unlock()
		return
	}
	since := time.Since(c.oldest.began)
	if since < c.bound {
		c.setTimer(c.bound - since)
		c.mu.Unlock()
		return
	}
	c.hangs = true
	what := c.oldest.what()
	c.mu.Unlock()
	c.late(what, since)
}
