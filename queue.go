package pillarbox

import (
	"context"
	"time"
)

// Queue is the durable buffer between accepting and delivering. Each destination consumes all of it
// on its own, at its own pace. All methods may be called concurrently; Lease and Settle of one
// destination are expected from one loop.
//
// A destination exists for the queue from the first Lease or Account that names it, and gets the
// events appended from then on; the first destinations of a new queue get everything.
//
// What an engine can't do beyond that says its Traits; the methods are there all the same, so that
// whoever wraps a queue keeps them by embedding it (see QueueDefaults).
type Queue interface {
	// Traits returns what the engine can do. It is always the same.
	Traits() QueueTraits

	// Append makes events durable and returns after they are: nil means that all of them survive a
	// crash or a power cut. A *BatchError names the ones that are not durable; any other error means
	// that none of them is promised. After an error, an event that was not promised may still surface
	// later ("unknown outcome"), never with other content.
	//
	// The queue keeps neither the slice nor anything it points to after it returns. Errors: ErrFull (a
	// configured limit) and ErrNoSpace (the disk), both with a RetryAfterError where the engine can
	// tell; ErrTooLarge; ErrUnavailable; ErrClosed; ErrUnknown where the storage has not answered in
	// time. ctx is looked at before the work starts; an engine that can't call the work back may
	// ignore it from then on.
	Append(ctx context.Context, events []*Event) error

	// AppendInline is Append for a caller that is watched, where Append returns although its storage
	// hangs because another goroutine does the work: this may do the work on the caller's own, which
	// saves the time of handing it over, and return as late as the storage does.
	AppendInline(ctx context.Context, events []*Event) error

	// Lease waits until at least one delivery is due for the destination, and hands out up to limits.
	// What is handed out is not handed out again until it is settled, or the queue is opened anew. The
	// events are the caller's to read, never to change, until Settle returns.
	//
	// Order: rejected deliveries and retries that are due first, then events in the order of Append.
	// Errors: ctx's own, ErrClosed, ErrUnavailable.
	Lease(ctx context.Context, destination string, limits LeaseLimits) ([]Delivery, error)

	// Settle records outcomes of leased deliveries. Attempts, rejections and dead letters are durable
	// when it returns. Stored and skipped may be forgotten by a crash, and the event then comes again:
	// sinks are idempotent. After an error the deliveries stay leased and the same call may be made
	// again. An engine that can't make attempts and rejections durable says in its package comment
	// what follows from that. One that has reached its limit of events that wait for another attempt
	// may take such an outcome as released: the event comes again as if it had not been tried. Errors:
	// ErrNoSpace, ErrUnavailable, ErrClosed; ErrConflict for a handle that is not leased, or stands
	// twice in one call; then nothing is settled.
	Settle(ctx context.Context, destination string, outcomes []Outcome) error

	// Account returns the queue's side of the ledger for one destination. It costs no scan.
	Account(destination string) (Account, error)

	// Stats returns the state of the whole queue. It costs no scan and never fails.
	Stats() QueueStats

	// SetMaxBytes changes the limit of what Stats calls Bytes, for appends from now on; 0 takes the
	// engine's default.
	SetMaxBytes(maxBytes int64)

	// SetKeepBytes changes how many bytes of what is delivered are kept, for Find, Scan and
	// redelivery: more from now on, or less soon. 0 takes the engine's default, and less than that
	// keeps nothing. They never count for SetMaxBytes.
	SetKeepBytes(keepBytes int64)

	// Check asks whether the engine can serve with what it was given: that its store exists, and may
	// be used. An engine on this machine has found that out when it was opened. Errors: ErrInvalid,
	// ErrUnavailable, ctx's own.
	Check(ctx context.Context) error

	// Waiting returns what is known of an event that waits for another attempt, or for its dead
	// letter, without a look at the storage. An engine whose attempts are not durable knows those of
	// this process.
	Waiting(destination, requestID string) (attempts []Attempt, rejection *Rejection, waits bool)

	// Requeue puts dead letters back, for all who deliver from the queue, in the form that it takes
	// events in. nil means durable. A *BatchError names those that are not. (Requeues)
	Requeue(ctx context.Context, letters []*DeadLetter) error

	EventFinder  // of events that are still there (Searchable)
	EventScanner // (Searchable)
	Obligations  // (Obliges)

	// Keys returns the idempotency keys that are kept in the queue's own records, so that no crash
	// parts a key from its event: Append makes both durable at once (Event.Idempotency). It is nil
	// where the queue keeps none. (Keys)
	Keys() Keys

	// SetKeyLimits changes for how long keys are remembered, and how many, from now on. What was
	// forgotten stays so. 0 takes the default. (Keys)
	SetKeyLimits(window time.Duration, maxKeys int64)

	// Close waits for running appends, makes everything known durable and releases the storage. It is
	// safe to call twice. Waiting leases end with ErrClosed.
	Close() error
}

// LeaseLimits bounds one Lease. Zero means one event and no bound on bytes.
type LeaseLimits struct {
	MaxEvents int
	MaxBytes  int64 // sum of stored sizes; the first delivery is handed out whatever its size
}

// Handle is the engine's own name for a leased delivery. Callers copy it and never look inside.
type Handle struct {
	Seq   uint64
	Token string
}

