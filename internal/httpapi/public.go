package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"pillarbox"
	"pillarbox/internal/admission"
	"pillarbox/internal/ingest"
	"pillarbox/internal/protocol"
	"pillarbox/internal/telemetry"
)

// Acceptor makes requests durable. It is ingest.Acceptor.
type Acceptor interface {
	AcceptInto(ctx context.Context, requests []ingest.Request, results []ingest.Result) []ingest.Result
	AcceptBatch(ctx context.Context, all ingest.Request, bodies [][]byte, results []ingest.Result) []ingest.Result
}

// Waiter waits for the delivery of one event that is about to be accepted.
type Waiter interface {
	// Expect begins to watch for the event.
	Expect(requestID string) Expectation
}

// Expectation is the watch for one event.
type Expectation interface {
	// Wait returns true once all of the destinations have stored the event.
	Wait(ctx context.Context, destinations []string) bool
	Close()
}

// Source is a named way in.
type Source struct {
	Name          string
	Path          string
	MaxBody       int64    // bytes
	Destinations  []string // for Prefer: wait
	RatePerSecond int      // events; 0 for no limit
	RateBurst     int      // events at once; 0 is RatePerSecond
}

// The defaults of PublicOptions.
const (
	DefaultMaxBatchBytes    = 16 << 20
	DefaultMaxBatchItems    = 10_000
	DefaultMaxWait          = 30 * time.Second
	DefaultMaxInFlightBytes = 256 << 20
)

// PublicOptions are the limits of the public listener. Zero means the default.
type PublicOptions struct {
	MaxBatchBytes    int64         // body of a batch
	MaxBatchItems    int           // items of a batch
	MaxWait          time.Duration // longest Prefer: wait
	MaxInFlightBytes int64         // bodies in memory at a time; more is answered with 503
	Waiter           Waiter        // nil: Prefer: wait is ignored
	Logger           *slog.Logger  // nil: discard
	Metrics          *telemetry.Metrics
}

// Public is the handler of the public listener.
type Public struct {
	acceptor Acceptor
	opts     PublicOptions
	inFlight *admission.Memory
	plain    map[string]*telemetry.Route // of what is no source
	routes   atomic.Pointer[map[string]*route]
}

// route is one path of a source.
type route struct {
	source  Source
	batch   bool
	limiter *rate.Limiter // shared by the paths of a source; nil for no limit
	metrics *telemetry.Route
}

// batchSuffix is appended to a source's path for batches.
const batchSuffix = "/batch"

// NewPublic makes the handler. SetSources gives it its paths.
func NewPublic(acceptor Acceptor, opts PublicOptions) *Public {
	setDefault(&opts.MaxBatchBytes, DefaultMaxBatchBytes)
	setDefault(&opts.MaxBatchItems, DefaultMaxBatchItems)
	setDefault(&opts.MaxWait, DefaultMaxWait)
	setDefault(&opts.MaxInFlightBytes, DefaultMaxInFlightBytes)
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	p := &Public{acceptor: acceptor, opts: opts, inFlight: admission.NewMemory(opts.MaxInFlightBytes)}
	p.plain = map[string]*telemetry.Route{openAPIPath: opts.Metrics.Route(openAPIPath), otherRoute: opts.Metrics.Route(otherRoute)}
	p.SetSources(nil)
	return p
}

// otherRoute stands in the metrics for every path that is no route.
const otherRoute = "other"

func setDefault[T int | int64 | time.Duration](value *T, byDefault T) {
	if *value <= 0 {
		*value = byDefault
	}
}

// SetSources replaces the sources. Requests that are under way go on with the old ones.
func (p *Public) SetSources(sources []Source) {
	routes := make(map[string]*route, 2*len(sources))
	for _, source := range sources {
		single, batch := source.Path, strings.TrimSuffix(source.Path, "/")+batchSuffix
		limiter := newLimiter(source)
		routes[single] = &route{source: source, limiter: limiter, metrics: p.opts.Metrics.Route(single)}
		routes[batch] = &route{source: source, batch: true, limiter: limiter, metrics: p.opts.Metrics.Route(batch)}
	}
	p.routes.Store(&routes)
}

