package seglog_test

import (
	"bytes"
	"context"
	"errors"
	"path"
	"testing"

	"pillarbox"
	"pillarbox/internal/engine/seglog"
	"pillarbox/internal/vfs"
	"pillarbox/internal/vfs/faultfs"
)

// TestRepairKeepsTheGoodAndQuarantinesTheBad flips a bit in each record of a segment in turn,
// repairs, and finds a log that verifies without new damage and delivers every other event.
func TestRepairKeepsTheGoodAndQuarantinesTheBad(t *testing.T) {
	l := newLife(t, 21)
	disk := writeLog(t, l, 6, true)
	name := segments(t, disk)[0]
	repairs := 0
	for offset := int64(0); offset < 12<<10; offset += 397 {
		damaged := disk.Crash(nil, faultfs.Dropped)
		if err := damaged.Flip(name, offset, 5); err != nil {
			t.Fatal(err)
		}
		before, err := seglog.Verify(context.Background(), damaged, nil, "queue", nil)
		if err != nil {
			t.Fatal(err)
		}
		original, err := vfs.ReadFile(damaged, name, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		repaired, err := seglog.Repair(context.Background(), damaged, nil, "queue")
		if err != nil {
			t.Fatal(err)
		}
		if (len(before.Damage) > 0) != (len(repaired.Segments) > 0) {
			t.Fatalf("flip at %d: verify found %v, repair %+v", offset, before.Damage, repaired)
		}
		if len(repaired.Segments) == 0 {
			continue // a bit that nothing reads
		}
		repairs++
		aside, err := vfs.ReadFile(damaged, repaired.Segments[0].Quarantine, 1<<30)
		if err != nil || !bytes.Equal(aside, original) {
			t.Errorf("flip at %d: the damaged file is not in quarantine as it was: %v", offset, err)
		}
		after, err := seglog.Verify(context.Background(), damaged, nil, "queue", nil)
		if err != nil || after.Events != before.Events || after.Lost != 0 ||
			after.LostBefore != before.Lost ||
			len(after.Damage) != 0 {
			t.Fatalf("flip at %d: before %+v, after %+v, %v", offset, before, after, err)
		}
		export, err := vfs.ReadFile(damaged, repaired.Segments[0].Export, 1<<30)
		if err != nil || uint64(bytes.Count(export, []byte("\n"))) != repaired.Events {
			t.Errorf("flip at %d: export has %d lines for %d events, %v", offset,
				bytes.Count(export, []byte("\n")), repaired.Events, err)
		}
		log := openLog(t, damaged, small())
		deliveries, err := leaseAll(log)
		if err != nil || uint64(len(deliveries)) != before.Events ||
			len(l.acked) > len(deliveries)+1 {
			t.Fatalf("flip at %d: %d events came, verify has read %d of %d, %v", offset,
				len(deliveries), before.Events, len(l.acked), err)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if repairs < 10 {
		t.Errorf("only %d repairs", repairs)
	}
}

// TestDamagedStateStopsTheStartAndRepairMendsIt damages both files of a delivery state.
func TestDamagedStateStopsTheStartAndRepairMendsIt(t *testing.T) {
	l := newLife(t, 22)
	disk := writeLog(t, l, 5, true)
	for _, slot := range []string{"0", "1"} {
		// One of the two may not exist yet.
		_ = disk.Flip("queue/events."+slot+".state", 70, 1)
	}
	if _, err := seglog.Open(disk, "queue", small()); !errors.Is(err, pillarbox.ErrCorrupt) {
		t.Fatalf("open with a damaged delivery state: %v, want ErrCorrupt", err)
	}
	repaired, err := seglog.Repair(context.Background(), disk, nil, "queue")
	if err != nil || len(repaired.States) != 1 {
		t.Fatalf("repair: %+v, %v", repaired, err)
	}
	if pending := l.recover(disk, "after the repair"); len(pending) != len(l.acked) {
		t.Errorf("%d events came, want all %d again", len(pending), len(l.acked))
	}
	if _, err := disk.OpenFile("queue/quarantine/events.1.state", 0); err != nil {
		t.Errorf("the damaged state is not in quarantine: %v", err)
	}
}

func TestInspectAndForget(t *testing.T) {
	l := newLife(t, 23)
	disk := writeLog(t, l, 5, true)
	inspection, err := seglog.Inspect(disk, nil, "queue")
	if err != nil {
		t.Fatal(err)
	}
	if inspection.Accepted != uint64(len(l.acked)) || len(inspection.Destinations) != 1 ||
		path.Base(inspection.Segments[0].File) != "0000000000000001.seg" {
		t.Errorf("inspection %+v", inspection)
	}
	if err := seglog.Forget(disk, "queue", "nobody"); !errors.Is(err, pillarbox.ErrNotFound) {
		t.Errorf("forget an unknown destination: %v", err)
	}
	if err := seglog.Forget(disk, "queue", "events"); err != nil {
		t.Fatal(err)
	}
	log := openLog(t, disk, small())
	defer log.Close()
	if names := log.Stats().Destinations; len(names) != 0 {
		t.Errorf("destinations %v after forgetting", names)
	}
}
