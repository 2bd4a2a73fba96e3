// Package ledger keeps the account: accepted = stored + dead + pending, for each destination.
//
// The queue counts what it has settled, in the same durable record as its cursor; the dead letters count
// themselves. Ledger adds the two up. Audit does not believe them: it counts and looks up in the destinations
// what the counts say must be there, and names what is missing. Story tells what happened to one event.
//
// The package changes nothing. It knows no engine and no HTTP.
package ledger

import (
	"context"
	"errors"
	"fmt"

	"pillarbox"
)

// Destination is a destination as the books see it.
type Destination struct {
	Name    string
	Sources map[string]bool // sources that it takes; nil takes all
	Sink    pillarbox.Sink  // an EventStore where events can be read back
}

// Books is the account of one queue and its destinations. All methods may be called concurrently.
type Books struct {
	queue        pillarbox.Queue
	letters      pillarbox.DeadLetters
	destinations []Destination
	history      History
}

// History tells of attempts that the queue has forgotten, because their event was stored in the end.
type History interface {
	Attempts(destination, requestID string) []pillarbox.Attempt
}

// New makes the books. history may be nil: stories then tell of no attempts that ended well.
func New(queue pillarbox.Queue, letters pillarbox.DeadLetters, destinations []Destination, history History) *Books {
	return &Books{queue: queue, letters: letters, destinations: destinations, history: history}
}

// Ledger is the account at one moment.
type Ledger struct {
	Accepted     uint64  `json:"accepted"` // events since the queue was made
	Destinations []Entry `json:"destinations"`
}

// Entry is the account of one destination.
type Entry struct {
	Destination string `json:"destination"`
	Accepted    uint64 `json:"accepted"` // of those, the ones meant for this destination
	Stored      uint64 `json:"stored"`
	Dead        uint64 `json:"dead"`    // dead letters that are open or discarded
	Pending     uint64 `json:"pending"` // in the queue
	Damaged     uint64 `json:"damaged"` // lost to corruption of the queue's files
	Balanced    bool   `json:"balanced"`
	Uncounted   bool   `json:"uncounted,omitempty"` // the queue counts nothing: accepted is the sum, pending an approximation

	account pillarbox.Account
	letters pillarbox.LetterCount
}

// readings is how often an account is read again before it counts as unbalanced: queue and dead letters are
// read one after the other, and an event may pass from one to the other in between.
const readings = 5

// Ledger adds up the account. It costs no scan.
func (b *Books) Ledger(ctx context.Context) (Ledger, error) {
	ledger := Ledger{Accepted: b.queue.Stats().Accepted, Destinations: []Entry{}}
	for _, destination := range b.destinations {
		entry, err := b.entry(ctx, destination.Name)
		if err != nil {
			return Ledger{}, err
		}
		ledger.Destinations = append(ledger.Destinations, entry)
	}
	return ledger, nil
}

func (b *Books) entry(ctx context.Context, name string) (entry Entry, err error) {
	for range readings {
		entry, err = b.read(ctx, name)
		if err != nil || entry.Balanced {
			return entry, err
		}
	}
	return b.withoutHalfBuried(ctx, entry)
}

func (b *Books) read(ctx context.Context, name string) (Entry, error) {
	letters, err := b.letters.Count(ctx, name)
	if err != nil {
		return Entry{}, fmt.Errorf("count dead letters of %s: %w", name, err)
	}
	account, err := b.queue.Account(name)
	if err != nil {
		return Entry{}, fmt.Errorf("account of %s: %w", name, err)
	}
	entry := Entry{
		Destination: name, Accepted: account.Accepted - account.Skipped, Stored: account.Stored + letters.Replayed,
		Dead: letters.Open + letters.Discarded, Pending: account.Pending, Damaged: account.Damaged,
		Uncounted: account.Uncounted, account: account, letters: letters,
	}
	entry.balance()
	return entry, nil
}

func (e *Entry) balance() {
	if e.Uncounted {
		e.Accepted = e.Stored + e.Dead + e.Pending
	}
	e.Balanced = e.Damaged == 0 && e.Accepted == e.Stored+e.Dead+e.Pending
}

// waiter is a queue that tells of events that wait for another attempt or for their dead letter.
type waiter interface {
	Waiting(destination, requestID string) ([]pillarbox.Attempt, *pillarbox.Verdict, bool)
}

// withoutHalfBuried counts an event once whose dead letter is written and whose queue has not settled it yet,
// because a crash came in between. It is still pending: the letter will be written again, over itself.
func (b *Books) withoutHalfBuried(ctx context.Context, entry Entry) (Entry, error) {
	queue, ok := b.queue.(waiter)
	if !ok || entry.Stored+entry.Dead+entry.Pending <= entry.Accepted {
		return entry, nil
	}
	for letter, err := range b.letters.List(ctx, pillarbox.LetterFilter{Destination: entry.Destination}) {
		if err != nil {
			continue // the audit names letters that can't be read
		}
		if _, verdict, waits := queue.Waiting(entry.Destination, letter.Event.RequestID); waits && verdict != nil && entry.Dead > 0 {
			entry.Dead--
			entry.letters.Open--
		}
	}
	entry.balance()
	return entry, ctx.Err()
}

