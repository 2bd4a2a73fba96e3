package webhook

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"pillarbox"
)

// round is one Write with a request for each event.
type round struct {
	sink   *Sink
	ctx    context.Context // of this Write only
	events []*pillarbox.Event
	until  time.Time     // after which no request is begun
	within time.Duration // that a request may take

	mu       sync.Mutex
	next     int // the first event that nobody has taken
	outcomes []outcome
	begun    []int // by event: how many requests had been begun when this one was
	ended    []int // by event: how many had been begun when this one ended
	begins   int
	silent   int  // outages since something was answered
	over     bool // no request is begun any more
}

// writeEach sends a request for each event.
func (s *Sink) writeEach(ctx context.Context, events []*pillarbox.Event) error {
	_, one := timeOf(ctx)
	r := &round{sink: s, ctx: ctx, events: events, until: time.Now().Add(one), within: one,
		outcomes: make([]outcome, len(events)), begun: make([]int, len(events)), ended: make([]int, len(events))}
	for i := range r.outcomes {
		r.outcomes[i] = outcome{verdict: untried, err: errors.New("not sent in this write")}
	}
	if len(events) == 1 {
		r.work()
	} else {
		var workers sync.WaitGroup
		for range min(s.opts.Concurrency, len(events)) {
			workers.Go(r.work)
		}
		workers.Wait()
	}
	r.blame()
	return r.result()
}

// work sends the requests of one event after the other.
func (r *round) work() {
	for {
		i, more := r.take()
		if !more {
			return
		}
		m, err := r.sink.message(r.events[i])
		if err != nil {
			r.note(i, outcome{verdict: refusedFor, err: err})
			continue
		}
		if err := r.sink.pace(r.ctx, r.until); err != nil {
			r.note(i, outcome{verdict: untried, err: err})
			return
		}
		r.mark(i)
		result := r.sink.post(r.ctx, m, r.within)
		r.sink.release()
		r.note(i, result)
	}
}

func (r *round) take() (i int, more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over || r.next == len(r.events) || r.ctx.Err() != nil || r.next > 0 && !time.Now().Before(r.until) {
		return 0, false
	}
	r.next++
	return r.next - 1, true
}

// mark notes that the request of an event begins.
func (r *round) mark(i int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begins++
	r.begun[i] = r.begins
}

func (r *round) note(i int, result outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outcomes[i], r.ended[i] = result, r.begins
	switch {
	case result.verdict == untried:
	case result.wasAnswered():
		r.silent = 0
	default:
		r.silent++
	}
	if result.endsWrite() || r.silent >= max(minGiveUp, r.sink.opts.Concurrency) {
		r.over = true
	}
}

// blame finds the events that break the receiver: each fails like an outage and none is one. Without
// it such an event would come again for ever, at no cost to itself, and hold up its neighbours for as
// long as it is not answered.
//
// An event is blamed where few fail so in this Write (one, or one in fewOf), others are stored, and the
// receiver stores another event after the failure: one that was sent later, or else one that was
// stored already and is sent once more. A receiver that fails one request in n, whatever is in it,
// gets an event through at least as often as it has it blamed, so that not one in a million events
// uses up 20 attempts (decision 0057).
func (r *round) blame() {
	failed, tried, control, latest := 0, 0, -1, 0
	var suspects []int
	for i := range r.outcomes {
		o := &r.outcomes[i]
		if o.verdict == untried {
			continue
		}
		tried++
		switch {
		case o.verdict == stored:
			control, latest = i, max(latest, r.begun[i])
		case o.verdict == broken:
			suspects = append(suspects, i)
			failed++
		case o.isOutage():
			failed++
		}
	}
	if len(suspects) == 0 || control < 0 || failed > 1 && failed*fewOf > tried || r.ctx.Err() != nil {
		return
	}
	end := 0
	for _, i := range suspects {
		end = max(end, r.ended[i])
	}
	if latest <= end && !r.storesAgain(control) {
		return
	}
	for _, i := range suspects {
		o := &r.outcomes[i]
		o.verdict, o.err = refused, fmt.Errorf("%w, while other events were stored", o.err)
	}
}

// storesAgain sends an event once more that was stored, to see whether the receiver is there.
func (r *round) storesAgain(i int) bool {
	m, err := r.sink.message(r.events[i])
	if err != nil || r.sink.pace(r.ctx, time.Now().Add(r.within)) != nil {
		return false
	}
	defer r.sink.release()
	result := r.sink.post(r.ctx, m, r.within)
	return result.verdict == stored
}

// result is what Write returns.
func (r *round) result() error {
	var items []pillarbox.ItemError
	answered := false
	worst := -1
	for i := range r.outcomes {
		o := &r.outcomes[i]
		answered = answered || o.wasAnswered()
		if o.verdict != stored {
			items = append(items, pillarbox.ItemError{Index: i, Err: o.failure()})
		}
		if o.isOutage() && (worst < 0 || o.tells() > r.outcomes[worst].tells()) {
			worst = i
		}
	}
	switch {
	case len(items) == 0:
		return nil
	case !answered:
		return r.outcomes[worst].failure()
	case len(r.events) == 1:
		return items[0].Err
	}
	return &pillarbox.BatchError{Items: items}
}

// tells is how much an outage says about the receiver, beside others of the same Write.
func (o *outcome) tells() int {
	switch {
	case o.verdict == gone:
		return 4
	case o.after > 0:
		return 3
	case o.verdict == untried:
		return 0
	case o.verdict == cancelled:
		return 1
	}
	return 2
}
