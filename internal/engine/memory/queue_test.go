package memory_test

import (
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/memory"
)

func TestQueueKeepsItsContract(t *testing.T) {
	enginetest.Queue(t, func(_ *testing.T, now func() time.Time) pillarbox.Queue { return memory.NewQueue(now) })
}

func TestObligations(t *testing.T) {
	enginetest.Obligations(t, func(_ *testing.T, now func() time.Time) pillarbox.Queue { return memory.NewQueue(now) })
}
