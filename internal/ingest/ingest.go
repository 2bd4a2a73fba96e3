// Package ingest accepts: it stamps, checks limits, removes credentials, and makes events durable
// with one append for all that are at hand.
//
// It promises that a receipt is returned only after its event is durable in the queue, that results
// come back one for each request and in order, and that no credential reaches the queue. It knows
// no engine and no HTTP; the handlers, the functions in the cloud and the simulator call the same
// Accept.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"pillarbox"
	"pillarbox/internal/source"
	"pillarbox/internal/telemetry"
)

// Request is one thing to accept. Accept reads it during the call only.
type Request struct {
	Grant       source.Grant // that it may be accepted, and into which source
	Method      string
	Path        string
	Query       string
	Header      pillarbox.Header
	ContentType string
	RemoteAddr  string // IP address without port
	Traceparent string
	Body        []byte

	// Span is that of the request, where it is recorded: the event names it as its parent, and not
	// Traceparent.
	Span *telemetry.Span

	// RequestID is the id that the gateway in front gave; empty for a new UUIDv7. Receipts carry it on
	// as it is.
	RequestID string

	// Timestamp is that of the first receipt, for what comes out of quarantine under its RequestID; zero
	// for now. Such an event always has an idempotency key.
	Timestamp pillarbox.Timestamp

	// Stamped is called with the event before it is made durable, so that the caller can begin to
	// watch for it without missing anything. The event is valid during the call only. Optional; must
	// not block.
	Stamped func(event *pillarbox.Event)
}

// Result is what became of one request: a receipt, or an error that matches ErrInvalid,
// ErrTooLarge, ErrFull, ErrNoSpace, ErrUnavailable (with ErrUnknown where the event may be stored),
// ErrKeyInFlight, ErrKeyReused or ErrClosed.
type Result struct {
	Receipt  pillarbox.Receipt
	Replayed bool // the receipt is that of an earlier request with the same idempotency key
	Err      error
}

// Acceptor makes requests durable, for a front. It is Ingest, or what a test puts in its place.
type Acceptor interface {
	AcceptInto(ctx context.Context, requests []Request, results []Result) []Result
	AcceptBatch(ctx context.Context, all Request, bodies [][]byte, results []Result) []Result
}

// Options of an Ingest. The zero value works.
type Options struct {
	Now     func() time.Time // default time.Now
	Metrics *telemetry.Metrics
	Keys    pillarbox.Keys // of idempotency; default: those of the queue. Where that has none, keys mean nothing

	Quarantine Quarantine // of what a source wants kept apart; nil: that is refused
}

// Ingest accepts requests into one queue. All methods may be called concurrently.
type Ingest struct {
	queue   pillarbox.Queue
	keys    pillarbox.Keys // nil: keys mean nothing
	stamper stamper
	metrics *telemetry.Metrics
	apart   Quarantine // nil: nothing is kept apart
}

// New makes an Ingest. The caller closes the queue, after the last Accept has returned.
func New(queue pillarbox.Queue, options Options) *Ingest {
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Keys == nil {
		options.Keys = queue.Keys()
	}
	return &Ingest{queue: queue, keys: options.Keys, stamper: stamper{now: options.Now},
		metrics: options.Metrics, apart: options.Quarantine}
}

// ClockSetBack lets stamps begin at the clock's time again, which was set back for good: else all
// of them would stay at the date that it showed before, until it is reached again.
func (a *Ingest) ClockSetBack() { a.stamper.last.Store(0) }

// Accept stamps the requests and makes them durable with one append. It returns one result for each
// request, in order; one bad request does not touch the others. Once the append has begun, the
// events may be stored even if ctx ends: the outcome is then unknown to the caller, and errors say
// so.
func (a *Ingest) Accept(ctx context.Context, requests []Request) []Result {
	return a.AcceptInto(ctx, requests, nil)
}

// AcceptInto is Accept for those who call it again and again: the results take the place of what
// was in results, which grows if it must.
func (a *Ingest) AcceptInto(ctx context.Context, requests []Request, results []Result) []Result {
	return a.acceptInto(ctx, requests, results, a.queue.Append)
}

// Inline is an Ingest for a caller that is watched: it may take as long as the storage does, and is
// faster for it.
type Inline struct{ *Ingest }

// Inline returns the same Ingest for a caller that is watched.
func (a *Ingest) Inline() Inline { return Inline{a} }

