// Package prom keeps the metrics of package telemetry in a registry of Prometheus. It stands apart
// so that programs whose metrics go elsewhere, such as the functions on AWS, don't link
// Prometheus's client.
package prom

import (
	"github.com/prometheus/client_golang/prometheus"

	"pillarbox/internal/telemetry"
)

// Keep returns a registry for telemetry.NewMetrics that keeps everything in the one given.
// Declaring metrics that it has already panics.
func Keep(registry *prometheus.Registry) telemetry.Registry { return prometheusRegistry{registry} }

type prometheusRegistry struct{ registry *prometheus.Registry }

// Counter implements telemetry.Registry.
func (k prometheusRegistry) Counter(metric telemetry.Metric) func(
	labels ...string) telemetry.Counter {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: metric.Name, Help: metric.Help},
		metric.Labels)
	k.registry.MustRegister(vec)
	return func(labels ...string) telemetry.Counter { return vec.WithLabelValues(labels...) }
}

// Gauge implements telemetry.Registry.
func (k prometheusRegistry) Gauge(metric telemetry.Metric) func(labels ...string) telemetry.Gauge {
	vec := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: metric.Name, Help: metric.Help},
		metric.Labels)
	k.registry.MustRegister(vec)
	return func(labels ...string) telemetry.Gauge { return vec.WithLabelValues(labels...) }
}

// Histogram implements telemetry.Registry.
func (k prometheusRegistry) Histogram(metric telemetry.Metric) func(
	labels ...string) telemetry.Observer {
	vec := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: metric.Name, Help: metric.Help,
		Buckets: metric.Buckets}, metric.Labels)
	k.registry.MustRegister(vec)
	return func(labels ...string) telemetry.Observer { return vec.WithLabelValues(labels...) }
}

// Collect implements telemetry.Registry.
func (k prometheusRegistry) Collect(metrics []telemetry.Metric, collect func(emit telemetry.Emit)) {
	c := &collector{descs: map[string]*prometheus.Desc{}, types: map[string]prometheus.ValueType{},
		collect: collect}
	for _, metric := range metrics {
		c.descs[metric.Name] = prometheus.NewDesc(metric.Name, metric.Help, metric.Labels, nil)
		c.types[metric.Name] = prometheus.GaugeValue
		if metric.Type == telemetry.TypeCounter {
			c.types[metric.Name] = prometheus.CounterValue
		}
	}
	k.registry.MustRegister(c)
}

// collector makes metrics at the time of a scrape.
type collector struct {
	descs   map[string]*prometheus.Desc
	types   map[string]prometheus.ValueType
	collect func(emit telemetry.Emit)
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(descs chan<- *prometheus.Desc) {
	for _, desc := range c.descs {
		descs <- desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(metrics chan<- prometheus.Metric) {
	c.collect(func(name string, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(c.descs[name], c.types[name], value, labels...)
	})
}
