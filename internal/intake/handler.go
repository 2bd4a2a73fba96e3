package intake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"pillarbox"
	"pillarbox/internal/admission"
	"pillarbox/internal/ingest"
	"pillarbox/internal/openapi"
	"pillarbox/internal/protocol"
	"pillarbox/internal/proxy"
	"pillarbox/internal/source"
	"pillarbox/internal/telemetry"
)

// Waiter waits for the delivery of one event that is about to be accepted.
type Waiter interface {
	// Expect begins to watch for the event, and returns nil where nobody would ever store it.
	Expect(event *pillarbox.Event) Expectation
}

// Expectation is the watch for one event.
type Expectation interface {
	// Wait returns true once every destination that takes the event has stored it.
	Wait(ctx context.Context) bool
	Close()
}

// The defaults of Options.
const (
	DefaultMaxBatchBytes    = 16 << 20
	DefaultMaxBatchItems    = 10_000
	DefaultMaxWait          = 30 * time.Second
	DefaultMaxInFlightBytes = 256 << 20

	DefaultNoSource = "there is no source at this path; the admin API lists them (/api/v1/status)"
)

// Options of a Handler. Acceptor and Sources are required; zero means the default.
type Options struct {
	Acceptor      ingest.Acceptor
	Sources       *source.Sources
	Memory        *admission.Memory // of bodies; more is answered with 503. Default: DefaultMaxInFlightBytes for this handler alone
	MaxBatchBytes int64             // body of a batch
	MaxBatchItems int               // items of a batch
	MaxWait       time.Duration     // longest Prefer: wait
	Trusted       *proxy.Trusted    // whose headers say who a request is from; nil: nobody's
	ReadyPath     string            // that says whether the server accepts; empty for none
	Ready         func() error      // why it does not; nil where it does
	Waiter        Waiter            // nil: Prefer: wait is ignored
	NoSource      string            // what is said of a path that leads nowhere; DefaultNoSource by default
	Logger        *slog.Logger      // nil: discard
	Metrics       *telemetry.Metrics
	Traces        *telemetry.Traces // of what sources have let in; nil: nothing is recorded
	Access        *telemetry.Access // of every answer; nil: nothing is written
}

// Handler is the handler of the public listener.
type Handler struct {
	opts  Options
	plain map[string]*telemetry.Route // of what is no source
}

// New makes the handler.
func New(opts Options) *Handler {
	setDefault(&opts.MaxBatchBytes, DefaultMaxBatchBytes)
	setDefault(&opts.MaxBatchItems, DefaultMaxBatchItems)
	setDefault(&opts.MaxWait, DefaultMaxWait)
	opts.NoSource = cmp.Or(opts.NoSource, DefaultNoSource)
	if opts.Memory == nil {
		opts.Memory = admission.NewMemory(DefaultMaxInFlightBytes)
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	h := &Handler{opts: opts, plain: map[string]*telemetry.Route{
		openapi.Path: opts.Metrics.Route(openapi.Path), otherRoute: opts.Metrics.Route(otherRoute),
	}}
	if opts.ReadyPath != "" {
		h.plain[opts.ReadyPath] = opts.Metrics.Route(opts.ReadyPath)
	}
	return h
}

// otherRoute stands in the metrics for every path that is no route.
const otherRoute = "other"

func setDefault[T int | int64 | time.Duration](value *T, byDefault T) {
	if *value <= 0 {
		*value = byDefault
	}
}

// nosniff is one value for all answers. Nobody changes it.
var nosniff = []string{"nosniff"}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header()["X-Content-Type-Options"] = nosniff
	if !r.ProtoAtLeast(1, 1) {
		w.Header().Set("Connection", "close") // see checkFraming
	}
	status := http.StatusInternalServerError
	found := h.route(r)
	x := &exchange{to: found, began: time.Now()}
	metrics := h.measures(found, r.URL.Path)
	metrics.Begin()
	defer func() { // after a panic too
		ended := time.Now()
		if x.span == nil {
			metrics.Done(r.Method, status, ended.Sub(x.began))
		} else {
			metrics.DoneIn(x.span.TraceID(), r.Method, status, ended.Sub(x.began))
		}
		x.span.Answered(status, x.requestID, ended)
		if h.opts.Access != nil {
			h.logAccess(w, r, x, status, ended)
		}
	}()
	if found != nil {
		found.Source.AllowOrigin(w.Header(), originOf(r))
	}
	var err error
	if status, err = h.serve(w, r, x); err != nil {
		status = h.fail(w, r, x, err)
		if found != nil && status >= http.StatusBadRequest {
			found.Source.Metrics().Refused(status, 1)
		}
	}
}

