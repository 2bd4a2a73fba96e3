package seglog

import (
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"os"
	"path"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/vfs"
	"pillarbox/internal/vfs/faultfs"
)

// twoLives is a log with two segments, and a delivery state with a delta.
func twoLives(t *testing.T) *faultfs.FS {
	t.Helper()
	disk := faultfs.New(faultfs.Options{})
	for range 2 {
		log, err := Open(disk, "queue", Options{SegmentBytes: MinSegmentBytes, MinFreeBytes: 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := log.Append(context.Background(), enginetest.Events(3, 1)); err != nil {
			t.Fatal(err)
		}
		got, err := log.Lease(context.Background(), "events", pillarbox.LeaseLimits{MaxEvents: 1})
		if err == nil {
			err = log.Settle(context.Background(), "events",
				[]pillarbox.Outcome{{Handle: got[0].Handle, Kind: pillarbox.OutcomeStored}})
		}
		if err := errors.Join(err, log.Close()); err != nil {
			t.Fatal(err)
		}
	}
	unfinished := path.Join("queue", "spare-0000000000000001"+vfs.TempSuffix)
	if err := vfs.WriteFile(disk, unfinished, []byte("not finished")); err != nil {
		t.Fatal(err)
	}
	return disk
}

// content is every file of the log.
func content(t *testing.T, disk vfs.FS) map[string]string {
	t.Helper()
	files := map[string]string{}
	entries, err := disk.ReadDir("queue")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.Dir {
			files[entry.Name] = "directory"
			continue
		}
		b, err := vfs.ReadFile(disk, path.Join("queue", entry.Name), 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		files[entry.Name] = string(b)
	}
	return files
}

// renumber gives sound bytes of a file another version, with the checksum that belongs to it.
func renumber(t *testing.T, disk vfs.FS, name string, offset, version, sum int64) {
	t.Helper()
	file, err := disk.OpenFile(path.Join("queue", name), os.O_RDWR)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	b := make([]byte, sum+4)
	if _, err := file.ReadAt(b, offset); err != nil {
		t.Fatal(err)
	}
	if binary.LittleEndian.Uint32(b[sum:]) != checksum(b[:sum]) {
		t.Fatalf("%s has nothing sound at %d", name, offset)
	}
	b[version] = boxedVersion + 1
	binary.LittleEndian.PutUint32(b[sum:], checksum(b[:sum]))
	if _, err := file.WriteAt(b, offset); err != nil {
		t.Fatal(err)
	}
}

func newerHeader(name string) func(*testing.T, vfs.FS) {
	return func(t *testing.T, disk vfs.FS) {
		renumber(t, disk, name, 0, 8, headerBytes-4)
		renumber(t, disk, name, headerBytes, 8, headerBytes-4)
	}
}

func newerFrame(name string, offset int64) func(*testing.T, vfs.FS) {
	return func(t *testing.T, disk vfs.FS) { renumber(t, disk, name, offset, 5, frameHeaderBytes-4) }
}

const (
	firstSegment  = "0000000000000001.seg"
	secondSegment = "0000000000000002.seg"
)

// newerVersions are all the ways in which a newer version may have left its mark on a directory.
var newerVersions = map[string]struct {
	change func(*testing.T, vfs.FS)
	opens  bool // the start does not come by it
}{
	"the newest segment":            {newerHeader(secondSegment), false},
	"an older segment":              {newerHeader(firstSegment), false},
	"a frame of the newest segment": {newerFrame(secondSegment, dataStart), false},
	"a frame of an older segment":   {newerFrame(firstSegment, dataStart), true},
	"the newer delivery state":      {newerFrame("events.1.state", 0), false},
	"the older delivery state":      {newerFrame("events.0.state", 0), false},
	"both delivery states": {func(t *testing.T, disk vfs.FS) {
		newerFrame("events.0.state", 0)(t, disk)
		newerFrame("events.1.state", 0)(t, disk)
	}, false},
	"a delta of the delivery state": {newerFrame("events.1.state", sectorBytes), false},
}

// TestNewerFormatIsRefusedAndNotTouched: what a newer version has written is no damage. Whoever
// meets it says so and what to do, and leaves every byte as it is.
func TestNewerFormatIsRefusedAndNotTouched(t *testing.T) {
	ctx := context.Background()
	calls := map[string]func(vfs.FS) error{
		"open": func(disk vfs.FS) error {
			log, err := Open(disk, "queue", Options{SegmentBytes: MinSegmentBytes, MinFreeBytes: 1})
			if err == nil {
				err = errors.Join(errors.New("it was opened"), log.Close())
			}
			return err
		},
		"open to look": func(disk vfs.FS) error {
			log, err := Open(disk, "queue", Options{ReadOnly: true})
			if err == nil {
				err = errors.Join(errors.New("it was opened"), log.Close())
			}
			return err
		},
		"verify": func(disk vfs.FS) error { _, err := Verify(ctx, disk, nil, "queue", nil); return err },
		"repair": func(disk vfs.FS) error { _, err := Repair(ctx, disk, nil, "queue"); return err },
		"forget": func(disk vfs.FS) error { return Forget(disk, "queue", "events") },
	}
	for name, newer := range newerVersions {
		for call, refuse := range calls {
			t.Run(name+", "+call, func(t *testing.T) {
				if newer.opens && strings.HasPrefix(call, "open") ||
					call == "forget" && !strings.Contains(name, "state") {
					t.Skip("it does not look there")
				}
				disk := twoLives(t)
				newer.change(t, disk)
				before := content(t, disk)
				err := refuse(disk)
				if !errors.Is(err, pillarbox.ErrInvalid) ||
					!strings.Contains(err.Error(), "written in a newer format; use the version of pillarbox that wrote it") {
					t.Errorf("%v, want a refusal", err)
				}
				if after := content(t, disk); !maps.Equal(before, after) {
					t.Errorf("something was changed: %d files before, %d after", len(before), len(after))
				}
			})
		}
	}
}

// TestNewerFrameIsNotPassedOver: a server that meets one in the middle of its queue delivers
// nothing behind it, and counts nothing as lost.
func TestNewerFrameIsNotPassedOver(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	options := Options{SegmentBytes: MinSegmentBytes, MinFreeBytes: 1}
	for range 2 {
		log, err := Open(disk, "queue", options)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(log.Append(context.Background(), enginetest.Events(3, 1)), log.Close()); err != nil {
			t.Fatal(err)
		}
	}
	newerFrame(firstSegment, dataStart)(t, disk)
	log, err := Open(disk, "queue", options)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if _, err := log.Account("events"); err != nil {
		t.Fatal(err)
	}
	got, err := log.Lease(context.Background(), "events", pillarbox.LeaseLimits{MaxEvents: 10})
	if len(got) != 0 || !errors.Is(err, pillarbox.ErrInvalid) {
		t.Errorf("%d deliveries, %v, want a refusal", len(got), err)
	}
	account, err := log.Account("events")
	if err != nil || account.Damaged != 0 || account.Pending != 6 || len(log.Stats().Damage) != 0 {
		t.Errorf("account %+v, %v, stats %+v", account, err, log.Stats())
	}
}
