package seglog_test

import (
	"errors"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/vfs/faultfs"
)

// TestFullQueueSaysSo fills a queue to its limit: as soon as the next usual event would be refused,
// its state says so; and what a client is asked to wait follows from how fast the queue gets room.
func TestFullQueueSaysSo(t *testing.T) {
	clock := time.Date(2026, 11, 23, 14, 12, 0, 0, time.UTC)
	options := small()
	options.ManualMaintenance, options.MaxBytes, options.Now = true, 256<<10, func() time.Time {
		return clock
	}
	l := openLog(t, faultfs.New(faultfs.Options{}), options)
	defer l.Close()
	if _, err := l.Account("events"); err != nil {
		t.Fatal(err)
	}
	fill := func() (after time.Duration) {
		t.Helper()
		for seed := range uint64(10_000) {
			event := enginetest.Events(1, seed)
			event[0].Body = make([]byte, 900)
			err := l.Append(t.Context(), event)
			problem := l.Stats().Problem
			if err != nil {
				if !errors.Is(err, pillarbox.ErrFull) || problem == "" {
					t.Fatalf("refused with %v, and the state says %q", err, problem)
				}
				return pillarbox.RetryAfter(err)
			}
			if problem != "" {
				// It would refuse the next one: so it must.
				if err := l.Append(t.Context(), event); !errors.Is(err, pillarbox.ErrFull) {
					t.Fatalf("the state says %q, and the next usual event is answered with %v",
						problem, err)
				}
				return pillarbox.RetryAfter(l.Append(t.Context(), event))
			}
		}
		t.Fatal("never full")
		return 0
	}
	if after := fill(); after != time.Minute {
		t.Errorf("with nothing delivered, a client is asked to wait %v", after)
	}
	deliver := func(n int) {
		settleAs(t, l, "events", leaseNow(t, l, "events", n),
			func(pillarbox.Delivery) pillarbox.Outcome {
				return pillarbox.Outcome{Kind: pillarbox.OutcomeStored}
			})
	}
	for range 20 {
		clock = clock.Add(time.Second)
		deliver(1)
	}
	if l.Stats().Problem != "" {
		t.Error("there is room, and the state says that there is none")
	}
	if after := fill(); after < time.Second || after > 4*time.Second {
		t.Errorf(
			"at about one event a second, of which two or three make a hundredth of the limit, a client is asked to wait %v",
			after,
		)
	}
	clock = clock.Add(time.Hour)
	if after := fill(); after != time.Minute {
		t.Errorf("after an hour in which nothing moved, a client is asked to wait %v", after)
	}
}
