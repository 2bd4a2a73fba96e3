package express

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"pillarbox"
	"pillarbox/internal/framing"
	"pillarbox/internal/ingest"
	"pillarbox/internal/source"
	"pillarbox/internal/telemetry"
)

// maxBody is the largest body that the loop reads itself. A larger one is handed over: it would make the others
// wait, and its own costs hide what a goroutine costs.
const maxBody = 256 << 10

// lingerTime is how long a connection is read after the last answer where the client may still be sending: a
// connection that is closed with bytes unread is reset, and the reset may overtake the answer.
const lingerTime = 500 * time.Millisecond

// ending is what becomes of a connection once its answers are written.
type ending int

const (
	stays ending = iota
	closes
	lingers // closes, but what still comes is read for a while
	moves   // to net/http
)

// conn is one connection. While it is idle it has no buffer.
type conn struct {
	fd       int
	addr     string
	deadline int64 // see sweep
	ending   ending

	readable  bool // there may be something to read
	hungUp    bool // the client has ended its side, so reading goes on to the end
	eof       bool
	dead      bool // nothing can be read or written any more
	fresh     bool // has not sent a request yet
	touched   bool // is in loop.touched
	waits     bool // is in loop.again
	lingering bool
	answered  bool // in this turn

	in    []byte        // what was read of requests that are not taken yet
	used  int           // bytes of in that were taken in this turn
	scan  framing.Scan  // of the head at the start of in, where it came in pieces
	blank bool          // the empty line that may stand before a request has come
	need  int           // bytes that the request at the start of in has; 0 while its head isn't complete
	route *source.Route // of that request, once the head is complete
	begun int64         // when its first byte came
	due   int64         // when its body must have brought its least; 0 where none is awaited
	has   int64         // bytes of it since the last time that it had
	more  bool          // in may hold a complete request
	taken int           // requests, in this turn
	out   []byte        // answers that the client has not read yet
}

// stirred is told that something has changed on c.
func (l *loop) stirred(c *conn, events uint32) {
	if events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		c.readable = true
	}
	if events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		c.hungUp = true
	}
	if c.touched {
		l.later(c) // its answers of this turn have to stand together
		return
	}
	l.receive(c)
}

// receive reads what has come on c and takes the requests that are complete. A client that does not read its
// answers is not read either.
func (l *loop) receive(c *conn) {
	l.touch(c)
	if len(c.out) > 0 {
		l.flush(c)
	}
	if len(c.out) > 0 || c.dead {
		return
	}
	if c.lingering {
		l.discard(c)
		return
	}
	if c.more {
		c.more = false
		c.used = l.take(c, c.in)
	}
	for c.readable && c.ending == stays && c.used == 0 && !c.more {
		if !l.read(c) {
			break
		}
	}
	l.conclude(c)
}

func (l *loop) touch(c *conn) {
	if !c.touched {
		c.touched = true
		l.touched = append(l.touched, c)
	}
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
	n, errno := receive(c.fd, room)
	switch {
	case errno == unix.EAGAIN:
		c.readable = false
	case errno != 0:
		c.readable, c.dead = false, true
	case n == 0:
		c.readable, c.eof = false, true
	default:
		c.readable = n == len(room) || c.hungUp // a short read has emptied the socket (epoll(7))
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
		if len(rest) > 0 && (c.ending == stays || c.ending == moves) {
			l.keep(c, rest)
		}
		return
	}
	c.in = c.in[:len(c.in)+len(b)]
	if len(c.in) < c.need {
		l.brought(c, len(b))
		return
	}
	c.used = l.take(c, c.in)
}

// brought counts what has come of a body. With enough, its time begins anew.
func (l *loop) brought(c *conn, n int) {
	if c.has += int64(n); c.due > 0 && c.has >= l.least {
		c.due, c.has = l.mono+int64(l.opts.BodyGrace), 0
	}
}

// take takes the complete requests at the start of b, and returns how many bytes they have.
func (l *loop) take(c *conn, b []byte) (used int) {
	for used < len(b) && c.ending == stays {
		if c.more = c.taken == maxShare || l.full(); c.more {
			return used
		}
		size := l.takeOne(c, b[used:])
		if size == 0 {
			return used
		}
		used += size
	}
	return used
}

