package seglog_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/atrest"
	"pillarbox/internal/atrest/atresttest"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/seglog"
	"pillarbox/internal/vfs"
	"pillarbox/internal/vfs/faultfs"
	"pillarbox/test/setting"
)

// bitStep is which of the bits a plain run of the tests flips; 1, every bit, is for make bitrot.
const defaultBitStep = 97

// rotten is a log that is about to rot: a sealed segment and a live one, with everything
// acknowledged and nothing delivered.
type rotten struct {
	disk    *faultfs.FS
	options seglog.Options
	events  map[string]*pillarbox.Event
	killed  bool
}

// newRotten fills one segment of the size and half of the next.
func newRotten(t *testing.T, rng *rand.Rand, size int64, killed, boxed bool) *rotten {
	t.Helper()
	r := &rotten{
		disk: faultfs.New(faultfs.Options{}), events: map[string]*pillarbox.Event{}, killed: killed,
		options: seglog.Options{
			SegmentBytes: size, KeepBytes: -1, MinFreeBytes: 1, StateBytes: 4 << 10,
			ManualMaintenance: true,
		},
	}
	if boxed {
		r.options.AtRest = atresttest.Open(t, r.disk)
	}
	log := openLog(t, r.disk, r.options)
	if _, err := log.Account("events"); err != nil {
		t.Fatal(err)
	}
	for seed := rng.Uint64(); ; seed++ {
		events := enginetest.Events(1+rng.IntN(4), seed)
		for _, event := range events {
			event.Body = make([]byte, rng.IntN(300))
			for i := range event.Body {
				event.Body[i] = byte(rng.Uint32())
			}
			r.events[event.RequestID] = event
		}
		if err := log.Append(context.Background(), events); err != nil {
			t.Fatal(err)
		}
		if log.Stats().Bytes > size*5/4 {
			break
		}
	}
	if names := segments(t, r.disk); len(names) != 2 {
		t.Fatalf("the events are in the segments %v, want two", names)
	}
	after := r.disk.Crash(nil, faultfs.Kept)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if !killed {
		after = r.disk.Crash(nil, faultfs.Dropped)
	}
	r.disk = after
	return r
}

// rot is what became of the flips.
type rot struct{ flips, lost, harmless, tornTail atomic.Int64 }

// TestEveryFlippedBit flips each bit of a sealed segment and of a live one in turn, of a log that
// was closed and of one that was killed. At most the record that was hit is lost. It is counted,
// and reported with its file and a place in its frame; every other event is delivered, and the file
// ends in quarantine.
func TestEveryFlippedBit(t *testing.T) {
	step := setting.Number(t, "PILLARBOX_TEST_BIT_STEP", defaultBitStep)
	size := int64(setting.Number(t, "PILLARBOX_TEST_SEGMENT_BYTES", 8<<10))
	seed := setting.Seed(t)
	t.Logf("segments of %d bytes, every bit number %d", size, step)
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, test := range []struct {
		name    string
		killed  bool
		boxed   bool
		segment int
	}{
		{"sealed", false, false, 0}, {"live, closed", false, false, 1}, {"live, killed", true, false, 1},
		{"sealed, encrypted", false, true, 0}, {"live, killed, encrypted", true, true, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRotten(t, rng, size, test.killed, test.boxed)
			var found rot
			r.flipAll(t, segments(t, r.disk)[test.segment], size, step, &found)
			t.Logf(
				"%d flips: %d cost one event each, %d were harmless, %d tore the last frame of a killed process",
				found.flips.Load(), found.lost.Load(), found.harmless.Load(), found.tornTail.Load(),
			)
			// How much of a live segment is in use, and how large its last frame is, is left to chance.
			lost := found.lost.Load()
			if want := size * 8 / int64(step); found.flips.Load() < want || lost < want/32 ||
				lost+found.tornTail.Load() < want/8 {
				t.Errorf("only %d bits were flipped and only %d cost an event, want %d flips",
					found.flips.Load(), lost, want)
			}
		})
	}
}

