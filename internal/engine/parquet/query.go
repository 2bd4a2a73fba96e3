package parquet

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"pillarbox"
	"pillarbox/internal/requestid"
	"pillarbox/internal/search"
)

// maxViews is how often a reader begins anew because files are gone that it was about to read. Each
// time it has taken longer than the grace of a file.
const maxViews = 8

// reading calls look with what counts, and again where that has changed for so long that files are
// gone.
func (s *Store) reading(ctx context.Context, doing string, look func(v *view) error) error {
	return s.call(ctx, doing, func() error {
		for range maxViews {
			v, err := s.snapshot(ctx)
			if err != nil {
				return err
			}
			if err = look(v); !errors.Is(err, errGone) {
				return err
			}
			last, err := s.isLast(ctx, v)
			if err != nil {
				return err
			}
			if last {
				return look(v.asLast())
			}
		}
		return fmt.Errorf("it changes faster than it can be read: %w", errGone)
	})
}

// isLast reports whether a view is still what counts.
func (s *Store) isLast(ctx context.Context, v *view) (bool, error) {
	if err := s.lock(ctx); err != nil {
		return false, err
	}
	defer s.unlock()
	now, err := s.readyLocked(ctx)
	return err == nil && now.manifest == v.manifest, err
}

// Find implements pillarbox.Sink. Of several events with one request id it returns the oldest.
func (s *Store) Find(ctx context.Context, requestID string) (*pillarbox.Event, error) {
	if requestID == "" { // in a filter it would mean all
		return nil, fmt.Errorf("event without id: %w", pillarbox.ErrNotFound)
	}
	found, err := s.list(ctx, "find in", pillarbox.EventFilter{RequestID: requestID, Limit: 1})
	if len(found) == 1 { // beside it there may be files that can't be read
		return found[0], nil
	}
	if err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("event %s in %s: %w", requestID, s.dir, pillarbox.ErrNotFound)
}

// List implements pillarbox.Sink. A filter by source reads the files of that source alone; one by
// facts or content, all events between Since and Until.
func (s *Store) List(ctx context.Context, filter pillarbox.EventFilter) ([]*pillarbox.Event, error) {
	return s.list(ctx, "list", filter)
}

