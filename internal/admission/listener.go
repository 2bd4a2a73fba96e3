package admission

import (
	"errors"
	"net"
	"sync"
	"time"
)

// Options of a listener.
type Options struct {
	MaxConnections int
	MaxPerAddress  int                       // 0 for no limit
	Counts         func(address string) bool // whether the connections of an address are; nil: all are
	Closed         func(reason Reason)       // is told of connections that were closed to keep to the limits; nil: nobody
	Full           func()                    // is told that a pending connection waits, at most once a minute; nil: nobody
}

// Listen bounds the connections of a listener. Where there is no room, it closes the connection
// that has rested for the longest time; where none rests, the pending connection waits.
func Listen(listener net.Listener, opts Options) net.Listener {
	return NewLimits(opts).Listen(listener)
}

// Limits hold for the connections of several listeners together.
type Limits struct {
	opts      Options
	addresses *Addresses
	idle      Idle
	full      Seldom
	places    chan struct{} // one for each connection
}

// NewLimits makes them.
func NewLimits(opts Options) *Limits {
	return &Limits{opts: opts, addresses: NewAddresses(opts.MaxPerAddress),
		places: make(chan struct{}, opts.MaxConnections)}
}

// Listen bounds the connections of a listener, as the function Listen does.
func (l *Limits) Listen(listener net.Listener) net.Listener {
	return &limited{Listener: listener, Limits: l, closed: make(chan struct{})}
}

type limited struct {
	net.Listener
	*Limits
	closed chan struct{}
	once   sync.Once
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		address, ok := l.enter(AddressOf(conn.RemoteAddr()))
		if !ok {
			_ = conn.Close()
			continue
		}
		if !l.room() {
			l.leave(address)
			return nil, errors.Join(net.ErrClosed, conn.Close())
		}
		admitted := &limitedConn{Conn: conn, leave: func() { l.leave(address); <-l.places }}
		admitted.Seat = l.idle.Seat(admitted)
		return admitted, nil
	}
}

// Enter counts a connection under another address than it has come from, until leave is called. ok
// is false where that may not have one more.
func (l *Limits) Enter(address string) (leave func(), ok bool) {
	address, ok = l.enter(address)
	return func() { l.leave(address) }, ok
}

// enter returns an empty address where nobody is counted.
func (l *Limits) enter(address string) (counted string, ok bool) {
	if l.opts.Counts != nil && !l.opts.Counts(address) {
		return "", true
	}
	if !l.addresses.Enter(address) {
		l.tell(OverItsBudget) // first, so that whoever sees the close finds it counted
		return "", false
	}
	return address, true
}

func (l *Limits) leave(address string) {
	if address != "" {
		l.addresses.Leave(address)
	}
}

func (l *Limits) tell(reason Reason) {
	if l.opts.Closed != nil {
		l.opts.Closed(reason)
	}
}

// room waits for a place. It returns false where the listener is closed meanwhile.
func (l *limited) room() bool {
	for {
		select {
		case l.places <- struct{}{}:
			return true
		default:
		}
		if l.opts.Full != nil && l.full.Now(time.Now()) {
			l.opts.Full()
		}
		if l.idle.Evict(time.Now()) {
			l.tell(ForRoom)
		}
		again := time.NewTimer(LeastIdle / 10)
		select {
		case l.places <- struct{}{}:
			again.Stop()
			return true
		case <-again.C: // one may have rested for long enough
		case <-l.closed:
			again.Stop()
			return false
		}
	}
}

// Close implements net.Listener.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// limitedConn is a connection with a place.
type limitedConn struct {
	net.Conn
	*Seat
	leave func()
	once  sync.Once
}

// CloseWrite is what net/http looks for where it wants an answer to arrive before the end of the
// connection.
func (c *limitedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close implements net.Conn.
func (c *limitedConn) Close() error {
	defer c.once.Do(c.leave)
	c.Leave()
	return c.Conn.Close()
}

// Unix is the address of every client of a unix socket.
const Unix = "unix"

// AddressOf is an address without its port.
func AddressOf(address net.Addr) string {
	if address == nil || address.Network() == "unix" {
		return Unix
	}
	host, _, err := net.SplitHostPort(address.String())
	if err != nil {
		return address.String()
	}
	return host
}
