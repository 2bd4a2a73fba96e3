package benchmark

import (
	"path/filepath"
	"strings"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// ask finds out what the system tells.
func (m *Machine) ask(dir string) {
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	m.FileSystem = fileSystemOf(dir)
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return
	}
	if processors, err := proc.CPUInfo(); err == nil && len(processors) > 0 {
		m.Processor = processors[0].ModelName
	}
	if memory, err := proc.Meminfo(); err == nil && memory.MemTotalBytes != nil {
		m.Memory = *memory.MemTotalBytes
	}
	if load, err := proc.LoadAvg(); err == nil {
		m.Load = load.Load1
	}
}

// fileSystemOf finds the mount with the longest path above the directory.
func fileSystemOf(dir string) string {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return ""
	}
	mounts, err := procfs.GetMounts()
	if err != nil {
		return ""
	}
	var found, point string
	for _, mount := range mounts {
		at := mount.MountPoint
		if len(at) >= len(point) && (at == "/" || dir == at || strings.HasPrefix(dir, at+"/")) {
			found, point = mount.FSType, at
		}
	}
	return found
}
