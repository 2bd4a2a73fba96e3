package lambda

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"pillarbox"
	"pillarbox/internal/deliver"
	"pillarbox/internal/sqsrules"
)

// message is one message of a batch. The same one may stand in a batch twice; it is handled once.
type message struct {
	sqsrules.Received
	handles []string

	outcome pillarbox.Outcome
	wait    time.Duration // before it may be handed out again
	done    bool          // SQS may delete it
}

// readAll reads the records of a batch. Where the same message comes twice, each of its handles is
// kept.
func readAll(records []events.SQSMessage, source string, now time.Time) []*message {
	all := make([]*message, 0, len(records))
	known := make(map[string]*message, len(records))
	for i := range records {
		record := &records[i]
		if twin := known[record.MessageId]; twin != nil && twin.Text == record.Body && twin.ID != "" {
			twin.handles = append(twin.handles, record.ReceiptHandle)
			continue
		}
		m := &message{
			Received: sqsrules.Read(record.MessageId, record.Body, record.Attributes, source, now),
			handles:  []string{record.ReceiptHandle},
		}
		known[m.ID] = m
		all = append(all, m)
	}
	return all
}

// restore brings the body back if it is kept elsewhere. A panic of who keeps it is an error of this
// message alone.
func (m *message) restore(ctx context.Context, from sqsrules.Restorer) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("restore a body: panic: %v", cause)
		}
	}()
	return m.Restore(ctx, from)
}

// bytes is about what the message takes in memory once its body is there.
func (m *message) bytes() int64 {
	size := int64(len(m.Text))
	if m.Message.Claim != nil {
		size += m.Message.Claim.Bytes
	}
	return size
}

// delivery is the message as Step takes it. All that is known of earlier attempts is their number:
// SQS keeps it, and nothing else would outlive the function.
func (m *message) delivery(now time.Time) pillarbox.Delivery {
	return pillarbox.Delivery{
		Event: m.Message.Event, Bytes: int64(len(m.Text)), Since: m.Since(),
		Rejection: m.Rejection(now), Attempts: m.Earlier(0),
	}
}

// letter makes the dead letter of a message that is rejected.
func (m *message) letter(destination string, now time.Time) *pillarbox.DeadLetter {
	d := m.delivery(now)
	d.Rejection = m.outcome.Rejection
	if m.outcome.Attempt != nil {
		d.Attempts = append(d.Attempts, *m.outcome.Attempt)
	}
	return deliver.NewDeadLetter(destination, &d)
}

// failures names the messages that are to stay in the queue. An answer that names a message
// wrongly, or names none, has another meaning to AWS: where a message has no name, only an error
// keeps it.
func failures(all []*message) (events.SQSEventResponse, error) {
	response := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
	named := map[string]bool{}
	for _, m := range all {
		if m.done || named[m.ID] {
			continue
		}
		named[m.ID] = true
		if m.ID == "" {
			return events.SQSEventResponse{},
				errors.New("a message without an id is to stay in the queue, so the whole batch does")
		}
		response.BatchItemFailures = append(response.BatchItemFailures,
			events.SQSBatchItemFailure{ItemIdentifier: m.ID})
	}
	return response, nil
}

var errNoBatch = errors.New("this is no batch of an SQS queue; call the function through an event source mapping of one")

// checkBatch refuses what is no batch of a queue. To take the records of something else for
// messages would dead-letter them, and an empty answer to an API would be its 200.
func checkBatch(event events.SQSEvent) error {
	if len(event.Records) == 0 {
		return errNoBatch
	}
	for i := range event.Records {
		if event.Records[i].EventSource != eventSource {
			return errNoBatch
		}
	}
	return nil
}

const eventSource = "aws:sqs"
