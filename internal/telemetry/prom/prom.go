// Package prom keeps the metrics of package telemetry in a registry of Prometheus. It stands apart
// so that programs whose metrics go elsewhere, such as the functions on AWS, don't link
// Prometheus's client.
package prom

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pillarbox/internal/telemetry"
)

// Options of Keep. The zero value works.
type Options struct {
	// NativeHistograms keeps histograms in Prometheus's native form too, beside their buckets. It is
	// for whoever scrapes in the protobuf format; the text has the buckets alone.
	NativeHistograms bool
}

// The bounds of a native histogram: each bucket is a tenth wider than the one before, and with more
// than MaxNativeBuckets of them they become wider, or begin anew after an hour.
const (
	nativeFactor     = 1.1
	MaxNativeBuckets = 160
	nativeReset      = time.Hour
)

// Keep returns a registry for telemetry.NewMetrics that keeps everything in the one given.
// Declaring metrics that it has already panics.
func Keep(registry *prometheus.Registry, options Options) telemetry.Registry {
	return prometheusRegistry{registry, options}
}

type prometheusRegistry struct {
	registry *prometheus.Registry
	options  Options
}

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
	opts := prometheus.HistogramOpts{Name: metric.Name, Help: metric.Help, Buckets: metric.Buckets}
	if k.options.NativeHistograms {
		opts.NativeHistogramBucketFactor, opts.NativeHistogramMaxBucketNumber = nativeFactor, MaxNativeBuckets
		opts.NativeHistogramMinResetDuration = nativeReset
	}
	vec := prometheus.NewHistogramVec(opts, metric.Labels)
	k.registry.MustRegister(vec)
	return func(labels ...string) telemetry.Observer { return observer{vec.WithLabelValues(labels...)} }
}

// observer is one histogram.
type observer struct{ prometheus.Observer }

// ObserveIn implements telemetry.Observer.
func (o observer) ObserveIn(traceID string, value float64) {
	o.Observer.(prometheus.ExemplarObserver).ObserveWithExemplar(value, prometheus.Labels{"trace_id": traceID})
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
