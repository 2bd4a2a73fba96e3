package memory

import (
	"context"
	"slices"

	"pillarbox"
)

var _ pillarbox.Obligations = (*Queue)(nil)

// ruleAt returns the rule of the time of an event, nil where none was set yet.
func (p *position) ruleAt(i int) *pillarbox.Rule {
	if p.states[i].skip == pillarbox.SkippedBefore {
		return &pillarbox.Rule{Sources: []string{}}
	}
	for at := len(p.rules) - 1; at >= 0; at-- {
		if p.rules[at].first <= i {
			return &p.rules[at].rule
		}
	}
	return nil
}

// Oblige implements pillarbox.Obligations.
func (q *Queue) Oblige(_ context.Context, destination string, rule pillarbox.Rule) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	p := q.positionLocked(destination)
	rule.Sources = slices.Clone(rule.Sources)
	first := len(q.events)
	if len(p.rules) == 0 && p.joins {
		first = p.joined
	}
	p.rules = append(p.rules, ruleFrom{first: first, rule: rule})
	return nil
}

// RuleAt implements pillarbox.Obligations.
func (q *Queue) RuleAt(destination string, handle pillarbox.Handle) *pillarbox.Rule {
	q.mu.Lock()
	defer q.mu.Unlock()
	p := q.positions[destination]
	if p == nil || handle.Seq == 0 || handle.Seq > uint64(len(q.events)) {
		return nil
	}
	return q.positionLocked(destination).ruleAt(int(handle.Seq) - 1)
}

// Review implements pillarbox.Obligations.
func (q *Queue) Review(ctx context.Context, destination string,
	hold func(*pillarbox.Delivery) bool) error {
	q.mu.Lock()
	p := q.positionLocked(destination)
	var deliveries []pillarbox.Delivery
	for i, s := range p.states {
		if s.outcome == 0 && !s.leased && s.rejection == nil {
			deliveries = append(deliveries, q.delivery(p, i))
		}
	}
	q.mu.Unlock()
	for i := range deliveries {
		if err := ctx.Err(); err != nil {
			return err
		}
		held := hold(&deliveries[i])
		q.mu.Lock()
		if s := p.states[deliveries[i].Handle.Seq-1]; s.outcome == 0 && !s.leased {
			s.held = held
		}
		q.changeLocked()
		q.mu.Unlock()
	}
	return nil
}

// ScanHeld implements pillarbox.Obligations.
func (q *Queue) ScanHeld(_ context.Context, destination string,
	visit func(*pillarbox.Delivery) error) error {
	q.mu.Lock()
	p := q.positionLocked(destination)
	var held []pillarbox.Delivery
	for i, s := range p.states {
		if s.held {
			held = append(held, q.delivery(p, i))
		}
	}
	q.mu.Unlock()
	for i := range held {
		if err := visit(&held[i]); err != nil {
			return err
		}
	}
	return nil
}

// ScanPending implements pillarbox.Obligations.
func (q *Queue) ScanPending(_ context.Context, destination string,
	visit func(*pillarbox.Delivery) error) error {
	q.mu.Lock()
	p := q.positionLocked(destination)
	var pending []pillarbox.Delivery
	for _, i := range p.order() {
		if s := p.states[i]; s.outcome == 0 {
			pending = append(pending, q.delivery(p, i))
			if !s.due.IsZero() {
				pending[len(pending)-1].NotBefore = pillarbox.TimestampOf(s.due)
			}
		}
	}
	q.mu.Unlock()
	for i := range pending {
		if err := visit(&pending[i]); err != nil {
			return err
		}
	}
	return nil
}

// SettleHeld implements pillarbox.Obligations.
func (q *Queue) SettleHeld(_ context.Context, destination string,
	outcomes []pillarbox.Outcome) (settled int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.settleHeldLocked(q.positionLocked(destination), destination, outcomes)
}

func (q *Queue) settleHeldLocked(p *position, destination string,
	outcomes []pillarbox.Outcome) (settled int, err error) {
	for _, outcome := range outcomes {
		if outcome.Kind != pillarbox.OutcomeSkipped && outcome.Kind != pillarbox.OutcomeDead {
			return 0, pillarbox.Invalid("settle held event %d for %s: it can be skipped or dead",
				outcome.Handle.Seq, destination)
		}
	}
	for _, outcome := range outcomes {
		if at := outcome.Handle.Seq; at > 0 && at <= uint64(len(p.states)) && p.states[at-1].held {
			p.states[at-1].settle(outcome)
			settled++
		}
	}
	return settled, nil
}

