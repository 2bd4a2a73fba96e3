package express

import (
	"bytes"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"pillarbox/internal/telemetry"
)

// lingerTime is how long a connection is read after the last answer where the client may still be
// sending: a connection that is closed with bytes unread is reset, and the reset may overtake the
// answer.
const lingerTime = 500 * time.Millisecond

// newcomerTime is how long a drain waits for the first request of a connection that was accepted just
// before: its client had no answer that could have told it to stay away. A client sends at once, so it
// is some round trips and not the 5 s of net/http: whoever connects ahead of need holds up each stop.
const newcomerTime = 2 * time.Second

// linger ends our side, and goes on reading.
func (l *loop) linger(c *conn) {
	l.goodbye(c)
	if unix.Shutdown(c.fd, unix.SHUT_WR) != nil {
		l.closeConn(c)
		return
	}
	l.release(c)
	c.advance(eventLinger)
	c.deadline = l.mono + int64(lingerTime)
	l.queue(c)
}

// discard reads what nobody wants any more.
func (l *loop) discard(c *conn) {
	for range maxShare {
		room := l.arena.room()
		if room == nil {
			break
		}
		n, errno := receive(c.fd, room)
		if errno == unix.EAGAIN {
			return
		}
		if errno != 0 || n == 0 {
			c.advance(eventFailed)
			return
		}
	}
	l.queue(c)
}

// handOver gives the connection to net/http, with what was read of it.
func (l *loop) handOver(c *conn) {
	rest := bytes.Clone(c.in)
	l.forget(c)
	file := os.NewFile(uintptr(c.fd), "connection")
	moved, err := net.FileConn(file) // has a descriptor of its own
	_ = file.Close()
	c.fd = -1
	if err != nil {
		c.advance(eventClosed)
		l.opts.Logger.Warn("a connection could not be handed over", telemetry.KeyErr, err)
		l.server.released(c.counted)
		return
	}
	c.advance(eventHandOver)
	conn := &handedConn{Conn: moved, rest: rest, addr: c.addr,
		release: func() { l.server.released(c.counted) }}
	if c.secure != nil {
		c.secure.Attach(moved)
		conn.Conn, conn.secure = c.secure, c.secure
	}
	conn.Seat = l.server.idle.Seat(conn)
	l.server.handed.put(conn)
}

// closeConn closes the connection at once.
func (l *loop) closeConn(c *conn) {
	l.goodbye(c)
	l.forget(c)
	c.advance(eventClosed)
	_ = unix.Close(c.fd)
	c.fd = -1
	l.server.released(c.counted)
}

// forget takes the connection out of the loop.
func (l *loop) forget(c *conn) {
	_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, c.fd, nil)
	l.conns[c.fd] = nil
	l.live--
	l.release(c)
}

// notWatched closes a connection that never came into the loop.
func (l *loop) notWatched(c *conn, err error) {
	l.opts.Logger.Warn("a connection can't be watched", telemetry.KeyErr, err)
	c.advance(eventClosed)
	_ = unix.Close(c.fd)
	l.server.released(c.counted)
}
