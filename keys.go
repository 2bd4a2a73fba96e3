package pillarbox

import (
	"context"
	"time"
)

// Idempotency is by what a request that is sent again is known. The zero value is none. An event
// with one has a RequestID in the form of a UUID.
type Idempotency struct {
	Key         [16]byte // the start of a SHA-256 over source, caller and key: nobody meets the keys of others
	Fingerprint uint64   // the start of a SHA-256 over method, path, query and body
}

// IsZero reports whether there is no key.
func (i Idempotency) IsZero() bool { return i.Key == [16]byte{} }

// KeyState says what is known of a key.
type KeyState int

// The states of a key.
const (
	KeyNew      KeyState = iota + 1 // claimed: nobody had it within the window
	KeyAgain                        // claimed, after an append whose outcome is not known: the claim has the stamp of that one, which is to be used again
	KeyDone                         // its event is durable: the claim has its stamp
	KeyInFlight                     // another request with the same content has claimed it, and is not settled
	KeyMismatch                     // it came with another content
	KeyRefused                      // it can't be claimed now: Err says why
)

// Claimed reports whether the claim is to be settled.
func (s KeyState) Claimed() bool { return s == KeyNew || s == KeyAgain }

// KeyOutcome says what became of the append for a claim.
type KeyOutcome int

// The outcomes of the append for a claim.
const (
	KeyStored  KeyOutcome = iota + 1 // the event is durable
	KeyUnknown                       // it may be, or become so
	KeyFree                          // it is not, and never will be
)

// KeyClaim is a question about a key, with what its event would get, and the answer.
type KeyClaim struct {
	Idempotency
	Timestamp Timestamp // of the event; replaced by that of the first one for KeyAgain and KeyDone
	RequestID string    // likewise
	State     KeyState
	Err       error      // for KeyRefused: ErrFull, ErrUnavailable
	Outcome   KeyOutcome // for Settle
}

// Keys remembers idempotency keys, for as long as its window says or until it has as many as it may
// have. All methods may be called concurrently.
type Keys interface {
	// Claim answers each claim, in order. What is claimed is in flight for everyone else until it is
	// settled, or until its holder is known to be dead. A key that stands twice in a call is in flight
	// for the second.
	Claim(ctx context.Context, claims []KeyClaim)

	// Settle takes the outcomes of claimed keys; the others are passed over. A key with an unknown
	// outcome keeps its stamp for the next who claims it. After an error, the stored ones may be in
	// flight for longer than they are; nothing is forgotten.
	Settle(ctx context.Context, claims []KeyClaim) error

	// KeyStats costs no scan.
	KeyStats() KeyStats
}

// KeyStats is the state of Keys.
type KeyStats struct {
	Held     int64 // keys that are remembered
	MaxKeys  int64 // how many may be
	Window   int64 // seconds for which a key is remembered at most
	Oldest   int64 // age of the oldest key that is remembered, in seconds
	InFlight int   // claimed, and not settled
	Unknown  int   // whose append has an unknown outcome
	Damaged  int64 // keys that can't be read any more
	Problem  string
}

// The limits of Keys where nothing else is said.
const (
	DefaultKeyWindow = 24 * time.Hour
	DefaultMaxKeys   = 10_000_000
)

// HeaderReplayed is true in an answer whose receipt is that of an earlier request with the same
// idempotency key.
const HeaderReplayed = "Idempotent-Replayed"
