package seglog_test

import (
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/vfs/faultfs"
)

// TestEventsAgeByTheTimeThatPasses sets the wall clock as far as it goes, and kills the process: an
// event is as old as it has waited, to within what lies between two marks, and never older.
func TestEventsAgeByTheTimeThatPasses(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	elapsed, wall := time.Duration(0), time.Date(2026, 11, 23, 14, 12, 0, 0, time.UTC)
	options := small()
	options.ManualMaintenance = true
	options.Elapsed, options.Now = func() time.Duration { return elapsed }, func() time.Time {
		return wall
	}
	l := openLog(t, disk, options)
	if _, err := l.Account("events"); err != nil {
		t.Fatal(err)
	}
	pass := func(d time.Duration) {
		for end := elapsed + d; elapsed < end; elapsed += time.Hour {
			l.Maintain()
		}
	}
	expect := func(n int, atLeast, atMost time.Duration) {
		t.Helper()
		deliveries := leaseNow(t, l, "events", 100)
		if len(deliveries) != n {
			t.Fatalf("%d deliveries, want %d", len(deliveries), n)
		}
		for _, d := range deliveries {
			if !d.Measured || d.Waited < atLeast || d.Waited > atMost {
				t.Errorf("waited %v (measured %v), want %v to %v", d.Waited, d.Measured, atLeast,
					atMost)
			}
		}
		settleAs(t, l, "events", deliveries,
			func(pillarbox.Delivery) pillarbox.Outcome {
				return pillarbox.Outcome{Kind: pillarbox.OutcomeReleased}
			})
	}
	appendFrom(t, l, "app", 3, 1)
	expect(3, 0, 0)
	wall = wall.Add(10 * 365 * 24 * time.Hour)
	pass(10 * 24 * time.Hour)
	expect(3, 9*24*time.Hour, 10*24*time.Hour)
	disk = disk.Kill()
	wall = time.Unix(0, 0)
	l = openLog(t, disk, options)
	expect(3, 9*24*time.Hour, 10*24*time.Hour)
	pass(5 * 24 * time.Hour)
	expect(3, 14*24*time.Hour, 15*24*time.Hour)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	elapsed = 0 // what it counts from was lost: nothing becomes younger
	l = openLog(t, disk, options)
	expect(3, 14*24*time.Hour, 15*24*time.Hour)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRetryOfAnotherClockIsDue starts with a retry that is due in ten years by the date: it is due
// at once, at each start.
func TestRetryOfAnotherClockIsDue(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	wall := time.Date(2036, 11, 23, 14, 12, 0, 0, time.UTC)
	options := small()
	options.ManualMaintenance, options.Now = true, func() time.Time { return wall }
	l := openLog(t, disk, options)
	appendFrom(t, l, "app", 1, 1)
	settleAs(
		t,
		l,
		"events",
		leaseNow(t, l, "events", 1),
		func(pillarbox.Delivery) pillarbox.Outcome {
			attempt := &pillarbox.Attempt{At: 1, Class: pillarbox.ClassRefused, Error: "no"}
			return pillarbox.Outcome{
				Kind: pillarbox.OutcomeRetry, NotBefore: wall.Add(time.Minute), Attempt: attempt,
			}
		},
	)
	if n := len(leaseNow(t, l, "events", 1)); n != 0 {
		t.Fatalf("%d are due before their time", n)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	wall = wall.AddDate(-10, 0, 0)
	l = openLog(t, disk, options)
	if n := len(leaseNow(t, l, "events", 1)); n != 1 {
		t.Errorf("%d are due after the clock was set back by ten years", n)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
