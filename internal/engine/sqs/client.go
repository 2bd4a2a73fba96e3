package sqs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"pillarbox"
	"pillarbox/internal/sqsrules"
)

// API is what is used of the client of SQS. The SDK's own retries apply to whole calls, those of
// this package to the messages of a batch that failed in a call that succeeded.
type API interface {
	SendMessageBatch(ctx context.Context, in *sqs.SendMessageBatchInput,
		options ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error)
	ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput,
		options ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput,
		options ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
	ChangeMessageVisibilityBatch(ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput,
		options ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error)
	GetQueueAttributes(ctx context.Context, in *sqs.GetQueueAttributesInput,
		options ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
}

// MaxMessageBytes bounds the message of any queue, in bytes. A queue may be set to less.
const MaxMessageBytes = sqsrules.MaxMessageBytes

// Limits of SQS (quotas-messages.html of its developer guide).
const (
	maxBatch = 10 // messages of one call
	// what every queue takes in one batch; newer ones take as much as one message may have
	minBatchBytes = 256_000
	maxHideSecs   = 12 * 60 * 60
	maxPollSecs   = 20
)

// parallel is how many calls of one kind run at once.
const parallel = 8

// kind says which of our errors an error of the SDK is. It is never an event that is to blame:
// those that SQS refuses are named one by one in an answer that succeeded.
func kind(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", what, err)
	}
	return fmt.Errorf("%s: %w: %w", what, pillarbox.ErrUnavailable, err)
}

// code returns SQS's own name of an error, without the prefix of the older protocol.
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return strings.TrimPrefix(api.ErrorCode(), "AWS.SimpleQueueService.")
	}
	return ""
}

// refusal is the error of one message of a batch.
type refusal struct {
	entry  types.BatchResultErrorEntry
	action string
}

func (r *refusal) Error() string {
	message := ""
	if r.entry.Message != nil {
		message = ": " + *r.entry.Message
	}
	return fmt.Sprintf("%s: SQS answers %s%s", r.action, deref(r.entry.Code), message)
}

// Is gives it the kind of what passes by itself, unless SQS says that the message is at fault.
func (r *refusal) Is(target error) bool {
	if r.entry.SenderFault {
		return target == pillarbox.ErrInvalid
	}
	return target == pillarbox.ErrUnavailable
}

func deref(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// inParallel calls do for each number below n, some at once, and returns when all are done.
func inParallel(n int, do func(i int)) {
	if n == 1 {
		do(0)
		return
	}
	var group sync.WaitGroup
	slots := make(chan struct{}, parallel)
	for i := range n {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			do(i)
		})
	}
	group.Wait()
}
