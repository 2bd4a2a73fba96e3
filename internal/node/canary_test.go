package node_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pillarbox"
	"pillarbox/internal/adminapi"
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
)

// canaried is a node that sends itself a canary, behind a real listener.
type canaried struct {
	*testing.T
	node     *node.Node
	queue    *memory.Queue
	sink     *memory.Sink
	registry *prometheus.Registry
	url      string
	down     atomic.Bool
}

func openCanaried(t *testing.T, eventLoop bool, every time.Duration) *canaried {
	t.Helper()
	return openCanariedAs(t, canariedAs{eventLoop: eventLoop, every: every})
}

// canariedAs says how the node is reached, and what feeds it.
type canariedAs struct {
	eventLoop, secure, byURL, shared bool
	every                            time.Duration
}

// sharedQueue is one that others fill and empty too.
type sharedQueue struct{ *memory.Queue }

func (q sharedQueue) Traits() pillarbox.QueueTraits {
	traits := q.Queue.Traits()
	traits.Shared = true
	return traits
}

func openCanariedAs(t *testing.T, as canariedAs) *canaried {
	t.Helper()
	eventLoop, every := as.eventLoop, as.every
	if err := express.Possible(); err != nil && eventLoop {
		t.Skip(err)
	}
	c := &canaried{
		T:        t,
		queue:    memory.NewQueue(nil),
		sink:     memory.NewSink(),
		registry: prometheus.NewRegistry(),
	}
	c.sink.Fault = func([]*pillarbox.Event) error {
		if c.down.Load() {
			return pillarbox.ErrUnavailable
		}
		return nil
	}
	c.sink.RemoveFault = func([]pillarbox.Key) error { return c.sink.Fault(nil) }
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.url = "http://" + listener.Addr().String()
	options := node.CanaryOptions{Every: every, Timeout: 20 * time.Second}
	if as.byURL {
		options.URL, options.Secret = c.url+"/", "a secret that nodes share"
	}
	queue := pillarbox.Queue(c.queue)
	if as.shared {
		queue = sharedQueue{c.queue}
	}
	c.node, err = node.Open(t.Context(), node.Options{
		Engines: node.Engines{
			Queue:       queue,
			DeadLetters: memory.NewDeadLetters(),
			Clock:       clock.Open(nil, "", clock.Options{}),
			Sinks: map[string]pillarbox.Sink{
				"events": c.sink,
				"hook":   hook{Sink: memory.NewSink()},
			},
		},
		Settings: node.Settings{
			Sources: []source.Settings{{Name: "app", Path: "/app"}, {Name: "all", Path: "/{any}"}},
			Destinations: []destination.Settings{
				{Name: "events", Rule: &pillarbox.Rule{Sources: []string{"app", "all"}},
					Canary: destination.Canary{Timeout: 20 * time.Second}},
				{Name: "hook", Rule: &pillarbox.Rule{Sources: []string{"app"}}},
			},
		},
		Canary: options,
		Roles:  node.Roles(), Metrics: telemetry.NewMetrics(prom.Keep(c.registry, prom.Options{})),
	})
	if err != nil {
		t.Fatal(err)
	}
	var secure *tls.Config
	if as.secure {
		server := httptest.NewTLSServer(http.NotFoundHandler())
		secure = &tls.Config{Certificates: server.TLS.Certificates}
		server.Close()
	}
	stop, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- c.node.Serve(stop, context.Background(), node.Serving{Public: []node.Front{{Listener: listener, TLS: as.secure}}, TLS: secure, EventLoop: eventLoop,
			Limits: node.Limits{ReadHeaderTimeout: time.Minute, ReadTimeout: time.Minute, WriteTimeout: time.Minute, IdleTimeout: time.Minute,
				MaxHeaderBytes: 32 << 10, MaxConnections: 100, AppendTimeout: time.Minute}})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return c
}

// hook can't be read back.
type hook struct{ *memory.Sink }

func (hook) Traits() pillarbox.SinkTraits { return pillarbox.SinkTraits{} }
func (hook) Purges() []pillarbox.Purge    { return nil }

