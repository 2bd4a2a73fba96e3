package alert

import (
	"fmt"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
)

// Kind is what there is one or several of: what a rule is evaluated for each of.
type Kind string

// The kinds.
const (
	OfNode        Kind = "node"
	OfDestination Kind = "destination"
	OfCertificate Kind = "certificate"
)

// Kinds lists them.
func Kinds() []Kind { return []Kind{OfNode, OfDestination, OfCertificate} }

// Series is one number of the metrics. A histogram has a series for each bucket, which is called
// NAME_bucket and has the label le.
type Series struct {
	Metric string
	Labels map[string]string
	Value  float64
}

// value is one name that expressions may use. To add one is to add a line to values.
type value struct {
	name string
	of   Kind
	doc  string
	reading
}

// reading says how a value is read off the metrics.
type reading struct {
	kind   readingKind
	metric string
	label  string        // that a series must have; empty for none
	want   string        // the value of the label; with a star at its end, the beginning of it
	over   time.Duration // the time that an increase, a quantile or a forecast is of
	at     float64       // the quantile
	bound  string        // the metric of what a forecast reaches
}

// readingKind is how a number comes from series.
type readingKind int

const (
	isNumber   readingKind = iota // the series as they are, added up
	isYes                         // whether it is 1
	isGrown                       // by how much they have grown, over a time
	isGrowth                      // the same a second; of a counter that outlives the process
	isLevel                       // a quantile of a histogram, over a time
	isFull                        // seconds until the series reach a bound, by the line through them
	isDate                        // seconds until a date
	isUsual                       // from the history: what was accepted a second at this hour of four weeks
	isLastWeek                    // the same, of the last week alone
	isText                        // what the thing is called
)

func gauge(metric string) reading { return reading{kind: isNumber, metric: metric} }
func flag(metric string) reading  { return reading{kind: isYes, metric: metric} }

func grown(metric string, over time.Duration, label ...string) reading {
	r := reading{kind: isGrown, metric: metric, over: over}
	if len(label) == 2 {
		r.label, r.want = label[0], label[1]
	}
	return r
}

const (
	minutes5  = 5 * time.Minute
	minutes15 = 15 * time.Minute
	minutes30 = 30 * time.Minute

	outcomes = "pillarbox_deliver_events_total"
	requests = "pillarbox_http_requests_total"
)

