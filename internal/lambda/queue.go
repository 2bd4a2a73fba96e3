package lambda

import (
	"context"
	"errors"
	"time"

	"pillarbox"
	"pillarbox/internal/sqsrules"
)

// MessageQueue is the queue from which messages come, beyond what AWS does by itself. Where only
// some of a call failed, the error is a *pillarbox.BatchError that names them.
type MessageQueue interface {
	sqsrules.Restorer

	// Hide keeps messages, named by their receipt handles, from being handed out again for as long
	// as waits says.
	Hide(ctx context.Context, handles []string, waits []time.Duration) error

	// Send puts messages into the queue as new ones, durably.
	Send(ctx context.Context, messages []*pillarbox.Message) error

	// SendDeadLetters puts dead letters into the dead-letter queue, durably.
	SendDeadLetters(ctx context.Context, letters []*pillarbox.DeadLetter) error
}

// Letters keeps dead letters. It is a part of pillarbox.DeadLetters.
type Letters interface {
	// PutMany makes the letters durable, and is idempotent on destination and event key.
	PutMany(ctx context.Context, letters []*pillarbox.DeadLetter) error
}

// eachError says what became of the n items of one call: one error for each, nil for those that
// succeeded. An answer that names an item which was not there is believed for none.
func eachError(n int, err error) []error {
	errs := make([]error, n)
	if err == nil {
		return errs
	}
	var partial *pillarbox.BatchError
	if errors.As(err, &partial) && partialIsSane(n, partial) {
		for _, item := range partial.Items {
			errs[item.Index] = item.Err
		}
		return errs
	}
	for i := range errs {
		errs[i] = err
	}
	return errs
}

func partialIsSane(n int, partial *pillarbox.BatchError) bool {
	for _, item := range partial.Items {
		if item.Index < 0 || item.Index >= n || item.Err == nil {
			return false
		}
	}
	return true
}