// Delivery is one event on its way to one destination.
type Delivery struct {
	Handle    Handle
	Event     *Event
	Bytes     int64         // stored size
	Since     Timestamp     // when it began to wait; 0 for the event's own timestamp. It is later where a dead letter was put back
	Attempts  []Attempt     // what was tried before, oldest first
	Measured  bool          // the queue measures Waited; else the age of an event is that of its timestamp
	Waited    time.Duration // how long the event has waited at least, whatever the wall clock says
	NotBefore Timestamp     // in scans: when it is tried again; 0 for at once, or not known
	Rejection *Rejection    // set where the event is rejected and only waits for its dead letter
	Rule      *Rule         // of the destination when the event was appended; nil where the queue does not know
	Routed    bool          // a person has given it to this destination, whatever its rules say
}

// Attempt is one failed try to deliver one event to one destination.
type Attempt struct {
	At    Timestamp `json:"at"`
	Class string    `json:"class"` // one of the Class constants
	Error string    `json:"error"` // at most MaxAttemptError bytes
}

// MaxAttemptError bounds the message of an attempt, in bytes, because up to max_attempts of them
// are kept.
const MaxAttemptError = 512

// The classes of a failed attempt.
const (
	ClassRefused     = "refused"     // the destination said no to this event; it may change its mind
	ClassPermanent   = "permanent"   // the destination said no for good
	ClassUnavailable = "unavailable" // the write of this event fails like an outage while others are stored
	ClassExpired     = "expired"     // the event waited longer than the queue keeps events
)

// Rejection says that an event is to become a dead letter. It is durable before the dead letter is
// written, so that a crash in between leads to the same letter again and not to another try.
type Rejection struct {
	Reason string    `json:"reason"`
	DeadAt Timestamp `json:"dead_at"`
}

// OutcomeKind says what became of a leased delivery.
type OutcomeKind int

// The outcomes of a delivery.
const (
	OutcomeStored   OutcomeKind = iota + 1 // durable in the destination
	OutcomeSkipped                         // not meant for this destination, by the rule in Skip
	OutcomeRetry                           // try again from NotBefore on; Attempt is added to its history
	OutcomeReleased                        // give back as if never leased, from NotBefore on
	OutcomeRejected                        // to become a dead letter: Rejection, and Attempt if there was one
	OutcomeDead                            // its dead letter is durable
	OutcomeHeld                            // no destination takes it any more: pending, until a person decides
)

// Outcome is what became of one leased delivery.
type Outcome struct {
	Handle    Handle
	Kind      OutcomeKind
	NotBefore time.Time
	Attempt   *Attempt
	Rejection *Rejection
	Skip      string // of a skipped event: one of the Skipped constants
}

// Account is the queue's side of the ledger for one destination. All counts are events since the
// queue was made, and Accepted = Skipped + Stored + Dead + Damaged + Pending holds at any moment
// and after a crash.
type Account struct {
	Accepted      uint64    // appended to the queue
	Skipped       uint64    // not meant for this destination
	Stored        uint64    // settled as stored
	Dead          uint64    // settled as dead; later replays do not change it
	Damaged       uint64    // lost to corruption of the queue's files
	Unread        uint64    // of these, what the disk can not read now and may read another time
	Pending       uint64    // everything else
	Retrying      uint64    // pending, and tried at least once or rejected
	Held          uint64    // pending, and no destination takes it any more: see Obligations
	Backfill      uint64    // pending, and taken by a back-fill from what was skipped: see Obligations
	OldestPending Timestamp // of the oldest event that is still pending and not back-filled, as far as it is known; else 0

	SkippedBy Skips // Skipped by rule, as far as the queue knows: a state from before there were rules has the sum only

	// Uncounted says that the queue does not count what it takes in: Accepted is what the other counts
	// add up to, those of settled events are of this process, and Pending is an approximation.
	Uncounted bool
}

// QueueStats is the state of a queue.
type QueueStats struct {
	Accepted     uint64 // events since the queue was made
	Uncounted    bool   // as in Account: Accepted is a sum, and no count
	Bytes        int64  // held for the slowest destination
	MaxBytes     int64  // limit of Bytes; 0 where there is none
	Destinations []string
	Hanging      time.Duration // how long the storage has not answered, once that is longer than it may; else 0
	Problem      string        // what keeps the queue from accepting, in one sentence; empty while it accepts
	Damage       []CorruptError
}

// EventFinder is the part of a queue or sink in which single events can be looked up.
type EventFinder interface {
	// Find returns the event, or an error that matches ErrNotFound.
	Find(ctx context.Context, requestID string) (*Event, error)
}

// Standing says where a delivery stands that a scan meets.
type Standing int

// The standings of a delivery.
const (
	StandingPending Standing = iota + 1 // waits, or is held
	StandingSettled                     // stored, or has its dead letter
	StandingSkipped                     // was not meant for the destination
)

// EventScanner is the part of a queue that walks through the events that it still has, settled ones
// included.
type EventScanner interface {
	// Scan calls visit with each event, oldest first, and with where its delivery to the destination
	// stands. Events from before the destination existed are left out. The event is valid during the
	// call only. It stops at the first error of visit and returns it.
	Scan(ctx context.Context, destination string,
		visit func(event *Event, standing Standing) error) error
}
