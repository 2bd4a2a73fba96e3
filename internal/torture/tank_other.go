//go:build !linux

package torture

import (
	"errors"
	"os/exec"
	"syscall"
)

var errLinuxOnly = errors.New("disks of memory need Linux")

func canMount() bool { return false }

func mountMemory(string, int64) error { return errLinuxOnly }

func unmount(string) error { return errLinuxOnly }

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// AsRootOfNamespace is possible on Linux only.
func AsRootOfNamespace(*exec.Cmd) error { return errLinuxOnly }
