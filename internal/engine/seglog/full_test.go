package seglog_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/vfs/faultfs"
)

// fill appends events of 1 KiB until the log refuses, and returns how many it took and the refusal.
func fill(t *testing.T, queue pillarbox.Queue) (int, error) {
	t.Helper()
	for n := range 100_000 {
		event := enginetest.Events(1, uint64(n))[0]
		event.Body = make([]byte, 1<<10)
		if err := queue.Append(context.Background(), []*pillarbox.Event{event}); err != nil {
			return n, err
		}
	}
	t.Fatal("the log never refused")
	return 0, nil
}

// TestQueueAtItsLimitRefusesUntilDelivered fills the queue to max_bytes: it says so and how long to
// stay away, deliveries go on, and it accepts again when something was settled.
func TestQueueAtItsLimitRefusesUntilDelivered(t *testing.T) {
	options := small()
	options.MaxBytes = 200 << 10
	log := openLog(t, faultfs.New(faultfs.Options{}), options)
	defer log.Close()
	if _, err := log.Account("events"); err != nil {
		t.Fatal(err)
	}
	n, err := fill(t, log)
	if !errors.Is(err, pillarbox.ErrFull) || pillarbox.RetryAfter(err) <= 0 {
		t.Fatalf("after %d events: %v, want ErrFull with a wait", n, err)
	}
	if n < 50 || n > 200 {
		t.Errorf("%d events of 1 KiB fit into 200 KiB", n)
	}
	l := newLife(t, 1)
	deliveries, err := l.leaseNow(log, 10)
	if err != nil || len(deliveries) != 10 {
		t.Fatalf("%d deliveries from a full queue, %v", len(deliveries), err)
	}
	settleAll(t, log, deliveries)
	if more, _ := fill(t, log); more < 3 || more > 12 {
		t.Errorf("%d events fit after 10 were settled", more)
	}
}

// TestFullDiskRefusesHealsAndRestarts fills the disk: no acknowledgement without room, deliveries
// go on, a restart on the full disk works, and the log accepts again by itself when space comes
// back.
func TestFullDiskRefusesHealsAndRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := faultfs.New(faultfs.Options{Space: 2 << 20})
		ballast, err := disk.OpenFile("ballast", os.O_RDWR|os.O_CREATE)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ballast.WriteAt(make([]byte, 512<<10), 0); err != nil {
			t.Fatal(err)
		}
		log := openLog(t, disk, small())
		if _, err := log.Account("events"); err != nil {
			t.Fatal(err)
		}
		accepted, err := fill(t, log)
		if !errors.Is(err, pillarbox.ErrNoSpace) || pillarbox.RetryAfter(err) <= 0 ||
			log.Stats().Problem == "" {
			t.Fatalf("after %d events: %v, want ErrNoSpace with a wait; problem %q", accepted, err,
				log.Stats().Problem)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		log = openLog(t, disk, small())
		defer log.Close()
		l := newLife(t, 1)
		deliveries, err := l.leaseNow(log, 100_000)
		if err != nil || len(deliveries) != accepted {
			t.Fatalf("%d of %d events come from a full disk, %v", len(deliveries), accepted, err)
		}
		if err := ballast.Truncate(0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if problem := log.Stats().Problem; problem != "" {
			t.Errorf("space is back and the log says %q", problem)
		}
		if err := l.appendTo(log); err != nil {
			t.Errorf("space is back and append says %v", err)
		}
		settleAll(t, log, deliveries)
	})
}

// TestUnprovenEndWaitsForRoom starts on a full disk after a kill. What is proven to be on the disk
// is delivered, the last commit waits, is found and counted, and comes once there is room: of what
// is kept back for deliveries, if need be.
func TestUnprovenEndWaitsForRoom(t *testing.T) {
	for _, test := range []struct {
		name string
		free int64
		want int // deliveries at once
	}{{"no room", 0, 6}, {"room that is kept back", 32 << 10, 7}} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { unprovenEnd(t, test.free, test.want) })
		})
	}
}

func unprovenEnd(t *testing.T, free int64, want int) {
	const space = 4 << 20
	disk := faultfs.New(faultfs.Options{Space: space})
	options := small()
	options.MinFreeBytes = 1 << 20
	l := newLife(t, 91)
	manual := options
	manual.ManualMaintenance = true // no spare is left that gives room when it is removed
	l.log = openLog(t, disk, manual)
	if _, err := l.log.Account("events"); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{2, 2, 2, 1} {
		if err := l.append(n); err != nil {
			t.Fatal(err)
		}
	}
	killed := disk.Kill()
	if err := l.log.Close(); err != nil {
		t.Fatal(err)
	}
	usage, err := killed.Usage()
	if err != nil {
		t.Fatal(err)
	}
	ballast, err := killed.OpenFile("ballast", os.O_RDWR|os.O_CREATE)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ballast.WriteAt(make([]byte, usage.Free-free), 0); err != nil {
		t.Fatal(err)
	}
	log := openLog(t, killed, options)
	defer log.Close()
	at := func(when string, pending, leased int) []pillarbox.Delivery {
		deliveries, err := l.leaseNow(log, 100)
		if err != nil || len(deliveries) != leased {
			t.Errorf("%s: %d deliveries, want %d; %v", when, len(deliveries), leased, err)
		}
		account, err := log.Account("events")
		if err != nil || account.Accepted != 7 || account.Pending != uint64(pending) ||
			account.Damaged != 0 {
			t.Errorf("%s: account %+v, %v", when, account, err)
		}
		return deliveries
	}
	first := at("full", 7, want)
	for id := range l.acked {
		if _, err := log.Find(context.Background(), id); err != nil {
			t.Error(err)
		}
	}
	if problem := log.Stats().Problem; problem == "" {
		t.Error("no problem is shown on a full disk")
	}
	if err := ballast.Truncate(0); err != nil {
		t.Fatal(err)
	}
	settleAll(t, log, first)
	time.Sleep(3 * time.Second)
	synctest.Wait()
	second := at("room", 7-want, 7-want)
	settleAll(t, log, second)
	if err := l.appendTo(log); err != nil || log.Stats().Problem != "" ||
		len(log.Stats().Damage) != 0 {
		t.Errorf("append: %v, stats %+v", err, log.Stats())
	}
}