// flipAll flips every step-th bit of a file.
func (r *rotten) flipAll(t *testing.T, name string, size int64, step int, found *rot) {
	t.Helper()
	pristine, err := vfs.ReadFile(r.disk, name, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	onAllCores(t, size*8, step, func(bit int64) error {
		if err := r.flip(name, pristine, bit, found); err != nil {
			return fmt.Errorf("bit %d at %d of %s: %w", bit%8, bit/8, name, err)
		}
		return nil
	})
}

// onAllCores calls try with 0, step, 2*step and so on below n, until one fails.
func onAllCores(t *testing.T, n int64, step int, try func(i int64) error) {
	t.Helper()
	var next atomic.Int64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for !t.Failed() {
				i := (next.Add(1) - 1) * int64(step)
				if i >= n {
					return
				}
				if err := try(i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	workers.Wait()
}

// quarantineEvery is how many flips share one look at what becomes of the damaged file.
const quarantineEvery = 64

func (r *rotten) flip(name string, pristine []byte, bit int64, found *rot) (err error) {
	disk := r.disk.Crash(nil, faultfs.Dropped)
	if err := disk.Flip(name, bit/8, uint(bit%8)); err != nil {
		return err
	}
	log, err := seglog.Open(disk, "queue", r.options)
	if err != nil {
		return fmt.Errorf("the start is refused: %w", err)
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	deliveries, err := leaseAll(log)
	if err != nil {
		return err
	}
	lost, err := r.missing(deliveries)
	if err != nil {
		return err
	}
	if err := r.judge(log, name, pristine, bit/8, lost, found); err != nil {
		return err
	}
	if found.flips.Add(1)%quarantineEvery == 0 && len(log.Stats().Damage) > 0 {
		return settledFileIsKept(log, disk, name, deliveries)
	}
	return nil
}

func leaseAll(log *seglog.Log) (all []pillarbox.Delivery, err error) {
	for {
		ctx, cancel := context.WithDeadline(context.Background(), time.Unix(0, 0))
		deliveries, err := log.Lease(ctx, "events", pillarbox.LeaseLimits{MaxEvents: 10_000})
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, deliveries...)
	}
}

// missing returns the events that did not come; those that came must be as they were sent, and come
// once.
func (r *rotten) missing(deliveries []pillarbox.Delivery) ([]*pillarbox.Event, error) {
	came := map[string]bool{}
	for _, delivery := range deliveries {
		id := delivery.Event.RequestID
		if r.events[id] == nil || came[id] {
			return nil, fmt.Errorf("event %s was never sent, or came twice", id)
		}
		if diff := enginetest.Diff(delivery.Event, r.events[id]); diff != "" {
			return nil, fmt.Errorf("event %s: %s", id, diff)
		}
		came[id] = true
	}
	var lost []*pillarbox.Event
	for id, event := range r.events {
		if !came[id] {
			lost = append(lost, event)
		}
	}
	return lost, nil
}

// judge says whether the loss is what one flipped bit may cost, and whether it is told.
func (r *rotten) judge(
	log *seglog.Log, name string, pristine []byte, offset int64, lost []*pillarbox.Event,
	found *rot,
) error {
	account, err := log.Account("events")
	if err != nil {
		return err
	}
	damage := log.Stats().Damage
	switch {
	case len(lost) == 0 && account.Damaged == 0:
		found.harmless.Add(1)
		return nil
	case len(lost) != 1:
		return fmt.Errorf("%d events are lost, account %+v, damage %v", len(lost), account, damage)
	}
	// The record holds the id near its start and ends with the body, so that the bit is not far
	// from both.
	id, err := hex.DecodeString(strings.ReplaceAll(lost[0].RequestID, "-", ""))
	if err != nil {
		return err
	}
	at := r.placeOf(id, pristine)
	if near := int64(1024); at < 0 || offset < at-near ||
		offset > at+near+int64(len(lost[0].Body)) {
		return fmt.Errorf("event %s at %d is lost, and was not hit", lost[0].RequestID, at)
	}
	if r.killed && account.Damaged == 0 && account.Accepted == uint64(len(r.events)-1) {
		// can't be told from an unfinished write: it is logged, and not counted
		found.tornTail.Add(1)
		return nil
	}
	found.lost.Add(1)
	if account.Damaged != 1 || account.Accepted != uint64(len(r.events)) {
		return fmt.Errorf("one event is lost, and the account says %+v", account)
	}
	for _, report := range damage {
		if report.File == name && report.Offset <= offset && offset-report.Offset < 4096 {
			return nil
		}
	}
	return fmt.Errorf("one event is lost, and reported is %v", damage)
}

// placeOf returns where the record of an event is, -1 where it is not found: in a box, if it has one.
func (r *rotten) placeOf(id, content []byte) int64 {
	keys := r.options.AtRest
	if keys == nil {
		return int64(bytes.Index(content, id))
	}
	dataKey, err := hex.DecodeString(keys.List()[0].ID.String())
	if err != nil {
		return -1
	}
	for at := 0; ; at++ {
		next := bytes.Index(content[at:], dataKey)
		if next < 0 {
			return -1
		}
		at += next
		for tag := at - 2; tag >= at-4; tag-- {
			size, n := binary.Uvarint(content[tag+1 : at])
			if n != at-tag-1 || int(size) > len(content)-at {
				continue
			}
			plain, err := keys.Open(nil, content[at:at+int(size)], atrest.Record)
			if err == nil && bytes.Contains(plain, id) {
				return int64(at)
			}
		}
	}
}

// settledFileIsKept settles everything and sees that the damaged file is set aside and not removed.
func settledFileIsKept(
	log *seglog.Log, disk *faultfs.FS, name string, deliveries []pillarbox.Delivery,
) error {
	rotten, err := vfs.ReadFile(disk, name, 1<<30)
	if err != nil {
		return err
	}
	var outcomes []pillarbox.Outcome
	for _, delivery := range deliveries {
		outcomes = append(outcomes,
			pillarbox.Outcome{Handle: delivery.Handle, Kind: pillarbox.OutcomeStored})
	}
	if err := log.Settle(context.Background(), "events", outcomes); err != nil {
		return err
	}
	log.Maintain()
	kept, err := vfs.ReadFile(disk, path.Join("queue/quarantine", path.Base(name)), 1<<30)
	if err != nil {
		return fmt.Errorf("the damaged segment is not in quarantine: %w", err)
	}
	if !bytes.Equal(kept, rotten) {
		return errors.New("the damaged segment was changed")
	}
	return nil
}

// TestEveryRottenHeader flips the same bit in both copies of a segment's header: the log has to do
// without it.
func TestEveryRottenHeader(t *testing.T) {
	r := newRotten(t, rand.New(rand.NewPCG(1, 0)), 8<<10, false, false)
	for number, name := range segments(t, r.disk) {
		for bit := range 512 * 8 {
			disk := r.disk.Crash(nil, faultfs.Dropped)
			if err := errors.Join(disk.Flip(name, int64(bit/8), uint(bit%8)),
				disk.Flip(name, 512+int64(bit/8), uint(bit%8))); err != nil {
				t.Fatal(err)
			}
			log, err := seglog.Open(disk, "queue", r.options)
			if err != nil {
				t.Fatalf("bit %d of both headers of segment %d: the start is refused: %v", bit,
					number, err)
			}
			deliveries, err := leaseAll(log)
			if err != nil {
				t.Fatal(err)
			}
			lost, err := r.missing(deliveries)
			if err != nil || len(lost) > 0 || len(log.Stats().Damage) == 0 {
				t.Fatalf("bit %d of both headers of segment %d: %d events are lost, damage %v, %v",
					bit, number, len(lost), log.Stats().Damage, err)
			}
			if err := log.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// metadata is a log whose delivery state has both files, some events settled and some waiting.
func metadata(t *testing.T) (*faultfs.FS, *life) {
	t.Helper()
	disk := faultfs.New(faultfs.Options{})
	l := newLife(t, 71)
	l.maxBody = 100
	for range 2 { // the second life begins the second file
		l.log = openLog(t, disk, small())
		if err := l.append(20); err != nil {
			t.Fatal(err)
		}
		if err := l.deliver(12); err != nil {
			t.Fatal(err)
		}
		if err := l.log.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return disk.Crash(nil, faultfs.Dropped), l
}

// TestEveryRottenState flips each bit of each file of a delivery state. The start is not refused,
// nothing that was acknowledged is lost, and nothing is deleted.
func TestEveryRottenState(t *testing.T) {
	disk, l := metadata(t)
	step := setting.Number(t, "PILLARBOX_TEST_BIT_STEP", defaultBitStep)
	before := files(t, disk, "")
	for _, name := range files(t, disk, ".state") {
		content, err := vfs.ReadFile(disk, name, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		used := len(bytes.TrimRight(content, "\x00"))
		if used < 1000 {
			t.Errorf("%s has only %d bytes", name, used)
		}
		onAllCores(t, int64(used*8), step, func(bit int64) error {
			if err := l.rotState(disk.Crash(nil, faultfs.Dropped), name, bit, before); err != nil {
				return fmt.Errorf("bit %d at %d of %s: %w", bit%8, bit/8, name, err)
			}
			return nil
		})
	}
}

func (l *life) rotState(disk *faultfs.FS, name string, bit int64, before []string) (err error) {
	if err := disk.Flip(name, bit/8, uint(bit%8)); err != nil {
		return err
	}
	options := small()
	options.ManualMaintenance = true
	log, err := seglog.Open(disk, "queue", options)
	if err != nil {
		return fmt.Errorf("the start is refused: %w", err)
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	deliveries, err := leaseAll(log)
	if err != nil {
		return err
	}
	came := map[string]bool{}
	for _, delivery := range deliveries {
		came[delivery.Event.RequestID] = true
	}
	for id := range l.acked {
		if !came[id] && !l.stored[id] && !l.deadLettered[id] {
			return fmt.Errorf("acknowledged event %s is lost", id)
		}
	}
	for _, file := range before {
		if vfs.IsTemp(file) {
			continue // a killed process may have been making it; it never held anything
		}
		if _, err := disk.OpenFile(file, os.O_RDONLY); err != nil {
			return fmt.Errorf("%s was deleted: %w", file, err)
		}
	}
	return nil
}

// TestStateRottenInBothFiles: nothing is known of what was delivered. The start is refused, says
// what to do, and nothing is changed.
func TestStateRottenInBothFiles(t *testing.T) {
	disk, _ := metadata(t)
	names := files(t, disk, ".state")
	if len(names) != 2 {
		t.Fatalf("the state has the files %v", names)
	}
	for bit := range 64 * 8 {
		rotten := disk.Crash(nil, faultfs.Dropped)
		for _, name := range names {
			if err := rotten.Flip(name, int64(bit/8), uint(bit%8)); err != nil {
				t.Fatal(err)
			}
		}
		before := tree(t, rotten)
		_, err := seglog.Open(rotten, "queue", small())
		if err == nil {
			t.Fatalf("bit %d of both files: opened", bit)
		}
		if !errors.Is(err, pillarbox.ErrCorrupt) ||
			!strings.Contains(err.Error(), "pillarbox queue repair") {
			t.Fatalf("bit %d of both files: %v, which does not say what to do", bit, err)
		}
		for name, content := range tree(t, rotten) {
			if before[name] != content {
				t.Fatalf("bit %d of both files: %s was changed", bit, name)
			}
			delete(before, name)
		}
		if len(before) > 0 {
			t.Fatalf("bit %d of both files: %v were deleted", bit, before)
		}
	}
}

// TestRottenDamageReport: a report that can't be read does not stop the start, and is kept.
func TestRottenDamageReport(t *testing.T) {
	r := newRotten(t, rand.New(rand.NewPCG(2, 0)), 8<<10, false, false)
	if err := r.disk.Flip(segments(t, r.disk)[0], 1024+64+20, 3); err != nil {
		t.Fatal(err)
	}
	log := openLog(t, r.disk, r.options)
	if _, err := leaseAll(log); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	reports := files(t, r.disk, ".damage.json")
	if len(reports) != 1 {
		t.Fatalf("reports %v", reports)
	}
	text, err := vfs.ReadFile(r.disk, reports[0], 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	for bit := range len(text) * 8 {
		rotten := r.disk.Crash(nil, faultfs.Dropped)
		if err := rotten.Flip(reports[0], int64(bit/8), uint(bit%8)); err != nil {
			t.Fatal(err)
		}
		log, err := seglog.Open(rotten, "queue", r.options)
		if err != nil {
			t.Fatalf("bit %d of the report: the start is refused: %v", bit, err)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := vfs.ReadFile(rotten, reports[0], 1<<30); err != nil {
			t.Fatalf("bit %d of the report: %v", bit, err)
		}
	}
}

// files lists the files below the queue whose names end so.
func files(t *testing.T, disk vfs.FS, suffix string) (names []string) {
	t.Helper()
	for name := range tree(t, disk) {
		if strings.HasSuffix(name, suffix) {
			names = append(names, name)
		}
	}
	return names
}

// tree returns the content of every file below the queue that was finished.
func tree(t *testing.T, disk vfs.FS) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, dir := range []string{"queue", "queue/quarantine"} {
		entries, err := disk.ReadDir(dir)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			if entry.Dir || vfs.IsTemp(entry.Name) {
				continue
			}
			name := path.Join(dir, entry.Name)
			content, err := vfs.ReadFile(disk, name, 1<<30)
			if err != nil {
				t.Fatal(err)
			}
			all[name] = string(content)
		}
	}
	return all
}
