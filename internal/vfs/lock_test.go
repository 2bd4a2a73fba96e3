package vfs_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"pillarbox/internal/vfs"
)

func openDisk(t *testing.T, dir string) *vfs.Disk {
	t.Helper()
	disk, err := vfs.OpenDisk(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = disk.Close() })
	return disk
}

// TestLockIsOnTheDirectory removes and replaces the lock file, and comes by another name: the
// directory stays locked.
func TestLockIsOnTheDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	disk := openDisk(t, dir)
	if err := disk.Mkdir("queue"); err != nil {
		t.Fatal(err)
	}
	lock, err := disk.Lock("LOCK", "queue", "missing")
	if err != nil {
		t.Fatal(err)
	}
	refused := func(dir string) {
		t.Helper()
		second, err := openDisk(t, dir).Lock("LOCK", "queue")
		if !errors.Is(err, vfs.ErrLocked) {
			t.Errorf("a second lock of %s: %v", dir, err)
			_ = second.Close()
		}
	}
	refused(dir)
	if err := os.Remove(filepath.Join(dir, "LOCK")); err != nil {
		t.Fatal(err)
	}
	refused(dir)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	refused(link)
	if err := lock.Check(); err != nil {
		t.Errorf("nothing was lost: %v", err)
	}

	moved := dir + "-moved"
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	if err := lock.Check(); !errors.Is(err, vfs.ErrLost) {
		t.Errorf("the directory was moved: %v", err)
	}
	refused(moved)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := lock.Check(); !errors.Is(err, vfs.ErrLost) {
		t.Errorf("the directory was replaced: %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := openDisk(t, moved).Lock("LOCK")
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}
