package watchdog_test

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox/internal/watchdog"
)

const bound = 5 * time.Second

// TestLateCallsAreTold makes calls that are in time, and some that are not: each of those is told
// once, when its bound ends, however many came before and however long nothing ran.
func TestLateCallsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := make(chan watchdog.Call, 10)
		w := watchdog.New(bound, func(call watchdog.Call) { told <- call })
		for round := range 4 {
			for range 100 {
				call := w.Begin()
				time.Sleep(time.Duration(round) * time.Second)
				if !w.End(call) {
					t.Fatal("somebody else has ended a call that was in time")
				}
			}
			began := time.Now()
			late := w.Begin()
			if got := <-told; got != late || time.Since(began) != bound || w.Current() != late {
				t.Fatalf("round %d: call %d was told after %s, want %d after %s", round, got,
					time.Since(began), late, bound)
			}
			if !w.End(late) || w.End(late) {
				t.Fatal("a call is not ended once")
			}
			time.Sleep(time.Hour)
		}
		if len(told) > 0 {
			t.Errorf("%d calls more were told", len(told))
		}
	})
}

// TestNoBoundNoWatch: without a bound nothing is watched.
func TestNoBoundNoWatch(t *testing.T) {
	w, calls := watchdog.New(0, nil), watchdog.NewCalls(0, nil, nil)
	if call := w.Begin(); !w.End(call) || w.Current() != 0 {
		t.Error("a call was taken over")
	}
	calls.Begin("sync", "a").End()
	if what, _ := calls.Hanging(); what != "" {
		t.Errorf("%s hangs", what)
	}
}

// TestCallsTellBeginAndEnd lets calls hang side by side: one line when the first is late, one when
// none is any more.
func TestCallsTellBeginAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var lines []string
		note := func(word string) func(string, time.Duration) {
			return func(what string, took time.Duration) {
				mu.Lock()
				defer mu.Unlock()
				lines = append(lines, word+" "+what+" "+took.String())
			}
		}
		calls := watchdog.NewCalls(bound, note("late"), note("back"))
		for range 3 {
			calls.Begin("read", "quick").End()
			time.Sleep(4 * time.Second)
		}
		first := calls.Begin("sync", "first")
		time.Sleep(time.Second)
		second := calls.Begin("write", "second")
		time.Sleep(time.Second)
		calls.Begin("read", "quick").End()
		time.Sleep(5 * time.Second)
		if what, since := calls.Hanging(); what != "sync first" || since != 7*time.Second {
			t.Errorf("%s hangs for %s", what, since)
		}
		first.End()
		if what, _ := calls.Hanging(); what != "write second" {
			t.Errorf("%s hangs", what)
		}
		calls.Begin("read", "quick").End()
		second.End()
		if what, _ := calls.Hanging(); what != "" {
			t.Errorf("%s hangs", what)
		}
		third := calls.Begin("sync", "third")
		time.Sleep(time.Minute)
		third.End()
		synctest.Wait()
		want := []string{"late sync first 5s", "back write second 6s", "late sync third 5s",
			"back sync third 1m0s"}
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(lines, want) {
			t.Errorf("told %q, want %q", lines, want)
		}
	})
}
