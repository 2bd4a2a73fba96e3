package telemetry

import (
	"fmt"
	"runtime"
	"slices"
	"time"
)

// Metrics holds all metrics of the process. Parts that measure something take what they need once,
// by name (Ingest, Route, Deliver, Seglog), and then count without looking anything up. All methods
// of it and of its parts may be called concurrently, and on nil, where they do nothing.
type Metrics struct {
	registry   Registry
	counters   map[string]func(labels ...string) Counter
	gauges     map[string]func(labels ...string) Gauge
	histograms map[string]func(labels ...string) Observer
	pulled     []Metric // asked for at the time of the scrape

	appended Observer
	inFlight Gauge
	closed   map[string]Counter // by closeReasons
	seglog   *Seglog
}

// NewMetrics declares all metrics of Table. It returns nil for a nil registry, and panics if the
// registry has them already.
func NewMetrics(registry Registry) *Metrics {
	if registry == nil {
		return nil
	}
	m := &Metrics{
		registry:   registry,
		counters:   make(map[string]func(labels ...string) Counter),
		gauges:     make(map[string]func(labels ...string) Gauge),
		histograms: make(map[string]func(labels ...string) Observer),
	}
	for _, metric := range Table() {
		m.declare(metric)
	}
	m.appended = m.histograms[ingestAppend]()
	m.inFlight = m.gauges[httpInFlight]()
	m.closed = map[string]Counter{}
	for _, reason := range closeReasons {
		m.closed[reason] = m.counters[httpClosed](reason)
	}
	m.seglog = newSeglog(m)
	return m
}

func (m *Metrics) declare(metric Metric) {
	switch {
	case pulledAtScrape(metric.Name):
		m.pulled = append(m.pulled, metric)
	case metric.Type == TypeCounter:
		m.counters[metric.Name] = m.registry.Counter(metric)
	case metric.Type == TypeGauge:
		m.gauges[metric.Name] = m.registry.Gauge(metric)
	case metric.Type == TypeHistogram:
		m.histograms[metric.Name] = m.registry.Histogram(metric)
	default:
		panic(fmt.Sprintf("pillarbox: bug: metric %s has the type %q", metric.Name, metric.Type))
	}
}

// SetBuild says which version runs.
func (m *Metrics) SetBuild(version string) {
	if m != nil {
		m.gauges[buildInfo](version, runtime.Version()).Set(1)
	}
}

// ClockStep counts one change of the date that is not the passing of time.
func (m *Metrics) ClockStep() {
	if m != nil {
		m.counters[clockSteps]().Inc()
	}
}

// ObserveAppend measures one durable append, as the request that waited for it saw it.
func (m *Metrics) ObserveAppend(took time.Duration) {
	if m != nil {
		m.appended.Observe(took.Seconds())
	}
}

// KeysUnsettled counts that a store of idempotency keys did not take what became of them.
func (m *Metrics) KeysUnsettled() {
	if m != nil {
		m.counters[keysUnsettled]().Inc()
	}
}

// closeReasons is the closed set of the label.
var closeReasons = [...]string{"room", "address", "handshake", "proxy", "crowded"}

// ConnectionClosed counts a connection that was closed to keep to a limit. A reason that is none is
// a bug.
func (m *Metrics) ConnectionClosed(reason string) {
	if m == nil {
		return
	}
	counter, known := m.closed[reason]
	if !known {
		panic("pillarbox: bug: connections are not closed for " + reason)
	}
	counter.Add(1)
}

// IngestResult is what was answered to one event.
type IngestResult int

// The results of accepting.
const (
	IngestAccepted IngestResult = iota
	IngestInvalid
	IngestTooLarge
	IngestFull
	IngestNoSpace
	IngestUnavailable
	IngestUnknown   // it may be stored
	IngestReplayed  // an earlier request with its idempotency key was
	IngestInFlight  // an earlier request with its idempotency key is not answered yet
	IngestKeyReused // its idempotency key came before with another content

	IngestQuarantined // its signature fails, and it is kept apart
)

var ingestResults = [...]string{"accepted", "invalid", "too_large", "full", "no_space",
	"unavailable", "unknown", "replayed", "in_flight", "key_reused", "quarantined"}

// Removal is what was not kept of a request.
type Removal int

// The removals.
const (
	RemovedHeader    Removal = iota // a header
	RemovedParameter                // the value of a parameter of the query
	RemovedInURL                    // a part of a URL in a header
	RemovedByRule                   // a header that the configuration does not want
	Redacted                        // a value that the configuration wants replaced
	Hashed                          // a value of which the configuration wants a digest
	removals
)

// Removals is the number of them.
const Removals = int(removals)

var removalNames = [Removals]string{"header", "parameter", "url", "rule", "redacted", "hashed"}

// OfSecrets reports whether it is of bearer secrets, which no configuration has named.
func (r Removal) OfSecrets() bool { return r < RemovedByRule }

func (r Removal) String() string { return removalNames[r] }

