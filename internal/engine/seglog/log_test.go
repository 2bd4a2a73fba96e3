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
	return seglog.Options{
		SegmentBytes: 64 << 10, KeepBytes: -1, MinFreeBytes: 1, StateBytes: 4 << 10,
	}
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

// TestKeepsTheContractOpenedAgain: what is durable is there in the next life.
func TestKeepsTheContractOpenedAgain(t *testing.T) {
	enginetest.QueueDurable(t, func(t *testing.T) func() pillarbox.Queue {
		fsys := faultfs.New(faultfs.Options{})
		return func() pillarbox.Queue { return openLog(t, fsys, small()) }
	})
}

func TestKeepsTheContractInMemory(t *testing.T) {
	enginetest.Queue(t, func(t *testing.T, now func() time.Time) pillarbox.Queue {
		options := small()
		options.Now = now
		return openLog(t, faultfs.New(faultfs.Options{}), options)
	})
}

// TestKeepsTheContractDecorated: a decorator takes nothing from what it can do.
func TestKeepsTheContractDecorated(t *testing.T) {
	enginetest.Queue(t, func(t *testing.T, now func() time.Time) pillarbox.Queue {
		options := small()
		options.Now = now
		return enginetest.TraceQueue(openLog(t, faultfs.New(faultfs.Options{}), options),
			&enginetest.Spans{})
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
