package express

import (
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Each byte of a head is looked at in the first try to parse it, once while its end is awaited,
// when it is complete, and once more when its body is.
const workPerByte = 4

// checkWork holds the loop to its budget, which is one of bytes and not of time.
func checkWork(t *testing.T, b *bench, sent int) {
	t.Helper()
	if looked := b.loop.head.looked; looked > int64(workPerByte*(sent+len(post)*len(post))) {
		t.Errorf("%d bytes were looked at, of %d that came", looked, sent)
	}
}

// shortLines is a head that is made to be read again at each line.
func shortLines(n int) string {
	return "POST /app HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: y\r\n", n) + "\r\n"
}

// TestHeadsInPiecesCostAsMuchAsWholeOnes sends a head of 30 KB line by line, and byte by byte.
func TestHeadsInPiecesCostAsMuchAsWholeOnes(t *testing.T) {
	b := openBench(t)
	for _, size := range []int{1, 6, 100} {
		b.connect()
		b.loop.head.looked = 0
		text := shortLines(5000)
		for from := 0; from < len(text) &&
			b.send([]byte(text[from:min(from+size, len(text))])); from += size {
		}
		checkWork(t, b, len(text))
		if rest, ok := b.moved(); !ok || rest != text {
			t.Errorf("in pieces of %d: %d bytes were handed over", size, len(rest))
		}
		b.disconnect()
	}
}

// FuzzWork sends anything in any pieces: the work is bounded by what came.
func FuzzWork(f *testing.F) {
	f.Add([]byte(shortLines(100)), uint64(6))
	f.Add([]byte(shortLines(10)+strings.Repeat(
		"\r\nPOST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 3)), uint64(1))
	f.Add([]byte("POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 300\r\n\r\n"+strings.Repeat("\r\n",
		150)), uint64(1))
	b := openBench(f)
	f.Fuzz(func(t *testing.T, text []byte, cuts uint64) {
		b.t = t
		b.connect()
		defer b.disconnect()
		b.loop.head.looked = 0
		pieces := rand.New(rand.NewPCG(cuts, 0))
		for sent := 0; sent < len(text); {
			piece := min(1+pieces.IntN(1+int(cuts%200)), len(text)-sent)
			if sent += piece; !b.send(text[sent-piece : sent]) {
				break
			}
		}
		b.receive()
		checkWork(t, b, len(text))
		b.moved()
	})
}

// BenchmarkHeadByLine is a head that comes line by line. Its bytes a second must not depend on the
// number of lines.
func BenchmarkHeadByLine(b *testing.B) {
	for name, lines := range map[string]int{"100 lines": 100, "1000 lines": 1000} {
		b.Run(name, func(b *testing.B) {
			bench := openBench(b)
			bench.copies = false
			text := shortLines(lines)
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				bench.connect()
				for line := range strings.Lines(text) {
					if _, err := unix.Write(bench.client, []byte(line)); err != nil {
						b.Fatal(err)
					}
					if err := bench.loop.turn(); err != nil {
						b.Fatal(err)
					}
				}
				bench.moved()
				bench.disconnect()
			}
		})
	}
}

// TestWhatHasArrivedIsCharged, and not what was announced: a byte of a body of 100,000 costs a
// small buffer.
func TestWhatHasArrivedIsCharged(t *testing.T) {
	b := openBench(t)
	b.connect()
	head := "POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"
	for sent := 1; sent <= 100_000; sent *= 10 {
		b.send([]byte((head + strings.Repeat("x", sent))[b.sent:]))
		b.sent = len(head) + sent
		if held := b.loop.server.memory.Held(); sent < 100_000 &&
			(held < int64(sent) || held > int64(2*(len(head)+sent)+smallestBuffer)) {
			t.Errorf("with %d bytes there, %d are charged", sent, held)
		}
	}
	b.receive()
	if held := b.loop.server.memory.Held(); held != 0 {
		t.Errorf("%d bytes are charged at the end", held)
	}
	b.disconnect()
}
