package lambda

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"pillarbox"
	"pillarbox/internal/deliver"
	"pillarbox/internal/destination"
	"pillarbox/internal/retry"
	"pillarbox/internal/sqsrules"
	"pillarbox/internal/telemetry"
)

// The waits between two receives of one message. They double with each receive, because SQS counts
// every one of them, also those during which the destination was down and nothing was tried: with
// 20 receives they add up to more than two days and, by jitter, to at most five.
const (
	RetryInitial = 30 * time.Second
	// LongestWait is the 12 hours for which SQS can hide a message, less what may have passed of
	// them: they count from the receive, before a batch was filled (5 minutes) and a function ran
	// (15 minutes).
	LongestWait = 12*time.Hour - 30*time.Minute
)

// The bounds of what is restored and written at once.
const (
	sliceEvents     = 250
	sliceBytes      = 24 << 20
	restoreParallel = 8
)

// DeliverOptions are the rules of a Deliver. Zero means the default.
type DeliverOptions struct {
	Source       string        // of messages that can't be read; default "app"
	Destination  string        // default "events"
	MaxReceives  int           // after which an event that is refused is given up; default 20
	MaxRetryWait time.Duration // default, and at most, LongestWait
	MaxAge       time.Duration // of an event, after which it is given up; 0 for no limit
	Logger       *slog.Logger  // default: discard
	Metrics      io.Writer     // for the embedded metric format; nil: none
	Now          func() time.Time
	Chance       func() float64 // in [0, 1), for jitter; default rand.Float64
}

// Deliver takes batches of messages to a destination.
type Deliver struct {
	sink     pillarbox.Sink
	queue    MessageQueue
	opts     DeliverOptions
	to       *destination.Destination
	policy   retry.Policy
	limits   sqsrules.Limits
	reporter reporter
}

// NewDeliver makes the handler. The caller closes the sink, after the last invocation.
func NewDeliver(sink pillarbox.Sink, queue MessageQueue, opts DeliverOptions) *Deliver {
	opts.Source = cmp.Or(opts.Source, DefaultSource)
	opts.Destination = cmp.Or(opts.Destination, DefaultDestination)
	opts.MaxReceives = cmp.Or(opts.MaxReceives, retry.DefaultMaxAttempts)
	opts.MaxRetryWait = min(cmp.Or(opts.MaxRetryWait, LongestWait), LongestWait)
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Chance == nil {
		opts.Chance = rand.Float64
	}
	policy := retry.Policy{Initial: min(RetryInitial, opts.MaxRetryWait), Max: opts.MaxRetryWait,
		MaxAttempts: opts.MaxReceives}
	return &Deliver{
		sink: sink, queue: queue, opts: opts, policy: policy,
		// Others fill the queue too, with sources that this function need not know: it takes all.
		to: destination.New(destination.Settings{Name: opts.Destination, Retry: policy,
			MaxAge: opts.MaxAge, WriteTimeout: -1}),
		limits:   sqsrules.Limits{MaxReceives: opts.MaxReceives, MaxAge: opts.MaxAge},
		reporter: newReporter(opts.Metrics, "deliver", "Destination", opts.Destination, opts.Logger),
	}
}

// Invoke delivers one batch. An error keeps all of it in the queue.
func (d *Deliver) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	return invokeBatch(ctx, payload, d.Handle)
}

// invokeBatch puts JSON around a handler of batches. Its errors say nothing of what the payload
// holds.
func invokeBatch(ctx context.Context, payload []byte,
	handle func(context.Context, events.SQSEvent) (events.SQSEventResponse, error)) ([]byte, error) {
	var event events.SQSEvent
	if err := json.Unmarshal(payload, &event); err != nil {
		return nil, fmt.Errorf("%d bytes that can't be read: %w", len(payload), errNoBatch)
	}
	response, err := handle(ctx, event)
	if err != nil {
		return nil, err
	}
	return json.Marshal(response)
}

// Handle delivers one batch and names the messages that are to stay in the queue: those that are
// not known to be stored, skipped, dead-lettered or sent again, even if something in here panics.
// An error keeps the whole batch.
func (d *Deliver) Handle(ctx context.Context,
	event events.SQSEvent) (response events.SQSEventResponse, err error) {
	if err := checkBatch(event); err != nil {
		return events.SQSEventResponse{}, err
	}
	b := &batch{Deliver: d, now: d.opts.Now(), log: d.reporter.log(ctx), measures: newMeasures()}
	b.messages = readAll(event.Records, d.opts.Source, b.now)
	defer func() {
		if cause := recover(); cause != nil {
			d.reporter.panicked(ctx, b.measures, cause)
		}
		response, err = failures(b.messages)
		b.count(len(event.Records), len(response.BatchItemFailures))
		d.reporter.write(ctx, b.now, b.measures)
	}()
	writing, cancel := within(ctx, settleReserve)
	defer cancel()
	settling, cancelSettling := within(ctx, answerReserve)
	defer cancelSettling()
	b.deliver(writing)
	b.settle(settling)
	return response, err
}

