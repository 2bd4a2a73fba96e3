package prom_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"pillarbox/internal/telemetry"
	"pillarbox/internal/telemetry/prom"
)

const trace = "0af7651916cd43dd8448eb211c80319c"

// measured is a registry with one request of a recorded trace, and its delivery.
func measured(options prom.Options) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	metrics := telemetry.NewMetrics(prom.Keep(registry, options))
	metrics.Deliver("events").LagIn(trace, 7*time.Millisecond)
	route := metrics.Route("/app")
	route.Begin()
	route.DoneIn(trace, "POST", 202, 3*time.Millisecond)
	return registry
}

// TestARecordedRequestIsAnExemplar for those who ask for OpenMetrics, and changes nothing for others.
func TestARecordedRequestIsAnExemplar(t *testing.T) {
	handler := promhttp.HandlerFor(measured(prom.Options{}), promhttp.HandlerOpts{EnableOpenMetrics: true})
	for accept, want := range map[string]bool{"application/openmetrics-text; version=1.0.0": true, "text/plain": false} {
		request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		request.Header.Set("Accept", accept)
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		for _, exemplar := range []string{`# {trace_id="` + trace + `"} 0.003`, `# {trace_id="` + trace + `"} 0.007`} {
			if got := strings.Contains(string(text), exemplar); got != want {
				t.Errorf("%s: an exemplar is there: %v", accept, got)
			}
		}
		if !strings.Contains(string(text), `pillarbox_http_requests_total{code="202",method="POST",route="/app"} 1`) {
			t.Errorf("%s: the counter is not there:\n%s", accept, text)
		}
	}
}

// TestHistogramsAreNativeOnWish, beside their buckets.
func TestHistogramsAreNativeOnWish(t *testing.T) {
	for _, native := range []bool{false, true} {
		families, err := measured(prom.Options{NativeHistograms: native}).Gather()
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, family := range families {
			if family.GetName() != "pillarbox_http_request_seconds" {
				continue
			}
			histogram := family.GetMetric()[0].GetHistogram()
			found = true
			if got := len(histogram.GetPositiveSpan()) > 0; got != native || len(histogram.GetBucket()) == 0 {
				t.Errorf("native %v: spans are there: %v, and %d buckets", native, got, len(histogram.GetBucket()))
			}
		}
		if !found {
			t.Fatal("the histogram is not there")
		}
	}
}

// BenchmarkRoute measures a request that is not recorded, in both forms of histograms.
func BenchmarkRoute(b *testing.B) {
	for name, options := range map[string]prom.Options{"buckets": {}, "native too": {NativeHistograms: true}} {
		b.Run(name, func(b *testing.B) {
			route := telemetry.NewMetrics(prom.Keep(prometheus.NewRegistry(), options)).Route("/app")
			b.ReportAllocs()
			for b.Loop() {
				route.Begin()
				route.Done("POST", 202, time.Millisecond)
			}
		})
	}
}