func (s *Store) list(ctx context.Context, doing string, filter pillarbox.EventFilter) (found []*pillarbox.Event, err error) {
	l := listing{ctx: ctx, filter: filter, limit: filter.PageLimit(), match: search.Compile(filter.Content)}
	var ended error
	err = s.reading(ctx, doing, func(v *view) error {
		l.view, l.found, l.others, ended = v, nil, pillarbox.UnreadableError{}, nil
		l.scan = search.Scan{Max: filter.MaxScan}
		err := l.run()
		if errors.Is(err, errScanned) {
			ended, err = l.scan.Err(), nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if l.others.Count > 0 {
		return l.found, errors.Join(ended, &l.others)
	}
	return l.found, ended
}

// errScanned ends a list that may look at no other event.
var errScanned = errors.New("as many events as may be were looked at")

// listing is a List under way.
type listing struct {
	ctx    context.Context
	view   *view
	filter pillarbox.EventFilter
	limit  int
	found  []*pillarbox.Event
	others pillarbox.UnreadableError
	match  *search.Match
	scan   search.Scan
}

// run goes through the hours in order: no file has events of two of them.
func (l *listing) run() error {
	days := l.view.dayNames()
	if l.filter.Newest {
		slices.Reverse(days)
	}
	for _, day := range days {
		if !l.wantsDay(day) {
			continue
		}
		files, err := l.view.files(day)
		if err != nil {
			return err
		}
		for _, hour := range hoursOf(files, l.filter.Newest) {
			if err := l.hour(inHour(files, hour)); err != nil {
				return err
			}
			if len(l.found) >= l.limit {
				return nil
			}
		}
	}
	return nil
}

// hoursOf are the hours of files, in order.
func hoursOf(files []entry, newest bool) (hours []pillarbox.Timestamp) {
	for i := range files {
		hours = append(hours, files[i].hour())
	}
	hours = slices.Compact(hours)
	if newest {
		slices.Reverse(hours)
	}
	return hours
}

// bounds are the times that events must have, both inclusive.
func (l *listing) bounds() (since, until pillarbox.Timestamp) {
	since, until = firstTime, lastTime
	if l.filter.Since != 0 {
		since = max(since, l.filter.Since)
	}
	if l.filter.Until != 0 {
		until = min(until, l.filter.Until-1)
	}
	if l.filter.After != (pillarbox.Key{}) && l.filter.Newest {
		until = min(until, l.filter.After.Timestamp)
	} else if l.filter.After != (pillarbox.Key{}) {
		since = max(since, l.filter.After.Timestamp)
	}
	return since, until
}

// near narrows bounds to where the request id of the filter says that its event is; odd says that it
// need not be there.
func (l *listing) near(since, until pillarbox.Timestamp, odd bool) (pillarbox.Timestamp, pillarbox.Timestamp) {
	if l.filter.RequestID == "" || odd {
		return since, until
	}
	from, to, tells := requestid.TimesNear(l.filter.RequestID)
	if !tells {
		return lastTime, firstTime // nowhere
	}
	return max(since, from), min(until, to)
}

func (l *listing) wantsDay(day string) bool {
	since, until := l.bounds()
	since, until = l.near(since, until, l.view.isOdd(day))
	return since <= until && day >= dayOf(since) && day <= dayOf(until)
}

func (l *listing) wantsFile(e *entry) bool {
	since, until := l.bounds()
	since, until = l.near(since, until, e.Odd)
	return e.First.Timestamp <= until && e.Last.Timestamp >= since && (l.filter.Source == "" || e.Source == l.filter.Source)
}

// wants reports whether a row is listed, whose key is within the bounds.
func (l *listing) wants(r *row) bool {
	f := &l.filter
	return (f.Source == "" || r.Source == f.Source) && (f.RequestID == "" || r.RequestID == f.RequestID)
}

func (l *listing) within(key pillarbox.Key) bool {
	since, until := l.bounds()
	if key.Timestamp < since || key.Timestamp > until {
		return false
	}
	after := l.filter.After
	switch {
	case after == (pillarbox.Key{}):
		return true
	case l.filter.Newest:
		return compareKeys(key, after) < 0
	}
	return compareKeys(key, after) > 0
}

// hour lists the events of one hour: the files of its sources are merged.
func (l *listing) hour(files []entry) error {
	var cursors []*cursor
	defer func() {
		for _, c := range cursors {
			c.close()
		}
	}()
	for i := range files {
		if l.wantsFile(&files[i]) {
			cursors = append(cursors, newCursor(l.view, &files[i], l.filter.Newest))
		}
	}
	for len(cursors) > 0 && len(l.found) < l.limit {
		if err := l.ctx.Err(); err != nil {
			return err
		}
		first := slices.MinFunc(cursors, compareCursors)
		ended, err := l.take(first)
		if errors.Is(err, pillarbox.ErrCorrupt) {
			l.unreadable(first, err)
			ended, err = true, nil
		}
		if err != nil {
			return err
		}
		if ended {
			first.close()
			cursors = slices.DeleteFunc(cursors, func(c *cursor) bool { return c == first })
		}
	}
	return nil
}

// unreadable counts all events of a file that has not been read to its end, which it may hold.
func (l *listing) unreadable(c *cursor, err error) {
	rest := c.entry.Rows - c.passed
	l.others.Add(fmt.Sprintf("%v: %d events can't be read", err, rest))
	l.others.Count += int(max(0, rest-1))
}

// take lists the event at which a cursor stands, or moves it to where events may be listed.
func (l *listing) take(c *cursor) (ended bool, err error) {
	if c.file == nil {
		since, until := l.bounds()
		since, until = l.near(since, until, c.entry.Odd)
		return c.open(since, until, l.filter.RequestID)
	}
	r := &c.rows[c.at]
	if l.within(r.key()) && l.wants(r) {
		if l.scan.Full() {
			return false, errScanned
		}
		if l.filter.Looks() {
			l.scan.Look(r.key())
		}
		event, err := r.event()
		switch {
		case err != nil:
			l.others.Add(fmt.Sprintf("event %s of %s in %s: %v", r.RequestID, r.key().Timestamp, c.entry.Path, err))
		case l.filter.Facts.Of(event) && l.match.Takes(event):
			l.found = append(l.found, event)
		}
	}
	return c.next()
}

// Count implements pillarbox.Sink. It costs nothing: the manifest says it.
func (s *Store) Count(ctx context.Context) (count uint64, err error) {
	err = s.reading(ctx, "count in", func(v *view) error {
		count = v.Events
		return nil
	})
	return count, err
}

// Missing implements pillarbox.Sink. A file that can't be read, and may have one of the keys, is an
// error that matches ErrCorrupt.
func (s *Store) Missing(ctx context.Context, keys []pillarbox.Key) (missing []pillarbox.Key, err error) {
	sorted := slices.SortedFunc(slices.Values(keys), compareKeys)
	sorted = slices.Compact(sorted)
	var there []bool
	err = s.reading(ctx, "look up keys in", func(v *view) (err error) {
		there, err = v.sureStored(ctx, sorted)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		if at, _ := slices.BinarySearchFunc(sorted, key, compareKeys); !there[at] {
			missing = append(missing, key)
		}
	}
	return missing, nil
}

func (v *view) sureStored(ctx context.Context, keys []pillarbox.Key) ([]bool, error) {
	there, unknown, err := v.stored(ctx, keys)
	if err != nil {
		return nil, err
	}
	for i := range keys {
		if unknown[i] != nil {
			return nil, unknown[i]
		}
	}
	return there, nil
}

// StoredAt implements pillarbox.Sink.
func (s *Store) StoredAt(ctx context.Context, key pillarbox.Key) (at pillarbox.Timestamp, err error) {
	err = s.reading(ctx, "look up an event in", func(v *view) error {
		files, err := v.files(dayOf(key.Timestamp))
		if err != nil {
			return err
		}
		for _, e := range inHour(files, hourOf(key.Timestamp)) {
			if !e.covers(key) {
				continue
			}
			found, err := v.storedAt(&e, key)
			if err != nil || found != 0 {
				at = found
				return err
			}
		}
		return fmt.Errorf("event %s: %w", key.RequestID, pillarbox.ErrNotFound)
	})
	return at, err
}

// storedAt returns 0 where the event is not in the file.
func (v *view) storedAt(e *entry, key pillarbox.Key) (at pillarbox.Timestamp, err error) {
	c := newCursor(v, e, false)
	defer c.close()
	ended, err := c.open(key.Timestamp, key.Timestamp, key.RequestID)
	for ; err == nil && !ended; ended, err = c.next() {
		r := &c.rows[c.at]
		if order := compareKeys(r.key(), key); order == 0 {
			return pillarbox.Timestamp(r.StoredAt), nil
		} else if order > 0 {
			return 0, nil
		}
	}
	return 0, err
}