// batch is one batch on its way.
type batch struct {
	*Deliver
	now      time.Time
	log      *slog.Logger
	measures *measures
	messages []*message
	down     error // why nothing more is tried
	probed   bool
}

// deliver takes every message to an outcome. What it does not get to is released.
func (b *batch) deliver(ctx context.Context) {
	for _, m := range b.messages {
		m.outcome.Kind = pillarbox.OutcomeReleased
	}
	b.deliverAll(ctx, slices.Clone(b.messages), b.to)
	switch {
	case ctx.Err() != nil:
		b.log.Warn("time is up before all events were delivered", telemetry.KeyEvents,
			len(released(b.messages)), telemetry.KeyErr, b.down)
	case b.down != nil:
		b.log.Warn("destination is down", telemetry.KeyDestination, b.opts.Destination,
			telemetry.KeyErr, b.down)
	}
}

// deliverAll delivers slice by slice, until it is done, the destination is down, or time is up.
func (b *batch) deliverAll(ctx context.Context, rest []*message, to *destination.Destination) {
	for len(rest) > 0 && b.down == nil && ctx.Err() == nil {
		n := sliceOf(rest)
		slice := b.restored(ctx, rest[:n])
		rest = rest[n:]
		if b.down = b.step(ctx, slice, to, false); b.down != nil && ctx.Err() == nil {
			rest = append(b.probe(ctx, released(slice), to), rest...)
		}
	}
}

// released returns the messages that no outcome was found for.
func released(slice []*message) []*message {
	return slices.DeleteFunc(slices.Clone(slice),
		func(m *message) bool { return m.outcome.Kind != pillarbox.OutcomeReleased })
}

// probe finds out, once in a batch, whether the destination is down or one event only looks like
// it. It begins with what has been received most often: the neighbours of an event like that got
// through in other company. If the destination is up after all, it returns what is still to be
// delivered.
func (b *batch) probe(ctx context.Context, slice []*message,
	to *destination.Destination) []*message {
	if b.probed || len(slice) < 2 {
		return nil
	}
	b.probed = true
	slices.SortStableFunc(slice, func(x, y *message) int { return y.Receives - x.Receives })
	if b.down = b.step(ctx, slice[:min(len(slice), retry.ProbeEvents)], to, true); b.down != nil {
		return nil
	}
	return released(slice)
}

// sliceOf returns how many of the messages, one at least, are within the bounds of a slice.
func sliceOf(rest []*message) int {
	size := int64(0)
	for i, m := range rest {
		if size += m.bytes(); i > 0 && (size > sliceBytes || i == sliceEvents) {
			return i
		}
	}
	return len(rest)
}

// restored brings back the bodies that are kept elsewhere, and leaves out those that can't be had
// for now.
func (b *batch) restored(ctx context.Context, slice []*message) []*message {
	errs := make([]error, len(slice))
	slots := make(chan struct{}, restoreParallel)
	var running sync.WaitGroup
	for i, m := range slice {
		if m.Message.Claim == nil {
			continue
		}
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			errs[i] = m.restore(ctx, b.queue)
		})
	}
	running.Wait()
	kept := make([]*message, 0, len(slice))
	for i, m := range slice {
		if errs[i] != nil {
			b.log.Warn("body can't be had for now", telemetry.KeyEventID, m.Message.Event.RequestID,
				telemetry.KeyAttempt, m.Receives, telemetry.KeyErr, errs[i])
			continue
		}
		kept = append(kept, m)
	}
	return kept
}

// step delivers a slice, and returns why the destination is down if it is.
func (b *batch) step(ctx context.Context, slice []*message, to *destination.Destination,
	probe bool) error {
	deliveries := make([]pillarbox.Delivery, len(slice))
	for i, m := range slice {
		deliveries[i] = m.delivery(b.now)
	}
	at := deliver.Moment{Now: b.opts.Now(), Chance: b.opts.Chance, Probe: probe}
	report := deliver.Step(ctx, guarded{b.sink}, deliveries, to, at)
	after := b.opts.Now()
	for i, m := range slice {
		m.outcome = report.Outcomes[i]
		m.wait = m.outcome.NotBefore.Sub(at.Now)
		switch m.outcome.Kind {
		case pillarbox.OutcomeStored:
			b.measures.lags = append(b.measures.lags, after.Sub(m.Message.Event.Timestamp.Time()))
			m.done, m.Message.Event.Body = true, nil // its body may be large, and there may be many
		case pillarbox.OutcomeSkipped:
			m.done, m.Message.Event.Body = true, nil
		case pillarbox.OutcomeRetry:
			m.Message.Event.Body = nil
		case pillarbox.OutcomeReleased:
			m.wait = max(m.wait, b.policy.Delay(m.Receives, b.opts.Chance()),
				pillarbox.RetryAfter(report.Down))
		}
	}
	return report.Down
}

// guarded makes a refusal of a panic of the sink, so that Step finds the event that is to blame and
// the others are stored.
type guarded struct{ pillarbox.Sink }

func (g guarded) Write(ctx context.Context, batch []*pillarbox.Event) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("bug: the destination's engine panicked: %v", cause)
		}
	}()
	return g.Sink.Write(ctx, batch)
}
