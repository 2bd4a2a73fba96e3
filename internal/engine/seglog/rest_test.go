package seglog_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/seglog"
	"pillarbox/internal/vfs/faultfs"
)

// TestIdleLogRests lets a log that has done its maintenance alone for ten hours: it looks for room
// on the disk now and then, and does nothing else. A new event gets its maintenance within two
// seconds all the same.
func TestIdleLogRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := faultfs.New(faultfs.Options{})
		log := openLog(t, disk, small())
		defer log.Close()
		deliverOne(t, log, 1)
		time.Sleep(10 * time.Second)
		before := disk.Operations()
		time.Sleep(10 * time.Hour)
		if woken := disk.Operations() - before; woken > 100 {
			t.Errorf("an idle log made %d calls to the disk in ten hours", woken)
		}
		deliverOne(t, log, 2)
		time.Sleep(5 * time.Second)
		if after := reopened(t, disk.Crash(nil, faultfs.Dropped)); after.Stored != 2 {
			t.Errorf("after seconds a power cut brings back what was stored: %+v", after)
		}
	})
}

func deliverOne(t *testing.T, log *seglog.Log, number uint64) {
	t.Helper()
	ctx := context.Background()
	if err := log.Append(ctx, enginetest.Events(1, number)); err != nil {
		t.Fatal(err)
	}
	deliveries, err := log.Lease(ctx, "events", pillarbox.LeaseLimits{MaxEvents: 1})
	if err != nil {
		t.Fatal(err)
	}
	outcome := pillarbox.Outcome{Handle: deliveries[0].Handle, Kind: pillarbox.OutcomeStored}
	if err := log.Settle(ctx, "events", []pillarbox.Outcome{outcome}); err != nil {
		t.Fatal(err)
	}
}

func reopened(t *testing.T, disk *faultfs.FS) pillarbox.Account {
	t.Helper()
	log := openLog(t, disk, small())
	defer log.Close()
	account, err := log.Account("events")
	if err != nil {
		t.Fatal(err)
	}
	return account
}

// TestRetryIsDueThoughTheClockWasSetBack has an event wait for a second on a clock that is ten
// years ahead, and restarts on a clock that is right.
func TestRetryIsDueThoughTheClockWasSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk, ctx := faultfs.New(faultfs.Options{}), context.Background()
		ahead := small()
		ahead.Now = func() time.Time { return time.Now().AddDate(10, 0, 0) }
		log := openLog(t, disk, ahead)
		if err := log.Append(ctx, enginetest.Events(1, 1)); err != nil {
			t.Fatal(err)
		}
		deliveries, err := log.Lease(ctx, "events", pillarbox.LeaseLimits{MaxEvents: 1})
		if err != nil {
			t.Fatal(err)
		}
		retry := pillarbox.Outcome{
			Handle: deliveries[0].Handle, Kind: pillarbox.OutcomeRetry,
			NotBefore: ahead.Now().Add(time.Second),
			Attempt:   &pillarbox.Attempt{At: 1, Class: pillarbox.ClassRefused, Error: "no"},
		}
		if err := log.Settle(ctx, "events", []pillarbox.Outcome{retry}); err != nil {
			t.Fatal(err)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		log = openLog(t, disk, small())
		defer log.Close()
		waiting, cancel := context.WithTimeout(ctx, 2*time.Hour)
		defer cancel()
		if _, err := log.Lease(waiting, "events", pillarbox.LeaseLimits{MaxEvents: 1}); err != nil {
			t.Errorf("the event still waits after two hours: %v", err)
		}
	})
}
