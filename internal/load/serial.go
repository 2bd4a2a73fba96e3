package load

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"time"
)

// Serial stands in a request for a number that no other request of this process has, such as in an
// idempotency key.
const Serial = "@@@@serial@@@@@@"

// serials counts requests. It begins with the time, so that another process has other numbers.
var serials = func() *atomic.Uint64 {
	n := new(atomic.Uint64)
	n.Store(uint64(time.Now().UnixNano()))
	return n
}()

// serial gives a request that asks for it a number of its own, in the memory of a connection.
func (o *Options) serial(own []byte) []byte {
	at := bytes.Index(o.Request, []byte(Serial))
	if at < 0 {
		return o.Request
	}
	own = append(own[:0], o.Request...)
	copy(own[at:], fmt.Sprintf("%016x", serials.Add(1)))
	return own
}
