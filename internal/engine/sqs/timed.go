package sqs

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"pillarbox"
)

// DefaultCallTimeout is how long one call to SQS may take, with all tries of the SDK, beside the
// wait of a long poll.
const DefaultCallTimeout = 10 * time.Second

// timed bounds the calls of a client. A connection that has died without a word would hold a call
// up until the kernel gives up on it, which takes a quarter of an hour.
type timed struct {
	API
	limit time.Duration
}

// within makes one call. An answer that does not come in time says nothing about what was done, and
// blames nobody's context but its own.
func within[Out any](ctx context.Context, limit time.Duration,
	call func(ctx context.Context) (Out, error)) (Out, error) {
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	out, err := call(bounded)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("no answer within %s: %w: %v", limit, pillarbox.ErrUnavailable, err)
	}
	return out, err
}

// SendMessageBatch implements API.
func (t timed) SendMessageBatch(ctx context.Context, in *sqs.SendMessageBatchInput,
	options ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	return within(ctx, t.limit, func(ctx context.Context) (*sqs.SendMessageBatchOutput, error) {
		return t.API.SendMessageBatch(ctx, in, options...)
	})
}

// ReceiveMessage implements API.
func (t timed) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput,
	options ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	poll := time.Duration(in.WaitTimeSeconds) * time.Second
	return within(ctx, t.limit+poll, func(ctx context.Context) (*sqs.ReceiveMessageOutput, error) {
		return t.API.ReceiveMessage(ctx, in, options...)
	})
}

// DeleteMessageBatch implements API.
func (t timed) DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput,
	options ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	return within(ctx, t.limit, func(ctx context.Context) (*sqs.DeleteMessageBatchOutput, error) {
		return t.API.DeleteMessageBatch(ctx, in, options...)
	})
}

// ChangeMessageVisibilityBatch implements API.
func (t timed) ChangeMessageVisibilityBatch(ctx context.Context,
	in *sqs.ChangeMessageVisibilityBatchInput, options ...func(*sqs.Options)) (
	*sqs.ChangeMessageVisibilityBatchOutput, error) {
	return within(ctx, t.limit, func(ctx context.Context) (*sqs.ChangeMessageVisibilityBatchOutput,
		error) {
		return t.API.ChangeMessageVisibilityBatch(ctx, in, options...)
	})
}

// GetQueueAttributes implements API.
func (t timed) GetQueueAttributes(ctx context.Context, in *sqs.GetQueueAttributesInput,
	options ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error) {
	return within(ctx, t.limit, func(ctx context.Context) (*sqs.GetQueueAttributesOutput, error) {
		return t.API.GetQueueAttributes(ctx, in, options...)
	})
}
