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
func (l *Log) Scan(ctx context.Context, destination string, visit func(event *pillarbox.Event, settled bool) error) error {
	c, err := l.consumer(destination)
	if err != nil {
		return err
	}
	start := c.position.Load().start
	return l.walkRecords(ctx, func(seq uint64, rec record) error {
		if seq < start {
			return nil
		}
		event, err := decodeRecord(rec.text)
		if err != nil {
			return nil // reported when it is delivered
		}
		return visit(event, c.settled(seq))
	})
}

// settled reports whether the destination is done with the event.
func (c *consumer) settled(seq uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.retrying[seq] != nil {
		return false
	}
	if seq < c.state.cursor {
		return true
	}
	for _, it := range c.window {
		if it.seq == seq {
			return it.outcome != 0
		}
	}
	return false
}

// errFound ends a walk that has what it came for.
var errFound = errors.New("found")

// Find implements pillarbox.EventFinder: it looks through the held segments for the event. The retry sets
// are looked at first, because their events may have left the segments.
func (l *Log) Find(ctx context.Context, requestID string) (*pillarbox.Event, error) {
	for _, c := range l.allConsumers() {
		if event := c.findRetrying(requestID); event != nil {
			return event, nil
		}
	}
	needle := requestID
	if uuid, ok := parseUUID(requestID); ok {
		needle = string(uuid[:])
	}
	var event *pillarbox.Event
	err := l.walkRecords(ctx, func(_ uint64, rec record) error {
		if !strings.Contains(rec.text[:min(len(rec.text), 12+binary.MaxVarintLen64+len(needle))], needle) {
			return nil
		}
		decoded, err := decodeRecord(rec.text)
		if err != nil || decoded.RequestID != requestID {
			return nil
		}
		event = decoded
		return errFound
	})
	switch {
	case errors.Is(err, errFound):
		return event, nil
	case err != nil:
		return nil, err
	}
	return nil, fmt.Errorf("event %s in %s: %w", requestID, l.dir, pillarbox.ErrNotFound)
}

func (c *consumer) findRetrying(requestID string) *pillarbox.Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, it := range c.retrying {
		if it.event.RequestID == requestID {
			return it.event
		}
	}
	return nil
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
	r := &reader{log: l, seq: firstHeld}
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
			if seq < first {
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