// takeOne takes one request, and returns how many bytes it has. A head that comes in pieces is parsed when its empty line
// is there, and until then each byte is looked at once.
func (l *loop) takeOne(c *conn, b []byte) int {
	if b[0] == '\r' || b[0] == '\n' {
		return l.takeBlank(c, b)
	}
	if c.scan.Begun() && c.need == 0 && !l.scan(c, b) {
		return 0
	}
	switch l.head.parse(b) {
	case odd:
		c.ending = moves
	case refused:
		l.refuseHead(c, l.head.refusal)
	case simple:
		return l.takeSimple(c, b)
	case more:
		if len(b) >= len(post) {
			_, _ = c.scan.Next(b) // what it would refuse was refused
		}
		l.incomplete(c, b)
	}
	return 0
}

// scan looks at what is new of a head, and reports whether it is complete.
func (l *loop) scan(c *conn, b []byte) bool {
	before := c.scan.Looked()
	complete, err := c.scan.Next(b)
	l.head.looked += int64(c.scan.Looked() - before)
	switch {
	case err != nil:
		l.head.path = nil
		l.refuseHead(c, err)
	case !complete:
		l.incomplete(c, b)
	}
	return complete
}

// takeBlank takes the one empty line that may stand before a request (RFC 9112, section 2.2).
func (l *loop) takeBlank(c *conn, b []byte) int {
	switch {
	case b[0] == '\r' && !c.blank && len(b) == 1:
		return 0
	case b[0] == '\r' && !c.blank && b[1] == '\n':
		c.blank = true
		return 2
	}
	l.head.path = nil
	l.refuseHead(c, framing.ErrSecondEmptyLine)
	return 0
}

// incomplete waits for more of a head, unless that would be too much.
func (l *loop) incomplete(c *conn, b []byte) {
	switch {
	case len(b) > l.opts.MaxHeaderBytes:
		l.head.path = nil
		l.refuseHead(c, framing.ErrHeadTooLarge)
	case len(b) >= maxJudged:
		c.ending = moves
	}
}

// refuseHead refuses the request whose head was read, as far as it was.
func (l *loop) refuseHead(c *conn, why error) {
	c.route = l.opts.Sources.Table().Single(text(l.head.path))
	l.refuse(c, why)
}

func (l *loop) takeSimple(c *conn, b []byte) int {
	h := &l.head
	route := l.opts.Sources.Table().Single(text(h.path))
	if h.Size > l.opts.MaxHeaderBytes {
		l.refuseHead(c, framing.ErrHeadTooLarge)
		return 0
	}
	if route == nil || h.Length > min(route.Source.MaxBody, maxBody) {
		c.ending = moves
		return 0
	}
	size := h.Size + int(h.Length)
	if len(b) < size {
		c.need, c.route = size, route
		if c.due, c.has = 0, 0; l.opts.MinBodyRate > 0 {
			c.due = l.mono + int64(l.opts.BodyGrace)
		}
		return 0
	}
	l.add(c, route, b[h.Size:size])
	if h.last {
		c.ending = closes
	}
	return size
}

// add makes a request of the head that was parsed. Its texts point into the buffer.
func (l *loop) add(c *conn, route *source.Route, body []byte) {
	h := &l.head
	c.taken++
	c.fresh, c.answered = false, true
	next := item{conn: c, route: route, begun: c.begun}
	c.need, c.route, c.begun = 0, nil, l.mono
	c.scan, c.blank = framing.Scan{}, false
	first := len(l.fields)
	for _, f := range h.Fields {
		l.fields = append(l.fields, pillarbox.HeaderField{Name: l.names.canonical(f.Name), Value: text(f.Value)})
	}
	header := l.fields[first:len(l.fields):len(l.fields)]
	l.sourceHead = source.Head{Method: "POST", Query: text(h.query), RemoteAddr: c.addr, Header: header}
	var grant source.Grant
	grant, next.err = route.Source.AdmitOne(&l.sourceHead)
	l.items = append(l.items, next)
	if next.err != nil {
		return
	}
	l.bytes += len(body)
	l.requests = append(l.requests, ingest.Request{
		Grant: grant, Method: "POST", Path: text(h.path), Query: text(h.query),
		Header: header, ContentType: text(h.contentType),
		RemoteAddr: c.addr, Traceparent: text(h.traceparent), Body: body,
	})
}

// refuse answers with an error and closes.
func (l *loop) refuse(c *conn, err error) {
	l.items = append(l.items, item{conn: c, route: c.route, begun: c.begun, err: err})
	c.ending = lingers
}

// conclude decides what becomes of a connection from which nothing more can be taken in this turn.
func (l *loop) conclude(c *conn) {
	switch {
	case c.ending != stays || c.more || c.readable:
	case c.eof && !c.resting():
		l.refuse(c, framing.ErrUnclean)
	case c.eof, l.draining && c.resting():
		c.ending = closes
	}
}