// nosniff is one value for all answers. Nobody changes it.
var nosniff = []string{"nosniff"}

// ServeHTTP implements http.Handler.
func (p *Public) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header()["X-Content-Type-Options"] = nosniff
	if !r.ProtoAtLeast(1, 1) {
		w.Header().Set("Connection", "close") // see checkFraming
	}
	start, status := time.Now(), http.StatusInternalServerError
	found := (*p.routes.Load())[r.URL.Path]
	metrics := p.measures(found, r.URL.Path)
	metrics.Begin()
	defer func() { metrics.Done(r.Method, status, time.Since(start)) }() // after a panic too
	var err error
	if status, err = p.serve(w, r, found); err != nil {
		status = p.fail(w, r, err)
	}
}

func (p *Public) measures(found *route, path string) *telemetry.Route {
	switch {
	case found != nil:
		return found.metrics
	case path == openAPIPath:
		return p.plain[openAPIPath]
	}
	return p.plain[otherRoute]
}

// fail answers with the error.
func (p *Public) fail(w http.ResponseWriter, r *http.Request, err error) int {
	status, err := p.refusal(r.Method, err)
	writeProblem(w, err)
	return status
}

// refusal is the status of an error, and the error as it may be shown. Our own faults are logged.
func (p *Public) refusal(method string, err error) (int, error) {
	status, err := protocol.Refusal(err)
	if status == http.StatusInternalServerError {
		p.opts.Logger.Error("request failed", telemetry.KeyMethod, method, telemetry.KeyErr, err)
	}
	return status, err
}

// serve answers one request, or returns the error to answer with. to is nil where there is no source.
func (p *Public) serve(w http.ResponseWriter, r *http.Request, to *route) (status int, err error) {
	reading := r.Method == http.MethodGet || r.Method == http.MethodHead
	allow := "GET, HEAD, POST"
	switch {
	case to == nil && r.URL.Path != openAPIPath:
		return 0, &protocol.Error{Status: http.StatusNotFound, Detail: "there is no source at this path; the admin API lists them (/api/v1/status)"} // not here: a path can be a secret
	case to == nil && reading:
		writeBody(w, http.StatusOK, typeYAML, openAPI)
		return http.StatusOK, nil
	case to == nil:
		allow = "GET, HEAD"
	case to.batch && r.Method == http.MethodPost:
		return p.acceptBatch(w, r, to)
	case to.batch:
		allow = "POST"
	case r.Method == http.MethodPost:
		return p.acceptOne(w, r, to)
	case reading:
		writeJSON(w, http.StatusOK, stateOK)
		return http.StatusOK, nil
	}
	return 0, protocol.NotAllowed(r.Method, allow)
}

func (p *Public) acceptOne(w http.ResponseWriter, r *http.Request, to *route) (int, error) {
	wait := p.wanted(r)
	if len(to.source.Destinations) == 0 {
		wait = 0 // nobody would ever store it
	}
	if err := to.admit(1); err != nil {
		return 0, err
	}
	result, expected, err := p.accept(w, r, to, wait > 0)
	if expected != nil {
		defer expected.Close()
	}
	if err != nil {
		return 0, err
	}
	status := http.StatusAccepted
	if expected != nil {
		liftTimeouts(w) // the receipt is not to be lost because the wait was long
		if p.waitFor(r.Context(), expected, to.source.Destinations, wait) {
			status, result.Receipt.Status = http.StatusCreated, pillarbox.StateStored
		}
		w.Header().Set("Preference-Applied", "wait="+strconv.Itoa(int(wait.Seconds())))
	}
	w.Header()["X-Request-Id"] = []string{result.Receipt.RequestID}
	writeReceipt(w, status, result.Receipt)
	return status, nil
}

