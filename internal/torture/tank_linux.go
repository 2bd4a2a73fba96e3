package torture

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// canMount reports whether this process may mount a file system: as root, or as root of a namespace
// of its own.
func canMount() bool { return os.Geteuid() == 0 }

func mountMemory(dir string, bytes int64) error {
	return syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_NODEV|syscall.MS_NOSUID,
		fmt.Sprintf("size=%d,mode=700", bytes))
}

// unmountBound is how long the kernel may hold a file system whose only user has been killed.
const unmountBound = 20 * time.Second

// unmount waits while the kernel still works for the process that was killed.
func unmount(dir string) error {
	deadline := time.Now().Add(unmountBound)
	for {
		err := syscall.Unmount(dir, 0)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EBUSY) || time.Now().After(deadline) {
			return fmt.Errorf("unmount %s: %w", dir, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// AsRootOfNamespace makes a command the root of a user namespace and a mount namespace of its own,
// in which it may mount disks of memory, and nothing else that matters. Kernels can be set up to
// refuse that; the command's start then fails.
func AsRootOfNamespace(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	return nil
}
