package faultfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"pillarbox/internal/vfs"
	"pillarbox/internal/vfs/faultfs"
)

const create = os.O_RDWR | os.O_CREATE

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, fsys vfs.FS, name string, flag int) vfs.File {
	t.Helper()
	file, err := fsys.OpenFile(name, flag)
	must(t, err)
	t.Cleanup(func() { must(t, file.Close()) })
	return file
}

func write(t testing.TB, file vfs.File, text string, off int64) {
	t.Helper()
	n, err := file.WriteAt([]byte(text), off)
	must(t, err)
	if n != len(text) {
		t.Fatalf("wrote %d of %d bytes", n, len(text))
	}
}

// store makes a file with durable content and a durable name.
func store(t testing.TB, fsys vfs.FS, name string, content []byte) vfs.File {
	t.Helper()
	file := open(t, fsys, name, create|os.O_TRUNC)
	_, err := file.WriteAt(content, 0)
	must(t, err)
	must(t, file.Sync())
	must(t, fsys.SyncDir(filepath.ToSlash(filepath.Dir(name))))
	return file
}

func read(t testing.TB, fsys vfs.FS, name string) string {
	t.Helper()
	content, err := vfs.ReadFile(fsys, name, 1<<30)
	must(t, err)
	return string(content)
}

func exists(t testing.TB, fsys vfs.FS, name string) bool {
	t.Helper()
	file, err := fsys.OpenFile(name, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	must(t, err)
	must(t, file.Close())
	return true
}

func names(t testing.TB, fsys vfs.FS, dir string) []string {
	t.Helper()
	entries, err := fsys.ReadDir(dir)
	must(t, err)
	var found []string
	for _, entry := range entries {
		found = append(found, entry.Name)
	}
	return found
}

// The model and the real disk give the same answers and the same kinds of error.
func TestBehavesLikeDisk(t *testing.T) {
	disk, err := vfs.OpenDisk(t.TempDir())
	must(t, err)
	t.Cleanup(func() { must(t, disk.Close()) })
	want := transcript(disk)
	got := transcript(faultfs.New(faultfs.Options{}))
	if !slices.Equal(got, want) {
		for i := range min(len(got), len(want)) {
			if got[i] != want[i] {
				t.Errorf("step %d: model says %q, disk says %q", i, got[i], want[i])
			}
		}
	}
	if len(want) < 30 {
		t.Fatalf("only %d steps ran", len(want))
	}
}

// transcript runs a fixed story and writes down what was answered.
func transcript(fsys vfs.FS) []string {
	var told []string
	tell := func(what string, err error, facts ...any) {
		told = append(told, fmt.Sprint(what, ": ", kindOf(err), " ", facts))
	}
	tell("mkdir", fsys.Mkdir("d"))
	tell("mkdir again", fsys.Mkdir("d"))
	tell("mkdir without parent", fsys.Mkdir("x/y"))
	_, err := fsys.OpenFile("none", os.O_RDWR)
	tell("open missing", err)
	_, err = fsys.OpenFile("../out", create)
	tell("open outside", nil, err != nil)
	file, err := fsys.OpenFile("d/a", create|os.O_EXCL)
	tell("create", err)
	_, err = fsys.OpenFile("d/a", create|os.O_EXCL)
	tell("create again", err)
	n, err := file.WriteAt([]byte("hello"), 5000)
	tell("write", err, n)
	size, err := file.Size()
	tell("size", err, size)
	buffer := make([]byte, 8)
	n, err = file.ReadAt(buffer, 4996)
	tell("read", err, n, buffer)
	n, err = file.ReadAt(buffer, 4999)
	tell("read over the end", err, n)
	n, err = file.ReadAt(buffer, 9000)
	tell("read behind the end", err, n)
	tell("truncate", file.Truncate(5002))
	tell("grow", file.Truncate(5010))
	n, err = file.ReadAt(buffer, 4999)
	tell("read what was cut", err, n, buffer)
	tell("sync", file.Sync())
	readonly, err := fsys.OpenFile("d/a", os.O_RDONLY)
	tell("open to read", err)
	_, err = readonly.WriteAt([]byte("x"), 0)
	tell("write to it", err)
	tell("close", readonly.Close())
	tell("close again", readonly.Close())
	_, err = readonly.ReadAt(buffer, 0)
	tell("read closed", err)
	tell("remove a full directory", fsys.Remove("d"))
	tell("rename missing", fsys.Rename("none", "b"))
	tell("rename over itself", fsys.Rename("d/a", "d/a"))
	tell("rename", fsys.Rename("d/a", "b"))
	tell("rename a directory below itself", fsys.Rename("d", "d/e"))
	_, err = fsys.OpenFile("b/c", create)
	tell("open below a file", err)
	entries, err := fsys.ReadDir(".")
	tell("readdir", err, entries)
	_, err = fsys.ReadDir("none")
	tell("readdir missing", err)
	tell("syncdir", fsys.SyncDir("d"))
	tell("syncdir missing", fsys.SyncDir("none"))
	tell("remove", fsys.Remove("b"))
	tell("remove again", fsys.Remove("b"))
	n, err = file.WriteAt([]byte("still"), 0)
	tell("write removed", err, n)
	n, err = file.ReadAt(buffer[:5], 0)
	tell("read removed", err, n, string(buffer[:5]))
	tell("close", file.Close())
	tell("remove directory", fsys.Remove("d"))
	usage, err := fsys.Usage()
	tell("usage", err, usage.Total >= usage.Free)
	return told
}

func kindOf(err error) string {
	for _, kind := range []error{
		io.EOF, fs.ErrClosed, syscall.ENOENT, syscall.EEXIST, syscall.ENOTEMPTY, syscall.ENOTDIR, syscall.EISDIR,
		syscall.EBADF, syscall.EINVAL,
	} {
		if errors.Is(err, kind) {
			return kind.Error()
		}
	}
	if err != nil {
		return "some error"
	}
	return "ok"
}

func TestErrorsArePathErrors(t *testing.T) {
	fsys := faultfs.New(faultfs.Options{})
	_, err := fsys.OpenFile("none", os.O_RDONLY)
	var pathErr *fs.PathError
	if !errors.As(err, &pathErr) || pathErr.Path != "none" || pathErr.Err != syscall.ENOENT {
		t.Errorf("got %#v", err)
	}
}

func TestInjectedFaultFailsTheOperation(t *testing.T) {
	fsys := faultfs.New(faultfs.Options{})
	file := store(t, fsys, "a", []byte("old"))
	var seen []faultfs.Op
	fsys.Inject(func(op faultfs.Op) error {
		seen = append(seen, op)
		return syscall.EIO
	})
	before := fsys.Operations()
	_, writeErr := file.WriteAt([]byte("new!"), 0)
	_, readErr := file.ReadAt(make([]byte, 1), 0)
	_, openErr := fsys.OpenFile("b", create)
	_, listErr := fsys.ReadDir(".")
	_, usageErr := fsys.Usage()
	for i, err := range []error{
		writeErr, readErr, openErr, listErr, usageErr, file.Truncate(0), fsys.Rename("a",
			"c"), fsys.Remove("a"),
		fsys.SyncDir("."), fsys.Mkdir("d"), file.Sync(),
	} {
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("operation %d: got %v", i, err)
		}
	}
	fsys.Inject(nil)
	if got := names(t, fsys, "."); !slices.Equal(got, []string{"a"}) || read(t, fsys, "a") != "old" {
		t.Errorf("a failed operation had an effect: %v", got)
	}
	if len(seen) != 11 || seen[0].Index != before || seen[0].Kind != faultfs.Write ||
		seen[0].Length != 4 {
		t.Errorf("saw %+v", seen)
	}
}

