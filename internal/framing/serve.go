package framing

import (
	"context"
	"crypto/tls"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"time"

	"pillarbox/internal/protocol"
)

// The defaults of Options.
const (
	DefaultReadHeaderTimeout = 10 * time.Second
	DefaultBodyGrace         = 5 * time.Second
)

// Options of Serve. Zero means the default, or what the server has.
type Options struct {
	MaxHeaderBytes    int           // of a head, the first of a connection and every later one
	ReadHeaderTimeout time.Duration // from the first byte of a head to its last
	MinBodyRate       int64         // bytes a second that a body brings at least, on the average of each grace; 0 asks for none
	BodyGrace         time.Duration // in which MinBodyRate is looked at
	// Watched reports whether the handler of a request wants to know when the client leaves before it is
	// answered; of others, the context does not end then. nil: of all. Over HTTP/2 it always does.
	Watched func(*http.Request) bool
}

// lingerTime is how long a connection is read after a refusal: one that is closed with bytes unread
// is reset, and the reset may overtake the answer.
const lingerTime = 500 * time.Millisecond

// netHTTPSlack keeps net/http from meeting its limit of a head before ours.
const netHTTPSlack = 64 << 10

// Serve is server.Serve with a Filter under each connection, and the same limits for HTTP/2, which a
// connection has that the listener returns as a *tls.Conn. It takes the server over: handler,
// context of connections and limit of heads are changed, and nobody else may serve it.
func Serve(server *http.Server, listener net.Listener, opts Options) error {
	if opts.MaxHeaderBytes <= 0 {
		opts.MaxHeaderBytes = defaultMaxHead
	}
	if opts.ReadHeaderTimeout <= 0 {
		opts.ReadHeaderTimeout = server.ReadHeaderTimeout
	}
	if opts.ReadHeaderTimeout <= 0 {
		opts.ReadHeaderTimeout = DefaultReadHeaderTimeout
	}
	if opts.BodyGrace <= 0 {
		opts.BodyGrace = DefaultBodyGrace
	}
	server.MaxHeaderBytes = opts.MaxHeaderBytes + netHTTPSlack
	server.Handler, server.DisableGeneralOptionsHandler = &guard{server.Handler, &opts}, true
	states := server.ConnState
	server.ConnState = func(conn net.Conn, state http.ConnState) {
		if states != nil {
			states(conn, state)
		}
		tellIdle(conn, state)
	}
	before := server.ConnContext
	server.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		if before != nil {
			ctx = before(ctx, conn)
		}
		return context.WithValue(ctx, connKey{}, conn)
	}
	return server.Serve(&filtered{Listener: listener, opts: opts})
}

type connKey struct{}

// filtered is a listener of Conns.
type filtered struct {
	net.Listener
	opts Options
}

// Accept implements net.Listener.
func (l *filtered) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if _, ok := conn.(*tls.Conn); ok {
		return conn, nil // has HTTP/2, which says by itself where a request ends
	}
	return newConn(conn, &l.opts), nil
}

// tellIdle tells a connection with HTTP/2 that it rests: of the others, Conn does.
func tellIdle(conn net.Conn, state http.ConnState) {
	secure, ok := conn.(*tls.Conn)
	if !ok || state == http.StateClosed {
		return
	}
	if idler, ok := secure.NetConn().(Idler); ok {
		idler.SetIdle(state == http.StateIdle)
	}
}

// guard answers what a Conn has refused, and lets everything else through.
type guard struct {
	next http.Handler
	opts *Options
}

// ServeHTTP implements http.Handler.
func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, ok := r.Context().Value(connKey{}).(*Conn)
	switch {
	case !ok && r.ProtoMajor == 2:
		g.serveHTTP2(w, r)
		return
	case !ok:
		panic("pillarbox: bug: a request came past the filter")
	}
	r.TLS = conn.tls
	conn.watched.Store(g.opts.Watched == nil || g.opts.Watched(r))
	conn.inHandler.Store(true)
	defer conn.inHandler.Store(false)
	if why := conn.refused.Load(); why != nil && r.Method == refusedMethod {
		answer(w, *why)
		conn.linger(w)
		return
	}
	conn.answered++
	if r.Method == http.MethodOptions && r.RequestURI == "*" {
		w.Header().Set("Content-Length", "0") // as net/http answers, past every handler and its count
		return
	}
	g.next.ServeHTTP(w, r)
	if conn.brokenAt.Load() == conn.answered {
		conn.linger(w)
	}
}

// answer writes the problem that every front writes.
func answer(w http.ResponseWriter, why error) {
	problem := protocol.ProblemOf(why)
	header, body := problem.Answer(why)
	maps.Copy(w.Header(), header)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(problem.Status)
	_, _ = w.Write(body) // the client is gone if this fails
}

// linger gives the answer time to arrive. What comes meanwhile is nobody's.
func (c *Conn) linger(w http.ResponseWriter) {
	if http.NewResponseController(w).Flush() != nil || c.CloseWrite() != nil {
		return
	}
	if c.Conn.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		_, _ = io.Copy(io.Discard, c.Conn) // until the client has left, or the time is over
	}
}
