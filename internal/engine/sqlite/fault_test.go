package sqlite_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/sqlite"
)

// disk is a VFS that fails on demand, and knows which files hold bytes that were not synced.
type disk struct {
	vfs.VFS
	name string

	mu       sync.Mutex
	calls    int  // that can fail, since the last reset
	failAt   int  // the call that fails; 0 for none
	forever  bool // and all after it
	failed   int
	onWrite  func(name string) // called before each write
	unsynced map[string]bool
}

func newDisk(t *testing.T) *disk {
	d := &disk{VFS: vfs.Find(""), name: "disk-" + filepath.Base(t.TempDir()) + t.Name(),
		unsynced: make(map[string]bool)}
	vfs.Register(d.name, d)
	t.Cleanup(func() { vfs.Unregister(d.name) })
	return d
}

// plan makes the call number at fail, counted from now.
func (d *disk) plan(at int, forever bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls, d.failAt, d.forever, d.failed = 0, at, forever, 0
}

// failures returns how many calls have failed.
func (d *disk) failures() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failed
}

// dirty returns whether bytes of the file are not on the disk.
func (d *disk) dirty(name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.unsynced[name]
}

// attempt is the error of the next call, if its turn has come.
func (d *disk) attempt() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls++
	if d.failAt > 0 && (d.calls == d.failAt || d.forever && d.calls > d.failAt) {
		d.failed++
		return syscall.EIO
	}
	return nil
}

func (d *disk) note(name string, unsynced bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.unsynced[name] = unsynced
}

func (d *disk) Open(name string, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	return vfsutil.WrapOpen(d.VFS, name, flags)
}

func (d *disk) OpenFilename(name *vfs.Filename,
	flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	if err := d.attempt(); err != nil {
		return nil, flags, err
	}
	file, flags, err := vfsutil.WrapOpenFilename(d.VFS, name, flags)
	if err != nil {
		return nil, flags, err
	}
	return &diskFile{File: file, disk: d, name: name.String()}, flags, nil
}

type diskFile struct {
	vfs.File
	disk *disk
	name string
}

func (f *diskFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.disk.attempt(); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *diskFile) WriteAt(p []byte, off int64) (int, error) {
	f.disk.note(f.name, true)
	if f.disk.onWrite != nil {
		f.disk.onWrite(f.name)
	}
	if err := f.disk.attempt(); err != nil {
		n, _ := f.File.WriteAt(p[:len(p)/2], off) // a torn write
		return n, err
	}
	return f.File.WriteAt(p, off)
}

func (f *diskFile) Truncate(size int64) error {
	if err := f.disk.attempt(); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f *diskFile) Sync(flags vfs.SyncFlag) error {
	if err := f.disk.attempt(); err != nil {
		return err
	}
	if err := f.File.Sync(flags); err != nil {
		return err
	}
	f.disk.note(f.name, false)
	return nil
}

func (f *diskFile) HasMoved() (bool, error)        { return vfsutil.WrapHasMoved(f.File) }
func (f *diskFile) SizeHint(size int64) error      { return vfsutil.WrapSizeHint(f.File, size) }
func (f *diskFile) LockState() vfs.LockLevel       { return vfsutil.WrapLockState(f.File) }
func (f *diskFile) PersistWAL() bool               { return vfsutil.WrapPersistWAL(f.File) }
func (f *diskFile) SetPersistWAL(keep bool)        { vfsutil.WrapSetPersistWAL(f.File, keep) }
func (f *diskFile) SharedMemory() vfs.SharedMemory { return vfsutil.WrapSharedMemory(f.File) }
func (f *diskFile) MemoryMapper() vfs.MemoryMapper { return vfsutil.WrapMemoryMapper(f.File) }

// Each write is on the disk before it returns, the first one after opening included.
func TestEveryWriteIsSynced(t *testing.T) {
	d := newDisk(t)
	path := filepath.Join(t.TempDir(), "events.db")
	events := enginetest.Events(3000, 1)
	for life := range 2 {
		store := openTest(t, path, sqlite.WithVFS(sqlite.Options{}, d.name))
		for at := life * 1500; at < (life+1)*1500; at += 100 {
			write(t, store, events[at:at+100]...)
			if d.dirty(path + "-wal") {
				t.Fatalf("event %d: the write returned before the disk had it", at)
			}
		}
		must(t, store.Close())
		if d.dirty(path) {
			t.Error("the store was closed before the disk had the database")
		}
	}
}

