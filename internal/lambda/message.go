package lambda

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"pillarbox"
	"pillarbox/internal/deliver"
)

// The names of what SQS says about a message.
const (
	attributeReceives = "ApproximateReceiveCount"
	attributeReceived = "ApproximateFirstReceiveTimestamp"
	attributeSent     = "SentTimestamp"
	attributeCameFrom = "DeadLetterQueueSourceArn"
)

// parcel is one message on its way. The same message may stand in a batch twice; it is one parcel.
type parcel struct {
	id       string
	handles  []string
	receives int                 // at least 1
	first    pillarbox.Timestamp // when it was received for the first time; 0 if SQS does not say
	sent     pillarbox.Timestamp // when it was sent; the time of the invocation if SQS does not say
	cameFrom string              // the queue from which SQS moved it; empty if it did not
	text     string
	message  pillarbox.Message
	claim    *pillarbox.Claim // of the body, also when it was brought back
	lost     error            // why the message can't become what its sender meant: it can't be read, or its body is gone

	outcome pillarbox.Outcome
	wait    time.Duration // before it may be handed out again
	done    bool          // SQS may delete it
}

// parcels reads the records of a batch. Where the same message comes twice, each of its handles is kept.
func parcels(records []events.SQSMessage, source string, now time.Time) []*parcel {
	all := make([]*parcel, 0, len(records))
	known := make(map[string]*parcel, len(records))
	for i := range records {
		record := &records[i]
		if twin := known[record.MessageId]; twin != nil && twin.text == record.Body && twin.id != "" {
			twin.handles = append(twin.handles, record.ReceiptHandle)
			continue
		}
		p := &parcel{
			id: record.MessageId, handles: []string{record.ReceiptHandle}, text: record.Body, receives: 1,
			first: milliseconds(record.Attributes[attributeReceived]), sent: milliseconds(record.Attributes[attributeSent]),
			cameFrom: record.Attributes[attributeCameFrom],
		}
		if p.sent == 0 {
			p.sent = pillarbox.TimestampOf(now)
		}
		if n, err := strconv.Atoi(record.Attributes[attributeReceives]); err == nil && n > 0 {
			p.receives = n
		}
		p.read(source)
		known[p.id] = p
		all = append(all, p)
	}
	return all
}

// maxMilliseconds is the end of the year 9999, behind which there is no timestamp.
const maxMilliseconds = 253402300799_999

func milliseconds(text string) pillarbox.Timestamp {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 || n > maxMilliseconds {
		return 0
	}
	return pillarbox.TimestampOf(time.UnixMilli(n))
}

// read decodes the text. What can't be read becomes an event of what there is, so that nothing is dropped.
func (p *parcel) read(source string) {
	if err := json.Unmarshal([]byte(p.text), &p.message); err != nil {
		p.unreadable(source, fmt.Errorf("the message can't be read as an event: %w", err))
		return
	}
	p.claim = p.message.Claim
}

// unreadable makes the text as it is the body of an event.
func (p *parcel) unreadable(source string, why error) {
	p.lost = why
	p.message = pillarbox.Message{Event: &pillarbox.Event{Timestamp: p.sent, RequestID: p.id, Source: source, Body: []byte(p.text)}}
}

// restore brings the body back if it is kept elsewhere. A body that is gone leaves its claim in its place, as text that
// people can read; nobody is to take it for an empty body. Any other error may pass.
func (p *parcel) restore(ctx context.Context, from Restorer) (err error) {
	if p.message.Claim == nil {
		return nil
	}
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("restore a body: panic: %v", cause)
		}
	}()
	claim := *p.message.Claim
	err = from.Restore(ctx, &p.message)
	switch {
	case err == nil && p.message.Claim != nil:
		return fmt.Errorf("restore a body: it is still not there: %w", pillarbox.ErrUnavailable)
	case errors.Is(err, pillarbox.ErrNotFound), errors.Is(err, pillarbox.ErrCorrupt):
		p.lost = fmt.Errorf("the body, which was kept elsewhere, is lost, and its claim stands in its place: %w", err)
		text, err := json.Marshal(map[string]pillarbox.Claim{"body_claim": claim})
		if err != nil {
			return err
		}
		p.message.Claim, p.message.Event.Body = nil, text
	case err != nil:
		return err
	}
	if p.message.Letter != nil {
		p.message.Letter.Event = p.message.Event
	}
	return nil
}

// bytes is about what the parcel takes in memory once its body is there.
func (p *parcel) bytes() int64 {
	size := int64(len(p.text))
	if p.message.Claim != nil {
		size += p.message.Claim.Bytes
	}
	return size
}

// since is when a dead letter was put back, whose event may be as old as it likes; 0 for other parcels.
func (p *parcel) since() pillarbox.Timestamp {
	if p.message.Letter == nil {
		return 0
	}
	return cmp.Or(p.message.Since, p.sent)
}

// delivery is the parcel as Step takes it. All that is known of earlier attempts is their number: SQS keeps it, and
// nothing else would outlive the function.
func (p *parcel) delivery(now time.Time) pillarbox.Delivery {
	d := pillarbox.Delivery{Event: p.message.Event, Bytes: int64(len(p.text)), Since: p.since()}
	if p.lost != nil {
		d.Verdict = &pillarbox.Verdict{Reason: p.lost.Error(), DeadAt: pillarbox.TimestampOf(now)}
	}
	since := p.first
	if since == 0 {
		since = p.sent
	}
	for range min(p.receives-1, maxEarlier) {
		d.Attempts = append(d.Attempts, pillarbox.Attempt{At: since, Class: pillarbox.ClassRefused, Error: textOfEarlier})
	}
	return d
}

// maxEarlier bounds the attempts of which only the number is known. It is the largest maxReceiveCount of a queue, so that
// an event that is over its number is still known to be.
const maxEarlier = 1000

// textOfEarlier stands for the error of an attempt of which nothing is left but the number.
const textOfEarlier = "received at or after this time and not stored; the reason is in the log of that attempt"

// letter makes the dead letter of a parcel that is condemned.
func (p *parcel) letter(destination string, now time.Time) *pillarbox.DeadLetter {
	d := p.delivery(now)
	d.Verdict = p.outcome.Verdict
	if p.outcome.Attempt != nil {
		d.Attempts = append(d.Attempts, *p.outcome.Attempt)
	}
	return deliver.NewLetter(destination, &d)
}

// failures names the messages that are to stay in the queue. An answer that names a message wrongly, or names none, has
// another meaning to AWS: where a message has no name, only an error keeps it.
func failures(all []*parcel) (events.SQSEventResponse, error) {
	response := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
	named := map[string]bool{}
	for _, p := range all {
		if p.done || named[p.id] {
			continue
		}
		named[p.id] = true
		if p.id == "" {
			return events.SQSEventResponse{}, errors.New("a message without an id is to stay in the queue, so the whole batch does")
		}
		response.BatchItemFailures = append(response.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: p.id})
	}
	return response, nil
}

var errNoBatch = errors.New("this is no batch of an SQS queue; call the function through an event source mapping of one")

// checkBatch refuses what is no batch of a queue. To take the records of something else for messages would bury them,
// and an empty answer to an API would be its 200.
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
