package opening

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"runtime"
	"time"

	"pillarbox/internal/admission"
	"pillarbox/internal/proxy"
)

// HTTP2 is what ALPN calls HTTP/2.
const HTTP2 = "h2"

// The defaults of Options.
const (
	DefaultTimeout = 10 * time.Second
	// DefaultMax bounds memory: one that is under way holds some 40 KiB, the stack of its goroutine
	// included.
	DefaultMax = 2048
)

// Options of an Opener. Zero means the default, or none.
type Options struct {
	TLS     *tls.Config    // nil: no handshake
	Proxy   bool           // there is a header of the PROXY protocol, and only trusted proxies may come
	Trusted *proxy.Trusted // who they are
	Timeout time.Duration  // until all of it is done
	Max     int            // under way at a time

	// Enter counts a connection under the address that a PROXY header names, for Listen; nil: nobody
	// does. leave is called when the connection is closed. Without ok, it is closed at once.
	Enter func(address string) (leave func(), ok bool)

	// Failed is told why a connection was closed before HTTP; nil: nobody. It must not block.
	Failed func(reason Reason)
}

// Reason says why a connection was closed before HTTP.
type Reason string

// The reasons.
const (
	Handshake Reason = "handshake" // it has failed, or took too long
	NoProxy   Reason = "proxy"     // it is of no trusted proxy, or its header is bad
	Crowded   Reason = "crowded"   // others needed its place while its client was waited for
)

// Opener opens connections. Its methods may be called concurrently.
type Opener struct {
	opts  Options
	works works
}

// New makes one.
func New(opts Options) *Opener {
	if opts.Timeout <= 0 {
		opts.Timeout = DefaultTimeout
	}
	if opts.Max <= 0 {
		opts.Max = DefaultMax
	}
	if opts.Failed == nil {
		opts.Failed = func(Reason) {}
	}
	o := &Opener{opts: opts}
	o.works.init(opts.Max, max(1, runtime.GOMAXPROCS(0)/2))
	return o
}

// Needed reports whether connections have to be opened at all.
func (o *Opener) Needed() bool { return o.opts.TLS != nil || o.opts.Proxy }

// Named reports whether the address of a client is known before its connection is opened.
func (o *Opener) Named() bool { return !o.opts.Proxy }

// Open reads what stands before HTTP, on a goroutine of the caller. secure is nil where there is no
// TLS; then conn is the connection to go on with. After an error the connection is closed.
func (o *Opener) Open(raw net.Conn) (conn net.Conn, secure *Secure, err error) {
	work, err := o.begin(raw)
	if err != nil {
		return nil, nil, err
	}
	return o.finish(raw, work)
}

// begin gives a connection its place, in the order of the calls. After an error the connection is
// closed.
func (o *Opener) begin(raw net.Conn) (*work, error) {
	work, err := o.works.begin(raw, admission.AddressOf(raw.RemoteAddr()))
	if err != nil {
		o.opts.Failed(Crowded) // first, so that whoever sees the close finds it counted
		return nil, errors.Join(err, raw.Close())
	}
	return work, nil
}

// finish is the rest of Open.
func (o *Opener) finish(raw net.Conn, work *work) (conn net.Conn, secure *Secure, err error) {
	conn, secure, reason, err := o.open(raw, work)
	crowded := o.works.end(work)
	if err == nil && !crowded {
		err = raw.SetDeadline(time.Time{})
	}
	if err != nil || crowded {
		if crowded {
			reason, err = Crowded, errCrowded
		}
		o.opts.Failed(reason) // first, so that whoever sees the close finds it counted
		return nil, nil, errors.Join(err, raw.Close())
	}
	return conn, secure, nil
}

func (o *Opener) open(raw net.Conn, work *work) (net.Conn, *Secure, Reason, error) {
	if err := raw.SetDeadline(time.Now().Add(o.opts.Timeout)); err != nil {
		return nil, nil, Handshake, err
	}
	client := raw.RemoteAddr()
	if o.opts.Proxy {
		var err error
		if client, err = o.announced(raw); err != nil {
			return nil, nil, NoProxy, err
		}
	}
	if o.opts.TLS == nil {
		return &named{Conn: raw, remote: client}, nil, "", nil
	}
	under := &transport{Conn: raw, remote: client, local: raw.LocalAddr(), work: work}
	secure := &Secure{tls.Server(under, o.opts.TLS), under}
	err := secure.HandshakeContext(context.Background())
	under.work = nil
	return secure, secure, Handshake, err
}

// announced reads the header of the PROXY protocol.
func (o *Opener) announced(raw net.Conn) (net.Addr, error) {
	from := admission.AddressOf(raw.RemoteAddr())
	if !o.opts.Trusted.Trusts(from) {
		return nil, fmt.Errorf("%s is no trusted proxy", from)
	}
	client, err := proxy.ReadHeader(raw)
	if err != nil {
		return nil, err
	}
	if !client.IsValid() {
		return raw.RemoteAddr(), nil
	}
	return &net.TCPAddr{IP: client.AsSlice()}, nil
}

// Close closes what is under way. No more is opened then.
func (o *Opener) Close() { o.works.close() }

// named is a connection whose client a proxy has named.
type named struct {
	net.Conn
	remote net.Addr
}

// RemoteAddr implements net.Conn.
func (n *named) RemoteAddr() net.Addr { return n.remote }

// SetIdle passes on whether the connection rests between two requests.
func (n *named) SetIdle(idle bool) {
	if seat, ok := n.Conn.(interface{ SetIdle(idle bool) }); ok {
		seat.SetIdle(idle)
	}
}

// CloseWrite is what net/http looks for where it wants an answer to arrive before the end of the
// connection.
func (n *named) CloseWrite() error {
	if half, ok := n.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Inner is the connection without the name of its client.
func (n *named) Inner() net.Conn { return n.Conn }

// Inner is what a connection that Open has returned without TLS stands on.
func Inner(conn net.Conn) net.Conn {
	if n, ok := conn.(*named); ok {
		return n.Conn
	}
	return conn
}
