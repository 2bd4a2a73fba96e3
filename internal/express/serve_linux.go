package express

import (
	"golang.org/x/sys/unix"

	"pillarbox/internal/framing"
	"pillarbox/internal/source"
)

// adopt begins to watch a connection. Its first request is often there already, so it is read in
// this turn.
func (l *loop) adopt(pending pendingConn) {
	c := &conn{fd: pending.fd, addr: pending.addr, counted: pending.counted, secure: pending.secure,
		state: stateFresh, input: inputReady, trusted: l.opts.Trusted.Trusts(pending.addr)}
	if c.secure != nil {
		c.secure.Detach(c)
		c.certificate = source.CertificateOf(c.secure.TLS())
	}
	c.deadline = l.mono + int64(l.opts.ReadHeaderTimeout)
	if err := l.observe(c.fd, unix.EPOLLIN|unix.EPOLLOUT|unix.EPOLLRDHUP|unix.EPOLLET); err != nil {
		l.notWatched(c, err)
		return
	}
	for c.fd >= len(l.conns) {
		l.conns = append(l.conns, make([]*conn, max(64, len(l.conns)))...)
	}
	l.conns[c.fd] = c
	l.live++
	l.receive(c)
}

// socketReady is told that something has changed on the socket of c.
func (l *loop) socketReady(c *conn, events uint32) {
	c.dry = false
	switch {
	case events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0:
		c.input = inputEnding
	case events&unix.EPOLLIN != 0:
		c.input.wake()
	}
	if c.inTurn {
		l.queue(c) // its answers of this turn have to stand together
		return
	}
	l.receive(c)
}

// receive reads what has come on c and takes the requests that are complete. A client that does not
// read its answers is not read either.
func (l *loop) receive(c *conn) {
	l.join(c)
	if len(c.out) > 0 {
		l.flush(c)
	}
	switch {
	case len(c.out) > 0 || c.state == stateBroken:
		return
	case c.state == stateLingering:
		l.discard(c)
		return
	case c.state == stateBacklog:
		c.advance(eventResumed)
		c.used = l.take(c, c.in)
	}
	for c.state.reads() && c.input.ready() && c.used == 0 {
		if !l.read(c) {
			break
		}
	}
	l.conclude(c)
}

// read reads once. It returns false where there is no room for more.
func (l *loop) read(c *conn) bool {
	whole := len(c.in) == 0 // nothing is there yet: the arena will do
	var room []byte
	if whole {
		room = l.arena.room()
	} else {
		room = l.room(c)
	}
	if room == nil || l.full() {
		return false
	}
	n, errno := c.read(room)
	if c.secure != nil && c.secure.Waiting() {
		l.send(c, c.secure.Take())
	}
	switch {
	case errno == unix.EAGAIN:
		c.input = inputDrained
	case errno != 0:
		c.input = inputDrained
		if c.state != stateBroken {
			c.advance(eventFailed)
		}
	case n == 0:
		c.input = inputEnded
	default:
		if c.secure == nil && n < len(room) && c.input != inputEnding {
			c.input = inputDrained // a short read has emptied the socket (epoll(7))
		}
		l.arrived(c, room[:n], whole)
	}
	return true
}

// arrived takes what it can of what was read. The rest goes into the connection's own buffer.
func (l *loop) arrived(c *conn, b []byte, whole bool) {
	if whole {
		l.arena.keep(len(b))
		c.need, c.begun = 0, l.mono
		rest := b[l.take(c, b):]
		if len(rest) > 0 && !c.state.ends() {
			l.keep(c, rest)
		}
		return
	}
	c.in = c.in[:len(c.in)+len(b)]
	if len(c.in) < c.need {
		l.bodyArrived(c, len(b))
		return
	}
	c.used = l.take(c, c.in)
}

// bodyArrived counts what has come of a body. With enough, its time begins anew.
func (l *loop) bodyArrived(c *conn, n int) {
	if c.progress += int64(n); c.bodyDue > 0 && c.progress >= l.leastBody {
		c.bodyDue, c.progress = l.mono+int64(l.opts.BodyGrace), 0
	}
}

// conclude decides what becomes of a connection from which nothing more can be taken in this turn.
func (l *loop) conclude(c *conn) {
	switch {
	case !c.state.reads() || c.input.ready():
	case c.input == inputEnded:
		if !c.resting() {
			l.answerError(c, framing.ErrUnclean)
		}
		c.advance(eventEnded)
	case l.draining && c.state == stateFresh:
		c.deadline = min(c.deadline, l.mono+int64(newcomerTime))
	case l.draining && c.resting():
		c.advance(eventDrained)
	}
}

// finish looks after a connection at the end of the turn.
func (l *loop) finish(c *conn) {
	if c.state.gone() {
		return
	}
	l.compact(c)
	l.settle(c)
	c.inTurn, c.taken = false, 0
	switch {
	case c.state == stateBroken:
		l.closeConn(c)
	case len(c.out) > 0 || c.state == stateLingering:
	case c.state == stateCloseAfter:
		l.closeConn(c)
	case c.state == stateLingerAfter:
		l.linger(c)
	case c.state == stateHandOverAfter:
		l.handOver(c)
	case c.state == stateBacklog || c.input.ready():
		l.queue(c)
	}
}

// settle gives a connection the state of what it waits for from now on, and the time that it has
// for it.
func (l *loop) settle(c *conn) {
	before := c.state
	if before.reads() {
		c.advance(c.left())
	}
	switch c.state {
	case stateBody:
		if c.deadline = c.begun + int64(l.opts.ReadTimeout); c.bodyDue > 0 {
			c.deadline = min(c.deadline, c.bodyDue)
		}
	case stateHead, stateBacklog:
		if len(c.out) == 0 {
			c.deadline = c.begun + int64(l.opts.ReadHeaderTimeout)
		}
	case stateIdle:
		if before == stateAnswering { // an empty line gives no new time
			c.deadline = l.mono + int64(l.opts.IdleTimeout)
		}
	}
}
