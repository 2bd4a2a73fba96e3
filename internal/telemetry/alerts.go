package telemetry

// Alerts counts what the built-in alerts do.
type Alerts struct {
	firing   func(labels ...string) Gauge
	notified func(labels ...string) Counter
	beats    func(labels ...string) Counter
	failures func(labels ...string) Counter
}

// AlertFailure is what could not be done about alerts.
type AlertFailure string

// The failures.
const (
	AlertValues AlertFailure = "values" // what is measured, or the history, was not read
	AlertRule   AlertFailure = "rule"   // a condition can't be told, or there are too many alerts
	AlertState  AlertFailure = "state"  // the state was not read or written
)

// Alerts returns the measures of the built-in alerts.
func (m *Metrics) Alerts() *Alerts {
	if m == nil {
		return nil
	}
	return &Alerts{firing: m.gauges[alertsFiring], notified: m.counters[alertMessages], beats: m.counters[alertBeats],
		failures: m.counters[alertFailures]}
}

// Firing says how many alerts of a rule fire.
func (a *Alerts) Firing(rule, severity string, n int) {
	if a != nil {
		a.firing(rule, severity).Set(float64(n))
	}
}

// Notified counts a message to a receiver of a kind.
func (a *Alerts) Notified(kind string, taken bool) {
	if a != nil {
		a.notified(kind, sentOrFailed[taken]).Inc()
	}
}

// Beat counts a heartbeat.
func (a *Alerts) Beat(taken bool) {
	if a != nil {
		a.beats(sentOrFailed[taken]).Inc()
	}
}

// Failed counts what could not be done.
func (a *Alerts) Failed(what AlertFailure) {
	if a != nil {
		a.failures(string(what)).Inc()
	}
}
