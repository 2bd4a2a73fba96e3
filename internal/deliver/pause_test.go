package deliver_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox"
	"pillarbox/internal/deliver"
	"pillarbox/internal/destination"
	"pillarbox/internal/engine/enginetest"
)

// TestPausedDeliversNothing: from the moment of the pause on, also of what a wait for events was on
// its way to; it goes on when it is told, and within a second where somebody else has ended the pause.
func TestPausedDeliversNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := enginetest.Events(30, 4)
		o := open(t, events[:10], destination.Settings{MaxAge: 0}, func([]*pillarbox.Event) error { return nil })
		defer o.stop()
		o.after(time.Second)
		o.expect(10, 0, 0)
		pause := func(record pillarbox.PauseRecord) {
			t.Helper()
			if err := o.queue.SetPause(context.Background(), "events", record); err != nil {
				t.Fatal(err)
			}
		}
		add := func(some []*pillarbox.Event) {
			t.Helper()
			if err := o.queue.Append(context.Background(), some); err != nil {
				t.Fatal(err)
			}
		}
		pause(pillarbox.PauseRecord{At: 1, By: "ops"}) // the loop waits for events, and is not told
		add(events[10:20])
		o.after(time.Hour)
		o.expect(10, 0, 10)
		if status := o.loop.Status(); status.State != deliver.StatePaused || status.Pause.By != "ops" || !status.DownSince.IsZero() {
			t.Errorf("status %+v", status)
		}
		writes := o.writes.Load()
		pause(pillarbox.PauseRecord{})
		o.loop.Wake()
		o.after(500 * time.Millisecond) // its batch fills, and no second has passed
		o.expect(20, 0, 0)
		pause(pillarbox.PauseRecord{At: 2})
		add(events[20:])
		o.after(time.Minute)
		pause(pillarbox.PauseRecord{})
		o.after(2 * time.Second) // nobody tells
		o.expect(30, 0, 0)
		if now := o.writes.Load(); now > writes+4 {
			t.Errorf("%d writes for two batches", now-writes)
		}
		if status := o.loop.Status(); status.State != deliver.StateDelivering {
			t.Errorf("status %+v", status)
		}
	})
}
