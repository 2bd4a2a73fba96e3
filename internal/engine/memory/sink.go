package memory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"pillarbox"
	"pillarbox/internal/search"
)

var _ pillarbox.Sink = (*Sink)(nil)

// Sink is an event store in memory. Set the exported fields before the first use. Writes are
// applied at once and as a whole, except for the events that a hook names in a *BatchError. All
// methods may be called concurrently. Reads cost time in proportion to what is stored.
type Sink struct {
	pillarbox.SinkDefaults // it has no identity

	// Fault is called with each batch before it is applied; nil means no faults. The events are the
	// hook's to read during the call. Write returns its error: after a *BatchError all events but the
	// named ones are stored, after any other error none. It may be called concurrently.
	Fault func(events []*pillarbox.Event) error
	// AfterWrite is like Fault, after the batch was stored: an error here is a write whose answer got
	// lost.
	AfterWrite func(events []*pillarbox.Event) error
	// RemoveFault is called with the keys of each Remove before anything is removed; Remove returns its
	// error.
	RemoveFault func(keys []pillarbox.Key) error
	// Now is the clock for StoredAt; nil means time.Now.
	Now func() time.Time

	mu     sync.Mutex
	events map[pillarbox.Key]storedEvent
	purges []pillarbox.Purge
	latest pillarbox.Timestamp // of what was stored
	begun  pillarbox.Timestamp // when the last purge began: nothing is stored earlier any more
	closed bool
}

type storedEvent struct {
	event *pillarbox.Event
	at    pillarbox.Timestamp
}

// NewSink returns an empty sink without faults.
func NewSink() *Sink {
	return &Sink{events: make(map[pillarbox.Key]storedEvent)}
}

// Write implements pillarbox.Sink.
func (s *Sink) Write(ctx context.Context, events []*pillarbox.Event) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	var refused error
	if s.Fault != nil {
		refused = s.Fault(events)
	}
	var batch *pillarbox.BatchError
	if refused != nil && !errors.As(refused, &batch) {
		return refused
	}
	if err := s.store(events, batch); err != nil {
		return err
	}
	if s.AfterWrite != nil {
		if err := s.AfterWrite(events); err != nil {
			return err
		}
	}
	return refused
}

func (s *Sink) begin(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("write to memory: %w", pillarbox.ErrClosed)
	}
	return ctx.Err()
}

// store keeps the events that refused does not name.
func (s *Sink) store(events []*pillarbox.Event, refused *pillarbox.BatchError) error {
	skip := make(map[int]bool)
	if refused != nil {
		for _, item := range refused.Items {
			skip[item.Index] = true
		}
	}
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("write to memory: %w", pillarbox.ErrClosed)
	}
	at := max(pillarbox.TimestampOf(now()), s.begun)
	s.latest = max(s.latest, at)
	for i, event := range events {
		if _, known := s.events[event.Key()]; !known && !skip[i] {
			s.events[event.Key()] = storedEvent{cloneEvent(event), at}
		}
	}
	return nil
}

// cloneEvent copies the texts too: those of the one that is handed in may be parts of somebody's
// buffer.
func cloneEvent(event *pillarbox.Event) *pillarbox.Event {
	clone := *event
	for _, text := range []*string{
		&clone.RequestID, &clone.Source, &clone.Method, &clone.Path, &clone.Query, &clone.ContentType, &clone.RemoteAddr, &clone.Traceparent,
	} {
		*text = strings.Clone(*text)
	}
	clone.Header = slices.Clone(event.Header)
	for i, field := range clone.Header {
		clone.Header[i] = pillarbox.HeaderField{Name: strings.Clone(field.Name),
			Value: strings.Clone(field.Value)}
	}
	clone.Body = slices.Clone(event.Body)
	clone.Facts = event.Facts.Clone()
	return &clone
}

