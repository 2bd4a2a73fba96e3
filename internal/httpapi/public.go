package httpapi

import (
	"context"
	"encoding/json"
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
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"pillarbox"
	"pillarbox/internal/ingest"
	"pillarbox/internal/telemetry"
)

// Acceptor makes requests durable. It is ingest.Acceptor.
type Acceptor interface {
	Accept(ctx context.Context, requests []ingest.Request) []ingest.Result
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
	Name         string
	Path         string
	MaxBody      int64    // bytes
	Destinations []string // for Prefer: wait
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
	inFlight *semaphore.Weighted
	routes   atomic.Pointer[map[string]*route]
}

// route is one path of a source.
type route struct {
	source  Source
	batch   bool
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
	p := &Public{acceptor: acceptor, opts: opts, inFlight: semaphore.NewWeighted(opts.MaxInFlightBytes)}
	p.SetSources(nil)
	return p
}

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
		routes[single] = &route{source: source, metrics: p.opts.Metrics.Route(single)}
		routes[batch] = &route{source: source, batch: true, metrics: p.opts.Metrics.Route(batch)}
	}
	p.routes.Store(&routes)
}

// ServeHTTP implements http.Handler.
func (p *Public) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	found := (*p.routes.Load())[r.URL.Path]
	if found == nil {
		writeProblem(w, &statusError{status: http.StatusNotFound, detail: fmt.Sprintf("there is no source at this path; the paths are %s", p.paths())})
		return
	}
	start := time.Now()
	found.metrics.Begin()
	status, err := p.serve(w, r, found)
	if err != nil {
		status = statusOf(err)
		if status == http.StatusInternalServerError {
			p.opts.Logger.Error("request failed", telemetry.KeySource, found.source.Name, telemetry.KeyErr, err)
		}
		writeProblem(w, err)
	}
	found.metrics.Done(r.Method, status, time.Since(start))
}

func (p *Public) paths() string {
	var paths []string
	for path := range *p.routes.Load() {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return strings.Join(paths, ", ")
}

// serve answers one request, or returns the error to answer with.
func (p *Public) serve(w http.ResponseWriter, r *http.Request, to *route) (status int, err error) {
	switch {
	case r.Method == http.MethodPost && to.batch:
		return p.acceptBatch(w, r, to)
	case r.Method == http.MethodPost:
		return p.acceptOne(w, r, to)
	case (r.Method == http.MethodGet || r.Method == http.MethodHead) && !to.batch:
		return writeJSON(w, http.StatusOK, map[string]string{"status": "ok"}), nil
	}
	allow := "GET, HEAD, POST"
	if to.batch {
		allow = "POST"
	}
	return 0, &statusError{status: http.StatusMethodNotAllowed, allow: allow, detail: fmt.Sprintf("%s is not possible here; use %s", r.Method, allow)}
}

func (p *Public) acceptOne(w http.ResponseWriter, r *http.Request, to *route) (int, error) {
	body, release, err := p.readBody(w, r, to.source.MaxBody, "sources."+to.source.Name+".max_body")
	defer release()
	if err != nil {
		return 0, err
	}
	request := newRequest(r, to.source.Name)
	request.Body = body
	wait := p.wanted(r)
	var expected Expectation
	if wait > 0 {
		request.Stamped = func(key pillarbox.Key) { expected = p.opts.Waiter.Expect(key.RequestID) }
	}
	// The client may leave; what is being made durable is then still accepted.
	result := p.acceptor.Accept(context.WithoutCancel(r.Context()), []ingest.Request{request})[0]
	if expected != nil {
		defer expected.Close()
	}
	if result.Err != nil {
		return 0, result.Err
	}
	status := http.StatusAccepted
	if expected != nil && p.waitFor(r.Context(), expected, to.source.Destinations, wait) {
		status, result.Receipt.Status = http.StatusCreated, pillarbox.StateStored
	}
	if wait > 0 {
		w.Header().Set("Preference-Applied", "wait="+strconv.Itoa(int(wait.Seconds())))
	}
	w.Header().Set("X-Request-Id", result.Receipt.RequestID)
	return writeReceipt(w, status, result.Receipt), nil
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
		return nil, none, tooLarge(limit, limitName)
	}
	reserve := r.ContentLength
	if reserve < 0 {
		reserve = limit
	}
	if !p.inFlight.TryAcquire(reserve) {
		err := fmt.Errorf("bodies of %d bytes are in flight, which is the limit (http.max_in_flight_bytes): %w", p.opts.MaxInFlightBytes, pillarbox.ErrFull)
		return nil, none, &pillarbox.RetryAfterError{After: time.Second, Err: err}
	}
	release = func() { p.inFlight.Release(reserve) }
	body, err = readAll(http.MaxBytesReader(w, r.Body, limit), r.ContentLength)
	if err != nil {
		return nil, release, bodyError(err, limit, limitName)
	}
	return body, release, nil
}

