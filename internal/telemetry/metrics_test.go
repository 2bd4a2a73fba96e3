package telemetry_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"pillarbox/internal/telemetry"
	"pillarbox/internal/telemetry/prom"
)

var update = flag.Bool("update", false, "rewrite the golden files and docs/METRICS.md")

// golden compares text with a file, or rewrites the file.
func golden(t *testing.T, file, text string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s is stale; run go test -update and look at the difference. Got:\n%s", file, text)
	}
}

// exercise touches every metric once.
func exercise(m *telemetry.Metrics) {
	m.SetBuild("v1.2.3")
	m.ObserveAppend(3 * time.Millisecond)
	m.KeysUnsettled()
	ingest := m.Ingest("app")
	ingest.Events(telemetry.IngestAccepted, 3)
	ingest.Events(telemetry.IngestUnavailable, 1)
	ingest.Bytes(1000)
	route := m.Route("/app")
	route.Begin()
	route.Done("POST", 202, time.Millisecond)
	seglog := m.Seglog()
	seglog.Committed(3, 1234, time.Millisecond)
	seglog.IOError()
	seglog.Damaged(2)
	m.ClockStep()
	m.Spans(telemetry.SpansSent, 3)
	m.Spans(telemetry.SpansDropped, 1)
	m.Pushed(true)
	alerts := m.Alerts()
	alerts.Firing("PillarboxPaused", "low", 1)
	alerts.Notified("webhook", true)
	alerts.Beat(false)
	alerts.Failed(telemetry.AlertState)
	m.Pushed(false)
	m.JobEvents("replay", "events", "stored", 3)
	canary := m.Canary()
	canary.Interval(time.Minute)
	canary.Run(telemetry.CanaryAccepted, time.Millisecond, 0)
	canary.Settled("events", "returned", true, time.Millisecond, time.Unix(1_800_000_000, 0))
	canary.Standing("events", 1, 2)
	deliver := m.Deliver("events")
	deliver.Events(telemetry.Skipped, 2)
	deliver.Batch(telemetry.BatchUnavailable, 3, time.Millisecond)
	deliver.Lag(-time.Second)
	deliver.Breaker(true)
	deliver.Paused(true)
	deliver.FilterFailed(2)
	deliver.Shaped(1, 2, 3)
	m.Watch(func() telemetry.State {
		return telemetry.State{
			DiskFree: 1 << 30, Jobs: map[string]int{"replay": 1, "backfill": 0},
			Certificates: []telemetry.CertificateState{{Listener: "tls", File: "cert.pem", NotAfter: time.Unix(1_800_000_000, 0), Problem: true}},
			AtRest:       &telemetry.AtRestState{DataKeys: 2, Age: time.Hour, Failed: 1},
			Quarantine:   &telemetry.QuarantineState{Requests: 1, Bytes: 2, Kept: 3, Released: 4, Forced: 5, Discarded: 6, Expired: 7, Full: 8},
			Keys:         &telemetry.KeyState{Held: 5, Max: 100, WindowSeconds: 86400, OldestSeconds: 60, InFlight: 1, Unknown: 2, Damaged: 3}, QueueBytes: 10, QueueMaxBytes: 20, AcceptedEvents: 30, Accepting: true,
			Destinations: []telemetry.DestinationState{
				{Name: "events", PendingEvents: 4, RetryingEvents: 1, OldestEventAge: 90 * time.Second,
					DeadLetters: 2, Balanced: true},
				{Name: "copy", DeadLetters: -1},
			},
		}
	})
}

