package seglog

import (
	"fmt"
	"slices"

	"pillarbox"
)

// obligations is what a destination owes to events beside taking them in their order: the rules by
// which they were accepted, what is held, routed, reviewed and redelivered, and the record of its
// store. It owns nothing: all of that is part of the delivery states.
//
// Locks: those of the destinations, one at a time; destinations.creating while events change hands.
type obligations struct {
	*core
	segments     *segmentSet
	destinations *destinations
	scanner      *scanner
}

// oblige records the rule of a destination for what is accepted from now on. The first rule of a
// destination that has just joined others holds from its first event on: what is accepted meanwhile
// is not left without one.
func (o *obligations) oblige(destination string, rule pillarbox.Rule) error {
	c, err := o.destinations.getToChange(destination)
	if err != nil {
		return err
	}
	rule.Sources = slices.Clone(rule.Sources)
	slices.Sort(rule.Sources)
	firstHeld, next := o.segments.bounds()
	c.mu.Lock()
	defer c.mu.Unlock()
	rules := slices.DeleteFunc(slices.Clone(c.state.rules),
		func(r ruleFrom) bool { return r.From >= next })
	if n := len(rules); n > 0 && rules[n-1].Rule.Equal(&rule) && len(rules) == len(c.state.rules) {
		return nil
	}
	for len(rules) > 1 && rules[1].From <= min(firstHeld, c.needs.Load()) &&
		!c.state.hasRetryBelow(rules[1].From) {
		rules = rules[1:] // nothing is left of its time
	}
	from := next
	if len(c.state.rules) == 0 && c.joined > 0 {
		from = c.joined
	}
	s := c.newSettlement(0)
	s.delta.Rules, s.durable = append(rules, ruleFrom{From: from, Rule: rule}), true
	s.finish()
	if err := s.write(); err != nil {
		return fmt.Errorf("record the rule of destination %s: %w", destination, err)
	}
	return nil
}

// ruleAt returns the rule that held for an event, without a lock of the destination.
func (o *obligations) ruleAt(destination string, handle pillarbox.Handle) *pillarbox.Rule {
	c, err := o.destinations.known(destination)
	if err != nil || c == nil {
		return nil
	}
	return ruleAt(*c.rules.Load(), c.position.Load().start, handle.Seq)
}

// store is what the destination has last recorded of its store.
func (o *obligations) store(destination string) pillarbox.StoreRecord {
	c, err := o.destinations.known(destination)
	if err != nil || c == nil {
		return pillarbox.StoreRecord{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state.store
}

// setStore records it. What only counts on is not written before the next settlement is.
func (o *obligations) setStore(destination string, record pillarbox.StoreRecord) error {
	c, err := o.destinations.getToChange(destination)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.state.store
	c.state.store = record
	if before.Changed == record.Changed && before.ID == record.ID {
		return nil
	}
	s := c.newSettlement(0)
	s.finish()
	if err := c.journal.append(s.delta, c.state, true); err != nil {
		c.state.store = before
		return fmt.Errorf("record the store of destination %s: %w", destination, err)
	}
	s.commit()
	return nil
}

// pause returns what a person has said of the delivery, without a lock of the destination.
func (o *obligations) pause(destination string) pillarbox.PauseRecord {
	c, err := o.destinations.known(destination)
	if err != nil || c == nil {
		return pillarbox.PauseRecord{}
	}
	if record := c.paused.Load(); record != nil {
		return *record
	}
	return pillarbox.PauseRecord{}
}

// setPause records it, durably.
func (o *obligations) setPause(destination string, record pillarbox.PauseRecord) error {
	c, err := o.destinations.getToChange(destination)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.newSettlement(0)
	s.finish()
	s.delta.Pause = &record
	if err := c.journal.append(s.delta, c.state, true); err != nil {
		return fmt.Errorf("record the pause of destination %s: %w", destination, err)
	}
	c.state.pause = record
	s.commit()
	return nil
}
