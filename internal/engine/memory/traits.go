package memory

import (
	"context"

	"pillarbox"
)

// Traits implements pillarbox.Queue.
func (q *Queue) Traits() pillarbox.QueueTraits {
	return pillarbox.QueueTraits{
		FanOut: true, Ordered: true, Counted: true, Local: true, Immediate: true, Searchable: true, Obliges: true, Keys: true,
	}
}

// AppendInline implements pillarbox.Queue.
func (q *Queue) AppendInline(ctx context.Context, events []*pillarbox.Event) error {
	return q.Append(ctx, events)
}

// Traits implements pillarbox.Sink.
func (s *Sink) Traits() pillarbox.SinkTraits {
	return pillarbox.SinkTraits{Readable: true, Purges: true, Removes: true}
}
