package deliver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"pillarbox"
	"pillarbox/internal/telemetry"
)

const (
	// canaryAgain is the wait before another try to remove an event of the canary.
	canaryAgain = 30 * time.Second
	// canaryGiveUp is how old an event of the canary may be whose removal fails, where it is not
	// known whether an earlier life has written it. One that was written is not given up while the
	// destination is down.
	canaryGiveUp = time.Hour
)

// CanaryState says what became of an event of the canary at a destination.
type CanaryState string

// The states.
const (
	CanaryReturned CanaryState = "returned" // written, read back and removed
	CanarySent     CanaryState = "sent"     // taken by a destination that can't be read back
	CanaryNotSent  CanaryState = "not_sent" // none is sent there
	CanaryLost     CanaryState = "lost"     // the destination does not take it, or does not have it afterwards
	CanaryLate     CanaryState = "late"     // over its time before it was written
	CanaryLeft     CanaryState = "left"     // it is in the destination, or may be, and can't be removed
)

// CanaryResult is what became of one event of the canary.
type CanaryResult struct {
	RequestID string
	State     CanaryState
	Reason    string        // why it is not there and back; empty where it is
	Took      time.Duration // since it was accepted
}

// CanaryWay is the way of the canary's events to a destination and back. There is one kind of it;
// it is an interface, so that who delivers without one, as the functions in the cloud, can be seen
// to delete and to read nothing.
type CanaryWay interface {
	try(s *step, delivery *pillarbox.Delivery) (CanaryState, string)
}

// Canaries goes the way, and remembers which of the events may be in the destination. It lasts as
// long as the process; what is not known from an earlier one counts as there. All methods may be
// called concurrently.
type Canaries struct {
	since pillarbox.Timestamp

	mu      sync.Mutex
	written map[string]bool // by request id
}

// NewCanaries makes the memory of a process that begins now. Where others deliver from the queue
// too (shared), they may have written any of them.
func NewCanaries(now time.Time, shared bool) *Canaries {
	c := &Canaries{since: pillarbox.TimestampOf(now), written: map[string]bool{}}
	if shared {
		c.since = math.MaxInt64
	}
	return c
}

// mayBeThere reports whether the event may be in the destination: wrote says that this process has
// written it, for certain.
func (c *Canaries) mayBeThere(event *pillarbox.Event) (may, wrote bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wrote = c.written[event.RequestID]
	return wrote || event.Timestamp < c.since, wrote
}

func (c *Canaries) wrote(event *pillarbox.Event, is bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if is {
		c.written[event.RequestID] = true
	} else {
		delete(c.written, event.RequestID)
	}
}

// apart splits the events of the canary from a batch of users' events, in order. Without any, which
// is nearly always, it costs a comparison for each.
func apart(deliveries []pillarbox.Delivery) (users, canaries []pillarbox.Delivery) {
	for i := range deliveries {
		if deliveries[i].Event.IsCanary() {
			users = append(users, deliveries[:i]...)
			for _, d := range deliveries[i:] {
				if d.Event.IsCanary() {
					canaries = append(canaries, d)
				} else {
					users = append(users, d)
				}
			}
			return users, canaries
		}
	}
	return deliveries, nil
}

// tryCanaries settles the events of the canary, behind those of users. Each is tried at most once,
// spends no attempt, and says nothing of whether the destination is down.
func (s *step) tryCanaries() {
	for _, i := range s.canaries {
		if s.ctx.Err() != nil || s.report.Down != nil {
			return // released: they come again
		}
		event, outcome := s.deliveries[i].Event, &s.report.Outcomes[i]
		result := CanaryResult{RequestID: event.RequestID}
		if s.at.Canaries == nil {
			result.State = CanaryNotSent
		} else {
			result.State, result.Reason = s.at.Canaries.try(s, &s.deliveries[i])
		}
		if result.State == "" { // what may be there is to be removed first
			outcome.Kind, outcome.NotBefore = pillarbox.OutcomeRetry, s.at.Now.Add(canaryAgain)
			continue
		}
		outcome.Kind, outcome.Skip = pillarbox.OutcomeSkipped, pillarbox.SkippedCanary
		result.Took = s.at.date().Sub(event.Timestamp.Time()) + time.Since(s.began)
		s.report.Canaries = append(s.report.Canaries, result)
	}
}

func (c *Canaries) try(s *step, delivery *pillarbox.Delivery) (CanaryState, string) {
	traits := s.sink.Traits()
	switch returns := traits.Readable && traits.Removes; {
	case !s.to.SendsCanary(traits):
		return c.notSent(s, delivery, returns)
	case returns:
		return c.thereAndBack(s, delivery)
	}
	return s.sendCanary(delivery)
}

// notSent passes over an event. What was sent before somebody has said that none is to be is removed;
// that is tried once, because who has no right to remove says so for good.
func (c *Canaries) notSent(s *step, delivery *pillarbox.Delivery,
	returns bool) (CanaryState, string) {
	if may, _ := c.mayBeThere(delivery.Event); !may || !returns {
		return CanaryNotSent, ""
	}
	if err := c.remove(s, delivery.Event); err != nil {
		return CanaryNotSent, "whether an earlier one is there is not known: " + shorten(err.Error())
	}
	return CanaryNotSent, ""
}