// resting reports whether nothing of a further request has been read, as far as this turn has read.
func (c *conn) resting() bool { return len(c.in) == c.used && !c.readable }

// keep copies the start of a request into a buffer of the connection's own.
func (l *loop) keep(c *conn, rest []byte) {
	if l.enlarge(c, len(rest)+1) {
		c.in = append(c.in, rest...)
	}
}

// room is where to read to in the connection's own buffer. It doubles with what arrives, and not with what was announced:
// a sender that announces much and sends little holds little.
func (l *loop) room(c *conn) []byte {
	if len(c.in) == cap(c.in) && !l.enlarge(c, len(c.in)+1) {
		return nil
	}
	return c.in[len(c.in):cap(c.in)]
}

// enlarge gives the connection a buffer for size bytes. Where that would be more than all may hold, the client is
// told to come back: waiting with its bytes unread would only keep its connection busy.
func (l *loop) enlarge(c *conn, size int) bool {
	if !l.server.memory.Grow(int64(cap(c.in)), int64(bufferSize(size))) {
		limit := fmt.Errorf("bodies of %d bytes are in flight, which is the limit (http.max_in_flight_bytes): %w", l.opts.Memory.Limit(), pillarbox.ErrFull)
		l.refuse(c, &pillarbox.RetryAfterError{After: time.Second, Err: limit})
		return false
	}
	l.move(c, l.buffers.get(size), c.in)
	return true
}

// move puts what is to stay into another buffer. The first one goes back.
func (l *loop) move(c *conn, to, what []byte) {
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

// compact takes the requests of the turn out of the connection's buffer.
func (l *loop) compact(c *conn) {
	rest := c.in[c.used:]
	switch {
	case c.used == 0:
	case len(rest) == 0:
		l.release(c)
	case bufferSize(len(rest)+1) < cap(c.in)/2: // the request was large, and what follows may stay small
		l.server.memory.Shrink(int64(cap(c.in) - bufferSize(len(rest)+1)))
		l.move(c, l.buffers.get(len(rest)+1), rest)
	default:
		c.in = append(c.in[:0], rest...)
	}
	c.used = 0
}

// finish looks after a connection at the end of the turn.
func (l *loop) finish(c *conn) {
	if c.fd < 0 {
		return
	}
	l.compact(c)
	l.setDeadline(c)
	c.touched, c.answered, c.taken = false, false, 0
	switch {
	case c.dead:
		l.closeConn(c)
	case len(c.out) > 0, c.lingering:
	case c.ending == closes:
		l.closeConn(c)
	case c.ending == lingers:
		l.linger(c)
	case c.ending == moves:
		l.handOver(c)
	case c.more, c.readable:
		l.later(c)
	}
}

func (l *loop) setDeadline(c *conn) {
	switch {
	case len(c.out) > 0:
		if c.answered {
			c.deadline = l.mono + int64(l.opts.WriteTimeout)
		}
	case c.need > 0:
		if c.deadline = c.begun + int64(l.opts.ReadTimeout); c.due > 0 {
			c.deadline = min(c.deadline, c.due)
		}
	case len(c.in) > 0 && !c.fresh:
		c.deadline = c.begun + int64(l.opts.ReadHeaderTimeout)
	case c.answered:
		c.deadline = l.mono + int64(l.opts.IdleTimeout)
	}
}

// later lets the next turn go on with c.
func (l *loop) later(c *conn) {
	if !c.waits {
		c.waits = true
		l.again = append(l.again, c)
	}
}

func (l *loop) linger(c *conn) {
	if c.eof || unix.Shutdown(c.fd, unix.SHUT_WR) != nil {
		l.closeConn(c)
		return
	}
	l.release(c)
	c.lingering, c.readable = true, true
	c.deadline = l.mono + int64(lingerTime)
	l.later(c)
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
		if c.dead = errno != 0 || n == 0; c.dead {
			return
		}
	}
	l.later(c)
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
		l.opts.Logger.Warn("a connection could not be handed over", telemetry.KeyErr, err)
		l.server.released(c.addr)
		return
	}
	conn := &movedConn{Conn: moved, rest: rest, release: func() { l.server.released(c.addr) }}
	conn.Seat = l.server.idle.Seat(conn)
	l.server.handed.put(conn)
}

// forget takes the connection out of the loop.
func (l *loop) forget(c *conn) {
	_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, c.fd, nil)
	l.conns[c.fd] = nil
	l.live--
	l.release(c)
}

func (l *loop) closeConn(c *conn) {
	l.forget(c)
	_ = unix.Close(c.fd)
	c.fd = -1
	l.server.released(c.addr)
}