// AcceptInto is that of Ingest, with AppendInline.
func (a Inline) AcceptInto(ctx context.Context, requests []Request, results []Result) []Result {
	return a.acceptInto(ctx, requests, results, a.queue.AppendInline)
}

// appender is how events are made durable.
type appender func(ctx context.Context, events []*pillarbox.Event) error

func (a *Ingest) acceptInto(ctx context.Context, requests []Request, results []Result,
	to appender) []Result {
	results = append(results[:0], make([]Result, len(requests))...)
	s := scratches.Get().(*scratch)
	defer s.release()
	at := a.stamper.stamps(len(requests))
	for i := range requests {
		request := &requests[i]
		if request.Grant.IsSuspect() {
			results[i] = a.keepApart(ctx, request, at)
			at = at.next()
			continue
		}
		if results[i].Err = check(request); results[i].Err != nil {
			continue
		}
		from, kept := request.Grant.Source(), s.keepNew()
		if kept.body, results[i].Err = from.KeepBody(request.Body, &kept.removed); results[i].Err != nil {
			continue
		}
		kept.query = from.KeepQuery(request.Query, &kept.removed)
		s.add(i, at, request, kept)
		s.know(request.Grant.Facts())
		at = at.next()
	}
	s.finish()
	if a.keys != nil {
		a.identify(s, func(i int, content *source.Content) pillarbox.Idempotency {
			request := &requests[s.indexes[i]]
			content.Header, content.Query, content.Body = request.Header, request.Query, request.Body
			known := request.Grant.Idempotency(content)
			if known.IsZero() && request.Timestamp != 0 {
				known = source.ReleaseKey(request.RequestID)
			}
			return known
		})
	}
	for i, index := range s.indexes {
		requests[index].Grant.Source().MaskFacts(s.pointers[i].Facts)
	}
	a.append(ctx, s, results, func(ctx context.Context, events []*pillarbox.Event) error {
		for i, index := range s.indexes {
			if stamped := requests[index].Stamped; stamped != nil {
				stamped(s.pointers[i])
			}
		}
		return to(ctx, events)
	})
	if s.recorded {
		for i := range requests {
			requests[i].Span.Appended(s.began, s.ended, len(s.pointers), results[i].Err)
		}
	}
	count(requests, results)
	return results
}

// identify gives the events their idempotency keys.
func (a *Ingest) identify(s *scratch,
	of func(i int, content *source.Content) pillarbox.Idempotency) {
	for i, event := range s.pointers {
		content := source.Content{Method: event.Method, Path: event.Path, Facts: event.Facts}
		event.Idempotency = of(i, &content)
		s.keyed = s.keyed || !event.Idempotency.IsZero()
	}
}

// AcceptBatch is AcceptInto for requests that differ in nothing but their bodies. It calls nobody's
// Stamped.
func (a *Ingest) AcceptBatch(ctx context.Context, all Request, bodies [][]byte,
	results []Result) []Result {
	results = append(results[:0], make([]Result, len(bodies))...)
	s := scratches.Get().(*scratch)
	defer s.release()
	at := a.stamper.stamps(len(bodies))
	from, ofAll := all.Grant.Source(), kept{}
	if from != nil {
		ofAll.query = from.KeepQuery(all.Query, &ofAll.removed) // once for all, so that a secret is counted once
	}
	for i, body := range bodies {
		all.Body = body
		if results[i].Err = check(&all); results[i].Err != nil {
			continue
		}
		kept := s.keepNew()
		*kept = ofAll
		if kept.body, results[i].Err = from.KeepBody(body, &kept.removed); results[i].Err != nil {
			continue
		}
		s.add(i, at, &all, kept)
		s.know(all.Grant.ItemFacts(body))
		at = at.next()
	}
	s.finish()
	if a.keys != nil {
		a.identify(s, func(i int, content *source.Content) pillarbox.Idempotency {
			content.Header, content.Query, content.Body = all.Header, all.Query, bodies[s.indexes[i]]
			return all.Grant.ItemIdempotency(s.indexes[i], content)
		})
	}
	for _, event := range s.pointers {
		from.MaskFacts(event.Facts)
	}
	a.append(ctx, s, results, a.queue.Append)
	if s.recorded {
		all.Span.Appended(s.began, s.ended, len(s.pointers), firstError(results))
	}
	countOf(all.Grant.Source(), results, func(i int) int { return len(bodies[i]) })
	return results
}

