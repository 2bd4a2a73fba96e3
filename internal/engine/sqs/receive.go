package sqs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"pillarbox"
)

// message is a message in hand.
type message struct {
	id       string
	receipt  string
	hidden   time.Time // until then SQS keeps it from others
	receives int       // so far, by whomever
	claim    *pillarbox.Claim
	letter   *pillarbox.DeadLetter
	delivery pillarbox.Delivery

	seq     uint64 // while it is leased
	settled bool   // SQS knows; the others of the same call may not be settled yet
	copied  bool   // a new message has taken its place
	before  tried  // what was known of it before the Settle that runs
}

// receiveWait is the pause after a receive failed.
const receiveWait = time.Second

// How long a message waits whose body can't be had now. It doubles with each receive, to about an hour.
const (
	restoreWait      = 30 * time.Second
	restoreDoublings = 7
)

// fetch receives while somebody waits for events and ends when nobody does. It is not cut off when they stop waiting:
// what SQS hands out to a request that is cut off is hidden from everybody until its time is over.
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
		messages, err := q.round(room)
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

// round receives up to about n messages: one long poll, and if that is full, what else is there, several at once.
func (q *Queue) round(n int) ([]*message, error) {
	facts, err := q.facts(q.working)
	if err != nil {
		return nil, err
	}
	messages, err := q.receive(min(n, maxBatch), maxPollSecs, facts)
	bytes := sizeOf(messages)
	for last := len(messages); err == nil && last == maxBatch && len(messages) < n && bytes < MaxHeldBytes; {
		more := make([][]*message, min(parallel, (n-len(messages)+maxBatch-1)/maxBatch))
		inParallel(len(more), func(i int) {
			// An error comes again, if it stays.
			more[i], _ = q.receive(maxBatch, 0, facts)
		})
		last = maxBatch
		for _, some := range more {
			last = min(last, len(some))
			messages = append(messages, some...)
			bytes += sizeOf(some)
		}
	}
	slices.SortStableFunc(messages, func(a, b *message) int { return a.sent().Compare(b.sent()) })
	return messages, err
}

// sent is roughly when the event was sent: the order of sending, as far as it can be had.
func (m *message) sent() time.Time { return m.delivery.Event.Timestamp.Time() }

func sizeOf(messages []*message) (bytes int64) {
	for _, m := range messages {
		bytes += m.delivery.Bytes
	}
	return bytes
}

func (q *Queue) receive(n, wait int, facts facts) ([]*message, error) {
	hidden := time.Now().Add(facts.visibility)
	out, err := q.client.ReceiveMessage(q.working, &sqs.ReceiveMessageInput{
		QueueUrl: &q.url, MaxNumberOfMessages: int32(n), WaitTimeSeconds: int32(wait), MessageSystemAttributeNames: wantedAttributes,
	})
	if err != nil {
		return nil, kind("receive from "+q.url, err)
	}
	messages := make([]*message, len(out.Messages))
	inParallel(len(messages), func(i int) {
		messages[i] = &message{
			id: aws.ToString(out.Messages[i].MessageId), receipt: aws.ToString(out.Messages[i].ReceiptHandle), hidden: hidden,
		}
		if err := q.read(messages[i], &out.Messages[i]); err != nil {
			q.options.Logger.Warn("an event waits until its body can be had", "queue", q.url, "err", err)
			q.putOff(messages[i], facts)
			messages[i] = nil
		}
	})
	return slices.DeleteFunc(messages, func(m *message) bool { return m == nil }), nil
}

// putOff lets a message wait whose body can't be had. Nobody has refused it: it spends no attempt, and near its last
// receive it is sent again.
func (q *Queue) putOff(m *message, facts facts) {
	if q.sendAgain(q.working, facts, []*message{m}); m.copied {
		if err := q.remove([]string{m.receipt}); err != nil {
			q.options.Logger.Warn("an event that was sent again comes twice", "queue", q.url, "err", err)
		}
		return
	}
	q.mu.Lock()
	q.past.of(m.id, m.delivery.Event.RequestID).idle++
	q.mu.Unlock()
	wait := restoreWait << min(max(m.receives, 1)-1, restoreDoublings)
	if err := q.Hide(q.working, []string{m.receipt}, []time.Duration{wait}); err != nil {
		q.options.Logger.Warn("an event comes again after the queue's own time", "queue", q.url, "err", err)
	}
}

