package otlp

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"pillarbox/internal/telemetry"
)

// Bounds of what waits for the receiver.
const (
	MaxWaiting = 8192            // spans that have ended and are not sent
	maxSend    = 512             // spans of one call
	sendEvery  = 2 * time.Second // at the latest
)

// Options of Spans.
type Options struct {
	Service, Version, Instance string
	Logger                     *slog.Logger // default: discard
	Metrics                    *telemetry.Metrics
}

// withDefaults also lets the SDK, which has one log for the whole process, write to that of the options
// and not to standard error.
func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	logger := o.Logger
	otel.SetLogger(logr.FromSlogHandler(logger.Handler()))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		logger.Warn("telemetry is not as it should be", telemetry.KeyErr, err)
	}))
	return o
}

func (o *Options) resource() *resource.Resource {
	return resource.NewSchemaless(attribute.String("service.name", o.Service),
		attribute.String("service.version", o.Version), attribute.String("service.instance.id", o.Instance))
}

// Spans sends the spans that it makes. It implements telemetry.SpanMaker.
type Spans struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	counted  *counted
}

// OpenSpans makes Spans. The receiver need not be there. Errors: ErrInvalid.
func OpenSpans(ctx context.Context, to Target, options Options) (*Spans, error) {
	if err := to.Check(); err != nil {
		return nil, err
	}
	options = options.withDefaults()
	exporter, err := to.traces(ctx)
	if err != nil {
		return nil, fmt.Errorf("prepare to send spans to %s: %w", to.Endpoint, err)
	}
	counted := &counted{SpanExporter: exporter, options: options, failing: failing{to: to.Endpoint, what: "spans", logger: options.Logger}}
	batches := sdktrace.NewBatchSpanProcessor(counted, sdktrace.WithMaxQueueSize(MaxWaiting), sdktrace.WithMaxExportBatchSize(maxSend),
		sdktrace.WithBatchTimeout(sendEvery), sdktrace.WithExportTimeout(to.timeout()+time.Second))
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(&gate{SpanProcessor: batches, counted: counted}),
		sdktrace.WithSampler(sdktrace.AlwaysSample()), // telemetry.Traces has decided
		sdktrace.WithResource(options.resource()), sdktrace.WithRawSpanLimits(spanLimits))
	return &Spans{provider: provider, counted: counted, tracer: provider.Tracer("pillarbox",
		trace.WithInstrumentationVersion(options.Version))}, nil
}

// spanLimits bounds one span. A batch links to each of its events that is recorded.
var spanLimits = sdktrace.SpanLimits{AttributeValueLengthLimit: 512, AttributeCountLimit: 32, LinkCountLimit: 1000,
	AttributePerLinkCountLimit: 0, EventCountLimit: 0, AttributePerEventCountLimit: 0}

// Close sends what waits, for as long as ctx lasts. What is not sent then is counted as dropped.
func (s *Spans) Close(ctx context.Context) error {
	err := s.provider.Shutdown(ctx)
	s.counted.closed.Store(true)
	if left := s.counted.waiting.Load(); left > 0 {
		s.counted.options.Metrics.Spans(telemetry.SpansDropped, int(left))
		return fmt.Errorf("%d spans are left: %w", left, cmp.Or(err, context.DeadlineExceeded))
	}
	return nil // of each call that has failed, it was told
}

// Start implements telemetry.SpanMaker.
func (s *Spans) Start(start telemetry.SpanStart) telemetry.MadeSpan {
	ctx := context.Background()
	if parent := contextOf(start.Parent, start.State); parent.IsValid() {
		ctx = trace.ContextWithRemoteSpanContext(ctx, parent)
	}
	options := []trace.SpanStartOption{trace.WithTimestamp(start.At), trace.WithSpanKind(kinds[start.Kind]),
		trace.WithAttributes(attributesOf(start.Attrs)...)}
	for _, link := range start.Links {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: contextOf(link, "")}))
	}
	_, span := s.tracer.Start(ctx, start.Name, options...)
	return made{span}
}

var kinds = map[telemetry.SpanKind]trace.SpanKind{telemetry.SpanInternal: trace.SpanKindInternal,
	telemetry.SpanServer: trace.SpanKindServer, telemetry.SpanClient: trace.SpanKindClient}

// contextOf is that of a traceparent; invalid for a malformed one.
func contextOf(traceparent, state string) trace.SpanContext {
	carrier := propagation.MapCarrier{"traceparent": traceparent}
	if state != "" {
		carrier["tracestate"] = state
	}
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier))
}

// made is one span.
type made struct{ trace.Span }

// Traceparent implements telemetry.MadeSpan.
func (m made) Traceparent() string {
	at := m.SpanContext()
	return "00-" + at.TraceID().String() + "-" + at.SpanID().String() + "-01"
}

// Set implements telemetry.MadeSpan.
func (m made) Set(attrs ...slog.Attr) { m.SetAttributes(attributesOf(attrs)...) }

// End implements telemetry.MadeSpan.
func (m made) End(at time.Time, failure string) {
	if failure != "" {
		m.SetStatus(codes.Error, failure)
	}
	m.Span.End(trace.WithTimestamp(at))
}

func attributesOf(attrs []slog.Attr) []attribute.KeyValue {
	values := make([]attribute.KeyValue, 0, len(attrs))
	for _, attr := range attrs {
		if attr.Value.Kind() == slog.KindInt64 {
			values = append(values, attribute.Int64(attr.Key, attr.Value.Int64()))
			continue
		}
		values = append(values, attribute.String(attr.Key, attr.Value.String()))
	}
	return values
}

// gate keeps the spans that wait to MaxWaiting, so that the processor behind it, which has room for
// as many, drops none that nobody has counted.
type gate struct {
	sdktrace.SpanProcessor
	counted *counted
}

// OnEnd implements sdktrace.SpanProcessor.
func (g *gate) OnEnd(span sdktrace.ReadOnlySpan) {
	if g.counted.waiting.Add(1) > MaxWaiting {
		g.counted.waiting.Add(-1)
		g.counted.options.Metrics.Spans(telemetry.SpansDropped, 1)
		g.counted.failing.dropped.Add(1)
		return
	}
	g.SpanProcessor.OnEnd(span)
}

// counted counts what became of spans.
type counted struct {
	sdktrace.SpanExporter
	options Options
	waiting atomic.Int64 // spans that have ended and were neither sent nor given up
	closed  atomic.Bool  // what is sent from now on has been counted as dropped
	failing failing
}

// ExportSpans implements sdktrace.SpanExporter. It returns no error: nobody else is to tell of it.
func (c *counted) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := c.SpanExporter.ExportSpans(ctx, spans)
	if c.closed.Load() {
		return nil
	}
	c.waiting.Add(-int64(len(spans)))
	if err != nil {
		c.options.Metrics.Spans(telemetry.SpansFailed, len(spans))
		c.failing.note(err)
		return nil
	}
	c.options.Metrics.Spans(telemetry.SpansSent, len(spans))
	c.failing.good()
	return nil
}
