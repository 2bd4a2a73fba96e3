//go:build unix

package vfs_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pillarbox/internal/vfs"
)

// TestHangingCallIsTold holds an opening up until it is told to hang.
func TestHangingCallIsTold(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "slow"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	vfs.SetLookedAt(t, func(string) { <-release })
	disk, err := vfs.OpenDisk(dir)
	if err != nil {
		t.Fatal(err)
	}
	late, back := make(chan string, 10), make(chan string, 10)
	disk.Watch(50*time.Millisecond, func(what string, _ time.Duration) { late <- what },
		func(what string, _ time.Duration) { back <- what })
	opened := make(chan error)
	go func() {
		file, err := disk.OpenFile("slow", os.O_RDONLY)
		if err == nil {
			err = file.Close()
		}
		opened <- err
	}()
	if what := <-late; what != "open slow" {
		t.Errorf("%q is told to hang", what)
	}
	if what, since := disk.Hanging(); what != "open slow" || since < 50*time.Millisecond {
		t.Errorf("%q hangs for %s", what, since)
	}
	close(release)
	if err := errors.Join(<-opened, disk.Close()); err != nil {
		t.Fatal(err)
	}
	if what := <-back; !strings.Contains(what, "open slow") {
		t.Errorf("%q is told to have come back", what)
	}
	if what, _ := disk.Hanging(); what != "" {
		t.Errorf("%q hangs", what)
	}
}