// originOf is the part of a header that says of which site's page a request is.
func originOf(r *http.Request) (header pillarbox.Header) {
	for _, value := range r.Header["Origin"] {
		header = append(header, pillarbox.HeaderField{Name: "Origin", Value: value})
	}
	return header
}

// route finds where a request leads. The document is in front of sources that take all paths.
func (h *Handler) route(r *http.Request) *source.Route {
	table := h.opts.Sources.Table()
	if r.URL.Path == source.CanaryPath {
		if canary := table.Canary(r.Header.Get(source.CanarySignature)); canary != nil {
			return canary
		}
	}
	found := table.Route(r.URL.Path, r.URL.EscapedPath())
	if found != nil && r.URL.Path == openapi.Path && found.Path != openapi.Path {
		return nil
	}
	return found
}

func (h *Handler) measures(found *source.Route, path string) *telemetry.Route {
	switch {
	case found != nil:
		return found.Metrics
	case h.plain[path] != nil && path != otherRoute:
		return h.plain[path]
	}
	return h.plain[otherRoute]
}

// serve answers one request, or returns the error to answer with.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request,
	x *exchange) (status int, err error) {
	to := x.to
	switch {
	case to == nil && h.opts.ReadyPath != "" && r.URL.Path == h.opts.ReadyPath:
		return h.serveReady(w, r)
	case to == nil && r.URL.Path != openapi.Path:
		return 0, &protocol.Error{Status: http.StatusNotFound, Detail: h.opts.NoSource} // not which there are: a path can be a secret
	case to == nil && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		protocol.WriteBody(w, http.StatusOK, openapi.Type, openapi.Document)
		return http.StatusOK, nil
	case to == nil:
		return 0, protocol.NotAllowed(r.Method, "GET, HEAD")
	case to.Batch, r.Method == http.MethodPost && to.Source.IsEventBatch(r.Header.Get("Content-Type")):
		return h.acceptBatch(w, r, x)
	}
	return h.acceptOne(w, r, x)
}

// serveReady says whether the server accepts. Why not is for the admin API alone.
func (h *Handler) serveReady(w http.ResponseWriter, r *http.Request) (int, error) {
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return 0, protocol.NotAllowed(r.Method, "GET, HEAD")
	case h.opts.Ready() != nil:
		return 0, &protocol.Error{Status: http.StatusServiceUnavailable,
			Detail: "the server can't accept now; the admin API says why (/readyz)"}
	}
	protocol.WriteJSON(w, http.StatusOK, protocol.OK)
	return http.StatusOK, nil
}

func (h *Handler) acceptOne(w http.ResponseWriter, r *http.Request, x *exchange) (int, error) {
	to := x.to
	head := h.headOf(r)
	admission, err := admit(w, to.Source, head)
	if err != nil {
		return 0, err
	}
	wait := h.wanted(r)
	result, expected, err := h.accept(w, r, x, head, admission, wait > 0)
	if expected != nil {
		defer expected.Close()
	}
	if err != nil {
		return 0, err
	}
	stored := false
	if expected != nil {
		protocol.LiftTimeouts(w) // the receipt is not to be lost because the wait was long
		if stored = waitFor(r.Context(), expected, wait); stored {
			result.Receipt.Status = pillarbox.StateStored
		}
		w.Header().Set("Preference-Applied", "wait="+strconv.Itoa(int(wait.Seconds())))
	}
	if result.Replayed {
		w.Header().Set(pillarbox.HeaderReplayed, "true")
	}
	w.Header()["X-Request-Id"] = []string{result.Receipt.RequestID}
	return writeAccepted(w, to.Source.Accepted(), stored, result.Receipt), nil
}

