// Package otlp_test has the real binary send its telemetry to the receiver of OpenTelemetry's collector.
// It is a module of its own, since nothing else needs the collector.
package otlp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
)

// patience bounds every wait for a condition; it is no measure of speed.
const patience = 2 * time.Minute

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// collector is the receiver of the collector, and what it has received.
type collector struct {
	traces     consumertest.TracesSink
	metrics    consumertest.MetricsSink
	grpc, http string // addresses
}

func free(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func openCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{grpc: free(t), http: free(t)}
	factory := otlpreceiver.NewFactory()
	config := factory.CreateDefaultConfig()
	if err := confmap.NewFromStringMap(map[string]any{"protocols": map[string]any{
		"grpc": map[string]any{"endpoint": c.grpc}, "http": map[string]any{"endpoint": c.http},
	}}).Unmarshal(config); err != nil {
		t.Fatal(err)
	}
	settings := receivertest.NewNopSettings(factory.Type())
	traces, err := factory.CreateTraces(t.Context(), settings, config, &c.traces)
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := factory.CreateMetrics(t.Context(), settings, config, &c.metrics)
	if err != nil {
		t.Fatal(err)
	}
	if err := traces.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	if err := metrics.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := traces.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := metrics.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c
}

// spans are all that have come, by name.
func (c *collector) spans() map[string][]ptrace.Span {
	byName := map[string][]ptrace.Span{}
	for _, traces := range c.traces.AllTraces() {
		for _, resource := range traces.ResourceSpans().All() {
			for _, scope := range resource.ScopeSpans().All() {
				for _, span := range scope.Spans().All() {
					byName[span.Name()] = append(byName[span.Name()], span)
				}
			}
		}
	}
	return byName
}

var build struct {
	once   sync.Once
	binary string
	err    error
}

func binary(t *testing.T) string {
	t.Helper()
	build.once.Do(func() {
		dir, err := os.MkdirTemp("", "pillarbox-otlp")
		if err != nil {
			build.err = err
			return
		}
		build.binary = filepath.Join(dir, "pillarbox")
		command := exec.Command("go", "build", "-o", build.binary, "./cmd/pillarbox")
		command.Dir = filepath.Join("..", "..")
		if text, err := command.CombinedOutput(); err != nil {
			build.err = fmt.Errorf("%w: %s", err, text)
		}
	})
	if build.err != nil {
		t.Fatal(build.err)
	}
	return build.binary
}

func TestMain(m *testing.M) {
	code := m.Run()
	if build.binary != "" {
		_ = os.RemoveAll(filepath.Dir(build.binary))
	}
	os.Exit(code)
}

// server is the real binary.
type server struct {
	command *exec.Cmd
	public  string
	admin   string
	log     string
}

