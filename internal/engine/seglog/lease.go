package seglog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"pillarbox"
)

// lease waits until something is due.
func (c *consumer) lease(
	ctx context.Context, limits pillarbox.LeaseLimits,
) ([]pillarbox.Delivery, error) {
	for {
		grown, returned := c.core.grown.wait(), c.returned.wait()
		deliveries, due, err := c.leaseNow(limits)
		if err != nil || len(deliveries) > 0 {
			return deliveries, err
		}
		timer := time.NewTimer(due)
		select {
		case <-ctx.Done():
		case <-c.core.done:
		case <-grown:
		case <-returned:
		case <-timer.C:
		}
		timer.Stop()
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		select {
		case <-c.core.done:
			return nil, fmt.Errorf("lease from %s: %w", c.core.dir, pillarbox.ErrClosed)
		default:
		}
	}
}

// longestWait bounds a sleep in Lease; only appends, settles and due retries end it sooner.
const longestWait = time.Hour

// leaseNow hands out what is due now, or says how long to wait.
func (c *consumer) leaseNow(
	limits pillarbox.LeaseLimits,
) ([]pillarbox.Delivery, time.Duration, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.core.opts.Now()
	pick := picker{limits: limits, now: now, wait: longestWait}
	for _, waiting := range c.retries.due(&pick) {
		pick.offer(waiting)
	}
	if err := c.resume(); err != nil {
		return pick.undo(), 0, kinded(err)
	}
	for _, again := range c.resumed.inOrder() {
		pick.offer(again)
	}
	if !c.backoff.over(&pick) {
		return c.deliveries(pick.picked), pick.wait, nil
	}
	for _, ready := range c.window.items {
		pick.offer(ready)
	}
	for !pick.full() && c.window.mayGrow() {
		before := len(c.window.items)
		if err := c.read(); errors.Is(err, errEnd) {
			break
		} else if err != nil {
			return pick.undo(), 0, kinded(err)
		}
		for _, fresh := range c.window.items[before:] {
			pick.offer(fresh)
		}
	}
	return c.deliveries(pick.picked), pick.wait, nil
}

// read moves one chunk of the log into the window.
func (c *consumer) read() error {
	chunk, segment, err := c.reader.next()
	if err != nil {
		return err
	}
	// One allocation for all of a frame: its events are delivered and forgotten together.
	items, events := make([]item, len(chunk.records)), make([]pillarbox.Event, len(chunk.records))
	for i, rec := range chunk.records {
		seq := chunk.firstSeq + uint64(i)
		if seq < c.state.cursor {
			continue
		}
		fresh := &items[i]
		*fresh = item{seq: seq, bytes: rec.bytes, segment: segment.id, offset: chunk.offset}
		if entry := c.state.retry[seq]; entry != nil {
			// Moved to the retry set, and perhaps settled from there, before a crash.
			fresh.outcome, fresh.skip = cmp.Or(entry.Outcome, pillarbox.OutcomeRetry), entry.Skip
		} else if c.state.held.has(seq) {
			fresh.outcome = pillarbox.OutcomeHeld
		} else if rec.missing {
			fresh.lost, fresh.unread = 1, chunk.unread
		} else if err := decodeInto(&events[i], rec.text); err != nil {
			c.reader.noteDamage(undecodable(chunk, segment, i, err))
			fresh.lost = 1
		} else {
			fresh.event, fresh.routed = &events[i], c.state.routed.has(seq)
		}
		c.window.items = append(c.window.items, fresh)
	}
	first := max(chunk.firstSeq+uint64(len(chunk.records)), c.state.cursor)
	if lost := int64(chunk.nextSeq() - first); lost > 0 && chunk.nextSeq() > first {
		c.window.items = append(c.window.items, &item{
			seq: first, lost: uint64(lost), unread: chunk.unread, segment: segment.id,
			offset: chunk.offset,
		})
	}
	return nil
}

// undecodable is the damage of a record whose checksum is right and whose fields are not
// understood.
func undecodable(in *chunk, segment *segment, i int, cause error) *chunk {
	return &chunk{
		offset: in.offset, firstSeq: in.firstSeq + uint64(i), lost: 1,
		damage: []pillarbox.CorruptError{
			{
				File: segment.name, Offset: in.offset,
				Reason: fmt.Sprintf("record %d: %v", i+1, cause),
			},
		},
	}
}

// picker collects deliveries within limits.
type picker struct {
	limits pillarbox.LeaseLimits
	now    time.Time
	wait   time.Duration
	picked []*item
	bytes  int64
}

func (p *picker) full() bool {
	return len(p.picked) >= max(1, p.limits.MaxEvents) ||
		(p.limits.MaxBytes > 0 && p.bytes >= p.limits.MaxBytes)
}

func (p *picker) offer(candidate *item) {
	if candidate.leased || candidate.outcome != 0 || candidate.lost > 0 {
		return
	}
	if wait := candidate.due.Sub(p.now); wait > 0 {
		p.wait = min(p.wait, wait)
		return
	}
	tooLarge := p.limits.MaxBytes > 0 && len(p.picked) > 0 &&
		p.bytes+candidate.bytes > p.limits.MaxBytes
	if p.full() || tooLarge {
		p.bytes = max(p.bytes, p.limits.MaxBytes) // keep the order: nothing smaller overtakes
		return
	}
	candidate.leased = true
	p.picked = append(p.picked, candidate)
	p.bytes += candidate.bytes
}

func (p *picker) undo() []pillarbox.Delivery {
	for _, picked := range p.picked {
		picked.leased = false
	}
	return nil
}

func (c *consumer) deliveries(picked []*item) []pillarbox.Delivery {
	deliveries := make([]pillarbox.Delivery, len(picked))
	for i, it := range picked {
		deliveries[i] = pillarbox.Delivery{
			Handle: pillarbox.Handle{Seq: it.seq}, Event: it.event, Bytes: it.bytes,
			Attempts: it.attempts, Rejection: it.rejection, Rule: c.state.ruleAt(it.seq), Routed: it.routed,
		}
		if !it.due.IsZero() {
			deliveries[i].NotBefore = pillarbox.TimestampOf(it.due)
		}
	}
	c.ages.measure(deliveries)
	return deliveries
}
