package torture

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"pillarbox/internal/vfs"
)

// maxTank bounds what is written to fill a disk that is not of memory.
const maxTank = 2 << 30

// ErrImpossible is matched by the error of a run that can't be made here.
var ErrImpossible = errors.New("not possible here")

// smallDisk is a small disk that can be filled.
type smallDisk struct {
	dir     string
	mounted bool
	disk    *vfs.Disk
	ballast string
}

// openSmallDisk mounts a disk of memory at dir where that is possible. Where it is not, dir itself
// must be on a small one.
func openSmallDisk(dir string, bytes int64) (*smallDisk, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	t := &smallDisk{dir: dir, ballast: filepath.Join(dir, "ballast")}
	if canMount() {
		if err := mountMemory(dir, bytes); err != nil {
			return nil, fmt.Errorf("mount a disk of memory at %s: %w", dir, err)
		}
		t.mounted = true
	}
	var err error
	if t.disk, err = vfs.OpenDisk(dir); err != nil {
		return nil, errors.Join(err, t.close())
	}
	usage, err := t.disk.Usage()
	switch {
	case err != nil:
		return nil, errors.Join(err, t.close())
	case usage.Free > max(maxTank, bytes):
		return nil, errors.Join(fmt.Errorf(
			"the disk at %s has %d MiB free, and would have to be filled to the last byte: name a directory on a file system of at most %d MiB, or run this as root, which mounts one of memory: %w",
			dir, usage.Free>>20, int64(maxTank>>20), ErrImpossible), t.close())
	case usage.Free < fillDiskBytes:
		return nil, errors.Join(fmt.Errorf("the disk at %s has %d MiB free, and %d are needed: %w", dir,
			usage.Free>>20, int64(fillDiskBytes>>20), ErrImpossible), t.close())
	}
	return t, nil
}

var blocks = [...][]byte{make([]byte, 1<<20), make([]byte, 4<<10), make([]byte, 1)}

// fill takes room until only leave is left.
func (d *smallDisk) fill(leave int64) error {
	file, err := os.OpenFile(d.ballast, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		if isFull(err) {
			return nil
		}
		return err
	}
	for _, block := range blocks {
		if err = d.pour(file, block, leave); err != nil {
			break
		}
	}
	return errors.Join(err, file.Close())
}

// pour writes blocks until the disk is full, or would have less than leave.
func (d *smallDisk) pour(file *os.File, block []byte, leave int64) error {
	for {
		usage, err := d.disk.Usage()
		if err != nil {
			return err
		}
		if usage.Free-int64(len(block)) < leave {
			return nil
		}
		if _, err := file.Write(block); err != nil {
			if isFull(err) {
				return nil
			}
			return err
		}
	}
}

// free gives the room back.
func (d *smallDisk) free() error {
	if err := os.Remove(d.ballast); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (d *smallDisk) close() error {
	var err error
	if d.disk != nil {
		err = errors.Join(d.free(), d.disk.Close())
	}
	if d.mounted {
		err = errors.Join(err, unmount(d.dir))
	}
	return err
}
