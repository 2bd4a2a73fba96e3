package seglog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"pillarbox"
)

// Scan implements pillarbox.EventScanner. It reads with files of its own and holds no lock while it does;
// a segment that is removed meanwhile is passed over.
func (l *Log) Scan(ctx context.Context, destination string, visit func(event *pillarbox.Event, standing pillarbox.Standing) error) error {
	c, err := l.consumer(destination)
	if err != nil {
		return err
	}
	return l.walkRecords(ctx, func(seq uint64, rec record) error {
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
		if it := c.windowItem(seq); it != nil {
			return standingOf(it.outcome)
		}
		return pillarbox.StandingPending
	}
	if rule := s.ruleAt(seq); s.waived.has(seq) || !routed && rule != nil && !rule.Takes(event) {
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

// errFound ends a walk that has what it came for.
var errFound = errors.New("found")

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
	for _, c := range l.allConsumers() {
		traces[c.name] = c.trace(seq, event)
	}
	return event, traces, nil
}

func (c *consumer) trace(seq uint64, event *pillarbox.Event) pillarbox.Trace {
	trace := pillarbox.Trace{Standing: c.standing(seq, event)}
	c.mu.Lock()
	defer c.mu.Unlock()
	waiting := c.retrying[seq]
	trace.Held = c.state.held.has(seq) || waiting != nil && waiting.held
	if trace.Standing == pillarbox.StandingSkipped || trace.Standing == 0 {
		trace.Skip = c.state.skipRule(seq)
	}
	return trace
}

// find returns an event with its sequence number.
func (l *Log) find(ctx context.Context, requestID string) (*pillarbox.Event, uint64, error) {
	for _, c := range l.allConsumers() {
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
	err := l.walkRecords(ctx, func(seq uint64, rec record) error {
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

func (c *consumer) findRetrying(requestID string) (*pillarbox.Event, uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, it := range c.retrying {
		if it.event.RequestID == requestID {
			return it.event, it.seq
		}
	}
	return nil, 0
}

// Waiting returns the attempts and the verdict of an event that waits for another attempt. ok is false where
// it does not wait.
func (l *Log) Waiting(destination, requestID string) (attempts []pillarbox.Attempt, verdict *pillarbox.Verdict, ok bool) {
	c, err := l.consumer(destination)
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

// walkRecords calls visit for every record that is held, oldest first.
func (l *Log) walkRecords(ctx context.Context, visit func(seq uint64, rec record) error) error {
	firstHeld, _ := l.heldSequence()
	unproven := l.heldBack() // should it be copied meanwhile, it is read there
	r := &reader{log: l, seq: firstHeld, hops: true}
	for {
		if err := ctx.Err(); err != nil {
			return errors.Join(err, r.close())
		}
		c, _, err := r.next()
		if errors.Is(err, errEnd) {
			return errors.Join(visitFrom(r.seq, unproven, visit), r.close())
		}
		if errors.Is(err, fs.ErrNotExist) && l.trimmedSince(r) {
			continue
		}
		if err != nil {
			return errors.Join(err, r.close())
		}
		if err := visitFrom(0, []*chunk{c}, visit); err != nil {
			return errors.Join(err, r.close())
		}
	}
}

// visitFrom calls visit for the records of the chunks from a sequence number on.
func visitFrom(first uint64, chunks []*chunk, visit func(seq uint64, rec record) error) error {
	for _, c := range chunks {
		for i, rec := range c.records {
			seq := c.firstSeq + uint64(i)
			if seq < first || rec.missing {
				continue
			}
			if err := visit(seq, rec); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *Log) heldBack() []*chunk {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.unproven == nil {
		return nil
	}
	return l.unproven.chunks
}

// trimmedSince reports whether the segment that the reader wanted has been trimmed, so that going on finds
// another one.
func (l *Log) trimmedSince(r *reader) bool {
	next, ok := extentForReader(r)
	if !ok {
		return true
	}
	file, err := l.fsys.OpenFile(next.segment.name, os.O_RDONLY)
	if err != nil {
		return false
	}
	return file.Close() == nil
}
