package seglog_test

import (
	"context"
	"testing"

	"pillarbox"
	"pillarbox/internal/engine/seglog"
	"pillarbox/internal/vfs/faultfs"
)

// TestWhatIsForgottenIsCountedOnce: of what is counted as from before a destination, a copy counts no
// more than is forgotten, and never what a back-fill may still take. It outlives a power cut.
func TestWhatIsForgottenIsCountedOnce(t *testing.T) {
	ctx, disk := context.Background(), faultfs.New(faultfs.Options{})
	options := small()
	options.KeepBytes, options.ManualMaintenance = 128<<10, true
	log := openLog(t, disk, options)
	if _, err := log.Account("events"); err != nil {
		t.Fatal(err)
	}
	deliverSome(t, log, 600)
	if err := log.Oblige(ctx, "late", pillarbox.Rule{Sources: []string{"app"}}); err != nil {
		t.Fatal(err)
	}
	_, began := log.Began("late")
	kept := skippedFor(t, log)
	forgotten := account(t, log).Skipped - uint64(len(kept))
	if len(kept) < 10 || forgotten < 10 || began == 0 {
		t.Fatalf("%d are kept and %d forgotten; it began at %d", len(kept), forgotten, began)
	}
	if taken, err := log.Unskip(ctx, "late", kept[:5]); err != nil || taken != 5 {
		t.Fatalf("%d were taken, %v", taken, err)
	}
	total := uint64(0)
	for _, step := range []struct{ stored, dead, want uint64 }{
		{3, 2, 5}, {0, 0, 0}, {forgotten - 7, 0, forgotten - 7}, {1, 5, 2}, {9, 9, 0},
	} {
		record := pillarbox.CopyRecord{Job: "a", After: pillarbox.CopyKey{Timestamp: pillarbox.Timestamp(total), RequestID: "b"}}
		counted, err := log.SetCopied(ctx, "late", record, step.stored, step.dead)
		if err != nil || counted != step.want {
			t.Errorf("%+v: %d were counted, %v", step, counted, err)
		}
		total += counted
		after := disk.Crash(nil, faultfs.Dropped)
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		disk = after
		log = openLog(t, disk, options)
		if got := log.Copied("late"); got.After != record.After {
			t.Errorf("the record is %+v, want %+v", got, record)
		}
		if _, at := log.Began("late"); at != began {
			t.Errorf("it began at %d, and did at %d", at, began)
		}
		a := account(t, log)
		if a.Stored+a.Dead != total || a.Skipped != forgotten+uint64(len(kept))-5-total || a.Pending != 5 ||
			a.Accepted != a.Stored+a.Dead+a.Skipped+a.Pending {
			t.Errorf("account %+v after %d of %d", a, total, forgotten)
		}
	}
	if a := account(t, log); a.Stored != forgotten-3 || a.Dead != 3 {
		t.Errorf("account %+v", a)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}

func account(t *testing.T, log *seglog.Log) pillarbox.Account {
	t.Helper()
	account, err := log.Account("late")
	if err != nil {
		t.Fatal(err)
	}
	return account
}

func skippedFor(t *testing.T, log *seglog.Log) (skipped []*pillarbox.Delivery) {
	t.Helper()
	err := log.ScanSkipped(context.Background(), "late", pillarbox.Handle{}, func(d *pillarbox.Delivery, _ string) error {
		copied := *d
		skipped = append(skipped, &copied)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return skipped
}
