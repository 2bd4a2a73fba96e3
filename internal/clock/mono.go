package clock

import "time"

// begun is when the process began; its monotonic part measures.
var begun = time.Now()

func mono() time.Duration { return time.Since(begun) }
