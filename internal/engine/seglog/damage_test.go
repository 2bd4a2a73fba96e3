package seglog_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox"
	"pillarbox/internal/engine/seglog"
	"pillarbox/internal/vfs"
	"pillarbox/internal/vfs/faultfs"
)

// writeLog makes a log of some groups and closes it, or leaves it as a killed process would.
func writeLog(t *testing.T, l *life, groups int, clean bool) *faultfs.FS {
	t.Helper()
	disk := faultfs.New(faultfs.Options{})
	l.log = openLog(t, disk, small())
	if _, err := l.log.Account("events"); err != nil {
		t.Fatal(err)
	}
	for range groups {
		if err := l.append(1 + l.rng.IntN(3)); err != nil {
			t.Fatal(err)
		}
	}
	killed := disk.Crash(nil, faultfs.Kept)
	if err := l.log.Close(); err != nil {
		t.Fatal(err)
	}
	if clean {
		return disk.Crash(nil, faultfs.Dropped)
	}
	return killed
}

func segments(t *testing.T, disk vfs.FS) (names []string) {
	t.Helper()
	entries, err := disk.ReadDir("queue")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name, ".seg") {
			names = append(names, path.Join("queue", entry.Name))
		}
	}
	return names
}

// TestDamagedSegmentIsQuarantined sees that a damaged file is never removed, and that a later life
// still reports what was lost.
func TestDamagedSegmentIsQuarantined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t, 8)
		disk := writeLog(t, l, 4, true)
		name := segments(t, disk)[0]
		if err := disk.Flip(name, 1024+64+20, 3); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			log := openLog(t, disk, small())
			deliveries, err := l.leaseNow(log, 1000)
			if err != nil {
				t.Fatal(err)
			}
			settleAll(t, log, deliveries)
			time.Sleep(3 * time.Second) // the maintenance trims
			synctest.Wait()
			if damage := log.Stats().Damage; len(damage) != 1 || damage[0].File != name {
				t.Errorf("damage %v, want one in %s", damage, name)
			}
			if err := log.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := disk.OpenFile("queue/quarantine/"+path.Base(name), 0); err != nil {
			t.Errorf("the damaged segment is not in quarantine: %v", err)
		}
	})
}

func settleAll(t *testing.T, log *seglog.Log, deliveries []pillarbox.Delivery) {
	t.Helper()
	var outcomes []pillarbox.Outcome
	for _, delivery := range deliveries {
		outcomes = append(outcomes,
			pillarbox.Outcome{Handle: delivery.Handle, Kind: pillarbox.OutcomeStored})
	}
	if err := log.Settle(context.Background(), "events", outcomes); err != nil {
		t.Fatal(err)
	}
}

// TestEveryFailingCallIsSurvived lets call number N of a life fail, once or for ever, for every N
// until a life meets no fault. No false acknowledgement, and after the cause is gone the log works
// without a restart.
func TestEveryFailingCallIsSurvived(t *testing.T) {
	faults := []error{
		syscall.EIO, syscall.ENOSPC, syscall.EROFS, syscall.EMFILE,
		&faultfs.ShortWrite{N: 700, Err: syscall.ENOSPC},
	}
	cases := 0
	for _, fault := range faults {
		for _, forever := range []bool{false, true} {
			for n := 0; ; n += callStep {
				met := false
				synctest.Test(t, func(t *testing.T) { met = failCall(t, n, fault, forever) })
				if !met {
					break
				}
				cases++
			}
		}
	}
	if cases < 400/callStep {
		t.Errorf("only %d failing calls were tried", cases)
	}
	t.Logf("%d failing calls", cases)
}

func failCall(t *testing.T, n int, fault error, forever bool) bool {
	what := fmt.Sprintf("call %d fails with %v, for ever %v", n, fault, forever)
	disk := faultfs.New(faultfs.Options{})
	first := disk.Operations() + n
	var hit, healed atomic.Bool
	disk.Inject(func(op faultfs.Op) error {
		if healed.Load() || op.Index < first || (!forever && op.Index > first) {
			return nil
		}
		hit.Store(true)
		return fault
	})
	l := newLife(t, uint64(n))
	log, err := seglog.Open(disk, "queue", small())
	if err == nil {
		l.log = log
		l.faultyLife()
		healed.Store(true)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if err := l.append(1); err != nil {
			t.Fatalf("%s: the cause is gone and append says %v", what, err)
		}
		// What failed to close or to be marked is told; nothing acknowledged depends on it.
		_ = log.Close()
	} else if !hit.Load() || errors.Is(err, pillarbox.ErrCorrupt) {
		t.Fatalf("%s: open: %v", what, err)
	}
	healed.Store(true)
	for _, mode := range []faultfs.Mode{faultfs.Kept, faultfs.Dropped} {
		var rng *rand.Rand
		l.check(disk.Crash(rng, mode), fmt.Sprintf("%s, then %v", what, mode))
	}
	return hit.Load()
}

