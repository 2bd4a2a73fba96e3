package seglog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"pillarbox"
)

// Append implements pillarbox.Queue. Events over MaxRecordBytes are named in a *BatchError, the others are
// committed with one fdatasync. Once the events are taken, ctx no longer counts: the commit takes as long as
// the disk, but no caller waits for longer than CommitTimeout.
func (l *Log) Append(ctx context.Context, events []*pillarbox.Event) error {
	return l.appender.appendFitting(ctx, events, l.appender.watch == nil)
}

// AppendInline implements pillarbox.InlineAppender.
func (l *Log) AppendInline(ctx context.Context, events []*pillarbox.Event) error {
	return l.appender.appendFitting(ctx, events, true)
}

// ScanHeld implements pillarbox.Obligations.
func (l *Log) ScanHeld(ctx context.Context, destination string, visit func(*pillarbox.Delivery) error) error {
	c, err := l.destinations.get(destination)
	if err != nil {
		return err
	}
	c.mu.Lock()
	set := c.state.held.clone()
	var evacuated []*item
	for _, it := range c.retrying {
		if it.held {
			evacuated = append(evacuated, it)
		}
	}
	slices.SortFunc(evacuated, func(a, b *item) int { return int(int64(a.seq) - int64(b.seq)) })
	deliveries := c.deliveries(evacuated)
	rules, start := c.state.rules, c.state.start
	c.mu.Unlock()
	for i := range deliveries {
		if err := visit(&deliveries[i]); err != nil {
			return err
		}
	}
	return l.scanner.walkSet(set.next, func(read *chunk) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		for seq, ok := set.next(read.firstSeq); ok && seq < read.nextSeq(); seq, ok = set.next(seq + 1) {
			event, size := read.event(seq)
			if event == nil {
				continue
			}
			delivery := pillarbox.Delivery{Handle: pillarbox.Handle{Seq: seq}, Event: event, Bytes: size, Rule: ruleAt(rules, start, seq)}
			if err := visit(&delivery); err != nil {
				return err
			}
		}
		return nil
	})
}

// ScanPending implements pillarbox.Obligations.
func (l *Log) ScanPending(ctx context.Context, destination string, visit func(*pillarbox.Delivery) error) error {
	c, err := l.destinations.get(destination)
	if err != nil {
		return err
	}
	c.mu.Lock()
	waiting := make([]*item, 0, len(c.retrying))
	for _, it := range c.retrying {
		waiting = append(waiting, it)
	}
	deliveries := c.deliveries(waiting)
	needs := c.needs.Load()
	c.mu.Unlock()
	for i := range deliveries {
		if err := visit(&deliveries[i]); err != nil {
			return err
		}
	}
	_, end := l.segments.heldSequence()
	next := func(from uint64) (uint64, bool) { return max(from, needs), max(from, needs) < end }
	err = l.scanner.walkSet(next, func(read *chunk) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return c.visitPending(read, visit)
	})
	if err != nil {
		return err
	}
	return visitFrom(end-l.segments.heldBackEvents(), l.segments.heldBack(), func(seq uint64, rec record) error {
		event, err := decodeRecord(rec.text)
		if err != nil {
			return nil // reported when it is delivered
		}
		return visit(&pillarbox.Delivery{Handle: pillarbox.Handle{Seq: seq}, Event: event, Bytes: rec.bytes, Rule: l.RuleAt(destination, pillarbox.Handle{Seq: seq})})
	})
}

