package pillarbox

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strings"
)

// DeadLetterVersion is the version of the dead letter's JSON form.
const DeadLetterVersion = 1

// DeadLetter is an event that a destination refused for good, with what was tried. Its JSON form is
// a file format that other programs rely on: names are added, never changed.
type DeadLetter struct {
	Version     int       `json:"version"`
	Destination string    `json:"destination"`
	Reason      string    `json:"reason"`
	DeadAt      Timestamp `json:"dead_at"`
	Attempts    []Attempt `json:"attempts"`
	Event       *Event    `json:"event"`
	Replay      string    `json:"replay"` // the command that replays it

	// DeathReason is the reason at DeadAt, where Reason is that of a later replay; else empty.
	DeathReason string `json:"death_reason,omitempty"`

	Resolved *Resolution `json:"resolved,omitempty"`
}

// ReasonOfDeath is why the event became a dead letter, whatever a later replay was refused for.
// Letters that were replayed when that name was not there yet don't say so: of them it is the
// error of the last attempt before.
func (d *DeadLetter) ReasonOfDeath() string {
	if d.DeathReason != "" || len(d.Attempts) == 0 ||
		d.Attempts[len(d.Attempts)-1].At <= d.DeadAt {
		return cmp.Or(d.DeathReason, d.Reason)
	}
	for _, attempt := range slices.Backward(d.Attempts) {
		if attempt.At <= d.DeadAt {
			return attempt.Error
		}
	}
	return d.Reason
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

// DeadLetterKey names one dead letter.
type DeadLetterKey struct {
	Destination string
	Key         Key
}

// DeadLetters keeps dead letters. All methods may be called concurrently.
type DeadLetters interface {
	// PutMany makes the letters durable and listed, at the cost of one. It is idempotent on
	// destination and event key: an open letter of the same event is replaced, and putting a letter
	// back that was resolved opens it again. Of two letters of one event in one call, the later one
	// stays. A *BatchError names the ones that are not kept; any other error means that none of them
	// is promised. After an error, a letter that was not promised may have been kept. What Count says
	// changes for all letters of a call at once, and before it returns. Errors: ErrInvalid,
	// ErrNoSpace, ErrUnavailable, ErrClosed.
	PutMany(ctx context.Context, letters []*DeadLetter) error

	// Get returns the letter of the event, open or resolved. An empty destination matches if only one
	// destination has a letter of this event, else the error matches ErrConflict. Errors: ErrNotFound,
	// ErrCorrupt, ErrUnavailable.
	Get(ctx context.Context, destination, requestID string) (*DeadLetter, error)

	// List yields the letters that match, by day of death and then by event key. A letter that can't
	// be read is yielded as an error with a nil letter, and the walk goes on; the consumer stops by
	// breaking.
	List(ctx context.Context, filter DeadLetterFilter) iter.Seq2[*DeadLetter, error]

	// Summaries yields what List would, without opening the letters where the engine knows enough of
	// them, and letters that are missing too if the filter says so. An error is the last thing that is
	// yielded, unless it is of one letter.
	Summaries(ctx context.Context, filter DeadLetterFilter) iter.Seq2[DeadLetterSummary, error]

	// ResolveMany marks the letters as resolved, durably, at the cost of one, and keeps them. Doing so
	// again changes nothing. A *BatchError names those that are not resolved; any other error means
	// that nothing is promised of any. Errors: ErrNotFound, ErrCorrupt, ErrNoSpace, ErrUnavailable,
	// ErrClosed.
	ResolveMany(ctx context.Context, letters []DeadLetterKey, resolution Resolution) error

	// Count returns the number of letters of the destination, by state. It reads no letter and costs
	// no scan.
	Count(ctx context.Context, destination string) (DeadLetterCount, error)

	// Close is safe to call twice.
	Close() error
}

// PutDeadLetter puts one letter, and returns its own error.
func PutDeadLetter(ctx context.Context, into interface {
	PutMany(ctx context.Context, letters []*DeadLetter) error
}, letter *DeadLetter) error {
	return onlyError(into.PutMany(ctx, []*DeadLetter{letter}))
}

// ResolveDeadLetter resolves one letter, and returns its own error.
func ResolveDeadLetter(ctx context.Context, in interface {
	ResolveMany(ctx context.Context, letters []DeadLetterKey, resolution Resolution) error
}, letter DeadLetterKey, resolution Resolution) error {
	return onlyError(in.ResolveMany(ctx, []DeadLetterKey{letter}, resolution))
}

func onlyError(err error) error {
	if partial, ok := err.(*BatchError); ok && len(partial.Items) == 1 { //nolint:errorlint // a batch of one, as it was returned
		return partial.Items[0].Err
	}
	return err
}

// DeadLetterCount counts the letters of one destination by state.
type DeadLetterCount struct {
	Open      uint64 `json:"open"`
	Replayed  uint64 `json:"replayed"`
	Discarded uint64 `json:"discarded"`
	Missing   uint64 `json:"missing,omitempty"` // were kept, and somebody has removed them; in none of the other counts
}

// The states of a letter in a summary that are no resolution.
const (
	DeadLetterOpen    = "open"
	DeadLetterMissing = "missing"
)

// DeadLetterSummary is what is known of a letter without opening it.
type DeadLetterSummary struct {
	Destination string
	Key         Key
	Source      string
	Reason      string
	DeadAt      Timestamp
	State       string // DeadLetterOpen, DeadLetterMissing, ResolvedReplayed or ResolvedDiscarded
}

// Summary returns the summary of a letter that is at hand.
func (d *DeadLetter) Summary() DeadLetterSummary {
	summary := DeadLetterSummary{
		Destination: d.Destination, Key: d.Event.Key(), Source: d.Event.Source, Reason: d.Reason, DeadAt: d.DeadAt, State: DeadLetterOpen,
	}
	if d.Resolved != nil {
		summary.State = d.Resolved.How
	}
	return summary
}

// DeadLetterPosition is the place of a letter in the order of List.
type DeadLetterPosition struct {
	DeadAt      Timestamp // only its day counts
	Key         Key
	Destination string
}

// Compare orders places: by day of death, event key and destination.
func (p DeadLetterPosition) Compare(other DeadLetterPosition) int {
	if byDay := cmp.Compare(p.DeadAt.day(), other.DeadAt.day()); byDay != 0 {
		return byDay
	}
	if byKey := p.Key.Compare(other.Key); byKey != 0 {
		return byKey
	}
	return strings.Compare(p.Destination, other.Destination)
}

func (t Timestamp) day() int64 {
	const day = 24 * 60 * 60 * 1_000_000
	number := int64(t) / day
	if int64(t)%day < 0 {
		number--
	}
	return number
}

// DeadLetterFilter selects dead letters. The zero value selects all open ones.
type DeadLetterFilter struct {
	Destination string    // exact; empty for all
	Since       Timestamp // time of death, inclusive; 0 for no bound
	Until       Timestamp // time of death, exclusive; 0 for no bound
	Source      string    // exact; empty for all
	RequestIDs  []string  // any of them; empty for all
	Error       string    // part of the reason or of the last attempt's error, upper and lower case alike
	Cause       string    // what Cause makes of the reason; empty for all
	Resolved    bool      // resolved letters too
	Missing     bool      // in Summaries: letters that were removed by hand too

	After DeadLetterPosition // the cursor: letters behind this place only; the zero value is before all
}

// IsZero reports whether the filter selects by nothing but a place and a state.
func (f DeadLetterFilter) IsZero() bool {
	return f.Destination == "" && f.Since == 0 && f.Until == 0 && f.Source == "" && len(f.RequestIDs) == 0 &&
		f.Error == "" && f.Cause == ""
}

// Match reports whether the filter selects the letter.
func (f DeadLetterFilter) Match(letter *DeadLetter) bool {
	switch {
	case f.Destination != "" && letter.Destination != f.Destination,
		f.Since != 0 && letter.DeadAt < f.Since,
		f.Until != 0 && letter.DeadAt >= f.Until,
		f.Source != "" && letter.Event.Source != f.Source,
		!f.Resolved && letter.Resolved != nil,
		f.After != DeadLetterPosition{} && letter.place().Compare(f.After) <= 0:
		return false
	}
	return f.matchID(letter.Event.RequestID) && f.matchError(letter)
}

func (d *DeadLetter) place() DeadLetterPosition {
	return DeadLetterPosition{DeadAt: d.DeadAt, Key: d.Event.Key(), Destination: d.Destination}
}

func (f DeadLetterFilter) matchID(requestID string) bool {
	for _, wanted := range f.RequestIDs {
		if wanted == requestID {
			return true
		}
	}
	return len(f.RequestIDs) == 0
}

func (f DeadLetterFilter) matchError(letter *DeadLetter) bool {
	return f.MatchError(letter.Reason, letter.LastError())
}

// LastError returns the error of the last attempt; empty where there was none.
func (d *DeadLetter) LastError() string {
	if len(d.Attempts) == 0 {
		return ""
	}
	return d.Attempts[len(d.Attempts)-1].Error
}

// MatchError reports whether the filter selects a letter with that reason and that error of the
// last attempt.
func (f DeadLetterFilter) MatchError(reason, last string) bool {
	if f.Cause != "" && Cause(reason) != f.Cause {
		return false
	}
	wanted := strings.ToLower(f.Error)
	return strings.Contains(strings.ToLower(reason), wanted) ||
		strings.Contains(strings.ToLower(last), wanted)
}