// sendCanary is the way to a destination in which the event stays.
func (s *step) sendCanary(delivery *pillarbox.Delivery) (CanaryState, string) {
	if s.age(delivery) > s.to.Canary.Timeout {
		return CanaryLate, s.late()
	}
	if err := s.callCanary(func(ctx context.Context) error {
		return s.sink.Write(ctx, []*pillarbox.Event{delivery.Event})
	}); err != nil {
		return CanaryLost, "it is not taken: " + shorten(err.Error())
	}
	return CanarySent, ""
}

func (s *step) late() string {
	return fmt.Sprintf("it came to the destination more than %s after it was accepted"+
		" (canary.timeout)", s.to.Canary.Timeout)
}

// thereAndBack removes the event, writes it, reads it back and removes it again. The first removal
// takes away what a crash has left, and shows that the last one may be made before anything is
// written. It returns no state where the event may be in the destination and is to be removed
// first.
func (c *Canaries) thereAndBack(s *step,
	delivery *pillarbox.Delivery) (state CanaryState, reason string) {
	event := delivery.Event
	may, wrote := c.mayBeThere(event)
	if err := c.remove(s, event); err != nil {
		return c.notRemoved(s, delivery, err, may, wrote)
	}
	if s.age(delivery) > s.to.Canary.Timeout {
		return CanaryLate, s.late()
	}
	c.wrote(event, true)
	state, reason = CanaryReturned, ""
	if err := c.writeAndRead(s, event); err != nil {
		state, reason = CanaryLost, shorten(err.Error())
	}
	if err := c.remove(s, event); err != nil {
		return c.notRemoved(s, delivery, err, true, true)
	}
	return state, reason
}

// notRemoved decides about an event whose removal fails. An outage passes; a refusal may not, and
// would keep the event in the queue for ever.
func (c *Canaries) notRemoved(s *step, delivery *pillarbox.Delivery, err error,
	may, wrote bool) (CanaryState, string) {
	said := shorten(err.Error())
	switch {
	case !may:
		return CanaryLost, "it is not written, because it could not be removed again: " + said
	case wrote && !isDown(err), !wrote && s.age(delivery) > canaryGiveUp:
		c.wrote(delivery.Event, false)
		return CanaryLeft, said
	}
	return "", ""
}

func (c *Canaries) remove(s *step, event *pillarbox.Event) error {
	err := s.callCanary(func(ctx context.Context) error {
		return s.sink.Remove(ctx, []pillarbox.Key{event.Key()})
	})
	if err == nil {
		c.wrote(event, false)
	}
	return err
}

// writeAndRead is the way there, and the way back.
func (c *Canaries) writeAndRead(s *step, event *pillarbox.Event) error {
	err := s.callCanary(func(ctx context.Context) error {
		return s.sink.Write(ctx, []*pillarbox.Event{event})
	})
	if s.alone() && (err == nil || !isDown(err)) {
		s.report.Writes++ // an answer, as a user's event would have got: the destination is up
		s.report.Answered = true
	}
	if err != nil {
		return fmt.Errorf("it is not taken: %w", err)
	}
	var found *pillarbox.Event
	err = s.callCanary(func(ctx context.Context) (err error) {
		found, err = s.sink.Find(ctx, event.RequestID)
		return err
	})
	switch {
	case errors.Is(err, pillarbox.ErrNotFound):
		return fmt.Errorf("it was written, and is not there: %w", err)
	case err != nil:
		return fmt.Errorf("it was written, and can't be read back: %w", err)
	case found.Key() != event.Key() || !bytes.Equal(found.Body, event.Body):
		return fmt.Errorf("it was written, and comes back as something else: %w",
			pillarbox.ErrCorrupt)
	}
	return nil
}

// alone reports whether nothing but events of the canary is in the batch.
func (s *step) alone() bool { return len(s.canaries) == len(s.deliveries) }

func (s *step) callCanary(call func(ctx context.Context) error) error {
	limit := s.to.Canary.Timeout
	if s.to.WriteTimeout > 0 {
		limit = min(limit, s.to.WriteTimeout)
	}
	ctx, cancel := context.WithTimeout(s.ctx, limit)
	defer cancel()
	return call(ctx)
}

// tellCanary says what became of events of the canary. One that stays behind in the destination is
// for a person.
func (l *Loop) tellCanary(results []CanaryResult) {
	for _, result := range results {
		if result.State == CanaryLeft {
			l.opts.Logger.Error(
				"an event of the canary is in a destination, or may be, and can't be removed: delete it by its request id, and set canary: false there or grant the right to delete",
				telemetry.KeyDestination,
				l.name,
				telemetry.KeyRequestID,
				result.RequestID,
				telemetry.KeyErr,
				result.Reason,
			)
		}
	}
	if len(results) > 0 && l.opts.Canary != nil {
		l.opts.Canary(l.name, results)
	}
}
