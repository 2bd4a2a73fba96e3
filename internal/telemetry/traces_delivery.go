package telemetry

import (
	"log/slog"
	"time"
)

// What spans of deliveries are named by, beside the kinds of jobs.
const (
	SpanDeliver    = "deliver"
	spanDeadLetter = "dead letter"
)

// TracedEvent is one event of a batch.
type TracedEvent struct {
	Traceparent string // its own: a child of it is recorded where it is sampled
	RequestID   string
	Attempt     int // number of the try, from 1; 0 where it isn't known
}

// DeliverySpans are those of one batch on its way to one destination: one of the batch, which is a
// trace of its own and links to the events', and one for each recorded event, which is in that
// event's trace and links to the batch's. Nothing is recorded on nil.
type DeliverySpans struct {
	batch  *Span
	events []*Span // nil for those that are not recorded
}

// Delivery begins the spans of n events; nil where none of them is recorded.
func (t *Traces) Delivery(verb, destination string, n int, event func(i int) TracedEvent,
	at time.Time) *DeliverySpans {
	if t == nil {
		return nil
	}
	var links []string
	for i := range n {
		if traced := event(i); Sampled(traced.Traceparent) {
			links = append(links, traced.Traceparent)
		}
	}
	if len(links) == 0 {
		return nil
	}
	name := verb + " " + destination
	d := &DeliverySpans{events: make([]*Span, n)}
	d.batch = t.start(SpanStart{Name: name + " batch", Kind: SpanClient, At: at, Links: links,
		Attrs: []slog.Attr{slog.String(spanDestination, destination), slog.Int(spanEvents, n)}})
	for i := range n {
		if traced := event(i); Sampled(traced.Traceparent) {
			d.events[i] = t.start(SpanStart{Name: name, Kind: SpanClient, Parent: traced.Traceparent,
				At: at, Links: []string{d.batch.parent}, Attrs: eventAttrs(destination, traced)})
		}
	}
	return d
}

func eventAttrs(destination string, event TracedEvent) []slog.Attr {
	attrs := []slog.Attr{slog.String(spanDestination, destination),
		slog.String(spanRequestID, event.RequestID)}
	if event.Attempt > 0 {
		attrs = append(attrs, slog.Int(spanAttempt, event.Attempt))
	}
	return attrs
}

// Traceparent names the span of an event's delivery; empty where it is not recorded.
func (d *DeliverySpans) Traceparent(i int) string {
	if d == nil {
		return ""
	}
	return d.events[i].Traceparent()
}

// Ended ends the span of one event. failure is a class of errors, and never the text of one, which
// may hold a part of the event; empty for none.
func (d *DeliverySpans) Ended(i int, outcome, failure string, at time.Time) {
	if d == nil || d.events[i] == nil {
		return
	}
	d.events[i].made.Set(slog.String(spanOutcome, outcome))
	d.events[i].made.End(at, failure)
}

// End ends the span of the batch, in the same way.
func (d *DeliverySpans) End(failure string, at time.Time) {
	if d != nil {
		d.batch.made.End(at, failure)
	}
}

// DeadLetter records that an event's letter was written, or could not be.
func (t *Traces) DeadLetter(destination string, event TracedEvent, class string, began, ended time.Time,
	kept bool) {
	if t == nil || !Sampled(event.Traceparent) {
		return
	}
	attrs := append(eventAttrs(destination, event), slog.String(spanOutcome, class))
	failure := ""
	if !kept {
		failure = "the letter could not be written"
	}
	t.start(SpanStart{Name: spanDeadLetter + " " + destination, Parent: event.Traceparent, At: began,
		Attrs: attrs}).made.End(ended, failure)
}
