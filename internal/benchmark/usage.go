package benchmark

import "time"

// Usage is what a process and its children have used. All of it is zero where the system does not
// tell.
type Usage struct {
	CPU      time.Duration // user and system
	Resident uint64        // bytes; of a page that processes share, each has its part
	Peak     uint64        // bytes; the highest of each process, added up, with shared pages counted for each
}
