package sqs

import (
	"context"

	"pillarbox"
)

var _ pillarbox.Queue = (*Queue)(nil)

// Traits implements pillarbox.Queue. The package comment says what follows from them.
func (q *Queue) Traits() pillarbox.QueueTraits {
	return pillarbox.QueueTraits{Shared: true, Requeues: true}
}

// AppendInline implements pillarbox.Queue. Append ends when the request does.
func (q *Queue) AppendInline(ctx context.Context, events []*pillarbox.Event) error {
	return q.Append(ctx, events)
}
