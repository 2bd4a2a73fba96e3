package parquet_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/parquet"
	"pillarbox/internal/vfs/faultfs"
)

// stored makes a directory with events of two hours, in a file each.
func stored(t *testing.T) (dir string, events []*pillarbox.Event, files []string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "events")
	events = enginetest.Events(20, 90)
	for i, e := range events {
		e.Source = "app"
		e.Timestamp += pillarbox.Timestamp(i/10) * 3_600_000_000
	}
	store := parquet.Open(dir, parquet.Options{Unmaintained: true})
	must(t, store.Write(t.Context(), events))
	must(t, store.Close())
	files, err := filepath.Glob(filepath.Join(dir, "source=app/day=*/hour=*/*.parquet"))
	if err != nil || len(files) != 2 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	return dir, events, files
}

// A file that is damaged or gone is named, its events count as unreadable, and the others are served.
// What may be in it is refused for now; other events are stored.
func TestDamagedFileIsNamed(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, file string){
		"gone": func(t *testing.T, file string) { must(t, os.Remove(file)) },
		"cut":  func(t *testing.T, file string) { must(t, os.Truncate(file, 100)) },
		"rotten": func(t *testing.T, file string) {
			content, err := os.ReadFile(file)
			must(t, err)
			for i := 4; i < len(content); i += 50 {
				content[i] ^= 0xff
			}
			must(t, os.WriteFile(file, content, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, events, files := stored(t)
			spoil(t, files[0])
			store := parquet.Open(dir, parquet.Options{Unmaintained: true})
			defer store.Close()
			found, err := store.List(t.Context(), pillarbox.EventFilter{})
			var others *pillarbox.UnreadableError
			if !errors.As(err, &others) || others.Count != 10 || len(found) != 10 || !strings.Contains(err.Error(), filepath.Base(files[0])) {
				t.Errorf("%d events are found: %v", len(found), err)
			}
			again := enginetest.Clone(events[3])
			fresh := enginetest.Clone(events[15])
			fresh.RequestID += "0"
			err = store.Write(t.Context(), []*pillarbox.Event{again, fresh})
			var refused *pillarbox.BatchError
			if !errors.As(err, &refused) || len(refused.Items) != 1 || refused.Items[0].Index != 0 || pillarbox.IsPermanent(err) ||
				errors.Is(err, pillarbox.ErrUnavailable) {
				t.Errorf("write what may be in the damaged file, and another: %v", err)
			}
			if _, err := store.Missing(t.Context(), []pillarbox.Key{events[3].Key()}); !errors.Is(err, pillarbox.ErrCorrupt) {
				t.Errorf("missing: %v, want ErrCorrupt", err)
			}
			if missing, err := store.Missing(t.Context(), []pillarbox.Key{fresh.Key()}); err != nil || len(missing) > 0 {
				t.Errorf("the other event is missing: %v, %v", missing, err)
			}
			must(t, store.Maintain(t.Context()))
		})
	}
}

// A directory that is not ours, or whose manifest is gone or damaged, is refused in words, and nothing
// in it is changed. Once it is put right, the store goes on.
func TestWrongDirectoryIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(t *testing.T, dir string)
		want  string
		kind  error
	}{
		"foreign":  {func(t *testing.T, dir string) { must(t, os.RemoveAll(filepath.Join(dir, "_pillarbox"))) }, "name an empty directory", pillarbox.ErrUnavailable},
		"gone":     {func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "_pillarbox/manifest.json"))) }, "put that file back", pillarbox.ErrUnavailable},
		"damaged":  {func(t *testing.T, dir string) { edit(t, dir, `"mark":20`, `"mark":30`) }, "checksum does not match", pillarbox.ErrCorrupt},
		"not JSON": {func(t *testing.T, dir string) { edit(t, dir, `{`, ``) }, "_pillarbox/manifest.json", pillarbox.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			dir, events, files := stored(t)
			backup := filepath.Join(t.TempDir(), "backup")
			must(t, os.CopyFS(backup, os.DirFS(dir)))
			test.spoil(t, dir)
			store := parquet.Open(dir, parquet.Options{Unmaintained: true})
			defer store.Close()
			err := store.Write(t.Context(), events)
			if !errors.Is(err, pillarbox.ErrUnavailable) || !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("write: %v, want %q", err, test.want)
			}
			for _, file := range files {
				if _, err := os.Stat(file); err != nil {
					t.Error(err)
				}
			}
			must(t, os.RemoveAll(dir))
			must(t, os.CopyFS(dir, os.DirFS(backup)))
			must(t, store.Write(t.Context(), events))
			if count, err := store.Count(t.Context()); err != nil || count != 20 {
				t.Errorf("%d events, %v", count, err)
			}
		})
	}
}

func edit(t *testing.T, dir, old, changed string) {
	t.Helper()
	name := filepath.Join(dir, "_pillarbox/manifest.json")
	content, err := os.ReadFile(name)
	must(t, err)
	text := strings.Replace(string(content), old, changed, 1)
	if text == string(content) {
		t.Fatalf("the manifest has no %s: %s", old, content)
	}
	must(t, os.WriteFile(name, []byte(text), 0o600))
}

