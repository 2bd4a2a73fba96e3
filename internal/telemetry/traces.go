package telemetry

import (
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"
)

// SpanMaker makes spans, for Traces. Its methods, and those of what it makes, may be called
// concurrently, and never wait: what has no room is dropped and counted.
type SpanMaker interface {
	Start(start SpanStart) MadeSpan
}

// SpanStart says what a span is when it begins.
type SpanStart struct {
	Name   string
	Kind   SpanKind
	Parent string // a W3C traceparent that this program takes for one; empty for a trace of its own
	State  string // the tracestate that came with it; a malformed one is left out
	At     time.Time
	Links  []string // traceparents of what the span works on
	Attrs  []slog.Attr
}

// SpanKind is what a span is to those beside it.
type SpanKind int

// The kinds of span.
const (
	SpanInternal SpanKind = iota // work within the program
	SpanServer                   // answers a request
	SpanClient                   // waits for somebody else's answer
)

// MadeSpan is a span of a SpanMaker.
type MadeSpan interface {
	Traceparent() string // that names the span as the parent
	Set(attrs ...slog.Attr)
	// End ends the span, once. failure says why it has failed, in a few words; empty: it has not.
	End(at time.Time, failure string)
}

// The attributes of spans. Those of HTTP are OpenTelemetry's.
const (
	spanMethod      = "http.request.method"
	spanRoute       = "http.route"
	spanStatus      = "http.response.status_code"
	spanSource      = "pillarbox.source"
	spanDestination = "pillarbox.destination"
	spanRequestID   = "pillarbox.request_id"
	spanEvents      = "pillarbox.events"
	spanOutcome     = "pillarbox.outcome"
	spanAttempt     = "pillarbox.attempt"
)

// Traces decides which spans are recorded, and names them. All methods may be called concurrently,
// and on nil, where nothing is recorded.
type Traces struct {
	maker  SpanMaker
	ratio  float64
	chance func() float64
}

// TraceOptions of Traces.
type TraceOptions struct {
	Ratio  float64        // of requests that come without a trace context: 0 for none of them, 1 for all
	Chance func() float64 // in [0, 1); default rand.Float64
}

// NewTraces returns nil for a maker that is nil. What comes with a trace context is recorded where
// that is sampled, and only there.
func NewTraces(maker SpanMaker, options TraceOptions) *Traces {
	if maker == nil {
		return nil
	}
	if options.Chance == nil {
		options.Chance = rand.Float64
	}
	return &Traces{maker: maker, ratio: options.Ratio, chance: options.Chance}
}

// Span is one that is recorded. All methods may be called on nil, where nothing is.
type Span struct {
	traces *Traces
	made   MadeSpan
	parent string // of its children
}

// Sampled reports whether a W3C traceparent says that its trace is recorded.
func Sampled(traceparent string) bool {
	const flags = len("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0") // their last digit
	if len(traceparent) != flags+1 {
		return false
	}
	digit := traceparent[flags]
	if digit >= 'a' {
		digit -= 'a' - 10 // its lowest bit is that of the number
	}
	return digit&1 == 1
}

// TraceID is the id of the trace that a traceparent names; empty for none.
func TraceID(traceparent string) string {
	if len(traceparent) < len("00-0af7651916cd43dd8448eb211c80319c") {
		return ""
	}
	return traceparent[len("00-"):len("00-0af7651916cd43dd8448eb211c80319c")]
}

// Records decides whether a request is recorded that came with this traceparent, if it is well-formed,
// or with none. It is to be asked once for each request, and allocates nothing.
func (t *Traces) Records(traceparent string) bool {
	switch {
	case t == nil:
		return false
	case traceparent != "":
		return Sampled(traceparent)
	}
	return t.ratio > 0 && t.chance() < t.ratio
}

// TracedRequest is a request that a source has let in.
type TracedRequest struct {
	Method, Route, Source   string
	Traceparent, Tracestate string // that the sender gave, if the first is well-formed
	Began                   time.Time
}

// Request begins the span of a request that Records has decided for. It keeps nothing of the
// request's texts but Route and Source.
func (t *Traces) Request(request TracedRequest) *Span {
	method := strings.Clone(request.Method)
	return t.start(SpanStart{
		Name: method + " " + request.Route, Kind: SpanServer, At: request.Began,
		Parent: strings.Clone(request.Traceparent), State: strings.Clone(request.Tracestate),
		Attrs: []slog.Attr{slog.String(spanMethod, method), slog.String(spanRoute, request.Route),
			slog.String(spanSource, request.Source)},
	})
}

func (t *Traces) start(start SpanStart) *Span {
	made := t.maker.Start(start)
	return &Span{traces: t, made: made, parent: made.Traceparent()}
}

// Traceparent names the span as the parent of what follows; empty on nil.
func (s *Span) Traceparent() string {
	if s == nil {
		return ""
	}
	return s.parent
}

// TraceID is that of the span; empty on nil.
func (s *Span) TraceID() string { return TraceID(s.Traceparent()) }

// InTrace adds the id of the span's trace to the attributes of a line of the log, where there is one.
func InTrace(s *Span, attrs ...any) []any {
	if s == nil {
		return attrs
	}
	return append(attrs, KeyTraceID, s.TraceID())
}

// Answered ends the span of a request with what was answered. requestID is empty where nothing was
// accepted, or several events were.
func (s *Span) Answered(status int, requestID string, at time.Time) {
	if s == nil {
		return
	}
	s.made.Set(slog.Int(spanStatus, status))
	if requestID != "" {
		s.made.Set(slog.String(spanRequestID, requestID))
	}
	failure := ""
	if status >= 500 {
		failure = "answered with an error of the server"
	}
	s.made.End(at, failure)
}

// Appended records the durable append that the span's request waited for, with all that it made
// durable at once.
func (s *Span) Appended(began, ended time.Time, events int, err error) {
	if s == nil {
		return
	}
	span := s.traces.start(SpanStart{Name: "append", Parent: s.parent, At: began,
		Attrs: []slog.Attr{slog.Int(spanEvents, events)}})
	failure := ""
	if err != nil {
		failure = "not made durable, or not all of it"
	}
	span.made.End(ended, failure)
}
