package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"pillarbox"
)

const (
	// parallelWrites is how many calls of one Write run at once.
	parallelWrites = 4
	// parallelBodies is how many bodies are put or fetched at once. Each may be as large as a request.
	parallelBodies = 4
)

// row is an event of a Write, without its repetitions, and what becomes of it.
type row struct {
	event   *pillarbox.Event
	indexes []int // in the slice that was handed over
	item    item
	bytes   int   // over the wire
	err     error // why it is not stored
}

// Write implements pillarbox.Sink. Next to what the contract says:
//   - ErrUnavailable for everything that is wrong with DynamoDB, the table, the network or the permissions. Where it
//     met some events only, they are named in a *pillarbox.BatchError.
//   - *pillarbox.BatchError for single events: a PermanentError for one that is too large or has an impossible key,
//     or that DynamoDB refused alone.
//   - another error where DynamoDB refused several events in one call: it does not say which is to blame.
func (s *Store) Write(ctx context.Context, events []*pillarbox.Event) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.life.RUnlock()
	rows := rowsOf(events)
	s.prepare(ctx, rows)
	calls := split(rows)
	refusals := make([]error, len(calls))
	inParallel(len(calls), parallelWrites, func(i int) { refusals[i] = s.put(ctx, calls[i]) })
	return result(rows, errors.Join(refusals...))
}

// rowsOf takes the events apart by key. DynamoDB refuses a call in which a key comes twice.
func rowsOf(events []*pillarbox.Event) []*row {
	var rows []*row
	known := make(map[pillarbox.Key]*row, len(events))
	for i, event := range events {
		r := known[event.Key()]
		if r == nil {
			r = &row{event: event}
			known[event.Key()] = r
			rows = append(rows, r)
		}
		r.indexes = append(r.indexes, i)
	}
	return rows
}

// prepare makes the items, and puts bodies away with which they would be too large.
func (s *Store) prepare(ctx context.Context, rows []*row) {
	storedAt := pillarbox.TimestampOf(s.options.Now())
	var large []*row
	for _, r := range rows {
		if err := checkKey(r.event.Key()); err != nil {
			r.err = pillarbox.Permanent(err)
			continue
		}
		if r.item = s.encode(r.event, nil, storedAt); sizeOf(r.item) > MaxItemBytes {
			large = append(large, r)
		}
	}
	inParallel(len(large), parallelBodies, func(i int) {
		r := large[i]
		claim, err := s.putBody(ctx, r.event)
		if err == nil {
			r.item = s.encode(r.event, &claim, storedAt)
			err = checkRest(sizeOf(r.item))
		}
		r.err = err
	})
	for _, r := range rows {
		if r.err == nil {
			r.bytes = wireBytes(r.item)
		}
	}
}

// checkRest refuses an event that is too large without its body.
func checkRest(size int) error {
	if size <= MaxItemBytes {
		return nil
	}
	return pillarbox.Permanent(fmt.Errorf(
		"event without its body has %d bytes as an item, DynamoDB takes %d: %w", size, MaxItemBytes, pillarbox.ErrTooLarge))
}

// putBody makes the body durable elsewhere. It does not when the event would be refused all the
// same.
func (s *Store) putBody(ctx context.Context, event *pillarbox.Event) (pillarbox.Claim, error) {
	rest := *event
	rest.Body = nil
	if err := checkRest(sizeOf(s.encode(&rest, nil, 0))); err != nil {
		return pillarbox.Claim{}, err
	}
	if s.options.Bodies == nil {
		return pillarbox.Claim{}, pillarbox.Permanent(
			fmt.Errorf("body of %d bytes, DynamoDB takes items of %d and there is no other place for it (bodies.url): %w",
				len(event.Body), MaxItemBytes, pillarbox.ErrTooLarge))
	}
	claim, err := s.options.Bodies.Put(ctx, event.Key(), event.Body)
	if err != nil {
		return pillarbox.Claim{}, fmt.Errorf("put the body away: %w", err)
	}
	return claim, nil
}

// split deals the rows out to calls within DynamoDB's bounds.
func split(rows []*row) [][]*row {
	var calls [][]*row
	bytes := 0
	for _, r := range rows {
		if r.err != nil {
			continue
		}
		last := len(calls) - 1
		if last < 0 || len(calls[last]) == maxBatchWrites || bytes+r.bytes > maxBatchBytes {
			calls = append(calls, nil)
			last, bytes = last+1, 0
		}
		calls[last] = append(calls[last], r)
		bytes += r.bytes
	}
	return calls
}

// result says what became of the events. refused is set where a call of several events was refused
// as a whole, so that it is not known which of them is to blame.
func result(rows []*row, refused error) error {
	var named []pillarbox.ItemError
	var down error
	onlyDown := true
	for _, r := range rows {
		switch {
		case r.err == nil:
			onlyDown = false
			continue
		case isDown(r.err):
			down = r.err
		default:
			onlyDown = false
		}
		for _, i := range r.indexes {
			named = append(named, pillarbox.ItemError{Index: i, Err: r.err})
		}
	}
	switch {
	case refused != nil:
		return errors.Join(refused, down)
	case len(named) == 0:
		return nil
	case onlyDown:
		return down
	}
	slices.SortFunc(named, func(a, b pillarbox.ItemError) int { return a.Index - b.Index })
	return &pillarbox.BatchError{Items: named}
}

// isDown reports whether the error is an outage, of DynamoDB or of the place for bodies, or the end
// of the context.
func isDown(err error) bool {
	return errors.Is(err, pillarbox.ErrUnavailable) || errors.Is(err, pillarbox.ErrClosed) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
