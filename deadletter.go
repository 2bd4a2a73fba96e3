package pillarbox

import (
	"context"
	"iter"
	"strings"
)

// DeadLetterVersion is the version of the dead letter's JSON form.
const DeadLetterVersion = 1

// DeadLetter is an event that a destination refused for good, with what was tried. Its JSON form is a file
// format that other programs rely on: names are added, never changed.
type DeadLetter struct {
	Version     int         `json:"version"`
	Destination string      `json:"destination"`
	Reason      string      `json:"reason"`
	DeadAt      Timestamp   `json:"dead_at"`
	Attempts    []Attempt   `json:"attempts"`
	Event       *Event      `json:"event"`
	Replay      string      `json:"replay"` // the command that replays it
	Resolved    *Resolution `json:"resolved,omitempty"`
}

// The ways in which a dead letter is resolved.
const (
	ResolvedReplayed  = "replayed"  // stored in its destination by a replay
	ResolvedDiscarded = "discarded" // given up by a person
)

// Resolution says how a dead letter ended. The letter is kept.
type Resolution struct {
	At  Timestamp `json:"at"`
	How string    `json:"how"` // ResolvedReplayed or ResolvedDiscarded
}

// DeadLetters keeps dead letters. All methods may be called concurrently.
type DeadLetters interface {
	// Put makes the letter durable. It is idempotent on destination and event key: an open letter of the
	// same event is replaced, and putting a letter back that was resolved opens it again.
	// Errors: ErrNoSpace, ErrUnavailable, ErrClosed.
	Put(ctx context.Context, letter *DeadLetter) error

	// Get returns the letter of the event, open or resolved. An empty destination matches if only one
	// destination has a letter of this event, else the error matches ErrConflict. Errors: ErrNotFound,
	// ErrCorrupt, ErrUnavailable.
	Get(ctx context.Context, destination, requestID string) (*DeadLetter, error)

	// List yields the letters that match, by day of death and then by event key. A letter that can't be read
	// is yielded as an error with a nil letter, and the walk goes on; the consumer stops by breaking.
	List(ctx context.Context, filter LetterFilter) iter.Seq2[*DeadLetter, error]

	// Resolve marks the letter as resolved, durably, and keeps it. Doing so again changes nothing.
	// Errors: ErrNotFound, ErrNoSpace, ErrUnavailable, ErrClosed.
	Resolve(ctx context.Context, destination string, key Key, resolution Resolution) error

	// Count returns the number of letters of the destination, by state. It reads no letter.
	Count(ctx context.Context, destination string) (LetterCount, error)

	// Close is safe to call twice.
	Close() error
}

// LetterCount counts the letters of one destination by state.
type LetterCount struct {
	Open      uint64 `json:"open"`
	Replayed  uint64 `json:"replayed"`
	Discarded uint64 `json:"discarded"`
}

// LetterFilter selects dead letters. The zero value selects all open ones.
type LetterFilter struct {
	Destination string    // exact; empty for all
	Since       Timestamp // time of death, inclusive; 0 for no bound
	Until       Timestamp // time of death, exclusive; 0 for no bound
	Source      string    // exact; empty for all
	RequestIDs  []string  // any of them; empty for all
	Error       string    // part of the reason or of the last attempt's error, upper and lower case alike
	Resolved    bool      // resolved letters too
}

// Match reports whether the filter selects the letter.
func (f LetterFilter) Match(letter *DeadLetter) bool {
	switch {
	case f.Destination != "" && letter.Destination != f.Destination,
		f.Since != 0 && letter.DeadAt < f.Since,
		f.Until != 0 && letter.DeadAt >= f.Until,
		f.Source != "" && letter.Event.Source != f.Source,
		!f.Resolved && letter.Resolved != nil:
		return false
	}
	return f.matchID(letter.Event.RequestID) && f.matchError(letter)
}

func (f LetterFilter) matchID(requestID string) bool {
	for _, wanted := range f.RequestIDs {
		if wanted == requestID {
			return true
		}
	}
	return len(f.RequestIDs) == 0
}

func (f LetterFilter) matchError(letter *DeadLetter) bool {
	wanted := strings.ToLower(f.Error)
	if strings.Contains(strings.ToLower(letter.Reason), wanted) {
		return true
	}
	last := len(letter.Attempts) - 1
	return last >= 0 && strings.Contains(strings.ToLower(letter.Attempts[last].Error), wanted)
}
