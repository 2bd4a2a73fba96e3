package deliver_test

import (
	"context"
	"fmt"
	"strings"
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

// TestADestinationThatIsGoneIsPaused: by itself, durably, at no event's expense, whether it says so for
// a batch, for one event of it or to a probe; and the delivery goes on when a person resumes it.
func TestADestinationThatIsGoneIsPaused(t *testing.T) {
	gone := fmt.Errorf("answered 410 %s: %w: %w", strings.Repeat("long ", 200), pillarbox.ErrGone, pillarbox.ErrUnavailable)
	for name, say := range map[string]func(call int, events []*pillarbox.Event) error{
		"of a batch": func(int, []*pillarbox.Event) error { return gone },
		"of one event": func(int, []*pillarbox.Event) error {
			return &pillarbox.BatchError{Items: []pillarbox.ItemError{{Index: 3, Err: gone}}}
		},
		"to a probe": func(call int, _ []*pillarbox.Event) error {
			if call == 1 {
				return pillarbox.ErrUnavailable
			}
			return gone
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				events, calls, isGone := enginetest.Events(30, 5), 0, true
				o := open(t, events, destination.Settings{}, func(batch []*pillarbox.Event) error {
					if calls++; isGone {
						return say(calls, batch)
					}
					return nil
				})
				defer o.stop()
				o.after(time.Hour)
				if calls > 2 {
					t.Errorf("asked %d times within an hour", calls)
				}
				status := o.loop.Status()
				if status.State != deliver.StatePaused || status.Pause.By != pillarbox.PausedByDestination || status.Pause.At == 0 ||
					!strings.Contains(status.Pause.Reason, "answered 410") || len(status.Pause.Reason) > pillarbox.MaxPauseReason {
					t.Errorf("status %+v", status)
				}
				isGone = false
				if err := o.queue.SetPause(context.Background(), "events", pillarbox.PauseRecord{}); err != nil {
					t.Fatal(err)
				}
				o.loop.Wake()
				o.after(time.Minute)
				o.expect(30, 0, 0)
				for _, event := range events {
					if attempts := o.history.Attempts("events", event.RequestID); len(attempts) > 0 {
						t.Errorf("an event has the attempts %+v", attempts)
					}
				}
			})
		})
	}
}
