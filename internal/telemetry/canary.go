package telemetry

import "time"

// CanaryRun is what the public door answered to a canary.
type CanaryRun int

// The answers.
const (
	CanaryAccepted   CanaryRun = iota
	CanaryRefused              // with a status that is no 2xx
	CanaryUnanswered           // there was no answer in time
)

var canaryRuns = [...]string{"accepted", "refused", "unanswered"}

// Canary measures the built-in canary.
type Canary struct {
	metrics *Metrics
	runs    [len(canaryRuns)]Counter
	accept  Observer
	refused Gauge
}

// Canary returns the measures of the canary.
func (m *Metrics) Canary() *Canary {
	if m == nil {
		return nil
	}
	c := &Canary{
		metrics: m,
		accept:  m.histograms[canaryAccept](),
		refused: m.gauges[canaryRefusedRuns](),
	}
	for i, name := range canaryRuns {
		c.runs[i] = m.counters[canaryRunsTotal](name)
	}
	return c
}

// Interval says how much time is between two of them now.
func (c *Canary) Interval(interval time.Duration) {
	if c != nil {
		c.metrics.gauges[canaryInterval]().Set(interval.Seconds())
	}
}

// Run counts one that was sent. inARow is how many have not been accepted since one was.
func (c *Canary) Run(result CanaryRun, took time.Duration, inARow int) {
	if c == nil {
		return
	}
	c.runs[result].Inc()
	c.refused.Set(float64(inARow))
	if result == CanaryAccepted {
		c.accept.Observe(took.Seconds())
	}
}

// Settled counts what became of one at a destination: one of the states of deliver.CanaryResult
// that it was tried in. back says that the destination has it, or has had it, and took how long
// that was.
func (c *Canary) Settled(destination, result string, back bool, took time.Duration, at time.Time) {
	if c == nil {
		return
	}
	c.metrics.counters[canaryResults](destination, result).Inc()
	if back {
		c.metrics.histograms[canarySeconds](destination).Observe(max(0, took.Seconds()))
		c.metrics.gauges[canaryLastSuccess](destination).Set(float64(at.UnixMilli()) / 1000)
	}
}

// Standing says how many are on their way to a destination, and how many have not come back in time
// since one has.
func (c *Canary) Standing(destination string, waiting uint64, lostInARow int) {
	if c != nil {
		c.metrics.gauges[canaryWaiting](destination).Set(float64(waiting))
		c.metrics.gauges[canaryLostRuns](destination).Set(float64(lostInARow))
	}
}