// start runs a server with this configuration, to which it adds where it listens and keeps its data.
func start(t *testing.T, dir, config string) *server {
	t.Helper()
	s := &server{public: free(t), admin: free(t), log: filepath.Join(dir, "log")}
	file := filepath.Join(dir, "pillarbox.yaml")
	text := fmt.Sprintf("listen: %q\nadmin: { listen: %q }\ndata: %q\n%s", s.public, s.admin, filepath.Join(dir, "data"), config)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s.command = exec.Command(binary(t), "serve", "--config", file)
	s.command.Stderr = log
	if err := s.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.end(syscall.SIGKILL) })
	eventually(t, "ready", func() bool {
		answer, err := http.Get("http://" + s.admin + "/readyz")
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	return s
}

// end sends a signal and waits for the end.
func (s *server) end(signal syscall.Signal) {
	if s.command.ProcessState == nil {
		_ = s.command.Process.Signal(signal)
		_ = s.command.Wait()
	}
}

// post sends one event and returns its id.
func (s *server) post(t *testing.T, headers ...string) string {
	t.Helper()
	request, err := http.NewRequest(http.MethodPost, "http://"+s.public+"/app", strings.NewReader(`{"n":1}`))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var receipt struct {
		RequestID string `json:"request_id"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&receipt); err != nil || answer.StatusCode != http.StatusAccepted {
		t.Fatalf("answered %d, %v", answer.StatusCode, err)
	}
	return receipt.RequestID
}

// hook is a receiver of webhooks that can be down, and keeps the heads of what it has taken.
type hook struct {
	*httptest.Server
	status atomic.Int64

	mu  sync.Mutex
	got []http.Header
}

func openHook(t *testing.T, status int) *hook {
	h := &hook{}
	h.status.Store(int64(status))
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		status := int(h.status.Load())
		if status < 300 {
			h.mu.Lock()
			h.got = append(h.got, r.Header.Clone())
			h.mu.Unlock()
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) heads() []http.Header {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]http.Header(nil), h.got...)
}

func configOf(protocol, endpoint, hook string) string {
	return fmt.Sprintf(`
destinations:
  hook: { url: %q, allow_private: true, sources: [app], probe: { initial: 50ms, max: 100ms }, backoff: { initial: 50ms, max: 100ms } }
tracing: { ratio: 0, otlp: { endpoint: "http://%s", protocol: %s, headers: { x-team: "a" } } }
`, hook, endpoint, protocol)
}

const (
	senderTrace = "0af7651916cd43dd8448eb211c80319c"
	senderSpan  = "b7ad6b7169203331"
)

// TestATraceGoesOnOverAKill accepts an event while its destination is down, kills the server, and has
// another one deliver it: all of it, and what the receiver of the webhook is told, is one trace.
func TestATraceGoesOnOverAKill(t *testing.T) {
	for _, protocol := range []string{"http", "grpc"} {
		t.Run(protocol, func(t *testing.T) {
			c, h, dir := openCollector(t), openHook(t, http.StatusServiceUnavailable), t.TempDir()
			config := configOf(protocol, map[string]string{"http": c.http, "grpc": c.grpc}[protocol], h.URL)
			first := start(t, dir, config)
			id := first.post(t, "Traceparent", "00-"+senderTrace+"-"+senderSpan+"-01", "Tracestate", "vendor=7")
			first.post(t) // without a context: ratio is 0, and nothing is recorded
			eventually(t, "the spans of the request", func() bool { return len(c.spans()["POST /app"]) > 0 && len(c.spans()["append"]) > 0 })
			first.end(syscall.SIGKILL)
			h.status.Store(http.StatusOK)
			second := start(t, dir, config)
			stored := func() (delivered []ptrace.Span) {
				for _, span := range c.spans()["deliver hook"] {
					if outcome, _ := span.Attributes().Get("pillarbox.outcome"); outcome.Str() == "stored" {
						delivered = append(delivered, span)
					}
				}
				return delivered
			}
			eventually(t, "the span of the delivery", func() bool { return len(stored()) > 0 })
			second.end(syscall.SIGTERM)
			checkTrace(t, c, h, id, stored())
		})
	}
}

func checkTrace(t *testing.T, c *collector, h *hook, id string, stored []ptrace.Span) {
	t.Helper()
	spans := c.spans()
	request, delivery := spans["POST /app"][0], stored[0]
	if len(spans["POST /app"]) != 1 || len(stored) != 1 {
		t.Errorf("%d requests and %d deliveries are recorded, want one of each", len(spans["POST /app"]), len(stored))
	}
	if request.TraceID().String() != senderTrace || request.ParentSpanID().String() != senderSpan || request.TraceState().AsRaw() != "vendor=7" {
		t.Errorf("the request is beneath %s of %s (%s)", request.ParentSpanID(), request.TraceID(), request.TraceState().AsRaw())
	}
	for _, span := range []ptrace.Span{spans["append"][0], delivery} {
		if span.TraceID() != request.TraceID() || span.ParentSpanID() != request.SpanID() {
			t.Errorf("%s is beneath %s, and the request is %s", span.Name(), span.ParentSpanID(), request.SpanID())
		}
	}
	if got, _ := delivery.Attributes().Get("pillarbox.request_id"); got.Str() != id {
		t.Errorf("the delivery is that of %q, want %s", got.Str(), id)
	}
	told := ""
	for _, head := range h.heads() {
		if parent := head.Get("Traceparent"); parent != "" {
			told = parent + " " + head.Get("Tracestate")
		}
	}
	if want := "00-" + senderTrace + "-" + delivery.SpanID().String() + "-01 vendor=7"; told != want || len(h.heads()) != 2 {
		t.Errorf("of %d webhooks, the traced one is told %q, want %q", len(h.heads()), told, want)
	}
	linked := false
	for _, batch := range spans["deliver hook batch"] {
		for _, link := range batch.Links().All() {
			linked = linked || link.SpanID() == request.SpanID() && batch.TraceID() != request.TraceID()
		}
	}
	if !linked {
		t.Error("no batch links to the request, from a trace of its own")
	}
}

// TestMetricsArePushed by their own names, with the sums that a scrape would get.
func TestMetricsArePushed(t *testing.T) {
	for _, protocol := range []string{"http", "grpc"} {
		t.Run(protocol, func(t *testing.T) {
			c := openCollector(t)
			s := start(t, t.TempDir(), fmt.Sprintf("metrics: { every: 1s, otlp: { endpoint: \"http://%s\", protocol: %s } }\n",
				map[string]string{"http": c.http, "grpc": c.grpc}[protocol], protocol))
			s.post(t)
			s.post(t)
			eventually(t, "the count of two events", func() bool {
				return c.sum("pillarbox_ingest_events_total", "result", "accepted") == 2 && c.count("pillarbox_http_request_seconds") >= 2
			})
			s.end(syscall.SIGTERM)
			if !s.command.ProcessState.Success() {
				t.Errorf("it ended with %v", s.command.ProcessState)
			}
		})
	}
}

// metric is what was pushed last under a name.
func (c *collector) metric(name string) (last pmetric.Metric, found bool) {
	for _, metrics := range c.metrics.AllMetrics() {
		for _, resource := range metrics.ResourceMetrics().All() {
			for _, scope := range resource.ScopeMetrics().All() {
				for _, metric := range scope.Metrics().All() {
					if metric.Name() == name {
						last, found = metric, true
					}
				}
			}
		}
	}
	return last, found
}

// sum is the value of a counter with a label.
func (c *collector) sum(name, label, value string) float64 {
	metric, found := c.metric(name)
	if !found || metric.Type() != pmetric.MetricTypeSum {
		return -1
	}
	for _, point := range metric.Sum().DataPoints().All() {
		if got, _ := point.Attributes().Get(label); got.Str() == value {
			return point.DoubleValue()
		}
	}
	return -1
}

// count is the number of values of a histogram.
func (c *collector) count(name string) (count uint64) {
	metric, found := c.metric(name)
	if !found || metric.Type() != pmetric.MetricTypeHistogram {
		return 0
	}
	for _, point := range metric.Histogram().DataPoints().All() {
		count += point.Count()
	}
	return count
}

// TestAServerWorksWithoutItsReceiver: events are accepted and delivered, and what is not sent is
// counted and told.
func TestAServerWorksWithoutItsReceiver(t *testing.T) {
	h := openHook(t, http.StatusOK)
	s := start(t, t.TempDir(), configOf("http", free(t), h.URL))
	s.post(t, "Traceparent", "00-"+senderTrace+"-"+senderSpan+"-01")
	eventually(t, "the delivery", func() bool { return len(h.heads()) == 1 })
	s.end(syscall.SIGTERM)
	log, err := os.ReadFile(s.log)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(log), "the receiver of telemetry takes nothing") || !s.command.ProcessState.Success() {
		t.Errorf("it ended with %v, and said:\n%s", s.command.ProcessState, log)
	}
}

// TestTheCollectorsConfigurationIsTaken: what the file in deploy/otel says of the receiver is what the
// collector knows. Its exporter is in a module that no proxy has verified, and is not looked at.
func TestTheCollectorsConfigurationIsTaken(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "otel", "collector.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	retrieved, err := confmap.NewRetrievedFromYAML(text)
	if err != nil {
		t.Fatal(err)
	}
	all, err := retrieved.AsConf()
	if err != nil {
		t.Fatal(err)
	}
	receiver, err := all.Sub("receivers::otlp")
	if err != nil {
		t.Fatal(err)
	}
	config := otlpreceiver.NewFactory().CreateDefaultConfig()
	if err := receiver.Unmarshal(config); err != nil {
		t.Fatal(err)
	}
	if got := config.(*otlpreceiver.Config); got.Protocols.HTTP.Get().ServerConfig.NetAddr.Endpoint != "127.0.0.1:4318" ||
		got.Protocols.GRPC.Get().NetAddr.Endpoint != "127.0.0.1:4317" {
		t.Errorf("the receiver is %+v", got)
	}
}
