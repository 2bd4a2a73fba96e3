package lambda

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"pillarbox/internal/telemetry"
)

// Namespace is that of all metrics in CloudWatch.
const Namespace = "Pillarbox"

// The metrics, as CloudWatch has them. One line is written for each invocation, in the embedded
// metric format; a count of zero is left out, except where its absence could be taken for silence.
// The dimensions are the function, and the source or the destination.
const (
	metricAccepted = "Accepted" // events made durable
	metricReplayed = "Replayed" // answered with the receipt of before, by their idempotency key
	metricRefused  = "Refused"  // the start of a name; the kind follows, as in RefusedTooLarge
	metricRemoved  = "Removed"  // what was not kept of requests, as docs/SECURITY.md lists it
	metricBytes    = "Bytes"    // of accepted bodies
	metricBatch    = "Batch"    // messages of one invocation
	metricStored   = "Stored"   // events that are in the destination
	metricSkipped  = "Skipped"  // events that are not for the destination
	metricRetried  = "Retried"  // refused, and to be tried again
	metricReleased = "Released" // not tried, or with an unknown outcome; they come again
	// released, and made a new message because their receives came to an end
	metricSentAgain    = "SentAgain"
	metricDeadLettered = "Buried"  // given up, and sent to the dead-letter queue
	metricLetters      = "Letters" // dead letters written
	metricFailed       = "Failed"  // messages that stay in the queue
	metricLag          = "Lag"     // from accepted to stored
	metricPanics       = "Panics"  // bugs
)

// maxLagValues is how many values one metric may have in one line.
const maxLagValues = 100

// The keys of log attributes that only exist here.
const (
	keyInvocation = "aws_request_id" // of the invocation, not of an event
	keyMessage    = "message_id"     // SQS's name of a message
	keyStack      = "stack"
)

// measures collects the metrics of one invocation.
type measures struct {
	counts map[string]int
	bytes  int
	lags   []time.Duration
}

func newMeasures() *measures { return &measures{counts: map[string]int{}} }

// EMF's own words.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
type (
	metadata struct {
		Timestamp         int64 // milliseconds
		CloudWatchMetrics []directive
	}
	directive struct {
		Namespace  string
		Dimensions [][]string
		Metrics    []definition
	}
	definition struct {
		Name string
		Unit string
	}
)

// reporter writes what is the same for all invocations of a function.
type reporter struct {
	to     io.Writer // nil: nothing is written
	role   string
	object string // "Source" or "Destination"
	name   string // of the source or the destination
	logger *slog.Logger
}

func newReporter(to io.Writer, role, object, name string, logger *slog.Logger) reporter {
	return reporter{to: to, role: role, object: object, name: name,
		logger: cmp.Or(logger, slog.New(slog.DiscardHandler))}
}

// log is the logger of one invocation.
func (r reporter) log(ctx context.Context) *slog.Logger {
	return r.logger.With(keyInvocation, invocation(ctx))
}

func invocation(ctx context.Context) string {
	if known, ok := lambdacontext.FromContext(ctx); ok {
		return known.AwsRequestID
	}
	return ""
}

// panicked tells of a bug.
func (r reporter) panicked(ctx context.Context, m *measures, cause any) {
	m.counts[metricPanics]++
	r.log(ctx).Error("bug: a part of the function panicked", telemetry.KeyErr, cause, keyStack,
		string(debug.Stack()))
}

// write writes the line of one invocation. A line that can't be written is lost, and nothing else
// with it.
func (r reporter) write(ctx context.Context, now time.Time, m *measures) {
	if r.to == nil {
		return
	}
	function := cmp.Or(lambdacontext.FunctionName, r.role)
	line := map[string]any{"Function": function, "Role": r.role, r.object: r.name,
		keyInvocation: invocation(ctx)}
	var defined []definition
	for _, name := range slices.Sorted(maps.Keys(m.counts)) {
		defined, line[name] = append(defined, definition{Name: name, Unit: "Count"}), m.counts[name]
	}
	if m.bytes > 0 {
		defined, line[metricBytes] = append(defined, definition{Name: metricBytes, Unit: "Bytes"}),
			m.bytes
	}
	if len(m.lags) > 0 {
		defined, line[metricLag] = append(defined,
			definition{Name: metricLag, Unit: "Milliseconds"}), lagValues(m.lags)
	}
	line["_aws"] = metadata{Timestamp: now.UnixMilli(), CloudWatchMetrics: []directive{
		{Namespace: Namespace, Dimensions: [][]string{{"Function", r.object}}, Metrics: defined},
	}}
	text, err := json.Marshal(line)
	if err != nil {
		panic("pillarbox: bug: metrics can't be encoded: " + err.Error())
	}
	if _, err := r.to.Write(append(text, '\n')); err != nil {
		r.log(ctx).Warn("metrics are lost", telemetry.KeyErr, err)
	}
}

// lagValues returns the lags in milliseconds: all of them, or as many as one metric may have, the
// shortest and the longest among them.
func lagValues(lags []time.Duration) []int64 {
	slices.Sort(lags)
	n := min(len(lags), maxLagValues)
	values := make([]int64, n)
	for i := range values {
		at := i
		if n > 1 {
			at = i * (len(lags) - 1) / (n - 1)
		}
		values[i] = lags[at].Milliseconds()
	}
	return values
}
