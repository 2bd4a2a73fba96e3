package express

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"pillarbox/internal/admission"
)

// candidate is a connection of the loop that rested when it was looked at.
type candidate struct {
	conn  *conn
	since int64
}

// Bounds of looking for the connections that rest: a look goes through all connections, so there
// are few looks, and each finds some.
const (
	maxCandidates = 256
	evictPause    = 100 * time.Millisecond
)

// someonePending reports whether a connection waits to be accepted.
func (l *loop) someonePending() bool {
	var ready []unix.PollFd
	for _, on := range l.accepts {
		ready = append(ready, unix.PollFd{Fd: int32(on.fd), Events: unix.POLLIN})
	}
	n, err := unix.Poll(ready, 0)
	return err == nil && n > 0
}

// evict closes the connection that has rested for the longest time, be it here or handed over, to
// make room for a pending one. Those of other loops stay: there is more than one only in tests.
func (l *loop) evict() bool {
	if len(l.candidates) == 0 && l.mono >= l.evictAt {
		l.evictAt = l.mono + int64(evictPause)
		l.findCandidates()
	}
	for len(l.candidates) > 0 {
		next := l.candidates[len(l.candidates)-1]
		if since, ok := l.server.idle.Longest(); ok && int64(since.Sub(l.start)) < next.since &&
			l.evictHanded() {
			return true
		}
		l.candidates = l.candidates[:len(l.candidates)-1]
		if since, rests := l.rests(next.conn); rests && since == next.since && !unread(next.conn.fd) {
			l.closeConn(next.conn)
			l.opts.Closed(admission.ForRoom)
			return true
		}
	}
	return l.evictHanded()
}

func (l *loop) evictHanded() bool {
	if !l.server.idle.Evict(l.now) {
		return false
	}
	l.opts.Closed(admission.ForRoom)
	return true
}

// findCandidates looks at all connections, and keeps those that have rested for the longest time.
func (l *loop) findCandidates() {
	l.candidates = l.candidates[:0]
	for _, c := range l.conns {
		if since, rests := l.rests(c); rests && l.mono-since >= int64(admission.LeastIdle) {
			l.candidates = append(l.candidates, candidate{c, since})
		}
	}
	slices.SortFunc(l.candidates,
		func(a, b candidate) int { return int(max(-1, min(1, b.since-a.since))) })
	if over := len(l.candidates) - maxCandidates; over > 0 {
		l.candidates = slices.Delete(l.candidates, 0, over)
	}
}

// rests reports whether a connection waits for its next request, with nothing of it there and
// nothing to be written, and since when.
func (l *loop) rests(c *conn) (since int64, ok bool) {
	if c == nil || c.inTurn || c.queued || c.input.ready() {
		return 0, false
	}
	switch c.state {
	case stateFresh:
		return c.deadline - int64(l.opts.ReadHeaderTimeout), true
	case stateIdle:
		return c.deadline - int64(l.opts.IdleTimeout), true
	}
	return 0, false
}

// unread reports whether something has come that was not read yet.
func unread(fd int) bool {
	var one [1]byte
	_, _, err := unix.Recvfrom(fd, one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return err != unix.EAGAIN
}