// Find implements pillarbox.EventFinder. Of several events with one request id it returns the
// oldest.
func (s *Sink) Find(ctx context.Context, requestID string) (*pillarbox.Event, error) {
	if requestID == "" { // in a filter it would mean all
		return nil, fmt.Errorf("event without id: %w", pillarbox.ErrNotFound)
	}
	found, err := s.List(ctx, pillarbox.EventFilter{RequestID: requestID, Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("event %s: %w", requestID, pillarbox.ErrNotFound)
	}
	return found[0], nil
}

// List implements pillarbox.EventStore.
func (s *Sink) List(ctx context.Context, filter pillarbox.EventFilter) ([]*pillarbox.Event, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	limit := min(filter.Limit, pillarbox.MaxListLimit)
	if limit <= 0 {
		limit = pillarbox.DefaultListLimit
	}
	var found []*pillarbox.Event
	match, scan := search.Compile(filter.Content), search.Scan{Max: filter.MaxScan}
	for _, event := range s.ordered(filter.Newest) {
		if len(found) == limit {
			break
		}
		if !withinKeys(filter, event) {
			continue
		}
		if scan.Full() {
			return found, scan.Err()
		}
		if filter.Looks() {
			scan.Look(event.Key())
		}
		if filter.Facts.Of(event) && match.Takes(event) {
			found = append(found, cloneEvent(event))
		}
	}
	return found, nil
}

// ordered returns what is stored in the order of keys. Stored events are never changed, so they may
// be read without the lock.
func (s *Sink) ordered(newest bool) []*pillarbox.Event {
	s.mu.Lock()
	events := make([]*pillarbox.Event, 0, len(s.events))
	for _, stored := range s.events {
		events = append(events, stored.event)
	}
	s.mu.Unlock()
	slices.SortFunc(events, func(a, b *pillarbox.Event) int { return compareKeys(a.Key(), b.Key()) })
	if newest {
		slices.Reverse(events)
	}
	return events
}

func compareKeys(a, b pillarbox.Key) int {
	return cmp.Or(cmp.Compare(a.Timestamp, b.Timestamp), cmp.Compare(a.RequestID, b.RequestID))
}

// withinKeys reports whether an event is one of those that may be looked at.
func withinKeys(filter pillarbox.EventFilter, event *pillarbox.Event) bool {
	switch {
	case filter.Source != "" && event.Source != filter.Source,
		filter.RequestID != "" && event.RequestID != filter.RequestID,
		filter.Since != 0 && event.Timestamp < filter.Since,
		filter.Until != 0 && event.Timestamp >= filter.Until:
		return false
	}
	if filter.After == (pillarbox.Key{}) {
		return true
	}
	order := compareKeys(event.Key(), filter.After)
	return order > 0 && !filter.Newest || order < 0 && filter.Newest
}

// Count implements pillarbox.EventStore. It costs no scan.
func (s *Sink) Count(ctx context.Context) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return uint64(len(s.events)), ctx.Err()
}

// Missing implements pillarbox.EventStore.
func (s *Sink) Missing(ctx context.Context, keys []pillarbox.Key) ([]pillarbox.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var missing []pillarbox.Key
	for _, key := range keys {
		if _, known := s.events[key]; !known {
			missing = append(missing, key)
		}
	}
	return missing, ctx.Err()
}

// StoredAt implements pillarbox.EventStore.
func (s *Sink) StoredAt(ctx context.Context, key pillarbox.Key) (pillarbox.Timestamp, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stored, known := s.events[key]
	if !known {
		return 0, fmt.Errorf("event %s: %w", key.RequestID, pillarbox.ErrNotFound)
	}
	return stored.at, ctx.Err()
}

// Remove implements pillarbox.Sink.
func (s *Sink) Remove(ctx context.Context, keys []pillarbox.Key) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	if s.RemoveFault != nil {
		if err := s.RemoveFault(keys); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range keys {
		delete(s.events, key)
	}
	return nil
}

// Close implements pillarbox.Sink. What is stored can still be read.
func (s *Sink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}
