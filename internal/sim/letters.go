package sim

import (
	"context"
	"fmt"
	"slices"

	"pillarbox"
)

// letters is the directory of dead letters behind a connection that fails now and then. It holds
// every letter against the world before it is written.
type letters struct {
	pillarbox.DeadLetters
	life      *life
	rng       *rng // of deliveries
	replayRNG *rng
}

var errLetters = fmt.Errorf("the dead letters do not answer: %w", pillarbox.ErrUnavailable)

// How often a call fails. Few calls bring more than one letter, and that one of them fails is to be
// seen in every run all the same.
const (
	lettersOdds   = 0.03
	oneLetterOdds = 0.3
)

// of is the chance of whoever calls.
func (l *letters) of(ctx context.Context) *rng {
	if isReplay(ctx) {
		return l.replayRNG
	}
	return l.rng
}

func (l *letters) mishap(ctx context.Context, odds float64, what string) bool {
	w := l.life.world
	if w.calm() || !l.of(ctx).happens(odds) {
		return false
	}
	w.troubled()
	w.tally.add("letters: " + what)
	return true
}

// PutMany implements pillarbox.DeadLetters.
func (l *letters) PutMany(ctx context.Context, letters []*pillarbox.DeadLetter) error {
	if err := pause(ctx, l.of(ctx).upTo(maxJitter)); err != nil {
		return err
	}
	if !isReplay(ctx) {
		for _, letter := range letters {
			l.life.world.holdAgainst(letter, l.life.number)
		}
	}
	if l.mishap(ctx, lettersOdds, "put fails") {
		return errLetters
	}
	kept, refused := letters, (*pillarbox.BatchError)(nil)
	if len(letters) > 1 && l.mishap(ctx, oneLetterOdds, "put fails for one") {
		at := l.of(ctx).below(len(letters))
		refused = &pillarbox.BatchError{Items: []pillarbox.ItemError{{Index: at, Err: errLetters}}}
		kept = slices.Delete(slices.Clone(letters), at, at+1)
	}
	if err := l.DeadLetters.PutMany(ctx, kept); err != nil {
		return err
	}
	for _, letter := range kept {
		l.toldKept(ctx, letter)
	}
	if l.mishap(ctx, lettersOdds, "put without an answer") {
		return errLetters
	}
	if refused != nil {
		return refused
	}
	return nil
}

func (l *letters) toldKept(ctx context.Context, letter *pillarbox.DeadLetter) {
	_ = l.life.told(letter.Event.Key(), func(e *entry) {
		if isReplay(ctx) {
			return
		}
		if e.resolved != "" {
			l.life.world.tally.add("letter dead again after it was resolved")
		}
		e.letters++
		e.resolved = ""
	})
	l.life.world.tally.add("letters put")
}

// ResolveMany implements pillarbox.DeadLetters.
func (l *letters) ResolveMany(ctx context.Context, letters []pillarbox.DeadLetterKey,
	resolution pillarbox.Resolution) error {
	if err := pause(ctx, l.of(ctx).upTo(maxJitter)); err != nil {
		return err
	}
	for _, letter := range letters {
		_ = l.life.told(letter.Key, func(e *entry) {
			if resolution.How == pillarbox.ResolvedReplayed && !e.stored {
				l.life.world.failLocked(fmt.Errorf(
					"the letter of event %s is marked as replayed, and the event is not stored", letter.Key.RequestID))
			}
		})
	}
	if l.mishap(ctx, lettersOdds, "resolve fails") {
		return errLetters
	}
	if err := l.DeadLetters.ResolveMany(ctx, letters, resolution); err != nil {
		return err
	}
	for _, letter := range letters {
		if err := l.life.told(letter.Key, func(e *entry) {
			if e.resolved == "" {
				e.resolved = resolution.How
			}
		}); err != nil {
			return err
		}
		l.life.world.tally.add("letters " + resolution.How)
	}
	if l.mishap(ctx, lettersOdds, "resolve without an answer") {
		return errLetters
	}
	return nil
}

// told notes in the world what a living process has been told of its event.
func (l *life) told(key pillarbox.Key, note func(e *entry)) error {
	m := l.world.model
	m.mu.Lock()
	defer m.mu.Unlock()
	if l.gone {
		return errGone
	}
	e := m.entries[key.RequestID]
	if e == nil || e.key != key {
		l.world.failLocked(fmt.Errorf("the event %v was never sent", key))
		return errGone
	}
	note(e)
	return nil
}

// holdAgainst sees that a letter that delivery is about to write is right.
func (w *world) holdAgainst(letter *pillarbox.DeadLetter, life int) {
	err := w.model.with(letter.Event, func(e *entry) {
		refused, unavailable := 0, 0
		for _, attempt := range letter.Attempts {
			if attempt.Class == pillarbox.ClassUnavailable {
				unavailable++
			} else {
				refused++
			}
		}
		switch n := len(letter.Attempts); {
		case n > 0 && letter.Attempts[n-1].Class == pillarbox.ClassExpired:
			w.failLocked(fmt.Errorf("event %s has expired, and none waits for as long as %s: %s",
				e.key.RequestID, maxAge, letter.Reason))
		case e.nature == good || e.nature == fussy:
			w.failLocked(fmt.Errorf("event %s is dead after %d attempts, and its destination takes it: %s",
				e.key.RequestID, n, letter.Reason))
		case refused > e.refusals || unavailable > e.outages:
			w.failLocked(fmt.Errorf("event %s has spent %d attempts on %d refusals, and %d on %d outages",
				e.key.RequestID, refused, e.refusals, unavailable, e.outages))
		case e.nature == barred && (n == 0 || letter.Attempts[n-1].Class != pillarbox.ClassPermanent ||
			refused != 1):
			w.failLocked(fmt.Errorf("event %s was refused for good and is dead after %d attempts",
				e.key.RequestID, n))
		case e.nature != barred && n != w.policy.MaxAttempts:
			w.failLocked(fmt.Errorf("event %s is dead after %d attempts, and the policy says %d",
				e.key.RequestID, n, w.policy.MaxAttempts))
		case e.letters == 0 && e.refusals-refused > life-e.life:
			w.failLocked(fmt.Errorf("event %s was refused %d times, of which %d count, in %d restarts",
				e.key.RequestID, e.refusals, refused, life-e.life))
		}
	})
	if err != nil {
		w.fail(fmt.Errorf("dead letter: %w", err))
	}
}