// Route implements pillarbox.Obligations.
func (q *Queue) Route(_ context.Context, from, to string,
	deliveries []*pillarbox.Delivery) (routed int, err error) {
	if from == to {
		return 0, pillarbox.Invalid("route from %s to itself", from)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	source, target := q.positionLocked(from), q.positionLocked(to)
	var outcomes []pillarbox.Outcome
	for _, delivery := range deliveries {
		at := int(delivery.Handle.Seq) - 1
		if at < 0 || at >= len(source.states) || !source.states[at].held {
			continue
		}
		s := target.states[at]
		if s.outcome == pillarbox.OutcomeSkipped || s.held || s.outcome == 0 {
			s.outcome, s.skip, s.held, s.routed, s.unaware = 0, "", false, true, s.leased
		}
		outcomes = append(outcomes, pillarbox.Outcome{Handle: delivery.Handle,
			Kind: pillarbox.OutcomeSkipped, Skip: pillarbox.SkippedRouted})
	}
	q.changeLocked()
	return q.settleHeldLocked(source, from, outcomes)
}

// ScanSkipped implements pillarbox.Obligations.
func (q *Queue) ScanSkipped(_ context.Context, destination string, from pillarbox.Handle,
	visit func(*pillarbox.Delivery, string) error) error {
	q.mu.Lock()
	p := q.positionLocked(destination)
	var skipped []pillarbox.Delivery
	var rules []string
	for i, s := range p.states {
		if s.outcome == pillarbox.OutcomeSkipped && uint64(i)+1 >= from.Seq && i >= q.forgotten {
			skipped, rules = append(skipped, q.delivery(p, i)), append(rules, s.skip)
		}
	}
	q.mu.Unlock()
	for i := range skipped {
		if err := visit(&skipped[i], rules[i]); err != nil {
			return err
		}
	}
	return nil
}

// Unskip implements pillarbox.Obligations.
func (q *Queue) Unskip(_ context.Context, destination string,
	deliveries []*pillarbox.Delivery) (taken int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	p := q.positionLocked(destination)
	for _, delivery := range deliveries {
		at := int(delivery.Handle.Seq) - 1
		if at < q.forgotten || at >= len(p.states) || p.states[at].outcome != pillarbox.OutcomeSkipped {
			continue
		}
		s := p.states[at]
		s.outcome, s.skip, s.routed, s.backfill = 0, "", true, true
		taken++
	}
	q.changeLocked()
	return taken, nil
}

// Trace implements pillarbox.Obligations.
func (q *Queue) Trace(ctx context.Context,
	requestID string) (*pillarbox.Event, map[string]pillarbox.Trace, error) {
	event, err := q.Find(ctx, requestID)
	if err != nil {
		return nil, nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	traces := map[string]pillarbox.Trace{}
	for name := range q.positions {
		at := slices.Index(q.events, event)
		s := q.positionLocked(name).states[at]
		trace := pillarbox.Trace{Standing: s.standing(), Held: s.held, Skip: s.skip}
		if rule := q.positions[name].ruleAt(at); s.skip == pillarbox.SkippedFilter && rule != nil {
			trace.Where = rule.Where
		}
		traces[name] = trace
	}
	return event, traces, nil
}

// ScanSettled implements pillarbox.Obligations.
func (q *Queue) ScanSettled(_ context.Context, destination string,
	visit func(*pillarbox.Delivery) error) error {
	q.mu.Lock()
	p := q.positionLocked(destination)
	var settled []pillarbox.Delivery
	for i, s := range p.states {
		if s.standing() == pillarbox.StandingSettled {
			settled = append(settled, q.delivery(p, i))
		}
	}
	q.mu.Unlock()
	for i := range settled {
		if err := visit(&settled[i]); err != nil {
			return err
		}
	}
	return nil
}

// Redeliver implements pillarbox.Obligations.
func (q *Queue) Redeliver(_ context.Context, destination string, handles []pillarbox.Handle,
	_ uint64) (redelivered int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	p := q.positionLocked(destination)
	for _, handle := range handles {
		if handle.Seq == 0 || handle.Seq > uint64(len(p.states)) {
			continue
		}
		if s := p.states[handle.Seq-1]; s.standing() == pillarbox.StandingSettled {
			*s = deliveryState{routed: s.routed}
			redelivered++
		}
	}
	q.changeLocked()
	return redelivered, nil
}

// Store implements pillarbox.Obligations.
func (q *Queue) Store(destination string) pillarbox.StoreRecord {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.positionLocked(destination).store
}

// Pause implements pillarbox.Obligations.
func (q *Queue) Pause(destination string) pillarbox.PauseRecord {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.positionLocked(destination).pause
}

// SetPause implements pillarbox.Obligations.
func (q *Queue) SetPause(_ context.Context, destination string, record pillarbox.PauseRecord) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.positionLocked(destination).pause = record
	return nil
}

// SetStore implements pillarbox.Obligations.
func (q *Queue) SetStore(_ context.Context, destination string,
	record pillarbox.StoreRecord) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.positionLocked(destination).store = record
	return nil
}
