package seglog

import (
	"pillarbox"
)

// account says what has become of all that was accepted.
func (c *consumer) account() pillarbox.Account {
	c.mu.Lock()
	defer c.mu.Unlock()
	account := pillarbox.Account{
		Accepted: c.segments.accepted(), Held: uint64(c.retries.held) + c.state.held.count,
		Backfill: c.state.backfill.count,
		Retrying: uint64(c.retries.active()) + c.state.deferred.count - c.untried(),
	}
	counted := state{counters: c.state.counters}
	for _, it := range c.window.items {
		counted.count(it.outcome, it.skip, 1)
		counted.Damaged += it.lost
	}
	for seq, entry := range c.state.retry {
		if entry.Outcome != 0 && !c.window.has(seq) {
			// settled out of order, and not read again since the start
			counted.count(entry.Outcome, entry.Skip, 1)
		}
	}
	account.Stored, account.Dead = counted.Stored, counted.Dead
	account.Skipped, account.Damaged = counted.Skipped, counted.Damaged+c.state.unread.count
	account.SkippedBy, account.Unread = counted.SkippedBy, c.state.unread.count
	account.Pending = account.Accepted - account.Stored - account.Dead - account.Skipped - account.Damaged
	account.OldestPending = c.oldestPending()
	return account
}

// untried counts deferred events that a back-fill has taken, and that were never tried.
func (c *consumer) untried() uint64 {
	if c.state.backfill.count == 0 {
		return 0
	}
	untried := c.state.backfill.count
	for seq := range c.retries.items {
		if c.state.backfill.has(seq) {
			untried--
		}
	}
	return min(untried, c.state.deferred.count)
}

// oldestPending is the timestamp of the oldest event in hand, and 0 where nothing is in hand. What a
// back-fill has taken is old, and is not late; nobody waits for an event of the canary.
func (c *consumer) oldestPending() pillarbox.Timestamp {
	oldest := pillarbox.Timestamp(0)
	consider := func(it *item) {
		if it.event != nil && !it.event.IsCanary() && !c.state.backfill.has(it.seq) && (oldest == 0 || it.event.Timestamp < oldest) {
			oldest = it.event.Timestamp
		}
	}
	for _, it := range c.window.items {
		consider(it)
	}
	for _, it := range c.retries.items {
		consider(it)
	}
	for _, it := range c.resumed.items {
		consider(it)
	}
	return oldest
}
