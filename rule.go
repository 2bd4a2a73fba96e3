package pillarbox

import (
	"context"
	"slices"
)

// Rule says which events a destination is meant to get. It is a value: nobody changes one that was
// handed over.
type Rule struct {
	// Sources that the destination takes. nil takes all of them, an empty slice takes none.
	Sources []string `json:"sources"`

	// Where is the filter that an event of these sources must pass besides, as an expression; empty for
	// none. A queue keeps it and can't evaluate it.
	Where string `json:"where,omitempty"`
}

// Takes reports whether the rule takes the source of the event. Whether the event passes the filter
// is for others to say.
func (r *Rule) Takes(event *Event) bool {
	return r.Sources == nil || slices.Contains(r.Sources, event.Source)
}

// Covers reports whether the rule surely takes every event that the other one takes.
func (r *Rule) Covers(other *Rule) bool {
	if r.Where != "" && r.Where != other.Where {
		return false
	}
	if r.Sources == nil || other.Sources == nil {
		return r.Sources == nil
	}
	return !slices.ContainsFunc(other.Sources,
		func(source string) bool { return !slices.Contains(r.Sources, source) })
}

// Equal reports whether both rules say the same in the same order.
func (r *Rule) Equal(other *Rule) bool {
	return (r.Sources == nil) == (other.Sources == nil) && slices.Equal(r.Sources, other.Sources) &&
		r.Where == other.Where
}

// The rules by which an event is skipped for a destination: why it counts as not meant for it. Each
// skipped event is counted under one of them.
const (
	SkippedBefore    = "before"    // accepted before the destination began
	SkippedSource    = "source"    // when it was accepted, the destination did not take its source
	SkippedFilter    = "filter"    // when it was accepted, the filter of the destination did not take it
	SkippedElsewhere = "elsewhere" // the destination does not take it any more, and another one that was meant to get it does
	SkippedRouted    = "routed"    // held, until a person gave it to another destination
	SkippedForgotten = "forgotten" // held, until a person gave it up
	SkippedCanary    = "canary"    // no user's event: see Event.IsCanary
)

// Skips counts skipped events by rule.
type Skips struct {
	Before    uint64 `json:"before,omitempty"`
	Source    uint64 `json:"source,omitempty"`
	Filter    uint64 `json:"filter,omitempty"`
	Elsewhere uint64 `json:"elsewhere,omitempty"`
	Routed    uint64 `json:"routed,omitempty"`
	Forgotten uint64 `json:"forgotten,omitempty"`
	Canary    uint64 `json:"canary,omitempty"`
}

// Of returns the count of a rule. What comes without a name counts as skipped because of its
// source.
func (s *Skips) Of(rule string) *uint64 {
	switch rule {
	case SkippedBefore:
		return &s.Before
	case SkippedFilter:
		return &s.Filter
	case SkippedElsewhere:
		return &s.Elsewhere
	case SkippedRouted:
		return &s.Routed
	case SkippedForgotten:
		return &s.Forgotten
	case SkippedCanary:
		return &s.Canary
	}
	return &s.Source
}

