package adminclient

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"sync"

	"pillarbox"
)

// InProcess returns an HTTP client whose requests go straight to the handler, whatever their host.
// Answers are streamed. The handler runs until it returns, its request's context ends, or the body
// of the answer is closed; closing waits for it.
func InProcess(handler http.Handler) *http.Client {
	return &http.Client{
		Transport:     inProcess{handler},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

type inProcess struct {
	handler http.Handler
}

// RoundTrip implements http.RoundTripper.
func (p inProcess) RoundTrip(request *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(request.Context())
	reader, writer := io.Pipe()
	e := &exchange{
		header: http.Header{}, reader: reader, writer: writer, cancel: cancel, head: request.Method == http.MethodHead,
		started: make(chan struct{}), done: make(chan struct{}),
	}
	go e.run(p.handler, served(ctx, request)) // ended and waited for by Close
	select {
	case <-e.started:
	case <-ctx.Done():
	}
	// A handler that ends because its context has makes both happen: what it answers then is no
	// answer.
	if err := ctx.Err(); err != nil {
		_ = e.Close()
		return nil, err
	}
	return e.response(request), nil
}

// served is the request as a server sees it.
func served(ctx context.Context, request *http.Request) *http.Request {
	r := request.Clone(ctx)
	r.RequestURI, r.RemoteAddr = r.URL.RequestURI(), "127.0.0.1:0"
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1
	if r.Host == "" {
		r.Host = r.URL.Host
	}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	return r
}

// exchange is one request and its answer. It is the writer for the handler and the body for the
// client.
type exchange struct {
	header  http.Header // the handler's
	reader  *io.PipeReader
	writer  *io.PipeWriter
	cancel  context.CancelFunc
	head    bool
	once    sync.Once
	status  int           // set before started is closed
	sent    http.Header   // likewise
	started chan struct{} // closed when the status is known
	done    chan struct{} // closed when the handler has returned
}

func (e *exchange) run(handler http.Handler, r *http.Request) {
	defer close(e.done)
	defer func() {
		if fault := recover(); fault != nil {
			_ = e.writer.CloseWithError(fmt.Errorf("handler: %v", fault))
			e.WriteHeader(http.StatusInternalServerError)
			return
		}
		e.WriteHeader(http.StatusOK)
		_ = e.writer.Close()
	}()
	defer r.Body.Close()
	handler.ServeHTTP(e, r)
}

// Header implements http.ResponseWriter.
func (e *exchange) Header() http.Header { return e.header }

// WriteHeader implements http.ResponseWriter. Only the first status counts.
func (e *exchange) WriteHeader(status int) {
	e.once.Do(func() {
		e.status, e.sent = status, maps.Clone(e.header)
		close(e.started)
	})
}

// Write implements http.ResponseWriter. It returns when the client has read.
func (e *exchange) Write(text []byte) (int, error) {
	e.WriteHeader(http.StatusOK)
	if e.head || len(text) == 0 { // an empty write would wait for a reader
		return len(text), nil
	}
	return e.writer.Write(text)
}

// Flush implements http.Flusher. Nothing is held back.
func (e *exchange) Flush() { e.WriteHeader(http.StatusOK) }

// Read is that of the body.
func (e *exchange) Read(text []byte) (int, error) { return e.reader.Read(text) }

// Close ends the exchange.
func (e *exchange) Close() error {
	e.cancel()
	_ = e.reader.CloseWithError(pillarbox.ErrClosed) // a handler that still writes sees it
	<-e.done
	return nil
}

func (e *exchange) response(request *http.Request) *http.Response {
	length := int64(-1)
	if n, err := strconv.ParseInt(e.sent.Get("Content-Length"), 10, 64); err == nil {
		length = n
	}
	return &http.Response{
		Status: strconv.Itoa(e.status) + " " + http.StatusText(e.status), StatusCode: e.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: e.sent, Body: e, ContentLength: length, Request: request,
	}
}
