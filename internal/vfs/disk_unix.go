//go:build unix

package vfs

import (
	"errors"
	"os"
	"syscall"
)

func lock(file *os.File) error {
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrLocked
	}
	return err
}

func usage(dir string) (Usage, error) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		return Usage{}, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	block := int64(stat.Bsize)
	return Usage{
		Free: int64(stat.Bavail) * block, Total: int64(stat.Blocks) * block,
		FreeFiles: int64(stat.Ffree), TotalFiles: int64(stat.Files),
	}, nil
}
