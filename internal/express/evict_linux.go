package express

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"pillarbox/internal/admission"
)

// victim is a connection of the loop that rested when it was looked at.
type victim struct {
	conn  *conn
	since int64
}

// Bounds of looking for the connections that rest: a look goes through all connections, so there are few of them, and each
// finds some.
const (
	maxVictims = 256
	evictPause = 100 * time.Millisecond
)

// newcomerWaits reports whether somebody waits to be accepted.
func (l *loop) newcomerWaits() bool {
	ready := []unix.PollFd{{Fd: int32(l.listener), Events: unix.POLLIN}}
	n, err := unix.Poll(ready, 0)
	return err == nil && n > 0
}

// evict closes the connection that has rested for the longest time, be it here or handed over, to make room for a newcomer.
// Those of other loops stay: there is more than one only in tests.
func (l *loop) evict() bool {
	if len(l.victims) == 0 && l.mono >= l.evictAt {
		l.evictAt = l.mono + int64(evictPause)
		l.findVictims()
	}
	for len(l.victims) > 0 {
		next := l.victims[len(l.victims)-1]
		if since, ok := l.server.idle.Longest(); ok && int64(since.Sub(l.start)) < next.since && l.evictMoved() {
			return true
		}
		l.victims = l.victims[:len(l.victims)-1]
		if since, rests := l.rests(next.conn); rests && since == next.since && silent(next.conn.fd) {
			l.closeConn(next.conn)
			l.opts.Closed(admission.ForRoom)
			return true
		}
	}
	return l.evictMoved()
}

func (l *loop) evictMoved() bool {
	if !l.server.idle.Evict(l.now) {
		return false
	}
	l.opts.Closed(admission.ForRoom)
	return true
}

// findVictims looks at all connections, and keeps those that have rested for the longest time.
func (l *loop) findVictims() {
	l.victims = l.victims[:0]
	for _, c := range l.conns {
		if since, rests := l.rests(c); rests && l.mono-since >= int64(admission.LeastIdle) {
			l.victims = append(l.victims, victim{c, since})
		}
	}
	slices.SortFunc(l.victims, func(a, b victim) int { return int(max(-1, min(1, b.since-a.since))) })
	if over := len(l.victims) - maxVictims; over > 0 {
		l.victims = slices.Delete(l.victims, 0, over)
	}
}

// rests reports whether a connection waits for its next request, with nothing of it there and nothing to be written, and
// since when.
func (l *loop) rests(c *conn) (since int64, ok bool) {
	if c == nil || c.fd < 0 || c.touched || c.waits || c.readable || c.lingering || c.dead || c.ending != stays || len(c.in) > 0 || len(c.out) > 0 {
		return 0, false
	}
	if c.fresh {
		return c.deadline - int64(l.opts.ReadHeaderTimeout), true
	}
	return c.deadline - int64(l.opts.IdleTimeout), true
}

// silent reports whether nothing has come that was not read yet.
func silent(fd int) bool {
	var one [1]byte
	_, _, err := unix.Recvfrom(fd, one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return err == unix.EAGAIN
}
