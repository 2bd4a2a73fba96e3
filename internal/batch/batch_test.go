package batch_test

import (
	"testing"
	"time"

	"pillarbox/internal/batch"
)

func TestBatchGoesAtItsFirstLimit(t *testing.T) {
	start := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	limits := batch.Limits{MaxEvents: 3, MaxBytes: 100, MaxAge: time.Second}
	for _, c := range []struct {
		name   string
		events int
		bytes  int64
		after  time.Duration
		wait   time.Duration
	}{
		{"empty", 0, 0, 0, 0},
		{"young and small", 1, 10, 100 * time.Millisecond, 900 * time.Millisecond},
		{"full by events", 3, 10, 0, 0},
		{"full by bytes", 1, 100, 0, 0},
		{"over in bytes", 1, 5000, 0, 0},
		{"old", 1, 10, time.Second, 0},
		{"older", 1, 10, time.Minute, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var f batch.Filling
			if c.events > 0 {
				f.Add(start, c.events, c.bytes)
			}
			if got := f.Wait(start.Add(c.after), limits); got != c.wait {
				t.Errorf("wait %v, want %v", got, c.wait)
			}
		})
	}
}

func TestRoomIsWhatStillFits(t *testing.T) {
	limits := batch.Limits{}.WithDefaults()
	var f batch.Filling
	f.Add(time.Now(), 400, 1<<20)
	f.Add(time.Now(), 100, 1<<20)
	if events, bytes := f.Room(limits); events != 500 || bytes != 2<<20 {
		t.Errorf("room for %d events and %d bytes", events, bytes)
	}
	f.Add(time.Now(), 500, 0)
	if events, bytes := f.Room(limits); events != 0 || bytes != 0 {
		t.Errorf("a full batch has room for %d events and %d bytes", events, bytes)
	}
}
