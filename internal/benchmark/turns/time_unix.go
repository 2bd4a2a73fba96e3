//go:build unix

package turns

import (
	"syscall"
	"time"
)

// ProcessorTime is what this process has used so far, its garbage collector included. What else a
// machine does is not in it: a side that only computes, and nobody computes for, is measured by it.
func ProcessorTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic("turns: bug: the system does not tell what this process has used: " + err.Error())
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