// SettleHeld implements pillarbox.Obligations.
func (l *Log) SettleHeld(_ context.Context, destination string, outcomes []pillarbox.Outcome) (settled int, err error) {
	if err := l.writable(); err != nil {
		return 0, err
	}
	c, err := l.destinations.get(destination)
	if err != nil {
		return 0, err
	}
	c.mu.Lock()
	s := c.newSettlement(len(outcomes))
	for _, outcome := range outcomes {
		if outcome.Kind != pillarbox.OutcomeSkipped && outcome.Kind != pillarbox.OutcomeDead {
			err = fmt.Errorf("settle held event %d for %s: it can be skipped or dead: %w", outcome.Handle.Seq, destination, pillarbox.ErrInvalid)
			break
		}
		settled += s.endHeld(outcome)
	}
	if err == nil {
		s.durable = true
		s.finish()
		err = s.write()
	}
	c.mu.Unlock()
	if err != nil {
		return 0, err
	}
	l.destinations.measureBacklog()
	return settled, nil
}

// Tend does one round of the chores. It is for a log that was opened with Untended, whose caller decides when.
func (l *Log) Tend() {
	l.preallocator.prepare(nil)
	l.maintenance.once()
}

// Lease implements pillarbox.Queue.
func (l *Log) Lease(ctx context.Context, destination string, limits pillarbox.LeaseLimits) ([]pillarbox.Delivery, error) {
	c, err := l.destinations.get(destination)
	if err != nil {
		return nil, err
	}
	for {
		grown, returned := l.grown.wait(), c.returned.wait()
		deliveries, due, err := c.lease(limits)
		if err != nil || len(deliveries) > 0 {
			return deliveries, err
		}
		timer := time.NewTimer(due)
		select {
		case <-ctx.Done():
		case <-l.done:
		case <-grown:
		case <-returned:
		case <-timer.C:
		}
		timer.Stop()
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		select {
		case <-l.done:
			return nil, fmt.Errorf("lease from %s: %w", l.dir, pillarbox.ErrClosed)
		default:
		}
	}
}

// SetMaxBytes changes the limit of undelivered bytes.
func (l *Log) SetMaxBytes(maxBytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.backlog.maxBytes = maxBytes
}

// Oblige implements pillarbox.Obligations.
func (l *Log) Oblige(_ context.Context, destination string, rule pillarbox.Rule) error {
	if err := l.writable(); err != nil {
		return err
	}
	c, err := l.destinations.get(destination)
	if err != nil {
		return err
	}
	rule.Sources = slices.Clone(rule.Sources)
	slices.Sort(rule.Sources)
	firstHeld, next := l.segments.heldSequence()
	c.mu.Lock()
	defer c.mu.Unlock()
	rules := slices.DeleteFunc(slices.Clone(c.state.rules), func(r ruleFrom) bool { return r.From >= next })
	if n := len(rules); n > 0 && rules[n-1].Rule.Equal(&rule) && len(rules) == len(c.state.rules) {
		return nil
	}
	for len(rules) > 1 && rules[1].From <= min(firstHeld, c.needs.Load()) && !c.hasRetryBelow(rules[1].From) {
		rules = rules[1:] // nothing is left of its time
	}
	s := c.newSettlement(0)
	s.delta.Rules, s.durable = append(rules, ruleFrom{From: next, Rule: rule}), true
	s.finish()
	if err := s.write(); err != nil {
		return fmt.Errorf("record the rule of destination %s: %w", destination, err)
	}
	return nil
}

// RuleAt implements pillarbox.Obligations.
func (l *Log) RuleAt(destination string, handle pillarbox.Handle) *pillarbox.Rule {
	c, err := l.destinations.known(destination)
	if err != nil || c == nil {
		return nil
	}
	return ruleAt(*c.rules.Load(), c.position.Load().start, handle.Seq)
}

// Review implements pillarbox.Obligations.
func (l *Log) Review(ctx context.Context, destination string, hold func(*pillarbox.Delivery) bool) error {
	if err := l.writable(); err != nil {
		return err
	}
	c, err := l.destinations.get(destination)
	if err != nil {
		return err
	}
	if err := c.reviewRetrying(hold); err != nil {
		return fmt.Errorf("review what waits for %s: %w", destination, err)
	}
	return l.scanner.walkSet(c.toReview(), func(read *chunk) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return c.reviewChunk(read, hold)
	})
}

