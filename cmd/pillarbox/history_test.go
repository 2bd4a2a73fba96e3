package main

import (
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"pillarbox/internal/telemetry"
	"pillarbox/internal/telemetry/prom"
)

// The history is made of the metrics, by their names and labels.
func TestHistoryIsMadeOfMetrics(t *testing.T) {
	for _, c := range chartedNumbers {
		at := slices.IndexFunc(telemetry.Table(), func(m telemetry.Metric) bool { return m.Name == c.metric })
		if at < 0 {
			t.Errorf("there is no metric %s", c.metric)
			continue
		}
		for _, label := range []string{c.label, c.by} {
			if label != "" && !slices.Contains(telemetry.Table()[at].Labels, label) {
				t.Errorf("%s has no label %s", c.metric, label)
			}
		}
	}
}

// Numbers are there of all, and of each source and destination; of ages the highest counts.
func TestSampleAddsUp(t *testing.T) {
	registry := prometheus.NewRegistry()
	metrics := telemetry.NewMetrics(prom.Keep(registry, prom.Options{}))
	for source, n := range map[string]int{"app": 3, "orders": 4} {
		ingest := metrics.Ingest(source)
		ingest.Events(telemetry.IngestAccepted, n)
		ingest.Events(telemetry.IngestInvalid, 1)
	}
	metrics.Watch(func() telemetry.State {
		return telemetry.State{QueueBytes: 7, Destinations: []telemetry.DestinationState{
			{Name: "a", PendingEvents: 2, OldestEventAge: 3e9}, {Name: "b", PendingEvents: 5, OldestEventAge: 2e9}}}
	})
	sample, err := sampleOf(registry)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{"accepted": 7, "source.app.accepted": 3, "source.orders.accepted": 4} {
		if got := sample.Counters[name]; got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	for name, want := range map[string]float64{"queue_bytes": 7, "pending": 7, "destination.b.pending": 5, "oldest_seconds": 3} {
		if got := sample.Gauges[name]; got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}
