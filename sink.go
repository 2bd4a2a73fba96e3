package pillarbox

import (
	"context"
)

// Sink is where events are delivered. A configured sink is a destination.
//
// What an engine can't do says its Traits; the methods are there all the same, so that whoever
// wraps a sink keeps them by embedding it (see SinkDefaults).
type Sink interface {
	// Traits returns what the engine can do. It is always the same.
	Traits() SinkTraits

	// Write stores events durably: after nil, all of them survive a crash or a power cut of the store
	// as far as the engine's package comment promises. It is idempotent on the event's key: writing an
	// event again, alone or among others, twice in one call or concurrently, leaves one. The sink
	// keeps neither the slice nor anything it points to after it returns, and changes nothing in it.
	//
	// Errors, and what the caller makes of them:
	//   - *BatchError: the named events are not stored, all others are.
	//   - an error that matches ErrUnavailable, or ctx's own: the destination is down. Nothing is known
	//     about any of the events, and none of them is to blame. Where it matches ErrGone as well, also for
	//     one event of a *BatchError, the delivery is paused until a person resumes it.
	//   - a PermanentError: refused as a whole, and always will be. The caller splits the batch until the
	//     event that is to blame stands alone.
	//   - any other: refused as a whole for now. The caller splits here too.
	//
	// Write may be called concurrently. It neither retries nor sleeps.
	Write(ctx context.Context, events []*Event) error

	// Check asks whether the engine can serve with what it was given: that its store exists, and may
	// be used. An engine on this machine has found that out when it was opened. Errors: ErrInvalid,
	// ErrUnavailable, ctx's own.
	Check(ctx context.Context) error

	// Identity returns what the store had with the last write, or when it was opened; the zero value
	// where it was not open yet. It costs no I/O, and may be called concurrently. (Identified)
	Identity() StoreIdentity

	// Remove deletes events as if they had never been written: what is not there is passed over, and no
	// purge remembers it. It is durable when it returns, and nil means that none of them is there. The
	// ledger knows nothing of it, so it is for what never counts as stored: the events of the canary.
	// After an error, some of them may be gone. Errors: ErrUnavailable, ErrClosed, ctx's own, and what
	// the store refuses. (Removes)
	Remove(ctx context.Context, keys []Key) error

	EventStore // (Readable)
	Purger     // (Purges)

	// Close releases the store. It is safe to call twice. A Write after Close returns ErrClosed.
	Close() error
}

// StoreIdentity tells a store from every other one, and from an older copy of itself.
type StoreIdentity struct {
	ID   string `json:"id"`   // random, made with the store
	Mark uint64 `json:"mark"` // grows with what is stored
}

// StoreRecord is what the queue remembers of a destination's store.
type StoreRecord struct {
	StoreIdentity
	Changed string    `json:"changed,omitempty"` // what was found instead of this store, in words; empty while it is the same
	At      Timestamp `json:"at,omitempty"`      // when that was found
	Renewed bool      `json:"renewed,omitempty"` // which store it was is not known any more, because the record was damaged: the next one is believed
}

// Meet compares the store with the record and returns the new record. The first one is believed, if
// nothing is in it or the record was renewed; another store, or one that is older than it was, is a
// change, which stays on the record until somebody clears it.
func (r StoreRecord) Meet(now StoreIdentity, at Timestamp) StoreRecord {
	met := StoreRecord{StoreIdentity: now, Changed: r.Changed, At: r.At}
	switch {
	case now.ID == "":
		return r
	case r.Renewed, r.ID == "" && now.Mark == 0, now.ID == r.ID && now.Mark >= r.Mark:
		return met
	case r.ID == "":
		met.Changed = "events of another queue are in it: if the queue was removed or put back from a copy, what it had not delivered is lost"
	case now.ID == r.ID:
		met.Changed = "it is an older copy of the store: what was stored since the copy was made is missing"
	default:
		met.Changed = "it is another store than the one that events were stored in"
	}
	met.At = at
	return met
}

// PauseRecord says that a person has paused the delivery to a destination, or that the destination
// itself has asked for it (ErrGone). The zero value says that nobody has.
type PauseRecord struct {
	At     Timestamp `json:"at"`
	By     string    `json:"by,omitempty"` // PausedByDestination where no person has
	Reason string    `json:"reason,omitempty"`
}

// PausedByDestination is who has paused where the destination has asked for it.
const PausedByDestination = "pillarbox"

// MaxPauseReason is the longest reason of a pause, in bytes.
const MaxPauseReason = 500

// IsPaused reports whether somebody has.
func (p PauseRecord) IsPaused() bool { return p.At != 0 }

