package framing

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// piped is a listener of connections in memory, whose deadlines are of the clock of the test.
type piped struct {
	conns  chan net.Conn
	closed chan struct{}
	told   atomic.Int64 // calls that set a deadline
}

func (p *piped) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return &counting{conn, &p.told}, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *piped) Close() error   { close(p.closed); return nil }
func (p *piped) Addr() net.Addr { return &net.TCPAddr{} }

// dial returns the client's end.
func (p *piped) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

// counting counts what a connection is told of deadlines.
type counting struct {
	net.Conn
	told *atomic.Int64
}

func (c *counting) SetReadDeadline(t time.Time) error {
	c.told.Add(1)
	return c.Conn.SetReadDeadline(t)
}

func (c *counting) SetWriteDeadline(t time.Time) error {
	c.told.Add(1)
	return c.Conn.SetWriteDeadline(t)
}

// servePiped serves in the bubble of a test until stop is called.
func servePiped(t *testing.T, server *http.Server, opts Options) (listener *piped, stop func()) {
	listener = &piped{conns: make(chan net.Conn), closed: make(chan struct{})}
	ended := make(chan error, 1)
	go func() { ended <- Serve(server, listener, opts) }()
	return listener, func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}
}

const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

// ask sends a request and reads its answer.
func ask(t *testing.T, conn net.Conn, answers *bufio.Reader) {
	t.Helper()
	if _, err := io.WriteString(conn, get); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(answers, nil)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatal(response, err)
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
}

// TestDeadlinesAreToldSeldom: a connection that is used all the time is told of a few deadlines, and
// not of the six of each request.
func TestDeadlinesAreToldSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &http.Server{ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute,
			WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute, Handler: http.HandlerFunc(
				func(http.ResponseWriter, *http.Request) { time.Sleep(time.Millisecond) })}
		listener, stop := servePiped(t, server, Options{MinBodyRate: 100,
			Watched: func(*http.Request) bool { return false }})
		defer stop()
		conn := listener.dial()
		defer conn.Close()
		answers := bufio.NewReader(conn)
		for range 1000 {
			ask(t, conn, answers)
			time.Sleep(time.Millisecond)
		}
		// Some reads begin before the handler does, and are ended by a deadline.
		if told := listener.told.Load(); told > 500 {
			t.Errorf("the connection was told of %d deadlines in 1000 requests", told)
		}
	})
}

// TestTheLastDeadlineCounts, and none of an earlier request: neither sooner nor later.
func TestTheLastDeadlineCounts(t *testing.T) {
	const idle, write = 100 * time.Second, 30 * time.Second
	serve := func(t *testing.T, body string) (conn net.Conn, answers *bufio.Reader, stop func()) {
		server := &http.Server{ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute,
			WriteTimeout: write, IdleTimeout: idle, Handler: http.HandlerFunc(
				func(w http.ResponseWriter, _ *http.Request) {
					_, _ = io.WriteString(w, body)
				})}
		listener, stop := servePiped(t, server, Options{MinBodyRate: 100,
			Watched: func(*http.Request) bool { return false }})
		conn = listener.dial()
		answers = bufio.NewReader(conn)
		for _, rest := range []time.Duration{0, 70 * time.Second, 99 * time.Second, time.Second} {
			time.Sleep(rest)
			ask(t, conn, answers)
		}
		return conn, answers, stop
	}
	t.Run("while it rests", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			conn, answers, stop := serve(t, "x")
			defer stop()
			defer conn.Close()
			start := time.Now()
			if text, err := io.ReadAll(answers); len(text) > 0 || err != nil || time.Since(start) != idle {
				t.Errorf("it was closed after %v: %q, %v", time.Since(start), text, err)
			}
		})
	})
	t.Run("while a head comes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			conn, answers, stop := serve(t, "x")
			defer stop()
			defer conn.Close()
			time.Sleep(50 * time.Second)
			start := time.Now()
			if _, err := io.WriteString(conn, get[:10]); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(answers); err != nil || time.Since(start) != 10*time.Second {
				t.Errorf("it was closed after %v: %v", time.Since(start), err)
			}
		})
	})
	t.Run("while nobody reads the answer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			conn, _, stop := serve(t, "x")
			defer stop()
			defer conn.Close()
			start := time.Now()
			if _, err := io.WriteString(conn, get); err != nil {
				t.Fatal(err)
			}
			var one [1]byte
			time.Sleep(write - time.Second)
			if _, err := conn.Read(one[:]); err != nil {
				t.Errorf("the answer was cut off after %v: %v", time.Since(start), err)
			}
			time.Sleep(2 * time.Second)
			for err := error(nil); err == nil; {
				_, err = conn.Read(one[:])
				if err != nil && !errors.Is(err, io.EOF) {
					t.Error(err)
				}
			}
			if took := time.Since(start); took != write+time.Second {
				t.Errorf("the connection ended after %v", took)
			}
		})
	})
}

