package ledger

import (
	"context"
	"fmt"
	"slices"

	"pillarbox"
)

// MaxReceipts bounds one call of Receipts. All that the queue holds may be read for a call, so that
// many at once are cheaper.
const MaxReceipts = 5000

// ReceiptCheck says where the events of receipts are. An event that is in several places counts
// once, in the first of stored, dead, held, pending, purged and skipped.
type ReceiptCheck struct {
	Checked uint64 `json:"checked"`
	Stored  uint64 `json:"stored"`
	Dead    uint64 `json:"dead"`
	Held    uint64 `json:"held"`
	Pending uint64 `json:"pending"`
	Skipped uint64 `json:"skipped"`
	Purged  uint64 `json:"purged"` // events that are nowhere, and whose time is before the bound of a purge
	Lost    uint64 `json:"lost"`   // events that are nowhere
	// Quarantined are requests that wait there for a person, and are no events.
	Quarantined uint64    `json:"quarantined,omitempty"`
	Missing     []Missing `json:"missing"` // these by name
}

// Add adds up what two checks have counted. The names are left alone.
func (c *ReceiptCheck) Add(other *ReceiptCheck) {
	c.Checked += other.Checked
	c.Stored += other.Stored
	c.Dead += other.Dead
	c.Held += other.Held
	c.Pending += other.Pending
	c.Skipped += other.Skipped
	c.Purged += other.Purged
	c.Lost += other.Lost
	c.Quarantined += other.Quarantined
}

// places are the events that were asked for and are not found yet, with what is known of each.
type places map[pillarbox.Key]*place

type place struct{ as string } // one of rank

// Receipts looks up the events that clients have receipts of: in the destinations, among the dead
// letters, and in the queue. An event that is found in one of them is not lost; what each
// destination misses, Audit says. More than MaxReceipts keys are ErrInvalid.
func (l *Ledger) Receipts(ctx context.Context, keys []pillarbox.Key) (*ReceiptCheck, error) {
	if len(keys) > MaxReceipts {
		return nil, pillarbox.Invalid("%d receipts are asked for at once; there may be %d", len(keys),
			MaxReceipts)
	}
	where := places{}
	for _, key := range keys {
		where[key] = &place{}
	}
	// An event goes from the queue to a letter or a store, and from a letter to a store. So the stores
	// are asked first, because that is cheap, and once more at the end, because it may have moved.
	if err := l.findStored(ctx, where); err != nil {
		return nil, err
	}
	searched, err := l.findQueued(ctx, where)
	if err != nil {
		return nil, err
	}
	if err := l.findDead(ctx, where); err != nil {
		return nil, err
	}
	if err := l.findStored(ctx, where); err != nil {
		return nil, err
	}
	l.findPurged(where)
	return l.countPlaces(keys, where, searched), nil
}

// unknown lists the keys that are not found yet, or only as settled.
func (p places) unknown(keys []pillarbox.Key) []pillarbox.Key {
	return slices.DeleteFunc(keys, func(key pillarbox.Key) bool {
		as := p[key].as
		return as != "" && as != whySettled && as != whyRemoved
	})
}

func (p places) keys() []pillarbox.Key {
	keys := make([]pillarbox.Key, 0, len(p))
	for key := range p {
		keys = append(keys, key)
	}
	return p.unknown(keys)
}

// statePurged is the place of an event that is in none.
const statePurged = "purged"

// Why an event is missing.
const (
	whySettled = "settled as stored, and not in the destination"
	whyRemoved = "a dead letter, and its file was removed"
	whyNowhere = "in no destination, no dead letter, and not in the queue"
	whyHidden  = "in no destination and no dead letter; the queue can't be searched, and may still have it: look again when it is empty"
)

// findStored asks the stores that can be read back.
func (l *Ledger) findStored(ctx context.Context, where places) error {
	for _, destination := range l.all() {
		store, readable := destination.store()
		if !readable {
			continue
		}
		for keys := range slices.Chunk(where.keys(), lookups) {
			missing, err := store.Missing(ctx, keys)
			if err != nil {
				return fmt.Errorf("look events up in %s: %w", destination.Name, err)
			}
			absent := map[pillarbox.Key]bool{}
			for _, key := range missing {
				absent[key] = true
			}
			for _, key := range keys {
				if !absent[key] {
					where[key].as = pillarbox.StateStored
				}
			}
		}
	}
	return nil
}

