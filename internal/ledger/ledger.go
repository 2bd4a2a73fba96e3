// Package ledger keeps the account: accepted = stored + dead + skipped + pending + damaged, for
// each destination.
//
// The queue counts what it has settled, in the same durable record as its cursor; the dead letters
// count themselves. Ledger holds the two against each other. Audit does not believe them: it counts
// and looks up in the destinations what the counts say must be there, and names what is missing.
// Trace tells what happened to one event.
//
// The package changes nothing. It knows no engine and no HTTP.
package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"pillarbox"
	"pillarbox/internal/destination"
)

// Destination is a destination as the ledger sees it.
type Destination struct {
	*destination.Destination
	Sink pillarbox.Sink // nil where it is not configured any more

	OnWay uint64 // events of the canary that are on their way to it, as far as is known
}

// store is the destination as far as it can be read back.
func (d Destination) store() (store pillarbox.Sink, readable bool) {
	return d.Sink, d.Sink != nil && d.Sink.Traits().Readable
}

// purges are what was purged of the destination, as far as its store is configured.
func (d Destination) purges() []pillarbox.Purge {
	if d.Sink == nil {
		return nil
	}
	return d.Sink.Purges()
}

// Ledger is the account of one queue and its destinations. All methods may be called concurrently.
type Ledger struct {
	queue        pillarbox.Queue
	letters      pillarbox.DeadLetters
	destinations func() []Destination // in force now
	history      History
}

// History tells of attempts that the queue has forgotten, because their event was stored in the
// end.
type History interface {
	Attempts(destination, requestID string) []pillarbox.Attempt
}

// New makes the ledger. destinations returns those in force. history may be nil: traces then tell
// of no attempts that ended well.
func New(queue pillarbox.Queue, letters pillarbox.DeadLetters, destinations func() []Destination,
	history History) *Ledger {
	return &Ledger{queue: queue, letters: letters, destinations: destinations, history: history}
}

// Totals are the account at one moment: of what users have sent, without the events of the canary,
// which are told apart.
type Totals struct {
	Accepted     uint64  `json:"accepted"`         // events since the queue was made
	Canary       uint64  `json:"canary,omitempty"` // events of the canary besides
	Destinations []Entry `json:"destinations"`
}

// Entry is the account of one destination.
type Entry struct {
	Destination  string          `json:"destination"`
	Accepted     uint64          `json:"accepted"`
	Stored       uint64          `json:"stored"`
	Dead         uint64          `json:"dead"`    // dead letters that are open or discarded
	Skipped      uint64          `json:"skipped"` // not meant for this destination, by a rule
	SkippedBy    pillarbox.Skips `json:"skipped_by"`
	Pending      uint64          `json:"pending"`          // in the queue
	Held         uint64          `json:"held"`             // of these, what no destination takes any more
	Backfill     uint64          `json:"backfill"`         // of these, what a back-fill has taken from the skipped ones
	Canary       uint64          `json:"canary,omitempty"` // events of the canary besides: in none of the other numbers
	Purged       uint64          `json:"purged"`           // of the stored ones, what "pillarbox purge" has deleted since
	Damaged      uint64          `json:"damaged"`          // lost to corruption of the queue's files
	Balanced     bool            `json:"balanced"`
	Unconfigured bool            `json:"unconfigured,omitempty"` // the configuration does not name it any more
	Uncounted    bool            `json:"uncounted,omitempty"`    // the queue counts nothing: accepted is the sum, pending an approximation

	account        pillarbox.Account
	purges         []pillarbox.Purge
	letters        pillarbox.DeadLetterCount
	lettersMissing uint64 // letters that were written and are not there
	lettersSurplus uint64 // letters of events that were neither settled as dead nor are pending
}

// Totals adds up the account. It costs no scan.
func (l *Ledger) Totals(ctx context.Context) (Totals, error) {
	totals := Totals{Accepted: l.queue.Stats().Accepted, Destinations: []Entry{}}
	for _, destination := range l.all() {
		entry, err := l.entry(ctx, destination)
		if err != nil {
			return Totals{}, err
		}
		totals.Destinations = append(totals.Destinations, entry)
		totals.Canary = max(totals.Canary, entry.Canary) // each destination has had all of them since it began
	}
	totals.Accepted -= min(totals.Accepted, totals.Canary)
	return totals, nil
}

// all lists the configured destinations, and behind them those that only the queue knows.
func (l *Ledger) all() []Destination {
	configured := l.destinations()
	all := slices.Clone(configured)
	for _, name := range slices.Sorted(slices.Values(l.queue.Stats().Destinations)) {
		if !slices.ContainsFunc(configured, func(d Destination) bool { return d.Name == name }) {
			all = append(all, Destination{Destination: destination.Unconfigured(name)})
		}
	}
	return all
}

