package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"pillarbox"
)

// Redelivery is what a destination got back.
type Redelivery struct {
	Destination string `json:"destination"`
	Missing     uint64 `json:"missing"`         // settled events that are neither in the destination nor dead letters, and that the queue has
	Redelivered uint64 `json:"redelivered"`     // of these, what is handed out again
	Replayed    uint64 `json:"replayed"`        // of these, what a replay had stored: replay the letter again
	Store       string `json:"store,omitempty"` // what had become of the store, as it was known
}

// Redeliver hands out again what an audit would name, as far as the queue still has it, for one
// destination or, where the name is empty, for all that can be read back. What is on the record of
// their stores is cleared by that.
func (l *Ledger) Redeliver(ctx context.Context, name string) ([]Redelivery, error) {
	if !l.queue.Traits().Obliges {
		return nil, pillarbox.Invalid("the queue is shared with others, and hands nothing out again")
	}
	results, known := []Redelivery{}, false
	for _, destination := range l.destinations() {
		if name != "" && destination.Name != name {
			continue
		}
		known = true
		store, readable := destination.store()
		if !readable {
			continue
		}
		result, err := l.redeliver(ctx, l.queue, store, destination)
		results = append(results, result)
		if err != nil {
			return results, fmt.Errorf("redeliver to %s: %w", destination.Name, err)
		}
	}
	if !known {
		return nil, fmt.Errorf("there is no destination %q: %w", name, pillarbox.ErrNotFound)
	}
	return results, nil
}

func (l *Ledger) redeliver(ctx context.Context, queue pillarbox.Obligations,
	store pillarbox.Sink, destination Destination) (Redelivery, error) {
	record := queue.Store(destination.Name)
	lost := &losses{result: Redelivery{Destination: destination.Name, Store: record.Changed},
		events: map[pillarbox.Key]pillarbox.Handle{}, sources: map[pillarbox.Key]string{}}
	err := queue.ScanSettled(ctx, destination.Name, func(d *pillarbox.Delivery) error {
		lost.sources[d.Event.Key()] = strings.Clone(d.Event.Source)
		if lost.events[d.Event.Key()] = d.Handle; len(lost.events) < lookups {
			return nil
		}
		return l.findLost(ctx, store, lost)
	})
	if err = errors.Join(err, l.findLost(ctx, store, lost)); err != nil {
		return lost.result, err
	}
	// A letter that was missing before, and whose event has been redelivered and stored since, is dead
	// no more.
	entry, err := l.entry(ctx, destination)
	if err != nil {
		return lost.result, err
	}
	redelivered, err := queue.Redeliver(ctx, destination.Name, lost.handles,
		min(lost.dead, entry.lettersMissing))
	lost.result.Redelivered = uint64(redelivered)
	if err != nil || record.Changed == "" {
		return lost.result, err
	}
	now := queue.Store(destination.Name) // a write may have come in between
	now.Changed, now.At = "", 0
	return lost.result, queue.SetStore(ctx, destination.Name, now)
}

// losses are settled events that are neither stored nor dead letters.
type losses struct {
	result  Redelivery
	events  map[pillarbox.Key]pillarbox.Handle // to be looked up
	sources map[pillarbox.Key]string           // of the events
	handles []pillarbox.Handle                 // that were found to be lost
	dead    uint64                             // of these, dead letters whose files were removed
}

// findLost looks up the events that were gathered.
func (l *Ledger) findLost(ctx context.Context, store pillarbox.Sink, lost *losses) error {
	defer clear(lost.events)
	defer clear(lost.sources)
	missing, err := store.Missing(ctx, slices.Collect(maps.Keys(lost.events)))
	if err != nil {
		return fmt.Errorf("look events up: %w", err)
	}
	states, err := l.letterStates(ctx, lost.result.Destination, missing)
	if err != nil {
		return err
	}
	slices.SortFunc(missing, func(x, y pillarbox.Key) int {
		return cmp.Compare(lost.events[x].Seq, lost.events[y].Seq)
	})
	purges := store.Purges()
	for _, key := range missing {
		if isPurged(key, lost.sources[key], states[key], purges) {
			continue // what was purged does not come back
		}
		switch states[key] {
		case pillarbox.DeadLetterOpen, pillarbox.ResolvedDiscarded, letterUnreadable:
			continue
		case pillarbox.ResolvedReplayed:
			lost.result.Replayed++
		case pillarbox.DeadLetterMissing:
			lost.dead++
			lost.handles = append(lost.handles, lost.events[key])
		default:
			lost.handles = append(lost.handles, lost.events[key])
		}
		lost.result.Missing++
	}
	return nil
}