// admit asks the source. Nothing is read of the body of somebody who is not known.
func admit(w http.ResponseWriter, to *source.Source, head *source.Head) (source.Admission, error) {
	admission, err := to.Admit(head)
	if err != nil && protocol.StatusOf(err) == http.StatusUnauthorized {
		w.Header().Set("Connection", "close") // net/http would read it first, to keep the connection
	}
	return admission, err
}

// accept reads the body and makes it durable. The memory of the body is given back before any wait
// for its delivery. The expectation is there if it was asked for, the event got its id, and some
// destination takes it.
func (h *Handler) accept(w http.ResponseWriter, r *http.Request, x *exchange,
	head *source.Head, admission source.Admission, expect bool) (result ingest.Result, expected Expectation, err error) {
	body, room, release, err := h.readBody(w, r, x.to.Source.MaxBody, x.to.Source.MaxBodyKey())
	defer release()
	if err != nil {
		return ingest.Result{}, nil, err
	}
	head.Room = room
	grant, body, err := admission.One(head, body)
	if err != nil {
		return ingest.Result{}, nil, err
	}
	grant.Quota().SetHeader(w.Header())
	request := h.newRequest(r, x, head, grant)
	request.Body = body
	if expect {
		request.Stamped = func(event *pillarbox.Event) { expected = h.opts.Waiter.Expect(event) }
	}
	// The client may leave; what is being made durable is then still accepted.
	result = h.opts.Acceptor.AcceptInto(context.WithoutCancel(r.Context()), []ingest.Request{request},
		nil)[0]
	x.requestID = result.Receipt.RequestID
	return result, expected, result.Err
}

func waitFor(ctx context.Context, expected Expectation, wait time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return expected.Wait(ctx)
}

// Waits reports whether it matters that the client of a request leaves before it is answered: where
// that waits for the delivery.
func (h *Handler) Waits(r *http.Request) bool { return h.wanted(r) > 0 }

// wanted reads Prefer: wait=SECONDS (RFC 7240, section 4.3). What can't be read is ignored, as it
// asks.
func (h *Handler) wanted(r *http.Request) time.Duration {
	if h.opts.Waiter == nil {
		return 0
	}
	for value := range preferences(r, "wait") {
		if seconds, err := strconv.Atoi(value); err == nil && seconds > 0 {
			return min(time.Duration(seconds)*time.Second, h.opts.MaxWait)
		}
	}
	return 0
}

// preferences are the values of a preference in the header Prefer (RFC 7240, section 2).
func preferences(r *http.Request, wanted string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, line := range r.Header.Values("Prefer") {
			for preference := range strings.SplitSeq(line, ",") {
				preference, _, _ = strings.Cut(preference, ";") // parameters
				name, value, _ := strings.Cut(strings.TrimSpace(preference), "=")
				if strings.EqualFold(strings.TrimSpace(name), wanted) &&
					!yield(strings.Trim(strings.TrimSpace(value), `"`)) {
					return
				}
			}
		}
	}
}

// readBody reads the whole body. It is good only if it ended cleanly: a broken chunk, a length that
// is not met, or a client that left is an error, whatever had arrived. room asks for more memory of the
// request, for what is decoded of the body. release gives its memory
// back to the limit and must be called in any case.
func (h *Handler) readBody(w http.ResponseWriter, r *http.Request, limit int64,
	limitName string) (body []byte, room func(int64) error, release func(), err error) {
	none := func() {}
	if err := checkFraming(r); err != nil {
		return nil, nil, none, err
	}
	if r.ContentLength > limit {
		w.Header().Set("Connection", "close") // the rest of the body is not read
		return nil, nil, none, protocol.TooLarge(limit, limitName)
	}
	held := &heldBytes{memory: h.opts.Memory}
	from, most := r.Body, r.ContentLength
	if most < 0 {
		from, most = http.MaxBytesReader(w, r.Body, limit), limit
	}
	body, err = readAll(from, r.ContentLength, most, held)
	switch {
	case errors.Is(err, pillarbox.ErrFull):
		return nil, nil, held.release, h.errInFlight()
	case err != nil:
		return nil, nil, held.release, protocol.BodyError(err, limit, limitName)
	}
	more := func(bytes int64) error {
		if held.grow(bytes) != nil {
			return h.errInFlight()
		}
		return nil
	}
	return body, more, held.release, nil
}

