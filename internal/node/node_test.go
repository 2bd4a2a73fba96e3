package node_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/clock"
	"pillarbox/internal/destination"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/memory"
	"pillarbox/internal/express"
	"pillarbox/internal/node"
	"pillarbox/internal/node/nodetest"
	"pillarbox/internal/source"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/telemetry/prom"

	"github.com/prometheus/client_golang/prometheus"
)

// closable notes that it was closed.
type closable struct {
	pillarbox.Queue
	closed int
	check  error
}

func (c *closable) Close() error                { c.closed++; return c.Queue.Close() }
func (c *closable) Check(context.Context) error { return c.check }

func engines(queue pillarbox.Queue) node.Engines {
	return node.Engines{
		Queue: queue, DeadLetters: memory.NewDeadLetters(), Clock: clock.Open(nil, "", clock.Options{}),
		Sinks: map[string]pillarbox.Sink{"events": memory.NewSink()},
	}
}

func settings() node.Settings {
	return node.Settings{
		Sources: []source.Settings{{Name: "app", Path: "/app"}},
		Destinations: []destination.Settings{
			{Name: "events", Rule: &pillarbox.Rule{Sources: []string{"app"}}}},
	}
}

// TestWhatCannotWorkIsClosed: after an error nothing stays open, and the error says what is wrong.
func TestWhatCannotWorkIsClosed(t *testing.T) {
	twice := settings()
	twice.Sources = append(twice.Sources, source.Settings{Name: "other", Path: "/app"})
	more := settings()
	more.Destinations = append(more.Destinations, destination.Settings{Name: "nowhere"})
	for _, c := range []struct {
		settings node.Settings
		check    error
		want     string
	}{
		{settings(), pillarbox.Invalid("no such queue"), "no such queue"},
		{twice, nil, "leads to the sources"},
		{more, nil, "nowhere has no sink"},
	} {
		queue := &closable{Queue: memory.NewQueue(nil), check: c.check}
		n, err := node.Open(t.Context(), node.Options{Engines: engines(queue), Settings: c.settings})
		if n != nil || !errors.Is(err, pillarbox.ErrInvalid) || !strings.Contains(err.Error(), c.want) ||
			queue.closed != 1 {
			t.Errorf("opened %v, error %v, closed %d times; want %q, once", n != nil, err, queue.closed,
				c.want)
		}
	}
	away := &closable{Queue: memory.NewQueue(nil), check: pillarbox.ErrUnavailable}
	n, err := node.Open(t.Context(), node.Options{Engines: engines(away), Settings: settings()})
	if err != nil {
		t.Fatalf("an outage is a reason not to start: %v", err)
	}
	for range 2 {
		if err := n.Close(); err != nil || away.closed != 1 {
			t.Errorf("close: %v, closed %d times", err, away.closed)
		}
	}
}

// TestReloadChangesAllOrNothing: what can't be put in force leaves everything as it was.
func TestReloadChangesAllOrNothing(t *testing.T) {
	n, err := node.Open(t.Context(), node.Options{Engines: engines(memory.NewQueue(nil)),
		Settings: settings()})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	post := func(path string) int {
		recorder := httptest.NewRecorder()
		n.PublicHandler(node.Limits{}).ServeHTTP(recorder,
			httptest.NewRequest(http.MethodPost, path, nil))
		return recorder.Code
	}
	for what, change := range map[string]func(*node.Settings){
		"a path of two sources": func(s *node.Settings) {
			s.Sources = append(s.Sources, source.Settings{Name: "b", Path: "/new"})
		},
		"a rule that takes less": func(s *node.Settings) {
			s.Destinations[0].Rule = &pillarbox.Rule{Sources: []string{}}
		},
		"no rule anymore": func(s *node.Settings) { s.Destinations[0].Rule = nil },
		"a destination more, without a sink": func(s *node.Settings) {
			s.Destinations = append(s.Destinations, destination.Settings{Name: "b"})
		},
		"another destination":    func(s *node.Settings) { s.Destinations[0].Name = "b" },
		"a source without name":  func(s *node.Settings) { s.Sources[0].Name = "" },
		"no destination anymore": func(s *node.Settings) { s.Destinations = nil },
	} {
		fresh := settings()
		fresh.Sources[0].Path = "/new"
		change(&fresh)
		if err := n.Reload(t.Context(), fresh, nil); !errors.Is(err, pillarbox.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", what, err)
		}
		if post("/app") != http.StatusAccepted || post("/new") != http.StatusNotFound {
			t.Errorf("%s: a part of it is in force", what)
		}
	}
	fresh := settings()
	fresh.Sources[0].Path = "/new"
	if err := n.Reload(t.Context(), fresh, nil); err != nil || post("/app") != http.StatusNotFound ||
		post("/new") != http.StatusAccepted {
		t.Errorf("reload: %v; the old path answers %d, the new one %d", err, post("/app"), post("/new"))
	}
}

// limited notes the limits that a queue is given.
type limited struct {
	pillarbox.Queue
	maxBytes, keepBytes int64
}

func (l *limited) SetMaxBytes(maxBytes int64)   { l.maxBytes = maxBytes }
func (l *limited) SetKeepBytes(keepBytes int64) { l.keepBytes = keepBytes }

