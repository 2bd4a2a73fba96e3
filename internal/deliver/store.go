package deliver

import (
	"context"
	"fmt"
	"log/slog"

	"pillarbox"
	"pillarbox/internal/telemetry"
)

// MeetStore compares a destination's store with what the queue remembers of it. It returns the
// record, and whether a change was found just now. A sink that can't say which store it is, and a
// queue that remembers none, are passed over.
func MeetStore(ctx context.Context, queue pillarbox.Queue, destination string, sink pillarbox.Sink,
	at pillarbox.Timestamp) (record pillarbox.StoreRecord, changed bool, err error) {
	if !sink.Traits().Identified || !queue.Traits().Obliges {
		return record, false, nil
	}
	before := queue.Store(destination)
	record = before.Meet(sink.Identity(), at)
	if record == before {
		return record, false, nil
	}
	changed = record.Changed != "" && record.At != before.At
	return record, changed, queue.SetStore(ctx, destination, record)
}

// meetStore looks at the store after a write.
func (l *Loop) meetStore(ctx context.Context, sink *Guard) {
	record, changed, err := MeetStore(context.WithoutCancel(ctx), l.opts.Queue, l.name, sink,
		pillarbox.TimestampOf(l.opts.Date()))
	if err != nil {
		l.note(err)
	}
	if changed {
		LogStoreChanged(l.opts.Logger, l.name, record)
	}
}

// LogStoreChanged says that a destination's store is another one than it was, and what to do.
func LogStoreChanged(logger *slog.Logger, name string, record pillarbox.StoreRecord) {
	logger.Error("the store of a destination was replaced; \"pillarbox audit\" says what is missing, and \"pillarbox audit --redeliver\" brings back what the queue still has",
		telemetry.KeyDestination, name, telemetry.KeyErr, record.Changed)
}

// unconfigured is the sink of a destination that is not configured any more. Nothing is written to
// it by its rules; an event that a person has routed there before waits.
type unconfigured struct{ pillarbox.SinkDefaults }

func (unconfigured) Write(context.Context, []*pillarbox.Event) error {
	return fmt.Errorf("the destination is not configured: %w", pillarbox.ErrUnavailable)
}

func (unconfigured) Close() error { return nil }
