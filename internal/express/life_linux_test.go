package express_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pillarbox"
	"pillarbox/internal/admission"
	"pillarbox/internal/express"
	"pillarbox/internal/ratelimit"
	"pillarbox/internal/source"
)

// TestPipelinedRequestsAreAnsweredInOrder sends more requests at once than one turn takes of a
// connection.
func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	b := open(t, express.Options{})
	text, bodies := posts(500)
	c := b.dial()
	sent := make(chan error, 1)
	go func() { _, err := io.WriteString(c, text); sent <- err }()
	var ids []string
	for range bodies {
		ids = append(ids, c.wants(http.StatusAccepted).Header.Get("X-Request-Id"))
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	b.wantStored(bodies...)
	for i, event := range b.queued() {
		if event.RequestID != ids[i] {
			t.Fatalf("answer %d has the id %s, and the event %s", i, ids[i], event.RequestID)
		}
	}
	if calls := b.accept.calls.Load(); calls >= 250 {
		t.Errorf("500 requests took %d appends", calls)
	}
	if moved := b.moved.Load(); moved != 0 {
		t.Errorf("%d requests were handed over", moved)
	}
}

// TestRequestsMayComeInAnyPieces cuts two requests at every byte.
func TestRequestsMayComeInAnyPieces(t *testing.T) {
	b := open(t, express.Options{})
	text, bodies := posts(2)
	var want []string
	for cut := range text {
		c := b.dial().send(text[:cut])
		if cut > 0 {
			eventually(t, "the first piece is read", func() bool { return unread(t, c) == 0 })
		}
		c.send(text[cut:])
		c.wants(http.StatusAccepted)
		c.wants(http.StatusAccepted)
		want = append(want, bodies...)
		c.Close()
	}
	b.wantStored(want...)
	c := b.dial()
	for i := range text {
		c.send(text[i : i+1])
	}
	c.wants(http.StatusAccepted)
	c.wants(http.StatusAccepted)
	b.wantStored(append(want, bodies...)...)
}

