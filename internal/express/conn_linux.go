package express

import (
	"io"

	"golang.org/x/sys/unix"

	"pillarbox/internal/framing"
	"pillarbox/internal/opening"
	"pillarbox/internal/source"
)

// conn is one connection. While it is idle it has no buffer, but for what crypto/tls keeps of it.
type conn struct {
	fd       int
	addr     string
	counted  string // the address that it is counted under; empty for none
	trusted  bool   // it is that of a proxy, whose headers say who a request is from
	state    state  // see the table in doc.go; only advance changes it
	input    input
	deadline int64 // when its wait is over; see sweep

	secure      *opening.Secure // nil without TLS
	certificate *source.Certificate
	dry         bool // the socket is empty; with TLS more may be decrypted

	inTurn bool // is in loop.inTurn
	queued bool // is in loop.queued
	taken  int  // requests, in this turn

	in    []byte // what was read of requests that are not taken yet
	used  int    // bytes of in that were taken in this turn
	out   []byte // answers that the client has not read yet
	begun int64  // when the first byte of the request at the start of in came

	// Of the request at the start of in, as far as it is known:

	scan     framing.Scan     // of its head, where that came in pieces
	blank    bool             // the empty line that may stand before it has come
	need     int              // bytes that it has; 0 while its head isn't complete
	route    *source.Route    // once the head is complete, and the body is not
	admitted source.Admission // in the same state
	bodyDue  int64            // when its body must have brought its least; 0 where none is awaited
	progress int64            // bytes of the body since the last time that it had
}

// resting reports whether nothing of a further request has been read, as far as this turn has read.
func (c *conn) resting() bool { return len(c.in) == c.used && !c.input.ready() }

// left is what a turn has left of a connection that goes on with requests.
func (c *conn) left() event {
	switch {
	case len(c.out) > 0:
		return eventBlocked
	case c.need > 0:
		return eventBodyLeft
	case len(c.in) > 0:
		return eventHeadLeft
	}
	return eventNothingLeft
}

// wake notes that something may have come.
func (c *conn) wake() {
	c.input.wake()
	c.dry = false
}

// read reads what is there, and with TLS decrypts it.
func (c *conn) read(b []byte) (int, unix.Errno) {
	if c.secure == nil {
		return receive(c.fd, b)
	}
	n, err := c.secure.Read(b)
	switch {
	case n > 0, err == io.EOF:
		return n, 0
	case err == opening.Again:
		return 0, unix.EAGAIN
	case err == nil:
		return 0, unix.EAGAIN // not so, since b has room
	}
	return 0, unix.ECONNRESET // what came is not TLS, or the socket has failed
}

// Receive implements opening.Receiver.
func (c *conn) Receive(b []byte) (int, error) {
	if c.dry {
		return 0, opening.Again
	}
	n, errno := receive(c.fd, b)
	switch {
	case errno == unix.EAGAIN:
		c.dry = true
		return 0, opening.Again
	case errno != 0:
		return 0, errno
	case n == 0:
		return 0, io.EOF
	}
	c.dry = n < len(b) && c.input != inputEnding // a short read has emptied the socket (epoll(7))
	return n, nil
}

// goodbye sends the end of TLS, as far as the socket takes it now. Nothing is sent in the middle of
// an answer.
func (l *loop) goodbye(c *conn) {
	if c.secure != nil && len(c.out) == 0 && c.state != stateBroken {
		l.sealed = c.secure.Goodbye(l.sealed[:0])
		_, _ = send(c.fd, l.sealed) // the client may be gone
	}
}
