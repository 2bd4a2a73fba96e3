package express

import (
	"sync"

	"golang.org/x/sys/unix"

	"pillarbox/internal/opening"
)

// inbox is how others reach a loop.
type inbox struct {
	mu      sync.Mutex // guards the fields below, and wakeup against being closed
	pending []pendingConn
	ended   bool // the loop has ended, and wakeup is closed
}

// pendingConn is an accepted connection that no loop has yet.
type pendingConn struct {
	fd      int
	addr    string
	counted string          // the address that it is counted under; empty for none
	secure  *opening.Secure // nil without TLS
}

// enqueue gives a connection to the loop, unless it has ended.
func (l *loop) enqueue(conn pendingConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return false
	}
	l.pending = append(l.pending, conn)
	l.notifyLocked()
	return true
}

// notify wakes the loop, from any goroutine.
func (l *loop) notify() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notifyLocked()
}

func (l *loop) notifyLocked() {
	if !l.ended {
		// where it can't count further, the loop is woken already
		_, _ = unix.Write(l.wakeup, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
}
