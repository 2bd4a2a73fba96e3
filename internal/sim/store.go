package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"pillarbox"
)

// sink is the destination as one life sees it.
type sink struct {
	pillarbox.SinkDefaults

	name      string // of the destination
	life      *life
	rng       *rng // of deliveries
	replayRNG *rng
}

var (
	errReset   = fmt.Errorf("connection reset: %w", pillarbox.ErrUnavailable)
	errDown    = fmt.Errorf("the store is down: %w", pillarbox.ErrUnavailable)
	errRefused = errors.New("the store does not take it")
	errBarred  = pillarbox.Permanent(errors.New("the store will never take it"))
	errGone    = fmt.Errorf("the process is gone: %w", pillarbox.ErrClosed)
)

// mishaps are the ways in which a write goes wrong.
var mishaps = []string{
	"reset before the commit", "no answer", "throttled", "commit and reset", "commit and no answer", "commit after the deadline",
	"written twice", "part unavailable", "answer names a wrong event", "slow", "killed after the commit",
}

// Write implements pillarbox.Sink.
func (s *sink) Write(ctx context.Context, events []*pillarbox.Event) error {
	call := &call{sink: s, rng: s.rng, replay: isReplay(ctx)}
	if call.replay {
		call.rng = s.replayRNG
	}
	if err := pause(ctx, call.rng.upTo(maxJitter)); err != nil {
		return err
	}
	s.life.holdToName(s.name, events)
	err := call.suffer(ctx, call.mishap(), events)
	s.life.world.countAnswer(events, err)
	if !call.replay {
		s.life.noteTold(events, err)
	}
	return err
}

// call is one write.
type call struct {
	*sink
	rng    *rng
	replay bool
}

// holdToName sees that the events belong to the destination that they are written to.
func (l *life) holdToName(name string, events []*pillarbox.Event) {
	for _, event := range events {
		if destinationOf(event.Source) != name {
			l.world.fail(fmt.Errorf("event %s of the source %s is written to the wrong destination, %s",
				event.RequestID, event.Source, name))
		}
	}
}

// noteTold notes which events delivery knows to be stored. checkDrained asks for them.
func (l *life) noteTold(events []*pillarbox.Event, err error) {
	var partial *pillarbox.BatchError
	if err != nil && !errors.As(err, &partial) {
		return
	}
	refused := map[int]bool{}
	if partial != nil {
		if !isBelieved(partial, len(events)) {
			return
		}
		for _, item := range partial.Items {
			refused[item.Index] = true
		}
	}
	m := l.world.model
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, event := range events {
		if e := m.entries[event.RequestID]; e != nil && !refused[i] && !l.gone {
			e.told = l.number
		}
	}
}

// isBelieved reports whether the answer names events of the write only. Another one says nothing of
// any of them.
func isBelieved(answer *pillarbox.BatchError, written int) bool {
	for _, item := range answer.Items {
		if item.Index < 0 || item.Index >= written {
			return false
		}
	}
	return true
}

// countAnswer notes what the caller is told: only a refusal of an event by name, or alone, may cost
// it an attempt.
func (w *world) countAnswer(events []*pillarbox.Event, err error) {
	w.model.mu.Lock()
	defer w.model.mu.Unlock()
	count := func(event *pillarbox.Event, err error) {
		e := w.model.entries[event.RequestID]
		switch {
		case e == nil:
		case errors.Is(err, errRefused) || pillarbox.IsPermanent(err):
			e.refusals++
			w.tally.add("sink: refused")
		default:
			e.outages++
		}
	}
	var partial *pillarbox.BatchError
	switch {
	case err == nil:
	case errors.As(err, &partial) && isBelieved(partial, len(events)):
		for _, item := range partial.Items {
			count(events[item.Index], item.Err)
		}
	case len(events) == 1 && partial != nil:
		count(events[0], errors.New("the answer names a wrong event")) // as good as none
	case len(events) == 1:
		count(events[0], err)
	}
}

// Close implements pillarbox.Sink.
func (s *sink) Close() error { return nil }

// mishap draws what happens to a write, and is empty where nothing does.
func (s *call) mishap() string {
	w := s.life.world
	odds := 0.0
	switch now := w.condition(); now {
	case fair:
		odds = 0.02
	case outage:
		w.troubled()
		if s.rng.happens(0.7) {
			return "down"
		}
		return pick(s.rng, "reset before the commit", "no answer", "throttled")
	case flapping:
		w.troubled()
		if int(w.elapsed()/(7*time.Second))%2 == 0 {
			return "down"
		}
	case throttled:
		w.troubled()
		if s.rng.happens(0.8) {
			return "throttled"
		}
	case slow:
		w.troubled()
		return "slow"
	case storm:
		odds = 0.5
	}
	if w.calm() || !s.rng.happens(odds) {
		return ""
	}
	return pick(s.rng, mishaps...)
}

