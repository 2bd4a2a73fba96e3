package express_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/engine/memory"
	"pillarbox/internal/express"
	"pillarbox/internal/framing"
	"pillarbox/internal/ingest"
	"pillarbox/internal/intake"
	"pillarbox/internal/source"
	"pillarbox/internal/telemetry"
)

// box is the fast way in, with net/http behind it for what is handed over, on a queue in memory.
type box struct {
	t       *testing.T
	queue   *memory.Queue
	accept  *gate
	public  *intake.Handler
	server  *express.Server
	web     *http.Server
	addr    string
	sources *source.Sources
	moved   atomic.Int64 // requests that net/http has answered

	connState func(conn net.Conn, state http.ConnState) // of net/http; to be set before start
	ended     chan error                                // what Run and Serve return
}

const (
	testMaxBody = 1000
	destination = "events"
)

// gate is an Acceptor that can be held and can be made to fail.
type gate struct {
	*ingest.Ingest
	held  chan struct{} // while it is open, accepting waits for it
	calls atomic.Int64
	hold  func(call int64) // is called by each call, counted from 1; it may wait
}

func (g *gate) AcceptInto(ctx context.Context, requests []ingest.Request,
	results []ingest.Result) []ingest.Result {
	g.pass()
	return g.Ingest.AcceptInto(ctx, requests, results)
}

func (g *gate) AcceptBatch(ctx context.Context, all ingest.Request, bodies [][]byte,
	results []ingest.Result) []ingest.Result {
	g.pass()
	return g.Ingest.AcceptBatch(ctx, all, bodies, results)
}

func (g *gate) pass() {
	call := g.calls.Add(1)
	if g.hold != nil {
		g.hold(call)
	}
	if g.held != nil {
		<-g.held
	}
}

// open starts a box. It is stopped when the test ends, and must then leave no goroutine and no
// descriptor.
func open(t *testing.T, opts express.Options) *box {
	t.Helper()
	b := prepare(t)
	b.start(opts)
	return b
}

func prepare(t *testing.T) *box {
	b := &box{t: t, queue: memory.NewQueue(nil), ended: make(chan error, 2)}
	if _, err := b.queue.Account(destination); err != nil {
		t.Fatal(err)
	}
	b.accept = &gate{Ingest: ingest.New(b.queue, ingest.Options{})}
	b.sources = source.NewSources(compile(t, nil,
		source.Settings{Name: "app", Path: "/app", MaxBody: testMaxBody},
		source.Settings{Name: "large", Path: "/large"}))
	b.public = intake.New(intake.Options{Acceptor: b.accept, Sources: b.sources})
	return b
}

func compile(t *testing.T, metrics *telemetry.Metrics, settings ...source.Settings) *source.Table {
	t.Helper()
	table, err := source.Compile(settings, source.Options{Metrics: metrics})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func (b *box) start(opts express.Options) {
	b.t.Helper()
	goroutines, files := runtime.NumGoroutine(), openFiles(b.t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	b.addr = listener.Addr().String()
	opts.Acceptor, opts.Problem, opts.Sources = b.accept, problem, b.sources
	if b.server, err = express.New([]express.Listener{{Listener: listener}}, opts); err != nil {
		b.t.Fatal(err)
	}
	b.web = &http.Server{ConnState: b.connState, ReadHeaderTimeout: opts.ReadHeaderTimeout,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b.moved.Add(1)
			b.public.ServeHTTP(w, r)
		})}
	go func() { b.ended <- b.server.Run(context.Background()) }()
	go func() {
		if b.connState != nil {
			b.ended <- b.web.Serve(b.server.HandedOver()) // what is handed over, as it is
			return
		}
		b.ended <- framing.Serve(b.web, b.server.HandedOver(),
			framing.Options{MaxHeaderBytes: opts.MaxHeaderBytes})
	}()
	b.t.Cleanup(func() { b.stop(goroutines, files) })
}

func (b *box) stop(goroutines, files int) {
	for range 2 {
		if err := errors.Join(b.server.Close(), b.web.Close()); err != nil {
			b.t.Error(err)
		}
	}
	for range 2 {
		if err := <-b.ended; err != nil && !errors.Is(err, net.ErrClosed) &&
			!errors.Is(err, http.ErrServerClosed) {
			b.t.Error(err)
		}
	}
	eventually(b.t, "goroutines and descriptors are given back", func() bool {
		return runtime.NumGoroutine() <= goroutines && openFiles(b.t) <= files
	})
	if err := b.queue.Close(); err != nil {
		b.t.Error(err)
	}
}

