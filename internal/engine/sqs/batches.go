package sqs

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"pillarbox"
)

// Hide keeps messages from being handed out again for the time that stands beside each, 0 for not
// at all and 12 hours at most. A message that SQS has handed out to somebody else since is left
// alone. Errors are a *BatchError or ErrUnavailable for all.
func (q *Queue) Hide(ctx context.Context, handles []string, waits []time.Duration) error {
	return batched(len(handles), func(from, to int, errs []error) error {
		entries := make([]types.ChangeMessageVisibilityBatchRequestEntry, to-from)
		for i := range entries {
			seconds := min((waits[from+i]+time.Second-1)/time.Second, maxHideSecs)
			entries[i] = types.ChangeMessageVisibilityBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), ReceiptHandle: &handles[from+i],
				VisibilityTimeout: int32(seconds),
			}
		}
		in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &q.url, Entries: entries}
		out, err := q.client.ChangeMessageVisibilityBatch(ctx, in)
		if err != nil {
			return kind("hide messages of "+q.url, err)
		}
		return note(out.Failed, "hide a message", errs[from:to])
	})
}

// remove deletes messages. One that is gone, or was handed out to somebody else since, is left
// alone: at worst it comes again.
func (q *Queue) remove(handles []string) error {
	// The outcome is durable in the sink; that it is not done twice is worth finishing, whoever has
	// stopped waiting.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(q.working), removeTime)
	defer cancel()
	return batched(len(handles), func(from, to int, errs []error) error {
		entries := make([]types.DeleteMessageBatchRequestEntry, to-from)
		for i := range entries {
			entries[i] = types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)),
				ReceiptHandle: &handles[from+i]}
		}
		out, err := q.client.DeleteMessageBatch(ctx,
			&sqs.DeleteMessageBatchInput{QueueUrl: &q.url, Entries: entries})
		if err != nil {
			return kind("delete messages of "+q.url, err)
		}
		return note(out.Failed, "delete a message", errs[from:to])
	})
}

// removeTime bounds the deletion of one batch.
const removeTime = 30 * time.Second

// batched calls do for batches of n things, several at once, and joins what failed.
func batched(n int, do func(from, to int, errs []error) error) error {
	if n == 0 {
		return nil
	}
	errs := make([]error, n)
	inParallel((n+maxBatch-1)/maxBatch, func(i int) {
		from, to := i*maxBatch, min(n, (i+1)*maxBatch)
		if err := do(from, to, errs); err != nil {
			for at := from; at < to; at++ {
				errs[at] = err
			}
		}
	})
	return joined(errs)
}

// note puts the failures of a batch beside what they are of. What is the sender's fault can only be
// a receipt whose time is over: nothing that could be done again.
func note(failed []types.BatchResultErrorEntry, action string, errs []error) error {
	for _, entry := range failed {
		if entry.SenderFault {
			continue
		}
		i, err := strconv.Atoi(aws.ToString(entry.Id))
		if err != nil || i < 0 || i >= len(errs) {
			return fmt.Errorf("%s: SQS names the entry %q, which was not sent: %w",
				action, aws.ToString(entry.Id), pillarbox.ErrUnavailable)
		}
		errs[i] = &refusal{entry: entry, action: action}
	}
	return nil
}
