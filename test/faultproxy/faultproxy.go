// Package faultproxy stands between a client and a server of a test, and breaks their connections: in
// the middle of what either says, or between a request that arrives and its answer that does not.
package faultproxy

import (
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Proxy forwards connections to a server.
type Proxy struct {
	listener net.Listener
	server   atomic.Pointer[string]
	running  sync.WaitGroup

	mu     sync.Mutex // guards the rest
	rng    *rand.Rand
	most   int // bytes that a connection may carry, at most; 0 for any number
	delay  time.Duration
	refuse bool
	open   map[net.Conn]bool

	cuts atomic.Int64
}

// Start begins a proxy in front of a server. It ends with the test.
func Start(t testing.TB, server string, seed uint64) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: listener, rng: rand.New(rand.NewPCG(seed, 0)), open: map[net.Conn]bool{}}
	p.server.Store(&server)
	p.running.Go(p.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		p.CutAll()
		p.running.Wait()
	})
	return p
}

// Addr is where it listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// CutWithin cuts each new connection after a number of bytes that is drawn, both directions together,
// up to most. What is on its way then may have arrived or not. 0 cuts none.
func (p *Proxy) CutWithin(most int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.most = most
}

// Delay holds each answer back for so long.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Refuse closes new connections at once, or no more.
func (p *Proxy) Refuse(refuse bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = refuse
}

// CutAll cuts all connections that are open.
func (p *Proxy) CutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.open {
		_ = conn.Close()
	}
}

// Cuts is how many connections were cut by CutWithin.
func (p *Proxy) Cuts() int64 { return p.cuts.Load() }

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		refuse, most, delay := p.refuse, 0, p.delay
		if p.most > 0 {
			most = 1 + p.rng.IntN(p.most)
		}
		p.mu.Unlock()
		if refuse {
			_ = client.Close()
			continue
		}
		p.running.Go(func() { p.forward(client, most, delay) })
	}
}

func (p *Proxy) forward(client net.Conn, most int, delay time.Duration) {
	server, err := net.Dial("tcp", *p.server.Load())
	if err != nil {
		_ = client.Close()
		return
	}
	p.note(client, server, true)
	defer p.note(client, server, false)
	budget := &atomic.Int64{}
	budget.Store(int64(most))
	var both sync.WaitGroup
	end := func() {
		_ = client.Close()
		_ = server.Close()
	}
	both.Go(func() { defer end(); p.pump(server, client, most > 0, budget, 0) })
	both.Go(func() { defer end(); p.pump(client, server, most > 0, budget, delay) })
	both.Wait()
}

func (p *Proxy) note(client, server net.Conn, open bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range []net.Conn{client, server} {
		if open {
			p.open[conn] = true
		} else {
			delete(p.open, conn)
		}
	}
}

// pump copies until one side ends or the budget is used up. What the last read was too much is lost.
func (p *Proxy) pump(to io.Writer, from io.Reader, limited bool, budget *atomic.Int64, delay time.Duration) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if limited && n > 0 {
			left := budget.Add(-int64(n))
			if left < 0 {
				p.cuts.Add(1)
				n = max(0, n+int(left))
				err = io.EOF
			}
		}
		if delay > 0 {
			time.Sleep(delay)
		}
		if n > 0 {
			if _, failed := to.Write(buffer[:n]); failed != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
