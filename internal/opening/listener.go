package opening

import (
	"net"
	"sync"

	"pillarbox/internal/admission"
)

// Listen opens the connections of a listener for net/http. Of those with TLS whose client wants
// HTTP/2, Accept returns the *tls.Conn, as net/http wants it; all others are no *tls.Conn, and have
// HTTP/1. Connections that fail are not returned. Close closes those that are under way.
func Listen(listener net.Listener, opener *Opener) net.Listener {
	l := &opened{Listener: listener, opener: opener, ready: make(chan net.Conn),
		failed: make(chan error), closed: make(chan struct{})}
	l.running.Go(l.accept)
	return l
}

type opened struct {
	net.Listener
	opener  *Opener
	ready   chan net.Conn
	failed  chan error    // of the listener
	closed  chan struct{} // by Close
	once    sync.Once
	running sync.WaitGroup
	err     error // of Close
}

func (l *opened) accept() {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			select {
			case l.failed <- err: // net/http waits a little where it is temporary
				continue
			case <-l.closed:
				return
			}
		}
		// Here and not beside it, so that nobody who comes later takes the place of who came before.
		if work, err := l.opener.begin(raw); err == nil {
			l.running.Go(func() { l.open(raw, work) })
		}
	}
}

func (l *opened) open(raw net.Conn, work *work) {
	counted := &countedConn{Conn: raw}
	conn, secure, err := l.opener.finish(counted, work)
	if err != nil {
		return // it is counted, and there is nobody to tell
	}
	if enter := l.opener.opts.Enter; enter != nil && !l.opener.Named() {
		leave, ok := enter(admission.AddressOf(conn.RemoteAddr()))
		if !ok {
			_ = raw.Close()
			return
		}
		counted.leave = leave
	}
	if secure != nil {
		conn = ForHTTP(secure)
	}
	select {
	case l.ready <- conn:
	case <-l.closed:
		_ = conn.Close()
	}
}

// countedConn is a connection that is counted under the address of its client.
type countedConn struct {
	net.Conn
	leave func() // nil where it is not counted
	once  sync.Once
}

// SetIdle passes on whether the connection rests between two requests.
func (c *countedConn) SetIdle(idle bool) {
	if seat, ok := c.Conn.(interface{ SetIdle(idle bool) }); ok {
		seat.SetIdle(idle)
	}
}

// CloseWrite is what net/http looks for where it wants an answer to arrive before the end of the
// connection.
func (c *countedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	if c.leave != nil {
		defer c.once.Do(c.leave)
	}
	return c.Conn.Close()
}

// ForHTTP is the form of a connection that net/http is to get: a *tls.Conn for HTTP/2 alone.
func ForHTTP(secure *Secure) net.Conn {
	if secure.ConnectionState().NegotiatedProtocol == HTTP2 {
		return secure.Conn
	}
	return secure
}

// Accept implements net.Listener.
func (l *opened) Accept() (net.Conn, error) {
	select {
	case conn := <-l.ready:
		return conn, nil
	case err := <-l.failed:
		return nil, err
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. It returns when nothing of it runs.
func (l *opened) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.err = l.Listener.Close()
		l.opener.Close()
		l.running.Wait()
	})
	return l.err
}