// entry reads the account of one destination. The order makes the reading a consistent one: a
// letter is written before its event is settled as dead. So there are never fewer letters than were
// settled before, and never more than were settled or are still pending after, whatever happens in
// between; no other difference is one of time.
func (l *Ledger) entry(ctx context.Context, destination Destination) (Entry, error) {
	name := destination.Name
	before, err := l.queue.Account(name)
	if err != nil {
		return Entry{}, fmt.Errorf("account of %s: %w", name, err)
	}
	letters, err := l.letters.Count(ctx, name)
	if err != nil {
		return Entry{}, fmt.Errorf("count dead letters of %s: %w", name, err)
	}
	account, err := l.queue.Account(name)
	if err != nil {
		return Entry{}, fmt.Errorf("account of %s: %w", name, err)
	}
	users, canary := account.WithoutCanary(destination.OnWay)
	entry := Entry{
		Canary:      canary,
		Destination: name, Accepted: users.Accepted, Stored: account.Stored, Dead: account.Dead,
		Skipped: users.Skipped, SkippedBy: users.SkippedBy, Pending: users.Pending, Held: account.Held, Backfill: account.Backfill, Damaged: account.Damaged,
		Unconfigured: destination.Sink == nil, Uncounted: account.Uncounted, account: account, letters: letters,
	}
	entry.knowPurges(destination.purges())
	kept := letters.Open + letters.Replayed + letters.Discarded
	entry.lettersMissing = before.Dead - min(before.Dead, kept)
	if !account.Uncounted { // of such a queue, others settle events as well, and write their letters
		entry.lettersSurplus = kept - min(kept, account.Dead+account.Pending)
	}
	entry.addReplayed()
	entry.balance()
	return entry, nil
}

// addReplayed moves what was replayed from dead to stored. A letter that is replayed before its
// event is settled, because a crash came in between, is of a pending event, and counts there.
func (e *Entry) addReplayed() {
	if e.Uncounted { // the queue has counted what this process has settled
		e.Stored, e.Dead = e.Stored+e.letters.Replayed, e.letters.Open+e.letters.Discarded
		return
	}
	replayed := min(e.Dead, e.letters.Replayed)
	e.Stored, e.Dead = e.Stored+replayed, e.Dead-replayed
	e.Dead -= min(e.Dead, e.lettersMissing) // what is not there is not shown as if it were
}

// knowPurges takes in what was purged. It is a part of what was stored, and changes nothing else.
func (e *Entry) knowPurges(purges []pillarbox.Purge) {
	e.purges, e.Purged = purges, pillarbox.PurgedEvents(purges)
}

func (e *Entry) balance() {
	if e.Uncounted {
		e.Accepted = e.Stored + e.Dead + e.Skipped + e.Pending
		e.Balanced = e.lettersMissing == 0
		return
	}
	e.Balanced = e.Damaged == 0 && e.lettersMissing == 0 && e.lettersSurplus == 0 &&
		e.Accepted == e.Stored+e.Dead+e.Skipped+e.Pending
}

// Delivery is the trace of one event at one destination.
type Delivery struct {
	Destination string                `json:"destination"`
	State       string                `json:"state"` // pending, held, stored, dead or skipped
	Attempts    []pillarbox.Attempt   `json:"attempts"`
	StoredAt    *pillarbox.Timestamp  `json:"stored_at,omitempty"`
	PurgedAt    *pillarbox.Timestamp  `json:"purged_at,omitempty"` // it was stored, and "pillarbox purge" has deleted it
	Reason      string                `json:"reason,omitempty"`    // of a dead letter, or the rule by which it was skipped
	Where       string                `json:"where,omitempty"`     // the filter that skipped it
	DeadAt      *pillarbox.Timestamp  `json:"dead_at,omitempty"`
	Resolved    *pillarbox.Resolution `json:"resolved,omitempty"` // of a dead letter
	Replay      string                `json:"replay,omitempty"`
	DeathReason string                `json:"death_reason,omitempty"` // at DeadAt; Reason may be that of a later replay

	purges []pillarbox.Purge // of a store that says that it has not got the event
	blind  bool              // the store can't be asked at all: it is the queue that is believed
}

// purged tells a settled event of which its store knows nothing from a lost one, where a purge went
// through its place.
func (d *Delivery) purged(event *pillarbox.Event) bool {
	purge, covered := pillarbox.CoveredBy(d.purges, event.Source, event.Timestamp)
	if covered {
		d.State, d.Reason, d.PurgedAt = pillarbox.StateStored, "", &purge.At
	}
	return covered
}