// Delivery is the story of one event at one destination.
type Delivery struct {
	Destination string                `json:"destination"`
	State       string                `json:"state"` // pending, stored or dead
	Attempts    []pillarbox.Attempt   `json:"attempts"`
	StoredAt    *pillarbox.Timestamp  `json:"stored_at,omitempty"`
	Reason      string                `json:"reason,omitempty"` // of a dead letter
	DeadAt      *pillarbox.Timestamp  `json:"dead_at,omitempty"`
	Resolved    *pillarbox.Resolution `json:"resolved,omitempty"` // of a dead letter
	Replay      string                `json:"replay,omitempty"`
}

// Story is one event with everything that is known of it.
type Story struct {
	Event      *pillarbox.Event
	State      string // pending, stored or dead: pending before dead before stored where destinations differ
	Deliveries []Delivery
}

// Story looks an event up in the queue, the destinations and the dead letters. An event that none of them
// knows is ErrNotFound. A destination that can't be asked leaves its part as pending with the error as reason.
func (b *Books) Story(ctx context.Context, requestID string) (*Story, error) {
	story := &Story{}
	for _, destination := range b.destinations {
		delivery, event, err := b.delivery(ctx, destination, requestID)
		if err != nil {
			return nil, err
		}
		if event != nil {
			story.Event = event
		}
		story.Deliveries = append(story.Deliveries, delivery)
	}
	if finder, ok := b.queue.(pillarbox.EventFinder); ok && story.Event == nil {
		event, err := finder.Find(ctx, requestID)
		if err != nil {
			return nil, fmt.Errorf("event %s is in no queue, destination or dead letter: %w", requestID, err)
		}
		story.Event = event
	}
	if story.Event == nil {
		return nil, fmt.Errorf("event %s: %w", requestID, pillarbox.ErrNotFound)
	}
	story.drop(b.destinations)
	story.State = story.state()
	return story, nil
}

// delivery looks in one destination: its store first, then its dead letters, then what waits in the queue.
func (b *Books) delivery(ctx context.Context, destination Destination, requestID string) (Delivery, *pillarbox.Event, error) {
	delivery := Delivery{Destination: destination.Name, State: pillarbox.StatePending, Attempts: []pillarbox.Attempt{}}
	var event *pillarbox.Event
	denied := false // the store says that it has not got the event
	if store, ok := destination.Sink.(pillarbox.EventStore); ok {
		found, err := store.Find(ctx, requestID)
		denied = errors.Is(err, pillarbox.ErrNotFound)
		switch {
		case err == nil:
			event, delivery.State = found, pillarbox.StateStored
			if at, err := store.StoredAt(ctx, found.Key()); err == nil {
				delivery.StoredAt = &at
			}
		case !denied:
			delivery.Reason = err.Error()
		}
	}
	letter, err := b.letters.Get(ctx, destination.Name, requestID)
	switch {
	case err == nil:
		event = delivery.tell(letter, denied)
	case errors.Is(err, pillarbox.ErrCorrupt) && delivery.State == pillarbox.StatePending:
		delivery.State, delivery.Reason = pillarbox.StateDead, err.Error()
	case errors.Is(err, pillarbox.ErrCorrupt): // it is stored: a letter from before counts no more
	case !errors.Is(err, pillarbox.ErrNotFound):
		return delivery, event, fmt.Errorf("dead letter of %s: %w", requestID, err)
	}
	if b.history != nil && len(delivery.Attempts) == 0 && delivery.State == pillarbox.StateStored {
		delivery.Attempts = append(delivery.Attempts, b.history.Attempts(destination.Name, requestID)...)
	}
	if queue, ok := b.queue.(waiter); ok && delivery.State == pillarbox.StatePending {
		if attempts, verdict, waits := queue.Waiting(destination.Name, requestID); waits {
			delivery.Attempts = attempts
			if verdict != nil {
				delivery.Reason = verdict.Reason
			}
		}
	}
	return delivery, event, nil
}

// tell adds what a letter says. One that was replayed is stored, unless the store denies it: then its event is on its way
// through the queue once more, or somebody has deleted it.
func (d *Delivery) tell(letter *pillarbox.DeadLetter, denied bool) *pillarbox.Event {
	d.Attempts, d.Reason, d.DeadAt, d.Resolved = letter.Attempts, letter.Reason, &letter.DeadAt, letter.Resolved
	replayed := letter.Resolved != nil && letter.Resolved.How == pillarbox.ResolvedReplayed
	switch {
	case replayed && denied:
		d.Reason = "replayed, and not in the destination"
	case replayed:
		d.State = pillarbox.StateStored
	case d.State != pillarbox.StateStored:
		d.State = pillarbox.StateDead
	}
	if letter.Resolved == nil {
		d.Replay = letter.Replay
	}
	return letter.Event
}

// drop removes the destinations that don't take the event's source.
func (s *Story) drop(destinations []Destination) {
	kept := []Delivery{}
	for i, destination := range destinations {
		if destination.Sources == nil || destination.Sources[s.Event.Source] {
			kept = append(kept, s.Deliveries[i])
		}
	}
	s.Deliveries = kept
}

func (s *Story) state() string {
	state := pillarbox.StateStored
	for _, delivery := range s.Deliveries {
		switch {
		case delivery.State == pillarbox.StatePending:
			return pillarbox.StatePending
		case delivery.State == pillarbox.StateDead:
			state = pillarbox.StateDead
		}
	}
	return state
}
