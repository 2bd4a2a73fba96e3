//go:build unix

package seglog_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pillarbox"
	"pillarbox/internal/engine/seglog"
	"pillarbox/internal/vfs"
)

// foreign is what somebody may put into the place of a file of the log, by what is said of it.
var foreign = map[string]func(name string) error{
	"a named pipe":    func(name string) error { return unix.Mkfifo(name, 0o600) },
	"a symbolic link": func(name string) error { return os.Symlink("ages.json", name) },
	"a directory":     func(name string) error { return os.Mkdir(name, 0o700) },
	"3221225472 bytes": func(name string) error {
		return errors.Join(os.WriteFile(name, nil, 0o600), os.Truncate(name, 3<<30))
	},
}

// foreignLog is a log with 20 events in a real directory, at rest.
func foreignLog(t *testing.T) (disk *vfs.Disk, dir string, options seglog.Options) {
	t.Helper()
	dir = t.TempDir()
	disk, err := vfs.OpenDisk(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = disk.Close() })
	options = small()
	options.Elapsed = func() time.Duration { return time.Minute }
	l := openLog(t, disk, options)
	_, err = l.Account("events")
	appendFrom(t, l, "app", 20, 1)
	if err := errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
	return disk, filepath.Join(dir, "queue"), options
}

// TestForeignSegmentIsNamed puts something with the name of a segment beside the others: a start
// names it, everything else is delivered, new events are accepted, and offline it is named, too.
func TestForeignSegmentIsNamed(t *testing.T) {
	for what, plant := range foreign {
		for _, id := range []string{"0000000000000002", "0000000000000099"} {
			t.Run(what+" as "+id, func(t *testing.T) {
				disk, dir, options := foreignLog(t)
				segment := filepath.Base(liveSegment(t, disk))
				name := filepath.Join(dir, strings.Replace(segment, strings.TrimSuffix(segment,
					filepath.Ext(segment)), id, 1))
				if err := plant(name); err != nil {
					t.Fatal(err)
				}
				verified, err := seglog.Verify(t.Context(), disk, nil, "queue", nil)
				if err != nil || verified.Events != 20 || len(verified.Damage) != 1 ||
					!strings.Contains(verified.Damage[0].Error(), what) {
					t.Errorf("verified %+v, %v", verified, err)
				}
				for life := range 2 {
					l := openLog(t, disk, options)
					damage := l.Stats().Damage
					if len(damage) != 1 || !strings.Contains(damage[0].Error(), what) ||
						!strings.Contains(damage[0].Error(), id) {
						t.Errorf("damage %v", damage)
					}
					appendFrom(t, l, "app", 5, uint64(2+life))
					deliveries, err := leaseAll(l)
					if err != nil || len(deliveries) != 20+5*(life+1) {
						t.Errorf("%d events are handed out, %v", len(deliveries), err)
					}
					if err := l.Close(); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := os.Lstat(name); err != nil {
					t.Errorf("it was not left as it is: %v", err)
				}
			})
		}
	}
}

// TestForeignStateIsNamed: one file of a delivery state is enough; without any, the start is
// refused with a name, and a repair mends it.
func TestForeignStateIsNamed(t *testing.T) {
	for what, plant := range foreign {
		t.Run(what, func(t *testing.T) {
			disk, dir, options := foreignLog(t)
			states, err := filepath.Glob(filepath.Join(dir, "events.*.state"))
			if err != nil || len(states) == 0 {
				t.Fatal(states, err)
			}
			for _, slot := range []string{"events.0.state", "events.1.state"} {
				name := filepath.Join(dir, slot)
				if err := errors.Join(os.RemoveAll(name), plant(name)); err != nil {
					t.Fatal(err)
				}
			}
			_, err = seglog.Open(disk, "queue", options)
			if !errors.Is(err, pillarbox.ErrCorrupt) || !strings.Contains(err.Error(), what) ||
				!strings.Contains(err.Error(), "queue repair") {
				t.Errorf("opened: %v", err)
			}
			if _, err := seglog.Repair(t.Context(), disk, nil, "queue"); err != nil {
				t.Fatal(err)
			}
			l := openLog(t, disk, options)
			if deliveries, err := leaseAll(l); err != nil || len(deliveries) != 20 {
				t.Errorf("%d events are handed out after the repair, %v", len(deliveries), err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestForeignFileBesideTheLogIsPassed: what is not needed is not waited for.
func TestForeignFileBesideTheLogIsPassed(t *testing.T) {
	for what, plant := range foreign {
		for _, name := range []string{"ages.json", "quarantine/0000000000000001-0.damage.json",
			"0000000000000077.log.tmp", "events.0.state.tmp", "events.1.state.tmp"} {
			t.Run(what+" as "+name, func(t *testing.T) {
				disk, dir, options := foreignLog(t)
				at := filepath.Join(dir, name)
				if err := errors.Join(os.RemoveAll(at), os.MkdirAll(filepath.Dir(at), 0o700),
					plant(at)); err != nil {
					t.Fatal(err)
				}
				l := openLog(t, disk, options)
				deliveries, err := leaseAll(l)
				if err != nil || len(deliveries) != 20 {
					t.Errorf("%d events are handed out, %v", len(deliveries), err)
				}
				if err := l.Close(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
