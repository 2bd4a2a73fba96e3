// Package held is what a person can do about held events: events that were accepted for a
// destination and that no configured destination takes any more.
//
// It lists and counts them, gives them to another destination, makes dead letters of them, or gives
// them up. Nothing is done to an event that the filter does not name, and everything that is done
// is durable in the queue before it is counted. The package promises no order between acts that run
// at the same time: an event is ended once, by whichever comes first. It knows no engine and no
// HTTP.
package held

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"pillarbox"
	"pillarbox/internal/deliver"
)

// Pages of a list have the limits of other lists: pillarbox.DefaultListLimit and MaxListLimit.

// MaxPageBytes is the bodies, in bytes, after which a page of a list ends early: it is in memory as
// a whole. The first event is on it whatever its size.
const MaxPageBytes = 8 << 20

// batchEvents is how many events one act settles at once.
const batchEvents = 500

// Filter selects held events. The zero value selects all.
type Filter struct {
	Destination string              // that they were meant for; empty for all
	Source      string              // exact; empty for all
	RequestIDs  []string            // any of them; empty for all
	Since       pillarbox.Timestamp // of acceptance, inclusive; 0 for no bound
	Until       pillarbox.Timestamp // exclusive; 0 for no bound
}

// Match reports whether the filter selects the event, whatever its destination.
func (f Filter) Match(event *pillarbox.Event) bool {
	return (f.Source == "" || event.Source == f.Source) &&
		(f.Since == 0 || event.Timestamp >= f.Since) &&
		(f.Until == 0 || event.Timestamp < f.Until) &&
		(len(f.RequestIDs) == 0 || slices.Contains(f.RequestIDs, event.RequestID))
}

// Group is the held events of one destination and source.
type Group struct {
	Destination string              `json:"destination"` // that they were meant for
	Source      string              `json:"source"`
	Events      uint64              `json:"events"`
	First       pillarbox.Timestamp `json:"first"` // when the oldest and the newest were accepted
	Last        pillarbox.Timestamp `json:"last"`
}

// Item is one held event.
type Item struct {
	Destination string              `json:"destination"`
	Sequence    uint64              `json:"sequence"` // its number in the queue
	Attempts    []pillarbox.Attempt `json:"attempts"`
	Event       *pillarbox.Event    `json:"event"`
}

// Result is what an act has done.
type Result struct {
	Matched uint64 `json:"matched"` // held events that the filter selects
	Done    uint64 `json:"done"`    // of these, what was ended; 0 in a dry run
	DryRun  bool   `json:"dry_run,omitempty"`
}

// Events acts on the held events of one queue. All methods may be called concurrently.
type Events struct {
	queue   pillarbox.Obligations
	letters pillarbox.DeadLetters
	names   func() []string // of the destinations that the queue knows
	now     func() time.Time
}

// New makes it. destinations lists what the queue knows, configured or not.
func New(queue pillarbox.Obligations, letters pillarbox.DeadLetters, destinations func() []string,
	now func() time.Time) *Events {
	if now == nil {
		now = time.Now
	}
	return &Events{queue: queue, letters: letters, names: destinations, now: now}
}

// destinations lists the ones that the filter selects, sorted.
func (e *Events) destinations(filter Filter) ([]string, error) {
	names := slices.Sorted(slices.Values(e.names()))
	if filter.Destination == "" {
		return names, nil
	}
	if !slices.Contains(names, filter.Destination) {
		return nil, fmt.Errorf("the queue knows no destination %q; it knows %v: %w", filter.Destination,
			names, pillarbox.ErrNotFound)
	}
	return []string{filter.Destination}, nil
}

// scan calls visit with each held event that the filter selects.
func (e *Events) scan(ctx context.Context, filter Filter,
	visit func(destination string, d *pillarbox.Delivery) error) error {
	names, err := e.destinations(filter)
	if err != nil {
		return err
	}
	for _, name := range names {
		err := e.queue.ScanHeld(ctx, name, func(d *pillarbox.Delivery) error {
			if !filter.Match(d.Event) {
				return nil
			}
			return visit(name, d)
		})
		if err != nil {
			return fmt.Errorf("look through the held events of %s: %w", name, err)
		}
	}
	return nil
}

