package telemetry

// Registry keeps metrics. Its methods are called once for each metric, when Metrics is made, and
// the functions that they return once for each set of labels; both panic where a metric is declared
// twice.
type Registry interface {
	Counter(metric Metric) func(labels ...string) Counter
	Gauge(metric Metric) func(labels ...string) Gauge
	Histogram(metric Metric) func(labels ...string) Observer
	// Collect has collect called at each scrape, possibly concurrently, to emit the values of these
	// metrics.
	Collect(metrics []Metric, collect func(emit Emit))
}

// Counter only grows. Like Gauge and Observer, it may be used concurrently.
type Counter interface {
	Inc()
	Add(n float64)
}

// Gauge goes up and down.
type Gauge interface {
	Set(value float64)
	Add(n float64)
	Sub(n float64)
}

// Observer takes single values.
type Observer interface {
	Observe(value float64)
	// ObserveIn is Observe for a value of a recorded trace, of which it may keep the id as an exemplar.
	ObserveIn(traceID string, value float64)
}

// Emit gives the value of one metric at the time of a scrape.
type Emit func(name string, value float64, labels ...string)
