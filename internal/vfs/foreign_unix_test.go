//go:build unix

package vfs_test

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pillarbox/internal/vfs"
)

// plant puts what somebody may put into a directory under a name. Each must be refused without a
// wait.
var plants = map[string]func(t *testing.T, name string){
	"a named pipe": func(t *testing.T, name string) { must(t, unix.Mkfifo(name, 0o600)) },
	"a symbolic link": func(t *testing.T, name string) {
		must(t, os.Symlink("target", name))
	},
	"a symbolic link out of the directory": func(t *testing.T, name string) {
		must(t, os.Symlink("/etc/hostname", name))
	},
	"a symbolic link to nothing": func(t *testing.T, name string) {
		must(t, os.Symlink("nothing", name))
	},
	"a directory": func(t *testing.T, name string) { must(t, os.Mkdir(name, 0o700)) },
	"a socket": func(t *testing.T, name string) {
		listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: name})
		must(t, err)
		listener.SetUnlinkOnClose(false)
		must(t, listener.Close())
	},
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newDisk(t *testing.T) (*vfs.Disk, string) {
	t.Helper()
	// A socket's path must be short.
	dir, err := os.MkdirTemp("", "vfs")
	must(t, err)
	disk, err := vfs.OpenDisk(dir)
	must(t, err)
	t.Cleanup(func() { must(t, errors.Join(disk.Close(), os.RemoveAll(dir))) })
	must(t, os.WriteFile(filepath.Join(dir, "target"), []byte("target"), 0o600))
	return disk, dir
}

// TestWhatIsNoFileIsNotOpened: neither for reading nor for writing, as a file or as a directory,
// and nothing is written through a link.
func TestWhatIsNoFileIsNotOpened(t *testing.T) {
	for what, plant := range plants {
		t.Run(what, func(t *testing.T) {
			disk, dir := newDisk(t)
			plant(t, filepath.Join(dir, "name"))
			kind, _, _ := strings.Cut(what, " out")
			kind, _, _ = strings.Cut(kind, " to")
			for _, flag := range []int{os.O_RDONLY, os.O_RDWR, os.O_RDWR | os.O_CREATE,
				os.O_RDWR | os.O_CREATE | os.O_TRUNC} {
				_, err := disk.OpenFile("name", flag)
				if !errors.Is(err, vfs.ErrForeign) || !strings.Contains(err.Error(), "name is "+kind) {
					t.Errorf("opened with %#x: %v", flag, err)
				}
			}
			if _, err := disk.OpenFile("name", os.O_RDWR|os.O_CREATE|os.O_EXCL); !errors.Is(err,
				os.ErrExist) {
				t.Errorf("made over %s: %v", what, err)
			}
			if err := disk.Uncache("name"); !vfs.IsForeign(err) {
				t.Errorf("Uncache: %v", err)
			}
			_, names := disk.Names("name")
			_, entries := disk.ReadDir("name")
			held, locked := disk.Lock("LOCK", "name")
			if locked == nil {
				must(t, held.Close())
			}
			_, lock := disk.Lock("name")
			for call, err := range map[string]error{"Names": names, "ReadDir": entries,
				"SyncDir": disk.SyncDir("name"), "Lock": locked} {
				if (what == "a directory") != (err == nil) || err != nil && !vfs.IsForeign(err) {
					t.Errorf("%s: %v", call, err)
				}
			}
			if !vfs.IsForeign(lock) {
				t.Errorf("the lock file is %s: %v", what, lock)
			}
			// What is not finished may be removed, and is never written through.
			must(t, vfs.WriteFile(disk, "other", []byte("old")))
			must(t, os.RemoveAll(filepath.Join(dir, "other.tmp")))
			plant(t, filepath.Join(dir, "other.tmp"))
			must(t, vfs.WriteFile(disk, "other", []byte("new")))
			if got, err := vfs.ReadFile(disk, "other", 3); err != nil || string(got) != "new" {
				t.Errorf("wrote %q, %v", got, err)
			}
			if got, err := os.ReadFile(filepath.Join(dir, "target")); err != nil ||
				string(got) != "target" {
				t.Errorf("the target of the link has %q, %v", got, err)
			}
		})
	}
}

// TestDataDirectoryThatIsNoneIsNamed: the root may be behind a link, but must be a directory.
func TestDataDirectoryThatIsNoneIsNamed(t *testing.T) {
	dir := t.TempDir()
	must(t, unix.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	if _, err := vfs.OpenDisk(filepath.Join(dir, "pipe")); !vfs.IsForeign(err) {
		t.Errorf("opened a pipe: %v", err)
	}
	must(t, os.Symlink(t.TempDir(), filepath.Join(dir, "link")))
	disk, err := vfs.OpenDisk(filepath.Join(dir, "link"))
	must(t, err)
	must(t, disk.Close())
}

// TestFileOverTheLimitIsNotRead: a sparse file of 3 GiB takes no memory.
func TestFileOverTheLimitIsNotRead(t *testing.T) {
	disk, dir := newDisk(t)
	must(t, os.WriteFile(filepath.Join(dir, "sparse"), nil, 0o600))
	must(t, os.Truncate(filepath.Join(dir, "sparse"), 3<<30))
	_, err := vfs.ReadFile(disk, "sparse", 1000)
	if !errors.Is(err, vfs.ErrForeign) || !strings.Contains(err.Error(), "3221225472 bytes") {
		t.Errorf("read a sparse file: %v", err)
	}
	if got, err := vfs.ReadFile(disk, "target", 6); err != nil || string(got) != "target" {
		t.Errorf("a file of the limit: %q, %v", got, err)
	}
}

// TestFileThatIsReplacedWhileOpenedIsOpenedAnew: a letter that is written anew meanwhile is one,
// and a link that comes meanwhile is none.
func TestFileThatIsReplacedWhileOpenedIsOpenedAnew(t *testing.T) {
	disk, dir := newDisk(t)
	name := filepath.Join(dir, "name")
	must(t, os.WriteFile(name, []byte("old"), 0o600))
	looks := 0
	vfs.SetLookedAt(t, func(string) {
		if looks++; looks == 1 {
			must(t, os.WriteFile(name+"2", []byte("new"), 0o600))
			must(t, os.Rename(name+"2", name))
		}
	})
	if got, err := vfs.ReadFile(disk, "name", 100); err != nil || !bytes.Equal(got, []byte("new")) {
		t.Errorf("read %q, %v", got, err)
	}
	vfs.SetLookedAt(t, func(string) {
		must(t, os.Remove(name))
		must(t, os.Symlink("target", name))
	})
	if _, err := disk.OpenFile("name", os.O_RDWR|os.O_TRUNC); !vfs.IsForeign(err) {
		t.Errorf("a link that came meanwhile: %v", err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "target")); err != nil || string(got) != "target" {
		t.Errorf("the target of the link has %q, %v", got, err)
	}
}
