package lambda

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"pillarbox"
	"pillarbox/internal/sqsrules"
	"pillarbox/internal/telemetry"
)

// DeadLetterOptions say whose dead letters a DeadLetter keeps. Zero means the default.
type DeadLetterOptions struct {
	Source      string       // of messages that can't be read; default "app"
	Destination string       // that refused what comes without a letter; default "events"
	Logger      *slog.Logger // default: discard
	Metrics     io.Writer    // for the embedded metric format; nil: none
	Now         func() time.Time
}

// DeadLetter keeps what comes to the dead-letter queue. A letter is kept as it is. An event by
// itself was moved by SQS after its last receive, or sent by somebody; it gets a letter that says
// so. A text that can't be read becomes the body of an event; where a body is lost, the letter has
// its claim instead, and says so too.
type DeadLetter struct {
	letters  Letters
	restorer sqsrules.Restorer
	opts     DeadLetterOptions
	reporter reporter
}

// NewDeadLetter makes the handler.
func NewDeadLetter(letters Letters, restorer sqsrules.Restorer,
	opts DeadLetterOptions) *DeadLetter {
	opts.Source = cmp.Or(opts.Source, DefaultSource)
	opts.Destination = cmp.Or(opts.Destination, DefaultDestination)
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &DeadLetter{
		letters: letters, restorer: restorer, opts: opts,
		reporter: newReporter(opts.Metrics, "deadletter", "Destination", opts.Destination, opts.Logger),
	}
}

// Invoke keeps one batch. An error leaves all of it in the queue.
func (d *DeadLetter) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	return invokeBatch(ctx, payload, d.Handle)
}

// Handle keeps one batch, and names the messages whose letters are not durable. An error keeps the
// whole batch.
func (d *DeadLetter) Handle(ctx context.Context,
	event events.SQSEvent) (response events.SQSEventResponse, err error) {
	if err := checkBatch(event); err != nil {
		return events.SQSEventResponse{}, err
	}
	counted, now := newMeasures(), d.opts.Now()
	all := readAll(event.Records, d.opts.Source, now)
	defer func() {
		if cause := recover(); cause != nil {
			d.reporter.panicked(ctx, counted, cause)
		}
		response, err = failures(all)
		counted.counts[metricBatch], counted.counts[metricFailed] = len(event.Records),
			len(response.BatchItemFailures)
		d.reporter.write(ctx, now, counted)
	}()
	writing, cancel := within(ctx, answerReserve)
	defer cancel()
	counted.counts[metricLetters] = 0
	for _, m := range all {
		if writing.Err() != nil {
			d.reporter.log(ctx).Warn("time is up before all dead letters were written",
				telemetry.KeyErr, writing.Err())
			break
		}
		if err := d.keep(writing, m); err != nil {
			d.reporter.log(ctx).Warn("dead letter can't be kept for now",
				telemetry.KeyEventID, m.Message.Event.RequestID, keyMessage, m.ID, telemetry.KeyErr, err)
			continue
		}
		m.done = true
		// Its body is not needed any more.
		m.Message = pillarbox.Message{Event: &pillarbox.Event{RequestID: m.Message.Event.RequestID}}
		counted.counts[metricLetters]++
	}
	return response, err
}

// keep makes one letter durable. A panic is the error of this one only.
func (d *DeadLetter) keep(ctx context.Context, m *message) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("bug: keeping a dead letter panicked: %v", cause)
		}
	}()
	if err := m.restore(ctx, d.restorer); err != nil {
		return err
	}
	err = pillarbox.PutDeadLetter(ctx, d.letters, d.letter(m))
	if m.Message.Letter != nil && errors.Is(err, pillarbox.ErrInvalid) {
		// Somebody's letter that can't be kept as one is kept as text.
		m.Unreadable(d.opts.Source,
			fmt.Errorf("the message is a dead letter that can't be kept as it is: %w", err))
		err = pillarbox.PutDeadLetter(ctx, d.letters, d.letter(m))
	}
	return err
}

// letter returns the message's own letter, or makes one.
func (d *DeadLetter) letter(m *message) *pillarbox.DeadLetter {
	if letter := m.Message.Letter; letter != nil {
		if m.Lost != nil {
			letter.Reason += "; " + m.Lost.Error()
		}
		return letter
	}
	reason := fmt.Sprintf("sent to the dead-letter queue without a reason, and received there (SQS counts %d receives)", m.Receives)
	if m.MovedFrom != "" {
		reason = fmt.Sprintf("received without being stored until SQS moved it from %s (SQS counts %d receives); "+
			"the reasons are in the logs of those attempts", m.MovedFrom, m.Receives)
	}
	if m.Lost != nil {
		reason += "; " + m.Lost.Error()
	}
	m.outcome.Rejection = &pillarbox.Rejection{Reason: reason,
		DeadAt: pillarbox.TimestampOf(d.opts.Now())}
	letter := m.letter(d.opts.Destination, d.opts.Now())
	// SQS's count goes on in this queue, so that it is not that of the attempts
	letter.Attempts = []pillarbox.Attempt{}
	return letter
}
