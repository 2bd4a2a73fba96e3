package clock

import (
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// bootID changes with each boot (proc(5)).
var bootID = sync.OnceValue(func() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
})

// read asks the system. CLOCK_BOOTTIME goes on while the machine is suspended (clock_gettime(2)).
func read() Reading {
	var since unix.Timespec
	r := Reading{Wall: time.Now().Round(0), Mono: mono()}
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &since) == nil {
		r.Boot, r.ID = time.Duration(since.Nano()), bootID()
	}
	return r
}