// The database may disappear at any moment, also between the look at the path and the commit.
func TestDatabaseRemovedDuringWrite(t *testing.T) {
	d := newDisk(t)
	path := filepath.Join(t.TempDir(), "events.db")
	store := openTest(t, path, sqlite.WithVFS(sqlite.Options{}, d.name))
	events := enginetest.Events(20, 1)
	write(t, store, events[:10]...)
	d.onWrite = func(string) {
		d.onWrite = nil
		must(t, os.Remove(path))
	}
	wantOutage(t, store.Write(t.Context(), events[10:]), "moving it")
	write(t, store, events...)
	wantCount(t, store, 20)
}

// Whichever call to the disk fails, once or from then on: nothing is blamed but the database,
// nothing is promised that is not there, and everything is well again when the disk is.
func TestEveryCallToTheDiskMayFail(t *testing.T) {
	for _, forever := range []bool{false, true} {
		t.Run(fmt.Sprintf("forever=%v", forever), func(t *testing.T) {
			failures := 0
			for at := 1; ; at++ {
				n := failOnce(t, at, forever)
				failures += n
				if n == 0 {
					break // the work takes fewer calls than that
				}
			}
			if failures < 40 {
				t.Errorf("only %d calls have failed", failures)
			}
		})
	}
}

func failOnce(t *testing.T, at int, forever bool) int {
	d := newDisk(t)
	defer vfs.Unregister(d.name)
	path := filepath.Join(t.TempDir(), "events.db")
	events := enginetest.Events(40, uint64(at))
	d.plan(at, forever)
	store := openTest(t, path, sqlite.WithVFS(sqlite.Options{}, d.name))
	defer store.Close()
	promised := 0
	for i := range 3 {
		err := store.Write(t.Context(), events[:10+i*10])
		if err == nil {
			promised = 10 + i*10
		} else if !errors.Is(err, pillarbox.ErrUnavailable) || pillarbox.IsPermanent(err) {
			t.Fatalf("call %d failed: write: %v, want ErrUnavailable", at, err)
		}
	}
	failed := d.failures()
	d.plan(0, false)
	found, err := store.List(t.Context(), pillarbox.EventFilter{})
	if err != nil || len(found) < promised {
		t.Fatalf("call %d failed: list: %d events, %v; %d were promised", at, len(found), err, promised)
	}
	write(t, store, events...)
	found, err = store.List(t.Context(), pillarbox.EventFilter{})
	if err != nil || len(found) != len(events) {
		t.Fatalf("call %d failed: list: %d events, %v; want %d", at, len(found), err, len(events))
	}
	for i := range found {
		if diff := enginetest.Diff(found[i], events[i]); diff != "" {
			t.Fatalf("call %d failed: event %d: %s", at, i, diff)
		}
	}
	return failed
}

// A process may die between writing the WAL and syncing it. The rows can be read in the next life,
// so writing them again changes nothing and syncs nothing; they must have become durable before
// that is promised.
func TestRowsOfAnEarlierLifeAreMadeDurable(t *testing.T) {
	d := newDisk(t)
	path := filepath.Join(t.TempDir(), "events.db")
	options := sqlite.WithVFS(sqlite.Options{}, d.name)
	events := enginetest.Events(20, 1)
	store := openTest(t, path, options)
	write(t, store, events[:10]...)
	must(t, store.Close())

	earlier, err := sqlite3.Open("file:" + path + "?vfs=" + d.name)
	must(t, err)
	run(t, earlier, "PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = 0")
	for _, event := range events[10:] {
		run(t, earlier, fmt.Sprintf("INSERT INTO events (timestamp, request_id, headers) VALUES ('%s', '%s', '{}')", event.Timestamp, event.RequestID))
	}
	_, err = earlier.Config(sqlite3.DBCONFIG_NO_CKPT_ON_CLOSE, true)
	must(t, err)
	must(t, earlier.Close())
	if !d.dirty(path + "-wal") {
		t.Fatal("the WAL is clean: the test shows nothing")
	}

	store = openTest(t, path, options)
	write(t, store, events...)
	wantCount(t, store, 20)
	if d.dirty(path) || d.dirty(path+"-wal") {
		t.Error("the rows of the earlier life were promised before the disk had them")
	}
}