// EventStore is the part of a sink by which its events are read back.
type EventStore interface {
	EventFinder

	// List returns events that match, ordered by key, at most filter.Limit of them. Items that are no
	// events are passed over, and named in an *UnreadableError that comes beside the events: they take
	// no room of the limit. Where filter.MaxScan ends the list early, a *ScanLimitError comes beside the
	// events in the same way.
	List(ctx context.Context, filter EventFilter) ([]*Event, error)
	// Count returns how many events are stored. It may cost a scan.
	Count(ctx context.Context) (uint64, error)
	// Missing returns those of the keys that are not stored, in the order given.
	Missing(ctx context.Context, keys []Key) ([]Key, error)
	// StoredAt returns when the event was written, or an error that matches ErrNotFound.
	StoredAt(ctx context.Context, key Key) (Timestamp, error)
}

// DefaultListLimit is the number of events or letters in a page when none is asked for.
const DefaultListLimit = 100

// MaxListLimit bounds one page.
const MaxListLimit = 1000

// EventFilter selects events. The zero value selects all.
type EventFilter struct {
	Source    string    // exact; empty for all
	RequestID string    // exact; empty for all
	Since     Timestamp // inclusive; 0 for no bound
	Until     Timestamp // exclusive; 0 for no bound
	After     Key       // the cursor: events behind this key only (before it where Newest is set)
	Newest    bool      // newest first instead of oldest first
	Facts     *Facts    // what is to be known of an event; nil for all. Nobody changes it
	Limit     int       // 0 is DefaultListLimit; at most MaxListLimit

	Content *ContentFilter // what was sent; nil for all. Nobody changes it
	// MaxScan is how many events are looked at whose key is within the filter, where no index leads to
	// the other things that it asks for; 0 for no bound. An engine that reads across a network may stop
	// earlier.
	MaxScan int
}

// Looks reports whether events have to be looked at for more than their keys and their sources.
func (f EventFilter) Looks() bool { return f.Facts != nil || f.Content != nil }

// PageLimit is how many events a page has at most: Limit within its bounds.
func (f EventFilter) PageLimit() int {
	if limit := min(f.Limit, MaxListLimit); limit > 0 {
		return limit
	}
	return DefaultListLimit
}

// PurgeStepLimit is how many events one step of a purge deletes at most: one transaction, between
// two of which deliveries go on.
const PurgeStepLimit = 500

// Purger is the part of a sink by which old events are deleted for good. What was deleted, and that
// it was, become durable together: a crash in between leaves both or neither. All methods may be
// called concurrently with the others of a sink; purges of one sink take turns.
type Purger interface {
	// BeginPurge begins a purge and counts what it would delete. It deletes nothing. It may cost a
	// scan. Errors: ErrUnavailable, ctx's own.
	BeginPurge(ctx context.Context, filter PurgeFilter) (PurgeStart, error)
	// Purge does one step. After an error nothing of the step is done. Errors: as those of BeginPurge,
	// and what the store refuses.
	Purge(ctx context.Context, step PurgeStep) (PurgeResult, error)
	// Purges returns what is remembered of all purges, oldest first, as it was known with the last
	// step, count or look-up. It costs no I/O. The slice must not be changed.
	Purges() []Purge
}

// PurgeFilter selects what a purge deletes.
type PurgeFilter struct {
	Source       string    // exact; empty for all
	Until        Timestamp // of the event; exclusive
	StoredBefore Timestamp // what was written at this time or later is left alone; 0 is the beginning of the purge
}

// PurgeStart is how a purge begins.
type PurgeStart struct {
	At      Timestamp // names the purge. What is written from now on is written at this time or later
	Matched uint64    // events that the filter selects
}

// PurgeStep is one step of a purge.
type PurgeStep struct {
	PurgeFilter
	At    Timestamp    // of its beginning
	After Key          // the cursor: the last of the step before
	Keep  map[Key]bool // what is left alone whatever the filter says
	Limit int          // events at most, unless the sink PurgesFiles; 0, or more than it, is PurgeStepLimit
}

// PurgeResult is what a step has done.
type PurgeResult struct {
	Deleted uint64
	Last    Key // what the step has come to; the zero key where nothing is left
}

// Purge is what a store remembers of a purge: the range that it went through, and how much it has
// deleted there.
type Purge struct {
	At     Timestamp `json:"at"`
	Source string    `json:"source,omitempty"` // empty for all
	Until  Timestamp `json:"until"`            // behind the last event that was deleted
	Events uint64    `json:"events"`
}

// Covers reports whether the purge went through the place of the event. A source that is not known
// is empty, and any may be meant.
func (p Purge) Covers(source string, at Timestamp) bool {
	return at < p.Until && (p.Source == "" || source == "" || p.Source == source)
}

// CoveredBy returns the first of the purges that went through the place of an event.
func CoveredBy(purges []Purge, source string, at Timestamp) (_ Purge, covered bool) {
	for _, purge := range purges {
		if purge.Covers(source, at) {
			return purge, true
		}
	}
	return Purge{}, false
}

// PurgedEvents adds up what purges have deleted.
func PurgedEvents(purges []Purge) (total uint64) {
	for _, purge := range purges {
		total += purge.Events
	}
	return total
}
