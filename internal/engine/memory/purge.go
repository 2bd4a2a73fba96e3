package memory

import (
	"context"
	"fmt"
	"slices"
	"time"

	"pillarbox"
)

// BeginPurge implements pillarbox.Purger.
func (s *Sink) BeginPurge(ctx context.Context,
	filter pillarbox.PurgeFilter) (start pillarbox.PurgeStart, err error) {
	if err := s.begin(ctx); err != nil {
		return start, err
	}
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	s.mu.Lock()
	start.At = max(pillarbox.TimestampOf(now()), s.latest+1)
	s.begun = start.At
	s.mu.Unlock()
	step := pillarbox.PurgeStep{PurgeFilter: filter, At: start.At}
	start.Matched = uint64(len(s.purgeable(step, len(s.ordered(false)))))
	return start, nil
}

// purgeable lists the keys of what a step selects, oldest first.
func (s *Sink) purgeable(step pillarbox.PurgeStep, limit int) (keys []pillarbox.Key) {
	filter := pillarbox.EventFilter{Source: step.Source, Until: step.Until, After: step.After}
	before := step.At
	if step.StoredBefore != 0 {
		before = min(before, step.StoredBefore)
	}
	for _, event := range s.ordered(false) {
		key := event.Key()
		s.mu.Lock()
		at := s.events[key].at
		s.mu.Unlock()
		if len(keys) < limit && withinKeys(filter, event) && at < before && !step.Keep[key] {
			keys = append(keys, key)
		}
	}
	return keys
}

// Purge implements pillarbox.Purger.
func (s *Sink) Purge(ctx context.Context,
	step pillarbox.PurgeStep) (result pillarbox.PurgeResult, err error) {
	if err := s.begin(ctx); err != nil {
		return result, err
	}
	if step.Limit <= 0 || step.Limit > pillarbox.PurgeStepLimit {
		step.Limit = pillarbox.PurgeStepLimit
	}
	keys := s.purgeable(step, step.Limit)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return result, fmt.Errorf("purge memory: %w", pillarbox.ErrClosed)
	}
	for _, key := range keys {
		if _, there := s.events[key]; there {
			delete(s.events, key)
			result.Deleted++
		}
		result.Last = key
	}
	if result.Deleted > 0 {
		s.recordPurge(pillarbox.Purge{At: step.At, Source: step.Source, Until: result.Last.Timestamp + 1,
			Events: result.Deleted})
	}
	return result, nil
}

// recordPurge adds a step to what is remembered. The caller has the lock.
func (s *Sink) recordPurge(step pillarbox.Purge) {
	purges := slices.Clone(s.purges)
	for i := range purges {
		if purges[i].At == step.At && purges[i].Source == step.Source {
			purges[i].Until = max(purges[i].Until, step.Until)
			purges[i].Events += step.Events
			s.purges = purges
			return
		}
	}
	s.purges = append(purges, step)
}

// Purges implements pillarbox.Purger.
func (s *Sink) Purges() []pillarbox.Purge {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.purges
}