// suffer writes the events, or not, and answers as the mishap has it.
func (s *call) suffer(ctx context.Context, mishap string, events []*pillarbox.Event) error {
	if mishap != "" {
		s.life.world.troubled()
		s.life.world.tally.add("sink: " + mishap)
	}
	switch mishap {
	case "down":
		return errDown
	case "reset before the commit":
		return errReset
	case "no answer":
		<-ctx.Done()
		return ctx.Err()
	case "throttled":
		return &pillarbox.RetryAfterError{After: s.rng.upTo(2 * time.Minute), Err: errDown}
	case "commit and reset":
		_ = s.apply(events)
		return errReset
	case "commit and no answer":
		_ = s.apply(events)
		<-ctx.Done()
		return ctx.Err()
	case "commit after the deadline":
		s.applyLate(events)
		<-ctx.Done()
		return ctx.Err()
	case "written twice":
		_ = s.life.world.commit(s.life, s.takes(events), s.replay)
	case "part unavailable":
		return s.applyPart(events)
	case "answer names a wrong event":
		return &pillarbox.BatchError{Items: []pillarbox.ItemError{{Index: len(events), Err: errRefused}}}
	case "slow":
		if err := pause(ctx, s.rng.about(5*time.Second)); err != nil {
			return err
		}
	case "killed after the commit":
		_ = s.apply(events)
		s.life.die()
		return errGone
	}
	return s.apply(events)
}

// apply stores what the store takes, and names the rest; a store that can't name them refuses all.
func (s *call) apply(events []*pillarbox.Event) error {
	refused, err := s.life.world.judge(events)
	if err != nil {
		return err
	}
	if len(refused) > 0 && s.life.world.atomic && len(events) > 1 {
		return fmt.Errorf("the store takes none of %d events: %w", len(events), refused[0].Err)
	}
	var taken []*pillarbox.Event
	next := 0
	for i, event := range events {
		if next < len(refused) && refused[next].Index == i {
			next++
			continue
		}
		taken = append(taken, event)
	}
	if err := s.life.world.commit(s.life, taken, s.replay); err != nil {
		return err
	}
	switch {
	case len(refused) == 0:
		return nil
	case s.life.world.atomic:
		return refused[0].Err
	}
	return &pillarbox.BatchError{Items: refused}
}

// takes lists the events that the store would take now.
func (s *call) takes(events []*pillarbox.Event) []*pillarbox.Event {
	refused, err := s.life.world.judge(events)
	if err != nil || len(refused) > 0 {
		return nil
	}
	return events
}

// applyLate stores the events when nobody waits any more, perhaps after the process that sent them
// has ended.
func (s *call) applyLate(events []*pillarbox.Event) {
	w := s.life.world
	copies := make([]*pillarbox.Event, 0, len(events))
	for _, event := range s.takes(events) {
		held := *event
		held.Body = bytes.Clone(event.Body)
		copies = append(copies, &held)
	}
	wait := s.rng.upTo(10 * time.Minute)
	w.late.Go(func() {
		time.Sleep(wait)
		_ = w.commit(nil, copies, s.replay)
	})
}

// applyPart stores some, and says of the others that they are unavailable.
func (s *call) applyPart(events []*pillarbox.Event) error {
	var tried []*pillarbox.Event
	var places []int
	answer := &pillarbox.BatchError{}
	for i, event := range events {
		if s.rng.happens(0.5) {
			answer.Items = append(answer.Items, pillarbox.ItemError{Index: i, Err: errDown})
			continue
		}
		tried, places = append(tried, event), append(places, i)
	}
	err := s.apply(tried)
	var partial *pillarbox.BatchError
	switch {
	case errors.As(err, &partial):
		for _, item := range partial.Items {
			answer.Items = append(answer.Items,
				pillarbox.ItemError{Index: places[item.Index], Err: item.Err})
		}
	case err != nil:
		return errDown
	}
	if len(answer.Items) == 0 {
		return nil
	}
	return answer
}

// judge says which of the events the store refuses now. The error is that of a store that looks
// down.
func (w *world) judge(events []*pillarbox.Event) (refused []pillarbox.ItemError, err error) {
	w.model.mu.Lock()
	defer w.model.mu.Unlock()
	for i, event := range events {
		e, unknown := w.model.knownLocked(event)
		if unknown != nil {
			w.fail(fmt.Errorf("written to the store: %w", unknown))
			return nil, errDown
		}
		switch {
		case e.nature == good || e.mended || e.nature == fussy && e.refusals >= e.patience:
		case e.nature == wedge:
			w.troubled()
			w.tally.add("sink: looks like an outage")
			return nil, errDown
		case e.nature == barred:
			refused = append(refused, pillarbox.ItemError{Index: i, Err: errBarred})
		default:
			refused = append(refused, pillarbox.ItemError{Index: i, Err: errRefused})
		}
	}
	return refused, nil
}

// commit makes rows durable, unless the life that writes is gone. No life is none that could be.
func (w *world) commit(by *life, events []*pillarbox.Event, replay bool) error {
	w.model.mu.Lock()
	defer w.model.mu.Unlock()
	if by != nil && by.gone {
		return errGone
	}
	for _, event := range events {
		e, err := w.model.knownLocked(event)
		if err != nil {
			w.fail(fmt.Errorf("stored: %w", err))
			return errDown
		}
		w.model.storeLocked(e, event, replay)
	}
	return nil
}