// faultyLife goes on whatever fails: callers do that too.
func (l *life) faultyLife() {
	for i := range 6 {
		if err := l.append(1 + l.rng.IntN(30)); err != nil && errors.Is(err, fs.ErrInvalid) {
			l.t.Fatal(err)
		}
		if i%2 == 1 {
			_ = l.deliver(20)
		}
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
	}
}

// TestFailedRotationEndsTheOldSegment fails the sync of the directory just when a new segment got
// its name, and the removal of that segment too. Its header may be durable and says where the old
// segment ends, so what is acknowledged afterwards must not be in the old one.
func TestFailedRotationEndsTheOldSegment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := faultfs.New(faultfs.Options{})
		l := newLife(t, 31)
		l.log = openLog(t, disk, small())
		if err := l.append(1); err != nil {
			t.Fatal(err)
		}
		var failing atomic.Bool
		disk.Inject(func(op faultfs.Op) error {
			if failing.Load() && (op.Kind == faultfs.SyncDir || op.Kind == faultfs.Remove) {
				return syscall.EIO
			}
			return nil
		})
		failing.Store(true)
		for l.append(20) == nil {
		}
		failing.Store(false)
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		for range 3 {
			if err := l.append(1); err != nil {
				t.Fatal(err)
			}
		}
		killed := disk.Crash(nil, faultfs.Kept)
		if err := l.log.Close(); err != nil {
			t.Fatal(err)
		}
		l.check(killed, "killed after a failed rotation")
		l.check(disk.Crash(nil, faultfs.Dropped), "closed after a failed rotation")
	})
}

// TestWhatAStartBelievesStays kills the process between a write and its sync, starts again, and
// then cuts the power: what the start has counted as part of the log must still be there. That
// holds where a start before it has failed to write, whatever the kernel then forgets; and on a
// full disk, where it has to wait for room.
func TestWhatAStartBelievesStays(t *testing.T) {
	t.Run("at once", func(t *testing.T) { whatAStartBelieves(t, nil) })
	failing := map[string]func(op faultfs.Op) error{
		"after a failed sync":              failSyncs(".seg"),
		"after a sync of its spare failed": failSyncs("spare-"),
		"after a sync of its state failed": failSyncs(".state"),
		"after no name became durable": func(op faultfs.Op) error {
			if op.Kind == faultfs.SyncDir {
				return syscall.EIO
			}
			return nil
		},
	}
	for name, fail := range failing {
		t.Run(name, func(t *testing.T) {
			whatAStartBelieves(t, func(killed *faultfs.FS) {
				killed.Inject(fail)
				if log, err := seglog.Open(killed, "queue", small()); err == nil {
					_ = log.Close() // nothing had to be done that fails
				}
				killed.Inject(nil)
			})
		})
	}
}

// killBeforeSync kills the process just before the next sync of a file with the part in its name.
// left is what the disk then holds.
func killBeforeSync(t *testing.T, disk *faultfs.FS, part string) (left func() *faultfs.FS) {
	var killed *faultfs.FS
	disk.Inject(func(op faultfs.Op) error {
		if op.Kind == faultfs.Sync && strings.Contains(op.Name, part) && killed == nil {
			killed = disk.Kill()
		}
		return nil
	})
	return func() *faultfs.FS {
		t.Helper()
		if killed == nil {
			t.Fatalf("there was no sync of a file with %q in its name", part)
		}
		return killed
	}
}

func failSyncs(part string) func(op faultfs.Op) error {
	return func(op faultfs.Op) error {
		if op.Kind == faultfs.Sync && strings.Contains(op.Name, part) {
			return syscall.EIO
		}
		return nil
	}
}

