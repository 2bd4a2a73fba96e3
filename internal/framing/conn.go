package framing

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"pillarbox/internal/protocol"
)

// Idler is a connection that wants to know when it rests between two requests, with nothing of the
// next one there.
type Idler interface{ SetIdle(idle bool) }

// refusedMethod is the method of the request that a Conn puts in the place of one that it refuses.
// It can't come from a client, because Head refuses it.
const refusedMethod = "PILLARBOX-REFUSED"

// refusedRequest makes net/http call the handler once more, in the order of the requests, and
// close.
const refusedRequest = refusedMethod + " / HTTP/1.1\r\nHost: refused\r\nConnection: close\r\n\r\n"

// Conn is a connection whose bytes have passed a Filter. Of a head nothing is handed on before all
// of it is good. Like every net.Conn under net/http it has one reader at a time, while deadlines
// may be set by others.
type Conn struct {
	net.Conn
	opts   *Options
	filter Filter
	in     []byte // read and not handed on yet
	ready  int    // bytes of in that are settled
	end    error  // what Read returns when nothing is ready any more
	idler  Idler  // nil where nobody wants to know
	tls    *tls.ConnectionState
	idle   bool // as idler was told

	inHandler atomic.Bool           // a request is being answered
	refused   atomic.Pointer[error] // why the last request was refused
	brokenAt  atomic.Int64          // number of the request whose body has broken its framing; 0 for none
	answered  int64                 // requests that the handler has got; touched by it alone

	watched atomic.Bool // whoever answers it wants to know when the client leaves

	headDue time.Time // when the head that has begun must be there; zero where none is awaited
	bodyDue time.Time // when the body must have brought its least
	bodyHas int64     // bytes of it since then
	applied time.Time // of headDue and bodyDue, what counts

	mu     sync.Mutex
	wakeup sync.Cond // of the read that is parked
	parked bool      // nobody needs to know what comes while a request is answered; guarded by mu
	closed bool      // guarded by mu
	read   deadline  // guarded by mu
	write  deadline  // guarded by mu
}

func newConn(inner net.Conn, opts *Options) *Conn {
	c := &Conn{Conn: inner, opts: opts, filter: Filter{MaxHead: opts.MaxHeaderBytes}}
	c.idler, _ = inner.(Idler)
	if secure, ok := inner.(interface{ TLS() *tls.ConnectionState }); ok {
		c.tls = secure.TLS()
	}
	c.wakeup.L = &c.mu
	// TLS does not go on after a deadline that has passed in the middle of a record.
	c.read = deadline{set: inner.SetReadDeadline, exact: c.tls != nil}
	c.write = deadline{set: inner.SetWriteDeadline, exact: c.tls != nil}
	return c
}

// Read hands on what is settled.
func (c *Conn) Read(p []byte) (int, error) {
	for {
		switch {
		case c.ready > 0:
			n := copy(p, c.in[:c.ready])
			c.ready -= n
			if c.in = c.in[n:]; len(c.in) == 0 {
				c.in = nil
			}
			return n, nil
		case c.end != nil:
			return 0, c.end
		case len(p) == 0:
			return 0, nil
		case len(p) == 1 && c.inHandler.Load() && !c.watched.Load():
			if c.park() {
				return 0, os.ErrDeadlineExceeded
			}
		}
		if len(c.in) > 0 {
			if err := c.readMore(); err != nil {
				return 0, err
			}
			continue
		}
		n, err := c.receive(p)
		settled, used, broken := c.judge(p[:n])
		if rest := p[used:n]; len(rest) > 0 {
			c.in = append(make([]byte, 0, max(len(rest), firstHeld)), rest...)
		}
		if err = c.ended(broken, err); settled > 0 || err != nil {
			return settled, err
		}
	}
}

// firstHeld is the memory for what is not settled yet. It doubles with what arrives.
const firstHeld = 512

// readMore reads behind what is there.
func (c *Conn) readMore() error {
	c.in = slices.Grow(c.in, firstHeld)
	n, err := c.receive(c.in[len(c.in):cap(c.in)])
	all := c.in[:len(c.in)+n]
	settled, used, broken := c.judge(all)
	c.in, c.ready = append(all[:settled], all[used:]...), settled
	return c.ended(broken, err)
}