// problem makes the answers of intake: it lets the public handler answer a request that ends in the
// error.
func problem(err error) (int, http.Header, []byte) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return http.StatusRequestTimeout, http.Header{}, []byte(err.Error())
	}
	table, compiling := source.Compile([]source.Settings{{Name: "app", Path: "/app",
		MaxBody: testMaxBody}}, source.Options{})
	if compiling != nil {
		panic(compiling)
	}
	public := intake.New(intake.Options{Acceptor: failing{err}, Sources: source.NewSources(table)})
	recorder := httptest.NewRecorder()
	public.ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, "/app", nil))
	recorder.Header().Del("Content-Length")
	return recorder.Code, recorder.Header(), recorder.Body.Bytes()
}

type failing struct{ err error }

func (f failing) AcceptInto(context.Context, []ingest.Request, []ingest.Result) []ingest.Result {
	return []ingest.Result{{Err: f.err}}
}

func (f failing) AcceptBatch(context.Context, ingest.Request, [][]byte,
	[]ingest.Result) []ingest.Result {
	return []ingest.Result{{Err: f.err}}
}

// eventually waits for what another goroutine, or the kernel, is about to do.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("not so after 10 s: %s", what)
		}
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// queued returns what was stored, in order.
func (b *box) queued() []*pillarbox.Event {
	b.t.Helper()
	var events []*pillarbox.Event
	err := b.queue.Scan(context.Background(), destination,
		func(event *pillarbox.Event, _ pillarbox.Standing) error {
			events = append(events, event)
			return nil
		})
	if err != nil {
		b.t.Fatal(err)
	}
	return events
}

func (b *box) bodies() []string {
	var bodies []string
	for _, event := range b.queued() {
		bodies = append(bodies, string(event.Body))
	}
	return bodies
}

func (b *box) wantStored(bodies ...string) {
	b.t.Helper()
	if got := b.bodies(); !slices.Equal(got, bodies) {
		b.t.Errorf("stored %.200q, want %.200q", got, bodies)
	}
}

// client is a raw connection.
type client struct {
	*net.TCPConn
	t       *testing.T
	answers *bufio.Reader
}

func (b *box) dial() *client { return dial(b.t, b.addr) }

func dial(t *testing.T, addr string) *client {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return newClient(t, conn)
}

func newClient(t *testing.T, conn net.Conn) *client {
	return &client{TCPConn: conn.(*net.TCPConn), t: t, answers: bufio.NewReader(conn)}
}

func (c *client) send(text string) *client {
	c.t.Helper()
	if _, err := io.WriteString(c.TCPConn, text); err != nil {
		c.t.Fatal(err)
	}
	return c
}

// answer is one answer, read to its end.
type answer struct {
	*http.Response
	body string
}

func (c *client) answer() answer {
	c.t.Helper()
	a, err := c.tryAnswer()
	if err != nil {
		c.t.Fatal(err)
	}
	return a
}

func (c *client) tryAnswer() (answer, error) {
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return answer{}, err
	}
	response, err := http.ReadResponse(c.answers, nil)
	if err != nil {
		return answer{}, fmt.Errorf("read the answer: %w", err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{}, fmt.Errorf("read the body of the answer: %w", err)
	}
	return answer{response, string(body)}, nil
}

func (c *client) wants(status int) answer {
	c.t.Helper()
	a := c.answer()
	if a.StatusCode != status {
		c.t.Fatalf("status %d, want %d: %s", a.StatusCode, status, a.body)
	}
	return a
}

// wantEnd sees that nothing more comes.
func (c *client) wantEnd() {
	c.t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		c.t.Fatal(err)
	}
	rest, err := io.ReadAll(c.answers)
	if len(rest) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Errorf("after the end came %.200q, %v", rest, err)
	}
}

// post is a plain request.
func post(body string) string {
	return fmt.Sprintf("POST /app HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// posts are n plain requests with their numbers as bodies.
func posts(n int) (text string, bodies []string) {
	var all strings.Builder
	for i := range n {
		bodies = append(bodies, fmt.Sprintf("body %d", i))
		all.WriteString(post(bodies[i]))
	}
	return all.String(), bodies
}
