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

// DeadLetters keeps dead letters in memory. Set the exported fields before the first use. All methods may be
// called concurrently; none reads a letter from anywhere, so ErrCorrupt does not occur.
type DeadLetters struct {
	// Fault is called with each letter before Put keeps it; nil means no faults. Put returns its error and
	// then keeps nothing. It may be called concurrently.
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

// Put implements pillarbox.DeadLetters.
func (d *DeadLetters) Put(ctx context.Context, letter *pillarbox.DeadLetter) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if d.Fault != nil {
		if err := d.Fault(letter); err != nil {
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return fmt.Errorf("put dead letter: %w", pillarbox.ErrClosed)
	}
	opened := cloneLetter(letter)
	opened.Resolved = nil
	d.letters[letterKey{letter.Destination, letter.Event.Key()}] = opened
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

// Get implements pillarbox.DeadLetters. Of several letters of one destination with one request id it returns
// the one that comes last in List.
func (d *DeadLetters) Get(ctx context.Context, destination, requestID string) (*pillarbox.DeadLetter, error) {
	filter := pillarbox.LetterFilter{Destination: destination, RequestIDs: []string{requestID}, Resolved: true}
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

// List implements pillarbox.DeadLetters. The walk sees the letters as they were when it began. Letters of one
// day and one event are ordered by destination.
func (d *DeadLetters) List(ctx context.Context, filter pillarbox.LetterFilter) iter.Seq2[*pillarbox.DeadLetter, error] {
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

func (d *DeadLetters) ordered(filter pillarbox.LetterFilter) []*pillarbox.DeadLetter {
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

// Resolve implements pillarbox.DeadLetters.
func (d *DeadLetters) Resolve(ctx context.Context, destination string, key pillarbox.Key, resolution pillarbox.Resolution) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return fmt.Errorf("resolve dead letter: %w", pillarbox.ErrClosed)
	}
	name := letterKey{destination, key}
	letter := d.letters[name]
	if letter == nil {
		return fmt.Errorf("dead letter %s of %s: %w", key.RequestID, destination, pillarbox.ErrNotFound)
	}
	if letter.Resolved == nil {
		resolved := cloneLetter(letter)
		resolved.Resolved = &resolution
		d.letters[name] = resolved
	}
	return nil
}

// Count implements pillarbox.DeadLetters.
func (d *DeadLetters) Count(ctx context.Context, destination string) (pillarbox.LetterCount, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var count pillarbox.LetterCount
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
