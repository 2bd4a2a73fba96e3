//go:build unix

package vfs

import "golang.org/x/sys/unix"

// Linked implements File. A file that was removed or replaced has no link left (fstat(2)).
func (f *diskFile) Linked() (bool, error) {
	conn, err := f.file.SyscallConn()
	if err != nil {
		return false, err
	}
	var stat unix.Stat_t
	var statErr error
	if err := conn.Control(func(fd uintptr) { statErr = unix.Fstat(int(fd), &stat) }); err != nil {
		return false, err
	}
	return stat.Nlink > 0, statErr
}