// unread is how much of what was sent the other side's kernel has not acknowledged yet. It
// acknowledges what it has, so this is a hint and no more: the pieces may still arrive as one.
func unread(t *testing.T, c *client) int {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := raw.Control(func(fd uintptr) {
		n,
			err = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ)
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestLargeBodies goes through every way of reading a body, up to the largest that the loop reads
// itself and beyond.
func TestLargeBodies(t *testing.T) {
	b := open(t, express.Options{})
	var want []string
	c := b.dial()
	for _, size := range []int{1 << 10, 8 << 10, 16<<10 + 1, 64 << 10, 100_000, 256 << 10,
		256<<10 + 1, ingestMax, 10} {
		body := strings.Repeat(fmt.Sprint(size%7), size)
		c.send(fmt.Sprintf("POST /large HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", size, body))
		c.wants(http.StatusAccepted)
		want = append(want, body)
		if moved := b.moved.Load(); (moved > 0) != (len(want) > 6) {
			t.Errorf("a body of %d bytes: %d requests were handed over", size, moved)
		}
	}
	b.wantStored(want...)
}

const ingestMax = 1 << 20

// TestNothingIsAnsweredBeforeItIsDurable holds the append, and lets it fail.
func TestNothingIsAnsweredBeforeItIsDurable(t *testing.T) {
	b := prepare(t)
	b.accept.held = make(chan struct{})
	b.start(express.Options{})
	c := b.dial().send(post("a"))
	eventually(t, "it is being accepted", func() bool { return b.accept.calls.Load() == 1 })
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.answers.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("something was answered: %v", err)
	}
	close(b.accept.held)
	c.wants(http.StatusAccepted)
	b.queue.SetFault(func(events []*pillarbox.Event) error {
		if string(events[0].Body) == "full" {
			return &pillarbox.RetryAfterError{After: 7 * time.Second,
				Err: fmt.Errorf("no room: %w", pillarbox.ErrFull)}
		}
		return fmt.Errorf("disk: %w", pillarbox.ErrNoSpace)
	})
	if a := c.send(post("full")).wants(http.StatusServiceUnavailable); a.Header.Get(
		"Retry-After") != "7" || !strings.Contains(a.body, "no room") || a.Close {
		t.Errorf("answer %v %q", a.Header, a.body)
	}
	if a := c.send(post("b")).wants(http.StatusInsufficientStorage); a.Header.Get(
		"Content-Type") != "application/problem+json" {
		t.Errorf("answer %v %q", a.Header, a.body)
	}
	b.queue.SetFault(nil)
	c.send(post("c")).wants(http.StatusAccepted)
	b.wantStored("a", "c")
}

// TestAllThatIsReadyIsOneAppend: what arrives while one append waits is the next one.
func TestAllThatIsReadyIsOneAppend(t *testing.T) {
	b := prepare(t)
	b.accept.held = make(chan struct{})
	b.start(express.Options{})
	first := b.dial().send(post("first"))
	eventually(t, "the first is being accepted", func() bool { return b.accept.calls.Load() == 1 })
	var clients []*client
	for range 50 {
		clients = append(clients, b.dial().send(post("x")))
	}
	close(b.accept.held)
	first.wants(http.StatusAccepted)
	for _, c := range clients {
		c.wants(http.StatusAccepted)
	}
	if calls := b.accept.calls.Load(); calls > 3 {
		t.Errorf("51 requests took %d appends", calls)
	}
}

// TestRateLimitAnswersInOrder refuses all but the first of three.
func TestRateLimitAnswersInOrder(t *testing.T) {
	b := prepare(t)
	b.sources.Replace(compile(t, nil, source.Settings{Name: "app", Path: "/app",
		MaxBody: testMaxBody, Limits: []source.Limit{{Rate: ratelimit.Rate{PerSecond: 1, Burst: 1}}}}))
	b.start(express.Options{})
	c := b.dial().send(post("a") + post("b") + post("c"))
	c.wants(http.StatusAccepted)
	for range 2 {
		if a := c.wants(http.StatusTooManyRequests); a.Header.Get("Retry-After") != "1" {
			t.Errorf("Retry-After is %q", a.Header.Get("Retry-After"))
		}
	}
	b.wantStored("a")
}

// TestReloadIsSeenByOpenConnections takes a path away, and adds another.
func TestReloadIsSeenByOpenConnections(t *testing.T) {
	b := open(t, express.Options{})
	c := b.dial()
	c.send(post("a")).wants(http.StatusAccepted)
	b.sources.Replace(compile(t, nil, source.Settings{Name: "app", Path: "/new",
		MaxBody: testMaxBody}))
	c.send("POST /new HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nb").wants(http.StatusAccepted)
	c.send(post("c")).wants(http.StatusNotFound)
	if b.moved.Load() != 1 {
		t.Error("the old path was not handed over")
	}
	b.wantStored("a", "b")
}

// TestRequestGoesOnWithItsTable: what was admitted is accepted although a reload takes its path
// away before its body is there, as on net/http.
func TestRequestGoesOnWithItsTable(t *testing.T) {
	b := open(t, express.Options{})
	c := b.dial()
	c.send("POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab")
	eventually(t, "the head is there", func() bool { return b.server.Held() > 0 })
	b.sources.Replace(compile(t, nil, source.Settings{Name: "app", Path: "/new"}))
	c.send("cd").wants(http.StatusAccepted)
	c.send(post("e")).wants(http.StatusNotFound)
	b.wantStored("abcd")
}

// TestHandoverKeepsEveryByte serves raw what was handed over: it begins with the first byte of the
// request that is not simple, and nothing of it is missing.
func TestHandoverKeepsEveryByte(t *testing.T) {
	const start = "POST /app HTTP/1.1\r\nHost: a\r\n"
	for name, text := range map[string]string{
		"TLS":     "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x00\xff", 200),
		"HTTP/2":  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
		"upgrade": start + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
		"chunked": start + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc",
		"prefer":  start + "Prefer: wait=1\r\nContent-Length: 3\r\n\r\nab",
		"encoded": start + "Content-Encoding: br\r\nContent-Length: 3\r\n\r\nab",
		"batch": "POST /app/batch HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" +
			strings.Repeat("[1]\n", 20_000),
		"large":      start + "Content-Length: 1001\r\n\r\n" + strings.Repeat("x", 500),
		"large head": start + "X: " + strings.Repeat("x", 20_000) + "\r\nContent-Length: 1\r\n\r\nx",
		"get":        "GET / HTTP/1.1\r\n",
		"nonsense":   "\x00\r\n\r\n" + start,
	} {
		for _, before := range []string{"", post("a") + post("b")} {
			t.Run(fmt.Sprintf("%s after %d bytes", name, len(before)), func(t *testing.T) {
				b := prepare(t)
				got := make(chan string, 1)
				b.connState = func(conn net.Conn, state http.ConnState) {
					if state == http.StateNew {
						_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
						read := make([]byte, len(text))
						_, _ = io.ReadFull(conn, read)
						got <- string(read)
					}
				}
				b.start(express.Options{})
				c := b.dial()
				go func() { _, _ = io.WriteString(c, before+text) }()
				if before != "" {
					c.wants(http.StatusAccepted)
					c.wants(http.StatusAccepted)
				}
				if read := <-got; read != text {
					t.Errorf("read %.100q of %d bytes, want %.100q of %d", read, len(read), text, len(text))
				}
			})
		}
	}
}

