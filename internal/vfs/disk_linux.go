package vfs

import (
	"errors"
	"fmt"
	"os"
	"syscall"
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