// ScanSettled implements pillarbox.Obligations.
func (l *Log) ScanSettled(ctx context.Context, destination string, visit func(*pillarbox.Delivery) error) error {
	c, err := l.destinations.get(destination)
	if err != nil {
		return err
	}
	return l.scanner.walkRecords(ctx, func(seq uint64, rec record) error {
		event, err := decodeRecord(rec.text)
		if err != nil || c.standing(seq, event) != pillarbox.StandingSettled {
			return nil
		}
		return visit(&pillarbox.Delivery{Handle: pillarbox.Handle{Seq: seq}, Event: event, Bytes: rec.bytes})
	})
}

// Redeliver implements pillarbox.Obligations. No segment is removed meanwhile.
func (l *Log) Redeliver(_ context.Context, destination string, handles []pillarbox.Handle, dead uint64) (redelivered int, err error) {
	if err := l.writable(); err != nil {
		return 0, err
	}
	c, err := l.destinations.get(destination)
	if err != nil {
		return 0, err
	}
	l.destinations.creating.Lock()
	defer l.destinations.creating.Unlock()
	firstHeld, _ := l.segments.heldSequence()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.newSettlement(len(handles))
	for _, handle := range handles {
		seq := handle.Seq
		if seq < firstHeld || seq >= c.state.cursor || c.state.retry[seq] != nil || c.isAside(seq) {
			continue
		}
		s.delta.aside("deferred").Add.add(seq)
		redelivered++
	}
	was := min(dead, uint64(redelivered), s.after.Dead)
	s.after.Dead -= was
	s.after.Stored -= min(s.after.Stored, uint64(redelivered)-was)
	s.durable = true
	s.finish()
	if err := s.write(); err != nil {
		return 0, err
	}
	c.returned.fire()
	return redelivered, nil
}

