package benchmark

import (
	"fmt"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
)

// tick is the unit of times of processes, which Linux fixes for programs at 100 a second.
const tick = 10 * time.Millisecond

// childAttributes let a child end with its parent, however that ends.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// UsageOf adds up a process and its children, those that are gone included.
func UsageOf(pid int) (Usage, error) {
	processes, err := procfs.AllProcs()
	if err != nil {
		return Usage{}, err
	}
	stats := map[int]procfs.ProcStat{}
	for _, process := range processes {
		if stat, err := process.Stat(); err == nil { // else it ended meanwhile
			stats[process.PID] = stat
		}
	}
	if _, ok := stats[pid]; !ok {
		return Usage{}, fmt.Errorf("process %d is gone", pid)
	}
	var total Usage
	for number, stat := range stats {
		if !descends(stats, number, pid) {
			continue
		}
		own := time.Duration(stat.UTime+stat.STime) * tick
		waited := time.Duration(stat.CUTime+stat.CSTime) * tick // of children that are gone
		total.CPU += own + waited
		resident, peak := memoryOf(number)
		total.Resident += resident
		total.Peak += peak
	}
	return total, nil
}

// descends follows the parents. No chain is longer than the table, which may have changed while it
// was read.
func descends(stats map[int]procfs.ProcStat, pid, root int) bool {
	for range len(stats) {
		if pid == root {
			return true
		}
		stat, ok := stats[pid]
		if !ok {
			return false
		}
		pid = stat.PPID
	}
	return false
}

// memoryOf reads the resident memory now and at its highest. A process that ended meanwhile has
// none.
func memoryOf(pid int) (resident, peak uint64) {
	process, err := procfs.NewProc(pid)
	if err != nil {
		return 0, 0
	}
	if status, err := process.NewStatus(); err == nil {
		resident, peak = status.VmRSS, status.VmHWM
	}
	// The kernel does not tell everybody.
	if rollup, err := process.ProcSMapsRollup(); err == nil && rollup.Pss > 0 {
		resident = rollup.Pss
	}
	return resident, peak
}
