package replay_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox"
	"pillarbox/internal/background"
	"pillarbox/internal/replay"
	"pillarbox/internal/vfs/faultfs"
)

// TestReplayGoesOnInTheNextLife where it was cut off: each letter gets one try, the counts go on, and
// a cancelled one stays so.
func TestReplayGoesOnInTheNextLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := open(t, 40)
		m.refuse[m.events[2].RequestID] = true
		disk := faultfs.New(faultfs.Options{})
		life := func() *replay.Jobs {
			return replay.NewJobs(m.replayer, background.Options{Keeper: background.NewKeeper(disk, nil)})
		}
		jobs := life()
		started, err := jobs.Start(t.Context(), replay.Request{Rate: 1, MaxFailed: -1, Filter: pillarbox.DeadLetterFilter{Destination: "events"}})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(9500 * time.Millisecond)
		if err := jobs.Close(); err != nil {
			t.Fatal(err)
		}
		before, _ := jobs.Get(started.ID)
		calls := m.calls
		disk = disk.Crash(nil, faultfs.Dropped)
		jobs = life()
		if at, err := jobs.Get(started.ID); err != nil || at.State != replay.StateRunning || at.Replayed != before.Replayed || at.Failed != 1 {
			t.Fatalf("the next life finds %+v, %v after %+v", at, err, before)
		}
		jobs.Resume(t.Context())
		time.Sleep(time.Minute)
		at, err := jobs.Get(started.ID)
		if err != nil || at.State != replay.StateDone || at.Matched != 40 || at.Replayed != 39 || at.Failed != 1 {
			t.Errorf("ended as %+v, %v", at, err)
		}
		if m.calls != 40 || calls == 0 {
			t.Errorf("%d writes for 40 letters", m.calls)
		}
		m.expect(1, 39)
		if err := jobs.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestReplayWaitsForLiveDelivery, and says so.
func TestReplayWaitsForLiveDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := open(t, 20)
		var lag atomic.Value
		lag.Store("lags")
		m.replayer = replay.New(replay.Options{Letters: m.letters, Deliver: m.deliver, Lag: func(string) string { return lag.Load().(string) }})
		jobs := replay.NewJobs(m.replayer, background.Options{})
		defer jobs.Close()
		if _, err := jobs.Start(context.Background(), replay.Request{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if at := jobs.List()[0]; at.Waiting != "lags" || at.Replayed != 0 || !at.Running() {
			t.Errorf("while live delivery lags: %+v", at)
		}
		lag.Store("")
		time.Sleep(time.Minute)
		if at := jobs.List()[0]; at.Waiting != "" || at.Replayed != 20 || at.State != replay.StateDone {
			t.Errorf("when it does not any more: %+v", at)
		}
	})
}
