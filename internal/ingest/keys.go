package ingest

import (
	"context"
	"errors"
	"time"

	"pillarbox"
)

// errInFlight and errReused are the answers to keys that can't be claimed.
var (
	errInFlight = &pillarbox.RetryAfterError{After: time.Second, Err: &keyError{pillarbox.ErrKeyInFlight,
		"a request with the same idempotency key is not answered yet; send it again later to get its receipt"}}
	errReused = &keyError{pillarbox.ErrKeyReused,
		"the idempotency key came before with another method, path, query or body; nothing was stored"}
)

// errNotAppended stands for an append that has not returned.
var errNotAppended = errors.New("the append has not returned")

// keyError is of a kind, and says the cause alone.
type keyError struct {
	kind error
	text string
}

func (e *keyError) Error() string { return e.text }

func (e *keyError) Unwrap() error { return e.kind }

// claim asks for the keys of all events, and takes those out of the append that are not to be
// stored: they were before, or are being, or must not be.
func (a *Ingest) claim(ctx context.Context, s *scratch, results []Result) {
	for _, event := range s.pointers {
		s.claims = append(s.claims, pillarbox.KeyClaim{Idempotency: event.Idempotency,
			Timestamp: event.Timestamp, RequestID: event.RequestID})
	}
	a.keys.Claim(ctx, s.claims)
	kept := 0
	for i := range s.claims {
		c := s.claims[i]
		index, event := s.indexes[i], s.pointers[i]
		switch c.State {
		case 0, pillarbox.KeyNew:
		case pillarbox.KeyAgain:
			event.Timestamp, event.RequestID = c.Timestamp, c.RequestID
		case pillarbox.KeyInFlight:
			s.note(results, index, c, kept)
			continue
		default:
			results[index] = answerOf(c)
			continue
		}
		s.claims[kept], s.indexes[kept], s.pointers[kept] = c, index, event
		kept++
	}
	s.claims, s.indexes, s.pointers = s.claims[:kept], s.indexes[:kept], s.pointers[:kept]
}

// answerOf is the result for a key that is not claimed.
func answerOf(c pillarbox.KeyClaim) Result {
	switch c.State {
	case pillarbox.KeyDone:
		return Result{Replayed: true, Receipt: pillarbox.Receipt{RequestID: c.RequestID,
			Timestamp: c.Timestamp, Status: pillarbox.StateAccepted}}
	case pillarbox.KeyMismatch:
		return Result{Err: errReused}
	case pillarbox.KeyRefused:
		return Result{Err: c.Err}
	}
	return Result{Err: errInFlight}
}

// twin is a request that came together with the first one of its key.
type twin struct{ index, first int }

// note answers a request whose key is in flight. Where it is this same call that has claimed it, it
// gets the answer of that one.
func (s *scratch) note(results []Result, index int, c pillarbox.KeyClaim, kept int) {
	results[index] = answerOf(c)
	for i := range s.claims[:kept] {
		if s.claims[i].Key == c.Key {
			s.twins = append(s.twins, twin{index: index, first: s.indexes[i]})
			return
		}
	}
}

// settleKeys tells what became of the claimed keys. That it fails leaves keys in flight for longer,
// and takes nothing back from what is durable: it is counted, and no client is told.
func (a *Ingest) settleKeys(ctx context.Context, s *scratch, results []Result) {
	for i := range s.claims {
		s.claims[i].Outcome = outcomeOf(results[s.indexes[i]].Err)
	}
	if err := a.keys.Settle(ctx, s.claims); err != nil {
		a.metrics.KeysUnsettled()
	}
	for _, t := range s.twins {
		results[t.index] = results[t.first]
		results[t.index].Replayed = results[t.first].Err == nil
	}
}

// outcomeOf is what an error of the append says of a key. A limit refuses before anything is
// written; after any other error, the event may still surface.
func outcomeOf(err error) pillarbox.KeyOutcome {
	switch {
	case err == nil:
		return pillarbox.KeyStored
	case errors.Is(err, pillarbox.ErrFull) || errors.Is(err, pillarbox.ErrTooLarge) ||
		errors.Is(err, pillarbox.ErrInvalid):
		return pillarbox.KeyFree
	}
	return pillarbox.KeyUnknown
}
