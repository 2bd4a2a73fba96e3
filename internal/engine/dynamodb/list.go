package dynamodb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"pillarbox"
	"pillarbox/internal/search"
)

const (
	// MaxEmptyHours is how many hours in a row a list asks for in vain before it reads all keys of the
	// index.
	MaxEmptyHours = 168
	// ahead is how far behind its clock a list begins or ends, for events of machines whose clocks are
	// ahead.
	ahead = time.Hour
	// MaxLooked is how many items a list reads at most to find those that a filter wants, where the
	// filter has a bound at all: each costs a part of what the table may read in a second.
	MaxLooked = 10_000
	// chunkEvents is how many items are read at once, at most: as many as one call takes.
	chunkEvents = maxBatchKeys
)

// List implements pillarbox.EventStore. The package comment says what it sees and costs.
func (s *Store) List(ctx context.Context,
	filter pillarbox.EventFilter) ([]*pillarbox.Event, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.life.RUnlock()
	found, err := s.list(ctx, filter)
	others, ended := (*pillarbox.UnreadableError)(nil), (*pillarbox.ScanLimitError)(nil)
	if err != nil && !errors.As(err, &others) && !errors.As(err, &ended) {
		return nil, s.failed(ctx, "list", err)
	}
	return found, err
}

// list returns what is no event in an *UnreadableError, beside the events.
func (s *Store) list(ctx context.Context,
	filter pillarbox.EventFilter) ([]*pillarbox.Event, error) {
	filter.Limit = min(filter.Limit, pillarbox.MaxListLimit)
	if filter.Limit <= 0 {
		filter.Limit = pillarbox.DefaultListLimit
	}
	if filter.RequestID != "" && checkKey(pillarbox.Key{RequestID: filter.RequestID}) != nil {
		return nil, nil // no item can have it
	}
	to := &page{Store: s, filter: filter, match: search.Compile(filter.Content)}
	if filter.MaxScan > 0 {
		to.scan.Max = min(filter.MaxScan, MaxLooked)
	}
	within := s.boundsOf(filter)
	var err error
	switch {
	case s.options.Index == "" && filter.Looks():
		err = s.listScanned(ctx, to, pillarbox.MaxListLimit)
	case s.options.Index == "":
		err = s.listScanned(ctx, to, filter.Limit)
	case filter.RequestID != "" && within.hours() > s.emptyHours():
		err = s.listScanned(ctx, to, pillarbox.MaxListLimit)
	default:
		err = s.listHours(ctx, to, within)
	}
	ended := (*pillarbox.ScanLimitError)(nil)
	if to.others.Count > 0 && (err == nil || errors.As(err, &ended)) {
		err = errors.Join(err, &to.others)
	}
	return to.events, err
}

func (s *Store) emptyHours() int { return cmp.Or(s.options.emptyHours, MaxEmptyHours) }

// listScanned scans once more where items that are no events have taken the room of others.
func (s *Store) listScanned(ctx context.Context, to *page, most int) error {
	for ; ; to.scans++ {
		keys, err := s.scanKeys(ctx, to, most)
		if err != nil {
			return err
		}
		for _, key := range keys {
			if done, err := to.add(ctx, candidate{key: key}); done || err != nil {
				return err
			}
		}
		if err := to.flush(ctx); err != nil || to.full() || len(keys) < most {
			return err
		}
		to.filter.After = keys[len(keys)-1]
	}
}

// listHours walks through the hours of the index until the page is full or the bounds are reached.
func (s *Store) listHours(ctx context.Context, to *page, within bounds) error {
	step, hour, last := time.Hour, within.first(), within.last()
	if to.filter.Newest {
		step, hour, last = -time.Hour, last, hour
	}
	empty := 0
	if !to.filter.Newest && !within.begins {
		empty = s.emptyHours()
	}
	for step > 0 && !hour.After(last) || step < 0 && !hour.Before(last) {
		if empty == s.emptyHours() {
			next, found, err := s.nextHour(ctx, within.from(hour, to.filter.Newest), to.filter.Newest)
			if err != nil || !found {
				return err
			}
			hour, empty = next, 0
		}
		n, err := s.listHour(ctx, to, within, hour)
		if err != nil || to.full() {
			return err
		}
		if empty++; n > 0 {
			empty = 0
		}
		hour = hour.Add(step)
	}
	return nil
}

// candidate is an event that may belong into a list.
type candidate struct {
	key  pillarbox.Key
	item item // complete, or nil where only the key is known
}

// page is a page of a list that is being filled, in order.
type page struct {
	*Store
	filter  pillarbox.EventFilter
	waiting []candidate
	events  []*pillarbox.Event
	scans   int // of the table, done before
	match   *search.Match
	scan    search.Scan

	mu     sync.Mutex
	others pillarbox.UnreadableError // guarded by mu
}

