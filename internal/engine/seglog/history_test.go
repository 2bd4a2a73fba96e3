package seglog_test

import (
	"context"
	"errors"
	"testing"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/seglog"
	"pillarbox/internal/vfs"
	"pillarbox/internal/vfs/faultfs"
)

// deliverSome delivers so many events of 1 KiB, with the maintenance that a second brings.
func deliverSome(t *testing.T, log *seglog.Log, n int) {
	t.Helper()
	l := newLife(t, 1)
	for range n / 20 {
		events := enginetest.Events(20, 1)
		for _, event := range events {
			event.Body = make([]byte, 1<<10)
		}
		if err := log.Append(context.Background(), events); err != nil {
			t.Fatal(err)
		}
		deliveries, err := l.leaseNow(log, 20)
		if err != nil || len(deliveries) != 20 {
			t.Fatalf("%d deliveries, %v", len(deliveries), err)
		}
		settleAll(t, log, deliveries)
		log.Maintain()
	}
}

// historyOf is how many bytes of delivered segments there are.
func historyOf(t *testing.T, fsys vfs.FS) (bytes int64) {
	t.Helper()
	found, err := seglog.Inspect(fsys, nil, "queue")
	if err != nil {
		t.Fatal(err)
	}
	for _, segment := range found.Segments[:len(found.Segments)-1] {
		bytes += segment.End
	}
	return bytes
}

// TestHistoryIsAChoice: so much of what was delivered is kept as was chosen, to within a segment.
// Another choice holds from the next round of the maintenance on.
func TestHistoryIsAChoice(t *testing.T) {
	const segment = 64 << 10
	disk := faultfs.New(faultfs.Options{})
	options := small()
	options.KeepBytes, options.ManualMaintenance = 4*segment, true
	log := openLog(t, disk, options)
	defer log.Close()
	if _, err := log.Account("events"); err != nil {
		t.Fatal(err)
	}
	deliverSome(t, log, 600)
	want := func(when string, keep int64) {
		t.Helper()
		if got := historyOf(t, disk); got > keep || got <= keep-segment {
			t.Errorf("%s: a history of %d bytes, want %d less up to a segment", when, got, keep)
		}
	}
	want("as opened", 4*segment)
	log.SetKeepBytes(2 * segment)
	log.Maintain()
	want("lowered", 2*segment)
	log.SetKeepBytes(6 * segment)
	log.Maintain()
	want("raised, and nothing comes back", 2*segment)
	deliverSome(t, log, 600)
	want("raised", 6*segment)
	log.SetKeepBytes(-1)
	log.Maintain()
	if got := historyOf(t, disk); got != 0 {
		t.Errorf("a history of %d bytes, and none was wanted", got)
	}
	log.SetKeepBytes(0)
	deliverSome(t, log, 600)
	if got := historyOf(t, disk); got < 8*segment {
		t.Errorf("a history of %d bytes of some 900 KiB, and the default keeps 256 MiB", got)
	}
}

// TestHistoryNeverMakesTheQueueFull: a history as large as the limit leaves as much room for what
// is not delivered as none.
func TestHistoryNeverMakesTheQueueFull(t *testing.T) {
	room := func(keepBytes int64) int {
		options := small()
		options.MaxBytes, options.KeepBytes, options.ManualMaintenance = 200<<10, keepBytes, true
		disk := faultfs.New(faultfs.Options{})
		log := openLog(t, disk, options)
		defer log.Close()
		if _, err := log.Account("events"); err != nil {
			t.Fatal(err)
		}
		deliverSome(t, log, 400)
		if got := historyOf(t, disk); (got > 0) != (keepBytes > 0) {
			t.Errorf("a history of %d bytes, with %d to keep", got, keepBytes)
		}
		if stats := log.Stats(); stats.Bytes != 0 || stats.Problem != "" {
			t.Errorf("everything is delivered: %+v", stats)
		}
		n, err := fill(t, log)
		if !errors.Is(err, pillarbox.ErrFull) {
			t.Fatal(err)
		}
		return n
	}
	if with, without := room(200<<10), room(-1); with != without {
		t.Errorf("room for %d events with a history, and for %d without", with, without)
	}
}

// TestHistoryIsNotInUse: who looks at a log at rest is told what is not delivered, as while it
// runs.
func TestHistoryIsNotInUse(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	options := small()
	log := openLog(t, disk, options)
	if _, err := log.Account("events"); err != nil {
		t.Fatal(err)
	}
	deliverSome(t, log, 200)
	running := log.Stats().Bytes
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	options.ReadOnly = true
	atRest, err := seglog.Open(disk, "queue", options)
	if err != nil {
		t.Fatal(err)
	}
	defer atRest.Close()
	if got := atRest.Stats().Bytes; got > running+4<<10 {
		t.Errorf("%d bytes are in use while it runs, and %d at rest", running, got)
	}
}