func gather(t *testing.T, registry *prometheus.Registry) []*dto.MetricFamily {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// value returns the value of the metric with exactly these labels, written as name=value.
func value(t *testing.T, registry *prometheus.Registry, name string, labels ...string) float64 {
	t.Helper()
	for _, family := range gather(t, registry) {
		for _, metric := range family.GetMetric() {
			var found []string
			for _, label := range metric.GetLabel() {
				found = append(found, label.GetName()+"="+label.GetValue())
			}
			if family.GetName() == name && slices.Equal(found, labels) {
				return metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + float64(
					metric.GetHistogram().GetSampleCount())
			}
		}
	}
	t.Errorf("no %s%v", name, labels)
	return 0
}

// The names are an interface: this list changes only on purpose, and together with dashboards and
// alerts.
func TestNamesAreGolden(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	exercise(telemetry.NewMetrics(prom.Keep(registry, prom.Options{})))
	var lines []string
	for _, family := range gather(t, registry) {
		var labels []string
		for _, label := range family.GetMetric()[0].GetLabel() {
			labels = append(labels, label.GetName())
		}
		lines = append(lines, fmt.Sprintf("%s %s {%s}\n", family.GetName(),
			strings.ToLower(family.GetType().String()), strings.Join(labels, ",")))
	}
	golden(t, "testdata/metrics.golden", strings.Join(lines, ""))
	if len(lines) != len(telemetry.Table()) {
		t.Errorf("%d metrics were exposed, %d are declared", len(lines), len(telemetry.Table()))
	}
}

func TestNamesFollowTheRule(t *testing.T) {
	form := regexp.MustCompile(`^pillarbox(_[a-z]+)+$`)
	for _, metric := range telemetry.Table() {
		if !form.MatchString(metric.Name) {
			t.Errorf("%s has a strange name", metric.Name)
		}
		if counter := metric.Type == telemetry.TypeCounter; counter != strings.HasSuffix(metric.Name,
			"_total") {
			t.Errorf("%s: counters, and only they, end in _total", metric.Name)
		}
		if histogram := metric.Type == telemetry.TypeHistogram; histogram != (len(metric.Buckets) > 0) ||
			!slices.IsSorted(metric.Buckets) {
			t.Errorf("%s: histograms, and only they, have buckets in order", metric.Name)
		}
		if !strings.HasSuffix(metric.Help, ".") {
			t.Errorf("%s: the help is no sentence", metric.Name)
		}
	}
}

func TestValuesArrive(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	exercise(telemetry.NewMetrics(prom.Keep(registry, prom.Options{})))
	tests := []struct {
		want   float64
		name   string
		labels []string
	}{
		{3, "pillarbox_ingest_events_total", []string{"result=accepted", "source=app"}},
		{1, "pillarbox_ingest_events_total", []string{"result=unavailable", "source=app"}},
		{0, "pillarbox_ingest_events_total", []string{"result=no_space", "source=app"}},
		{1000, "pillarbox_ingest_bytes_total", []string{"source=app"}},
		{1, "pillarbox_ingest_append_seconds", nil},
		{1, "pillarbox_http_requests_total", []string{"code=202", "method=POST", "route=/app"}},
		{1, "pillarbox_http_request_seconds", []string{"route=/app"}},
		{0, "pillarbox_http_requests_in_flight", nil},
		{1234, "pillarbox_seglog_written_bytes_total", nil},
		{2, "pillarbox_seglog_damaged_events_total", nil},
		{2, "pillarbox_deliver_events_total", []string{"destination=events", "outcome=skipped"}},
		{1, "pillarbox_deliver_batches_total", []string{"destination=events", "result=unavailable"}},
		{1, "pillarbox_deliver_breaker_open", []string{"destination=events"}},
		{10, "pillarbox_queue_bytes", nil},
		{20, "pillarbox_queue_max_bytes", nil},
		{30, "pillarbox_queue_accepted_events_total", nil},
		{1, "pillarbox_queue_accepting", nil},
		{90, "pillarbox_queue_oldest_event_age_seconds", []string{"destination=events"}},
		{2, "pillarbox_dead_letters", []string{"destination=events"}},
		{1, "pillarbox_ledger_balanced", []string{"destination=events"}},
		{0, "pillarbox_ledger_balanced", []string{"destination=copy"}},
	}
	for _, test := range tests {
		if got := value(t, registry, test.name, test.labels...); got != test.want {
			t.Errorf("%s%v is %v, want %v", test.name, test.labels, got, test.want)
		}
	}
}

// What a client sends never becomes a label.
func TestLabelsStayClosed(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	route := telemetry.NewMetrics(prom.Keep(registry, prom.Options{})).Route("/app")
	for i := range 1000 {
		route.Begin()
		route.Done(fmt.Sprint("METHOD", i), 10_000+i, 0)
	}
	if got := value(t, registry, "pillarbox_http_requests_total", "code=500", "method=other",
		"route=/app"); got != 1000 {
		t.Errorf("got %v", got)
	}
}

func TestNilMeasuresNothing(t *testing.T) {
	if telemetry.NewMetrics(nil) != nil {
		t.Error("no registry, but metrics")
	}
	exercise(nil)
}

func TestConcurrentUse(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	m := telemetry.NewMetrics(prom.Keep(registry, prom.Options{}))
	route := m.Route("/app")
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for code := range 100 {
				route.Begin()
				route.Done("GET", 200+code%3, time.Millisecond)
				m.Ingest("app").Events(telemetry.IngestAccepted, 1)
			}
		})
	}
	workers.Wait()
	if got := value(t, registry, "pillarbox_ingest_events_total", "result=accepted",
		"source=app"); got != 400 {
		t.Errorf("got %v", got)
	}
	if got := value(t, registry, "pillarbox_http_request_seconds", "route=/app"); got != 400 {
		t.Errorf("got %v", got)
	}
}

func BenchmarkRoute(b *testing.B) {
	route := telemetry.NewMetrics(prom.Keep(prometheus.NewRegistry(), prom.Options{})).Route("/app")
	b.ReportAllocs()
	for b.Loop() {
		route.Begin()
		route.Done("POST", 202, time.Millisecond)
	}
}

func BenchmarkIngest(b *testing.B) {
	ingest := telemetry.NewMetrics(prom.Keep(prometheus.NewRegistry(), prom.Options{})).Ingest("app")
	b.ReportAllocs()
	for b.Loop() {
		ingest.Events(telemetry.IngestAccepted, 1)
		ingest.Bytes(1000)
	}
}