// Trace is one event with everything that is known of it.
type Trace struct {
	Event      *pillarbox.Event
	State      string // pending, dead, stored or skipped: the first of these where destinations differ
	Deliveries []Delivery
}

// The states of an event at one destination that receipts don't know.
const (
	StateHeld    = "held"
	StateSkipped = "skipped"
)

// Trace looks an event up in the queue, the destinations and the dead letters. An event that none
// of them knows is ErrNotFound. A destination that can't be asked leaves its part as pending with
// the error as reason.
func (l *Ledger) Trace(ctx context.Context, requestID string) (*Trace, error) {
	trace := &Trace{Deliveries: []Delivery{}}
	for _, destination := range l.all() {
		delivery, event, err := l.delivery(ctx, destination, requestID)
		if err != nil {
			return nil, err
		}
		if event != nil {
			trace.Event = event
		}
		trace.Deliveries = append(trace.Deliveries, delivery)
	}
	if err := l.askQueue(ctx, trace, requestID); err != nil {
		return nil, err
	}
	if trace.Event == nil {
		if unreadable := trace.unreadable(); unreadable != "" {
			return nil, fmt.Errorf("event %s can't be read: %s: %w", requestID, unreadable,
				pillarbox.ErrCorrupt)
		}
		return nil, fmt.Errorf("event %s is in no queue, destination or dead letter: %w", requestID,
			pillarbox.ErrNotFound)
	}
	trace.State = trace.state()
	return trace, nil
}

// unreadable says what is known of an event of which there is nothing but what can't be read.
func (t *Trace) unreadable() string {
	for _, d := range t.Deliveries {
		if d.State != pillarbox.StatePending && d.Reason != "" {
			return "destination " + d.Destination + ": " + d.Reason
		}
	}
	return ""
}

// askQueue asks the queue about what neither a destination nor a letter has told. Where the queue
// does not know the event any more, today's rules say which of these destinations it was meant for.
func (l *Ledger) askQueue(ctx context.Context, trace *Trace, requestID string) error {
	if trace.Event != nil && !slices.ContainsFunc(trace.Deliveries,
		func(d Delivery) bool { return d.State == pillarbox.StatePending }) {
		return nil
	}
	if l.queue.Traits().Obliges {
		event, traces, err := l.queue.Trace(ctx, requestID)
		if err == nil {
			trace.Event = event
			trace.follow(event, traces)
			l.recall(trace, requestID)
			return nil
		}
		if !errors.Is(err, pillarbox.ErrNotFound) {
			return err
		}
	} else if l.queue.Traits().Searchable && trace.Event == nil {
		event, err := l.queue.Find(ctx, requestID)
		if err != nil && !errors.Is(err, pillarbox.ErrNotFound) {
			return err
		}
		trace.Event = event
	}
	if trace.Event != nil {
		trace.drop(l.all())
		if l.queue.Traits().Obliges {
			trace.believe()
		}
	}
	return nil
}

// recall adds the attempts of what was stored in a destination that can't be read back.
func (l *Ledger) recall(trace *Trace, requestID string) {
	for i := range trace.Deliveries {
		d := &trace.Deliveries[i]
		if l.history != nil && d.blind && d.State == pillarbox.StateStored && len(d.Attempts) == 0 {
			d.Attempts = append(d.Attempts, l.history.Attempts(d.Destination, requestID)...)
		}
	}
}

// believe takes what a destination that can't be read back was to get as stored, where the queue has
// the event no more: it keeps what is pending.
func (t *Trace) believe() {
	for i := range t.Deliveries {
		if d := &t.Deliveries[i]; d.blind && d.State == pillarbox.StatePending {
			d.State, d.Reason = pillarbox.StateStored, "settled as far as is known: the queue has forgotten the event, and the destination can't be read back"
		}
	}
}

// follow adds what the queue knows.
func (t *Trace) follow(event *pillarbox.Event, traces map[string]pillarbox.Trace) {
	for i := range t.Deliveries {
		d := &t.Deliveries[i]
		at, known := traces[d.Destination]
		switch {
		case d.State != pillarbox.StatePending || !known:
		case at.Held:
			d.State, d.Reason = StateHeld, "no destination takes it any more; \"pillarbox held\" decides about it"
		case at.Skip != "":
			d.State, d.Reason, d.Where = StateSkipped, at.Skip, at.Where
		case at.Standing == pillarbox.StandingSettled && d.blind:
			d.State = pillarbox.StateStored
		case at.Standing == pillarbox.StandingSettled && d.purged(event):
		case at.Standing == pillarbox.StandingSettled && d.Reason == "":
			d.Reason = "settled, and neither in the destination nor a dead letter"
		}
	}
}

