package seglog

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"pillarbox"
	"pillarbox/internal/telemetry"
)

// consumer is one destination's way through the log.
//
// The window holds everything that was read and is not yet below the cursor, in the order of the
// log. The cursor moves when the front of the window is settled. An event that must wait leaves the
// window for the retry set, which is part of the durable state; one that is given back stays in the
// window.
//
// Locks: mu guards all of it, and is held over the writes of its state, so that a settle of one
// destination holds up no other; the atomic fields are copies for those who don't hold it.
type consumer struct {
	core     *core
	segments *segmentSet
	damage   *damageLog
	scanner  *scanner
	ages     *ages
	name     string
	joined   uint64 // where it was made in this life, beside others: the first event that it gets; else 0

	position atomic.Pointer[position]              // of state
	needs    atomic.Uint64                         // the oldest event that is pending: its segment is kept
	rules    atomic.Pointer[[]ruleFrom]            // of state
	paused   atomic.Pointer[pillarbox.PauseRecord] // of state: asked for while the disk may hang

	mu       sync.Mutex
	journal  *stateJournal
	state    *state
	reader   *reader
	window   window
	retries  retrySet
	resumed  resumedSet
	backoff  backoff   // while everything is refused
	returned broadcast // fired when something is given back
}

// item is one event in the window or in the retry set.
type item struct {
	seq       uint64
	event     *pillarbox.Event
	bytes     int64
	segment   uint64
	offset    int64 // of its frame
	leased    bool
	due       time.Time
	attempts  []pillarbox.Attempt
	rejection *pillarbox.Rejection
	outcome   pillarbox.OutcomeKind // set once settled
	skip      string                // the rule, where it is settled as skipped
	held      bool                  // of the retry set: no destination takes it any more
	routed    bool                  // by a person's word
	lost      uint64                // set where the item stands for events that can't be read
	unread    bool                  // of these: because of the disk, which may read them another time
}

// load brings what was read of a state into line with what the log holds.
func (c *consumer) load() error {
	firstHeld, next := c.segments.bounds()
	if c.state.cursor > next {
		return fmt.Errorf(
			"destination %s has settled %d events and the log holds only %d; segments are missing from %s: put them back, or run \"pillarbox queue repair\": %w",
			c.name, c.state.cursor-1, next-1, c.core.dir, pillarbox.ErrCorrupt,
		)
	}
	c.state.dropBeyond(next)
	c.skipAside(firstHeld)
	if c.state.cursor < firstHeld {
		c.skipTo(firstHeld)
	}
	now := c.core.opts.Now()
	for seq, entry := range c.state.retry {
		if entry.Outcome != 0 {
			continue
		}
		event, err := decodeRecord(string(entry.Record))
		if err != nil {
			return fmt.Errorf("retry %d of destination %s: %w", seq, c.name, err)
		}
		c.retries.add(entry, event, dueAfterRestart(now, entry.Due, c.core.opts.MaxRetryWait),
			c.state.routed.has(seq))
	}
	c.reader = c.scanner.reader(0, false)
	c.publish()
	return c.reader.seek(c.state.position)
}

// dueAfterRestart brings an instant of an earlier life into this one. The clock may have been set
// in between. What would wait for longer than any wait is, was written by another clock, and is due
// at once: to wait anew at each start could be for ever.
func dueAfterRestart(now time.Time, due pillarbox.Timestamp, longest time.Duration) time.Time {
	wait := due.Time().Sub(now)
	if wait > longest {
		wait = 0
	}
	return now.Add(wait)
}

// skipTo passes events whose segments are gone. Segments are removed only past durable cursors. So
// either an older state had to be read, and the events are settled; or somebody else has removed
// segments, and the events are lost.
func (c *consumer) skipTo(firstHeld uint64) {
	gone := firstHeld - c.state.cursor
	for seq, entry := range c.state.retry {
		if seq < c.state.cursor || seq >= firstHeld {
			continue
		}
		gone-- // it has its own copy of the event, or was settled on its own
		if entry.Outcome != 0 {
			c.state.count(entry.Outcome, entry.Skip, 1)
			delete(c.state.retry, seq)
		}
	}
	if c.journal.suspect {
		c.core.opts.Logger.Warn(
			"an older delivery state is used; events of removed segments count as stored",
			telemetry.KeyDestination, c.name, telemetry.KeyEvents, gone,
		)
		c.state.Stored += gone
	} else {
		c.damage.noteMissing(c.state.cursor, gone, c.name)
		c.state.Damaged += gone
	}
	c.state.position = position{start: c.state.start, cursor: firstHeld}
}

// publish brings the atomic copies up to date.
func (c *consumer) publish() {
	at := c.state.position
	c.position.Store(&at)
	rules := c.state.rules
	c.rules.Store(&rules)
	pause := c.state.pause
	c.paused.Store(&pause)
	needs := at.cursor
	for _, set := range []*seqSet{&c.state.held, &c.state.deferred, &c.state.unread} {
		if set.count > 0 {
			oldest, _ := set.next(0)
			needs = min(needs, oldest)
		}
	}
	c.needs.Store(needs)
}

func (c *consumer) sync() error {
	if c.core.opts.ReadOnly {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.journal.broken {
		return c.journal.roll(c.state)
	}
	return c.journal.sync()
}

// unsynced reports whether a sync is to be made, or made again.
func (c *consumer) unsynced() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.journal.dirty || c.journal.broken
}

func (c *consumer) durableCursor() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.journal.durable
}

func (c *consumer) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, r := range []*reader{c.reader, c.resumed.reader} {
		if r != nil {
			errs = append(errs, r.close())
		}
	}
	return errors.Join(append(errs, c.journal.close())...)
}
