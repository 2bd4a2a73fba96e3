package parquet_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	pq "github.com/parquet-go/parquet-go"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/parquet"
	"pillarbox/internal/vfs"
	"pillarbox/internal/vfs/faultfs"
	"pillarbox/test/setting"
)

// story writes a few events again and again, in batches that are cut anew each time, puts files
// together and opens the store again. It knows which events must be there, and which may.
type story struct {
	random *rand.Rand
	events []*pillarbox.Event
	must   map[pillarbox.Key]bool // acknowledged
	may    map[pillarbox.Key]bool // in a call that has not returned, or has failed
	gone   map[pillarbox.Key]bool // purged, and not written since

	purged  uint64 // by all steps that have succeeded
	inDoubt uint64 // by those that have not, at most
}

func newStory(seed uint64) *story {
	s := &story{random: rand.New(rand.NewPCG(seed, 0)), events: enginetest.Events(12, seed),
		must: map[pillarbox.Key]bool{}, may: map[pillarbox.Key]bool{}, gone: map[pillarbox.Key]bool{}}
	for i, e := range s.events { // two hours of two days, and two sources
		e.Source = []string{"app", "other/source"}[i%2]
		if i%3 == 0 {
			e.Timestamp -= 24 * 3600 * 1_000_000
		}
		e.Body = fmt.Append(nil, i)
	}
	return s
}

func crashOptions() parquet.Options {
	return parquet.Options{Unmaintained: true, FoldFiles: 2, Grace: time.Nanosecond}
}

// place is where a store is, for a reader and for the store.
type place struct {
	files vfs.FS
	open  func() *parquet.Store
}

func onDisk(disk *faultfs.FS) place {
	return place{files: disk, open: func() *parquet.Store { return parquet.OpenOn(disk, crashOptions()) }}
}

// openOn opens the store, which must succeed.
func openOn(t *testing.T, disk *faultfs.FS, when string) *parquet.Store {
	t.Helper()
	return openAt(t, onDisk(disk), when)
}

func openAt(t *testing.T, p place, when string) *parquet.Store {
	t.Helper()
	store := p.open()
	if err := store.Check(context.Background()); err != nil {
		t.Fatalf("%s: open: %v", when, err)
	}
	return store
}

// step makes one call.
func (s *story) step(ctx context.Context, store *parquet.Store) error {
	switch s.random.IntN(10) {
	case 0, 1, 2:
		return store.Maintain(ctx)
	case 3:
		return s.purge(ctx, store)
	}
	var batch []*pillarbox.Event
	for _, at := range s.random.Perm(len(s.events))[:1+s.random.IntN(4)] {
		batch = append(batch, s.events[at])
	}
	for _, e := range batch {
		s.may[e.Key()] = true
		delete(s.gone, e.Key())
	}
	err := store.Write(ctx, batch)
	if err == nil {
		for _, e := range batch {
			s.must[e.Key()] = true
		}
	}
	return err
}

// purge deletes all events before one, but for one of them.
func (s *story) purge(ctx context.Context, store *parquet.Store) error {
	filter := pillarbox.PurgeFilter{Until: s.events[s.random.IntN(len(s.events))].Timestamp + 1}
	if s.random.IntN(2) == 0 {
		filter.Source = "app"
	}
	start, err := store.BeginPurge(ctx, filter)
	if err != nil {
		return err
	}
	kept := s.events[s.random.IntN(len(s.events))].Key()
	step := pillarbox.PurgeStep{PurgeFilter: filter, At: start.At, Limit: 1, Keep: map[pillarbox.Key]bool{kept: true}}
	var old []pillarbox.Key
	for _, e := range s.events {
		if e.Timestamp < filter.Until && (filter.Source == "" || e.Source == filter.Source) && e.Key() != kept {
			old = append(old, e.Key())
			delete(s.must, e.Key())
		}
	}
	s.inDoubt += uint64(len(old))
	for {
		result, err := store.Purge(ctx, step)
		if err != nil {
			return err
		}
		s.purged += result.Deleted
		if result.Last == (pillarbox.Key{}) {
			break
		}
		step.After = result.Last
	}
	s.inDoubt -= uint64(len(old))
	for _, key := range old {
		delete(s.may, key)
		s.gone[key] = true
	}
	return nil
}

// holds compares keys with the account.
func (s *story) holds(t *testing.T, what, when string, keys []pillarbox.Key) {
	t.Helper()
	found := map[pillarbox.Key]bool{}
	for _, key := range keys {
		if found[key] {
			t.Fatalf("%s: %s has event %v twice", when, what, key)
		}
		if !s.may[key] {
			t.Fatalf("%s: %s has event %v, which was never written, or is purged: %v", when, what, key, s.gone[key])
		}
		found[key] = true
	}
	for key := range s.must {
		if !found[key] {
			t.Fatalf("%s: acknowledged event %v is not in %s", when, key, what)
		}
	}
}

