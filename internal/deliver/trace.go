package deliver

import (
	"cmp"
	"time"

	"pillarbox"
	"pillarbox/internal/telemetry"
)

// traced begins the spans of the batch.
func (s *step) traced() {
	if s.at.Traces == nil {
		return
	}
	s.spans = s.at.Traces.Delivery(cmp.Or(s.at.Verb, telemetry.SpanDeliver), s.to.Name, len(s.deliveries), func(i int) telemetry.TracedEvent {
		return tracedEvent(&s.deliveries[i])
	}, time.Now())
}

func tracedEvent(delivery *pillarbox.Delivery) telemetry.TracedEvent {
	return telemetry.TracedEvent{Traceparent: delivery.Event.Traceparent,
		RequestID: delivery.Event.RequestID, Attempt: len(delivery.Attempts) + 1}
}

// inTrace is the event as the sink gets it. Who is sent it goes on beneath the span of this delivery;
// a store keeps it as it was accepted, however often it is written.
func (s *step) inTrace(i int, event *pillarbox.Event) *pillarbox.Event {
	parent := s.spans.Traceparent(i)
	if parent == "" || !s.sink.Traits().Forwards {
		return event
	}
	sent := *event
	sent.Traceparent = parent
	return &sent
}

// endSpans ends the spans of the batch with what became of it.
func (s *step) endSpans() {
	if s.spans == nil {
		return
	}
	at := time.Now()
	for i := range s.report.Outcomes {
		outcome := &s.report.Outcomes[i]
		failure := ""
		switch {
		case outcome.Attempt != nil:
			failure = outcome.Attempt.Class
		case outcome.Kind == pillarbox.OutcomeReleased && s.report.Down != nil:
			failure = pillarbox.ClassUnavailable
		}
		s.spans.Ended(i, outcomeNames[outcome.Kind], failure, at)
	}
	failure := ""
	if s.report.Down != nil {
		failure = pillarbox.ClassUnavailable
	}
	s.spans.End(failure, at)
}

// outcomeNames are those of outcomes in spans.
var outcomeNames = map[pillarbox.OutcomeKind]string{
	pillarbox.OutcomeStored: "stored", pillarbox.OutcomeSkipped: "skipped", pillarbox.OutcomeRetry: "retry",
	pillarbox.OutcomeReleased: "released", pillarbox.OutcomeRejected: "rejected", pillarbox.OutcomeDead: "dead",
	pillarbox.OutcomeHeld: "held",
}

// traceLetters records the writing of dead letters.
func (l *Loop) traceLetters(rejected []pillarbox.Delivery, outcomes []pillarbox.Outcome, began time.Time) {
	ended := time.Now()
	for i := range rejected {
		class := ""
		if n := len(rejected[i].Attempts); n > 0 {
			class = rejected[i].Attempts[n-1].Class
		}
		event := tracedEvent(&rejected[i])
		event.Attempt = 0
		l.opts.Traces.DeadLetter(l.name, event, class, began, ended,
			outcomes[i].Kind == pillarbox.OutcomeDead)
	}
}

// measureLag measures how long a stored event was on its way. One whose trace is recorded may become an
// exemplar.
func (l *Loop) measureLag(event *pillarbox.Event, now time.Time) {
	lag := now.Sub(event.Timestamp.Time())
	if l.opts.Traces != nil && telemetry.Sampled(event.Traceparent) {
		l.opts.Metrics.LagIn(telemetry.TraceID(event.Traceparent), lag)
		return
	}
	l.opts.Metrics.Lag(lag)
}
