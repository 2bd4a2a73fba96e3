package seglog

import (
	"context"

	"pillarbox"
)

var _ pillarbox.Queue = (*Log)(nil)

// Traits implements pillarbox.Queue.
func (l *Log) Traits() pillarbox.QueueTraits {
	return pillarbox.QueueTraits{
		FanOut: true, Ordered: true, DurableAttempts: true, Counted: true, Local: true,
		Immediate: true, Searchable: true, Obliges: true, Keys: true,
	}
}

// Check implements pillarbox.Queue. Open has looked at the files.
func (l *Log) Check(context.Context) error { return nil }

// Requeue implements pillarbox.Queue: an event that is put back would count as another one that was
// accepted.
func (l *Log) Requeue(ctx context.Context, letters []*pillarbox.DeadLetter) error {
	return pillarbox.QueueDefaults{}.Requeue(ctx, letters)
}