func TestShortWriteAppliesTheFirstBytes(t *testing.T) {
	fsys := faultfs.New(faultfs.Options{})
	file := store(t, fsys, "a", []byte("0123456789"))
	fsys.Inject(func(op faultfs.Op) error {
		if op.Kind == faultfs.Write {
			return &faultfs.ShortWrite{N: 3, Err: syscall.ENOSPC}
		}
		return nil
	})
	n, err := file.WriteAt([]byte("abcdef"), 0)
	if n != 3 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %d, %v", n, err)
	}
	if got := read(t, fsys, "a"); got != "abc3456789" {
		t.Errorf("holds %q", got)
	}
	if got := read(t, fsys.Crash(nil, faultfs.Kept), "a"); got != "abc3456789" {
		t.Errorf("after a crash that keeps writes it holds %q", got)
	}
}

// A failed sync is final: the pages are clean although the disk never got them.
func TestFailedSyncLosesWritesForGood(t *testing.T) {
	fsys := faultfs.New(faultfs.Options{})
	file := store(t, fsys, "a", []byte("old old old"))
	write(t, file, "new", 0)
	fsys.Inject(func(op faultfs.Op) error {
		if op.Kind == faultfs.Sync {
			return syscall.EIO
		}
		return nil
	})
	if err := file.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("got %v", err)
	}
	fsys.Inject(nil)
	must(t, file.Sync())
	if got := read(t, fsys, "a"); got != "new old old" {
		t.Errorf("readers see %q", got)
	}
	write(t, file, "NEW", 8)
	must(t, file.Sync())
	for _, mode := range faultfs.Modes {
		if got := read(t, fsys.Crash(seeded(1), mode), "a"); got != "old old NEW" {
			t.Errorf("%v: holds %q", mode, got)
		}
	}
}

