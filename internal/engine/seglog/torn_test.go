package seglog_test

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/vfs/faultfs"
)

// TestTornSnapshotIsNoDamage cuts the power while a snapshot overwrites the older of the two state
// files. What is left of that file may look like rot, and is none: the newer file is whole.
func TestTornSnapshotIsNoDamage(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	l := newLife(t, 61)
	l.log = openLog(t, disk, small())
	torn := 0
	disk.After(func(op faultfs.Op, _ error) {
		if op.Kind != faultfs.Write || op.Offset != 0 || !strings.Contains(op.Name, ".state") {
			return
		}
		for seed := range uint64(100) {
			torn++
			state := disk.Crash(rand.New(rand.NewPCG(seed, 61)), faultfs.Torn)
			again := openLog(t, state, small())
			if damage := again.Stats().Damage; len(damage) != 0 {
				t.Fatalf("write of %d bytes to %s, seed %d: %v", op.Length, op.Name, seed, damage)
			}
			if err := again.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
	events := enginetest.Events(40, 61)
	for _, event := range events {
		event.Body = nil
	}
	if err := l.log.Append(context.Background(), events); err != nil {
		t.Fatal(err)
	}
	for range events { // each leaves an entry, and entries fill the file
		deliveries, err := l.leaseNow(l.log, 1)
		if err != nil || len(deliveries) != 1 {
			t.Fatal(len(deliveries), err)
		}
		refused := pillarbox.Outcome{
			Handle: deliveries[0].Handle, Kind: pillarbox.OutcomeRetry,
			Attempt: &pillarbox.Attempt{At: 1, Class: pillarbox.ClassRefused, Error: "no"},
		}
		if err := l.log.Settle(context.Background(), "events", []pillarbox.Outcome{refused}); err != nil {
			t.Fatal(err)
		}
	}
	disk.After(nil)
	if err := l.log.Close(); err != nil {
		t.Fatal(err)
	}
	if torn < 300 {
		t.Errorf("only %d torn states were opened", torn)
	}
}
