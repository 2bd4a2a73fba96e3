package benchmark

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// Machine is where a run took place. What the system does not tell is empty.
type Machine struct {
	Processor  string `json:"processor"`
	Cores      int    `json:"cores"`
	Memory     uint64 `json:"memory_bytes"`
	System     string `json:"system"`
	Kernel     string `json:"kernel"`
	FileSystem string `json:"file_system"` // of the data
	Go         string `json:"go"`
	// Load is the average number of processes that wanted to run in the minute before: others who share the machine.
	Load float64 `json:"load_before"`
}

// ThisMachine describes the machine for a run in a directory.
func ThisMachine(dir string) Machine {
	m := Machine{Cores: runtime.NumCPU(), System: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version()}
	m.Processor = fieldOf("/proc/cpuinfo", "model name")
	kilobytes, _ := strconv.ParseUint(strings.TrimSuffix(fieldOf("/proc/meminfo", "MemTotal"), " kB"), 10, 64)
	m.Memory = kilobytes << 10
	m.Kernel = firstWord("/proc/sys/kernel/osrelease")
	m.Load, _ = strconv.ParseFloat(firstWord("/proc/loadavg"), 64)
	m.FileSystem = fileSystemOf(dir)
	return m
}

// fieldOf finds the first line "name : value" of a file.
func fieldOf(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range bytes.Lines(text) {
		key, value, ok := bytes.Cut(line, []byte(":"))
		if ok && string(bytes.TrimSpace(key)) == name {
			return string(bytes.TrimSpace(value))
		}
	}
	return ""
}

func firstWord(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	word, _, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	return word
}

// fileSystemOf finds the mount with the longest path above the directory.
func fileSystemOf(dir string) string {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return ""
	}
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return ""
	}
	var found, point string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 3 || len(fields[1]) < len(point) {
			continue
		}
		if fields[1] == "/" || dir == fields[1] || strings.HasPrefix(dir, fields[1]+"/") {
			found, point = fields[2], fields[1]
		}
	}
	return found
}
