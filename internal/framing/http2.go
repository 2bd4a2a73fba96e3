package framing

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// serveHTTP2 holds a request of HTTP/2 to the rules that a Conn holds those of HTTP/1 to: the bytes
// of its head, one host, and the least rate of its body. Where it ends, its frames say, and net/http
// refuses what contradicts them.
func (g *guard) serveHTTP2(w http.ResponseWriter, r *http.Request) {
	if err := g.checkHTTP2(r); err != nil {
		answer(w, err)
		return
	}
	if g.opts.MinBodyRate > 0 && r.Body != nil && r.Body != http.NoBody {
		r.Body = &pacedBody{ReadCloser: r.Body, control: http.NewResponseController(w), opts: g.opts}
	}
	g.next.ServeHTTP(w, r)
}

// errHosts is what a request is refused with that names two hosts.
var errHosts = refusal("the pseudo-header :authority and the header Host are not the same")

// errLengths is what a request is refused with that says twice how long it is.
var errLengths = refusal("Content-Length is there twice")

func (g *guard) checkHTTP2(r *http.Request) error {
	size := len(r.Method) + len(r.RequestURI) + len(r.Host)
	for name, values := range r.Header {
		for _, value := range values {
			size += len(name) + len(value) + len(": \r\n")
		}
	}
	if size > g.opts.MaxHeaderBytes {
		return ErrHeadTooLarge
	}
	if len(r.Header["Content-Length"]) > 1 {
		return errLengths // net/http takes the first one
	}
	for _, host := range r.Header["Host"] {
		if !strings.EqualFold(host, r.Host) {
			return errHosts
		}
	}
	r.Header.Del("Host") // as net/http does with HTTP/1
	return nil
}

// pacedBody is a body of HTTP/2 that has to bring its least. Only its reader uses it.
type pacedBody struct {
	io.ReadCloser
	control *http.ResponseController
	opts    *Options
	due     time.Time // when it must have brought its least; zero where none is awaited
	has     int64     // bytes since then
}

// Read implements io.Reader.
func (b *pacedBody) Read(p []byte) (int, error) {
	if b.due.IsZero() {
		b.due, b.has = time.Now().Add(b.opts.BodyGrace), 0
		if err := b.control.SetReadDeadline(b.due); err != nil {
			return 0, err
		}
	}
	n, err := b.ReadCloser.Read(p)
	if b.has += int64(n); b.has >= LeastBytes(b.opts.MinBodyRate, b.opts.BodyGrace) || err == io.EOF {
		b.due = time.Time{}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = ErrTooSlow
	}
	return n, err
}
