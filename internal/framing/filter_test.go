package framing

import (
	"bufio"
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
)

const start = "POST /app HTTP/1.1\r\nHost: a\r\n"

// run lets a filter settle a text that comes in pieces, each of a size that next chooses.
func run(f *Filter, text []byte, next func() int) (settled []byte, err error) {
	var have []byte
	for len(text) > 0 {
		n := min(max(1, next()), len(text))
		have, text = append(have, text[:n]...), text[n:]
		for len(have) > 0 {
			n, skip, err := f.Step(have)
			if err != nil {
				return settled, err
			}
			if n == 0 {
				break
			}
			if !skip {
				settled = append(settled, have[:n]...)
			}
			have = have[n:]
		}
	}
	return settled, nil
}

// FuzzFilter: what is settled does not depend on the pieces, and net/http reads the same requests
// of it, to their ends.
func FuzzFilter(f *testing.F) {
	for _, text := range []string{
		start + "Content-Length: 3\r\n\r\nabc" + "\r\n" + start + "\r\n", start + "Transfer-Encoding: chunked\r\n\r\n3;a\r\nabc\r\n0\r\nX: y\r\n\r\nGET / HTTP/1.0\r\n\r\n",
		start + "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", start + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", start + "X : y\r\n\r\n", "\r\n\r\n", "\x16\x03",
		start + "Transfer-Encoding: chunked\r\n\r\n0\r\n\n",
	} {
		f.Add([]byte(text), uint64(1))
		f.Add([]byte(text), uint64(1000))
	}
	f.Fuzz(func(t *testing.T, text []byte, cuts uint64) {
		chance := rand.New(rand.NewPCG(cuts, 0))
		whole, pieces := &Filter{}, &Filter{}
		all, err := run(whole, text, func() int { return len(text) })
		parts, partsErr := run(pieces, text, func() int { return chance.IntN(1 + int(cuts%100)) })
		if !bytes.Equal(all, parts) || (err == nil) != (partsErr == nil) ||
			whole.Heads() != pieces.Heads() {
			t.Fatalf("%q: %q, %v as a whole, and %q, %v in pieces", text, all, err, parts, partsErr)
		}
		stream := bufio.NewReader(bytes.NewReader(all))
		for n := int64(0); n < whole.Heads(); n++ {
			request, readErr := http.ReadRequest(stream)
			if readErr != nil {
				if strings.Contains(readErr.Error(), "parse") || strings.Contains(readErr.Error(), "invalid") {
					return // a target that is no URL ends the connection at net/http
				}
				t.Fatalf("%q: net/http does not read request %d: %v", text, n, readErr)
			}
			body, readErr := io.ReadAll(request.Body)
			open := n+1 == whole.Heads() && !whole.Between() && !whole.InHead() // the end of its body is not settled
			if (readErr == nil) == open {
				t.Fatalf("%q: net/http reads the body %q of request %d with %v, and its end is settled: %v",
					text, body, n, readErr, !open)
			}
		}
		if rest, _ := io.ReadAll(stream); whole.Between() && err == nil && len(rest) > 0 {
			t.Errorf("%q: net/http leaves %q", text, rest)
		}
	})
}

// TestScanLooksAtEachByteOnce, however the head comes.
func TestScanLooksAtEachByteOnce(t *testing.T) {
	head := start + strings.Repeat("X: y\r\n", 1000) + "\r\n"
	scan := Scan{}
	looked := 0
	for end := 1; end <= len(head); end++ {
		before := scan.Looked()
		complete, err := scan.Next([]byte(head[:end]))
		if err != nil || complete != (end == len(head)) {
			t.Fatalf("at %d: %v, %v", end, complete, err)
		}
		looked += scan.Looked() - before
	}
	if looked != len(head) {
		t.Errorf("%d bytes were looked at, of %d", looked, len(head))
	}
}
