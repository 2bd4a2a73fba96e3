package express

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	const start = "POST /app HTTP/1.1\r\nHost: a\r\n"
	for text, want := range map[string]headKind{
		start + "Content-Length: 3\r\n\r\nabc":        headPlain,
		start + "\r\n":                                headPlain,
		start + "content-length:3\r\n\r\n":            headPlain,
		start + "Content-Length: \t3 \t\r\n\r\n":      headPlain,
		start + "Connection: close\r\n\r\n":           headPlain,
		start + "X-A: caf\xc3\xa9\r\n\r\n":            headPlain,
		"POST /app?a=b&c HTTP/1.1\r\nHost: a\r\n\r\n": headPlain,
		"POST /app HTT":                               headPartial,
		"POST /app HTTP/1.1\r\nHost: a\r\nX":          headPartial, "": headPartial, "P": headPartial,
		"G": headUnusual, "PRI": headUnusual, "\x16": headUnusual,
		"GET /app HTTP/1.1\r\nHost: a\r\n\r\n":                                    headUnusual,
		"POST /app HTTP/1.0\r\nHost: a\r\n\r\n":                                   headUnusual,
		"POST /%61pp HTTP/1.1\r\nHost: a\r\n\r\n":                                 headUnusual,
		"POST http://a/app HTTP/1.1\r\nHost: a\r\n\r\n":                           headUnusual,
		"POST a:80 HTTP/1.1\r\nHost: a\r\n\r\n":                                   headRefused,
		start + "Content-Length: 03\r\n\r\n":                                      headRefused,
		start + "Transfer-Encoding: gzip\r\n\r\n":                                 headRefused,
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":                                        headUnusual,
		"\x16\x03\x01\n":                                                          headUnusual,
		start + "Transfer-Encoding: chunked\r\n\r\n":                              headUnusual,
		start + "Expect: 100-continue\r\n\r\n":                                    headUnusual,
		start + "PREFER: wait=5\r\n\r\n":                                          headUnusual,
		start + "Upgrade: h2c\r\nConnection: upgrade\r\n\r\n":                     headUnusual,
		start + "Content-Encoding: gzip\r\n\r\n":                                  headPlain,
		start + "Content-Encoding: ZSTD\r\n\r\n":                                  headPlain,
		start + "Content-Encoding: deflate\r\n\r\n":                               headUnusual,
		start + "Content-Encoding: gzip, zstd\r\n\r\n":                            headUnusual,
		start + "Content-Encoding: gzip\r\nContent-Encoding: gzip\r\n\r\n":        headUnusual,
		start + "Idempotency-Key: 1\r\n\r\n":                                      headPlain,
		start + "Pragma: no-cache\r\n\r\n":                                        headUnusual,
		"POST /app HTTP/1.1\r\nHost: a(b\r\n\r\n":                                 headUnusual,
		"POST /app HTTP/1.1\r\nHost: a/b\r\n\r\n":                                 headRefused,
		"POST /app HTTP/1.0\r\n\r\n":                                              headUnusual,
		"GET /app HTTP/1.1\n":                                                     headUnusual,
		start + strings.Repeat("X: y\r\n", maxFields) + "\r\n":                    headPlain,
		start + strings.Repeat("X: y\r\n", maxFields+1) + "\r\n":                  headUnusual,
		start + strings.Repeat("X: y\r\n", maxFields+1) + "X : y\r\n\r\n":         headRefused,
		start + "X: " + strings.Repeat("x", maxHead) + "\r\n\r\n":                 headUnusual,
		start + "X: " + strings.Repeat("x", maxHead):                              headPartial,
		start + "X: " + strings.Repeat("x", maxPartialHead):                       headPartial,
		start + "Content-Length: 3\r\nContent-Length: 3\r\n\r\n":                  headRefused,
		start + "Content-Length: 3, 3\r\n\r\n":                                    headRefused,
		start + "Content-Length: +3\r\n\r\n":                                      headRefused,
		start + "Content-Length: 0x3\r\n\r\n":                                     headRefused,
		start + "Content-Length: \r\n\r\n":                                        headRefused,
		start + "Content-Length: 9999999999999999999\r\n\r\n":                     headRefused,
		start + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n":         headRefused,
		start + "Host: b\r\n\r\n":                                                 headRefused,
		"POST /app HTTP/1.1\nHost: a\r\n\r\n":                                     headRefused,
		"POST /app HTTP/1.0\r\nContent-Length: 1\r\nTransfer-Encoding: x\r\n\r\n": headRefused,
		"POST /%61pp HTTP/1.1\r\nHost: a\r\nX-A: b\n\r\n":                         headRefused,
		"POST /app HTTP/1.1\r\nContent-Length: 3\r\n\r\n":                         headRefused,
		start + "Content-Length : 3\r\n\r\n":                                      headRefused,
		start + " folded\r\n\r\n":                                                 headRefused,
		start + "X-A: b\n\r\n":                                                    headRefused,
		start + "X-A: b\rc\r\n\r\n":                                               headRefused,
		start + "X-A: \x00\r\n\r\n":                                               headRefused,
		start + ": b\r\n\r\n":                                                     headRefused,
		start + "X-A\r\n\r\n":                                                     headRefused,
		start + "\n":                                                              headRefused,
	} {
		var h head
		if got := h.parse([]byte(text)); got != want {
			t.Errorf("%.80q: kind %d, want %d (%s)", text, got, want, h.refusal)
		} else if got == headRefused && h.refusal == nil {
			t.Errorf("%q: no reason", text)
		}
	}
}

// FuzzHead holds the parser against net/http's: what is plain here means the same there, and what
// comes in pieces is not taken for something else.
func FuzzHead(f *testing.F) {
	f.Add([]byte("POST /app?a=b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nX-A: b\r\nX-a: c\r\n\r\nabc"))
	f.Add([]byte("POST /app HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"))
	f.Add([]byte("POST //a/../b;c HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
	f.Add([]byte("POST /app HTTP/1.1\r\nHost: a\nContent-Length: 3\r\n\r\nabc"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var h head
		kind := h.parse(text)
		for cut := range min(len(text), 300) {
			var part head
			if got := part.parse(text[:cut]); got == headPlain &&
				(kind != headPlain || part.Size != h.Size) || got == headRefused &&
				kind == headPlain {
				t.Fatalf("the first %d bytes of %q: kind %d, and %d of all", cut, text, got, kind)
			}
		}
		if kind != headPlain {
			return
		}
		request, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(text)))
		if err != nil {
			t.Fatalf("%q is plain here, and net/http says %v", text, err)
		}
		if request.Method != http.MethodPost || request.URL.Path != string(h.path) ||
			request.URL.RawQuery != string(h.query) ||
			request.ContentLength != h.Length || request.Close != h.last ||
			len(request.TransferEncoding) > 0 {
			t.Errorf("%q: net/http reads %+v", text, request)
		}
		if request.Header.Get("Content-Type") != string(h.contentType) ||
			request.Header.Get("Traceparent") != string(h.traceparent) {
			t.Errorf("%q: net/http reads the headers %v", text, request.Header)
		}
		fields := 0
		for _, values := range request.Header {
			fields += len(values)
		}
		if fields != len(h.Fields) {
			t.Errorf("%q: %d header lines, and net/http has %d", text, len(h.Fields), fields)
		}
	})
}