// values is the table of all that expressions may use.
var values = []value{
	{"queue.accepting", OfNode, "whether the queue takes new events", flag("pillarbox_queue_accepting")},
	{"queue.bytes", OfNode, "bytes that the queue holds for its slowest destination", gauge("pillarbox_queue_bytes")},
	{"queue.max_bytes", OfNode, "the limit of that; 0 where there is none", gauge("pillarbox_queue_max_bytes")},
	{"queue.full_in_seconds", OfNode, "until it is full, if it goes on like in the last hour; not known where it does not grow, or has no limit",
		reading{kind: isFull, metric: "pillarbox_queue_bytes", bound: "pillarbox_queue_max_bytes",
			over: time.Hour}},
	{"queue.hanging_seconds", OfNode, "for how long the storage of the queue has not answered; 0 while it does", gauge("pillarbox_queue_hanging_seconds")},
	{"disk.hanging_seconds", OfNode, "for how long the disk has not answered any one call; 0 while it does", gauge("pillarbox_disk_hanging_seconds")},
	{"disk.free_bytes", OfNode, "bytes left on the disk of the data directory", gauge("pillarbox_disk_free_bytes")},
	{"disk.errors_15m", OfNode, "failed writes and flushes of the log, of 15 minutes", grown("pillarbox_seglog_io_errors_total", minutes15)},
	{"disk.flush_p99_seconds", OfNode, "what 99 of 100 flushes of 5 minutes took at most; not known where there was none",
		reading{kind: isLevel, metric: "pillarbox_seglog_fsync_seconds", over: minutes5, at: 0.99}},
	{"events.damaged_1h", OfNode, "events lost to damaged files of the log, of an hour", grown("pillarbox_seglog_damaged_events_total", time.Hour)},
	{"http.requests_5m", OfNode, "requests that were answered, of 5 minutes", grown(requests, minutes5)},
	{"http.errors_5m", OfNode, "those of them that were answered with 5xx", grown(requests, minutes5, "code", "5*")},
	{"accepted.rate_1h", OfNode, "events accepted a second, of an hour; not known in the first half of one",
		reading{kind: isGrowth, metric: "pillarbox_queue_accepted_events_total", over: time.Hour}},
	{"accepted.usual_rate", OfNode, "the same at this hour of the four weeks before; not known where the history does not have them all", reading{kind: isUsual}},
	{"accepted.rate_last_week", OfNode, "the same a week ago", reading{kind: isLastWeek}},
	{"quarantine.requests", OfNode, "requests in quarantine", gauge("pillarbox_quarantined_requests")},
	{"encryption.data_key_age_seconds", OfNode, "age of the data key that seals what is new; 0 where nothing is sealed", gauge("pillarbox_encryption_data_key_age_seconds")},
	{"canary.refused_in_a_row", OfNode, "canaries since the last one that the public door has taken", gauge("pillarbox_canary_refused_in_a_row")},
	{"canary.accept_p50_seconds", OfNode, "what half of the canaries of 30 minutes took at most until they were accepted; not known where there was none",
		reading{kind: isLevel, metric: "pillarbox_canary_accept_seconds", over: minutes30, at: 0.5}},
	{"log.dropped_1h", OfNode, "lines of the log that were dropped, of an hour", grown("pillarbox_log_dropped_lines_total", time.Hour)},

	{"destination.name", OfDestination, "what it is called", reading{kind: isText, label: "destination"}},
	{"destination.pending", OfDestination, "events that are not settled", gauge("pillarbox_queue_pending_events")},
	{"destination.oldest_seconds", OfDestination, "age of the oldest of them; 0 where there is none", gauge("pillarbox_queue_oldest_event_age_seconds")},
	{"destination.retrying", OfDestination, "those of them that were refused at least once", gauge("pillarbox_queue_retrying_events")},
	{"destination.held", OfDestination, "those of them that no destination takes any more", gauge("pillarbox_queue_held_events")},
	{"destination.down", OfDestination, "whether delivery waits because it does not answer", flag("pillarbox_deliver_breaker_open")},
	{"destination.paused", OfDestination, "whether delivery waits because a person has paused it", flag("pillarbox_deliver_paused")},
	{"destination.hanging_seconds", OfDestination, "for how long a write has not returned, past its time; 0 while writes do", gauge("pillarbox_deliver_hanging_seconds")},
	{"destination.balanced", OfDestination, "whether its account adds up", flag("pillarbox_ledger_balanced")},
	{"destination.dead_letters", OfDestination, "dead letters that are open", gauge("pillarbox_dead_letters")},
	{"destination.dead_1h", OfDestination, "events that became dead letters, of an hour", grown(outcomes, time.Hour, "outcome", "dead")},
	{"destination.dead_15m", OfDestination, "the same of 15 minutes", grown(outcomes, minutes15, "outcome", "dead")},
	{"destination.stored_15m", OfDestination, "events that were stored, of 15 minutes", grown(outcomes, minutes15, "outcome", "stored")},
	{"destination.canary_lost_in_a_row", OfDestination, "canaries in a row that have not come back in time", gauge("pillarbox_canary_lost_in_a_row")},
	{"destination.canary_p50_seconds", OfDestination, "what half of the canaries of 30 minutes took at most to it and back; not known where there was none",
		reading{kind: isLevel, metric: "pillarbox_canary_seconds", over: minutes30, at: 0.5}},

	{"certificate.listener", OfCertificate, "the key of its listener: tls or admin.tls", reading{kind: isText, label: "listener"}},
	{"certificate.file", OfCertificate, "its file", reading{kind: isText, label: "file"}},
	{"certificate.problem", OfCertificate, "whether it ends within 14 days or has ended, or can't be taken", flag("pillarbox_certificate_problem")},
	{"certificate.ends_in_seconds", OfCertificate, "until it ends; below 0 where it has", reading{kind: isDate, metric: "pillarbox_certificate_expiry_timestamp_seconds"}},
}

// labels are those that tell the things of a kind apart.
var labels = map[Kind][]string{OfNode: nil, OfDestination: {"destination"},
	OfCertificate: {"listener", "file"}}

// celType is the type that expressions have it by.
func (v *value) celType() *cel.Type {
	switch v.kind {
	case isYes:
		return cel.BoolType
	case isText:
		return cel.StringType
	}
	return cel.DoubleType
}

// Value is a name that expressions may use, as a document has it.
type Value struct{ Name, Type, Of, Doc string }

// Values lists them all.
func Values() (all []Value) {
	for i := range values {
		v := &values[i]
		kind := map[readingKind]string{isYes: "true or false", isText: "text"}[v.kind]
		if kind == "" {
			kind = "number"
		}
		all = append(all, Value{Name: v.name, Type: kind, Of: string(v.of), Doc: v.doc})
	}
	return all
}

// Metrics lists the metrics that values are read from, without those of buckets.
func Metrics() (names []string) {
	for i := range values {
		for _, name := range []string{values[i].metric, values[i].bound} {
			if name != "" {
				names = append(names, name)
			}
		}
	}
	return names
}

// matches reports whether a series is one that the reading is made of.
func (r *reading) matches(s *Series) bool {
	if r.label == "" {
		return true
	}
	got := s.Labels[r.label]
	if begin, open := strings.CutSuffix(r.want, "*"); open {
		return strings.HasPrefix(got, begin)
	}
	return got == r.want
}

// counter is the name under which growth of its series is kept, for one thing.
func (r *reading) counter(of string) string {
	return fmt.Sprintf("%s{%s=%s}%s", r.metric, r.label, r.want, of)
}