// check holds a disk against the account: as a reader of the manifest finds it, as the store finds it
// when it is opened, and as a reader of all files finds it then, and after a clean stop.
func (s *story) check(t *testing.T, disk *faultfs.FS, when string) {
	t.Helper()
	s.checkAt(t, onDisk(disk), when)
}

func (s *story) checkAt(t *testing.T, p place, when string) {
	t.Helper()
	disk := p.files
	s.checkManifest(t, disk, when)
	store := openAt(t, p, when)
	listed, err := store.List(t.Context(), pillarbox.EventFilter{Limit: 1000})
	must(t, err)
	var keys []pillarbox.Key
	for _, e := range listed {
		keys = append(keys, e.Key())
	}
	s.holds(t, "the store", when, keys)
	if count, err := store.Count(t.Context()); err != nil || count != uint64(len(keys)) {
		t.Fatalf("%s: count %d, %v, and %d events are listed", when, count, err, len(keys))
	}
	total := pillarbox.PurgedEvents(store.Purges())
	if total < s.purged || total > s.purged+s.inDoubt {
		t.Fatalf("%s: %d events are remembered as purged, want %d and up to %d more", when, total, s.purged, s.inDoubt)
	}
	if mark := store.Identity().Mark; mark != total+uint64(len(keys)) {
		t.Fatalf("%s: %d events were ever stored, %d are purged, and %d are there", when, mark, total, len(keys))
	}
	s.checkManifest(t, disk, when)
	globbed := keysOf(t, disk, everyFile(t, disk, "."), when)
	s.holds(t, "the glob", when, globbed)
	if len(globbed) != len(keys) {
		t.Fatalf("%s: %d events in all files, and %d are listed", when, len(globbed), len(keys))
	}
	must(t, store.Close())
	s.holds(t, "the glob after a stop", when, keysOf(t, disk, everyFile(t, disk, "."), when))
}

// checkManifest reads as a stranger does who knows the format alone.
func (s *story) checkManifest(t *testing.T, disk vfs.FS, when string) {
	t.Helper()
	content, err := vfs.ReadFile(disk, "_pillarbox/manifest.json", 1<<20)
	if err != nil {
		if len(s.must) > 0 {
			t.Fatalf("%s: %v", when, err)
		}
		return
	}
	type file struct{ Path string }
	var m struct {
		Days    []struct{ File string }
		Added   []file
		Removed []string
	}
	must(t, json.Unmarshal(content, &m))
	files := map[string]bool{}
	for _, d := range m.Days {
		content, err := vfs.ReadFile(disk, d.File, 1<<20)
		if err != nil {
			t.Fatalf("%s: the manifest names a day that is not there: %v", when, err)
		}
		var day struct{ Files []file }
		must(t, json.Unmarshal(content, &day))
		for _, f := range day.Files {
			files[f.Path] = true
		}
	}
	for _, name := range m.Removed {
		delete(files, name)
	}
	for _, f := range m.Added {
		files[f.Path] = true
	}
	var names []string
	for name := range files {
		names = append(names, name)
	}
	s.holds(t, "the manifest", when, keysOf(t, disk, names, when))
}

// everyFile is what the glob **/*.parquet finds.
func everyFile(t *testing.T, disk vfs.FS, dir string) (names []string) {
	t.Helper()
	entries, err := disk.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		name := strings.TrimPrefix(dir+"/"+e.Name, "./")
		if e.Dir {
			names = append(names, everyFile(t, disk, name)...)
		} else if strings.HasSuffix(name, ".parquet") {
			names = append(names, name)
		}
	}
	return names
}

func keysOf(t *testing.T, disk vfs.FS, names []string, when string) (keys []pillarbox.Key) {
	t.Helper()
	for _, name := range names {
		file, err := disk.OpenFile(name, os.O_RDONLY)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		size, err := file.Size()
		must(t, err)
		content, err := pq.OpenFile(file, size)
		if err != nil {
			t.Fatalf("%s: %s: %v", when, name, err)
		}
		columns := content.RowGroups()[0].ColumnChunks() // a few rows are one group
		times, ids := values(t, columns[0]), values(t, columns[1])
		for i := range times {
			keys = append(keys, pillarbox.Key{Timestamp: pillarbox.Timestamp(times[i].Int64()), RequestID: ids[i].Clone().String()})
		}
		must(t, file.Close())
	}
	return keys
}

func values(t *testing.T, column pq.ColumnChunk) []pq.Value {
	t.Helper()
	pages := column.Pages()
	defer pages.Close()
	page, err := pages.ReadPage()
	must(t, err)
	list := make([]pq.Value, page.NumValues())
	if n, err := page.Values().ReadValues(list); n != len(list) {
		t.Fatalf("%d of %d values: %v", n, len(list), err)
	}
	return list
}

