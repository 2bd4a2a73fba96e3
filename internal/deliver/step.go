// Package deliver brings leased events to one destination.
//
// Step takes one batch to an outcome for each of its events. It has no loop and no clock of its
// own, so that the server, the functions in the cloud and the simulator call the same rules. Loop
// leases, steps, settles and dead-letters, for one destination.
//
// The package promises: an event's attempts are spent only by refusals of that event; a batch that
// is refused as a whole is split until the events that are to blame stand alone, and all others are
// stored; a destination that is down is probed for as long as it takes, at no event's expense; an
// event is settled as dead only after its dead letter is durable. It knows no engine and no HTTP.
package deliver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"pillarbox"
	"pillarbox/internal/destination"
	"pillarbox/internal/telemetry"
)

// Moment is what Step does not find out itself.
type Moment struct {
	Now    time.Time      // waits are measured from here
	Date   time.Time      // what is written down; zero is Now
	Chance func() float64 // in [0, 1), for jitter
	Probe  bool           // the destination was down: try single events

	Canaries CanaryWay // of the canary's events; nil: none is sent

	Traces *telemetry.Traces // nil: nothing is recorded
	Verb   string            // that names the spans; default telemetry.SpanDeliver
}

// Report is the result of a Step.
type Report struct {
	Outcomes []pillarbox.Outcome // one for each delivery, in order
	Down     error               // set where the destination is down; then nothing more was tried
	Writes   int                 // calls of the sink
	Answered bool                // the destination stored or refused something: it is up
	Canaries []CanaryResult      // of the canary's events that are settled, in order

	Changes       destination.Changes // by the destination's shape
	FilterFailed  int                 // events that the filter could not tell of
	FilterFailure error               // why it could not, of one of them
}

// Step delivers the batch to the sink and returns what became of each event. It never fails: what
// could not be tried is released. Rejected deliveries are passed through as rejected, without a
// try. Events of the canary are tried behind all others, by rules of their own.
func Step(ctx context.Context, sink pillarbox.Sink, deliveries []pillarbox.Delivery,
	to *destination.Destination, at Moment) Report {
	s := &step{ctx: ctx, sink: sink, to: to, at: at, deliveries: deliveries, began: time.Now()}
	s.report.Outcomes = make([]pillarbox.Outcome, len(deliveries))
	s.traced()
	for i := range deliveries {
		s.report.Outcomes[i].Handle = deliveries[i].Handle
		switch {
		case deliveries[i].Event.IsCanary():
			s.canaries = append(s.canaries, i)
		case !s.decideWithoutTrying(i):
			s.take(i)
		}
	}
	switch {
	case len(s.events) == 0:
	case at.Probe:
		s.probe()
	default:
		s.write(0, len(s.events))
	}
	s.tryCanaries()
	for i := range s.report.Outcomes {
		if s.report.Outcomes[i].Kind == 0 {
			s.report.Outcomes[i].Kind = pillarbox.OutcomeReleased
		}
	}
	s.endSpans()
	return s.report
}

type step struct {
	ctx        context.Context // of this Step only
	sink       pillarbox.Sink
	to         *destination.Destination
	at         Moment
	deliveries []pillarbox.Delivery
	events     []*pillarbox.Event // to be written
	places     []int              // of events in deliveries
	canaries   []int              // the places of the canary's events
	began      time.Time
	spans      *telemetry.DeliverySpans
	report     Report
}

func (s *step) outcome(i int) *pillarbox.Outcome { return &s.report.Outcomes[s.places[i]] }

// take adds a delivery to what is written, as the destination gets it. What can't be shaped is
// refused for good: it would be delivered with what it must not have.
func (s *step) take(i int) {
	event, changes, err := s.to.Shaped(s.deliveries[i].Event)
	if err != nil {
		s.refuse(i, err)
		return
	}
	s.report.Changes.Add(changes)
	event = s.inTrace(i, event)
	s.places = append(s.places, i)
	s.events = append(s.events, event)
}

// refuse makes a dead letter of a delivery because of the destination's rules.
func (s *step) refuse(i int, err error) {
	attempt := s.attempt(pillarbox.ClassPermanent, err)
	s.reject(&s.report.Outcomes[i], "refused for good: "+attempt.Error, attempt)
}

