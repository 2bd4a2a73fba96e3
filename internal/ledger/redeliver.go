package ledger

import (
	"context"
	"errors"
	"fmt"

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

// Redeliver hands out again what an audit would name, as far as the queue still has it, for one destination or, where the name
// is empty, for all that can be read back. What is on the record of their stores is cleared by that.
func (b *Books) Redeliver(ctx context.Context, name string) ([]Redelivery, error) {
	queue, ok := b.queue.(pillarbox.Obligations)
	if !ok {
		return nil, fmt.Errorf("the queue is shared with others, and hands nothing out again: %w", pillarbox.ErrInvalid)
	}
	results, known := []Redelivery{}, false
	for _, destination := range b.destinations {
		if name != "" && destination.Name != name {
			continue
		}
		known = true
		store, readable := destination.Sink.(pillarbox.EventStore)
		if !readable {
			continue
		}
		result, err := b.redeliver(ctx, queue, store, destination)
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

func (b *Books) redeliver(ctx context.Context, queue pillarbox.Obligations, store pillarbox.EventStore, destination Destination) (Redelivery, error) {
	record := queue.Store(destination.Name)
	result := Redelivery{Destination: destination.Name, Store: record.Changed}
	entry, err := b.entry(ctx, destination)
	if err != nil {
		return result, err
	}
	lost, err := b.lost(ctx, queue, store, &result)
	if err != nil {
		return result, err
	}
	redelivered, err := queue.Redeliver(ctx, destination.Name, lost, entry.lettersMissing)
	result.Redelivered = uint64(redelivered)
	if err != nil || record.Changed == "" {
		return result, err
	}
	record.Changed, record.At = "", 0
	return result, queue.SetStore(ctx, destination.Name, record)
}

// lost lists the settled events that are neither stored nor dead letters.
func (b *Books) lost(ctx context.Context, queue pillarbox.Obligations, store pillarbox.EventStore, result *Redelivery) (lost []pillarbox.Handle, err error) {
	batch := map[pillarbox.Key]pillarbox.Handle{}
	var keys []pillarbox.Key
	flush := func() error {
		missing, err := store.Missing(ctx, keys)
		if err != nil {
			return fmt.Errorf("look events up: %w", err)
		}
		for _, key := range missing {
			letter, err := b.letters.Get(ctx, result.Destination, key.RequestID)
			switch {
			case errors.Is(err, pillarbox.ErrNotFound):
				result.Missing++
				lost = append(lost, batch[key])
			case err == nil && letter.Resolved != nil && letter.Resolved.How == pillarbox.ResolvedReplayed:
				result.Missing++
				result.Replayed++
			case err != nil && !errors.Is(err, pillarbox.ErrCorrupt):
				return fmt.Errorf("dead letter of %s: %w", key.RequestID, err)
			}
		}
		keys = keys[:0]
		clear(batch)
		return nil
	}
	err = queue.ScanSettled(ctx, result.Destination, func(d *pillarbox.Delivery) error {
		keys = append(keys, d.Event.Key())
		batch[d.Event.Key()] = d.Handle
		if len(keys) < lookups {
			return nil
		}
		return flush()
	})
	return lost, errors.Join(err, flush())
}
