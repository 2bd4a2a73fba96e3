package torture

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"unsafe"
)

// disk is a file system in an image, and its mount.
type disk struct {
	fs      string
	base    string // directory of the two
	image   string
	dir     string // where it is mounted
	mounted bool
}

// makeDisk makes a file system below base, and mounts it.
func makeDisk(fs, base string, size int64) (*disk, error) {
	d := &disk{fs: fs, base: base, image: filepath.Join(base, "image"),
		dir: filepath.Join(base, "mount")}
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return nil, err
	}
	if err := errors.Join(os.WriteFile(d.image, nil, 0o600), os.Truncate(d.image, size)); err != nil {
		return nil, err
	}
	var err error
	switch fs {
	case "ext4":
		// Without this the kernel goes on making the file system after each mount.
		err = command("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0", d.image)
	case "xfs":
		err = command("mkfs.xfs", "-q", "-f", d.image)
	default:
		err = fmt.Errorf("file system %q: want ext4 or xfs", fs)
	}
	if err != nil {
		return nil, err
	}
	return d, d.mount()
}

func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %v: %w\n%s", name, args, err, out)
	}
	return nil
}

// mount attaches a loop device that goes away with the mount.
func (d *disk) mount() error {
	if err := command("mount", "-t", d.fs, "-o", "loop", d.image, d.dir); err != nil {
		return err
	}
	d.mounted = true
	return nil
}

func (d *disk) unmount() error {
	if !d.mounted {
		return nil
	}
	if err := unmount(d.dir); err != nil {
		return err
	}
	d.mounted = false
	return nil
}

// remove unmounts. The image is removed too, unless it is kept as evidence.
func (d *disk) remove(keep bool) error {
	if err := d.unmount(); err != nil || keep {
		return err // nothing may be removed below a mount
	}
	return errors.Join(os.Remove(d.image), os.Remove(d.dir))
}

// The request of linux/fs.h, which xfs knows as XFS_IOC_GOINGDOWN under the same number. The flag
// forbids to flush anything, the journal included.
const (
	ioctlShutdown = 0x8004587d
	noLogFlush    = 2
)

// shutDown ends the file system: what is not on the disk by now never will be.
func (d *disk) shutDown() error {
	dir, err := os.Open(d.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	flag := uint32(noLogFlush)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, dir.Fd(), ioctlShutdown,
		uintptr(unsafe.Pointer(&flag))); errno != 0 {
		return fmt.Errorf("shut down %s: %w", d.dir, errno)
	}
	// A shutdown that did nothing would make every cut a success.
	if err := os.WriteFile(filepath.Join(d.dir, "probe"), nil, 0o600); !errors.Is(err, syscall.EIO) {
		return fmt.Errorf("a file can be made after the cut: %w",
			errors.Join(err, errors.New("the shutdown did nothing")))
	}
	return nil
}
