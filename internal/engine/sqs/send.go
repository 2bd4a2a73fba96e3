package sqs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"pillarbox"
)

// Messages of a batch that fail for no fault of their own are sent again at once, so often and
// after such waits.
const (
	sendTries = 3
	sendWait  = 50 * time.Millisecond // doubles, with jitter
)

// Append implements pillarbox.Queue.
func (q *Queue) Append(ctx context.Context, events []*pillarbox.Event) error {
	if err := q.begin(ctx); err != nil {
		return err
	}
	defer q.life.RUnlock()
	messages := make([]*pillarbox.Message, len(events))
	for i, event := range events {
		messages[i] = &pillarbox.Message{Event: event}
	}
	return q.append(ctx, messages, 0)
}

// Send puts messages back that were taken, as new ones. Errors are those of Append.
func (q *Queue) Send(ctx context.Context, messages []*pillarbox.Message) error {
	if err := q.begin(ctx); err != nil {
		return err
	}
	defer q.life.RUnlock()
	return q.append(ctx, messages, 0)
}

// RequeueDelay is how long a dead letter that is put back waits before it is handed out. Whoever
// puts it back marks the letter as replayed meanwhile; an event that is refused again at once must
// not have its new letter marked.
const RequeueDelay = time.Minute

// Requeue puts dead letters back, so that their events are delivered once more. The queue's limit
// on the age of events counts from now on for them. Errors are those of Append.
func (q *Queue) Requeue(ctx context.Context, letters []*pillarbox.DeadLetter) error {
	if err := q.begin(ctx); err != nil {
		return err
	}
	defer q.life.RUnlock()
	return q.append(ctx, ofLetters(letters), RequeueDelay)
}

// append makes messages of the queue. The caller holds q.life.
func (q *Queue) append(ctx context.Context, messages []*pillarbox.Message,
	delay time.Duration) error {
	err := q.send(ctx, q.url, messages, delay)
	q.counts.appended(len(messages) - failures(err, len(messages)))
	return err
}

func ofLetters(letters []*pillarbox.DeadLetter) []*pillarbox.Message {
	messages := make([]*pillarbox.Message, len(letters))
	for i, letter := range letters {
		messages[i] = &pillarbox.Message{Event: letter.Event, Letter: letter}
	}
	return messages
}

// SendDeadLetters sends dead letters to the queue of dead letters, where each has the whole
// retention before it. After nil they are durable there. Errors are those of Append.
func (q *Queue) SendDeadLetters(ctx context.Context, letters []*pillarbox.DeadLetter) error {
	if err := q.begin(ctx); err != nil {
		return err
	}
	defer q.life.RUnlock()
	if q.options.DeadLetterURL == "" {
		return fmt.Errorf("no queue for dead letters is configured: %w", pillarbox.ErrUnavailable)
	}
	return q.send(ctx, q.options.DeadLetterURL, ofLetters(letters), 0)
}

// failures counts the items that an error speaks of.
func failures(err error, n int) int {
	var partial *pillarbox.BatchError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &partial):
		return len(partial.Items)
	}
	return n
}

// succeeded says of each of n items whether a call with that error did what it should.
func succeeded(n int, err error) []bool {
	var partial *pillarbox.BatchError
	some := errors.As(err, &partial)
	ok := slices.Repeat([]bool{err == nil || some}, n)
	if some {
		for _, item := range partial.Items {
			ok[item.Index] = false
		}
	}
	return ok
}

// entry is one message on its way.
type entry struct {
	index   int // in what was handed over
	text    string
	trace   string
	group   string     // the message group; empty for none
	delay   int32      // seconds before it is handed out
	answer  chan error // takes what became of it, and has room for that
	failure error      // of the last try
}