// accept reads the body and makes it durable. The memory of the body is given back before any wait for its
// delivery. The expectation is there if it was asked for and the event got its id.
func (p *Public) accept(w http.ResponseWriter, r *http.Request, to *route, expect bool) (result ingest.Result, expected Expectation, err error) {
	body, release, err := p.readBody(w, r, to.source.MaxBody, "sources."+to.source.Name+".max_body")
	defer release()
	if err != nil {
		return ingest.Result{}, nil, err
	}
	request := newRequest(r, to.source.Name)
	request.Body = body
	if expect {
		request.Stamped = func(key pillarbox.Key) { expected = p.opts.Waiter.Expect(key.RequestID) }
	}
	// The client may leave; what is being made durable is then still accepted.
	result = p.acceptor.AcceptInto(context.WithoutCancel(r.Context()), []ingest.Request{request}, nil)[0]
	return result, expected, result.Err
}

func (p *Public) waitFor(ctx context.Context, expected Expectation, destinations []string, wait time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return expected.Wait(ctx, destinations)
}

// wanted reads Prefer: wait=SECONDS (RFC 7240, section 4.3). What can't be read is ignored, as it asks.
func (p *Public) wanted(r *http.Request) time.Duration {
	if p.opts.Waiter == nil {
		return 0
	}
	for _, line := range r.Header.Values("Prefer") {
		for preference := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(preference), "=")
			if !strings.EqualFold(strings.TrimSpace(name), "wait") {
				continue
			}
			seconds, err := strconv.Atoi(strings.Trim(strings.TrimSpace(value), `"`))
			if err == nil && seconds > 0 {
				return min(time.Duration(seconds)*time.Second, p.opts.MaxWait)
			}
		}
	}
	return 0
}

// readBody reads the whole body. It is good only if it ended cleanly: a broken chunk, a length that is not
// met, or a client that left is an error, whatever had arrived. release gives its memory back to the limit
// and must be called in any case.
func (p *Public) readBody(w http.ResponseWriter, r *http.Request, limit int64, limitName string) (body []byte, release func(), err error) {
	none := func() {}
	if err := checkFraming(r); err != nil {
		return nil, none, err
	}
	if r.ContentLength > limit {
		w.Header().Set("Connection", "close") // the rest of the body is not read
		return nil, none, protocol.TooLarge(limit, limitName)
	}
	held := &heldBytes{memory: p.inFlight}
	from, most := r.Body, r.ContentLength
	if most < 0 {
		from, most = http.MaxBytesReader(w, r.Body, limit), limit
	}
	body, err = readAll(from, r.ContentLength, most, held)
	switch {
	case errors.Is(err, pillarbox.ErrFull):
		err = fmt.Errorf("bodies of %d bytes are in flight, which is the limit (http.max_in_flight_bytes): %w", p.opts.MaxInFlightBytes, err)
		return nil, held.release, &pillarbox.RetryAfterError{After: time.Second, Err: err}
	case err != nil:
		return nil, held.release, bodyError(err, limit, limitName)
	}
	return body, held.release, nil
}

// heldBytes is what one request holds of the memory for bodies.
type heldBytes struct {
	memory *admission.Memory
	bytes  int64
	pooled *[]byte // of bodies, or nil
}

// grow asks for n more.
func (h *heldBytes) grow(n int64) error {
	if !h.memory.Grow(h.bytes, h.bytes+n) {
		return pillarbox.ErrFull
	}
	h.bytes += n
	return nil
}

func (h *heldBytes) release() {
	h.memory.Shrink(h.bytes)
	h.bytes = 0
	if h.pooled != nil {
		bodies.Put(h.pooled)
		h.pooled = nil
	}
}

// bodies is memory to be used again, of bodyBytes each: a batch of a thousand events of 200 bytes fits. What is much
// smaller gets memory of its own, and so does what is larger.
var bodies = sync.Pool{New: func() any {
	memory := make([]byte, bodyBytes)
	return &memory
}}

const bodyBytes = 256 << 10

