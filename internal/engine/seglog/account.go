package seglog

import (
	"pillarbox"
)

// account says what has become of all that was accepted.
func (c *consumer) account() pillarbox.Account {
	c.mu.Lock()
	defer c.mu.Unlock()
	account := pillarbox.Account{
		Accepted: c.segments.accepted(), Held: uint64(c.heldRetrying) + c.state.held.count,
		Retrying: uint64(len(c.retrying)-c.heldRetrying) + c.state.deferred.count,
	}
	counted := state{counters: c.state.counters}
	for _, it := range c.window {
		counted.count(it.outcome, it.skip, 1)
		counted.Damaged += it.lost
	}
	for seq, entry := range c.state.retry {
		if entry.Outcome != 0 && !c.inWindow(seq) {
			counted.count(entry.Outcome, entry.Skip, 1) // settled out of order, and not read again since the start
		}
	}
	account.Stored, account.Dead = counted.Stored, counted.Dead
	account.Skipped, account.Damaged = counted.Skipped, counted.Damaged+c.state.unread.count
	account.SkippedBy, account.Unread = counted.SkippedBy, c.state.unread.count
	account.Pending = account.Accepted - account.Stored - account.Dead - account.Skipped - account.Damaged
	account.OldestPending = c.oldestPending()
	return account
}

// inWindow reports whether the event was read in this life and the cursor has not passed it. The window has no
// gaps between its first and its last item.
func (c *consumer) inWindow(seq uint64) bool {
	n := len(c.window)
	return n > 0 && seq >= c.window[0].seq && seq < c.window[n-1].seq+max(1, c.window[n-1].lost)
}

// oldestPending is the timestamp of the oldest event in hand, and 0 where nothing is in hand.
func (c *consumer) oldestPending() pillarbox.Timestamp {
	oldest := pillarbox.Timestamp(0)
	consider := func(it *item) {
		if it.event != nil && (oldest == 0 || it.event.Timestamp < oldest) {
			oldest = it.event.Timestamp
		}
	}
	for _, it := range c.window {
		consider(it)
	}
	for _, it := range c.retrying {
		consider(it)
	}
	for _, it := range c.resumed {
		consider(it)
	}
	return oldest
}