// TestReloadTellsTheQueueItsLimits, each its own.
func TestReloadTellsTheQueueItsLimits(t *testing.T) {
	queue := &limited{Queue: memory.NewQueue(nil)}
	n, err := node.Open(t.Context(), node.Options{Engines: engines(queue), Settings: settings()})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	fresh := settings()
	fresh.MaxQueueBytes, fresh.KeepQueueBytes = 1<<30, 1<<20
	if err := n.Reload(t.Context(), fresh, nil); err != nil || queue.maxBytes != 1<<30 || queue.keepBytes != 1<<20 {
		t.Errorf("reload: %v; the queue was told %d and %d", err, queue.maxBytes, queue.keepBytes)
	}
}

// TestStartedAndClosedAtAnyMoment: whatever the order, everything ends, and nothing that was
// accepted is lost.
func TestStartedAndClosedAtAnyMoment(t *testing.T) {
	for i := range 40 {
		queue := memory.NewQueue(nil)
		n, err := node.Open(t.Context(), node.Options{Engines: engines(queue), Settings: settings()})
		if err != nil {
			t.Fatal(err)
		}
		grant, _, err := n.Sources().Table().Get("app").AdmitOne(&source.Head{Method: "POST"}, nil)
		if err != nil || grant.Source() == nil {
			t.Fatal(err)
		}
		events := enginetest.Events(20, uint64(i))
		for _, event := range events {
			event.Source = "app"
		}
		if err := queue.Append(t.Context(), events); err != nil {
			t.Fatal(err)
		}
		var ended <-chan error
		if i%4 > 0 {
			ended = n.Start(t.Context())
		}
		if i%4 > 1 {
			if err := n.Drain(t.Context()); err != nil {
				t.Error(err)
			}
		}
		totals, err := n.Ledger(t.Context())
		if err != nil || !totals.Destinations[0].Balanced {
			t.Errorf("ledger %+v, %v", totals, err)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		if ended != nil {
			if err := <-ended; err != nil {
				t.Errorf("the deliveries ended with %v", err)
			}
		}
	}
}

// TestOneBudgetForBothFronts: what the event loop holds of bodies is not there for net/http, and
// the other way around.
func TestOneBudgetForBothFronts(t *testing.T) {
	if err := express.Possible(); err != nil {
		t.Skip(err)
	}
	const budget, part = 100 << 10, 30 << 10
	fresh := settings()
	n, err := node.Open(t.Context(), node.Options{
		Engines: engines(memory.NewQueue(nil)), Settings: fresh, Roles: []string{
			node.RoleAccept}, MaxInFlightBytes: budget,
	})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stop, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	limits := node.Limits{
		ReadHeaderTimeout: time.Minute, ReadTimeout: time.Minute, WriteTimeout: time.Minute, IdleTimeout: time.Minute,
		MaxHeaderBytes: 32 << 10, MaxConnections: 100, AppendTimeout: time.Minute,
	}
	go func() {
		ended <- n.Serve(stop, context.Background(),
			node.Serving{Public: []node.Front{{Listener: listener}}, EventLoop: true, Limits: limits})
	}()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	address := listener.Addr().String()
	chunked := func() int { // what net/http answers: the event loop hands it over
		body := io.MultiReader(strings.NewReader(strings.Repeat("x", 60<<10)))
		response, err := http.Post("http://"+address+"/app", "text/plain", body)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		return response.StatusCode
	}
	if status := chunked(); status != http.StatusAccepted {
		t.Fatalf("alone it is answered with %d", status)
	}
	var held []net.Conn
	for range 3 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", part,
			strings.Repeat("y", part-1))
		held = append(held, conn)
	}
	eventually(t, "net/http feels what the event loop holds",
		func() bool { return chunked() == http.StatusServiceUnavailable })
	for _, conn := range held {
		fmt.Fprint(conn, "y")
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || response.StatusCode != http.StatusAccepted {
			t.Fatalf("%v, %v", response, err)
		}
	}
	eventually(t, "the memory is there again", func() bool { return chunked() == http.StatusAccepted })
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so after 30 s: %s", what)
		}
	}
}

// TestWaitIsForThoseThatTakeTheEvent, as the whole node answers: nobody waits for the archive,
// which does not take it.
func TestWaitIsForThoseThatTakeTheEvent(t *testing.T) {
	b := nodetest.Open(t)
	b.Start()
	request := httptest.NewRequest(http.MethodPost, "/app", strings.NewReader("x"))
	request.Header.Set("Prefer", "wait=30")
	recorder := httptest.NewRecorder()
	b.Node.PublicHandler(node.Limits{MaxWait: time.Minute}).ServeHTTP(recorder, request)
	if recorder.Code != http.StatusCreated {
		t.Errorf("answered with %d: %s", recorder.Code, recorder.Body)
	}
}

// TestMetricsOfWhatIsNotConfiguredAnyMore: a destination that only the queue knows is measured like
// the others.
func TestMetricsOfWhatIsNotConfiguredAnyMore(t *testing.T) {
	registry, queue := prometheus.NewRegistry(), memory.NewQueue(nil)
	if _, err := queue.Account("gone"); err != nil {
		t.Fatal(err)
	}
	n, err := node.Open(t.Context(), node.Options{
		Engines: engines(queue), Settings: settings(), Metrics: telemetry.NewMetrics(prom.Keep(registry, prom.Options{})),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(fmt.Sprint(families), `value:"gone"`) {
		t.Error("it is not measured")
	}
}