// findPurged says of what is found nowhere else that it was purged, where a purge went through its
// time. A receipt names no source, so that of the purge is not asked for; whether more is gone than
// was purged, an audit tells.
func (l *Ledger) findPurged(where places) {
	for _, destination := range l.all() {
		purges := destination.purges()
		for _, key := range where.keys() {
			if _, covered := pillarbox.CoveredBy(purges, "", key.Timestamp); covered {
				where.put(key, statePurged)
			}
		}
	}
}

// findDead looks among the letters. One that is replayed proves that its event was handed on, and
// not that it is stored.
func (l *Ledger) findDead(ctx context.Context, where places) error {
	for _, destination := range l.all() {
		for keys := range slices.Chunk(where.keys(), lookups) {
			states, err := l.letterStates(ctx, destination.Name, keys)
			if err != nil {
				return err
			}
			for _, key := range keys {
				switch states[key] {
				case pillarbox.DeadLetterOpen, pillarbox.ResolvedDiscarded, letterUnreadable:
					where[key].as = pillarbox.StateDead
				case pillarbox.ResolvedReplayed:
					if _, readable := destination.store(); !readable {
						where[key].as = pillarbox.StateStored
					}
				case pillarbox.DeadLetterMissing:
					where.put(key, whyRemoved)
				}
			}
		}
	}
	return nil
}

// findQueued looks through the queue. Of what is settled for a store that can't be read back, the
// queue is believed.
func (l *Ledger) findQueued(ctx context.Context, where places) (searched bool, err error) {
	traits := l.queue.Traits()
	if !traits.Searchable {
		return false, nil
	}
	for _, destination := range l.all() {
		if len(where.keys()) == 0 {
			return true, nil
		}
		if traits.Obliges {
			if err := l.findWaiting(ctx, where, destination.Name); err != nil {
				return true, err
			}
		}
		_, readable := destination.store()
		err := l.queue.Scan(ctx, destination.Name,
			func(event *pillarbox.Event, standing pillarbox.Standing) error {
				where.see(event.Key(), standing, readable)
				return nil
			})
		if err != nil {
			return true, fmt.Errorf("look through the queue of %s: %w", destination.Name, err)
		}
	}
	return true, nil
}

// findWaiting finds what is held, and what waits for another attempt, which may have left the
// segments of the queue.
func (l *Ledger) findWaiting(ctx context.Context, where places, destination string) error {
	for _, scan := range []struct {
		as   string
		scan func(context.Context, string, func(*pillarbox.Delivery) error) error
	}{{StateHeld, l.queue.ScanHeld}, {pillarbox.StatePending, l.queue.ScanPending}} {
		err := scan.scan(ctx, destination, func(d *pillarbox.Delivery) error {
			where.put(d.Event.Key(), scan.as)
			return nil
		})
		if err != nil {
			return fmt.Errorf("look through what waits for %s: %w", destination, err)
		}
	}
	return nil
}

// see takes in what a scan has met.
func (p places) see(key pillarbox.Key, standing pillarbox.Standing, readable bool) {
	switch {
	case standing == pillarbox.StandingPending:
		p.put(key, pillarbox.StatePending)
	case standing == pillarbox.StandingSkipped:
		p.put(key, StateSkipped)
	case standing == pillarbox.StandingSettled && readable:
		p.put(key, whySettled)
	case standing == pillarbox.StandingSettled:
		p.put(key, pillarbox.StateStored)
	}
}

// rank is the order in which places count.
var rank = []string{"", StateSkipped, whySettled, statePurged, whyRemoved, pillarbox.StatePending,
	StateHeld,
	pillarbox.StateDead, pillarbox.StateStored}

// put notes where an event is, unless it is not asked for, or something better is known.
func (p places) put(key pillarbox.Key, as string) {
	found, asked := p[key]
	if asked && slices.Index(rank, as) > slices.Index(rank, found.as) {
		found.as = as
	}
}

// countPlaces counts each receipt, also where several are of one event.
func (l *Ledger) countPlaces(keys []pillarbox.Key, where places, searched bool) *ReceiptCheck {
	check := &ReceiptCheck{Checked: uint64(len(keys)), Missing: []Missing{}}
	count := map[string]*uint64{pillarbox.StateStored: &check.Stored, pillarbox.StateDead: &check.Dead,
		StateHeld: &check.Held, pillarbox.StatePending: &check.Pending, StateSkipped: &check.Skipped,
		statePurged: &check.Purged}
	for _, key := range keys {
		as := where[key].as
		if n := count[as]; n != nil {
			*n++
			continue
		}
		why := whyNowhere
		switch {
		case as != "":
			why = as
		case !searched:
			why = whyHidden
		}
		check.Lost++
		check.Missing = append(check.Missing, Missing{RequestID: key.RequestID,
			Timestamp: key.Timestamp, Why: why})
	}
	return check
}
