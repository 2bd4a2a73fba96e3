package memory_test

import (
	"testing"
	"time"

	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/memory"
)

func TestKeys(t *testing.T) {
	enginetest.Keys(t, func(*testing.T) enginetest.KeysStand {
		now := time.Now()
		q := memory.NewQueue(func() time.Time { return now })
		return enginetest.KeysStand{Keys: q.Keys(), Append: q.Append, SetLimits: q.SetKeyLimits,
			Advance: func(d time.Duration) { now = now.Add(d) }}
	})
}

func TestKeysWithoutAQueue(t *testing.T) {
	enginetest.Keys(t, func(*testing.T) enginetest.KeysStand {
		now := time.Now()
		keys := &memory.Keys{Now: func() time.Time { return now }}
		return enginetest.KeysStand{Keys: keys, SetLimits: keys.SetLimits,
			Advance: func(d time.Duration) { now = now.Add(d) }}
	})
}