// TestWhoWantsToKnowIsToldThatTheClientHasLeft, and whoever does not goes on.
func TestWhoWantsToKnowIsToldThatTheClientHasLeft(t *testing.T) {
	for path, wants := range map[string]bool{"/watched": true, "/else": false} {
		synctest.Test(t, func(t *testing.T) {
			told := make(chan bool, 1)
			server := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				select {
				case <-r.Context().Done():
					told <- true
				case <-time.After(time.Minute):
					told <- false
				}
			})}
			listener, stop := servePiped(t, server, Options{
				Watched: func(r *http.Request) bool { return r.URL.Path == "/watched" }})
			defer stop()
			conn := listener.dial()
			if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
			if got := <-told; got != wants {
				t.Errorf("%s: told %v", path, got)
			}
		})
	}
}

// TestHandlersThatNobodyWatchesHaveTheirDeadlines: what a handler sets ends the read that net/http
// has begun, and so does the end of the server.
func TestHandlersThatNobodyWatchesHaveTheirDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var handlers atomic.Int64
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			handlers.Add(1)
			control := http.NewResponseController(w)
			if r.URL.Path == "/soon" {
				if err := control.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
					t.Error(err)
				}
				start := time.Now()
				<-r.Context().Done() // net/http takes a deadline that is not its own for the end
				if took := time.Since(start); took != time.Second {
					t.Errorf("it ended after %v", took)
				}
				return
			}
			<-release
		})}
		listener, stop := servePiped(t, server, Options{Watched: func(*http.Request) bool { return false }})
		for _, path := range []string{"/soon", "/later"} {
			conn := listener.dial()
			defer conn.Close()
			if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
		}
		stop() // while a request is answered
		synctest.Wait()
		close(release)
		if handlers.Load() != 2 {
			t.Errorf("%d requests came", handlers.Load())
		}
	})
}

// slowConn is told of its deadlines and ends its calls at them, as often as the test says.
type slowConn struct {
	net.Conn
	ends  []time.Duration // how long before the deadline that it has
	until time.Time
}

func (c *slowConn) SetReadDeadline(t time.Time) error  { c.until = t; return nil }
func (c *slowConn) SetWriteDeadline(t time.Time) error { c.until = t; return nil }

func (c *slowConn) Read([]byte) (int, error) { return 0, c.end() }

func (c *slowConn) Write(p []byte) (int, error) { return min(1, len(p)), c.end() }

func (c *slowConn) end() error {
	if len(c.ends) == 0 {
		return io.ErrClosedPipe
	}
	time.Sleep(time.Until(c.until) - c.ends[0])
	c.ends = c.ends[1:]
	return os.ErrDeadlineExceeded
}

// TestWhatEndsTooEarlyGoesOn, with what is not written yet and nothing else.
func TestWhatEndsTooEarlyGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &slowConn{ends: []time.Duration{0, 0}}
		c := newConn(inner, &Options{})
		start := time.Now()
		for _, after := range []time.Duration{time.Second, time.Minute} { // the first is all that it is told of
			if err := c.SetDeadline(start.Add(after)); err != nil {
				t.Fatal(err)
			}
			c.mu.Lock()
			c.write.begin()
			c.write.waits = false
			c.mu.Unlock()
		}
		n, err := c.Write([]byte("abc"))
		if n != 2 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("%d, %v after %v", n, err, time.Since(start))
		}
	})
}