// delivery looks in one destination: its store first, then its dead letters, then what waits in the
// queue.
func (l *Ledger) delivery(ctx context.Context, destination Destination,
	requestID string) (Delivery, *pillarbox.Event, error) {
	delivery := Delivery{Destination: destination.Name, State: pillarbox.StatePending,
		Attempts: []pillarbox.Attempt{}}
	var event *pillarbox.Event
	denied := false // the store says that it has not got the event
	if store, readable := destination.store(); readable {
		found, err := store.Find(ctx, requestID)
		if denied = errors.Is(err, pillarbox.ErrNotFound); denied {
			delivery.purges = destination.purges()
		}
		switch {
		case err == nil:
			event, delivery.State = found, pillarbox.StateStored
			if at, err := store.StoredAt(ctx, found.Key()); err == nil {
				delivery.StoredAt = &at
			}
		case errors.Is(err, pillarbox.ErrCorrupt): // something is stored under that id
			delivery.State, delivery.Reason = pillarbox.StateStored, err.Error()
		case !denied:
			delivery.Reason = err.Error()
		}
	}
	_, readable := destination.store()
	delivery.blind = destination.Sink != nil && !readable
	letter, err := l.letters.Get(ctx, destination.Name, requestID)
	switch {
	case err == nil:
		event = delivery.tell(letter, denied)
	case errors.Is(err, pillarbox.ErrCorrupt) && delivery.State == pillarbox.StatePending:
		delivery.State, delivery.Reason = pillarbox.StateDead, err.Error()
	case errors.Is(err, pillarbox.ErrCorrupt): // it is stored: a letter from before counts no more
	case !errors.Is(err, pillarbox.ErrNotFound):
		return delivery, event, fmt.Errorf("dead letter of %s: %w", requestID, err)
	}
	if l.history != nil && len(delivery.Attempts) == 0 && delivery.State == pillarbox.StateStored {
		delivery.Attempts = append(delivery.Attempts, l.history.Attempts(destination.Name, requestID)...)
	}
	if delivery.State == pillarbox.StatePending {
		if attempts, rejection, waits := l.queue.Waiting(destination.Name, requestID); waits {
			delivery.addAttempts(attempts)
			if rejection != nil {
				delivery.Reason = rejection.Reason
			}
		}
	}
	return delivery, event, nil
}

// addAttempts adds those that the queue knows to those of a letter from before, which may be the
// same ones.
func (d *Delivery) addAttempts(attempts []pillarbox.Attempt) {
	for _, attempt := range attempts {
		if !slices.Contains(d.Attempts, attempt) {
			d.Attempts = append(d.Attempts, attempt)
		}
	}
}

// tell adds what a letter says. One that was replayed is stored, unless the store denies it: then
// its event is on its way through the queue once more, or somebody has deleted it.
func (d *Delivery) tell(letter *pillarbox.DeadLetter, denied bool) *pillarbox.Event {
	d.Attempts, d.Reason, d.DeadAt, d.Resolved = letter.Attempts, letter.Reason, &letter.DeadAt, letter.Resolved
	d.DeathReason = letter.ReasonOfDeath()
	replayed := letter.Resolved != nil && letter.Resolved.How == pillarbox.ResolvedReplayed
	switch {
	case replayed && denied && d.purged(letter.Event):
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

// drop removes the destinations that know nothing of the event and don't take its source. Those
// whose filter does not take it have skipped it.
func (t *Trace) drop(destinations []Destination) {
	kept := []Delivery{}
	for i, destination := range destinations {
		d := t.Deliveries[i]
		switch {
		case d.State != pillarbox.StatePending, destination.Takes(t.Event):
		case destination.Rule.Takes(t.Event):
			d.State, d.Reason, d.Where = StateSkipped, pillarbox.SkippedFilter, destination.Rule.Where
		default:
			continue
		}
		kept = append(kept, d)
	}
	t.Deliveries = kept
}

// state is the worst of the states: what is pending anywhere is pending, and what no destination
// was to get is skipped.
func (t *Trace) state() string {
	state := StateSkipped
	for _, delivery := range t.Deliveries {
		switch delivery.State {
		case pillarbox.StatePending, StateHeld:
			return pillarbox.StatePending
		case pillarbox.StateDead:
			state = pillarbox.StateDead
		case pillarbox.StateStored:
			if state == StateSkipped {
				state = pillarbox.StateStored
			}
		}
	}
	return state
}
