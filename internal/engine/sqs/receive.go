package sqs

import (
	"context"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"pillarbox"
	"pillarbox/internal/sqsrules"
	"pillarbox/internal/telemetry"
)

// message is a message in flight.
type message struct {
	sqsrules.Received
	receipt  string
	hidden   time.Time // until then SQS keeps it from others
	delivery pillarbox.Delivery

	seq     uint64         // while it is leased
	settled bool           // SQS knows; the others of the same call may not be settled yet
	copied  bool           // a new message has taken its place
	before  messageHistory // what was known of it before the Settle that runs
}

// receiveWait is the pause after a receive failed.
const receiveWait = time.Second

// How long a message waits whose body can't be had now. It doubles with each receive, to about an
// hour.
const (
	restoreWait      = 30 * time.Second
	restoreDoublings = 7
)

// fetch receives while somebody waits for events and ends when nobody does. It is not cut off when
// they stop waiting: what SQS hands out to a request that is cut off is hidden from everybody until
// its time is over.
func (q *Queue) fetch() {
	defer q.tasks.Done()
	for {
		q.mu.Lock()
		room := min(q.wanted, MaxHeld) - len(q.ready)
		if room <= 0 || q.readyBytes >= MaxHeldBytes || q.working.Err() != nil {
			q.fetching = false
			q.mu.Unlock()
			return
		}
		q.mu.Unlock()
		messages, err := q.receiveMany(room)
		q.mu.Lock()
		if q.failure = err; len(messages) > 0 || err != nil {
			q.takeLocked(messages)
			q.changeLocked()
		}
		q.mu.Unlock()
		if err != nil && sleep(q.working, receiveWait) != nil {
			continue
		}
	}
}

// receiveMany receives up to about n messages: one long poll, and if that is full, what else is
// there, several at once.
func (q *Queue) receiveMany(n int) ([]*message, error) {
	attributes, err := q.attributes(q.working)
	if err != nil {
		return nil, err
	}
	messages, err := q.receive(min(n, maxBatch), maxPollSecs, attributes)
	bytes := sizeOf(messages)
	for last := len(messages); err == nil && last == maxBatch && len(messages) < n &&
		bytes < MaxHeldBytes; {
		more := make([][]*message, min(parallel, (n-len(messages)+maxBatch-1)/maxBatch))
		inParallel(len(more), func(i int) {
			// An error comes again, if it stays.
			more[i], _ = q.receive(maxBatch, 0, attributes)
		})
		last = maxBatch
		for _, some := range more {
			last = min(last, len(some))
			messages = append(messages, some...)
			bytes += sizeOf(some)
		}
	}
	slices.SortStableFunc(messages,
		func(a, b *message) int { return a.appended().Compare(b.appended()) })
	return messages, err
}

// appended is roughly when the event was appended: the order of that, as far as it can be had.
func (m *message) appended() time.Time { return m.delivery.Event.Timestamp.Time() }

func sizeOf(messages []*message) (bytes int64) {
	for _, m := range messages {
		bytes += m.delivery.Bytes
	}
	return bytes
}

func (q *Queue) receive(n, wait int, attributes attributes) ([]*message, error) {
	hidden := time.Now().Add(attributes.visibility)
	out, err := q.client.ReceiveMessage(q.working, &sqs.ReceiveMessageInput{
		QueueUrl: &q.url, MaxNumberOfMessages: int32(n), WaitTimeSeconds: int32(wait),
		MessageSystemAttributeNames: wantedAttributes,
	})
	if err != nil {
		return nil, kind("receive from "+q.url, err)
	}
	messages := make([]*message, len(out.Messages))
	inParallel(len(messages), func(i int) {
		from := &out.Messages[i]
		messages[i] = &message{
			Received: sqsrules.Read(aws.ToString(from.MessageId), aws.ToString(from.Body),
				from.Attributes, "", q.options.Now()),
			receipt: aws.ToString(from.ReceiptHandle), hidden: hidden,
		}
		q.tellOfOthers(messages[i].Message.Event)
		if err := q.read(messages[i]); err != nil {
			q.options.Logger.Warn("an event waits until its body can be had", telemetry.KeyQueue,
				q.url, telemetry.KeyErr, err)
			q.putOff(messages[i], attributes)
			messages[i] = nil
		}
	})
	return slices.DeleteFunc(messages, func(m *message) bool { return m == nil }), nil
}

// tellOfOthers says once that events have names which this version does not know: what is sent again
// and what becomes a dead letter keeps them, and no store does.
func (q *Queue) tellOfOthers(event *pillarbox.Event) {
	if len(event.Others) == 0 {
		return
	}
	q.newer.Do(func() {
		q.options.Logger.Warn("events have names that this version does not know: a newer one has sent them, and what they say is not stored; told once",
			telemetry.KeyQueue, q.url, telemetry.KeyEventID, event.RequestID, telemetry.KeyName, event.Others.Names())
	})
}

// putOff lets a message wait whose body can't be had. Nobody has refused it: it spends no attempt,
// and near its last receive it is sent again.
func (q *Queue) putOff(m *message, attributes attributes) {
	if q.sendAgain(q.working, attributes, []*message{m}); m.copied {
		if err := q.remove([]string{m.receipt}); err != nil {
			q.options.Logger.Warn("an event that was sent again comes twice", telemetry.KeyQueue,
				q.url, telemetry.KeyErr, err)
		}
		return
	}
	q.mu.Lock()
	q.history.of(m.ID, m.delivery.Event.RequestID).idle++
	q.mu.Unlock()
	wait := restoreWait << min(m.Receives-1, restoreDoublings)
	if err := q.Hide(q.working, []string{m.receipt}, []time.Duration{wait}); err != nil {
		q.options.Logger.Warn("an event comes again after the queue's own time", telemetry.KeyQueue,
			q.url, telemetry.KeyErr, err)
	}
}

// read makes a delivery of what SQS has handed out. The error is that of a body which can't be had
// now.
func (q *Queue) read(m *message) error {
	size := len(m.Text)
	err := m.Restore(q.working, q)
	m.Text = "" // what counts of it is in the event
	m.delivery = pillarbox.Delivery{Event: m.Message.Event, Since: m.Since(),
		Rejection: m.Received.Rejection(q.options.Now())}
	if err != nil {
		return err
	}
	m.delivery.Bytes = int64(max(size, len(m.Message.Event.Body)))
	m.delivery.Attempts = q.attempts(m)
	return nil
}

// attempts are those that SQS has counted before this one: the ones that are known here, and before
// them the others.
func (q *Queue) attempts(m *message) []pillarbox.Attempt {
	q.mu.Lock()
	known := q.history.lookup(m.ID)
	q.mu.Unlock()
	return append(m.Earlier(known.idle+len(known.attempts)), known.attempts...)
}

// Restore puts the claimed body into the message's event. Errors: ErrNotFound and ErrCorrupt where
// it is gone for good, ErrUnavailable.
func (q *Queue) Restore(ctx context.Context, message *pillarbox.Message) error {
	return sqsrules.RestoreBody(ctx, q.options.Bodies, message)
}
