package otlp

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"pillarbox/internal/telemetry"
)

// tellEvery is how often it is told that a receiver does not take what it is sent.
const tellEvery = time.Minute

// failing tells when a receiver begins to refuse, from time to time while it does, and when it takes
// what it is sent again.
type failing struct {
	to, what string
	logger   *slog.Logger
	dropped  atomic.Uint64 // for want of room, since it was told

	mu   sync.Mutex
	told time.Time // zero while it takes what it is sent. Guarded by mu
}

func (f *failing) note(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.told.IsZero() && time.Since(f.told) < tellEvery {
		return
	}
	f.told = time.Now()
	f.logger.Warn("the receiver of telemetry takes nothing; what it does not take is dropped, and nothing else waits for it",
		telemetry.KeyTo, f.to, telemetry.KeyWhat, f.what, telemetry.KeyItems, f.dropped.Swap(0), telemetry.KeyErr, err)
}

func (f *failing) good() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.told.IsZero() {
		return
	}
	f.told = time.Time{}
	f.logger.Info("the receiver of telemetry takes what it is sent again", telemetry.KeyTo, f.to, telemetry.KeyWhat, f.what)
}
