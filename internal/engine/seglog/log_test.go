package seglog_test

import (
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/seglog"
	"pillarbox/internal/vfs"
	"pillarbox/internal/vfs/faultfs"
)

// small makes segments and delivery states that fill quickly.
func small() seglog.Options {
	return seglog.Options{SegmentBytes: 64 << 10, KeepBytes: -1, MinFreeBytes: 1, StateBytes: 4 << 10}
}

func TestKeepsTheContractOnADisk(t *testing.T) {
	enginetest.Queue(t, func(t *testing.T, now func() time.Time) pillarbox.Queue {
		disk, err := vfs.OpenDisk(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = disk.Close() })
		options := small()
		options.Now = now
		return openLog(t, disk, options)
	})
}

func TestObligations(t *testing.T) {
	enginetest.Obligations(t, func(t *testing.T, now func() time.Time) pillarbox.Queue {
		disk, err := vfs.OpenDisk(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = disk.Close() })
		options := small()
		options.Now = now
		return openLog(t, disk, options)
	})
}

func TestKeepsTheContractInMemory(t *testing.T) {
	enginetest.Queue(t, func(t *testing.T, now func() time.Time) pillarbox.Queue {
		options := small()
		options.Now = now
		return openLog(t, faultfs.New(faultfs.Options{}), options)
	})
}

func openLog(t *testing.T, fsys vfs.FS, options seglog.Options) *seglog.Log {
	t.Helper()
	l, err := seglog.Open(fsys, "queue", options)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
