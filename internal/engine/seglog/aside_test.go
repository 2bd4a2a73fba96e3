package seglog_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/seglog"
	"pillarbox/internal/vfs/faultfs"
)

// lease leases what is there now, without waiting for more.
func leaseNow(t *testing.T, l *seglog.Log, destination string, n int) []pillarbox.Delivery {
	t.Helper()
	ctx, cancel := context.WithDeadline(context.Background(), time.Unix(0, 0))
	defer cancel()
	deliveries, err := l.Lease(ctx, destination, pillarbox.LeaseLimits{MaxEvents: n})
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	return deliveries
}

func settleAs(
	t *testing.T, l *seglog.Log, destination string, deliveries []pillarbox.Delivery,
	outcome func(pillarbox.Delivery) pillarbox.Outcome,
) {
	t.Helper()
	outcomes := make([]pillarbox.Outcome, len(deliveries))
	for i, delivery := range deliveries {
		outcomes[i] = outcome(delivery)
		outcomes[i].Handle = delivery.Handle
	}
	if err := l.Settle(context.Background(), destination, outcomes); err != nil {
		t.Fatal(err)
	}
}

func appendFrom(t *testing.T, l *seglog.Log, source string, n int, seed uint64) {
	t.Helper()
	events := enginetest.Events(n, seed)
	for i, event := range events {
		event.Source, event.RequestID = source, fmt.Sprintf("%s-%d-%d", source, seed, i)
	}
	if err := l.Append(context.Background(), events); err != nil {
		t.Fatal(err)
	}
}

// TestFullRetrySetHoldsUpNobody has more events refused than may wait in memory: the others are
// still handed out, and the refused ones come again when there is room.
func TestFullRetrySetHoldsUpNobody(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	options := small()
	options.MaxRetrying, options.ManualMaintenance = 20, true
	l := openLog(t, disk, options)
	const bad, good = 300, 5
	appendFrom(t, l, "bad", bad, 1)
	appendFrom(t, l, "good", good, 2)
	stored := map[string]bool{}
	refuse := true
	round := func(l *seglog.Log) int {
		deliveries := leaseNow(t, l, "events", 50)
		settleAs(t, l, "events", deliveries, func(d pillarbox.Delivery) pillarbox.Outcome {
			if refuse && d.Event.Source == "bad" {
				return pillarbox.Outcome{
					Kind: pillarbox.OutcomeRetry, NotBefore: time.Now().Add(time.Hour),
					Attempt: &pillarbox.Attempt{At: 1, Class: pillarbox.ClassRefused, Error: "no"},
				}
			}
			if stored[d.Event.RequestID] {
				t.Fatalf("event %s came twice", d.Event.RequestID)
			}
			stored[d.Event.RequestID] = true
			return pillarbox.Outcome{Kind: pillarbox.OutcomeStored}
		})
		return len(deliveries)
	}
	for range 20 { // a batch of refusals alone is followed by a pause, which a start ends
		for round(l) > 0 {
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = openLog(t, disk, options)
		if len(stored) == good {
			break
		}
	}
	account, err := l.Account("events")
	if err != nil || len(stored) != good || account.Stored != good || account.Pending != bad ||
		account.Retrying != bad {
		t.Fatalf("%d good events are stored, account %+v, %v", len(stored), account, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	refuse, options.MaxRetrying = false, 1000
	options.Now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	l = openLog(t, disk, options)
	for round(l) > 0 {
	}
	if account, err = l.Account("events"); err != nil || account.Stored != bad+good ||
		account.Pending != 0 {
		t.Fatalf("account %+v, %v", account, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRefusingEverythingIsPaced looks at the pause: a destination that refuses all is not asked for
// the whole backlog.
func TestRefusingEverythingIsPaced(t *testing.T) {
	clock := time.Date(2026, 11, 23, 14, 12, 0, 0, time.UTC)
	options := small()
	options.MaxRetrying, options.ManualMaintenance, options.Now = 10, true, func() time.Time {
		return clock
	}
	l := openLog(t, faultfs.New(faultfs.Options{}), options)
	defer l.Close()
	appendFrom(t, l, "bad", 1000, 1)
	tried := 0
	for range 600 { // ten minutes
		deliveries := leaseNow(t, l, "events", 10)
		tried += len(deliveries)
		settleAs(t, l, "events", deliveries, func(pillarbox.Delivery) pillarbox.Outcome {
			return pillarbox.Outcome{
				Kind: pillarbox.OutcomeRetry, NotBefore: clock.Add(time.Hour),
				Attempt: &pillarbox.Attempt{At: 1, Class: pillarbox.ClassRefused, Error: "no"},
			}
		})
		clock = clock.Add(time.Second)
	}
	if tried < 30 || tried > 400 {
		t.Errorf("%d events were tried in ten minutes", tried)
	}
}

// TestHeldEventsDoNotKeepSegments trims segments that only few held events are in, and still has
// those, in this life and the next one; and keeps the segments where they are many.
func TestHeldEventsDoNotKeepSegments(t *testing.T) {
	for _, c := range []struct {
		name     string
		room     int
		segments bool
	}{{"few", 1000, false}, {"many", 10, true}} {
		t.Run(c.name, func(t *testing.T) {
			disk := faultfs.New(faultfs.Options{})
			options := small()
			options.ManualMaintenance, options.MaxRetrying = true, c.room
			l := openLog(t, disk, options)
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			must(l.Oblige(t.Context(), "events", pillarbox.Rule{Sources: []string{"app", "old"}}))
			appendFrom(t, l, "old", 50, 1)
			for seed := range uint64(30) {
				appendFrom(t, l, "app", 50, 10+seed)
			}
			must(l.Oblige(t.Context(), "events", pillarbox.Rule{Sources: []string{"app"}}))
			must(
				l.Review(t.Context(), "events",
					func(d *pillarbox.Delivery) bool { return d.Event.Source == "old" }),
			)
			stored := 0
			for {
				deliveries := leaseNow(t, l, "events", 500)
				if len(deliveries) == 0 {
					break
				}
				stored += len(deliveries)
				settleAs(t, l, "events", deliveries,
					func(pillarbox.Delivery) pillarbox.Outcome {
						return pillarbox.Outcome{Kind: pillarbox.OutcomeStored}
					})
			}
			l.Maintain()
			first, err := seglog.Inspect(disk, nil, "queue")
			must(err)
			kept := first.Segments[0].First == 1
			if stored != 1500 || kept != c.segments {
				t.Errorf("%d were stored, the first segment is kept: %v", stored, kept)
			}
			for life := range 2 {
				held := 0
				must(l.ScanHeld(t.Context(), "events", func(d *pillarbox.Delivery) error {
					if held++; d.Event.Source != "old" {
						t.Errorf("held is %+v", d.Event)
					}
					return nil
				}))
				if account, err := l.Account("events"); err != nil || held != 50 ||
					account.Held != 50 ||
					account.Pending != 50 {
					t.Fatalf("life %d: %d are held, account %+v, %v", life, held, account, err)
				}
				must(l.Close())
				l = openLog(t, disk, options)
			}
			must(l.Close())
		})
	}
}
