package seglog_test

import (
	"context"
	"runtime"
	"testing"
	"time"
	"weak"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/seglog"
	"pillarbox/internal/vfs/faultfs"
)

// TestWaitingEventKeepsNoNeighbours has one event of a frame wait for another attempt: the others,
// which are stored, must not stay in memory with it. Thousands may wait, each from another frame.
func TestWaitingEventKeepsNoNeighbours(t *testing.T) {
	log := openLog(t, faultfs.New(faultfs.Options{}), small())
	defer log.Close()
	if _, err := log.Account("events"); err != nil {
		t.Fatal(err)
	}
	events := enginetest.Events(20, 1)
	if err := log.Append(context.Background(), events); err != nil {
		t.Fatal(err)
	}
	neighbour, body := settleButOne(t, log)
	for range 10 { // a collection may need more than one cycle
		runtime.GC()
	}
	if neighbour.Value() != nil || body.Value() != nil {
		t.Error("the neighbours of an event that waits are still in memory")
	}
	again, err := newLife(t, 1).leaseNow(log, 10)
	if err != nil || len(again) != 1 {
		t.Fatalf("%d deliveries, %v", len(again), err)
	}
	if diff := enginetest.Diff(again[0].Event, events[3]); diff != "" {
		t.Error(diff)
	}
}

// settleButOne stores all but one, which is to come again, and returns what must not outlive that.
func settleButOne(
	t *testing.T, log *seglog.Log,
) (weak.Pointer[pillarbox.Event], weak.Pointer[byte]) {
	t.Helper()
	deliveries, err := newLife(t, 1).leaseNow(log, 100)
	if err != nil || len(deliveries) != 20 {
		t.Fatalf("%d deliveries, %v", len(deliveries), err)
	}
	var outcomes []pillarbox.Outcome
	for i, delivery := range deliveries {
		outcome := pillarbox.Outcome{Handle: delivery.Handle, Kind: pillarbox.OutcomeStored}
		if i == 3 {
			outcome.Kind, outcome.Attempt = pillarbox.OutcomeRetry, &pillarbox.Attempt{
				At: 1, Class: pillarbox.ClassRefused, Error: "no",
			}
			outcome.NotBefore = time.Unix(0, 0)
		}
		outcomes = append(outcomes, outcome)
	}
	if err := log.Settle(context.Background(), "events", outcomes); err != nil {
		t.Fatal(err)
	}
	return weak.Make(deliveries[5].Event), weak.Make(&deliveries[5].Event.Body[0])
}