// Groups counts what the filter selects, by destination and source. It reads all held events.
func (e *Events) Groups(ctx context.Context, filter Filter) ([]Group, error) {
	type key struct{ destination, source string }
	groups := map[key]*Group{}
	err := e.scan(ctx, filter, func(destination string, d *pillarbox.Delivery) error {
		at, stamp := key{destination, d.Event.Source}, d.Event.Timestamp
		g := groups[at]
		if g == nil {
			g = &Group{Destination: destination, Source: d.Event.Source, First: stamp, Last: stamp}
			groups[at] = g
		}
		g.Events, g.First, g.Last = g.Events+1, min(g.First, stamp), max(g.Last, stamp)
		return nil
	})
	list := []Group{}
	for _, g := range groups {
		list = append(list, *g)
	}
	slices.SortFunc(list, func(a, b Group) int {
		return cmp.Or(cmp.Compare(a.Destination, b.Destination), cmp.Compare(a.Source, b.Source))
	})
	return list, err
}

// Place is where a list goes on: behind an event of a destination.
type Place struct {
	Destination string `json:"d"`
	Sequence    uint64 `json:"s"`
}

// errFull ends a scan whose page is full.
var errFull = errors.New("page is full")

// List returns up to limit events behind a place, fewer where they are large, and the place to go
// on from; nil where there are no more.
func (e *Events) List(ctx context.Context, filter Filter, after *Place,
	limit int) (items []Item, next *Place, err error) {
	size := 0
	err = e.scan(ctx, filter, func(destination string, d *pillarbox.Delivery) error {
		if after != nil && (destination < after.Destination || destination == after.Destination &&
			d.Handle.Seq <= after.Sequence) {
			return nil
		}
		if len(items) == limit || size >= MaxPageBytes {
			last := items[len(items)-1]
			next = &Place{Destination: last.Destination, Sequence: last.Sequence}
			return errFull
		}
		size += len(d.Event.Body)
		items = append(items, Item{Destination: destination, Sequence: d.Handle.Seq,
			Attempts: d.Attempts, Event: d.Event})
		return nil
	})
	if errors.Is(err, errFull) {
		err = nil
	}
	return items, next, err
}

// act calls end with what the filter selects, in batches, and adds up what it has ended. In a dry
// run it only counts.
func (e *Events) act(ctx context.Context, filter Filter, dryRun bool,
	end func(destination string, batch []*pillarbox.Delivery) (int, error)) (Result, error) {
	result := Result{DryRun: dryRun}
	var batch []*pillarbox.Delivery
	var of string
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		done, err := end(of, batch)
		result.Done += uint64(done)
		batch = nil
		return err
	}
	err := e.scan(ctx, filter, func(destination string, d *pillarbox.Delivery) error {
		result.Matched++
		if dryRun {
			return nil
		}
		if destination != of || len(batch) == batchEvents {
			if err := flush(); err != nil {
				return err
			}
		}
		copied := *d
		of, batch = destination, append(batch, &copied)
		return nil
	})
	return result, errors.Join(err, flush())
}

// Route gives what the filter selects to another destination, which then gets it as if it had been
// meant for it.
func (e *Events) Route(ctx context.Context, filter Filter, to string, dryRun bool) (Result, error) {
	return e.act(ctx, filter, dryRun, func(destination string, batch []*pillarbox.Delivery) (int,
		error) {
		if destination == to {
			return 0, pillarbox.Invalid("events that are held for %s can't be given to it: it does not take their source; add that to its sources", to)
		}
		return e.queue.Route(ctx, destination, to, batch)
	})
}

// Forget gives up what the filter selects: it counts as skipped, by the rule "forgotten".
func (e *Events) Forget(ctx context.Context, filter Filter, dryRun bool) (Result, error) {
	return e.act(ctx, filter, dryRun, func(destination string, batch []*pillarbox.Delivery) (int,
		error) {
		outcomes := make([]pillarbox.Outcome, len(batch))
		for i, d := range batch {
			outcomes[i] = pillarbox.Outcome{Handle: d.Handle, Kind: pillarbox.OutcomeSkipped,
				Skip: pillarbox.SkippedForgotten}
		}
		return e.queue.SettleHeld(ctx, destination, outcomes)
	})
}

