package sim

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox/test/setting"
)

const worldHours = 400 // of one world

// TestSim lives many worlds.
func TestSim(t *testing.T) {
	hours := setting.Number(t, "PILLARBOX_TEST_SIM_HOURS", 2000)
	seed := setting.Seed(t)
	t.Logf("%d hours to simulate", hours)
	start := time.Now()
	total := newTally()
	var mu sync.Mutex
	next, broken := seed, error(nil)
	draw := func() (uint64, bool) {
		mu.Lock()
		defer mu.Unlock()
		next++
		return next - 1, broken == nil && total.all()["hours"] < hours
	}
	t.Run("worlds", func(t *testing.T) {
		for range runtime.GOMAXPROCS(0) {
			t.Run("lane", func(t *testing.T) {
				t.Parallel()
				for seed, more := draw(); more; seed, more = draw() {
					synctest.Test(t, func(t *testing.T) {
						if err := Live(seed, worldHours, total); err != nil {
							mu.Lock()
							defer mu.Unlock()
							if broken == nil {
								broken = fmt.Errorf("world with seed %d: %w", seed, err)
							}
						}
					})
				}
			})
		}
	})
	t.Logf("%v, %.0f hours/s", total.all(), float64(total.all()["hours"])/time.Since(start).Seconds())
	if broken != nil {
		t.Fatal(broken)
	}
	for what, per := range least {
		if n := total.all()[what]; n < hours/per {
			t.Errorf("too little was done to prove anything: %q happened %d times in %d hours, want %d",
				what, n, hours, hours/per)
		}
	}
}

// least says in how many hours each of these happens at least once: about three times what was
// seen.
var least = map[string]int{
	"hours": 1, "client: receipt": 1, "check: all events": 20, "check: ledger": 20, "check: prompt": 40,
	"life: closed": 400, "life: killed": 300, "letters put": 20, "letters replayed": 20, "letters discarded": 400,
	"outage of 12 to 72 hours": 1500, "clock an hour back": 2000, "clock ten years ahead": 2000, "clock in 1970": 2000,
	"sink: commit and no answer": 400, "sink: killed after the commit": 400, "sink: part unavailable": 400, "sink: written twice": 400,
	"sink: looks like an outage": 40, "sink: throttled": 10, "sink: refused": 10, "queue: settle without an answer": 40,
	"event: not taken by the filter": 160, "operator: pauses or resumes": 300, "backfill: runs": 150, "backfill: events taken": 2000,
	"disk: input/output error": 1000, "disk: no space left on device": 100,
}

// TestClock sets the date, and sees that durations stay right.
func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &wallClock{start: time.Now(),
			steps: []clockStep{{at: time.Hour, off: -time.Hour}, {at: 2 * time.Hour, off: 10 * year},
				{at: 3 * time.Hour}}}
		first := c.Now()
		for hours, off := range []time.Duration{0, -time.Hour, 10 * year, 0} {
			now, right := c.Now(), time.Now()
			if got := now.Sub(first); got != time.Duration(hours)*time.Hour {
				t.Errorf("%d hours passed, and two readings are %v apart", hours, got)
			}
			if got := now.Round(0).Sub(right.Round(0)); got != off {
				t.Errorf("after %d hours the date is off by %v, want %v", hours, got, off)
			}
			time.Sleep(time.Hour)
		}
	})
}
