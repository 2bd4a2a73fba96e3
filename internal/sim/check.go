package sim

import (
	"context"
	"fmt"

	"pillarbox"
)

// check holds the queue, the destination, the dead letters and the ledger against what clients were
// told.
//
// Events move from the queue to the destination or the letters, and letters from open to resolved,
// while it looks. So it looks in that order: what it does not find in one place, it must find in
// the next.
func (l *life) check(ctx context.Context) error {
	w := l.world
	w.looking.Store(true)
	defer w.looking.Store(false)
	acked := w.model.ackedSoFar()
	pending, err := l.pending(ctx, acked)
	if err != nil {
		return err
	}
	dead, err := l.dead(ctx)
	if err != nil {
		return err
	}
	w.model.mu.Lock()
	defer w.model.mu.Unlock()
	if l.gone {
		return nil
	}
	for _, e := range acked {
		if err := l.checkEvent(e, pending[e], dead[e.key.RequestID]); err != nil {
			return err
		}
	}
	w.tally.add("check: all events")
	return l.checkLedger(ctx)
}

// pending lists the events that the queue still has to deliver, of the ones given.
func (l *life) pending(ctx context.Context, acked []*entry) (map[*entry]bool, error) {
	m := l.world.model
	pending := map[*entry]bool{}
	for _, name := range destinations {
		err := l.log.Scan(ctx, name, func(event *pillarbox.Event, standing pillarbox.Standing) error {
			m.mu.Lock()
			defer m.mu.Unlock()
			e, err := m.knownLocked(event)
			if err == nil && standing == pillarbox.StandingPending && destinationOf(e.source) == name {
				pending[e] = true
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("scan the queue for %s: %w", name, err)
		}
	}
	for _, e := range acked {
		if _, _, waits := l.log.Waiting(destinationOf(e.source), e.key.RequestID); waits {
			pending[e] = true
		}
	}
	return pending, nil
}

// dead lists all letters by request id.
func (l *life) dead(ctx context.Context) (map[string]*pillarbox.DeadLetter, error) {
	dead := map[string]*pillarbox.DeadLetter{}
	for letter, err := range l.store.List(ctx, pillarbox.DeadLetterFilter{Resolved: true}) {
		if err != nil {
			return nil, fmt.Errorf("list the dead letters: %w", err)
		}
		if err := l.world.model.with(letter.Event, func(*entry) {}); err != nil {
			return nil, fmt.Errorf("dead letter: %w", err)
		}
		if letter.Destination != destinationOf(letter.Event.Source) {
			return nil, fmt.Errorf("event %s of the source %s has a letter of the destination %s",
				letter.Event.RequestID, letter.Event.Source, letter.Destination)
		}
		dead[letter.Event.RequestID] = letter
	}
	return dead, nil
}

// checkEvent says what is wrong with one acknowledged event. The model is locked.
func (l *life) checkEvent(e *entry, pending bool, letter *pillarbox.DeadLetter) error {
	id, how := e.key.RequestID, ""
	if letter != nil && letter.Resolved != nil {
		how = letter.Resolved.How
	}
	switch {
	case !pending && !e.stored && letter == nil && !e.filtered:
		return fmt.Errorf("acknowledged event %s (%c) is lost: it is neither pending nor stored nor dead", id, e.nature)
	case letter == nil && e.letters > 0:
		return fmt.Errorf("the letter of event %s is gone", id)
	case letter == nil:
		return nil
	case e.stored && !e.replayed:
		return fmt.Errorf("event %s is stored by its delivery and dead", id)
	case how == pillarbox.ResolvedReplayed && !e.stored:
		return fmt.Errorf("the letter of event %s is resolved as replayed, and the event is not stored",
			id)
	case how == pillarbox.ResolvedDiscarded && !e.asked:
		return fmt.Errorf("the letter of event %s was discarded by nobody", id)
	case e.resolved != how && e.resolved != "" && !pending:
		return fmt.Errorf("the letter of event %s was resolved as %s, and is %q", id, e.resolved, how)
	}
	return nil
}

func (l *life) checkLedger(ctx context.Context) error {
	totals, err := l.node.Ledger(ctx)
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	for _, entry := range totals.Destinations {
		if !entry.Balanced {
			return fmt.Errorf("the ledger does not balance: %+v", entry)
		}
	}
	if damage := l.log.Stats().Damage; len(damage) > 0 {
		return fmt.Errorf("a fault was taken for damage: %v", damage[0].Error())
	}
	l.world.tally.add("check: ledger")
	return nil
}

// checkDrained sees that what delivery was told to be stored in this life is settled, once the life
// is drained.
func (l *life) checkDrained() {
	w := l.world
	w.looking.Store(true)
	defer w.looking.Store(false)
	for _, name := range destinations {
		err := l.log.Scan(context.Background(), name,
			func(event *pillarbox.Event, standing pillarbox.Standing) error {
				w.model.mu.Lock()
				defer w.model.mu.Unlock()
				e := w.model.entries[event.RequestID]
				if e == nil || e.told != l.number || destinationOf(e.source) != name ||
					standing != pillarbox.StandingPending {
					return nil
				}
				return fmt.Errorf("event %s was stored, and is not settled after a drain", event.RequestID)
			})
		if err != nil && !l.isGone() {
			w.fail(fmt.Errorf("check %s: %w", name, err))
		}
	}
	w.tally.add("check: what is stored is settled after a drain")
}
