package otlp_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"pillarbox"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/telemetry/otlp"
	"pillarbox/internal/telemetry/prom"
)

// TestTargetsThatCantWorkAreRefused, before anything is sent.
func TestTargetsThatCantWorkAreRefused(t *testing.T) {
	for _, c := range []struct {
		endpoint, protocol string
		right              bool
	}{
		{"http://localhost:4318", otlp.HTTP, true}, {"https://a.example/otlp", otlp.HTTP, true}, {"http://localhost:4317", otlp.GRPC, true},
		{"https://a.example/", otlp.GRPC, true},
		{"", otlp.HTTP, false}, {"localhost:4318", otlp.HTTP, false}, {"ftp://a", otlp.HTTP, false}, {"http://u:p@a", otlp.HTTP, false},
		{"http://a?x=1", otlp.HTTP, false}, {"http://a/path", otlp.GRPC, false}, {"http://a", "", false}, {"http://a", "thrift", false},
	} {
		_, err := otlp.OpenSpans(t.Context(), otlp.Target{Endpoint: c.endpoint, Protocol: c.protocol}, otlp.Options{})
		if (err == nil) != c.right || err != nil && !errors.Is(err, pillarbox.ErrInvalid) {
			t.Errorf("%q by %q: %v", c.endpoint, c.protocol, err)
		}
	}
}

// kept makes spans for a receiver, and returns what counts them and what is logged.
func kept(t *testing.T, endpoint string) (*otlp.Spans, *prometheus.Registry, *bytes.Buffer) {
	t.Helper()
	registry, log := prometheus.NewRegistry(), &bytes.Buffer{}
	spans, err := otlp.OpenSpans(t.Context(), otlp.Target{Endpoint: endpoint, Protocol: otlp.HTTP, Timeout: time.Second}, otlp.Options{
		Metrics: telemetry.NewMetrics(prom.Keep(registry, prom.Options{})), Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return spans, registry, log
}

// TestTheReceiverIsProvenByItsAuthority: over TLS, of both protocols, a certificate that nobody vouches
// for gets nothing.
func TestTheReceiverIsProvenByItsAuthority(t *testing.T) {
	got := make(chan struct{}, 10)
	receiver := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { got <- struct{}{} }))
	defer receiver.Close()
	receiver.Config.ErrorLog = log.New(io.Discard, "", 0)
	trusted := receiver.Client().Transport.(*http.Transport).TLSClientConfig
	for _, c := range []struct {
		protocol string
		tls      *tls.Config
		sent     int
	}{{otlp.HTTP, trusted, 1}, {otlp.HTTP, nil, 0}, {otlp.GRPC, nil, 0}} {
		spans, err := otlp.OpenSpans(t.Context(), otlp.Target{Endpoint: receiver.URL, Protocol: c.protocol, TLS: c.tls, Timeout: time.Second}, otlp.Options{})
		if err != nil {
			t.Fatal(err)
		}
		end(spans, 1)
		_ = spans.Close(t.Context()) // what could not be sent has been counted
		if len(got) != c.sent {
			t.Errorf("%s: the receiver has got %d calls, want %d", c.protocol, len(got), c.sent)
		}
		for len(got) > 0 {
			<-got
		}
	}
}

func counted(t *testing.T, registry *prometheus.Registry, want string) {
	t.Helper()
	text := "# HELP pillarbox_trace_spans_total " + help() + "\n# TYPE pillarbox_trace_spans_total counter\n" + want
	if err := testutil.GatherAndCompare(registry, strings.NewReader(text), "pillarbox_trace_spans_total"); err != nil {
		t.Error(err)
	}
}

func help() string {
	for _, metric := range telemetry.Table() {
		if metric.Name == "pillarbox_trace_spans_total" {
			return metric.Help
		}
	}
	return ""
}

func end(spans *otlp.Spans, n int) {
	for range n {
		spans.Start(telemetry.SpanStart{Name: "x", At: time.Now()}).End(time.Now(), "")
	}
}

// TestSpansAreSentAndCounted with the headers of the configuration, and no others.
func TestSpansAreSentAndCounted(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-stray=1")
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
	t.Setenv("OTEL_TRACES_SAMPLER", "always_off")
	heads := make(chan http.Header, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { heads <- r.Header }))
	defer receiver.Close()
	spans, err := otlp.OpenSpans(t.Context(), otlp.Target{Endpoint: receiver.URL, Protocol: otlp.HTTP, Headers: map[string]string{"X-Team": "a"}},
		otlp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	end(spans, 3)
	if err := spans.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if head := <-heads; head.Get("X-Team") != "a" || head.Get("X-Stray") != "" {
		t.Errorf("the head is %v", head)
	}
}

// TestAReceiverThatRefusesIsToldOf, and what it did not take is counted.
func TestAReceiverThatRefusesIsToldOf(t *testing.T) {
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	defer receiver.Close()
	spans, registry, log := kept(t, receiver.URL)
	end(spans, 3)
	if err := spans.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	counted(t, registry, "pillarbox_trace_spans_total{result=\"failed\"} 3\n")
	if !strings.Contains(log.String(), "the receiver of telemetry takes nothing") || !strings.Contains(log.String(), "403") {
		t.Errorf("the log says %q", log.String())
	}
}

// TestWhatHasNoRoomIsCountedAndTold: a receiver that is not there costs nobody a wait, and each span
// is counted once.
func TestWhatHasNoRoomIsCountedAndTold(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // accepts in the kernel, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	spans, registry, _ := kept(t, "http://"+listener.Addr().String())
	end(spans, otlp.MaxWaiting+100)
	counted(t, registry, "pillarbox_trace_spans_total{result=\"dropped\"} 100\n")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := spans.Close(ctx); err == nil {
		t.Error("all spans are said to be sent")
	}
	counted(t, registry, fmt.Sprintf("pillarbox_trace_spans_total{result=\"dropped\"} %d\n", otlp.MaxWaiting+100))
}
