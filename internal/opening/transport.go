package opening

import (
	"crypto/tls"
	"net"
	"time"
)

// Again is what a Receiver returns where nothing is there yet. crypto/tls lets a read be made again
// after it, because it is temporary.
var Again error = again{}

type again struct{}

func (again) Error() string   { return "nothing is there yet" }
func (again) Timeout() bool   { return false }
func (again) Temporary() bool { return true }

// Receiver reads what is there, and never waits: it returns Again instead.
type Receiver interface{ Receive(b []byte) (int, error) }

// transport is the net.Conn under a tls.Conn. While it is attached, it reads from and writes to a
// connection that may wait. While it is detached, it reads from a Receiver, and keeps what is
// written. It is detached and attached by whoever owns the tls.Conn, between two calls.
type transport struct {
	net.Conn // nil while detached
	from     Receiver
	out      []byte // written while detached, and not taken yet
	remote   net.Addr
	local    net.Addr
	work     *work // of the handshake; nil after it
}

// Read implements net.Conn.
func (t *transport) Read(b []byte) (int, error) {
	if t.from != nil {
		return t.from.Receive(b)
	}
	if t.work == nil {
		return t.Conn.Read(b)
	}
	t.work.pause()
	n, err := t.Conn.Read(b)
	if err == nil && !t.work.resume() {
		err = net.ErrClosed
	}
	return n, err
}

// Write implements net.Conn.
func (t *transport) Write(b []byte) (int, error) {
	if t.from != nil {
		t.out = append(t.out, b...)
		return len(b), nil
	}
	return t.Conn.Write(b)
}

// RemoteAddr implements net.Conn: of the client, as a proxy has named it.
func (t *transport) RemoteAddr() net.Addr { return t.remote }

// LocalAddr implements net.Conn.
func (t *transport) LocalAddr() net.Addr { return t.local }

// SetIdle passes on whether the connection rests between two requests.
func (t *transport) SetIdle(idle bool) {
	if seat, ok := t.Conn.(interface{ SetIdle(idle bool) }); ok {
		seat.SetIdle(idle)
	}
}

// SetDeadline implements net.Conn. While it is detached nothing waits.
func (t *transport) SetDeadline(at time.Time) error {
	if t.from != nil {
		return nil
	}
	return t.Conn.SetDeadline(at)
}

// SetReadDeadline implements net.Conn.
func (t *transport) SetReadDeadline(at time.Time) error {
	if t.from != nil {
		return nil
	}
	return t.Conn.SetReadDeadline(at)
}

// SetWriteDeadline implements net.Conn.
func (t *transport) SetWriteDeadline(at time.Time) error {
	if t.from != nil {
		return nil
	}
	return t.Conn.SetWriteDeadline(at)
}

// Close implements net.Conn. What a detached one stands on is its owner's to close.
func (t *transport) Close() error {
	if t.from != nil {
		return nil
	}
	return t.Conn.Close()
}

// SetIdle says of a connection with HTTP/2 whether it rests.
func SetIdle(secure *tls.Conn, idle bool) {
	if t, ok := secure.NetConn().(*transport); ok {
		t.SetIdle(idle)
	}
}

// Secure is a connection with TLS whose handshake is done. It may be used as the net.Conn that it
// is, or, once it is detached, without ever waiting. One goroutine owns it.
type Secure struct {
	*tls.Conn
	transport *transport
}

// Client begins TLS on a connection as its client, and does the handshake. After an error the
// connection is the caller's to close.
func Client(raw net.Conn, config *tls.Config) (*Secure, error) {
	under := &transport{Conn: raw, remote: raw.RemoteAddr(), local: raw.LocalAddr()}
	secure := &Secure{tls.Client(under, config), under}
	return secure, secure.Handshake()
}

// Detach makes it read from a Receiver, which has the bytes of the same socket, and keep what it
// writes. It returns what it stood on until then, which is the caller's.
func (s *Secure) Detach(from Receiver) net.Conn {
	inner := s.transport.Conn
	s.transport.Conn, s.transport.from = nil, from
	return inner
}

// Attach puts a detached one on a connection that may wait, with all that was read and not handed
// on. What it has written must be taken before.
func (s *Secure) Attach(conn net.Conn) {
	s.transport.Conn, s.transport.from, s.transport.out = conn, nil, nil
}

// Seal encrypts b onto the end of out, which is returned. It is for a detached one.
func (s *Secure) Seal(out, b []byte) ([]byte, error) {
	s.transport.out = append(out, s.transport.out...)
	_, err := s.Write(b)
	return s.Take(), err
}

// Goodbye is Seal for the word that nothing more is written.
func (s *Secure) Goodbye(out []byte) []byte {
	s.transport.out = append(out, s.transport.out...)
	_ = s.CloseWrite() // it is written to memory
	return s.Take()
}

// Waiting reports whether something is to be sent that no call of Seal has returned: crypto/tls
// answers some messages and errors while it reads.
func (s *Secure) Waiting() bool { return len(s.transport.out) > 0 }

// Take returns what is to be sent, as after Waiting.
func (s *Secure) Take() []byte {
	out := s.transport.out
	s.transport.out = nil
	return out
}

// TLS is the state of the handshake.
func (s *Secure) TLS() *tls.ConnectionState {
	state := s.ConnectionState()
	return &state
}

// SetIdle passes on whether the connection rests between two requests.
func (s *Secure) SetIdle(idle bool) { s.transport.SetIdle(idle) }
