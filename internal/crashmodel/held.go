package crashmodel

import (
	"context"
	"fmt"

	"pillarbox"
)

// reconfigure changes what the first destination takes, or has a person decide about what is held
// because of that.
func (w *world) reconfigure() error {
	switch w.rng.IntN(7) {
	case 0, 1:
		if err := w.changeRule(); err != nil || w.rng.IntN(2) == 0 {
			return err
		}
		return w.route() // of what is held by the change: a later step rarely meets any
	case 2:
		return w.route()
	case 3, 4:
		return w.unskip(w.rng.IntN(len(w.reference.destinations)))
	case 5:
		return w.copy(w.rng.IntN(len(w.reference.destinations)))
	default:
		return w.forget()
	}
}

// changeRule gives the first destination another rule, and looks through what is pending for it.
func (w *world) changeRule() error {
	ctx, log := context.Background(), w.service.log
	w.rules[0] = everything
	if w.rng.IntN(2) == 0 {
		w.rules[0] = pillarbox.Rule{Sources: []string{"app"}}
	}
	if w.rng.IntN(2) == 0 {
		w.rules[0].Where = evenOnly
	}
	if err := log.Oblige(ctx, w.reference.destinations[0], w.rules[0]); err != nil {
		return fmt.Errorf("oblige: %w", err)
	}
	rule := w.rules[0]
	err := log.Review(ctx, w.reference.destinations[0], func(d *pillarbox.Delivery) bool {
		return !takes(&rule, d.Event) && (d.Rule == nil || takes(d.Rule, d.Event))
	})
	if err != nil {
		return fmt.Errorf("review: %w", err)
	}
	return nil
}

// evenOnly stands for the filter of a destination: it takes every second event.
const evenOnly = "even"

// takes reports whether a rule takes an event, by its source and by its filter.
func takes(rule *pillarbox.Rule, event *pillarbox.Event) bool {
	return rule.Takes(event) && (rule.Where == "" || (event.Timestamp-epoch)%2 == 0)
}

// unskip hands out some of what was skipped for a destination after all, as a back-fill does.
func (w *world) unskip(to int) error {
	ctx, log, name := context.Background(), w.service.log, w.reference.destinations[to]
	var chosen []*pillarbox.Delivery
	var promises []*promise
	err := log.ScanSkipped(ctx, name, pillarbox.Handle{}, func(d *pillarbox.Delivery, _ string) error {
		p := w.reference.promises[d.Event.RequestID]
		if p == nil {
			return fmt.Errorf("event %s was skipped and was never sent", d.Event.RequestID)
		}
		if w.rng.IntN(2) == 0 {
			copied := *d
			chosen, promises = append(chosen, &copied), append(promises, p)
		}
		return nil
	})
	if err != nil || len(chosen) == 0 {
		return err
	}
	for _, p := range promises {
		p.ways[to].tried = 0 // what was tried before it was given up is forgotten with that
	}
	taken, err := log.Unskip(ctx, name, chosen)
	if err != nil || taken != len(chosen) {
		return fmt.Errorf("%d of %d skipped events were handed out: %w", taken, len(chosen), err)
	}
	for _, p := range promises {
		p.ways[to].stored, p.ways[to].given = false, true
	}
	return nil
}

// copied is how far a copy is: what the queue has promised to remember, and what it may remember.
type copied struct{ done, tried pillarbox.Timestamp }

// copy records that a copy out of another store is one step further.
func (w *world) copy(to int) error {
	c := &w.reference.copied[to]
	c.tried++
	_, err := w.service.log.SetCopied(context.Background(), w.reference.destinations[to],
		pillarbox.CopyRecord{Job: "copy", After: pillarbox.CopyKey{Timestamp: c.tried}}, 0, 0)
	if err != nil {
		return fmt.Errorf("record a copy: %w", err)
	}
	c.done = c.tried
	return nil
}

// checkCopied holds what is remembered of copies against the reference, and learns which it is.
func (w *reference) checkCopied(s *service) error {
	for to, destination := range w.destinations {
		at := s.log.Copied(destination).After.Timestamp
		if c := &w.copied[to]; at < c.done || at > c.tried {
			return fmt.Errorf("a copy to %s was at %d or %d, and is said to be at %d", destination, c.done, c.tried, at)
		}
	}
	return nil
}

// someHeld draws some of the held events of the first destination.
func (w *world) someHeld() (held []*pillarbox.Delivery, promises []*promise, err error) {
	err = w.service.log.ScanHeld(context.Background(), w.reference.destinations[0],
		func(d *pillarbox.Delivery) error {
			p := w.reference.promises[d.Event.RequestID]
			if p == nil {
				return fmt.Errorf("event %s is held and was never sent", d.Event.RequestID)
			}
			if w.rng.IntN(2) == 0 {
				copied := *d
				held, promises = append(held, &copied), append(promises, p)
			}
			return nil
		})
	return held, promises, err
}

// route gives held events to the second destination, which was not meant to get them.
func (w *world) route() error {
	held, promises, err := w.someHeld()
	if err != nil || len(held) == 0 || len(w.reference.destinations) == 1 {
		return err
	}
	for _, p := range promises { // what the second one gets anyway, or was given before, is not given again
		p.ways[0].stored, p.routing = true, !p.ways[1].given && !takes(&w.rules[1], p.event)
	}
	routed, err := w.service.log.Route(context.Background(), w.reference.destinations[0],
		w.reference.destinations[1], held)
	if err != nil || routed != len(held) {
		return fmt.Errorf("%d of %d held events were routed: %w", routed, len(held), err)
	}
	for _, p := range promises {
		if p.routing {
			p.ways[1].stored, p.ways[1].given, p.routing = false, true, false
		}
	}
	return nil
}

// forget gives held events up.
func (w *world) forget() error {
	held, promises, err := w.someHeld()
	if err != nil || len(held) == 0 {
		return err
	}
	outcomes := make([]pillarbox.Outcome, len(held))
	for i, p := range promises {
		outcomes[i] = pillarbox.Outcome{Handle: held[i].Handle, Kind: pillarbox.OutcomeSkipped,
			Skip: pillarbox.SkippedForgotten}
		p.ways[0].stored = true
	}
	settled, err := w.service.log.SettleHeld(context.Background(), w.reference.destinations[0],
		outcomes)
	if err != nil || settled != len(held) {
		return fmt.Errorf("%d of %d held events were forgotten: %w", settled, len(held), err)
	}
	return nil
}

// scanHeld notes what a recovery has found held.
func (w *reference) scanHeld(s *service, r *recovery, to int) error {
	return s.log.ScanHeld(context.Background(), w.destinations[to], func(d *pillarbox.Delivery) error {
		r.pending[to]++
		return w.checkDelivery(*d, to, r.number)
	})
}
