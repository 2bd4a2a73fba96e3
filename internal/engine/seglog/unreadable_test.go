package seglog_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/engine/seglog"
	"pillarbox/internal/vfs/faultfs"
)

// badPage lets every read fail that touches a page of a file.
func badPage(disk *faultfs.FS, name string, page int64) {
	disk.Inject(func(op faultfs.Op) error {
		if op.Kind == faultfs.Read && op.Name == name && op.Offset < page+4096 &&
			op.Offset+int64(op.Length) > page {
			return syscall.EIO
		}
		return nil
	})
}

// unreadableLog is a log with three groups of events in each of several sealed segments, and some
// in the live one.
func unreadableLog(t *testing.T, disk *faultfs.FS, options seglog.Options) (sent map[string]bool) {
	t.Helper()
	sent = map[string]bool{}
	l := openLog(t, disk, options)
	if _, err := l.Account("events"); err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(12) {
		appendFrom(t, l, "app", 40, seed)
		for i := range 40 {
			sent[fmt.Sprintf("app-%d-%d", seed, i)] = true
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return sent
}

// drain stores everything that is handed out, and returns how many events came.
func drain(t *testing.T, l *seglog.Log, seen map[string]int) (n int) {
	t.Helper()
	for {
		deliveries := leaseNow(t, l, "events", 100)
		if len(deliveries) == 0 {
			return n
		}
		for _, d := range deliveries {
			seen[d.Event.RequestID]++
		}
		n += len(deliveries)
		settleAs(t, l, "events", deliveries,
			func(pillarbox.Delivery) pillarbox.Outcome {
				return pillarbox.Outcome{Kind: pillarbox.OutcomeStored}
			})
	}
}

// TestUnreadablePageCostsItsEventsOnly makes each page of the log unreadable in turn: everything
// else is delivered, what is missing is counted and reported, its segment is kept, verify and
// repair get to the end, and what is missing comes once the disk can read it again, in this life or
// the next one, and nothing comes twice.
func TestUnreadablePageCostsItsEventsOnly(t *testing.T) {
	options := small()
	options.ManualMaintenance, options.SegmentBytes = true, 16<<10
	clock := atomic.Int64{}
	clock.Store(time.Date(2026, 11, 23, 14, 12, 0, 0, time.UTC).UnixNano())
	options.Now = func() time.Time { return time.Unix(0, clock.Load()) }
	origin := faultfs.New(faultfs.Options{})
	sent := unreadableLog(t, origin, options)
	inspection, err := seglog.Inspect(origin, nil, "queue")
	if err != nil || len(inspection.Segments) < 4 {
		t.Fatalf("%d segments, %v", len(inspection.Segments), err)
	}
	cases, costly := 0, 0
	for at, segment := range inspection.Segments {
		newest := at == len(inspection.Segments)-1
		for page := int64(0); page < segment.End; page += 4096 {
			for _, restart := range []bool{false, true} {
				cases++
				disk := origin.Crash(nil, faultfs.Kept)
				badPage(disk, segment.File, page)
				if readAroundPage(t, disk, options, sent, &clock, restart, newest) {
					costly++
				}
			}
		}
	}
	if cases < 30 || costly < 20 {
		t.Errorf("%d cases, %d of them cost events", cases, costly)
	}
	t.Logf("%d pages, %d of them cost events for a while", cases, costly)
}

func readAroundPage(
	t *testing.T, disk *faultfs.FS, options seglog.Options, sent map[string]bool,
	clock *atomic.Int64, restart, newest bool,
) bool {
	t.Helper()
	verified, err := seglog.Verify(context.Background(), disk, nil, "queue", nil)
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	if _, err := seglog.Repair(context.Background(), disk, nil, "queue"); err != nil {
		t.Fatalf("repair: %v", err)
	}
	l := openLog(t, disk, options)
	seen := map[string]int{}
	drain(t, l, seen)
	l.Maintain()
	account, err := l.Account("events")
	if err != nil || account.Accepted != account.Stored+account.Damaged ||
		account.Damaged != uint64(len(sent)-len(seen)) && !newest {
		t.Fatalf("%d of %d came, account %+v, verify %+v, %v", len(seen), len(sent), account,
			verified, err)
	}
	costly := account.Damaged > 0
	if costly && !strings.Contains(fmt.Sprint(l.Stats().Damage), "the disk can't read it") {
		t.Errorf("damage %v", l.Stats().Damage)
	}
	disk.Inject(nil)
	if restart {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = openLog(t, disk, options)
	}
	for range 3 { // what is read again is accepted and delivered
		clock.Add(int64(2 * time.Minute))
		l.Maintain()
		drain(t, l, seen)
	}
	account, err = l.Account("events")
	if err != nil || account.Damaged != 0 || account.Stored != account.Accepted ||
		len(l.Stats().Damage) != 0 {
		t.Fatalf("after the disk can read again: account %+v, damage %v, %v", account,
			l.Stats().Damage, err)
	}
	for id := range sent {
		if seen[id] != 1 {
			t.Fatalf(
				"event %s came %d times (in the newest segment: %v, restart %v, account %+v, before %v)",
				id, seen[id], newest, restart, account, costly,
			)
		}
	}
	l.Maintain()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return costly
}