// A directory has one writer. The second gets it when the first has ended.
func TestDirectoryHasOneWriter(t *testing.T) {
	dir, events, _ := stored(t)
	first := parquet.Open(dir, parquet.Options{})
	second := parquet.Open(dir, parquet.Options{})
	if err := second.Write(t.Context(), events); !errors.Is(err, pillarbox.ErrUnavailable) || !strings.Contains(err.Error(), "locked by another process") {
		t.Errorf("a second writer: %v", err)
	}
	must(t, first.Close())
	must(t, second.Write(t.Context(), events))
	must(t, second.Close())
}

// A directory whose parent is missing is not made: its disk is not mounted.
func TestParentIsNotMade(t *testing.T) {
	store := parquet.Open(filepath.Join(t.TempDir(), "disk/events"), parquet.Options{})
	if err := store.Check(t.Context()); !errors.Is(err, pillarbox.ErrUnavailable) || !strings.Contains(err.Error(), "mount its disk") {
		t.Errorf("check: %v", err)
	}
	must(t, store.Close())
}

// Small files become one, and what they were is there for the grace, and gone after it.
func TestSmallFilesBecomeOne(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "events")
	now := time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)
	store := parquet.Open(dir, parquet.Options{Unmaintained: true, Now: func() time.Time { return now }})
	events := enginetest.Events(60, 91)
	for i, e := range events {
		e.Source = "app"
		must(t, store.Write(t.Context(), events[i:i+1]))
	}
	files := func() int {
		list, err := filepath.Glob(filepath.Join(dir, "source=app/day=*/hour=*/*.parquet"))
		must(t, err)
		return len(list)
	}
	must(t, store.Maintain(t.Context()))
	if n := files(); n <= 60 {
		t.Errorf("%d files, and the old ones are to be kept", n)
	}
	now = now.Add(parquet.DefaultGrace + time.Second)
	must(t, store.Maintain(t.Context()))
	if n := files(); n != 1 {
		t.Errorf("%d files after the grace, want 1", n)
	}
	found, err := store.List(t.Context(), pillarbox.EventFilter{Limit: 100})
	if err != nil || len(found) != 60 {
		t.Errorf("%d events, %v", len(found), err)
	}
	for _, e := range events {
		if at, err := store.StoredAt(t.Context(), e.Key()); err != nil || at == 0 {
			t.Errorf("stored at %v, %v", at, err)
		}
	}
	must(t, store.Close())
}

// However many files have become few, they are removed after the grace.
func TestManyOldFilesAreRemoved(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	now := time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)
	store := parquet.OpenOn(disk, parquet.Options{Unmaintained: true, Now: func() time.Time { return now }})
	events := enginetest.Events(450, 94)
	for i, e := range events {
		e.Source = "app"
		must(t, store.Write(t.Context(), events[i:i+1]))
	}
	must(t, store.Maintain(t.Context()))
	now = now.Add(parquet.DefaultGrace + time.Second)
	must(t, store.Maintain(t.Context()))
	if left := everyFile(t, disk, "."); len(left) > 3 {
		t.Errorf("%d files after the grace", len(left))
	}
	must(t, store.Close())
}

// A directory of a partition that somebody has removed is made again.
func TestRemovedDirectoryIsMadeAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "events")
	store := parquet.Open(dir, parquet.Options{Unmaintained: true})
	defer store.Close()
	events := enginetest.Events(4, 92)
	for _, e := range events {
		e.Source = "app"
	}
	must(t, store.Write(t.Context(), events[:1]))
	aside := filepath.Join(t.TempDir(), "aside")
	must(t, os.Rename(filepath.Join(dir, "source=app"), aside))
	if err := store.Write(t.Context(), events[2:3]); !errors.Is(err, pillarbox.ErrUnavailable) {
		t.Errorf("write while the directory is gone: %v", err)
	}
	must(t, store.Write(t.Context(), events[2:3]))
	if found, err := store.Find(t.Context(), events[2].RequestID); err != nil || found.RequestID != events[2].RequestID {
		t.Errorf("find: %v", err)
	}
}

// Writes and reads go on while files are put together, are removed and days are folded: who reads gets
// each event once that was acknowledged before.
func TestReadersAndWritersGoOnWhileFilesArePutTogether(t *testing.T) {
	store := parquet.Open(filepath.Join(t.TempDir(), "events"), parquet.Options{Unmaintained: true, FoldFiles: 4})
	defer store.Close()
	events := enginetest.Events(90, 93)
	for _, e := range events {
		e.Source = "app"
	}
	var acknowledged atomic.Int64
	written := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		defer close(written)
		for i := 0; i < len(events); i += 3 {
			if err := store.Write(t.Context(), events[max(0, i-2):i+3]); err != nil {
				t.Error(err)
			}
			acknowledged.Store(int64(i + 3))
		}
	})
	until := func(work func()) func() {
		return func() {
			for {
				work()
				select {
				case <-written:
					return
				default:
				}
			}
		}
	}
	group.Go(until(func() {
		if err := store.Maintain(t.Context()); err != nil {
			t.Error(err)
		}
	}))
	group.Go(until(func() {
		before := acknowledged.Load()
		found, err := store.List(t.Context(), pillarbox.EventFilter{Limit: 1000})
		if err != nil || int64(len(found)) < before {
			t.Errorf("%d events are found, and %d were acknowledged: %v", len(found), before, err)
		}
		for i := 1; i < len(found); i++ {
			if found[i-1].Key() == found[i].Key() {
				t.Errorf("event %v is found twice", found[i].Key())
			}
		}
	}))
	group.Wait()
	if count, err := store.Count(t.Context()); err != nil || count != uint64(len(events)) {
		t.Errorf("%d events, %v", count, err)
	}
}