// room moves a body into memory of a larger size.
func (h *heldBytes) room(body []byte, size int64) ([]byte, error) {
	again := size > bodyBytes/4 && size <= bodyBytes
	if again {
		size = bodyBytes
	}
	if err := h.grow(size - int64(cap(body))); err != nil {
		return nil, err
	}
	if !again {
		return append(make([]byte, 0, size), body...), nil
	}
	h.pooled = bodies.Get().(*[]byte)
	return append((*h.pooled)[:0], body...), nil
}

// firstBody is the memory that a body gets before any of it has arrived. It grows with what arrives, and not
// with what was announced: a sender that announces much and sends little holds little.
const firstBody = 512

// readAll reads to the end of the body. Only io.EOF is the end; length is -1 where none was announced. It takes
// no more memory than most and one byte, to see that the body ends there.
func readAll(from io.Reader, length, most int64, held *heldBytes) ([]byte, error) {
	var body []byte
	for {
		if len(body) == cap(body) {
			size := max(min(max(2*int64(cap(body)), firstBody), most+1), int64(len(body))+1)
			var err error
			if body, err = held.room(body, size); err != nil {
				return nil, err
			}
		}
		n, err := from.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case errors.Is(err, io.EOF) && length >= 0 && int64(len(body)) != length:
			return nil, fmt.Errorf("%d bytes came where %d were announced", len(body), length)
		case errors.Is(err, io.EOF):
			return body, nil
		case err != nil:
			return nil, err
		}
	}
}

var errTooSlow = &protocol.Error{Status: http.StatusRequestTimeout, Detail: "the body did not arrive in time (http.read_timeout); nothing was stored"}

func bodyError(err error, limit int64, limitName string) error {
	var over *http.MaxBytesError
	var slow net.Error
	var ours *protocol.Error
	switch {
	case errors.As(err, &over):
		return protocol.TooLarge(limit, limitName)
	case errors.As(err, &ours) && ours.Status == http.StatusRequestTimeout:
		return ours // it came more slowly than it may
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &slow) && slow.Timeout():
		return errTooSlow
	}
	return &protocol.Error{Status: http.StatusBadRequest, Detail: "the body did not end cleanly: " + err.Error() + "; nothing was stored"}
}

// checkFraming refuses what may be read in two ways by two servers in a row. For HTTP/1.0, net/http ignores
// Transfer-Encoding and hides it: without a Content-Length, a chunked body would count as empty and its bytes
// as the next request. So the length must be there, and the connection ends after the answer.
func checkFraming(r *http.Request) error {
	if !r.ProtoAtLeast(1, 1) && (len(r.TransferEncoding) > 0 || r.Header.Get("Content-Length") == "") {
		return invalid("a body in HTTP/1.0 needs a Content-Length, and Transfer-Encoding is not possible; use HTTP/1.1")
	}
	return protocol.CheckEncoding(r.Header.Values("Content-Encoding"))
}

// newRequest takes over everything but the body.
func newRequest(r *http.Request, source string) ingest.Request {
	header := make(pillarbox.Header, 0, len(r.Header))
	for name, values := range r.Header {
		for _, value := range values {
			header = append(header, pillarbox.HeaderField{Name: name, Value: value})
		}
	}
	slices.SortStableFunc(header, func(a, b pillarbox.HeaderField) int { return strings.Compare(a.Name, b.Name) })
	address, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		address = r.RemoteAddr
	}
	return ingest.Request{
		Source: source, Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Header: header,
		ContentType: r.Header.Get("Content-Type"), RemoteAddr: address, Traceparent: r.Header.Get("Traceparent"),
	}
}

// writeReceipt writes a receipt without reflection: it is the answer to nearly every request.
func writeReceipt(w http.ResponseWriter, status int, receipt pillarbox.Receipt) {
	body, err := protocol.AppendReceipt(make([]byte, 0, 160), receipt)
	if err != nil {
		panic("pillarbox: bug: a receipt can't be encoded: " + err.Error())
	}
	writeBody(w, status, typeJSON, append(body, '\n'))
}
