package benchmark

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// tick is the unit of times in /proc/PID/stat, which Linux fixes for programs at 100 a second.
const tick = 10 * time.Millisecond

// childAttributes let a child end with its parent, however that ends.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// stat is a line of /proc/PID/stat, as far as it is needed.
type stat struct {
	parent int
	own    time.Duration // user and system
	waited time.Duration // of children that are gone
}

// UsageOf adds up a process and its children, those that are gone included.
func UsageOf(pid int) (Usage, error) {
	names, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return Usage{}, err
	}
	stats := map[int]stat{}
	for _, name := range names {
		number, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err != nil {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it ended meanwhile
		}
		if s, ok := parseStat(text); ok {
			stats[number] = s
		}
	}
	if _, ok := stats[pid]; !ok {
		return Usage{}, fmt.Errorf("process %d is gone", pid)
	}
	var total Usage
	for number, s := range stats {
		if !descends(stats, number, pid) {
			continue
		}
		total.CPU += s.own + s.waited
		resident, peak := memoryOf(number)
		total.Resident += resident
		total.Peak += peak
	}
	return total, nil
}

// descends follows the parents. No chain is longer than the table, which may have changed while it was read.
func descends(stats map[int]stat, pid, root int) bool {
	for range len(stats) {
		if pid == root {
			return true
		}
		s, ok := stats[pid]
		if !ok {
			return false
		}
		pid = s.parent
	}
	return false
}

// parseStat reads what follows the name, which may itself hold spaces and brackets.
func parseStat(text []byte) (s stat, ok bool) {
	end := bytes.LastIndexByte(text, ')')
	if end < 0 {
		return s, false
	}
	fields := bytes.Fields(text[end+1:])
	if len(fields) < 15 {
		return s, false
	}
	number := func(i int) int64 {
		n, err := strconv.ParseInt(string(fields[i]), 10, 64)
		ok = ok && err == nil
		return n
	}
	ok = true
	s.parent = int(number(1))
	s.own = time.Duration(number(11)+number(12)) * tick
	s.waited = time.Duration(number(13)+number(14)) * tick
	return s, ok
}

// memoryOf reads the resident memory now and at its highest. A process that ended meanwhile has none.
func memoryOf(pid int) (resident, peak uint64) {
	status := kilobytes(fmt.Sprintf("/proc/%d/status", pid), "VmRSS:", "VmHWM:")
	resident, peak = status["VmRSS:"], status["VmHWM:"]
	// The kernel does not tell everybody.
	if share, ok := kilobytes(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss:")["Pss:"]; ok {
		resident = share
	}
	return resident, peak
}

// kilobytes reads lines "name: 5 kB" of a file, in bytes.
func kilobytes(file string, names ...string) map[string]uint64 {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	found := map[string]uint64{}
	for line := range bytes.Lines(text) {
		fields := bytes.Fields(line)
		if len(fields) < 2 || !slices.Contains(names, string(fields[0])) {
			continue
		}
		if n, err := strconv.ParseUint(string(fields[1]), 10, 64); err == nil {
			found[string(fields[0])] = n << 10
		}
	}
	return found
}
