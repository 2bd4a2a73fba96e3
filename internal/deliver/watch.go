package deliver

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"

	"pillarbox"
	"pillarbox/internal/destination"
)

// Watch tells others what loops have settled: requests that wait for their event to be stored, and
// readers that follow what is stored. While nobody watches it costs nothing. All methods may be
// called concurrently.
type Watch struct {
	watched atomic.Int64 // expectations and followers
	hurry   context.Context
	end     context.CancelFunc // of hurry
	table   atomic.Pointer[destination.Table]

	mu       sync.Mutex
	expected map[string]*Expectation // by request id
	follow   map[*Follower]bool
}

// NewWatch makes a Watch for the loops of these destinations.
func NewWatch(table *destination.Table) *Watch {
	w := &Watch{expected: map[string]*Expectation{}, follow: map[*Follower]bool{}}
	w.table.Store(table)
	w.hurry, w.end = context.WithCancel(context.Background())
	return w
}

// SetDestinations replaces the table. Expectations that there are go on with the one before.
func (w *Watch) SetDestinations(table *destination.Table) { w.table.Store(table) }

// Hurry ends all waits for events that are not stored yet, now and later. The stop of a server
// calls it: an answer that says less is there at once.
func (w *Watch) Hurry() { w.end() }

// Expectation waits for one event.
type Expectation struct {
	watch        *Watch
	requestID    string
	destinations []string      // that take the event
	changed      chan struct{} // holds a token when states changed

	mu     sync.Mutex
	states map[string]string // by destination
}

// Expect begins to watch for an event at the destinations that take it. It returns nil where none
// does: nobody would ever store it. Call it before the event is durable, and Close in any case. It
// keeps nothing of the event.
func (w *Watch) Expect(event *pillarbox.Event) *Expectation {
	takers := w.table.Load().Takers(event)
	if len(takers) == 0 {
		return nil
	}
	id := strings.Clone(event.RequestID)
	e := &Expectation{watch: w, requestID: id, destinations: takers, changed: make(chan struct{}, 1),
		states: map[string]string{}}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expected[id] = e
	w.watched.Add(1)
	return e
}

// Wait returns true once every destination that takes the event has stored it, and false when one
// of them has made it a dead letter, all of them have skipped it after all, ctx ends, or the watch
// is in a hurry.
func (e *Expectation) Wait(ctx context.Context) bool {
	for {
		stored, over := e.count()
		if over {
			return stored
		}
		select {
		case <-ctx.Done():
			return false
		case <-e.watch.hurry.Done():
			return false
		case <-e.changed:
		}
	}
}

// count reports whether the event is where it belongs, and whether nothing more is to be waited
// for.
func (e *Expectation) count() (stored, over bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	open := 0
	for _, name := range e.destinations {
		switch e.states[name] {
		case pillarbox.StateStored:
			stored = true
		case stateSkipped:
		case pillarbox.StateDead:
			return false, true
		default:
			open++
		}
	}
	return stored, open == 0
}

// stateSkipped is that of an event which a destination did not take after all.
const stateSkipped = "skipped"

// Close ends the watch.
func (e *Expectation) Close() {
	e.watch.mu.Lock()
	defer e.watch.mu.Unlock()
	if e.watch.expected[e.requestID] == e {
		delete(e.watch.expected, e.requestID)
		e.watch.watched.Add(-1)
	}
}

// followerBatches is how many batches a follower may lag behind before it is cut off.
const followerBatches = 64

// Follower gets the events that are stored from now on, batch by batch.
type Follower struct {
	// Batches is closed when the follower is closed, or was too slow. The events must not be changed.
	Batches     <-chan []*pillarbox.Event
	batches     chan []*pillarbox.Event
	watch       *Watch
	destination string
}

// Follow begins to follow what is stored in a destination.
func (w *Watch) Follow(destination string) *Follower {
	f := &Follower{watch: w, destination: destination,
		batches: make(chan []*pillarbox.Event, followerBatches)}
	f.Batches = f.batches
	w.mu.Lock()
	defer w.mu.Unlock()
	w.follow[f] = true
	w.watched.Add(1)
	return f
}

// Close ends it. It is safe to call twice.
func (f *Follower) Close() {
	f.watch.mu.Lock()
	defer f.watch.mu.Unlock()
	f.watch.dropLocked(f)
}

func (w *Watch) dropLocked(f *Follower) {
	if w.follow[f] {
		delete(w.follow, f)
		w.watched.Add(-1)
		close(f.batches)
	}
}

// settled is called by loops after the queue has the outcomes.
func (w *Watch) settled(destination string, deliveries []pillarbox.Delivery,
	outcomes []pillarbox.Outcome) {
	if w.watched.Load() == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var stored []*pillarbox.Event
	for i, outcome := range outcomes {
		switch outcome.Kind {
		case pillarbox.OutcomeStored:
			stored = append(stored, deliveries[i].Event)
			w.tellLocked(deliveries[i].Event.RequestID, destination, pillarbox.StateStored)
		case pillarbox.OutcomeDead:
			w.tellLocked(deliveries[i].Event.RequestID, destination, pillarbox.StateDead)
		case pillarbox.OutcomeSkipped:
			w.tellLocked(deliveries[i].Event.RequestID, destination, stateSkipped)
		}
	}
	if len(stored) == 0 || len(w.follow) == 0 {
		return
	}
	stored = w.shaped(destination, stored)
	for f := range w.follow {
		if f.destination != destination {
			continue
		}
		select {
		case f.batches <- stored:
		default:
			w.dropLocked(f) // too slow: it is told by the end of its channel, and reads the store instead
		}
	}
}

// shaped returns the events as they are stored.
func (w *Watch) shaped(destination string, events []*pillarbox.Event) []*pillarbox.Event {
	to := w.table.Load().Get(destination)
	if to == nil {
		return events
	}
	shaped := make([]*pillarbox.Event, 0, len(events))
	for _, event := range events {
		if as, _, err := to.Shaped(event); err == nil { // or it would not be stored
			shaped = append(shaped, as)
		}
	}
	return shaped
}

func (w *Watch) tellLocked(requestID, destination, state string) {
	e := w.expected[requestID]
	if e == nil {
		return
	}
	e.mu.Lock()
	e.states[destination] = state
	e.mu.Unlock()
	select {
	case e.changed <- struct{}{}:
	default:
	}
}
