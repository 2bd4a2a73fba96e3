package memory

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"

	"pillarbox"
)

var _ pillarbox.DeadLetters = (*DeadLetters)(nil)

// DeadLetters keeps dead letters in memory. Set the exported fields before the first use. All
// methods may be called concurrently; none reads a letter from anywhere, so ErrCorrupt does not
// occur.
type DeadLetters struct {
	// Fault is called with each letter before PutMany keeps it; nil means no faults. PutMany returns
	// its error for that letter, and does not keep it. It may be called concurrently.
	Fault func(letter *pillarbox.DeadLetter) error

	mu      sync.Mutex
	letters map[letterKey]*pillarbox.DeadLetter // never changed once inside, only replaced
	closed  bool
}

type letterKey struct {
	destination string
	key         pillarbox.Key
}

// NewDeadLetters returns an empty store without faults.
func NewDeadLetters() *DeadLetters {
	return &DeadLetters{letters: make(map[letterKey]*pillarbox.DeadLetter)}
}

// PutMany implements pillarbox.DeadLetters.
func (d *DeadLetters) PutMany(ctx context.Context, letters []*pillarbox.DeadLetter) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var refused pillarbox.BatchError
	kept := make([]*pillarbox.DeadLetter, 0, len(letters))
	for i, letter := range letters {
		if d.Fault != nil {
			if err := d.Fault(letter); err != nil {
				refused.Items = append(refused.Items, pillarbox.ItemError{Index: i, Err: err})
				continue
			}
		}
		opened := cloneLetter(letter)
		opened.Resolved = nil
		kept = append(kept, opened)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return fmt.Errorf("put dead letters: %w", pillarbox.ErrClosed)
	}
	for _, letter := range kept {
		d.letters[letterKey{letter.Destination, letter.Event.Key()}] = letter
	}
	if len(refused.Items) > 0 {
		return &refused
	}
	return nil
}

func cloneLetter(letter *pillarbox.DeadLetter) *pillarbox.DeadLetter {
	clone := *letter
	clone.Attempts = slices.Clone(letter.Attempts)
	clone.Event = cloneEvent(letter.Event)
	if letter.Resolved != nil {
		resolved := *letter.Resolved
		clone.Resolved = &resolved
	}
	return &clone
}

// Get implements pillarbox.DeadLetters. Of several letters of one destination with one request id
// it returns the one that comes last in List.
func (d *DeadLetters) Get(ctx context.Context, destination,
	requestID string) (*pillarbox.DeadLetter, error) {
	filter := pillarbox.DeadLetterFilter{Destination: destination, RequestIDs: []string{requestID},
		Resolved: true}
	var found *pillarbox.DeadLetter
	for letter, err := range d.List(ctx, filter) {
		if err != nil {
			return nil, err
		}
		if found != nil && found.Destination != letter.Destination {
			return nil, fmt.Errorf("dead letter %s is in %s and %s: %w",
				requestID, found.Destination, letter.Destination, pillarbox.ErrConflict)
		}
		found = letter
	}
	if found == nil {
		return nil, fmt.Errorf("dead letter %s: %w", requestID, pillarbox.ErrNotFound)
	}
	return found, nil
}

// List implements pillarbox.DeadLetters. The walk sees the letters as they were when it began.
// Letters of one day and one event are ordered by destination.
func (d *DeadLetters) List(ctx context.Context,
	filter pillarbox.DeadLetterFilter) iter.Seq2[*pillarbox.DeadLetter, error] {
	return func(yield func(*pillarbox.DeadLetter, error) bool) {
		for _, letter := range d.ordered(filter) {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			if !yield(cloneLetter(letter), nil) {
				return
			}
		}
	}
}

func (d *DeadLetters) ordered(filter pillarbox.DeadLetterFilter) []*pillarbox.DeadLetter {
	d.mu.Lock()
	defer d.mu.Unlock()
	var found []*pillarbox.DeadLetter
	for _, letter := range d.letters {
		if filter.Match(letter) {
			found = append(found, letter)
		}
	}
	slices.SortFunc(found, func(a, b *pillarbox.DeadLetter) int {
		if byDay := strings.Compare(day(a), day(b)); byDay != 0 {
			return byDay
		}
		if byKey := compareKeys(a.Event.Key(), b.Event.Key()); byKey != 0 {
			return byKey
		}
		return strings.Compare(a.Destination, b.Destination)
	})
	return found
}

// day returns the day of death, such as 2026-11-23.
func day(letter *pillarbox.DeadLetter) string { return letter.DeadAt.String()[:len("2006-01-02")] }

// Summaries implements pillarbox.DeadLetters. No letter is ever missing.
func (d *DeadLetters) Summaries(ctx context.Context,
	filter pillarbox.DeadLetterFilter) iter.Seq2[pillarbox.DeadLetterSummary, error] {
	return func(yield func(pillarbox.DeadLetterSummary, error) bool) {
		for _, letter := range d.ordered(filter) {
			if err := ctx.Err(); err != nil {
				yield(pillarbox.DeadLetterSummary{}, err)
				return
			}
			if !yield(letter.Summary(), nil) {
				return
			}
		}
	}
}

// ResolveMany implements pillarbox.DeadLetters.
func (d *DeadLetters) ResolveMany(ctx context.Context, letters []pillarbox.DeadLetterKey,
	resolution pillarbox.Resolution) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return fmt.Errorf("resolve dead letters: %w", pillarbox.ErrClosed)
	}
	var refused pillarbox.BatchError
	for i, one := range letters {
		name := letterKey{one.Destination, one.Key}
		letter := d.letters[name]
		if letter == nil {
			err := fmt.Errorf("dead letter %s of %s: %w", one.Key.RequestID, one.Destination,
				pillarbox.ErrNotFound)
			refused.Items = append(refused.Items, pillarbox.ItemError{Index: i, Err: err})
			continue
		}
		if letter.Resolved == nil {
			resolved := cloneLetter(letter)
			how := resolution
			resolved.Resolved = &how
			d.letters[name] = resolved
		}
	}
	if len(refused.Items) > 0 {
		return &refused
	}
	return nil
}

// Count implements pillarbox.DeadLetters.
func (d *DeadLetters) Count(ctx context.Context,
	destination string) (pillarbox.DeadLetterCount, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var count pillarbox.DeadLetterCount
	for name, letter := range d.letters {
		switch {
		case name.destination != destination:
		case letter.Resolved == nil:
			count.Open++
		case letter.Resolved.How == pillarbox.ResolvedReplayed:
			count.Replayed++
		default:
			count.Discarded++
		}
	}
	return count, ctx.Err()
}

// Close implements pillarbox.DeadLetters. What is kept can still be read.
func (d *DeadLetters) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	return nil
}
