package express

import (
	"context"
	"crypto/tls"
	"net"
	"sync"

	"pillarbox/internal/admission"
	"pillarbox/internal/opening"
)

// handed is the listener that net/http accepts from: connections that are not simple, each with
// what was read of it.
type handed struct {
	addr net.Addr

	mu      sync.Mutex // guards the fields below
	changed *sync.Cond // told of each change of them
	waiting []net.Conn // at most as many as there may be connections
	closed  bool
}

func newHanded(addr net.Addr) *handed {
	h := &handed{addr: addr}
	h.changed = sync.NewCond(&h.mu)
	return h
}

// put hands a connection over. Where nobody accepts any more, it is closed.
func (h *handed) put(conn net.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		_ = conn.Close()
		return
	}
	h.waiting = append(h.waiting, conn)
	h.changed.Broadcast()
}

// Accept implements net.Listener.
func (h *handed) Accept() (net.Conn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.waiting) == 0 && !h.closed {
		h.changed.Wait()
	}
	if h.closed {
		return nil, net.ErrClosed
	}
	conn := h.waiting[0]
	h.waiting = h.waiting[1:]
	h.changed.Broadcast()
	return conn, nil
}

// empty waits until everything that was handed over is accepted.
func (h *handed) empty(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.changed.Broadcast()
	})()
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.waiting) > 0 && ctx.Err() == nil {
		h.changed.Wait()
	}
	if len(h.waiting) > 0 {
		return ctx.Err()
	}
	return nil
}

// Close implements net.Listener. Connections that were not accepted are closed.
func (h *handed) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, conn := range h.waiting {
		_ = conn.Close()
	}
	h.waiting = nil
	h.changed.Broadcast()
	return nil
}

// Addr implements net.Listener.
func (h *handed) Addr() net.Addr { return h.addr }

// handedConn is a connection that was handed over. What was read of it comes first.
type handedConn struct {
	net.Conn
	*admission.Seat
	rest    []byte
	addr    string          // of the client, as a proxy has named it; empty for that of the connection
	secure  *opening.Secure // nil without TLS
	release func()          // counts it as gone; called once
	once    sync.Once
}

// RemoteAddr implements net.Conn.
func (c *handedConn) RemoteAddr() net.Addr {
	if ip := net.ParseIP(c.addr); ip != nil {
		if own, ok := c.Conn.RemoteAddr().(*net.TCPAddr); !ok || !own.IP.Equal(ip) {
			return &net.TCPAddr{IP: ip}
		}
	}
	return c.Conn.RemoteAddr()
}

// TLS is the state of TLS; nil without it.
func (c *handedConn) TLS() *tls.ConnectionState {
	if c.secure == nil {
		return nil
	}
	return c.secure.TLS()
}

func (c *handedConn) Read(b []byte) (int, error) {
	if len(c.rest) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.rest)
	if c.rest = c.rest[n:]; len(c.rest) == 0 {
		c.rest = nil
	}
	return n, nil
}

// CloseWrite is what net/http looks for where it wants an answer to arrive before the end of the
// connection.
func (c *handedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

func (c *handedConn) Close() error {
	defer c.once.Do(c.release)
	c.Leave()
	return c.Conn.Close()
}
