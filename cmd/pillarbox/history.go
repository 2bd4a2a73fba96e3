package main

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"pillarbox/internal/rollup"
)

// openHistory opens what charts are made of, in the data directory; nil where there is none.
func openHistory(e *engines, metrics prometheus.Gatherer) *rollup.History {
	if e.data == nil || e.readOnly {
		return nil
	}
	return rollup.Open(rollup.Options{FS: e.data, Now: e.Clock.Now, Logger: e.logger,
		Sample: func(context.Context) (rollup.Sample, error) { return sampleOf(metrics) }})
}

// charted is a number of the metrics that a history keeps, and what it is called there.
type charted struct {
	metric  string
	label   string // that must have the value; empty for none
	value   string
	by      string // the label whose values get numbers of their own, besides the one of all; empty for none
	name    string
	highest bool // of the gauges; else their sum
}

var chartedNumbers = []charted{
	{metric: "pillarbox_ingest_events_total", label: "result", value: "accepted", by: "source", name: "accepted"},
	{metric: "pillarbox_ingest_refused_total", by: "source", name: "refused"},
	{metric: "pillarbox_deliver_events_total", label: "outcome", value: "stored", by: "destination", name: "stored"},
	{metric: "pillarbox_deliver_events_total", label: "outcome", value: "dead", by: "destination", name: "dead"},
	{metric: "pillarbox_deliver_events_total", label: "outcome", value: "skipped", by: "destination", name: "skipped"},
	{metric: "pillarbox_queue_bytes", name: "queue_bytes"},
	{metric: "pillarbox_queue_pending_events", by: "destination", name: "pending"},
	{metric: "pillarbox_queue_oldest_event_age_seconds", by: "destination", name: "oldest_seconds", highest: true},
	{metric: "pillarbox_ingest_append_seconds", name: "accept"},
	{metric: "pillarbox_deliver_lag_seconds", by: "destination", name: "lag"},
}

// sampleOf reads the metrics as a scrape does.
func sampleOf(metrics prometheus.Gatherer) (rollup.Sample, error) {
	families, err := metrics.Gather()
	if err != nil {
		return rollup.Sample{}, err
	}
	byName := map[string][]*dto.Metric{}
	for _, family := range families {
		byName[family.GetName()] = family.GetMetric()
	}
	sample := rollup.Sample{Counters: map[string]float64{}, Gauges: map[string]float64{}, Histograms: map[string]rollup.Histogram{}}
	for _, c := range chartedNumbers {
		for _, m := range byName[c.metric] {
			for _, name := range c.names(m) {
				c.put(&sample, name, m)
			}
		}
	}
	return sample, nil
}

// names are those that a metric counts for; none where it is of another label.
func (c *charted) names(m *dto.Metric) []string {
	wanted, names := c.label == "", []string{c.name}
	for _, pair := range m.GetLabel() {
		wanted = wanted || pair.GetName() == c.label && pair.GetValue() == c.value
		if c.by != "" && pair.GetName() == c.by {
			names = append(names, c.by+"."+pair.GetValue()+"."+c.name)
		}
	}
	if !wanted {
		return nil
	}
	return names
}

func (c *charted) put(sample *rollup.Sample, name string, m *dto.Metric) {
	switch {
	case m.GetHistogram() != nil:
		buckets := map[float64]uint64{}
		for _, b := range m.GetHistogram().GetBucket() {
			buckets[b.GetUpperBound()] = b.GetCumulativeCount()
		}
		h := rollup.Histogram{Buckets: buckets, Count: m.GetHistogram().GetSampleCount()}
		sample.Histograms[name] = sample.Histograms[name].Plus(h)
	case m.GetCounter() != nil:
		sample.Counters[name] += m.GetCounter().GetValue()
	case c.highest:
		sample.Gauges[name] = max(sample.Gauges[name], m.GetGauge().GetValue())
	default:
		sample.Gauges[name] += m.GetGauge().GetValue()
	}
}
