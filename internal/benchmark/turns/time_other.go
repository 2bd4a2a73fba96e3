//go:build !unix

package turns

import "time"

var begin = time.Now()

// ProcessorTime is the time that has passed, as this system does not tell what a process has used.
func ProcessorTime() time.Duration { return time.Since(begin) }
