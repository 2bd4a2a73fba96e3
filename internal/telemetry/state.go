package telemetry

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// State is what the metrics of the queue are made of. It is asked for at each scrape, so it must cost no scan.
type State struct {
	QueueBytes     int64
	QueueMaxBytes  int64 // 0 for no limit
	AcceptedEvents uint64
	Accepting      bool
	Destinations   []DestinationState
}

// DestinationState is the part of State that exists for each destination.
type DestinationState struct {
	Name           string // from the configuration; names that occur twice fail the scrape
	PendingEvents  uint64
	RetryingEvents uint64
	OldestEventAge time.Duration // 0 where nothing is pending
	DeadLetters    int64         // open ones; negative where it isn't known, which leaves the metric out
	Balanced       bool
}

// pulledAtScrape reports whether a metric is made of State.
func pulledAtScrape(name string) bool {
	return slices.Contains([]string{
		queueBytes, queueMaxBytes, queueAccepted, queueAccepting, queuePending, queueOldest, queueRetrying,
		deadLetters, ledgerBalanced,
	}, name)
}

// Watch asks state at each scrape from now on, possibly concurrently. It is to be called once: a second call
// panics.
func (m *Metrics) Watch(state func() State) {
	if m != nil {
		m.registry.MustRegister(&stateCollector{descs: m.pulled, state: state})
	}
}

type stateCollector struct {
	descs map[string]*prometheus.Desc
	state func() State
}

// Describe implements prometheus.Collector.
func (c *stateCollector) Describe(descs chan<- *prometheus.Desc) {
	for _, desc := range c.descs {
		descs <- desc
	}
}

// Collect implements prometheus.Collector.
func (c *stateCollector) Collect(metrics chan<- prometheus.Metric) {
	state := c.state()
	gauge := func(name string, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(c.descs[name], prometheus.GaugeValue, value, labels...)
	}
	gauge(queueBytes, float64(state.QueueBytes))
	gauge(queueMaxBytes, float64(state.QueueMaxBytes))
	gauge(queueAccepting, number(state.Accepting))
	metrics <- prometheus.MustNewConstMetric(c.descs[queueAccepted], prometheus.CounterValue, float64(state.AcceptedEvents))
	for _, destination := range state.Destinations {
		gauge(queuePending, float64(destination.PendingEvents), destination.Name)
		gauge(queueRetrying, float64(destination.RetryingEvents), destination.Name)
		gauge(queueOldest, max(0, destination.OldestEventAge.Seconds()), destination.Name)
		gauge(ledgerBalanced, number(destination.Balanced), destination.Name)
		if destination.DeadLetters >= 0 {
			gauge(deadLetters, float64(destination.DeadLetters), destination.Name)
		}
	}
}
