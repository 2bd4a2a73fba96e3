package opening_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"pillarbox/internal/node/nodetest"
	"pillarbox/internal/opening"
	"pillarbox/internal/proxy"
)

// counts are the reasons that an Opener has told.
type counts struct {
	mu sync.Mutex
	of map[opening.Reason]int
}

func (c *counts) tell(reason opening.Reason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[opening.Reason]int{}
	}
	c.of[reason]++
}

func (c *counts) get(reason opening.Reason) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.of[reason]
}

// place is an opening listener that answers each connection with "hello".
type place struct {
	t        *testing.T
	addr     string
	counts   counts
	pool     *tls.Config
	listener net.Listener
	ended    chan struct{}
}

func openPlace(t *testing.T, opts opening.Options) *place {
	t.Helper()
	a := nodetest.NewAuthority(t)
	pair, err := tls.X509KeyPair(a.Server(time.Time{}, "localhost"))
	if err != nil {
		t.Fatal(err)
	}
	p := &place{t: t, pool: &tls.Config{RootCAs: a.Pool, ServerName: "localhost"}, ended: make(chan struct{})}
	opts.TLS, opts.Failed = &tls.Config{Certificates: []tls.Certificate{pair}}, p.counts.tell
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.addr, p.listener = raw.Addr().String(), opening.Listen(raw, opening.New(opts))
	go func() {
		defer close(p.ended)
		for {
			conn, err := p.listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "hello")
			_ = conn.Close()
		}
	}()
	t.Cleanup(p.close)
	return p
}

func (p *place) close() {
	if err := errors.Join(p.listener.Close(), p.listener.Close()); err != nil {
		p.t.Error(err)
	}
	<-p.ended
}

// begin connects, and sends the start of a handshake that it never finishes.
func (p *place) begin(hello string) net.Conn {
	p.t.Helper()
	conn, err := net.Dial("tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, hello); err != nil {
		p.t.Fatal(err)
	}
	return conn
}

// good is a client that finishes.
func (p *place) good() error {
	conn, err := tls.Dial("tcp", p.addr, p.pool)
	if err != nil {
		return err
	}
	defer conn.Close()
	text, err := io.ReadAll(conn)
	if err == nil && string(text) != "hello" {
		err = errors.New(string(text))
	}
	return err
}

// helloStart is the start of a ClientHello.
const helloStart = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"

// TestHandshakesThatAreNotFinishedMakeRoom: with all places taken, the one goes whose client has
// been waited for the longest, so that those who finish get through.
func TestHandshakesThatAreNotFinishedMakeRoom(t *testing.T) {
	const places = 8
	p := openPlace(t, opening.Options{Max: places, Timeout: time.Hour})
	for range 3*places + 1 {
		p.begin(helloStart)
	}
	for range 3 {
		if err := p.good(); err != nil {
			t.Errorf("a good client: %v", err)
		}
	}
	if n := p.counts.get(opening.Crowded); n < 2*places {
		t.Errorf("%d made room", n)
	}
}

// TestAPROXYHeaderIsOfATrustedProxy: nobody else gets as far as the handshake.
func TestAPROXYHeaderIsOfATrustedProxy(t *testing.T) {
	for _, c := range []struct {
		trusted, header string
		good            bool
	}{
		{"127.0.0.1/32", "PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\n", true}, {"192.0.2.0/24", "PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\n", false},
		{"127.0.0.1/32", "", false},
	} {
		p := openPlace(t, opening.Options{Proxy: true, Trusted: proxy.NewTrusted([]netip.Prefix{netip.MustParsePrefix(c.trusted)}, false, "")})
		conn := p.begin(c.header)
		secure := tls.Client(conn, p.pool)
		if err := secure.Handshake(); (err == nil) != c.good {
			t.Errorf("%q, where %s is trusted: it is answered: %v, %v", c.header, c.trusted, err == nil, err)
		}
		p.close()
		if n := p.counts.get(opening.NoProxy); (n == 0) != c.good {
			t.Errorf("%q, where %s is trusted: %d are counted", c.header, c.trusted, n)
		}
	}
}

// TestAHandshakeHasItsTime: then it is ended, and counted.
func TestAHandshakeHasItsTime(t *testing.T) {
	p := openPlace(t, opening.Options{Timeout: time.Millisecond})
	for _, hello := range []string{"", helloStart} {
		conn := p.begin(hello)
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("it is answered")
		}
	}
	if n := p.counts.get(opening.Handshake); n != 2 {
		t.Errorf("%d are counted", n)
	}
}

// TestCloseEndsWhatHasBegun, and leaves nothing behind.
func TestCloseEndsWhatHasBegun(t *testing.T) {
	before := runtime.NumGoroutine()
	p := openPlace(t, opening.Options{Timeout: time.Hour})
	conns := []net.Conn{p.begin(""), p.begin(helloStart)}
	if err := p.good(); err != nil { // so both were accepted
		t.Fatal(err)
	}
	p.close()
	for _, conn := range conns {
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("it is answered")
		}
	}
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, and %d before", runtime.NumGoroutine(), before)
		}
	}
}

// TestAnAddressDoesNotTakeTheTurnsOfOthers: where one address has all places, with handshakes that
// compute, a client of another address gets one, and its turn.
func TestAnAddressDoesNotTakeTheTurnsOfOthers(t *testing.T) {
	p := openPlace(t, opening.Options{Max: 8, Timeout: time.Hour})
	ended, flood := make(chan struct{}), sync.WaitGroup{}
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	if conn, err := from.Dial("tcp", p.addr); err != nil {
		if runtime.GOOS == "linux" { // has all of 127.0.0.0/8
			t.Fatal(err)
		}
		t.Skip("there is no second address of this machine: ", err)
	} else {
		conn.Close()
	}
	for range 16 {
		flood.Go(func() {
			for {
				select {
				case <-ended:
					return
				default:
				}
				if conn, err := from.Dial("tcp", p.addr); err == nil {
					_ = tls.Client(conn, p.pool).Handshake() // it may be refused
					_ = conn.Close()
				}
			}
		})
	}
	for i := range 30 {
		if err := p.good(); err != nil {
			t.Errorf("good client %d: %v", i, err)
		}
	}
	close(ended)
	flood.Wait()
}

// TestAFloodOfHandshakesHoldsABoundedMemory, and all good clients get through it. The clients of the
// flood hold theirs open for as long as they can.
func TestAFloodOfHandshakesHoldsABoundedMemory(t *testing.T) {
	const places, flood, good = 64, 2000, 50
	p := openPlace(t, opening.Options{Max: places, Timeout: time.Hour})
	if err := p.good(); err != nil {
		t.Fatal(err)
	}
	held := func() uint64 {
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapInuse + stats.StackInuse
	}
	before, most := held(), 0
	for i := range flood {
		conn := p.begin(helloStart)
		if i%2 == 0 {
			_ = conn // kept open by its cleanup
		}
		most = max(most, runtime.NumGoroutine())
		if i%(flood/good) == 0 {
			if err := p.good(); err != nil {
				t.Errorf("a good client after %d: %v", i, err)
			}
		}
	}
	grown := int64(held()) - int64(before)
	t.Logf("%d handshakes that never finish: %d goroutines at most, %d KiB more", flood, most, grown>>10)
	if perPlace := int64(64 << 10); grown > 3*places*perPlace {
		t.Errorf("%d bytes more are held for %d places", grown, places)
	}
	if most > 2*places+50 {
		t.Errorf("%d goroutines", most)
	}
}
