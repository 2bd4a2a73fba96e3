package load

import (
	"bytes"
	"sync/atomic"
	"time"
)

// Serial stands in a request for a number in hexadecimal, such as in an idempotency key: one that no
// other request of this process has, or one of Options.Serials.
const Serial = "@@@@serial@@@@@@"

// Serials are numbers from 0 to below Count, again and again, in steps. With a step that has no
// divisor in common with Count all of them come, far apart from each other. Methods may be called
// concurrently.
type Serials struct {
	Count uint64 // at least 1
	Step  uint64

	asked atomic.Uint64
}

func (s *Serials) next() uint64 { return (s.asked.Add(1) - 1) * s.Step % s.Count }

// serials counts requests. It begins with the time, so that another process has other numbers.
var serials = func() *atomic.Uint64 {
	n := new(atomic.Uint64)
	n.Store(uint64(time.Now().UnixNano()))
	return n
}()

// serial gives a request that asks for it a number of its own, in the memory of a connection, which
// is empty the first time.
func (o *Options) serial(own []byte) []byte {
	if o.serialAt < 0 {
		return o.Request
	}
	if len(own) == 0 {
		own = bytes.Clone(o.Request)
	}
	n := uint64(0)
	if o.Serials != nil {
		n = o.Serials.next()
	} else {
		n = serials.Add(1)
	}
	const digits = "0123456789abcdef"
	for i := len(Serial) - 1; i >= 0; i-- {
		own[o.serialAt+i] = digits[n&15]
		n >>= 4
	}
	return own
}
