package benchmark

import (
	"os"
	"syscall"
)

func syncData(file *os.File) error {
	return os.NewSyscallError("fdatasync", syscall.Fdatasync(int(file.Fd())))
}