// The power may go after any operation on the disk: in a write, while files are put together, while a
// day gets a file of its own, while the store is opened, and while it is opened after the power went.
func TestPowerCutAtAnyMoment(t *testing.T) {
	cuts := 0
	passed := setting.Fewer(1, 12) // every one of so many operations is followed by a cut
	for seed := range uint64(2) {
		s := newStory(seed)
		disk := faultfs.New(faultfs.Options{})
		disk.After(func(op faultfs.Op, _ error) {
			if op.Kind == faultfs.Read || op.Kind == faultfs.ReadDir || passed > 1 && s.random.IntN(passed) > 0 {
				return
			}
			for _, mode := range []faultfs.Mode{faultfs.Dropped, faultfs.Modes[s.random.IntN(len(faultfs.Modes))]} {
				cuts++
				when := fmt.Sprintf("seed %d, %s cut after %v %s", seed, mode, op.Kind, op.Name)
				left := disk.Crash(s.random, mode)
				left.After(func(op faultfs.Op, _ error) {
					if op.Kind != faultfs.Read && op.Kind != faultfs.ReadDir && s.random.IntN(40) == 0 {
						again := left.Crash(nil, faultfs.Dropped)
						s.check(t, again, fmt.Sprintf("%s, and again after %v %s", when, op.Kind, op.Name))
					}
				})
				s.check(t, left, when)
			}
		})
		store := openOn(t, disk, "at first")
		for range 16 {
			if s.random.IntN(8) == 0 {
				must(t, store.Close())
				store = openOn(t, disk, "again")
			}
			if err := s.step(t.Context(), store); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		must(t, store.Close())
		disk.After(nil)
		s.check(t, disk, fmt.Sprintf("seed %d, at the end", seed))
	}
	if cuts < 1000/passed {
		t.Errorf("only %d power cuts", cuts)
	}
	t.Logf("%d power cuts", cuts)
}

// Any operation on the disk may fail. The error says of which kind it is, what had been promised
// stays, and what is promised afterwards holds in spite of what the failed call has left behind.
func TestEveryOperationMayFail(t *testing.T) {
	failures := 0
	seeds := setting.Fewer(24, 3)
	for seed := range uint64(seeds) {
		s := newStory(seed)
		disk := faultfs.New(faultfs.Options{})
		store := openOn(t, disk, "at first")
		cause := []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS}[seed%3]
		kind := pillarbox.ErrUnavailable
		if cause == syscall.ENOSPC {
			kind = pillarbox.ErrNoSpace
		}
		disk.Inject(func(faultfs.Op) error {
			if s.random.IntN(12) == 0 {
				failures++
				return cause
			}
			return nil
		})
		for range 20 {
			if err := s.step(t.Context(), store); err != nil && !errors.Is(err, kind) {
				t.Fatalf("seed %d: %v, want %v", seed, err, kind)
			}
			s.check(t, disk.Crash(nil, faultfs.Dropped), fmt.Sprintf("seed %d, power cut", seed))
			s.check(t, disk.Crash(nil, faultfs.Kept), fmt.Sprintf("seed %d, kill", seed))
		}
		disk.Inject(nil)
		for _, e := range s.events { // the next call sets everything right
			s.may[e.Key()], s.must[e.Key()] = true, true
		}
		must(t, store.Write(t.Context(), s.events))
		must(t, store.Maintain(t.Context()))
		must(t, store.Close())
		s.check(t, disk.Crash(nil, faultfs.Dropped), fmt.Sprintf("seed %d, at the end", seed))
	}
	if failures < 6*seeds {
		t.Errorf("only %d operations failed", failures)
	}
}

// A process may be killed before any operation, and the power may go in the next life: what that life
// found but was not yet durable must be made so before anything is promised because of it.
func TestPowerCutAfterKill(t *testing.T) {
	kills, step := 0, setting.Fewer(12, 80)
	for seed := range uint64(2) {
		for last := 40; last < 240; last += step {
			s := newStory(seed)
			disk := faultfs.New(faultfs.Options{})
			store := openOn(t, disk, "at first")
			disk.Inject(func(op faultfs.Op) error {
				if op.Index >= last {
					return syscall.EIO
				}
				return nil
			})
			for disk.Operations() < last {
				_ = s.step(t.Context(), store) // it may fail: what it has promised counts
			}
			kills++
			when := fmt.Sprintf("seed %d, killed before operation %d", seed, last)
			disk.Inject(nil)
			next := openOn(t, disk, when)
			disk.After(func(op faultfs.Op, _ error) {
				if op.Kind == faultfs.Read || op.Kind == faultfs.ReadDir || s.random.IntN(3) > 0 {
					return
				}
				s.check(t, disk.Crash(nil, faultfs.Dropped), fmt.Sprintf("%s, then cut after %v %s", when, op.Kind, op.Name))
			})
			for range 3 {
				if err := s.step(t.Context(), next); err != nil {
					t.Fatalf("%s: %v", when, err)
				}
			}
			disk.After(nil)
		}
	}
	if kills < 360/step {
		t.Errorf("only %d kills", kills)
	}
}