// send encodes messages and sends them in batches, several at once. What fills no batch of the
// queue is gathered with what other calls have left.
func (q *Queue) send(ctx context.Context, url string, messages []*pillarbox.Message,
	delay time.Duration) error {
	if len(messages) == 0 {
		return nil
	}
	attributes, err := q.attributes(ctx)
	if err != nil {
		return err
	}
	errs := make([]error, len(messages))
	entries := make([]entry, len(messages))
	inParallel(len(messages), func(i int) {
		m := messages[i]
		entries[i] = entry{index: i, trace: q.traceOf(m.Event), group: groupOf(m.Event),
			delay: int32(delay / time.Second), answer: make(chan error, 1)}
		entries[i].text, errs[i] = encode(ctx, m, attributes.maxBytes, q.options.Bodies)
	})
	entries = slices.DeleteFunc(entries, func(e entry) bool { return errs[e.index] != nil })
	maxBytes := max(attributes.maxBytes, minBatchBytes)
	batches := cut(entries, maxBytes)
	if url == q.url {
		batches = q.gatherer.take(batches, maxBytes)
	}
	inParallel(len(batches), func(i int) { q.sendBatch(ctx, url, batches[i]) })
	for i := range entries {
		errs[entries[i].index] = entries[i].wait(ctx)
	}
	return joined(errs)
}

// cut makes batches of at most maxBatch messages and maxBytes, in order.
func cut(entries []entry, maxBytes int) (batches [][]entry) {
	from, size := 0, 0
	for i, e := range entries {
		if i-from == maxBatch || i > from && size+len(e.text) > maxBytes {
			batches = append(batches, entries[from:i])
			from, size = i, 0
		}
		size += len(e.text)
	}
	if from < len(entries) {
		batches = append(batches, entries[from:])
	}
	return batches
}

// sendBatch sends one batch, and again what failed for no fault of its own. Each message gets one
// answer, as soon as it is certain: nil where SQS has confirmed it.
func (q *Queue) sendBatch(ctx context.Context, url string, batch []entry) {
	for try := range sendTries {
		if try > 0 && sleep(ctx, time.Duration(rand.Float64()*float64(sendWait<<try))) != nil {
			break
		}
		if batch = q.trySend(ctx, url, batch); len(batch) == 0 {
			return
		}
	}
	for _, e := range batch {
		e.answer <- e.failure
	}
}

// trySend makes one call. It returns the messages that may be sent again, with their failures, and
// answers the others.
func (q *Queue) trySend(ctx context.Context, url string, batch []entry) (again []entry) {
	out, err := q.client.SendMessageBatch(ctx,
		&sqs.SendMessageBatchInput{QueueUrl: &url, Entries: requestOf(batch)})
	if err != nil {
		for _, e := range batch {
			e.answer <- kind("send to "+url, err)
		}
		return nil
	}
	answers := map[string]error{}
	for i := range batch {
		answers[strconv.Itoa(i)] = fmt.Errorf(
			"send to %s: SQS does not say what became of the message: %w", url, pillarbox.ErrUnavailable)
	}
	for _, sent := range out.Successful {
		answers[aws.ToString(sent.Id)] = nil
	}
	for _, failed := range out.Failed {
		answers[aws.ToString(failed.Id)] = &refusal{entry: failed, action: "send"}
	}
	for i, e := range batch {
		if e.failure = answers[strconv.Itoa(i)]; errors.Is(e.failure, pillarbox.ErrUnavailable) {
			again = append(again, e)
		} else {
			e.answer <- e.failure
		}
	}
	return again
}

// requestOf names the messages by their places in the batch.
func requestOf(batch []entry) []types.SendMessageBatchRequestEntry {
	entries := make([]types.SendMessageBatchRequestEntry, len(batch))
	for i, e := range batch {
		entries[i] = types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)),
			MessageBody: &batch[i].text, DelaySeconds: e.delay}
		if e.group != "" {
			entries[i].MessageGroupId = &batch[i].group
		}
		if e.trace != "" {
			entries[i].MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{
				string(types.MessageSystemAttributeNameForSendsAWSTraceHeader): {
					DataType: aws.String("String"), StringValue: &batch[i].trace},
			}
		}
	}
	return entries
}

// joined makes one error of those of the items.
func joined(errs []error) error {
	var partial pillarbox.BatchError
	for i, err := range errs {
		if err != nil {
			partial.Items = append(partial.Items, pillarbox.ItemError{Index: i, Err: err})
		}
	}
	if len(partial.Items) == 0 {
		return nil
	}
	return &partial
}

// sleep waits, or returns ctx's error.
func sleep(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
