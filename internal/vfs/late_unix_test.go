//go:build unix

package vfs_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pillarbox/internal/vfs"
)

// TestHangingCallIsTold opens a pipe that nobody writes to: the call hangs until somebody does.
func TestHangingCallIsTold(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	disk, err := vfs.OpenDisk(dir)
	if err != nil {
		t.Fatal(err)
	}
	late, back := make(chan string, 10), make(chan string, 10)
	disk.Watch(50*time.Millisecond, func(what string, _ time.Duration) { late <- what },
		func(what string, _ time.Duration) { back <- what })
	opened := make(chan error)
	go func() {
		file, err := disk.OpenFile("pipe", os.O_RDONLY)
		if err == nil {
			err = file.Close()
		}
		opened <- err
	}()
	if what := <-late; what != "open pipe" {
		t.Errorf("%q is told to hang", what)
	}
	if what, since := disk.Hanging(); what != "open pipe" || since < 50*time.Millisecond {
		t.Errorf("%q hangs for %s", what, since)
	}
	writer, err := os.OpenFile(filepath.Join(dir, "pipe"), os.O_WRONLY, 0)
	if err := errors.Join(err, <-opened, writer.Close(), disk.Close()); err != nil {
		t.Fatal(err)
	}
	if what := <-back; !strings.Contains(what, "open pipe") {
		t.Errorf("%q is told to have come back", what)
	}
	if what, _ := disk.Hanging(); what != "" {
		t.Errorf("%q hangs", what)
	}
}
