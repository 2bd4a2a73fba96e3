package express

import (
	"fmt"
	"time"

	"pillarbox"
)

// keep copies the start of a request into a buffer of the connection's own.
func (l *loop) keep(c *conn, rest []byte) {
	if l.enlarge(c, len(rest)+1) {
		c.in = append(c.in, rest...)
	}
}

// room is where to read to in the connection's own buffer. It doubles with what arrives, and not
// with what was announced: a sender that announces much and sends little holds little.
func (l *loop) room(c *conn) []byte {
	if len(c.in) == cap(c.in) && !l.enlarge(c, len(c.in)+1) {
		return nil
	}
	return c.in[len(c.in):cap(c.in)]
}

// enlarge gives the connection a buffer for size bytes. Where that would be more than all may hold,
// the client is told to come back: waiting with its bytes unread would only keep its connection
// busy.
func (l *loop) enlarge(c *conn, size int) bool {
	if !l.server.memory.Grow(int64(cap(c.in)), int64(bufferSize(size))) {
		limit := fmt.Errorf("bodies of %d bytes are in flight, which is the limit (http.max_in_flight_bytes): %w",
			l.opts.Memory.Limit(), pillarbox.ErrFull)
		l.refuse(c, &pillarbox.RetryAfterError{After: time.Second, Err: limit})
		return false
	}
	l.replaceBuffer(c, l.buffers.get(size), c.in)
	return true
}

// compact takes the requests of the turn out of the connection's buffer.
func (l *loop) compact(c *conn) {
	rest := c.in[c.used:]
	switch {
	case c.used == 0:
	case len(rest) == 0:
		l.release(c)
	case bufferSize(len(rest)+1) < cap(c.in)/2: // the request was large, and what follows may stay small
		l.server.memory.Shrink(int64(cap(c.in) - bufferSize(len(rest)+1)))
		l.replaceBuffer(c, l.buffers.get(len(rest)+1), rest)
	default:
		c.in = append(c.in[:0], rest...)
	}
	c.used = 0
}

// replaceBuffer puts what is to stay into another buffer. The first one goes back.
func (l *loop) replaceBuffer(c *conn, to, what []byte) {
	before := c.in
	c.in = append(to, what...)
	if before != nil {
		l.buffers.put(before)
	}
}

// release gives the connection's buffer back.
func (l *loop) release(c *conn) {
	if c.in != nil {
		l.server.memory.Shrink(int64(cap(c.in)))
		l.buffers.put(c.in)
		c.in = nil
	}
}