// TestClientsThatLeaveAreNotStored: half a request is none, however the client leaves. A client
// that only ends its side after a whole one gets its answer.
func TestClientsThatLeaveAreNotStored(t *testing.T) {
	b := open(t, express.Options{})
	text := post("hello")
	for cut := range text {
		c := b.dial().send(text[:cut])
		if cut%2 == 0 {
			// a reset, as of a process that is killed with bytes unread
			if err := c.SetLinger(0); err != nil {
				t.Fatal(err)
			}
		}
		c.Close()
	}
	half := b.dial().send(text[:len(text)-1])
	if err := half.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if a := half.wants(http.StatusBadRequest); !strings.Contains(a.body, "nothing was stored") ||
		!a.Close {
		t.Errorf("answer %q", a.body)
	}
	half.wantEnd()
	whole := b.dial().send(text)
	if err := whole.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	whole.wants(http.StatusAccepted)
	whole.wantEnd()
	b.wantStored("hello")
}

// TestIdleConnectionsAreCheap opens many connections, uses each once, and lets them rest.
func TestIdleConnectionsAreCheap(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	n := min(10_000, int(limit.Cur-500)/2) // both ends are ours
	b := open(t, express.Options{})
	conns := make([]net.Conn, n)
	request, answer := []byte(post("x")), make([]byte, 1024)
	before := heap()
	for i := range conns {
		conn, err := net.Dial("tcp", b.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns[i] = conn
	}
	own := heap()
	for _, conn := range conns {
		if _, err := conn.Write(request[:30]); err != nil {
			t.Fatal(err)
		}
	}
	for _, conn := range conns {
		if _, err := conn.Write(request[30:]); err != nil {
			t.Fatal(err)
		}
		if n, err := conn.Read(answer); err != nil ||
			!bytes.HasPrefix(answer[:n], []byte("HTTP/1.1 202")) {
			t.Fatalf("%q, %v", answer[:n], err)
		}
	}
	stored := heap() - own // with what the queue in memory has taken
	t.Logf("%d connections: %d bytes each with the client's side, and %d for each of their requests, the events included", n, (own-before)/int64(n), stored/int64(n))
	if each := (own - before + stored) / int64(n); each > 4<<10 {
		t.Errorf("%d bytes for each of %d idle connections", each, n)
	}
}

func heap() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// TestSlowSendersAreCutOff: a head that does not come is left, a body that does not come is
// answered with 408, an idle connection is closed; and others are served meanwhile.
func TestSlowSendersAreCutOff(t *testing.T) {
	b := open(t, express.Options{ReadHeaderTimeout: 100 * time.Millisecond,
		ReadTimeout: 200 * time.Millisecond, IdleTimeout: 150 * time.Millisecond})
	var slow sync.WaitGroup
	defer slow.Wait()
	text := post("hello")
	for _, start := range []string{"POST /", text[:40], text + text[:10]} {
		c := b.dial().send(start)
		slow.Go(func() {
			c.trickle("x")
			if len(start) > len(text) {
				c.wants(http.StatusAccepted)
			}
			c.wantEnd()
		})
	}
	silent := b.dial()
	slow.Go(silent.wantEnd)
	late := b.dial().send(text[:len(text)-5])
	slow.Go(func() {
		if a := late.wants(http.StatusRequestTimeout); !strings.Contains(a.body, "http.read_timeout") ||
			!a.Close {
			t.Errorf("answer %q", a.body)
		}
		late.wantEnd()
	})
	idle := b.dial().send(text)
	idle.wants(http.StatusAccepted)
	idle.wantEnd()
	b.dial().send(text).wants(http.StatusAccepted)
}

// trickle sends a byte of a header line now and then until the other side has enough.
func (c *client) trickle(piece string) {
	for range 100 {
		if _, err := io.WriteString(c.TCPConn, piece); err != nil {
			return
		}
		if err := c.SetReadDeadline(time.Now().Add(5 * time.Millisecond)); err != nil {
			return
		}
		if _, err := c.answers.Peek(c.answers.Buffered() + 1); err != nil &&
			!errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
	}
}

// TestSlowReaderHoldsUpNobody: a client that sends without reading stops being read; it holds
// little, others are served, and once it reads, every answer is there.
func TestSlowReaderHoldsUpNobody(t *testing.T) {
	b := open(t, express.Options{})
	c := b.dial()
	// with less, the windows of TCP take the time of the test
	if err := c.SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	text, bodies := posts(30_000)
	sent := make(chan error, 1)
	go func() { _, err := io.WriteString(c, text); sent <- err }()
	eventually(t, "it is read no more", func() bool {
		before := b.accept.calls.Load()
		for range 20 {
			b.dial().send(post("other")).wants(http.StatusAccepted)
		}
		return b.accept.calls.Load() == before+20
	})
	for range bodies {
		c.wants(http.StatusAccepted)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	got := slices.DeleteFunc(b.bodies(), func(body string) bool { return body == "other" })
	if !slices.Equal(got, bodies) {
		t.Errorf("%d events, want %d", len(got), len(bodies))
	}
}

// TestReaderThatNeverReadsIsCutOff after the time for writing.
func TestReaderThatNeverReadsIsCutOff(t *testing.T) {
	b := open(t, express.Options{WriteTimeout: 100 * time.Millisecond})
	c := b.dial()
	if err := c.SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	text, _ := posts(60_000)
	if _, err := io.WriteString(c, text); err == nil {
		t.Error("all was read from a client that reads nothing")
	}
}

// TestMemoryForBodiesIsBounded: what would go over the limit is told to come back, and what is
// there goes on.
func TestMemoryForBodiesIsBounded(t *testing.T) {
	b := open(t, express.Options{Memory: admission.NewMemory(100 << 10)})
	half := func(size int) *client {
		return b.dial().send(fmt.Sprintf("POST /large HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("x", size/2)))
	}
	first := half(60_000)
	var others []*client
	eventually(t, "the limit is reached", func() bool {
		c := half(60_000) // stays open, and holds what it has sent
		others = append(others, c)
		if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(c.answers, nil)
		if err != nil {
			return false
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		if response.StatusCode != http.StatusServiceUnavailable ||
			response.Header.Get("Retry-After") != "1" ||
			!strings.Contains(string(body), "http.max_in_flight_bytes") {
			t.Errorf("answer %d %v %q", response.StatusCode, response.Header, body)
		}
		return true
	})
	b.dial().send(post("small")).wants(http.StatusAccepted)
	for _, c := range others {
		c.Close()
	}
	eventually(t, "the others have gone", func() bool { return b.server.Held() <= 32<<10 })
	first.send(strings.Repeat("x", 30_000)).wants(http.StatusAccepted)
	b.wantStored("small", strings.Repeat("x", 60_000))
	eventually(t, "the memory is free again", func() bool {
		c := half(60_000)
		defer c.Close()
		return c.send(strings.Repeat("x", 30_000)).answer().StatusCode == http.StatusAccepted
	})
}

// TestConnectionsAreLimited: one too many waits until another has gone, be it in the loop or handed
// over.
func TestConnectionsAreLimited(t *testing.T) {
	b := open(t, express.Options{MaxConnections: 2})
	fast, moved := b.dial(), b.dial()
	fast.send(post("a")).wants(http.StatusAccepted)
	moved.send("GET /app HTTP/1.1\r\nHost: a\r\n\r\n").wants(http.StatusOK)
	third := b.dial().send(post("b"))
	if err := third.SetReadDeadline(time.Now().Add(30 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := third.answers.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a third connection was served: %v", err)
	}
	moved.Close()
	third.wants(http.StatusAccepted)
	fourth := b.dial().send(post("c"))
	fast.Close()
	fourth.wants(http.StatusAccepted)
}

// TestServerOutlivesALackOfDescriptors takes all of them away for a while.
func TestServerOutlivesALackOfDescriptors(t *testing.T) {
	b := open(t, express.Options{})
	b.dial().send(post("a")).wants(http.StatusAccepted)
	client, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(client)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	err = connect(client, b.addr)
	written, _ := unix.Write(client, []byte(post("b")))
	before := cpuTime(t)
	deadline := time.Now().Add(50 * time.Millisecond)
	for time.Now().Before(deadline) {
		unix.Poll(nil, 10)
	}
	spent := cpuTime(t) - before
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if err != nil || written <= 0 {
		t.Fatal(err, written)
	}
	if spent > 25*time.Millisecond {
		t.Errorf("%v of CPU were spent on waiting 50 ms", spent)
	}
	answer := make([]byte, 100)
	if n, err := unix.Read(client, answer); err != nil ||
		!bytes.HasPrefix(answer[:n], []byte("HTTP/1.1 202")) {
		t.Errorf("%q, %v", answer[:n], err)
	}
}

func connect(fd int, addr string) error {
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return err
	}
	return unix.Connect(fd, &unix.SockaddrInet4{Port: tcp.Port, Addr: [4]byte(tcp.IP.To4())})
}

func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