// refusals are the reasons for which a request, or an item of a batch, is refused, by the status.
var refusals = [...]struct {
	status int
	reason string
}{
	{400, "invalid"}, {401, "unauthorized"}, {403, "forbidden"}, {405, "method"}, {408, "slow"},
	{409, "in_flight"}, {422, "key_reused"}, {413, "too_large"}, {415, "unsupported"}, {424,
		"batch"},
	{429, "rate"}, {503, "unavailable"}, {507, "no_space"},
	{0, "other"}, // last, for every other status
}

// Ingest counts the events of one source.
type Ingest struct {
	events  [len(ingestResults)]Counter
	refused [len(refusals)]Counter
	removed [Removals]Counter
	bytes   Counter

	unverified [len(unverifiedReasons)]Counter
	handshakes Counter
	decoded    map[string]Counter // by coding

	unauthorized [len(unauthorizedReasons)]Counter
	limited      [len(limits)]Counter
}

// limits are those of package source, which a test holds them to.
var limits = [...]string{"server", "source", "key", "address"}

// Limits lists what Limited takes.
func Limits() []string { return limits[:] }

// unauthorizedReasons are those of packages source, apikey and jwt, which a test holds them to.
var unauthorizedReasons = [...]string{"missing", "several", "malformed", "unknown", "revoked",
	"expired", "other_source", "algorithm", "other_issuer", "other_audience", "not_yet"}

// UnauthorizedReasons lists what Unauthorized takes.
func UnauthorizedReasons() []string { return unauthorizedReasons[:] }

// unverifiedReasons are those of package signature, which a test holds them to.
var unverifiedReasons = [...]string{"missing", "malformed", "mismatch", "too_old", "too_new"}

// UnverifiedReasons lists what Unverified takes.
func UnverifiedReasons() []string { return unverifiedReasons[:] }

// Ingest returns the counters of a source, by its name in the configuration.
func (m *Metrics) Ingest(source string) *Ingest {
	if m == nil {
		return nil
	}
	ingest := &Ingest{bytes: m.counters[ingestBytes](source)}
	for result, name := range ingestResults {
		ingest.events[result] = m.counters[ingestEvents](source, name)
	}
	for i, refusal := range refusals {
		ingest.refused[i] = m.counters[ingestRefused](source, refusal.reason)
	}
	for i, reason := range unverifiedReasons {
		ingest.unverified[i] = m.counters[ingestUnverified](source, reason)
	}
	ingest.decoded = map[string]Counter{}
	for _, coding := range codings {
		ingest.decoded[coding] = m.counters[ingestDecoded](source, coding)
	}
	for i, reason := range unauthorizedReasons {
		ingest.unauthorized[i] = m.counters[ingestUnauthorized](source, reason)
	}
	for i, limit := range limits {
		ingest.limited[i] = m.counters[ingestLimited](source, limit)
	}
	ingest.handshakes = m.counters[ingestHandshakes](source)
	for what, name := range removalNames {
		ingest.removed[what] = m.counters[ingestRemoved](source, name)
	}
	return ingest
}

// Refused counts n requests, or items of batches, that were answered with the status of an error.
func (i *Ingest) Refused(status, n int) {
	if i == nil {
		return
	}
	for at := range refusals {
		if refusals[at].status == status || refusals[at].status == 0 {
			i.refused[at].Add(float64(n))
			return
		}
	}
}

// Unverified counts n requests whose signature proves nothing, by the reason.
func (i *Ingest) Unverified(reason string, n int) {
	if i == nil {
		return
	}
	if at := slices.Index(unverifiedReasons[:], reason); at >= 0 {
		i.unverified[at].Add(float64(n))
	}
}

// codings are those of package decode.
var codings = [...]string{"gzip", "deflate", "zstd"}

// Decoded counts a body that came with a coding.
func (i *Ingest) Decoded(coding string) {
	if i != nil {
		i.decoded[coding].Add(1)
	}
}

// Unauthorized counts n requests that come with no credential that opens the source, by the reason.
func (i *Ingest) Unauthorized(reason string, n int) {
	if i == nil {
		return
	}
	if at := slices.Index(unauthorizedReasons[:], reason); at >= 0 {
		i.unauthorized[at].Add(float64(n))
	}
}

// Limited counts n requests that are over a limit of the rate, by whose limit it is.
func (i *Ingest) Limited(limit string, n int) {
	if i == nil {
		return
	}
	if at := slices.Index(limits[:], limit); at >= 0 {
		i.limited[at].Add(float64(n))
	}
}

// Handshake counts a handshake that was answered.
func (i *Ingest) Handshake() {
	if i != nil {
		i.handshakes.Add(1)
	}
}

// Removed counts n values that were not kept.
func (i *Ingest) Removed(what Removal, n int) {
	if i != nil {
		i.removed[what].Add(float64(n))
	}
}

// Events counts n events with the same result.
func (i *Ingest) Events(result IngestResult, n int) {
	if i != nil {
		i.events[result].Add(float64(n))
	}
}

// Bytes counts the bytes of accepted bodies.
func (i *Ingest) Bytes(n int64) {
	if i != nil {
		i.bytes.Add(float64(n))
	}
}

