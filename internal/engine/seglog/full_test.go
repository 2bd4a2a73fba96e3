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

// TestQueueAtItsLimitRefusesUntilDelivered fills the queue to max_bytes: it says so and how long to stay
// away, deliveries go on, and it accepts again when something was settled.
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

// TestFullDiskRefusesHealsAndRestarts fills the disk: no acknowledgement without room, deliveries go on, a
// restart on the full disk works, and the log accepts again by itself when space comes back.
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
		if !errors.Is(err, pillarbox.ErrNoSpace) || pillarbox.RetryAfter(err) <= 0 || log.Stats().Problem == "" {
			t.Fatalf("after %d events: %v, want ErrNoSpace with a wait; problem %q", accepted, err, log.Stats().Problem)
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