func whatAStartBelieves(t *testing.T, earlier func(killed *faultfs.FS)) {
	synctest.Test(t, func(t *testing.T) {
		disk := faultfs.New(faultfs.Options{})
		l := newLife(t, 41)
		l.log = openLog(t, disk, small())
		if _, err := l.log.Account("events"); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := l.append(3); err != nil {
				t.Fatal(err)
			}
		}
		deliveries, err := l.leaseNow(l.log, 6)
		if err != nil {
			t.Fatal(err)
		}
		settleAll(t, l.log, deliveries) // written, and not synced
		for _, delivery := range deliveries {
			l.stored[delivery.Event.RequestID] = true
		}
		synctest.Wait() // nothing else is on its way to the disk
		left := killBeforeSync(t, disk, "")
		if err := l.append(2); err != nil {
			t.Fatal(err)
		}
		if err := l.log.Close(); err != nil {
			t.Fatal(err)
		}
		killed := left()
		if earlier != nil {
			earlier(killed)
		}
		second := openLog(t, killed, small())
		time.Sleep(3 * time.Second) // the maintenance trims by the cursor that it found
		synctest.Wait()
		before, err := second.Account("events")
		if err != nil {
			t.Fatal(err)
		}
		if before.Accepted != 11 || before.Stored != 6 {
			t.Errorf(
				"a killed life left %+v, want 11 accepted, two of them never acknowledged, and 6 stored",
				before,
			)
		}
		if _, err := l.leaseNow(second, 1000); err != nil {
			t.Fatal(err)
		}
		if damage := second.Stats().Damage; len(damage) != 0 {
			t.Errorf("before the cut: %v", damage)
		}
		cut := killed.Crash(nil, faultfs.Dropped)
		if err := second.Close(); err != nil {
			t.Fatal(err)
		}
		third := openLog(t, cut, small())
		defer third.Close()
		if pending, err := l.leaseNow(third, 1000); err != nil || len(pending) != 5 {
			t.Errorf("%d are pending after the cut, want 5; %v", len(pending), err)
		}
		if damage := third.Stats().Damage; len(damage) != 0 {
			t.Errorf("after the cut: %v", damage)
		}
		after, err := third.Account("events")
		if err != nil || after.Damaged != 0 || after.Accepted != before.Accepted ||
			after.Stored != before.Stored {
			t.Errorf("before the cut %+v, after it %+v, %v", before, after, err)
		}
	})
}

// TestFailedSyncAtTheStartIsNotBelievedLater: a process is killed before the state with a retry is
// synced, the next start fails to sync it, and the one after that must not take the kernel's word
// that there is nothing to sync. It would trim the event's segment, and a power cut would take the
// only other place where the event is.
func TestFailedSyncAtTheStartIsNotBelievedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := faultfs.New(faultfs.Options{})
		options := small()
		options.SegmentBytes, options.StateBytes = seglog.MinSegmentBytes, 64<<10 // so that the retry is a delta
		l := newLife(t, 43)
		l.log = openLog(t, disk, options)
		if _, err := l.log.Account("events"); err != nil {
			t.Fatal(err)
		}
		for range 40 {
			if err := l.append(3); err != nil {
				t.Fatal(err)
			}
		}
		deliveries, err := l.leaseNow(l.log, 100)
		if err != nil || len(deliveries) != 100 {
			t.Fatalf("%d deliveries, %v", len(deliveries), err)
		}
		settleAll(t, l.log, deliveries[1:50])
		settleAll(t, l.log, deliveries[50:])
		left := killBeforeSync(t, disk, ".state") // between the write of the retry and its sync
		attempt := &pillarbox.Attempt{At: 1, Class: pillarbox.ClassRefused, Error: "no"}
		retry := []pillarbox.Outcome{
			{Handle: deliveries[0].Handle, Kind: pillarbox.OutcomeRetry, Attempt: attempt},
		}
		if err := errors.Join(l.log.Settle(context.Background(), "events", retry),
			l.log.Close()); err != nil {
			t.Fatalf("settle: %v", err)
		}
		killed := left()
		killed.Inject(failSyncs(".state"))
		if refused, err := seglog.Open(killed, "queue", options); err == nil {
			t.Fatalf("a start that can't sync its state was not refused; close: %v",
				refused.Close())
		}
		killed.Inject(nil)
		second := openLog(t, killed, options)
		time.Sleep(10 * time.Second) // the maintenance trims
		synctest.Wait()
		cut := killed.Crash(nil, faultfs.Dropped)
		if err := second.Close(); err != nil {
			t.Fatal(err)
		}
		third := openLog(t, cut, options)
		defer third.Close()
		again, err := l.leaseNow(third, 1000)
		if err != nil {
			t.Fatal(err)
		}
		id := deliveries[0].Event.RequestID
		if !slices.ContainsFunc(again,
			func(d pillarbox.Delivery) bool { return d.Event.RequestID == id }) {
			t.Errorf("the acknowledged event %s is lost; %d others came", id, len(again))
		}
		if account, err := third.Account("events"); err != nil || account.Damaged != 0 {
			t.Errorf("account %+v, %v", account, err)
		}
	})
}

