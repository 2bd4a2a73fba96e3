package seglog

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/vfs/faultfs"
)

func TestKeysContract(t *testing.T) {
	enginetest.Keys(t, func(t *testing.T) enginetest.KeysStand {
		elapsed := time.Duration(0)
		l, err := Open(faultfs.New(faultfs.Options{}), "queue", Options{SegmentBytes: MinSegmentBytes,
			ManualMaintenance: true, KeyTable: 2, Elapsed: func() time.Duration { return elapsed }})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		return enginetest.KeysStand{Keys: l.Keys(), Append: l.Append, SetLimits: l.SetKeyLimits,
			Advance: func(d time.Duration) { elapsed += d; l.Maintain() }}
	})
}

// keyedEvent is the event of a number, with a key of its own.
func keyedEvent(n int) *pillarbox.Event {
	event := &pillarbox.Event{Timestamp: pillarbox.Timestamp(1_790_000_000_000_000 + n),
		RequestID: fmt.Sprintf("019ab123-4567-7abc-8def-%012x", n), Source: "app",
		Body: []byte(strings.Repeat("x", 300))}
	binary.BigEndian.PutUint64(event.Idempotency.Key[:], uint64(n+1)*0x9e3779b97f4a7c15)
	event.Idempotency.Fingerprint = uint64(n)
	return event
}

func claimOf(l *Log, n int) pillarbox.KeyClaim {
	claims := []pillarbox.KeyClaim{{Idempotency: keyedEvent(n).Idempotency, RequestID: "new"}}
	l.Keys().Claim(context.Background(), claims)
	return claims[0]
}

// settleAll delivers everything that is there.
func settleAll(t *testing.T, l *Log) {
	t.Helper()
	for l.Stats().Accepted > 0 {
		account, err := l.Account("events")
		if err != nil {
			t.Fatal(err)
		}
		if account.Pending == 0 {
			return
		}
		deliveries, err := l.Lease(context.Background(), "events", pillarbox.LeaseLimits{MaxEvents: 1000})
		if err != nil {
			t.Fatal(err)
		}
		outcomes := make([]pillarbox.Outcome, len(deliveries))
		for i := range deliveries {
			outcomes[i] = pillarbox.Outcome{Handle: deliveries[i].Handle, Kind: pillarbox.OutcomeStored}
		}
		if err := l.Settle(context.Background(), "events", outcomes); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKeysOutliveTheirSegments trims everything between rounds of appends, and kills the process
// now and then: each key is known, and a start reads the newest segments alone.
func TestKeysOutliveTheirSegments(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	opts := Options{SegmentBytes: MinSegmentBytes, KeepBytes: -1, ManualMaintenance: true, KeyTable: 20}
	open := func() *Log {
		l, err := Open(disk, "queue", opts)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	l, count := open(), 0
	for round := range 12 {
		for range 17 {
			event := keyedEvent(count)
			if count%3 == 0 {
				event.Idempotency = pillarbox.Idempotency{}
			}
			if err := l.Append(context.Background(), []*pillarbox.Event{event}); err != nil {
				t.Fatal(err)
			}
			count++
		}
		settleAll(t, l)
		l.Maintain()
		if covered := l.keys.index.Covered(); covered < l.segments.firstOfNewest(startSegments) {
			t.Fatalf("a start would read from event %d on", covered)
		}
		if round%3 == 2 {
			disk = disk.Kill()
			l = open()
		}
	}
	if first, _ := l.segments.bounds(); first < uint64(count/2) {
		t.Fatalf("nothing was trimmed: the first event is %d", first)
	}
	for n := range count {
		want := pillarbox.KeyDone
		if n%3 == 0 {
			want = pillarbox.KeyNew
		}
		c := claimOf(l, n)
		if c.State != want || want == pillarbox.KeyDone && c.RequestID != keyedEvent(n).RequestID {
			t.Fatalf("key %d: %+v", n, c)
		}
	}
}

// TestAFailedAppendKeepsItsStamp fails a sync: the event may surface, and who comes again with the
// key gets its stamp.
func TestAFailedAppendKeepsItsStamp(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	l, err := Open(disk, "queue", Options{ManualMaintenance: true})
	if err != nil {
		t.Fatal(err)
	}
	event := keyedEvent(1)
	claims := []pillarbox.KeyClaim{{Idempotency: event.Idempotency, Timestamp: event.Timestamp,
		RequestID: event.RequestID}}
	l.Keys().Claim(context.Background(), claims)
	disk.Inject(func(op faultfs.Op) error {
		if op.Kind == faultfs.Sync {
			return fmt.Errorf("injected")
		}
		return nil
	})
	if l.Append(context.Background(), []*pillarbox.Event{event}) == nil {
		t.Fatal("the sync fails")
	}
	claims[0].Outcome = pillarbox.KeyUnknown
	if err := l.Keys().Settle(context.Background(), claims); err != nil {
		t.Fatal(err)
	}
	if c := claimOf(l, 1); c.State != pillarbox.KeyAgain || c.RequestID != event.RequestID {
		t.Errorf("%+v", c)
	}
	// the process dies, and what was written is there all the same
	disk.Inject(nil)
	l, err = Open(disk.Kill(), "queue", Options{ManualMaintenance: true})
	if err != nil {
		t.Fatal(err)
	}
	if c := claimOf(l, 1); c.State != pillarbox.KeyDone && c.State != pillarbox.KeyNew ||
		c.State == pillarbox.KeyDone && c.RequestID != event.RequestID {
		t.Errorf("%+v", c)
	}
}

// TestKeysOfAnotherLogAreSetAside puts the directory of keys beside another log.
func TestKeysOfAnotherLogAreSetAside(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	for _, dir := range []string{"queue", "another"} {
		l, err := Open(disk, dir, Options{ManualMaintenance: true})
		if err != nil {
			t.Fatal(err)
		}
		n := len(dir)
		if err := l.Append(context.Background(), []*pillarbox.Event{keyedEvent(n)}); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	const name = "/keys/0000000000000001.keys"
	if err := disk.Rename("another"+name, "queue"+name); err != nil {
		t.Fatal(err)
	}
	l, err := Open(disk, "queue", Options{ManualMaintenance: true})
	if err != nil {
		t.Fatal(err)
	}
	if claimOf(l, len("queue")).State != pillarbox.KeyDone || claimOf(l, len("another")).State != pillarbox.KeyNew ||
		l.Keys().KeyStats().Damaged != 1 {
		t.Errorf("%+v", l.Keys().KeyStats())
	}
}