func (c *canaried) text() string {
	status, err := c.node.Status(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	return status.Canary.Text
}

func (c *canaried) post(path string, header http.Header) int {
	c.Helper()
	request, err := http.NewRequestWithContext(
		c.Context(),
		http.MethodPost,
		c.url+path,
		strings.NewReader(`{"a":1}`),
	)
	if err != nil {
		c.Fatal(err)
	}
	request.Header = header
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		c.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// canary finds the state of the last one at a destination.
func (c *canaried) state(destination string) (state string, ok bool) {
	status, err := c.node.Status(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	for _, d := range status.Canary.Destinations {
		if d.Destination == destination {
			state = d.State
		}
	}
	return state, status.Canary.OK
}

// The canary goes through the public door of either front to each destination and back, and nothing
// that people see of users' events has it.
func TestTheCanaryThroughBothFronts(t *testing.T) {
	for name, eventLoop := range map[string]bool{"event loop": true, "net/http": false} {
		t.Run(name, func(t *testing.T) {
			c := openCanaried(t, eventLoop, 20*time.Millisecond)
			for range 3 {
				if status := c.post("/app", http.Header{pillarbox.CanaryHeader: {"1"}}); status != http.StatusAccepted {
					t.Fatalf(
						"a user's event with the header of the canary is answered with %d",
						status,
					)
				}
			}
			eventually(t, "three canaries are back", func() bool {
				account, err := c.queue.Account("events")
				return err == nil && account.SkippedBy.Canary >= 3 && account.Stored == 3
			})
			eventually(
				t,
				"its status says so",
				func() bool { state, ok := c.state("events"); return ok && state == "returned" },
			)
			if text := c.text(); !strings.Contains(text, "back from events in ") ||
				!strings.Contains(text, "not sent to hook") {
				t.Errorf("in words: %s", text)
			}
			c.wantUsersOnly(3)
		})
	}
}

// wantUsersOnly looks at everything that tells of users' events, while canaries come and go.
func (c *canaried) wantUsersOnly(users uint64) {
	c.Helper()
	for range 20 {
		totals, err := c.node.Ledger(c.Context())
		if err != nil {
			c.Fatal(err)
		}
		for _, e := range totals.Destinations {
			if e.Accepted != e.Stored+e.Dead+e.Skipped+e.Pending || !e.Balanced ||
				e.Stored != users ||
				e.SkippedBy.Canary != 0 {
				c.Fatalf("ledger %+v", e)
			}
		}
		events, err := c.node.Events(c.Context(), "events", pillarbox.EventFilter{})
		if err != nil || uint64(len(events)) != users {
			c.Fatalf("%d events are listed, want %d, %v", len(events), users, err)
		}
	}
	handler := c.node.AdminHandler(adminapi.Options{})
	for path, part := range map[string]string{"/api/v1/status": `"canary":{"ok":true`,
		"/api/v1/ledger": `"canary":`} {
		request := httptest.NewRequest(http.MethodGet, "http://localhost:8081"+path, nil)
		nodetest.Do(c.T, nodetest.Admin, handler, request).Wants(c.T, http.StatusOK, part)
	}
	audit, err := c.node.Audit(c.Context())
	if err != nil || !audit.Balanced || audit.Canary == 0 {
		c.Errorf("audit %+v, %v", audit, err)
	}
	families, err := c.registry.Gather()
	if err != nil {
		c.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				if strings.Contains(label.GetValue(), "canary") {
					c.Errorf("%s has %s=%s", family.GetName(), label.GetName(), label.GetValue())
				}
			}
		}
	}
	status, err := c.node.Status(c.Context())
	if err != nil || len(status.Sources) != 2 || status.Queue.Accepted > users+1 ||
		status.Destinations[0].Pending > 1 {
		c.Errorf("status %+v, %v", status, err)
	}
}

// The canary finds its way over TLS, whose certificate is for another name, by an address in front,
// and out of a queue that others empty too.
func TestTheCanaryFindsItsWay(t *testing.T) {
	for name, as := range map[string]canariedAs{
		"over TLS":             {secure: true},
		"over TLS on the loop": {secure: true, eventLoop: true},
		"by an address":        {byURL: true},
		"by a shared queue":    {shared: true, eventLoop: true},
	} {
		t.Run(name, func(t *testing.T) {
			as.every = 20 * time.Millisecond
			c := openCanariedAs(t, as)
			eventually(
				t,
				"it is back",
				func() bool { state, ok := c.state("events"); return ok && state == "returned" },
			)
			eventually(t, "nothing is left", func() bool {
				n, err := c.sink.Count(c.Context())
				return err == nil && n == 0
			})
		})
	}
}

// Whoever does not sign gets at the canary's path what any other request gets there: the event is
// of the source that takes all paths, and a user's.
func TestAForgedCanaryIsAUsersEvent(t *testing.T) {
	for _, eventLoop := range []bool{true, false} {
		c := openCanaried(t, eventLoop, time.Hour)
		stranger := source.NewCanaryKey("", nil)
		for _, header := range []http.Header{nil, {pillarbox.CanaryHeader: {"1"}}, {source.CanarySignature: {stranger.Sign()}},
			{source.CanarySignature: {strings.Repeat(".", 5000)}}} {
			if status := c.post(source.CanaryPath, header); status != http.StatusAccepted {
				t.Errorf("%v: answered with %d", header, status)
			}
		}
		eventually(t, "all of them are stored", func() bool {
			account, err := c.queue.Account("events")
			return err == nil && account.Stored == 4
		})
	}
}

// A destination that is down makes the canary wait, and be late; when it is back, the next one
// comes back too, and nothing is left anywhere.
func TestTheCanaryOfADestinationThatIsDownAndBack(t *testing.T) {
	c := openCanaried(t, true, 10*time.Millisecond)
	eventually(
		t,
		"one is back",
		func() bool { state, _ := c.state("events"); return state == "returned" },
	)
	c.down.Store(true)
	c.post("/app", nil) // a user's event: the destination is found to be down
	eventually(t, "it is told", func() bool {
		status, err := c.node.Status(c.Context())
		return err == nil && status.Destinations[0].State == "down"
	})
	// One whose answer is not there yet is not known to be a canary's.
	eventually(t, "one user's event waits, and nothing else", func() bool {
		totals, err := c.node.Ledger(c.Context())
		if err != nil || !totals.Destinations[0].Balanced {
			t.Fatalf("ledger %+v, %v", totals, err)
		}
		return totals.Destinations[0].Pending == 1
	})
	c.down.Store(false)
	eventually(
		t,
		"one is back again",
		func() bool { state, ok := c.state("events"); return ok && state == "returned" },
	)
	eventually(t, "nothing is left", func() bool {
		n, err := c.sink.Count(c.Context())
		return err == nil && n == 1
	})
}

// A page is filled again in whose place the canary stood: a shorter one would be taken for the
// last.
func TestAPageHasNoCanaryAndIsFull(t *testing.T) {
	queue, sink := memory.NewQueue(nil), memory.NewSink()
	engines := engines(queue)
	for name := range engines.Sinks {
		engines.Sinks[name] = sink
	}
	n, err := node.Open(t.Context(), node.Options{Engines: engines, Settings: settings()})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	events := enginetest.Events(10, 7)
	for _, i := range []int{0, 3, 4, 9} {
		events[i].Source = pillarbox.CanarySource
	}
	if err := sink.Write(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	for limit, want := range map[int]int{1: 1, 3: 3, 5: 5, 6: 6, 7: 6, 100: 6} {
		for _, newest := range []bool{false, true} {
			page, err := n.Events(
				t.Context(),
				"events",
				pillarbox.EventFilter{Limit: limit, Newest: newest},
			)
			if err != nil || len(page) != want {
				t.Errorf("%d of %d events, want %d, %v", len(page), limit, want, err)
			}
			for _, event := range page {
				if event.IsCanary() {
					t.Error("a page has an event of the canary")
				}
			}
		}
	}
}
