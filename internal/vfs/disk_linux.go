package vfs

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// datasync flushes content and size, and the metadata needed to read them back, but no time stamps
// (fdatasync(2)).
func datasync(file *os.File) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var syncErr error
	err = conn.Control(func(fd uintptr) {
		for {
			syncErr = syscall.Fdatasync(int(fd))
			if syncErr != syscall.EINTR {
				return
			}
		}
	})
	if err := errors.Join(err, syncErr); err != nil {
		return fmt.Errorf("fdatasync %s: %w", file.Name(), err)
	}
	return nil
}

// syncFileSystem makes the whole file system of an open directory durable (syncfs(2)). Since Linux
// 5.8 it reports what could not be written since the directory was opened; where the kernel is
// older, it is not used.
func syncFileSystem(dir *os.File) (done bool, err error) {
	if !syncfsTells() {
		return false, nil
	}
	conn, err := dir.SyscallConn()
	if err != nil {
		return true, err
	}
	var syncErr error
	err = conn.Control(func(fd uintptr) {
		for {
			syncErr = unix.Syncfs(int(fd))
			if syncErr != syscall.EINTR {
				return
			}
		}
	})
	if err := errors.Join(err, syncErr); err != nil {
		return true, fmt.Errorf("syncfs %s: %w", dir.Name(), err)
	}
	return true, nil
}

var syncfsTells = sync.OnceValue(func() bool {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return false
	}
	var major, minor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major,
		&minor); err != nil {
		return false
	}
	return major > 5 || major == 5 && minor >= 8
})

// dontNeed gives the clean pages of a file back (posix_fadvise(2)).
func dontNeed(file *os.File) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var adviseErr error
	err = conn.Control(func(fd uintptr) {
		adviseErr = unix.Fadvise(int(fd), 0, 0, unix.FADV_DONTNEED)
	})
	return errors.Join(err, adviseErr)
}

// directAlign is what O_DIRECT wants addresses, offsets and lengths to be multiples of, on every
// disk that is in use.
const directAlign = 4096

// directZeros is memory for it that nobody writes to.
var directZeros = sync.OnceValue(func() []byte {
	b := make([]byte, zeroChunk+directAlign)
	skip := -uintptr(unsafe.Pointer(&b[0])) % directAlign
	return b[skip : skip+zeroChunk]
})

// directWrites says whether writes to a file go past the page cache (O_DIRECT). They cost a fifth
// of the processor time, and don't push anything out of the cache. It is not safe for concurrent
// use.
type directWrites struct{ on, impossible bool }

// begin returns n zeros to be written directly, or nil where that is not possible.
func (d *directWrites) begin(file *os.File, n int64) []byte {
	if n%directAlign != 0 || d.impossible {
		return nil
	}
	if !d.on {
		// A file system may refuse it now, as tmpfs does, and then everything is as it was.
		if d.impossible = setFlags(file, syscall.O_DIRECT, 0) != nil; d.impossible {
			return nil
		}
		d.on = true
	}
	return directZeros()[:n]
}

func (d *directWrites) end(file *os.File) error {
	if !d.on {
		return nil
	}
	d.on = false
	return setFlags(file, 0, syscall.O_DIRECT)
}

// setFlags changes the status flags of an open file (fcntl(2), F_SETFL).
func setFlags(file *os.File, set, clear int) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var errno syscall.Errno
	err = conn.Control(func(fd uintptr) {
		var flags uintptr
		if flags, _, errno = syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_GETFL, 0); errno == 0 {
			_, _, errno = syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_SETFL,
				flags&^uintptr(clear)|uintptr(set))
		}
	})
	if errno != 0 {
		err = errors.Join(err, errno)
	}
	return err
}
