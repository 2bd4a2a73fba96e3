package intake_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"pillarbox/internal/framing"
	"pillarbox/internal/intake"
)

// FuzzRawHTTP sends anything on a connection to the public listener. Nothing is stored without an
// answer that says so, no answer says so of what is not stored, and nothing panics.
func FuzzRawHTTP(f *testing.F) {
	const head = "POST /app HTTP/1.1\r\nHost: localhost\r\n"
	for _, seed := range []string{
		head + "Content-Length: 3\r\n\r\nabc",
		head + "Content-Length: 3\r\n\r\nabc" + head + "Content-Length: 1\r\n\r\nd",
		head + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		head + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		head + "Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nX-A: b\r\n\r\n",
		head + "Content-Length: 30\r\n\r\nabc",
		head + "Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
		"POST /app/batch HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\nContent-Length: 8\r\n\r\n1\n2\nbad\n",
		"POST /app HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc",
		"GET /app HTTP/1.1\r\nHost: a\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x16\x03\x01\x00\xa5",
		"POST /app?token=x HTTP/1.1\nHost: a\nContent-Length: 1\n\nx",
		head + "Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
		head + "Prefer: wait=0\r\nContent-Length: 1\r\n\r\nx",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, request []byte) {
		b := openPublic(t, intake.Options{})
		conn := &fixedConn{in: bytes.NewReader(request), closed: make(chan struct{})}
		listener := &oneConn{conn: conn}
		server := &http.Server{Handler: b.public}
		serving := make(chan error, 1)
		go func() { serving <- framing.Serve(server, listener, framing.Options{}) }()
		<-conn.closed
		if err := server.Close(); err != nil {
			t.Fatal(err)
		}
		<-serving
		stored, said := len(b.Queued()), strings.Count(conn.written(), `"status":"accepted"`)
		if stored != said {
			t.Errorf("%d events are stored, and %d receipts were given in %q", stored, said, conn.written())
		}
	})
}

// fixedConn is a connection whose client has sent everything, and hung up its side.
type fixedConn struct {
	in     *bytes.Reader
	once   sync.Once
	closed chan struct{}

	mu  sync.Mutex
	out bytes.Buffer
}

func (c *fixedConn) Read(p []byte) (int, error) { return c.in.Read(p) }

func (c *fixedConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Write(p)
}

func (c *fixedConn) written() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.String()
}

func (c *fixedConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}
func (c *fixedConn) LocalAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}
}
func (c *fixedConn) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
}
func (c *fixedConn) SetDeadline(time.Time) error      { return nil }
func (c *fixedConn) SetReadDeadline(time.Time) error  { return nil }
func (c *fixedConn) SetWriteDeadline(time.Time) error { return nil }

// oneConn is a listener that has one connection, and ends when that does.
type oneConn struct {
	conn  *fixedConn
	taken bool
}

func (l *oneConn) Accept() (net.Conn, error) {
	if l.taken {
		<-l.conn.closed
		return nil, io.EOF
	}
	l.taken = true
	return l.conn, nil
}

func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return l.conn.LocalAddr() }
