package express

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pillarbox"
	"pillarbox/internal/admission"
	"pillarbox/internal/ingest"
	"pillarbox/internal/source"
)

// bench is one loop without a listener, driven turn by turn over a pair of sockets.
type bench struct {
	t      testing.TB
	loop   *loop
	client int // our side of the connection
	taken  []*http.Request
	bodies []string
	copies bool   // keep what is taken
	accept func() // called by AcceptInto; nil: nothing
	sent   int    // bytes of what a test sends, so far
}

func openBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{t: t, copies: true}
	table, err := source.Compile([]source.Settings{{Name: "app", Path: "/app"}}, source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	opts := Options{
		AcceptTimeout: DefaultReadTimeout,
		Acceptor:      b, Loops: 1,
		Problem: func(err error) (int, http.Header, []byte) { return 400, nil, []byte(err.Error()) },
		Sources: source.NewSources(table),
	}
	opts = opts.withDefaults()
	s := &Server{
		opts: opts, handed: newHanded(&net.UnixAddr{}), memory: opts.Memory,
		addresses: admission.NewAddresses(0), done: make(chan struct{}),
	}
	l, err := newLoop(s)
	if err != nil {
		t.Fatal(err)
	}
	s.loops = []*loop{l}
	b.loop = l
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// AcceptInto implements Acceptor: it takes everything, and keeps copies.
func (b *bench) AcceptInto(_ context.Context, requests []ingest.Request,
	results []ingest.Result) []ingest.Result {
	if b.accept != nil {
		b.accept()
	}
	results = results[:0]
	for i := range requests {
		if b.copies {
			b.keep(&requests[i])
		}
		receipt := pillarbox.Receipt{RequestID: "01a2121b-6d45-7881-9c03-8555ae784552",
			Timestamp: 1e15, Status: pillarbox.StateAccepted}
		results = append(results, ingest.Result{Receipt: receipt})
	}
	return results
}

// AcceptBatch implements ingest.Acceptor. The loop accepts no batches.
func (b *bench) AcceptBatch(context.Context, ingest.Request, [][]byte,
	[]ingest.Result) []ingest.Result {
	panic("a batch on the event loop")
}

func (b *bench) keep(request *ingest.Request) {
	header := http.Header{}
	for _, field := range request.Header {
		name := strings.Clone(field.Name)
		header[name] = append(header[name], strings.Clone(field.Value))
	}
	taken := &http.Request{Method: request.Method, RequestURI: request.Path + "?" + request.Query,
		Header: header}
	taken.RequestURI = strings.TrimSuffix(strings.Clone(taken.RequestURI), "?")
	b.taken = append(b.taken, taken)
	b.bodies = append(b.bodies, string(request.Body))
}

// connect begins a connection.
func (b *bench) connect() {
	b.t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX,
		unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	b.client, b.taken, b.bodies = pair[0], nil, nil
	b.loop.server.open.Add(1)
	b.loop.tick()
	b.loop.adopt(pendingConn{fd: pair[1], addr: "192.0.2.1"})
	b.turn()
}

// turn lets the loop do all that there is to do now.
func (b *bench) turn() {
	b.t.Helper()
	for busy := true; busy; busy = len(b.loop.queued) > 0 {
		b.loop.notify() // so that it does not wait
		if err := b.loop.turn(); err != nil {
			b.t.Fatal(err)
		}
	}
}

// send writes a piece, and returns false once nobody reads any more.
func (b *bench) send(piece []byte) bool {
	b.t.Helper()
	for len(piece) > 0 && b.loop.live > 0 {
		n, err := unix.Write(b.client, piece)
		if err == unix.EPIPE || err == unix.ECONNRESET {
			return false
		}
		if err != nil && err != unix.EAGAIN {
			b.t.Fatal(err)
		}
		piece = piece[max(0, n):]
		b.turn()
	}
	return b.loop.live > 0
}

// receive returns what was answered so far.
func (b *bench) receive() string {
	var all []byte
	buffer := make([]byte, 64<<10)
	for {
		n, err := unix.Read(b.client, buffer)
		if n <= 0 || err != nil {
			return string(all)
		}
		all = append(all, buffer[:n]...)
		b.turn()
	}
}

// disconnect ends the connection on both sides.
func (b *bench) disconnect() {
	_ = unix.Close(b.client)
	b.turn()
	for _, c := range b.loop.conns {
		if c != nil {
			b.loop.closeConn(c)
		}
	}
}

// moved returns what came with a connection that was handed over, and closes it.
func (b *bench) moved() (rest string, ok bool) {
	h := b.loop.server.handed
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, conn := range h.waiting {
		rest, ok = rest+string(conn.(*handedConn).rest), true
		_ = conn.Close()
	}
	h.waiting = nil
	return rest, ok
}

// FuzzStream sends anything in any pieces. What is taken is what net/http reads of the same bytes,
// each request that is taken is answered once, and what is handed over begins where the last one
// that was taken ends.
func FuzzStream(f *testing.F) {
	const plain = "POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nX-a: b\r\nx-A: c\r\n\r\nabc"
	for _, text := range []string{
		plain, plain + plain + plain, plain + "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST /app?a=b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + plain,
		plain + "POST /app HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		plain + "POST /app HTTP/1.1\r\nHost: a\nContent-Length: 3\r\n\r\nabc",
		"POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	} {
		f.Add([]byte(text), uint64(len(text)))
		f.Add([]byte(text), uint64(1))
	}
	b := openBench(f)
	f.Fuzz(func(t *testing.T, text []byte, cuts uint64) {
		b.t = t
		b.connect()
		defer b.disconnect()
		pieces := rand.New(rand.NewPCG(cuts, 0))
		sent := 0
		for sent < len(text) {
			piece := min(1+pieces.IntN(1+int(cuts%200)), len(text)-sent)
			sent += piece
			if !b.send(text[sent-piece : sent]) {
				break
			}
		}
		checkStream(t, b, text[:sent])
	})
}

func checkStream(t *testing.T, b *bench, text []byte) {
	t.Helper()
	if answers := strings.Count(b.receive(), "HTTP/1.1 202 Accepted\r\n"); answers != len(b.taken) {
		t.Errorf("%d answers to %d requests", answers, len(b.taken))
	}
	source := bytes.NewReader(text)
	stream := bufio.NewReader(source)
	for i, taken := range b.taken {
		skipEmptyLine(stream)
		request, err := http.ReadRequest(stream)
		if err != nil {
			t.Fatalf("%q: request %d was taken, and net/http says %v", text, i, err)
		}
		body, err := io.ReadAll(request.Body)
		if err != nil || string(body) != b.bodies[i] {
			t.Errorf("%q: body %d is %q, and net/http reads %q, %v", text, i, b.bodies[i], body, err)
		}
		if request.Method != taken.Method ||
			strings.TrimSuffix(request.RequestURI, "?") != taken.RequestURI ||
			len(request.TransferEncoding) > 0 ||
			!maps.EqualFunc(request.Header, taken.Header, slices.Equal[[]string]) {
			t.Errorf("%q: request %d is %v, and net/http reads %v", text, i, taken, request)
		}
	}
	left := text[len(text)-source.Len()-stream.Buffered():]
	left = left[min(len(left), blank(left)):]
	if rest, ok := b.moved(); ok {
		if !bytes.HasPrefix(left, []byte(rest)) || rest == "" {
			t.Errorf("%q: %q was handed over, and %q is left", text, rest, left)
		}
		return
	}
	var h head
	kind := h.parse(left)
	complete := kind == headUnusual || kind == headRefused &&
		bytes.Contains(left, []byte("\r\n\r\n")) ||
		kind == headPlain && len(left) >= h.Size+int(h.Length)
	if complete && string(left) != "\r" && b.loop.live > 0 && !b.lingering() {
		t.Errorf("%q: %q is left lying", text, left)
	}
}

// blank is how long the empty line at the start of b is, which may stand before a request.
func blank(b []byte) int {
	if bytes.HasPrefix(b, []byte("\r\n")) {
		return 2
	}
	return 0
}

func skipEmptyLine(stream *bufio.Reader) {
	if next, err := stream.Peek(2); err == nil {
		_, _ = stream.Discard(blank(next)) // is there
	}
}

func (b *bench) lingering() bool {
	return slices.ContainsFunc(b.loop.conns,
		func(c *conn) bool { return c != nil && c.state == stateLingering })
}

// TestTurnTakesItsShareOnce: a connection that goes on from the last turn, and of which more has
// come meanwhile, is served once in a turn, and its requests are taken once.
func TestTurnTakesItsShareOnce(t *testing.T) {
	b := openBench(t)
	b.connect()
	defer b.disconnect()
	request := "POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"
	next := 0
	write := func(n int) {
		var all []byte
		for range n {
			all = fmt.Appendf(all, "%s%03d", request, next)
			next++
		}
		if n, err := unix.Write(b.client, all); n != len(all) {
			t.Fatal(n, err)
		}
	}
	write(3 * maxShare)
	for turns := 1; len(b.taken) < next; turns++ {
		if turns <= 2 {
			write(10)
		}
		if err := b.loop.turn(); err != nil {
			t.Fatal(err)
		}
		if len(b.taken) > turns*maxShare {
			t.Fatalf("%d requests are taken after %d turns", len(b.taken), turns)
		}
	}
	if answers := strings.Count(b.receive(), "202 Accepted"); answers != next || len(b.taken) != next {
		t.Errorf("%d answers to %d requests, of which %d were taken", answers, next, len(b.taken))
	}
	for i, body := range b.bodies {
		if body != fmt.Sprintf("%03d", i) {
			t.Fatalf("body %d is %s", i, body)
		}
	}
}

// TestTurnAllocatesNothing in the steady state, whatever the number of connections with a request.
func TestTurnAllocatesNothing(t *testing.T) {
	b := openBench(t)
	b.copies = false
	b.connect()
	defer b.disconnect()
	request := []byte("POST /app?a=b HTTP/1.1\r\nHost: localhost:8080\r\nuser-agent: test\r\nTraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nhello")
	pieces := [][]byte{request, append(slices.Clone(request), request...), request[:100],
		request[100:]}
	answers := make([]byte, 64<<10)
	round := func() {
		for _, piece := range pieces {
			if n, err := unix.Write(b.client, piece); n != len(piece) {
				t.Fatal(n, err)
			}
			if err := b.loop.turn(); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := unix.Read(b.client, answers); n <= 0 ||
			bytes.Count(answers[:n], []byte("202 Accepted")) != 4 {
			t.Fatal(n, err)
		}
	}
	round()
	if n := testing.AllocsPerRun(100, round); n > 0 {
		t.Errorf("%v allocations for 4 requests", n)
	}
}

// TestInventedNamesTakeNoMemory: what is remembered of header names is bounded.
func TestInventedNamesTakeNoMemory(t *testing.T) {
	known := newNames()
	for i := range 10 * maxKnownNames {
		if got, want := known.canonical(fmt.Appendf(nil, "x-nAME-%d", i)),
			fmt.Sprintf("X-Name-%d", i); got != want {
			t.Fatalf("%q, want %q", got, want)
		}
	}
	if got := known.canonical(bytes.Repeat([]byte("a"),
		1000)); got != "A"+strings.Repeat("a", 999) || len(known.known) > maxKnownNames {
		t.Errorf("%d names are known", len(known.known))
	}
}

// TestBuffersHaveRoom for what is asked for, and are used again.
func TestBuffersHaveRoom(t *testing.T) {
	var pool buffers
	for size := 1; size <= largestBuffer; size += 777 {
		b := pool.get(size)
		if cap(b) < size || cap(b) != bufferSize(size) || len(b) != 0 {
			t.Fatalf("%d bytes asked for: %d of %d", size, len(b), cap(b))
		}
		pool.put(b)
	}
	if pool.kept > maxKeptBuffers {
		t.Errorf("%d bytes are kept", pool.kept)
	}
	if maxHead+maxBody > largestBuffer || maxPartialHead+blockBytes > largestBuffer {
		t.Error("the largest request does not fit into the largest buffer")
	}
}

func BenchmarkHead(b *testing.B) {
	request := []byte("POST /app HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: test\r\nAccept: */*\r\nContent-Type: application/json\r\nContent-Length: 200\r\n\r\n")
	var h head
	b.ReportAllocs()
	b.SetBytes(int64(len(request)))
	for b.Loop() {
		if h.parse(request) != headPlain {
			b.Fatal(h.refusal)
		}
	}
}
