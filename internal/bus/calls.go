package bus

import (
	"context"
	"sync"
	"time"
)

// defaultTime is how long a call takes at most that has no deadline.
const defaultTime = 30 * time.Second

// Calls are the calls of a sink that are under way: Close cuts them off and waits for them. All
// methods may be called concurrently.
type Calls struct {
	closing context.Context // ended by Close; here to be merged with the context of a call
	end     context.CancelFunc

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
}

// NewCalls makes an empty one.
func NewCalls() *Calls {
	c := &Calls{}
	c.closing, c.end = context.WithCancel(context.Background())
	return c
}

// Begin begins a call, and reports whether the sink is still open. The context ends at the deadline of
// ctx, or after 30 s where it has none, and with Close. done must be called where the sink is open.
func (c *Calls) Begin(ctx context.Context) (limited context.Context, done func(), open bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ctx, nil, false
	}
	c.running.Add(1)
	var cancel context.CancelFunc
	if _, hasDeadline := ctx.Deadline(); hasDeadline {
		limited, cancel = context.WithCancel(ctx)
	} else {
		limited, cancel = context.WithTimeout(ctx, defaultTime)
	}
	stop := context.AfterFunc(c.closing, cancel)
	return limited, func() { stop(); cancel(); c.running.Done() }, true
}

// Closing reports whether Close was called.
func (c *Calls) Closing() bool { return c.closing.Err() != nil }

// Close ends the contexts of all calls and waits for them. No other one begins. It is safe to call
// twice.
func (c *Calls) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.end()
	c.running.Wait()
}
