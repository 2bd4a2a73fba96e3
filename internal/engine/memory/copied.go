package memory

import (
	"context"
	"slices"

	"pillarbox"
)

// ScanKept implements pillarbox.Obligations.
func (q *Queue) ScanKept(_ context.Context, visit func(*pillarbox.Delivery) error) error {
	q.mu.Lock()
	first, kept := q.forgotten, slices.Clone(q.events[q.forgotten:])
	q.mu.Unlock()
	for i, event := range kept {
		if err := visit(&pillarbox.Delivery{Handle: pillarbox.Handle{Seq: uint64(first+i) + 1}, Event: event}); err != nil {
			return err
		}
	}
	return nil
}

// Began implements pillarbox.Obligations.
func (q *Queue) Began(destination string) (pillarbox.Handle, pillarbox.Timestamp) {
	q.mu.Lock()
	defer q.mu.Unlock()
	p := q.positions[destination]
	if p == nil {
		return pillarbox.Handle{}, 0
	}
	return pillarbox.Handle{Seq: uint64(p.joined) + 1}, p.began
}

// Copied implements pillarbox.Obligations.
func (q *Queue) Copied(destination string) pillarbox.CopyRecord {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.positionLocked(destination).copied
}

// SetCopied implements pillarbox.Obligations.
func (q *Queue) SetCopied(_ context.Context, destination string, record pillarbox.CopyRecord,
	stored, dead uint64) (counted uint64, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	p := q.positionLocked(destination)
	for _, s := range p.states[:q.forgotten] {
		if counted == stored+dead {
			break
		}
		if s.outcome != pillarbox.OutcomeSkipped || s.skip != pillarbox.SkippedBefore {
			continue
		}
		s.skip, s.outcome = "", pillarbox.OutcomeStored
		if counted++; counted > stored {
			s.outcome = pillarbox.OutcomeDead
		}
	}
	p.copied = record
	return counted, nil
}