// append makes the events durable whose keys are new, and fills in all results.
func (a *Ingest) append(ctx context.Context, s *scratch, results []Result, to appender) {
	if s.keyed {
		a.claim(ctx, s, results)
		defer a.settleKeys(ctx, s, results)
		for _, index := range s.indexes {
			results[index].Err = errNotAppended // until the append has returned: it may panic
		}
	}
	if len(s.pointers) == 0 {
		return
	}
	s.began = time.Now()
	err := to(ctx, s.pointers)
	s.ended = time.Now()
	a.metrics.ObserveAppend(s.ended.Sub(s.began))
	settle(results, s.pointers, s.indexes, err)
}

// firstError is why the first of the requests failed that did; nil for none.
func firstError(results []Result) error {
	for i := range results {
		if results[i].Err != nil {
			return results[i].Err
		}
	}
	return nil
}

// errNoGrant is the answer to a front that has forgotten to ask the source.
var errNoGrant = fmt.Errorf("the request was not admitted by a source: %w", pillarbox.ErrNotFound)

// check says why a request can't be accepted, or nil.
func check(request *Request) error {
	from := request.Grant.Source()
	if from == nil || request.Grant.IsSuspect() {
		return errNoGrant
	}
	return from.CheckBody(len(request.Body))
}

// settle turns the answer of an append into results.
func settle(results []Result, events []*pillarbox.Event, indexes []int, err error) {
	if err != nil {
		err = settleFailed(results, indexes, err)
	}
	for i := range events {
		result := &results[indexes[i]]
		if err != nil || result.Err == errNotAppended {
			result.Err = err
		}
		if result.Err == nil {
			result.Receipt = pillarbox.Receipt{RequestID: events[i].RequestID,
				Timestamp: events[i].Timestamp, Status: pillarbox.StateAccepted}
		}
	}
}

// settleFailed notes the errors of single events. It returns the error of all the others.
func settleFailed(results []Result, indexes []int, err error) error {
	var partial *pillarbox.BatchError
	if !errors.As(err, &partial) {
		return err
	}
	for _, item := range partial.Items {
		results[indexes[item.Index]].Err = item.Err
	}
	return nil
}

// count adds up what became of the requests, neighbours of the same source at once.
func count(requests []Request, results []Result) {
	for i := 0; i < len(results); {
		first, from := i, requests[i].Grant.Source()
		for i < len(results) && requests[i].Grant.Source() == from {
			i++
		}
		countOf(from, results[first:i], func(j int) int { return len(requests[first+j].Body) })
	}
}

// countOf adds up what became of requests with bodies of these sizes, neighbours with the same
// result at once.
func countOf(from *source.Source, results []Result, size func(i int) int) {
	if from == nil {
		return
	}
	for i := 0; i < len(results); {
		result, events, bytes := resultOf(&results[i]), 0, 0
		for ; i < len(results) && resultOf(&results[i]) == result; i++ {
			events, bytes = events+1, bytes+size(i)
		}
		from.Metrics().Events(result, events)
		if result == telemetry.IngestAccepted {
			from.Metrics().Bytes(int64(bytes))
		}
	}
}

func resultOf(result *Result) telemetry.IngestResult {
	err := result.Err
	switch {
	case err == nil && result.Replayed:
		return telemetry.IngestReplayed
	case err == nil && result.Receipt.Status == pillarbox.StateQuarantined:
		return telemetry.IngestQuarantined
	case err == nil:
		return telemetry.IngestAccepted
	case errors.Is(err, pillarbox.ErrUnknown):
		return telemetry.IngestUnknown
	case errors.Is(err, pillarbox.ErrKeyInFlight):
		return telemetry.IngestInFlight
	case errors.Is(err, pillarbox.ErrKeyReused):
		return telemetry.IngestKeyReused
	case errors.Is(err, pillarbox.ErrTooLarge):
		return telemetry.IngestTooLarge
	case errors.Is(err, pillarbox.ErrNoSpace):
		return telemetry.IngestNoSpace
	case errors.Is(err, pillarbox.ErrFull):
		return telemetry.IngestFull
	case errors.Is(err, pillarbox.ErrInvalid):
		return telemetry.IngestInvalid
	}
	return telemetry.IngestUnavailable
}
