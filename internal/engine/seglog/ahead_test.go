package seglog_test

import (
	"context"
	"testing"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/seglog"
	"pillarbox/internal/vfs/faultfs"
)

// TestCloseKnowsWhatIsSettledBehindAReleasedEvent: what was stored and skipped behind one that was
// given back does not come again after a stop, and is counted once.
func TestCloseKnowsWhatIsSettledBehindAReleasedEvent(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	log := openLog(t, disk, small())
	want := func(stored, skipped, pending uint64) {
		t.Helper()
		got, err := log.Account("events")
		if err != nil || got.Accepted != 5 || got.Stored != stored || got.Skipped != skipped ||
			got.Pending != pending || got.Retrying != 0 {
			t.Errorf("account %+v, %v, want %d stored, %d skipped, %d pending", got, err, stored, skipped,
				pending)
		}
	}
	reopen := func() {
		t.Helper()
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		found, err := seglog.Inspect(disk, nil, "queue")
		if err != nil || found.Destinations[0].Retrying != 0 {
			t.Errorf("inspection %+v, %v: nothing waits for another attempt", found, err)
		}
		log = openLog(t, disk, small())
	}
	if _, err := log.Account("events"); err != nil {
		t.Fatal(err)
	}
	events := enginetest.Events(5, 1)
	if err := log.Append(context.Background(), events); err != nil {
		t.Fatal(err)
	}
	l := newLife(t, 1)
	deliveries, err := l.leaseNow(log, 5)
	if err != nil || len(deliveries) != 5 {
		t.Fatalf("%d deliveries, %v", len(deliveries), err)
	}
	var outcomes []pillarbox.Outcome
	for i, delivery := range deliveries {
		outcome := pillarbox.Outcome{Handle: delivery.Handle, Kind: pillarbox.OutcomeStored}
		switch i {
		case 0:
			outcome.Kind = pillarbox.OutcomeReleased
		case 4:
			outcome.Kind, outcome.Skip = pillarbox.OutcomeSkipped, pillarbox.SkippedSource
		}
		outcomes = append(outcomes, outcome)
	}
	if err := log.Settle(context.Background(), "events", outcomes); err != nil {
		t.Fatal(err)
	}
	want(3, 1, 1)
	for range 2 { // the second time nothing is in memory that was not read
		reopen()
		want(3, 1, 1)
	}
	deliveries, err = l.leaseNow(log, 5)
	if err != nil || len(deliveries) != 1 || deliveries[0].Event.RequestID != events[0].RequestID {
		t.Fatalf("%d deliveries after a stop, %v, want the one that was given back", len(deliveries), err)
	}
	settleAll(t, log, deliveries)
	want(4, 1, 0)
	reopen()
	defer log.Close()
	want(4, 1, 0)
	if deliveries, err := l.leaseNow(log, 5); err != nil || len(deliveries) != 0 {
		t.Errorf("%d deliveries at the end, %v", len(deliveries), err)
	}
}