// decideWithoutTrying handles the deliveries that are not to be written.
func (s *step) decideWithoutTrying(i int) bool {
	delivery, outcome := &s.deliveries[i], &s.report.Outcomes[i]
	if delivery.Rejection != nil {
		outcome.Kind, outcome.Rejection = pillarbox.OutcomeRejected, delivery.Rejection
		return true
	}
	age, decided := s.age(delivery), s.to.Decide(delivery)
	if decided.Failed != nil {
		s.report.FilterFailed++
		s.report.FilterFailure = decided.Failed
	}
	switch {
	case decided.Hold:
		outcome.Kind = pillarbox.OutcomeHeld
	case decided.Skip != "":
		outcome.Kind, outcome.Skip = pillarbox.OutcomeSkipped, decided.Skip
	case decided.Refuse:
		s.refuse(i, decided.Failed)
	case s.to.MaxAge > 0 && age > s.to.MaxAge && !delivery.Routed: // a person has asked for it, however old it is
		reason := fmt.Sprintf("not delivered within %s (queue.max_age)", s.to.MaxAge)
		s.reject(outcome, reason, s.attempt(pillarbox.ClassExpired, errors.New(reason)))
	case s.to.Retry.Exhausted(len(delivery.Attempts)):
		s.reject(outcome, exhausted(delivery.Attempts), nil)
	default:
		return false
	}
	return true
}

// age is how long the event has waited: measured by the queue where it can, because a wall clock
// that is set makes nothing older.
func (s *step) age(delivery *pillarbox.Delivery) time.Duration {
	if delivery.Measured {
		return delivery.Waited
	}
	return s.at.date().Sub(cmp.Or(delivery.Since, delivery.Event.Timestamp).Time())
}

func (m Moment) date() time.Time {
	if m.Date.IsZero() {
		return m.Now
	}
	return m.Date
}

// write delivers events[from:to], and splits them where they are refused as a whole.
func (s *step) write(from, to int) {
	if s.report.Down != nil || from == to {
		return
	}
	err := s.call(from, to)
	var partial *pillarbox.BatchError
	switch {
	case err == nil:
		s.stored(from, to)
	case errors.As(err, &partial):
		s.settlePartial(from, to, partial)
	case isDown(err):
		s.report.Down = err
	case to-from == 1:
		s.refused(from, err)
	default:
		s.report.Answered = true
		middle := from + (to-from)/2
		s.write(from, middle)
		s.write(middle, to)
	}
}

func (s *step) call(from, to int) error {
	s.report.Writes++
	ctx, cancel := s.ctx, context.CancelFunc(func() {})
	if s.to.WriteTimeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, s.to.WriteTimeout)
	}
	defer cancel()
	return s.sink.Write(ctx, s.events[from:to])
}

