package seglog_test

import (
	"fmt"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/engine/seglog"
	"pillarbox/internal/vfs"
	"pillarbox/internal/vfs/faultfs"
)

// liveSegment is the name of the newest segment.
func liveSegment(t *testing.T, disk vfs.FS) string {
	t.Helper()
	inspection, err := seglog.Inspect(disk, nil, "queue")
	if err != nil || len(inspection.Segments) == 0 {
		t.Fatal(err)
	}
	return inspection.Segments[len(inspection.Segments)-1].File
}

// TestRemovedLiveSegmentLosesNothing removes, moves or replaces the file that is written to, at
// rest and between appends: what was acknowledged before and after is there in the next life, and
// in this one.
func TestRemovedLiveSegmentLosesNothing(t *testing.T) {
	for _, c := range []struct {
		name   string
		meddle func(disk *faultfs.FS, name string) error
	}{
		{"removed", func(disk *faultfs.FS, name string) error { return disk.Remove(name) }},
		{"moved", func(disk *faultfs.FS, name string) error { return disk.Rename(name, "elsewhere") }},
		{"replaced", func(disk *faultfs.FS, name string) error {
			if err := vfs.WriteFile(disk, "other", []byte("nothing of ours")); err != nil {
				return err
			}
			return disk.Rename("other", name)
		}},
	} {
		for _, maintenance := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, maintenance %v", c.name, maintenance),
				func(t *testing.T) { meddleWithLive(t, c.meddle, maintenance) })
		}
	}
}

func meddleWithLive(
	t *testing.T, meddle func(disk *faultfs.FS, name string) error, maintenance bool,
) {
	disk := faultfs.New(faultfs.Options{})
	options := small()
	clock := time.Date(2026, 11, 23, 14, 12, 0, 0, time.UTC)
	options.ManualMaintenance, options.KeepBytes, options.Now = true, 1<<20, func() time.Time {
		return clock
	}
	l := openLog(t, disk, options)
	if _, err := l.Account("events"); err != nil {
		t.Fatal(err)
	}
	appendFrom(t, l, "app", 30, 1)
	if err := meddle(disk, liveSegment(t, disk)); err != nil {
		t.Fatal(err)
	}
	clock = clock.Add(2 * time.Second) // the name is looked at each second
	if maintenance {
		l.Maintain() // a log at rest looks by itself
		l.Maintain()
	}
	appendFrom(t, l, "app", 30, 2)
	appendFrom(t, l, "app", 30, 3)
	seen := map[string]int{}
	if n := drain(t, l, seen); n != 90 {
		t.Errorf("%d of 90 events come in this life", n)
	}
	killed := disk.Kill()
	again := openLog(t, killed, options)
	held := 0
	if err := again.Scan(t.Context(), "events",
		func(*pillarbox.Event, pillarbox.Standing) error { held++; return nil }); err != nil ||
		held != 90 {
		t.Errorf("%d of 90 events are in the log of the next life, %v", held, err)
	}
	if damage := again.Stats().Damage; len(damage) != 0 {
		t.Errorf("damage %v", damage)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRemovedSealedSegmentIsToldAndPassed removes a segment that is not written to any more: its
// events are lost, counted and reported, and everything behind it is delivered.
func TestRemovedSealedSegmentIsToldAndPassed(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	options := small()
	options.ManualMaintenance, options.SegmentBytes = true, 16<<10
	l := openLog(t, disk, options)
	if _, err := l.Account("events"); err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(12) {
		appendFrom(t, l, "app", 40, seed)
	}
	inspection, err := seglog.Inspect(disk, nil, "queue")
	if err != nil || len(inspection.Segments) < 4 {
		t.Fatal(len(inspection.Segments), err)
	}
	lost := inspection.Segments[1]
	if err := disk.Remove(lost.File); err != nil {
		t.Fatal(err)
	}
	l.Maintain()
	seen := map[string]int{}
	n := drain(t, l, seen)
	account, err := l.Account("events")
	if err != nil || n != 480-int(lost.Events) || account.Damaged != lost.Events ||
		account.Pending != 0 ||
		len(l.Stats().Damage) == 0 {
		t.Errorf("%d events came, %d are in the removed segment; account %+v, damage %v, %v", n,
			lost.Events, account, l.Stats().Damage, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