func (h *Handler) errInFlight() error {
	err := fmt.Errorf("bodies of %d bytes are in flight, which is the limit (http.max_in_flight_bytes): %w",
		h.opts.Memory.Limit(), pillarbox.ErrFull)
	return &pillarbox.RetryAfterError{After: time.Second, Err: err}
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

// bodies is memory to be used again, of bodyBytes each: a batch of a thousand events of 200 bytes
// fits. What is much smaller gets memory of its own, and so does what is larger.
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

// firstBody is the memory that a body gets before any of it has arrived. It grows with what
// arrives, and not with what was announced: a sender that announces much and sends little holds
// little.
const firstBody = 512

// readAll reads to the end of the body. Only io.EOF is the end; length is -1 where none was
// announced. It takes no more memory than most and one byte, to see that the body ends there.
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

// checkFraming refuses what may be read in two ways by two servers in a row. For HTTP/1.0, net/http
// ignores Transfer-Encoding and hides it: without a Content-Length, a chunked body would count as
// empty and its bytes as the next request. So the length must be there, and the connection ends
// after the answer.
func checkFraming(r *http.Request) error {
	if !r.ProtoAtLeast(1, 1) && (len(r.TransferEncoding) > 0 || r.Header.Get("Content-Length") == "") {
		return protocol.Invalid("a body in HTTP/1.0 needs a Content-Length, and Transfer-Encoding is not possible; use HTTP/1.1")
	}
	return nil
}

// headOf is what a source is asked about.
func (h *Handler) headOf(r *http.Request) *source.Head {
	header := headerOf(r)
	return &source.Head{
		Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Header: header,
		RemoteAddr: h.opts.Trusted.Client(addressOf(r), header), Certificate: source.CertificateOf(r.TLS),
		ContentEncoding: r.Header.Values("Content-Encoding"), MayWait: true,
	}
}

// newRequest takes over everything but the body, and begins the span of the request, where it is to be
// recorded.
func (h *Handler) newRequest(r *http.Request, x *exchange, head *source.Head,
	grant source.Grant) ingest.Request {
	h.record(r, x, head.Header)
	return ingest.Request{
		Span:  x.span,
		Grant: grant, Method: head.Method, Path: head.Path, Query: head.Query, Header: head.Header,
		ContentType: r.Header.Get("Content-Type"), RemoteAddr: head.RemoteAddr, Traceparent: r.Header.Get(
			"Traceparent"),
	}
}

// headerOf sorts the header by name: net/http does not tell in which order the lines came.
func headerOf(r *http.Request) pillarbox.Header {
	header := make(pillarbox.Header, 0, len(r.Header))
	for name, values := range r.Header {
		for _, value := range values {
			header = append(header, pillarbox.HeaderField{Name: name, Value: value})
		}
	}
	slices.SortStableFunc(header, func(a,
		b pillarbox.HeaderField) int {
		return strings.Compare(a.Name, b.Name)
	})
	return header
}

// addressOf is the IP address of the connection.
func addressOf(r *http.Request) string {
	address, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return proxy.Unix // of such a connection, net/http says nothing of use
	}
	return address
}

// writeAccepted answers as the source does, and returns the status.
func writeAccepted(w http.ResponseWriter, answer *source.Answer, stored bool,
	receipt pillarbox.Receipt) int {
	status := answer.StatusOf(stored)
	switch {
	case answer.Receipt:
		writeReceipt(w, status, receipt)
	case answer.ContentType == "":
		protocol.WriteEmpty(w, status)
	default:
		protocol.WriteBody(w, status, answer.ContentType, answer.Body)
	}
	return status
}

// writeReceipt writes a receipt without reflection: it is the answer to nearly every request.
func writeReceipt(w http.ResponseWriter, status int, receipt pillarbox.Receipt) {
	body, err := protocol.AppendReceipt(make([]byte, 0, 160), receipt)
	if err != nil {
		panic("pillarbox: bug: a receipt can't be encoded: " + err.Error())
	}
	protocol.WriteBody(w, status, protocol.TypeJSON, append(body, '\n'))
}
