// Package ingest accepts: it stamps, checks limits, removes credentials, and makes events durable with one
// append for all that are at hand.
//
// It promises that a receipt is returned only after its event is durable in the queue, that results come back
// one for each request and in order, and that no credential reaches the queue. It knows no engine and no
// HTTP; the handlers, the functions in the cloud and the simulator call the same Accept.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"pillarbox"
	"pillarbox/internal/telemetry"
)

// DefaultMaxBody is the largest body of a source that sets no limit of its own, in bytes.
const DefaultMaxBody = 1 << 20

// Source is what ingest needs to know of a way in. The zero value has the default limits.
type Source struct {
	MaxBody int64        // bytes; 0 is DefaultMaxBody
	Headers HeaderPolicy // which headers are kept
}

// Request is one thing to accept. Accept reads it during the call only.
type Request struct {
	Source      string
	Method      string
	Path        string
	Query       string
	Header      pillarbox.Header
	ContentType string
	RemoteAddr  string // IP address without port
	Traceparent string
	Body        []byte

	// RequestID is the id that the gateway in front gave; empty for a new UUIDv7. Receipts carry it on as it is.
	RequestID string

	// Stamped is called with the event's key before it is made durable, so that the caller can begin to
	// watch for it without missing anything. Optional; must not block.
	Stamped func(key pillarbox.Key)
}

// Result is what became of one request: a receipt, or an error that matches ErrInvalid, ErrTooLarge,
// ErrNotFound (no such source), ErrFull, ErrNoSpace, ErrUnavailable (with ErrUnknown where the event may be stored) or ErrClosed.
type Result struct {
	Receipt pillarbox.Receipt
	Err     error
}

// Options of an Acceptor. The zero value works but knows no source.
type Options struct {
	Sources map[string]Source
	Now     func() time.Time // default time.Now
	Metrics *telemetry.Metrics
}

// Acceptor accepts requests into one queue. All methods may be called concurrently.
type Acceptor struct {
	queue   pillarbox.Queue
	stamper stamper
	metrics *telemetry.Metrics
	sources atomic.Pointer[map[string]*source]
}

type source struct {
	Source
	headers headerFilter
	metrics *telemetry.Ingest
}

// New makes an Acceptor. The caller closes the queue, after the last Accept has returned.
func New(queue pillarbox.Queue, options Options) *Acceptor {
	if options.Now == nil {
		options.Now = time.Now
	}
	a := &Acceptor{queue: queue, stamper: stamper{now: options.Now}, metrics: options.Metrics}
	a.SetSources(options.Sources)
	return a
}

// ClockSetBack lets stamps begin at the clock's time again, which was set back for good: else all of them would stay at the date that
// it showed before, until it is reached again.
func (a *Acceptor) ClockSetBack() { a.stamper.last.Store(0) }

// SetSources replaces the sources. Calls of Accept that are under way go on with the old ones.
func (a *Acceptor) SetSources(sources map[string]Source) {
	prepared := make(map[string]*source, len(sources))
	for name, s := range sources {
		if s.MaxBody <= 0 {
			s.MaxBody = DefaultMaxBody
		}
		prepared[name] = &source{Source: s, headers: s.Headers.filter(), metrics: a.metrics.Ingest(name)}
	}
	a.sources.Store(&prepared)
}

// Accept stamps the requests and makes them durable with one append. It returns one result for each request,
// in order; one bad request does not touch the others. Once the append has begun, the events may be stored
// even if ctx ends: the outcome is then unknown to the caller, and errors say so.
func (a *Acceptor) Accept(ctx context.Context, requests []Request) []Result {
	return a.AcceptInto(ctx, requests, nil)
}

// AcceptInto is Accept for those who call it again and again: the results take the place of what was in results,
// which grows if it must.
func (a *Acceptor) AcceptInto(ctx context.Context, requests []Request, results []Result) []Result {
	return a.acceptInto(ctx, requests, results, a.queue.Append)
}

// Inline is an Acceptor for a caller that is watched: it may take as long as the storage does, and is faster for it.
type Inline struct{ *Acceptor }

// Inline returns the same Acceptor for a caller that is watched.
func (a *Acceptor) Inline() Inline { return Inline{a} }

// AcceptInto is that of Acceptor, with AppendInline.
func (a Inline) AcceptInto(ctx context.Context, requests []Request, results []Result) []Result {
	return a.acceptInto(ctx, requests, results, a.queue.AppendInline)
}

// appender is how events are made durable.
type appender func(ctx context.Context, events []*pillarbox.Event) error