// TestSettledOutOfOrderStaysSettled dead-letters an event while an older one is still unsettled,
// and opens again.
func TestSettledOutOfOrderStaysSettled(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	l := newLife(t, 42)
	l.log = openLog(t, disk, small())
	if _, err := l.log.Account("events"); err != nil {
		t.Fatal(err)
	}
	if err := l.append(4); err != nil {
		t.Fatal(err)
	}
	deliveries, err := l.leaseNow(l.log, 4)
	if err != nil {
		t.Fatal(err)
	}
	settle := func(outcomes ...pillarbox.Outcome) {
		t.Helper()
		if err := l.log.Settle(context.Background(), "events", outcomes); err != nil {
			t.Fatal(err)
		}
	}
	rejection := &pillarbox.Rejection{Reason: "no", DeadAt: 1}
	settle(pillarbox.Outcome{
		Handle: deliveries[2].Handle, Kind: pillarbox.OutcomeRejected, Rejection: rejection,
	})
	givenUp, err := l.leaseNow(l.log, 1)
	if err != nil || len(givenUp) != 1 || givenUp[0].Rejection == nil {
		t.Fatalf("leased %+v, %v", givenUp, err)
	}
	settle(pillarbox.Outcome{Handle: givenUp[0].Handle, Kind: pillarbox.OutcomeDead})
	for range 2 {
		if err := l.log.Close(); err != nil {
			t.Fatal(err)
		}
		l.log = openLog(t, disk, small())
		again, err := l.leaseNow(l.log, 10)
		if err != nil || len(again) != 3 {
			t.Fatalf("%d events came again, want the 3 that were not settled; %v", len(again), err)
		}
		for _, delivery := range again {
			if delivery.Event.RequestID == givenUp[0].Event.RequestID {
				t.Error("the event that was settled as dead came again")
			}
		}
	}
	again := make([]pillarbox.Outcome, 0, 3)
	for _, i := range []int{0, 1, 3} {
		again = append(again,
			pillarbox.Outcome{Handle: deliveries[i].Handle, Kind: pillarbox.OutcomeStored})
	}
	settle(again...)
	if account, err := l.log.Account("events"); err != nil || account.Dead != 1 ||
		account.Stored != 3 ||
		account.Pending != 0 {
		t.Errorf("account %+v, %v", account, err)
	}
	if err := l.log.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRemovedSegmentIsNoSilentLoss removes the oldest segment behind the log's back: its
// undelivered events are counted as lost and reported, never as stored, and the others are
// delivered.
func TestRemovedSegmentIsNoSilentLoss(t *testing.T) {
	l := newLife(t, 51)
	disk := writeLog(t, l, 4, true)
	first := uint64(len(l.acked))
	l.log = openLog(t, disk, small())
	for range 3 {
		if err := l.append(2); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.log.Close(); err != nil {
		t.Fatal(err)
	}
	if err := disk.Remove(segments(t, disk)[0]); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		log := openLog(t, disk, small())
		deliveries, err := l.leaseNow(log, 1000)
		if err != nil || len(deliveries) != 6 {
			t.Errorf("%d events came, want the 6 of the second segment; %v", len(deliveries), err)
		}
		account, err := log.Account("events")
		if err != nil || account.Damaged != first || account.Stored != 0 || account.Pending != 6 {
			t.Errorf("account %+v, %v, want %d damaged", account, err, first)
		}
		if len(log.Stats().Damage) == 0 {
			t.Error("nothing is reported")
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