// passOver names an item that is no event, and reports whether that is all that is wrong.
func (p *page) passOver(err error) bool {
	if !errors.Is(err, pillarbox.ErrCorrupt) && !errors.Is(err, pillarbox.ErrNotFound) { // of a body
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.others.Add(err.Error())
	return true
}

// looks reports whether items have to be read to know whether they are listed: there is no index of
// sources.
func (p *page) looks() bool { return p.filter.Source != "" || p.filter.Looks() }

func (p *page) full() bool { return len(p.events) >= p.filter.Limit }

// add takes the next candidate, and reports whether the page is full. What it takes may wait until
// flush.
func (p *page) add(ctx context.Context, next candidate) (done bool, err error) {
	if !matchesKey(p.filter, next.key) {
		return false, nil
	}
	if p.scan.Full() {
		if err := p.flush(ctx); err != nil || p.full() {
			return true, err
		}
		return true, p.scan.Err()
	}
	p.waiting = append(p.waiting, next)
	wanted := p.filter.Limit - len(p.events)
	if p.looks() { // many of them may be other ones
		p.scan.Look(next.key)
		wanted = max(wanted, chunkEvents/4)
	}
	if len(p.waiting) < min(wanted, chunkEvents) {
		return false, nil
	}
	err = p.flush(ctx)
	return p.full(), err
}

// flush reads the items of those that wait. One that is not there any more is left out, and one
// that is no event is passed over.
func (p *page) flush(ctx context.Context) error {
	items, err := p.readWaiting(ctx)
	if err != nil {
		return err
	}
	var events []*pillarbox.Event
	var claims []*pillarbox.Claim
	for _, c := range p.waiting {
		if items[c.key] == nil {
			continue
		}
		event, claim, err := decode(items[c.key])
		if err != nil && !p.passOver(err) {
			return err
		}
		if err == nil && (p.filter.Source == "" || event.Source == p.filter.Source) &&
			p.filter.Facts.Of(event) && p.match.Takes(event) {
			events, claims = append(events, event), append(claims, claim)
		}
	}
	p.waiting = p.waiting[:0]
	return p.take(ctx, events, claims)
}

// readWaiting returns the items of those that wait, as far as they are there.
func (p *page) readWaiting(ctx context.Context) (map[pillarbox.Key]item, error) {
	var keys []pillarbox.Key
	items := make(map[pillarbox.Key]item, len(p.waiting))
	for _, c := range p.waiting {
		if c.item == nil {
			keys = append(keys, c.key)
		} else {
			items[c.key] = c.item
		}
	}
	read, err := p.get(ctx, keys, false)
	if err != nil {
		return nil, err
	}
	for _, i := range read {
		key, err := decodeKey(i)
		if err != nil {
			return nil, err
		}
		items[key] = i
	}
	return items, nil
}

// take fills the page with events whose bodies can be had.
func (p *page) take(ctx context.Context, events []*pillarbox.Event,
	claims []*pillarbox.Claim) error {
	for len(events) > 0 && !p.full() {
		n := min(len(events), p.filter.Limit-len(p.events))
		for i, err := range p.restore(ctx, events[:n], claims[:n]) {
			switch {
			case err == nil:
				p.events = append(p.events, events[i])
			case !p.passOver(err):
				return err
			}
		}
		events, claims = events[n:], claims[n:]
	}
	return nil
}

// matchesKey reports whether the filter takes an event with this key.
func matchesKey(filter pillarbox.EventFilter, key pillarbox.Key) bool {
	switch {
	case filter.RequestID != "" && key.RequestID != filter.RequestID,
		filter.Since != 0 && key.Timestamp < filter.Since,
		filter.Until != 0 && key.Timestamp >= filter.Until:
		return false
	}
	return filter.After == pillarbox.Key{} || compareKeys(key, filter.After, filter.Newest) > 0
}

// compareKeys orders keys as a list does.
func compareKeys(a, b pillarbox.Key, newest bool) int {
	order := cmp.Or(cmp.Compare(a.Timestamp, b.Timestamp), cmp.Compare(a.RequestID, b.RequestID))
	if newest {
		return -order
	}
	return order
}

// Find implements pillarbox.EventFinder. Of several events with one request id it returns the
// oldest of those whose time is that of the id, or where there is none the oldest. The package
// comment says what it costs.
func (s *Store) Find(ctx context.Context, requestID string) (*pillarbox.Event, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.life.RUnlock()
	found, err := s.find(ctx, requestID)
	if err != nil {
		return nil, s.failed(ctx, "find in", err)
	}
	return found, nil
}

func (s *Store) find(ctx context.Context, requestID string) (*pillarbox.Event, error) {
	filter := pillarbox.EventFilter{RequestID: requestID, Limit: 1}
	if requestID == "" { // in a filter it would mean all
		return nil, fmt.Errorf("event without id: %w", pillarbox.ErrNotFound)
	}
	if since, until, ok := timesNear(requestID); ok && s.options.Index != "" {
		near := filter
		near.Since, near.Until = since, until
		found, err := s.list(ctx, near)
		if len(found) > 0 {
			return found[0], nil
		}
		if err != nil {
			return nil, err
		}
	}
	found, err := s.list(ctx, filter)
	if len(found) > 0 {
		return found[0], nil
	}
	if err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("event %s: %w", requestID, pillarbox.ErrNotFound)
}
