package telemetry

// SpanResult is what became of spans.
type SpanResult int

// The results of spans.
const (
	SpansSent    SpanResult = iota
	SpansFailed             // the receiver did not take them
	SpansDropped            // too many waited for it
)

var spanResults = [...]string{"sent", "failed", "dropped"}

// Spans counts n spans.
func (m *Metrics) Spans(result SpanResult, n int) {
	if m != nil {
		m.counters[traceSpans](spanResults[result]).Add(float64(n))
	}
}

// sentOrFailed are the results of what is sent whole or not at all.
var sentOrFailed = map[bool]string{true: "sent", false: "failed"}

// Pushed counts one push of all metrics.
func (m *Metrics) Pushed(sent bool) {
	if m != nil {
		m.counters[metricPushes](sentOrFailed[sent]).Inc()
	}
}

// JobEvents counts events that a job has brought to an outcome: "stored", "refused" or "taken".
func (m *Metrics) JobEvents(kind, destination, outcome string, n int) {
	if m != nil && n > 0 {
		m.counters[jobEvents](kind, destination, outcome).Add(float64(n))
	}
}
