package seglog

import (
	"context"
	"fmt"

	"pillarbox"
)

// review asks again which pending events of a destination no destination takes.
type review struct {
	c    *consumer
	hold func(*pillarbox.Delivery) bool
}

// review asks again which events no destination takes.
func (o *obligations) review(
	ctx context.Context, destination string, hold func(*pillarbox.Delivery) bool,
) error {
	c, err := o.destinations.getToChange(destination)
	if err != nil {
		return err
	}
	r := &review{c: c, hold: hold}
	if err := r.retries(); err != nil {
		return fmt.Errorf("review what waits for %s: %w", destination, err)
	}
	return o.scanner.walkSet(r.candidates(), func(read *chunk) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return r.chunk(read)
	})
}

// candidates finds what a review must look at: what is held, and everything from a time whose rule
// the current one does not cover.
func (r *review) candidates() func(from uint64) (uint64, bool) {
	_, end := r.c.segments.bounds()
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	held, rules, needs := r.c.state.held.clone(), r.c.state.rules, r.c.needs.Load()
	uncovered := uncoveredBy(rules, end)
	return func(from uint64) (uint64, bool) {
		seq, ok := held.next(from)
		for _, span := range uncovered {
			first := max(from, span[0], needs)
			if first < span[1] && (!ok || first < seq) {
				seq, ok = first, true
			}
		}
		return seq, ok && seq < end
	}
}

// uncoveredBy lists the ranges of events up to end whose rule the last one does not cover, or is
// not known.
func uncoveredBy(rules []ruleFrom, end uint64) (uncovered runs) {
	if len(rules) == 0 {
		return runs{{1, end}}
	}
	current := &rules[len(rules)-1].Rule
	uncovered = runs{{1, rules[0].From}}
	for i, r := range rules[:len(rules)-1] {
		if !current.Covers(&r.Rule) {
			uncovered = append(uncovered, [2]uint64{r.From, rules[i+1].From})
		}
	}
	return uncovered
}

// retries reviews the retry set.
func (r *review) retries() error {
	r.c.mu.Lock()
	waiting := make([]*item, 0, len(r.c.retries.items))
	for _, it := range r.c.retries.items {
		if !it.leased && it.rejection == nil { // what was given up only waits for its dead letter
			waiting = append(waiting, it)
		}
	}
	deliveries := r.c.deliveries(waiting)
	r.c.mu.Unlock()
	wanted := make([]bool, len(deliveries))
	for i := range deliveries {
		wanted[i] = r.hold(&deliveries[i])
	}
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	s := r.c.newSettlement(0)
	for i, it := range waiting {
		entry := r.c.state.retry[it.seq]
		if r.c.retries.items[it.seq] != it || it.leased || it.held == wanted[i] {
			continue // it has moved on meanwhile, or stays as it is
		}
		changed := *entry
		changed.Held = wanted[i]
		if err := s.wait(&changed, it, it.due); err != nil {
			return err
		}
	}
	s.finish()
	return s.write()
}

// chunk reviews the events of a chunk that are pending and not leased.
func (r *review) chunk(read *chunk) error {
	rejections := make(map[uint64]bool, len(read.records))
	events := make(map[uint64]*pillarbox.Event, len(read.records))
	for i := range read.records {
		seq := read.firstSeq + uint64(i)
		event, size := read.event(seq)
		if event == nil {
			continue // it is counted as lost when it is delivered
		}
		delivery := pillarbox.Delivery{
			Handle: pillarbox.Handle{Seq: seq}, Event: event, Bytes: size,
		}
		r.c.mu.Lock()
		pending := r.c.isPending(seq)
		delivery.Rule, delivery.Routed = r.c.state.ruleAt(seq), r.c.state.routed.has(seq)
		r.c.mu.Unlock()
		if pending {
			rejections[seq], events[seq] = r.hold(&delivery), event
		}
	}
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	return r.apply(rejections, events)
}

// apply holds events, or lets them go, as the rejections say.
func (r *review) apply(rejections map[uint64]bool, events map[uint64]*pillarbox.Event) error {
	s := r.c.newSettlement(len(rejections))
	var freed []uint64
	for seq, held := range rejections {
		if !r.c.isPending(seq) || r.c.state.held.has(seq) == held {
			continue
		}
		if held {
			s.settled[seq] = pillarbox.OutcomeHeld
			s.delta.aside("held").Add.add(seq)
			s.clearMarks(seq, pillarbox.OutcomeHeld)
			continue
		}
		s.delta.aside("held").Remove.add(seq)
		s.freed[seq] = true
		if seq < r.c.state.cursor {
			s.delta.aside("deferred").Add.add(seq)
		}
		freed = append(freed, seq)
	}
	s.finish()
	if err := s.write(); err != nil {
		return err
	}
	for _, seq := range freed {
		r.c.makePending(seq, events[seq])
	}
	return nil
}

// isPending reports whether the event waits in its segment and nobody has it in hand.
func (c *consumer) isPending(seq uint64) bool {
	if c.state.retry[seq] != nil {
		return false
	}
	if seq < c.state.cursor {
		resumed := c.resumed.items[seq]
		return c.state.held.has(seq) ||
			c.state.deferred.has(seq) && (resumed == nil || !resumed.leased)
	}
	it := c.window.find(seq)
	return it == nil ||
		!it.leased && it.lost == 0 && (it.outcome == 0 || it.outcome == pillarbox.OutcomeHeld)
}

// makePending makes an event of the window pending again that was settled ahead of the cursor.
func (c *consumer) makePending(seq uint64, event *pillarbox.Event) {
	if it := c.window.find(seq); it != nil && !it.leased && it.lost == 0 {
		it.outcome, it.skip, it.event, it.routed = 0, "", event, c.state.routed.has(seq)
	}
	c.returned.fire()
}