// Seglog measures the embedded log.
type Seglog struct {
	commits, written, errors, damaged Counter
	group, fsync                      Observer
}

// Seglog returns the measures of the embedded log.
func (m *Metrics) Seglog() *Seglog {
	if m == nil {
		return nil
	}
	return m.seglog
}

func newSeglog(m *Metrics) *Seglog {
	return &Seglog{
		commits: m.counters[seglogCommits](),
		written: m.counters[seglogWritten](),
		errors:  m.counters[seglogErrors](),
		damaged: m.counters[seglogDamaged](),
		group:   m.histograms[seglogGroup](),
		fsync:   m.histograms[seglogFsync](),
	}
}

// Committed measures one group commit: its events, its bytes with all headers, and how long the
// flush took.
func (s *Seglog) Committed(events int, bytes int64, sync time.Duration) {
	if s != nil {
		s.commits.Inc()
		s.group.Observe(float64(events))
		s.written.Add(float64(bytes))
		s.fsync.Observe(sync.Seconds())
	}
}

// IOError counts one failed write or flush.
func (s *Seglog) IOError() {
	if s != nil {
		s.errors.Inc()
	}
}

// Damaged counts events that are lost to damaged files.
func (s *Seglog) Damaged(events uint64) {
	if s != nil {
		s.damaged.Add(float64(events))
	}
}

// Outcome is what became of one delivery.
type Outcome int

// The outcomes of a delivery.
const (
	Stored   Outcome = iota
	Retry            // refused, to be tried again
	Dead             // now a dead letter
	Released         // given back unharmed
	Skipped          // not meant for this destination
	Held             // no destination takes it any more
)

var outcomes = [...]string{"stored", "retry", "dead", "released", "skipped", "held"}

// BatchResult is what became of one write.
type BatchResult int

// The results of a write.
const (
	BatchStored      BatchResult = iota // all of it
	BatchPartial                        // some of it
	BatchRefused                        // none of it
	BatchUnavailable                    // the destination is down
)

var batchResults = [...]string{"stored", "partial", "refused", "unavailable"}

// Deliver measures one destination.
type Deliver struct {
	events  [len(outcomes)]Counter
	batches [len(batchResults)]Counter
	batch   Observer
	write   Observer
	lag     Observer
	breaker Gauge
	paused  Gauge
	filter  Counter
	shaped  [len(changes)]Counter
}

// changes are what a shape does, in the order of the arguments of Shaped.
var changes = [...]string{"dropped", "redacted", "renamed"}

// Deliver returns the measures of a destination, by its name in the configuration.
func (m *Metrics) Deliver(destination string) *Deliver {
	if m == nil {
		return nil
	}
	deliver := &Deliver{
		batch:   m.histograms[deliverBatch](destination),
		write:   m.histograms[deliverWrite](destination),
		lag:     m.histograms[deliverLag](destination),
		breaker: m.gauges[deliverBreaker](destination), paused: m.gauges[deliverPaused](destination),
		filter: m.counters[deliverFilter](destination),
	}
	for i, name := range changes {
		deliver.shaped[i] = m.counters[deliverShaped](destination, name)
	}
	for outcome, name := range outcomes {
		deliver.events[outcome] = m.counters[deliverEvents](destination, name)
	}
	for result, name := range batchResults {
		deliver.batches[result] = m.counters[deliverBatches](destination, name)
	}
	return deliver
}

// Events counts n deliveries with the same outcome.
func (d *Deliver) Events(outcome Outcome, n int) {
	if d != nil {
		d.events[outcome].Add(float64(n))
	}
}

// Batch measures one write of so many events.
func (d *Deliver) Batch(result BatchResult, events int, took time.Duration) {
	if d != nil {
		d.batches[result].Inc()
		d.batch.Observe(float64(events))
		d.write.Observe(took.Seconds())
	}
}

// Lag measures one stored event: the time since it was accepted. A clock that was set back counts
// as no lag.
func (d *Deliver) Lag(since time.Duration) {
	if d != nil {
		d.lag.Observe(max(0, since.Seconds()))
	}
}

// LagIn is Lag for an event of a recorded trace, which may become an exemplar.
func (d *Deliver) LagIn(traceID string, lag time.Duration) {
	if d != nil {
		d.lag.ObserveIn(traceID, max(0, lag.Seconds()))
	}
}

// FilterFailed counts events that the filter could not tell of.
func (d *Deliver) FilterFailed(n int) {
	if d != nil {
		d.filter.Add(float64(n))
	}
}

// Shaped counts values that were changed on their way to the destination.
func (d *Deliver) Shaped(dropped, redacted, renamed int) {
	if d == nil {
		return
	}
	for i, n := range [...]int{dropped, redacted, renamed} {
		if n > 0 {
			d.shaped[i].Add(float64(n))
		}
	}
}

// Paused says whether a person has paused the delivery.
func (d *Deliver) Paused(paused bool) {
	if d != nil {
		d.paused.Set(number(paused))
	}
}

// Breaker says whether delivery waits because the destination is down.
func (d *Deliver) Breaker(open bool) {
	if d != nil {
		d.breaker.Set(number(open))
	}
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