// read makes a delivery of what SQS hands out. The error is that of a body which can't be had now.
func (q *Queue) read(m *message, from *types.Message) error {
	text := aws.ToString(from.Body)
	attribute := func(name types.MessageSystemAttributeName) int64 {
		n, err := strconv.ParseInt(from.Attributes[string(name)], 10, 64)
		if err != nil {
			return 0
		}
		return n
	}
	m.receives = int(attribute(types.MessageSystemAttributeNameApproximateReceiveCount))
	sent := pillarbox.TimestampOf(time.UnixMilli(max(1, attribute(types.MessageSystemAttributeNameSentTimestamp))))
	first := pillarbox.TimestampOf(time.UnixMilli(attribute(types.MessageSystemAttributeNameApproximateFirstReceiveTimestamp)))
	var parsed pillarbox.Message
	if err := json.Unmarshal([]byte(text), &parsed); err != nil {
		// Nothing else of what was read counts: the dead letter is to have the text, and not a body that it claims.
		parsed = pillarbox.Message{Event: &pillarbox.Event{Timestamp: sent, RequestID: m.id, Body: []byte(text)}}
		m.delivery.Verdict = q.verdict("the queue's message can't be read as an event: " + err.Error())
	}
	m.delivery.Event, m.claim, m.letter = parsed.Event, parsed.Claim, parsed.Letter
	if m.letter != nil {
		m.delivery.Since = cmp.Or(parsed.Since, sent)
	}
	switch err := q.Restore(q.working, &parsed); {
	case errors.Is(err, pillarbox.ErrNotFound), errors.Is(err, pillarbox.ErrCorrupt):
		m.delivery.Verdict = q.verdict(err.Error())
	case err != nil:
		return err
	}
	m.delivery.Bytes = int64(max(len(text), len(parsed.Event.Body)))
	m.delivery.Attempts = q.attempts(m.id, m.receives, first)
	return nil
}

func (q *Queue) verdict(reason string) *pillarbox.Verdict {
	return &pillarbox.Verdict{Reason: reason, DeadAt: pillarbox.TimestampOf(q.options.Now())}
}

// attempts are those that SQS has counted before this one: the ones that are known here, and before them the others.
func (q *Queue) attempts(id string, received int, first pillarbox.Timestamp) []pillarbox.Attempt {
	q.mu.Lock()
	known := q.past.lookup(id)
	q.mu.Unlock()
	var attempts []pillarbox.Attempt
	for range received - 1 - known.idle - len(known.attempts) {
		attempts = append(attempts, pillarbox.Attempt{
			At: first, Class: pillarbox.ClassRefused, Error: "tried by another reader of the queue, or before a restart, whose log has the reason",
		})
	}
	return append(attempts, known.attempts...)
}

// Restore puts the claimed body into the message's event. Errors: ErrNotFound and ErrCorrupt where it is gone for good,
// ErrUnavailable.
func (q *Queue) Restore(ctx context.Context, message *pillarbox.Message) error {
	if message.Claim == nil {
		return nil
	}
	what := fmt.Sprintf("body of event %s, claimed as %s with %d bytes and SHA-256 %s",
		message.Event.RequestID, message.Claim.Key, message.Claim.Bytes, message.Claim.SHA256)
	if q.options.Bodies == nil {
		return fmt.Errorf("%s: no place is configured for large bodies: %w", what, pillarbox.ErrUnavailable)
	}
	body, err := q.options.Bodies.Get(ctx, *message.Claim)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	message.Event.Body, message.Claim = body, nil
	return nil
}

// takeLocked puts messages into the hand. One that is in hand already came a second time, because its time was over:
// its newer receipt counts.
func (q *Queue) takeLocked(messages []*message) {
	for _, m := range messages {
		if known := q.inHand[m.id]; known != nil {
			known.receipt, known.hidden, known.receives = m.receipt, m.hidden, m.receives
			q.past.of(m.id, m.delivery.Event.RequestID).idle++
			continue
		}
		q.inHand[m.id] = m
		q.readyLocked(m)
	}
	if len(q.inHand) > 0 {
		q.keepLocked()
	}
}

// readyLocked makes a message wait for the next lease: the condemned first.
func (q *Queue) readyLocked(m *message) {
	if m.delivery.Verdict != nil {
		q.firstLocked(m)
		return
	}
	q.readyBytes += m.delivery.Bytes
	q.ready = append(q.ready, m)
}

// firstLocked is readyLocked for a message that was leased before, or is condemned: only the condemned go before it.
func (q *Queue) firstLocked(m *message) {
	q.readyBytes += m.delivery.Bytes
	at := slices.IndexFunc(q.ready, func(other *message) bool { return other.delivery.Verdict == nil })
	if at < 0 {
		at = len(q.ready)
	}
	q.ready = slices.Insert(q.ready, at, m)
}
