package memory_test

import (
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/memory"
)

func TestQueueKeepsItsContract(t *testing.T) {
	enginetest.Queue(t, func(_ *testing.T,
		now func() time.Time) pillarbox.Queue {
		return memory.NewQueue(now)
	})
}

// TestDecoratedEnginesKeepTheirContract: a decorator that knows nothing of what an engine can do
// takes nothing from it.
func TestDecoratedEnginesKeepTheirContract(t *testing.T) {
	spans := &enginetest.Spans{}
	enginetest.Queue(t, func(_ *testing.T, now func() time.Time) pillarbox.Queue {
		return enginetest.TraceQueue(memory.NewQueue(now), spans)
	})
	enginetest.Sink(t, func(*testing.T) pillarbox.Sink {
		return enginetest.TraceSink(memory.NewSink(), spans)
	})
	enginetest.DeadLetters(t, func(*testing.T) pillarbox.DeadLetters {
		return enginetest.TraceDeadLetters(memory.NewDeadLetters(), spans)
	})
	for _, name := range []string{"Append", "AppendInline", "Lease", "Settle", "Write", "List",
		"PutMany"} {
		if spans.Count(name) == 0 {
			t.Errorf("%s was not seen", name)
		}
	}
}