func TestFullDiskWritesWhatFits(t *testing.T) {
	const page = 4096
	fsys := faultfs.New(faultfs.Options{Space: 4 * page})
	file := store(t, fsys, "a", make([]byte, page))
	n, err := file.WriteAt(bytes.Repeat([]byte("x"), 4*page), 100)
	if n != 4*page-100 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("wrote %d, %v", n, err)
	}
	if got := free(t, fsys); got != 0 {
		t.Errorf("%d bytes are free", got)
	}
	// What has its space already can still be overwritten, and a hole needs none.
	write(t, file, "over", 0)
	must(t, file.Truncate(1<<30))
	if n, err := file.WriteAt([]byte("x"), 1<<20); n != 0 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("wrote %d, %v", n, err)
	}
	must(t, file.Truncate(page+1))
	if got := free(t, fsys); got != 2*page {
		t.Errorf("after truncate %d bytes are free", got)
	}
	must(t, fsys.Remove("a"))
	if got := free(t, fsys); got != 2*page {
		t.Errorf("an open file gave its space back: %d bytes are free", got)
	}
	must(t, file.Close())
	if got := free(t, fsys); got != 4*page {
		t.Errorf("after remove %d bytes are free", got)
	}
}

func free(t *testing.T, fsys vfs.FS) int64 {
	t.Helper()
	usage, err := fsys.Usage()
	must(t, err)
	return usage.Free
}

func TestReplacedFileGivesItsSpaceBack(t *testing.T) {
	fsys := faultfs.New(faultfs.Options{Space: 1 << 20})
	for range 1000 {
		must(t, vfs.WriteFile(fsys, "a", make([]byte, 10_000)))
	}
	crashed := fsys.Crash(seeded(1), faultfs.Torn)
	if a, b := free(t, fsys), free(t, crashed); a != 1<<20-3*4096 || b != a {
		t.Errorf("%d and %d bytes are free", a, b)
	}
}

func TestFlipDamagesWhatIsStored(t *testing.T) {
	fsys := faultfs.New(faultfs.Options{})
	file := store(t, fsys, "a", []byte("aaaa"))
	write(t, file, "bb", 2)
	must(t, fsys.Flip("a", 0, 1))
	must(t, fsys.Flip("a", 3, 0))
	if got := read(t, fsys, "a"); got != "cabc" {
		t.Errorf("readers see %q", got)
	}
	if got := read(t, fsys.Crash(nil, faultfs.Kept), "a"); got != "cabc" {
		t.Errorf("kept is %q", got)
	}
	if got := read(t, fsys.Crash(nil, faultfs.Dropped), "a"); got != "caa`" {
		t.Errorf("dropped is %q", got)
	}
	if err := fsys.Flip("a", 4, 0); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("behind the end: %v", err)
	}
	if err := fsys.Flip("b", 0, 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

// A harness may cut the power after each single operation, and see exactly the state there.
func TestAfterSeesEveryOperation(t *testing.T) {
	fsys := faultfs.New(faultfs.Options{})
	var story []string
	fsys.After(func(op faultfs.Op, err error) {
		state := "missing"
		crashed := fsys.Crash(nil, faultfs.Dropped)
		if file, err := crashed.OpenFile("a", os.O_RDONLY); err == nil {
			buffer := make([]byte, 10)
			n, _ := file.ReadAt(buffer, 0)
			state = string(buffer[:n])
		}
		story = append(story, fmt.Sprintf("%d %v %v", op.Index, op.Kind, state))
	})
	must(t, vfs.WriteFile(fsys, "a", []byte("one")))
	fsys.After(nil)
	want := []string{"0 open missing", "1 write missing", "2 sync missing", "3 rename missing", "4 syncdir one"}
	if !slices.Equal(story, want) || fsys.Operations() != len(want) {
		t.Errorf("got %q", story)
	}
}

// Crash states are independent of the file system they were taken from, and of each other, under concurrency.
func TestStatesAreIndependent(t *testing.T) {
	fsys := faultfs.New(faultfs.Options{})
	content := bytes.Repeat([]byte("0123456789abcdef"), 2000)
	file := store(t, fsys, "a", content)
	var workers sync.WaitGroup
	for worker := range 4 {
		workers.Go(func() {
			for round := range 50 {
				state := fsys.Crash(seeded(uint64(round)), faultfs.Kept)
				mark := fmt.Sprintf("worker %d round %d", worker, round)
				if err := vfs.WriteFile(state, "b", []byte(mark)); err != nil {
					t.Error(err)
				}
				copied, err := state.OpenFile("a", os.O_RDWR)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := copied.WriteAt([]byte(mark), int64(round*400)); err != nil {
					t.Error(err)
				}
				got, err := vfs.ReadFile(state, "b", 1<<30)
				if err != nil || string(got) != mark {
					t.Errorf("got %q, %v", got, err)
				}
			}
		})
	}
	for i := range 50 {
		write(t, file, "0123456789abcdef", int64(i)*16)
		must(t, file.Sync())
	}
	workers.Wait()
	if read(t, fsys, "a") != string(content) || read(t, fsys.Crash(nil, faultfs.Dropped), "a") != string(content) {
		t.Error("a state wrote into the original")
	}
}
