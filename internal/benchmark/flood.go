package benchmark

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Flood is what costs a server something and brings it nothing. Zero means none.
type Flood struct {
	Handshakes int // of TLS that begin in a second, and of which none goes on
	Slow       int // connections whose requests never end, at a time
}

const (
	// floodKept is how many handshakes are open: the oldest is left when there is one more.
	floodKept = 4096
	// slowPause is how long a slow connection waits between two bytes: a server that waits 10 s for a
	// head gives it up before the third.
	slowPause = 4 * time.Second
	// floodDials is how many slow connections are made at a time.
	floodDials = 8
	// floodBound is how long it may take until all of them are there.
	floodBound = time.Minute
)

// Flooding is a flood under way.
type Flooding struct {
	address string
	hello   []byte
	dialer  net.Dialer
	stop    context.CancelFunc
	ends    sync.WaitGroup
	made    atomic.Uint64 // handshakes that have begun
	open    atomic.Int64  // slow connections
	began   time.Time

	mu  sync.Mutex
	err error // the first; guarded by mu
}

// Begin floods the address until Stop is called, which must be. It returns once all slow connections
// are there.
func (f Flood) Begin(ctx context.Context, address string) (*Flooding, error) {
	hello, err := clientHello()
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	flooding := &Flooding{address: address, hello: hello, dialer: fromElsewhere(address), stop: stop, began: time.Now()}
	if f.Handshakes > 0 {
		flooding.ends.Go(func() { flooding.handshakes(ctx, f.Handshakes) })
	}
	for i := range floodDials {
		if share := f.Slow/floodDials + min(1, max(0, f.Slow%floodDials-i)); share > 0 {
			flooding.ends.Go(func() { flooding.slow(ctx, share) })
		}
	}
	for deadline := time.Now().Add(floodBound); flooding.open.Load() < int64(f.Slow); time.Sleep(10 * time.Millisecond) {
		if err := flooding.failure(); err != nil || time.Now().After(deadline) {
			open := flooding.open.Load()
			_, stopping := flooding.Stop()
			return nil, fmt.Errorf("%d of %d slow connections are there: %w", open, f.Slow, errors.Join(err, stopping))
		}
	}
	return flooding, nil
}

// fromElsewhere dials from another address than clients of this machine have, where it has one: the
// flood is somebody else's.
func fromElsewhere(address string) (dialer net.Dialer) {
	if runtime.GOOS == "linux" && strings.HasPrefix(address, "127.0.0.1:") {
		dialer.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 66)}
	}
	return dialer
}

// Stop ends the flood, and returns how many handshakes began in a second. An error is one of making
// it, and not what the server thinks of it.
func (f *Flooding) Stop() (perSecond float64, err error) {
	f.stop()
	f.ends.Wait()
	return float64(f.made.Load()) / time.Since(f.began).Seconds(), f.failure()
}

// Begun is how many handshakes have begun.
func (f *Flooding) Begun() uint64 { return f.made.Load() }

func (f *Flooding) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// fail notes an error. Where the machine has no port or descriptor left, the flood is not what it says.
func (f *Flooding) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

// handshakes begins so many in a second: what it could not do in time it does later.
func (f *Flooding) handshakes(ctx context.Context, perSecond int) {
	var open []net.Conn
	defer func() {
		for _, conn := range open {
			_ = conn.Close()
		}
	}()
	for ctx.Err() == nil {
		due := time.Since(f.began).Seconds()*float64(perSecond) - float64(f.made.Load())
		if due < 1 {
			time.Sleep(time.Millisecond)
			continue
		}
		conn, err := f.dialer.Dial("tcp", f.address)
		if err != nil {
			f.fail(err)
			return
		}
		_, _ = conn.Write(f.hello) // the server may have closed it
		f.made.Add(1)
		if open = append(open, conn); len(open) > floodKept {
			_ = open[0].Close()
			open = open[1:]
		}
	}
}

// slow keeps so many connections, each with the head of a request that goes on for ever. Those that
// the server has given up are made anew.
func (f *Flooding) slow(ctx context.Context, n int) {
	conns := make([]net.Conn, n)
	defer func() {
		for _, conn := range conns {
			if conn != nil {
				_ = conn.Close()
			}
		}
	}()
	for begin := time.Now(); ctx.Err() == nil; {
		for i := range conns {
			if ctx.Err() != nil {
				return
			}
			if err := f.drip(&conns[i]); err != nil {
				f.fail(err)
				return
			}
			if ahead := time.Duration(i)*slowPause/time.Duration(n) - time.Since(begin); f.full(conns) && ahead > 0 {
				time.Sleep(ahead)
			}
		}
		begin = begin.Add(slowPause)
		if late := time.Since(begin); late > 0 {
			begin = begin.Add(late)
		} else if f.full(conns) {
			time.Sleep(-late)
		}
	}
}

// full reports whether all connections were there once.
func (f *Flooding) full(conns []net.Conn) bool { return conns[len(conns)-1] != nil }

// drip sends one more byte, or the start of a request on a new connection.
func (f *Flooding) drip(conn *net.Conn) error {
	if *conn != nil {
		if _, err := (*conn).Write([]byte("x")); err == nil {
			return nil
		}
		_ = (*conn).Close()
	}
	made, err := f.dialer.Dial("tcp", f.address)
	if err != nil {
		return err
	}
	if *conn == nil {
		f.open.Add(1)
	}
	*conn = made
	_, _ = io.WriteString(made, "POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nX-Slow: ") // it may be closed
	return nil
}

// clientHello is what a client of crypto/tls sends first.
func clientHello() ([]byte, error) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	var working sync.WaitGroup
	working.Go(func() {
		_ = tls.Client(theirs, ClientTLS()).Handshake() // it ends when ours is closed
	})
	hello := make([]byte, 16<<10)
	n, err := ours.Read(hello)
	err = errors.Join(err, ours.Close())
	working.Wait()
	if err == nil && !strings.HasPrefix(string(hello[:n]), "\x16\x03") {
		err = errors.New("a client of TLS begins in another way than it did")
	}
	return hello[:n], errors.Join(err, theirs.Close())
}