// judge lets the filter settle the bytes of b, and closes the gaps of what it leaves out. The first
// settled bytes of b may be handed on; what is behind used waits for more. With an error, what is
// behind the settled bytes is nobody's.
func (c *Conn) judge(b []byte) (settled, used int, err error) {
	for used < len(b) {
		n, skip, err := c.filter.Step(b[used:])
		if err != nil {
			return settled, len(b), err
		}
		if n == 0 {
			break
		}
		if !skip {
			if settled < used {
				copy(b[settled:], b[used:used+n])
			}
			settled += n
		}
		used += n
		if c.filter.Between() {
			c.bodyDue = time.Time{}
		}
	}
	if !c.filter.InHead() {
		c.headDue = time.Time{}
	}
	return settled, used, nil
}

// ended makes of the end of the connection what it means, by the word of the filter or of the
// network. A head that is bad or not complete gets an answer of its own; a body ends with the
// error. A deadline passes by itself, because net/http sets another. Where something is ready, the
// error comes when that is read.
func (c *Conn) ended(broken, err error) error {
	inHead := c.filter.InHead() || c.filter.Between() && (broken != nil || len(c.in) > c.ready)
	switch {
	case broken != nil && inHead:
		c.refuse(broken)
	case broken != nil:
		c.brokenAt.Store(c.filter.Heads())
		c.end = broken
	case err == nil:
	case errors.Is(err, os.ErrDeadlineExceeded) && err != ErrTooSlow:
		return err
	case errors.Is(err, io.EOF) && inHead:
		c.refuse(ErrUnclean)
	default:
		c.end = err
	}
	return nil
}

// refuse puts the request that says so behind what is settled.
func (c *Conn) refuse(err error) {
	c.refused.Store(&err)
	c.in, c.ready = append(c.in[:c.ready:c.ready], refusedRequest...), c.ready+len(refusedRequest)
	c.end = io.EOF
}

// receive reads from the network, within the deadlines of this moment.
func (c *Conn) receive(p []byte) (int, error) {
	c.setIdle(c.filter.Between() && len(c.in) == 0 && !c.inHandler.Load())
	c.await()
	n, err := c.readWithin(p)
	if n > 0 {
		c.setIdle(false)
		c.brought(n)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) && c.late() {
		err = ErrTooSlow
	}
	return n, err
}

func (c *Conn) setIdle(idle bool) {
	if c.idler != nil && c.idle != idle {
		c.idle = idle
		c.idler.SetIdle(idle)
	}
}

// await sets our own deadline. net/http's for a head begins with its first byte, which it does not
// see before the last one is there; and while a request is being answered, nobody waits for the
// next.
func (c *Conn) await() {
	var due time.Time
	switch inHead := c.filter.InHead() || c.filter.Between() && len(c.in) > 0; {
	case inHead && !c.inHandler.Load() && c.opts.ReadHeaderTimeout > 0:
		if c.headDue.IsZero() {
			c.headDue = time.Now().Add(c.opts.ReadHeaderTimeout)
		}
		due = c.headDue
	case !inHead && !c.filter.Between() && c.opts.MinBodyRate > 0:
		if c.bodyDue.IsZero() {
			c.bodyDue, c.bodyHas = time.Now().Add(c.opts.BodyGrace), 0
		}
		due = c.bodyDue
	}
	if due.Equal(c.applied) {
		return
	}
	c.applied = due
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read.own = due
}

// brought counts what a body has brought. With enough, the time begins anew.
func (c *Conn) brought(n int) {
	if c.bodyDue.IsZero() {
		return
	}
	if c.bodyHas += int64(n); c.bodyHas >= LeastBytes(c.opts.MinBodyRate, c.opts.BodyGrace) {
		c.bodyDue = time.Time{}
	}
}

// late reports whether the body has not brought its least in time.
func (c *Conn) late() bool {
	return !c.bodyDue.IsZero() && !time.Now().Before(c.bodyDue)
}

// LeastBytes is how much of a body has to arrive in each grace.
func LeastBytes(rate int64, grace time.Duration) int64 {
	return max(1, int64(float64(rate)*grace.Seconds()))
}

// tooSlow is a deadline that has passed, with its name.
type tooSlow struct{ problem *protocol.Error }

// Error implements error.
func (t tooSlow) Error() string { return t.problem.Error() }

// Is gives it its kind.
func (tooSlow) Is(target error) bool { return target == os.ErrDeadlineExceeded }

// Unwrap gives it its status.
func (t tooSlow) Unwrap() error { return t.problem }

// ErrTooSlow is what the read of a body ends with that does not bring its least. It is a deadline
// that was exceeded.
var ErrTooSlow error = tooSlow{&protocol.Error{
	Status: http.StatusRequestTimeout, Detail: "the body came more slowly than http.min_body_rate; nothing was stored",
}}

// CloseWrite is what net/http looks for where it wants an answer to arrive before the end of the
// connection.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
