package crashmodel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"pillarbox"
)

// recovery is what one opening of a state has found.
type recovery struct {
	number   uint64 // of the recovery, for the marks in the promises
	letters  int
	pending  [maxDestinations]int
	accounts [maxDestinations]pillarbox.Account
}

// takeStock leases everything that is pending, lists all letters, and holds both against the
// reference.
func (w *reference) takeStock(s *service, number uint64) (recovery, error) {
	r := recovery{number: number}
	for to := range w.destinations {
		if err := w.leaseAll(s, &r, to); err != nil {
			return r, err
		}
	}
	if err := w.readLetters(s, &r); err != nil {
		return r, err
	}
	if err := w.checkPromises(s, number); err != nil {
		return r, err
	}
	if err := errors.Join(w.checkKeys(s), w.checkCopied(s)); err != nil {
		return r, err
	}
	for to, destination := range w.destinations {
		if err := r.checkAccount(s, to, destination); err != nil {
			return r, err
		}
	}
	if damage := s.log.Stats().Damage; len(damage) != 0 {
		return r, fmt.Errorf("a crash is taken for damage: %v", damage)
	}
	return r, nil
}

func (w *reference) leaseAll(s *service, r *recovery, to int) error {
	for {
		deliveries, err := s.lease(w.destinations[to], 1000)
		if err != nil {
			return fmt.Errorf("lease: %w", err)
		}
		if len(deliveries) == 0 {
			return w.scanHeld(s, r, to)
		}
		for _, delivery := range deliveries {
			if err := w.checkDelivery(delivery, to, r.number); err != nil {
				return err
			}
		}
		r.pending[to] += len(deliveries)
	}
}

func (w *reference) checkDelivery(delivery pillarbox.Delivery, to int, number uint64) error {
	id := delivery.Event.RequestID
	p := w.promises[id]
	if p == nil {
		return fmt.Errorf("event %s was never sent", id)
	}
	way := p.ways[to]
	switch {
	case way.seen == number:
		return fmt.Errorf("event %s came twice", id)
	case way.dead:
		return fmt.Errorf("event %s was settled as dead and came again", id)
	case len(delivery.Attempts) < way.tried:
		return fmt.Errorf("event %s came with %d attempts, and %d were durable", id,
			len(delivery.Attempts), way.tried)
	case !same(delivery.Event, p.event):
		return fmt.Errorf("event %s came with other content: %+v, want %+v", id, delivery.Event, p.event)
	}
	way.seen = number
	return nil
}

func same(a, b *pillarbox.Event) bool {
	return a.Timestamp == b.Timestamp && a.RequestID == b.RequestID && a.Source == b.Source &&
		a.Method == b.Method &&
		a.Path == b.Path && a.Query == b.Query && a.ContentType == b.ContentType &&
		a.RemoteAddr == b.RemoteAddr &&
		a.Traceparent == b.Traceparent && slices.Equal(a.Header, b.Header) && bytes.Equal(a.Body, b.Body) &&
		a.Facts.Equal(b.Facts)
}

func (w *reference) readLetters(s *service, r *recovery) error {
	if s.letters == nil {
		return nil
	}
	for letter, err := range s.letters.List(context.Background(),
		pillarbox.DeadLetterFilter{Resolved: true}) {
		if err != nil {
			return fmt.Errorf("list the dead letters: %w", err)
		}
		if err := w.checkLetter(letter, r.number); err != nil {
			return err
		}
		r.letters++
	}
	return nil
}

func (w *reference) checkLetter(letter *pillarbox.DeadLetter, number uint64) error {
	id := letter.Event.RequestID
	p, to := w.promises[id], slices.Index(w.destinations, letter.Destination)
	if p == nil || to < 0 || p.ways[to].letter == letterNone {
		return fmt.Errorf("the letter of event %s was never put", id)
	}
	way := p.ways[to]
	switch {
	case way.found == number:
		return fmt.Errorf("event %s has two letters", id)
	case letter.Resolved != nil && way.letter <= letterOpen:
		return fmt.Errorf("the letter of event %s was never resolved", id)
	case letter.Resolved == nil && way.letter == letterResolved:
		return fmt.Errorf("the letter of event %s was resolved and is open again", id)
	case !same(letter.Event, p.event):
		return fmt.Errorf("the letter of event %s has other content: %+v, want %+v", id, letter.Event,
			p.event)
	case len(letter.Attempts) < way.tried:
		return fmt.Errorf("the letter of event %s has %d attempts, and %d were durable", id,
			len(letter.Attempts), way.tried)
	}
	way.found = number
	return nil
}

// checkPromises looks for what should have been found and was not.
func (w *reference) checkPromises(s *service, number uint64) error {
	for _, p := range w.order {
		if p.routing && p.ways[0].seen != number && p.ways[1].seen != number {
			return fmt.Errorf("acknowledged event %s is lost on its way to another destination",
				p.event.RequestID)
		}
		for to, way := range p.ways {
			dead := way.letter >= letterOpen
			switch {
			case dead && s.letters != nil && way.found != number:
				return fmt.Errorf("the letter of event %s is lost", p.event.RequestID)
			case p.acked && !way.stored && !dead && way.seen != number:
				return fmt.Errorf("acknowledged event %s of %s is lost on its way to %s", p.event.RequestID,
					p.event.Source, w.destinations[to])
			}
		}
	}
	return nil
}

// checkKeys asks for the idempotency key of each event: that of an acknowledged one is known, with
// the first stamp, and any other is known with its own stamp or not at all.
func (w *reference) checkKeys(s *service) error {
	claims := make([]pillarbox.KeyClaim, 0, len(w.order))
	for _, p := range w.order {
		claims = append(claims, pillarbox.KeyClaim{Idempotency: p.event.Idempotency, RequestID: "new",
			Outcome: pillarbox.KeyFree})
	}
	s.log.Keys().Claim(context.Background(), claims)
	for i, p := range w.order {
		c := claims[i]
		known := c.State == pillarbox.KeyDone && c.RequestID == p.event.RequestID &&
			c.Timestamp == p.event.Timestamp
		if !p.event.Idempotency.IsZero() && !known && (p.acked || c.State != pillarbox.KeyNew) {
			return fmt.Errorf("the key of event %s, acknowledged: %v, is answered with %+v",
				p.event.RequestID, p.acked, c)
		}
	}
	return s.log.Keys().Settle(context.Background(), claims)
}

// checkAccount sees that the ledger of a destination balances.
func (r *recovery) checkAccount(s *service, to int, destination string) error {
	account, err := s.log.Account(destination)
	if err != nil {
		return fmt.Errorf("account: %w", err)
	}
	if account.Damaged != 0 || account.Pending != uint64(r.pending[to]) ||
		account.Accepted != account.Stored+account.Dead+account.Skipped+account.Pending {
		return fmt.Errorf("%d events are pending for %s, and the account does not balance: %+v",
			r.pending[to], destination, account)
	}
	r.accounts[to] = account
	return nil
}

// errOther says that a second recovery has found something else.
var errOther = errors.New("recovering again finds something else")

// compare holds a second recovery against the first.
func (r recovery) compare(second recovery) error {
	second.number = r.number
	if r != second {
		return fmt.Errorf("%w: first %+v, then %+v", errOther, r, second)
	}
	return nil
}