// Obligations is the part of a queue that remembers which destination was meant to get which event
// when it was accepted, whatever the configuration says later. An event that no destination takes
// any more although one was meant to is *held*: it is pending, is not handed out by Lease, and
// stays until a person decides. All methods may be called concurrently with those of Queue.
type Obligations interface {
	// Oblige sets the rule of the destination for events that are appended from now on, durably.
	// Events that are there already keep the rule of their time. A destination that is not there yet
	// is made; the first rule of one that has joined others in this life holds from its first event
	// on. Errors: as those of Settle.
	Oblige(ctx context.Context, destination string, rule Rule) error

	// RuleAt returns the rule that held for the destination when the event was appended: nil where
	// that is not known, and a rule that takes nothing where the destination began later. No scan, no
	// error: an unknown destination has none.
	RuleAt(destination string, handle Handle) *Rule

	// Review asks hold about every pending event that the rule of its time may have meant for the
	// destination and the current one does not surely take, the held ones included. What hold says yes
	// to is held from then on; what it says no to is handed out again. It reads only as much of the
	// queue as that needs, and holds up neither Append nor Lease. Events that are leased are left out.
	// Errors: ctx's own, and those of reading and of Settle.
	Review(ctx context.Context, destination string, hold func(*Delivery) bool) error

	// ScanHeld calls visit with every held event of the destination, oldest first. The delivery is
	// valid during the call only. It stops at the first error of visit and returns it.
	ScanHeld(ctx context.Context, destination string, visit func(*Delivery) error) error

	// ScanPending calls visit with every pending event of the destination, the held ones included, as
	// far as they can be read, first those that wait for another attempt and then the others, oldest
	// first. It reads all that the destination has not settled. The delivery is valid during the call
	// only.
	ScanPending(ctx context.Context, destination string, visit func(*Delivery) error) error

	// Trace finds an event and says where it stands at each destination. It may read all that the
	// queue has. Errors: ErrNotFound.
	Trace(ctx context.Context, requestID string) (*Event, map[string]Trace, error)

	// ScanSettled calls visit with every event that the queue still has and that is stored or dead for
	// the destination. The delivery is valid during the call only.
	ScanSettled(ctx context.Context, destination string, visit func(*Delivery) error) error

	// Redeliver hands settled events out again that their store has lost. dead says how many of them
	// were settled as dead, and the others as stored. What the queue does not have any more, or is not
	// settled, is passed over; it returns how many come again. It is durable when it returns.
	Redeliver(ctx context.Context, destination string, handles []Handle,
		dead uint64) (redelivered int, err error)

	// ScanSkipped calls visit with every event that the queue still has and that was skipped for the
	// destination, and with the rule that did it: from a place in the order of Append on, oldest first.
	// Those from before the destination are among them. The delivery is valid during the call only.
	ScanSkipped(ctx context.Context, destination string, from Handle,
		visit func(delivery *Delivery, rule string) error) error

	// Unskip hands skipped events out after all, as if they were routed to the destination: they are
	// pending from then on, and no longer skipped. What is not skipped any more, or not there, is passed
	// over; it returns how many are pending now. It is durable when it returns.
	Unskip(ctx context.Context, destination string, deliveries []*Delivery) (taken int, err error)

	// ScanKept calls visit with every event that the queue still has, oldest first, whatever became of it.
	// The delivery is valid during the call only, and has no more than the handle and the event. It stops
	// at the first error of visit and returns it.
	ScanKept(ctx context.Context, visit func(*Delivery) error) error

	// Began returns the place of the first event that the destination gets, and when the queue learned of
	// it: 0 where that was before queues remembered.
	Began(destination string) (Handle, Timestamp)

	// Copied returns what is remembered of events that were copied to the destination out of another
	// store, because the queue has forgotten them. SetCopied changes it, and counts that many of the
	// forgotten events from before the destination as stored or dead instead of skipped, the stored ones
	// first, with one durable change. It returns how many there were to count: no more than are counted
	// as skipped and forgotten.
	Copied(destination string) CopyRecord
	SetCopied(ctx context.Context, destination string, record CopyRecord,
		stored, dead uint64) (counted uint64, err error)

	// Store returns what is remembered of the destination's store, and SetStore changes it: with the
	// next settlement, or at once and durably where Changed is another.
	Store(destination string) StoreRecord
	SetStore(ctx context.Context, destination string, record StoreRecord) error

	// Pause returns what is remembered of a person's pause of the destination, and SetPause changes it,
	// durably. The queue hands events out all the same: who delivers asks.
	Pause(destination string) PauseRecord
	SetPause(ctx context.Context, destination string, record PauseRecord) error

	// SettleHeld ends held events: as skipped by a rule, or as dead once the letter is durable. It is
	// durable when it returns. What is not held any more is passed over; it returns how many were
	// settled.
	SettleHeld(ctx context.Context, destination string, outcomes []Outcome) (settled int, err error)

	// Route gives held events of one destination to another, which then gets them like any other
	// event, and settles them for the first as skipped (SkippedRouted). Where the other has had an
	// event already, nothing is done twice. It is durable when it returns, and may be repeated after
	// an error.
	Route(ctx context.Context, from, to string, deliveries []*Delivery) (routed int, err error)
}

// CopyRecord is how far a copy of events out of another store is.
type CopyRecord struct {
	Job     string   `json:"job,omitempty"`    // which copy was the last
	After   CopyKey  `json:"after,omitzero"`   // it goes on behind this key
	Batch   []string `json:"batch,omitempty"`  // request ids that may be stored already and are not counted
	Reached CopyKey  `json:"reached,omitzero"` // the last key that any copy has reached

	// What the job has done so far.
	Stored    uint64 `json:"stored,omitempty"`
	Dead      uint64 `json:"dead,omitempty"`
	Uncounted uint64 `json:"uncounted,omitempty"` // of both, what is not counted because the queue has not skipped it
}

// CopyKey is a Key, to be kept.
type CopyKey struct {
	Timestamp Timestamp `json:"timestamp"`
	RequestID string    `json:"request_id"`
}

// Key returns it as a Key.
func (k CopyKey) Key() Key { return Key(k) }

// Trace is where an event stands at a destination.
type Trace struct {
	Standing Standing // 0 where the destination began later
	Held     bool
	Skip     string // the rule by which it was skipped
	Where    string // the filter of its time, where that is what skipped it
}