func readAll(from io.Reader, length int64) ([]byte, error) {
	if length < 0 {
		return io.ReadAll(from)
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(from, body); err != nil {
		return nil, err
	}
	// One more read sees the end of the body, or that it goes on.
	if n, err := from.Read(make([]byte, 1)); n != 0 || (err != nil && !errors.Is(err, io.EOF)) {
		return nil, fmt.Errorf("body is longer than its Content-Length: %w", err)
	}
	return body, nil
}

func tooLarge(limit int64, name string) error {
	return &statusError{status: http.StatusRequestEntityTooLarge, detail: fmt.Sprintf("the body is over the limit of %d bytes (%s)", limit, name)}
}

func bodyError(err error, limit int64, limitName string) error {
	var over *http.MaxBytesError
	var slow net.Error
	switch {
	case errors.As(err, &over):
		return tooLarge(limit, limitName)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &slow) && slow.Timeout():
		return &statusError{status: http.StatusRequestTimeout, detail: "the body did not arrive in time (http.read_timeout); nothing was stored"}
	}
	return &statusError{status: http.StatusBadRequest, detail: "the body did not end cleanly: " + err.Error() + "; nothing was stored"}
}

// checkFraming refuses what may be read in two ways by two servers in a row.
func checkFraming(r *http.Request) error {
	if len(r.TransferEncoding) > 0 && !r.ProtoAtLeast(1, 1) {
		return &statusError{status: http.StatusBadRequest, detail: "Transfer-Encoding is not possible with HTTP/1.0"}
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return &statusError{status: http.StatusUnsupportedMediaType, detail: fmt.Sprintf("Content-Encoding %q is not supported; send the body as it is", encoding)}
	}
	return nil
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
func writeReceipt(w http.ResponseWriter, status int, receipt pillarbox.Receipt) int {
	body, err := appendReceipt(make([]byte, 0, 160), receipt)
	if err != nil {
		panic("pillarbox: bug: a receipt has no timestamp: " + err.Error())
	}
	body = append(body, '\n')
	header := w.Header()
	header["Content-Type"] = jsonType
	header["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone if this fails; the event is accepted all the same
	return status
}

var jsonType = []string{"application/json"}

func appendReceipt(b []byte, receipt pillarbox.Receipt) ([]byte, error) {
	b = append(b, `{"request_id":`...)
	b = strconv.AppendQuote(b, receipt.RequestID)
	b = append(b, `,"timestamp":"`...)
	b, err := receipt.Timestamp.AppendText(b)
	b = append(b, `","status":"`...)
	b = append(b, receipt.Status...)
	return append(b, `"}`...), err
}

// writeJSON writes a value with its length.
func writeJSON(w http.ResponseWriter, status int, value any) int {
	body, err := json.Marshal(value)
	if err != nil {
		panic("pillarbox: bug: an answer can't be encoded: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client is gone if this fails
	return status
}
