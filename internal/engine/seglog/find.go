package seglog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"pillarbox"
)

// scan visits what the log holds of a destination.
func (d *destinations) scan(
	ctx context.Context, destination string,
	visit func(event *pillarbox.Event, standing pillarbox.Standing) error,
) error {
	c, err := d.get(destination)
	if err != nil {
		return err
	}
	return d.scanner.walkRecords(ctx, func(seq uint64, rec record) error {
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

// standing says where the event stands; 0 for one from before the destination.
func (c *consumer) standing(seq uint64, event *pillarbox.Event) pillarbox.Standing {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.state
	routed := s.routed.has(seq)
	switch entry := s.retry[seq]; {
	case seq < s.start && !routed:
		return 0
	case entry != nil:
		return standingOf(entry.Outcome)
	case s.held.has(seq) || s.deferred.has(seq):
		return pillarbox.StandingPending
	case seq >= s.cursor:
		if it := c.window.find(seq); it != nil {
			return standingOf(it.outcome)
		}
		return pillarbox.StandingPending
	}
	if event.IsCanary() {
		return pillarbox.StandingSkipped // it ends in no other way
	}
	rule := s.ruleAt(seq)
	if s.waived.has(seq) || !routed && (s.filtered.has(seq) || rule != nil && !rule.Takes(event)) {
		return pillarbox.StandingSkipped
	}
	return pillarbox.StandingSettled
}

func standingOf(kind pillarbox.OutcomeKind) pillarbox.Standing {
	switch kind {
	case pillarbox.OutcomeStored, pillarbox.OutcomeDead:
		return pillarbox.StandingSettled
	case pillarbox.OutcomeSkipped:
		return pillarbox.StandingSkipped
	}
	return pillarbox.StandingPending
}

// find returns an event with its sequence number.
func (d *destinations) find(
	ctx context.Context, requestID string,
) (*pillarbox.Event, uint64, error) {
	for _, c := range d.all() {
		if it := c.findRetry(requestID); it != nil {
			return it.event, it.seq, nil
		}
	}
	needle := requestID
	if uuid, ok := parseUUID(requestID); ok {
		needle = string(uuid[:])
	}
	var event *pillarbox.Event
	var found uint64
	err := d.scanner.walkRecords(ctx, func(seq uint64, rec record) error {
		if !strings.Contains(rec.text[:min(len(rec.text), 12+binary.MaxVarintLen64+len(needle))],
			needle) {
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
	return nil, 0, fmt.Errorf("event %s in %s: %w", requestID, d.dir, pillarbox.ErrNotFound)
}

// errFound ends a walk that has what it came for.
var errFound = errors.New("found")

// findRetry returns what waits in the retry set under a request id, nil where nothing does. What it
// points to is not changed.
func (c *consumer) findRetry(requestID string) *item {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.retries.find(requestID)
}

// trace says where an event stands with each destination.
func (d *destinations) trace(
	ctx context.Context, requestID string,
) (*pillarbox.Event, map[string]pillarbox.Trace, error) {
	event, seq, err := d.find(ctx, requestID)
	if err != nil {
		return nil, nil, err
	}
	traces := map[string]pillarbox.Trace{}
	for _, c := range d.all() {
		traces[c.name] = c.trace(seq, event)
	}
	return event, traces, nil
}

func (c *consumer) trace(seq uint64, event *pillarbox.Event) pillarbox.Trace {
	trace := pillarbox.Trace{Standing: c.standing(seq, event)}
	c.mu.Lock()
	defer c.mu.Unlock()
	waiting := c.retries.items[seq]
	trace.Held = c.state.held.has(seq) || waiting != nil && waiting.held
	if trace.Standing == pillarbox.StandingSkipped || trace.Standing == 0 {
		trace.Skip = c.state.skipRule(seq, event)
	}
	if rule := c.state.ruleAt(seq); trace.Skip == pillarbox.SkippedFilter && rule != nil {
		trace.Where = rule.Where
	}
	return trace
}
