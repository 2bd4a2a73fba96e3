package deadletterfile

import (
	"context"
	"errors"
	"slices"
	"strings"

	"pillarbox"
)

// Walk loads the letters, which are of one day and in the order of Compare, and visits them in the
// order of their events' keys. Of letters whose events have the same time and whose ids are hashed,
// the names don't tell the order: those are loaded together. It ends with the first error of visit,
// and returns it.
func Walk(letters []ID, load func(ID) (*pillarbox.DeadLetter, error),
	visit func(*pillarbox.DeadLetter, error) error) error {
	for len(letters) > 0 {
		n := SameTime(letters)
		if err := walkSameTime(letters[:n], load, visit); err != nil {
			return err
		}
		letters = letters[n:]
	}
	return nil
}

// SameTime returns how many letters at the start have the same time of their event.
func SameTime(letters []ID) int {
	n := 1
	for n < len(letters) && letters[n].Timestamp == letters[0].Timestamp {
		n++
	}
	return n
}

func walkSameTime(letters []ID, load func(
	ID) (*pillarbox.DeadLetter, error), visit func(*pillarbox.DeadLetter, error) error) error {
	hashed := func(letter ID) bool { return letter.Token.Hashed }
	if len(letters) == 1 || !slices.ContainsFunc(letters, hashed) {
		for _, letter := range letters {
			if err := visit(load(letter)); err != nil {
				return err
			}
		}
		return nil
	}
	type loaded struct {
		requestID string
		letter    *pillarbox.DeadLetter
		err       error
	}
	all := make([]loaded, len(letters))
	for i, letter := range letters {
		all[i].requestID = letter.Token.String()
		if all[i].letter, all[i].err = load(letter); all[i].err == nil {
			all[i].requestID = all[i].letter.Event.RequestID
		}
	}
	slices.SortStableFunc(all,
		func(a, b loaded) int { return strings.Compare(a.requestID, b.requestID) })
	for _, one := range all {
		if err := visit(one.letter, one.err); err != nil {
			return err
		}
	}
	return nil
}

// ErrStopped says that the consumer of a list has seen enough.
var ErrStopped = errors.New("stopped")

// Visitor returns the visit of a list: it yields what was read, if it matches, and what can't be
// read. It ends the walk with ErrStopped, with ctx's error, and with ErrClosed.
func Visitor(ctx context.Context, filter pillarbox.DeadLetterFilter,
	yield func(*pillarbox.DeadLetter, error) bool) func(*pillarbox.DeadLetter, error) error {
	return func(letter *pillarbox.DeadLetter, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, pillarbox.ErrClosed):
			return err
		case errors.Is(err, pillarbox.ErrNotFound): // removed by hand
			return nil
		case err == nil && !filter.Match(letter):
			return nil
		}
		if !yield(letter, err) {
			return ErrStopped
		}
		return nil
	}
}