// isDown reports whether an error speaks of the destination and not of an event. The outcome of a
// write that ran into its deadline is unknown, which is the same: it is written again, and the sink
// is idempotent.
func isDown(err error) bool {
	return errors.Is(err, pillarbox.ErrUnavailable) || errors.Is(err, pillarbox.ErrClosed) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

func (s *step) stored(from, to int) {
	s.report.Answered = true
	for i := from; i < to; i++ {
		s.outcome(i).Kind = pillarbox.OutcomeStored
	}
}

// settlePartial handles an answer that names the events that failed.
func (s *step) settlePartial(from, to int, partial *pillarbox.BatchError) {
	failed := make(map[int]error, len(partial.Items))
	for _, item := range partial.Items {
		if item.Index < 0 || item.Index >= to-from || item.Err == nil {
			s.report.Down = fmt.Errorf("the destination's answer names event %d of %d: %w", item.Index+1,
				to-from, pillarbox.ErrUnavailable)
			return
		}
		failed[from+item.Index] = item.Err
	}
	var down, gone error
	for i := from; i < to; i++ {
		switch err := failed[i]; {
		case err == nil:
			s.stored(i, i+1)
		case isDown(err):
			if down = err; errors.Is(err, pillarbox.ErrGone) {
				gone = err
			}
			s.outcome(i).Kind = pillarbox.OutcomeReleased
			s.outcome(i).NotBefore = s.notBefore(1, err)
		default:
			s.refused(i, err)
		}
	}
	switch {
	case gone != nil:
		s.report.Down = gone // whatever it took before it said so
	case !s.report.Answered:
		s.report.Down = down // nothing got through: that is an outage
	}
}

// refused handles the refusal of one event that stood alone.
func (s *step) refused(i int, err error) {
	s.report.Answered = true
	class := pillarbox.ClassRefused
	if pillarbox.IsPermanent(err) {
		class = pillarbox.ClassPermanent
	}
	s.charge(i, class, err)
}

// charge spends one attempt of the event.
func (s *step) charge(i int, class string, err error) {
	delivery, outcome := &s.deliveries[s.places[i]], s.outcome(i)
	attempt := s.attempt(class, err)
	attempts := len(delivery.Attempts) + 1
	switch {
	case class == pillarbox.ClassPermanent:
		s.reject(outcome, "refused for good: "+attempt.Error, attempt)
	case s.to.Retry.Exhausted(attempts):
		s.reject(outcome, exhausted(append(delivery.Attempts[:attempts-1:attempts-1], *attempt)), attempt)
	default:
		outcome.Kind, outcome.Attempt = pillarbox.OutcomeRetry, attempt
		outcome.NotBefore = s.notBefore(attempts, err)
	}
}

func (s *step) notBefore(attempts int, err error) time.Time {
	return s.at.Now.Add(max(s.to.Retry.Delay(attempts, s.at.Chance()), pillarbox.RetryAfter(err)))
}

func (s *step) reject(outcome *pillarbox.Outcome, reason string, attempt *pillarbox.Attempt) {
	outcome.Kind, outcome.Attempt = pillarbox.OutcomeRejected, attempt
	outcome.Rejection = &pillarbox.Rejection{Reason: reason,
		DeadAt: pillarbox.TimestampOf(s.at.date())}
}

func (s *step) attempt(class string, err error) *pillarbox.Attempt {
	return &pillarbox.Attempt{At: pillarbox.TimestampOf(s.at.date()), Class: class,
		Error: shorten(err.Error())}
}

// shorten cuts a message to MaxAttemptError bytes of valid UTF-8.
func shorten(message string) string { return cut(message, pillarbox.MaxAttemptError) }

func cut(message string, most int) string {
	message = strings.ToValidUTF8(message, "\uFFFD")
	if len(message) <= most {
		return message
	}
	return strings.ToValidUTF8(message[:most-3], "") + "..."
}

func exhausted(attempts []pillarbox.Attempt) string {
	last := ""
	if len(attempts) > 0 {
		last = ", the last time with: " + attempts[len(attempts)-1].Error
	}
	return fmt.Sprintf("refused %d times%s", len(attempts), last)
}

// probe tries a destination that was down. The first event is written alone. Where that fails like
// an outage, another event is the control event: if the control event gets an answer, the
// destination is up, and the first event is tried once more. Should it fail again, and the control
// event be stored again, then it is that event that looks like an outage, and it is charged;
// otherwise it would keep the destination "down" for ever. The control event is asked twice because
// a destination that answers now and then would be taken for one that is up.
func (s *step) probe() {
	s.write(0, 1)
	if s.report.Down == nil || len(s.events) == 1 || s.ctx.Err() != nil ||
		errors.Is(s.report.Down, pillarbox.ErrGone) {
		return
	}
	suspicion := s.report.Down
	s.report.Down = nil
	control := 1 + int(s.at.Chance()*float64(len(s.events)-1))
	s.write(control, control+1)
	if s.report.Down != nil {
		return
	}
	s.write(0, 1)
	if s.report.Down == nil || s.ctx.Err() != nil {
		return
	}
	if s.outcome(control).Kind == pillarbox.OutcomeStored && s.call(control, control+1) != nil {
		return // down it is; the control event is stored all the same
	}
	s.report.Down = nil
	s.charge(0, pillarbox.ClassUnavailable, suspicion)
}