// Store implements pillarbox.Obligations.
func (l *Log) Store(destination string) pillarbox.StoreRecord {
	c, err := l.destinations.known(destination)
	if err != nil || c == nil {
		return pillarbox.StoreRecord{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state.store
}

// SetStore implements pillarbox.Obligations.
func (l *Log) SetStore(_ context.Context, destination string, record pillarbox.StoreRecord) error {
	if err := l.writable(); err != nil {
		return err
	}
	c, err := l.destinations.get(destination)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.state.store
	c.state.store = record
	if before.Changed == record.Changed && before.ID == record.ID {
		return nil
	}
	s := c.newSettlement(0)
	s.finish()
	if err := c.journal.append(s.delta, c.state, true); err != nil {
		c.state.store = before
		return fmt.Errorf("record the store of destination %s: %w", destination, err)
	}
	s.commit()
	return nil
}

// Route implements pillarbox.Obligations. The other destination has the events durably before the first one lets go of
// them; while that is going on, no segment is removed.
func (l *Log) Route(ctx context.Context, from, to string, deliveries []*pillarbox.Delivery) (routed int, err error) {
	if err := l.writable(); err != nil {
		return 0, err
	}
	if from == to {
		return 0, fmt.Errorf("route from %s to itself: %w", from, pillarbox.ErrInvalid)
	}
	source, err := l.destinations.get(from)
	if err != nil {
		return 0, err
	}
	target, err := l.destinations.get(to)
	if err != nil {
		return 0, err
	}
	l.destinations.creating.Lock()
	defer l.destinations.creating.Unlock()
	held := source.stillHeld(deliveries)
	if err := target.take(held); err != nil {
		return 0, fmt.Errorf("give held events to %s: %w", to, err)
	}
	outcomes := make([]pillarbox.Outcome, len(held))
	for i, delivery := range held {
		outcomes[i] = pillarbox.Outcome{Handle: delivery.Handle, Kind: pillarbox.OutcomeSkipped, Skip: pillarbox.SkippedRouted}
	}
	return l.SettleHeld(ctx, from, outcomes)
}

// Scan implements pillarbox.EventScanner. It reads with files of its own and holds no lock while it does;
// a segment that is removed meanwhile is passed over.
func (l *Log) Scan(ctx context.Context, destination string, visit func(event *pillarbox.Event, standing pillarbox.Standing) error) error {
	c, err := l.destinations.get(destination)
	if err != nil {
		return err
	}
	return l.scanner.walkRecords(ctx, func(seq uint64, rec record) error {
		event, err := decodeRecord(rec.text)
		if err != nil {
			return nil // reported when it is delivered
		}
		standing := c.standing(seq, event)
		if standing == 0 {
			return nil
		}
		return visit(event, standing)
	})
}

// Find implements pillarbox.EventFinder: it looks through the held segments for the event. The retry sets
// are looked at first, because their events may have left the segments.
func (l *Log) Find(ctx context.Context, requestID string) (*pillarbox.Event, error) {
	event, _, err := l.find(ctx, requestID)
	return event, err
}

// Trace implements pillarbox.Obligations.
func (l *Log) Trace(ctx context.Context, requestID string) (*pillarbox.Event, map[string]pillarbox.Trace, error) {
	event, seq, err := l.find(ctx, requestID)
	if err != nil {
		return nil, nil, err
	}
	traces := map[string]pillarbox.Trace{}
	for _, c := range l.destinations.all() {
		traces[c.name] = c.trace(seq, event)
	}
	return event, traces, nil
}

// find returns an event with its sequence number.
func (l *Log) find(ctx context.Context, requestID string) (*pillarbox.Event, uint64, error) {
	for _, c := range l.destinations.all() {
		if event, seq := c.findRetrying(requestID); event != nil {
			return event, seq, nil
		}
	}
	needle := requestID
	if uuid, ok := parseUUID(requestID); ok {
		needle = string(uuid[:])
	}
	var event *pillarbox.Event
	var found uint64
	err := l.scanner.walkRecords(ctx, func(seq uint64, rec record) error {
		if !strings.Contains(rec.text[:min(len(rec.text), 12+binary.MaxVarintLen64+len(needle))], needle) {
			return nil
		}
		decoded, err := decodeRecord(rec.text)
		if err != nil || decoded.RequestID != requestID {
			return nil
		}
		event, found = decoded, seq
		return errFound
	})
	switch {
	case errors.Is(err, errFound):
		return event, found, nil
	case err != nil:
		return nil, 0, err
	}
	return nil, 0, fmt.Errorf("event %s in %s: %w", requestID, l.dir, pillarbox.ErrNotFound)
}

// Waiting returns the attempts and the verdict of an event that waits for another attempt. ok is false where
// it does not wait.
func (l *Log) Waiting(destination, requestID string) (attempts []pillarbox.Attempt, verdict *pillarbox.Verdict, ok bool) {
	c, err := l.destinations.get(destination)
	if err != nil {
		return nil, nil, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, it := range c.retrying {
		if it.event.RequestID == requestID {
			return it.attempts, it.verdict, true
		}
	}
	return nil, nil, false
}

// Settle implements pillarbox.Queue. Nothing changes in memory before the state is written, so that after an
// error the same call may be made again.
func (l *Log) Settle(_ context.Context, destination string, outcomes []pillarbox.Outcome) error {
	if err := l.writable(); err != nil {
		return err
	}
	c, err := l.destinations.get(destination)
	if err != nil {
		return err
	}
	if err := c.settle(outcomes); err != nil {
		return err
	}
	l.destinations.measureBacklog()
	return nil
}

// Account implements pillarbox.Queue.
func (l *Log) Account(destination string) (pillarbox.Account, error) {
	c, err := l.destinations.get(destination)
	if err != nil {
		return pillarbox.Account{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	account := pillarbox.Account{
		Accepted: l.segments.accepted(), Held: uint64(c.heldRetrying) + c.state.held.count,
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
	return account, nil
}
