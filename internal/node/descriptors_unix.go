//go:build unix

package node

import (
	"math"
	"os"
	"syscall"
)

// descriptors is the limit of descriptors of this process, which Go has raised to the hard one, and
// how many are open.
func descriptors() (limit, open int, known bool) {
	var rlimit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &rlimit) != nil {
		return 0, 0, false
	}
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		return 0, 0, false
	}
	return int(min(uint64(rlimit.Cur), math.MaxInt32)), len(entries), true
}
