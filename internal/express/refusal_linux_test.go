package express_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"pillarbox/internal/express"
	"pillarbox/internal/source"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/telemetry/prom"
)

// TestRefusalIsAProblem has the form of every other error.
func TestRefusalIsAProblem(t *testing.T) {
	b := open(t, express.Options{})
	c := b.dial().send("POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc")
	a := c.wants(http.StatusBadRequest)
	if a.Header.Get("Content-Type") != "application/problem+json" || !a.Close ||
		!strings.Contains(a.body, "Content-Length stands more than once") {
		t.Errorf("answer %v %q", a.Header, a.body)
	}
	c.wantEnd()
}

// TestMetricsAreThoseOfNetHTTP counts every answer, and nothing stays in flight.
func TestMetricsAreThoseOfNetHTTP(t *testing.T) {
	registry := prometheus.NewRegistry()
	b := prepare(t)
	b.sources.Replace(compile(t, telemetry.NewMetrics(prom.Keep(registry, prom.Options{})),
		source.Settings{Name: "app", Path: "/app", MaxBody: testMaxBody}))
	b.start(express.Options{})
	c := b.dial()
	for range 3 {
		c.send(post("a") + post("b")).wants(http.StatusAccepted)
		c.wants(http.StatusAccepted)
	}
	c.send("POST /app HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").wants(http.StatusBadRequest)
	for name, want := range map[string]float64{
		"pillarbox_http_requests_total 202 POST /app": 6,
		"pillarbox_http_requests_total 400 POST /app": 1,
		"pillarbox_http_request_seconds /app":         7, "pillarbox_http_requests_in_flight": 0,
	} {
		eventually(t, fmt.Sprintf("%s is %v", name, want),
			func() bool { return gather(t, registry)[name] == want })
	}
}

// gather returns counters, gauges and the counts of histograms, by their names and labels.
func gather(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.Metric {
			name := family.GetName()
			for _, label := range metric.Label {
				name += " " + label.GetValue()
			}
			got[name] = metric.GetCounter().GetValue() + metric.GetGauge().GetValue() +
				float64(metric.GetHistogram().GetSampleCount())
		}
	}
	return got
}