// heldReason is what the dead letter of a held event says.
const heldReason = "held: no configured destination took it any more, and a person made it a dead letter"

// DeadLetter makes dead letters of what the filter selects, of the destination that it was meant
// for.
func (e *Events) DeadLetter(ctx context.Context, filter Filter, dryRun bool) (Result, error) {
	return e.act(ctx, filter, dryRun, func(destination string, batch []*pillarbox.Delivery) (int,
		error) {
		letters := make([]*pillarbox.DeadLetter, len(batch))
		for i, d := range batch {
			letters[i] = e.letter(destination, d)
		}
		failed := map[int]bool{}
		failure := e.letters.PutMany(ctx, letters)
		var partial *pillarbox.BatchError
		switch {
		case failure == nil:
		case errors.As(failure, &partial):
			for _, item := range partial.Items {
				failed[item.Index] = true
			}
			failure = fmt.Errorf("write dead letters: %w", failure)
		default:
			return 0, fmt.Errorf("write dead letters: %w", failure)
		}
		var outcomes []pillarbox.Outcome
		for i, d := range batch {
			if !failed[i] {
				outcomes = append(outcomes, pillarbox.Outcome{Handle: d.Handle, Kind: pillarbox.OutcomeDead})
			}
		}
		done, err := e.queue.SettleHeld(ctx, destination, outcomes)
		return done, errors.Join(failure, err)
	})
}

// letter makes the dead letter of a held event.
func (e *Events) letter(destination string, d *pillarbox.Delivery) *pillarbox.DeadLetter {
	rejected := *d
	rejected.Rejection = &pillarbox.Rejection{Reason: heldReason,
		DeadAt: pillarbox.TimestampOf(e.now())}
	return deliver.NewDeadLetter(destination, &rejected)
}

// Pending is how many events of a source wait for a destination, and which others were meant to get
// the same ones.
type Pending struct {
	Destination string   `json:"destination"`
	Source      string   `json:"source"`
	Events      uint64   `json:"events"`
	Also        []string `json:"also"` // sorted

	// Where are the filters of these destinations when the events were accepted, by name; of those that
	// had one. Whether the events pass them is not looked at here.
	Where map[string]string `json:"where,omitempty"`
}

// Pending counts what waits in the queue, held events included. It reads all that is not settled.
func (e *Events) Pending(ctx context.Context) ([]Pending, error) {
	names := slices.Sorted(slices.Values(e.names()))
	counts := map[string]*Pending{}
	for _, name := range names {
		err := e.queue.ScanPending(ctx, name, func(d *pillarbox.Delivery) error {
			if !d.Routed && d.Rule != nil && !d.Rule.Takes(d.Event) {
				return nil // not meant for it
			}
			p := Pending{Destination: name, Source: d.Event.Source, Also: e.also(names, name, d)}
			p.Where = e.filters(d, append(p.Also, name))
			key := fmt.Sprintf("%q", []any{p.Destination, p.Source, p.Also, p.Where})
			if counts[key] == nil {
				counts[key] = &p
			}
			counts[key].Events++
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("look through what waits for %s: %w", name, err)
		}
	}
	list := []Pending{}
	for _, p := range counts {
		list = append(list, *p)
	}
	slices.SortFunc(list, func(a, b Pending) int {
		return cmp.Or(cmp.Compare(a.Destination, b.Destination), cmp.Compare(a.Source, b.Source),
			slices.Compare(a.Also, b.Also))
	})
	return list, nil
}

// filters are those of destinations when the event was accepted.
func (e *Events) filters(d *pillarbox.Delivery, names []string) map[string]string {
	var where map[string]string
	for _, name := range names {
		rule := e.queue.RuleAt(name, d.Handle)
		if rule == nil || rule.Where == "" {
			continue
		}
		if where == nil {
			where = map[string]string{}
		}
		where[name] = rule.Where
	}
	return where
}

func (e *Events) also(names []string, but string, d *pillarbox.Delivery) []string {
	also := []string{}
	for _, name := range names {
		if rule := e.queue.RuleAt(name, d.Handle); name != but && rule != nil && rule.Takes(d.Event) {
			also = append(also, name)
		}
	}
	return also
}