func (a *Acceptor) acceptInto(ctx context.Context, requests []Request, results []Result, to appender) []Result {
	results = append(results[:0], make([]Result, len(requests))...)
	sources := *a.sources.Load()
	s := scratches.Get().(*scratch)
	defer s.release()
	at := a.stamper.stamps(len(requests))
	for i := range requests {
		from := sources[requests[i].Source]
		if results[i].Err = check(from, &requests[i]); results[i].Err == nil {
			s.add(i, at, from, &requests[i])
			at = at.next()
		}
	}
	s.finish()
	for i, place := range s.places {
		if stamped := requests[place].Stamped; stamped != nil {
			stamped(s.events[i].Key())
		}
	}
	a.append(ctx, s, results, to)
	count(sources, requests, results)
	return results
}

// AcceptBatch is AcceptInto for requests that differ in nothing but their bodies. It calls nobody's Stamped.
func (a *Acceptor) AcceptBatch(ctx context.Context, all Request, bodies [][]byte, results []Result) []Result {
	results = append(results[:0], make([]Result, len(bodies))...)
	from := (*a.sources.Load())[all.Source]
	s := scratches.Get().(*scratch)
	defer s.release()
	at := a.stamper.stamps(len(bodies))
	for i, body := range bodies {
		all.Body = body
		if results[i].Err = check(from, &all); results[i].Err == nil {
			s.add(i, at, from, &all)
			at = at.next()
		}
	}
	s.finish()
	a.append(ctx, s, results, a.queue.Append)
	from.count(results, func(i int) int { return len(bodies[i]) })
	return results
}

// append makes the events durable, and fills in their results.
func (a *Acceptor) append(ctx context.Context, s *scratch, results []Result, to appender) {
	if len(s.events) == 0 {
		return
	}
	start := time.Now()
	err := to(ctx, s.pointers)
	a.metrics.ObserveAppend(time.Since(start))
	settle(results, s.events, s.places, err)
}

// check says why a request can't be accepted, or nil. from is nil where its source is not known.
func check(from *source, request *Request) error {
	if from == nil {
		return fmt.Errorf("source %q: %w", request.Source, pillarbox.ErrNotFound)
	}
	if size := int64(len(request.Body)); size > from.MaxBody {
		return fmt.Errorf("body of %d bytes is over the limit of %d bytes (sources.%s.max_body): %w", size, from.MaxBody, request.Source, pillarbox.ErrTooLarge)
	}
	return nil
}

// settle turns the answer of an append into results.
func settle(results []Result, events []pillarbox.Event, places []int, err error) {
	if err != nil {
		err = settleFailed(results, places, err)
	}
	for i := range events {
		result := &results[places[i]]
		if err != nil {
			result.Err = err
		}
		if result.Err == nil {
			result.Receipt = pillarbox.Receipt{RequestID: events[i].RequestID, Timestamp: events[i].Timestamp, Status: pillarbox.StateAccepted}
		}
	}
}

// settleFailed notes the errors of single events. It returns the error of all the others.
func settleFailed(results []Result, places []int, err error) error {
	var partial *pillarbox.BatchError
	if !errors.As(err, &partial) {
		return err
	}
	for _, item := range partial.Items {
		results[places[item.Index]].Err = item.Err
	}
	return nil
}

// count adds up what became of the requests, neighbours of the same source at once.
func count(sources map[string]*source, requests []Request, results []Result) {
	for i := 0; i < len(results); {
		first := i
		for i < len(results) && requests[i].Source == requests[first].Source {
			i++
		}
		sources[requests[first].Source].count(results[first:i], func(j int) int { return len(requests[first+j].Body) })
	}
}

// count adds up what became of requests with bodies of these sizes, neighbours with the same result at once. There is no
// label for names that a client invents, whose source is nil.
func (s *source) count(results []Result, size func(i int) int) {
	if s == nil {
		return
	}
	for i := 0; i < len(results); {
		result, events, bytes := resultOf(results[i].Err), 0, 0
		for ; i < len(results) && resultOf(results[i].Err) == result; i++ {
			events, bytes = events+1, bytes+size(i)
		}
		s.metrics.Events(result, events)
		if result == telemetry.IngestAccepted {
			s.metrics.Bytes(int64(bytes))
		}
	}
}

func resultOf(err error) telemetry.IngestResult {
	switch {
	case err == nil:
		return telemetry.IngestAccepted
	case errors.Is(err, pillarbox.ErrUnknown):
		return telemetry.IngestUnknown
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

// Sources lists the names that Accept knows, sorted.
func (a *Acceptor) Sources() []string {
	var names []string
	for name := range *a.sources.Load() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
