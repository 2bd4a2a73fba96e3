package seglog_test

import (
	"context"
	"testing"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/vfs/faultfs"
)

// TestAPauseOutlivesTheProcess, a kill, a power cut, and a full state file; its end does too.
func TestAPauseOutlivesTheProcess(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	paused := pillarbox.PauseRecord{At: 7, By: "ops", Reason: "maintenance"}
	want := pillarbox.PauseRecord{}
	for life := range 8 {
		log := openLog(t, disk, small())
		if got := log.Pause("events"); got != want {
			t.Fatalf("life %d: the pause is %+v, want %+v", life, got, want)
		}
		if life%2 == 0 {
			if want = paused; life%4 == 2 {
				want = pillarbox.PauseRecord{}
			}
			if err := log.SetPause(context.Background(), "events", want); err != nil {
				t.Fatal(err)
			}
		}
		if got := log.Pause("events"); got != want {
			t.Fatalf("life %d: the pause is %+v, want %+v", life, got, want)
		}
		for n := range 30 * life { // some of them begin another state file
			if err := log.Append(context.Background(), enginetest.Events(1, uint64(life*1000+n))); err != nil {
				t.Fatal(err)
			}
			deliveries, err := leaseAll(log)
			if err != nil {
				t.Fatal(err)
			}
			settleAll(t, log, deliveries)
		}
		after := disk.Crash(nil, faultfs.Dropped)
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		disk = after
	}
}
