package express_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/express"
	"pillarbox/internal/framing"
)

// TestAnswersAreThoseOfNetHTTP sends the same bytes to the loop and to net/http with the same
// handler behind: the same answers, and the same events stored.
func TestAnswersAreThoseOfNetHTTP(t *testing.T) {
	const start = "POST /app HTTP/1.1\r\nHost: localhost\r\n"
	for name, request := range map[string]string{
		"plain":          start + "Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello",
		"empty":          start + "Content-Length: 0\r\n\r\n",
		"without length": start + "\r\n",
		"query":          "POST /app?a=1&b=%20&token=secret HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx",
		"odd query":      "POST /app?? HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx",
		"names of headers": start +
			"x-ONE: 1\r\nX-One: 2\r\nx-two:\t3 \t\r\nAUTHORIZATION: Bearer x\r\nX-Csrf-Token: y\r\nx_y: z\r\nuser-agent: me\r\nContent-Length: 1\r\n\r\nx",
		"values of headers": start +
			"X-A: caf\xc3\xa9 \xff, b\r\nX-Empty:\r\nContent-Length: 1\r\n\r\nx",
		"trace": start +
			"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nContent-Length: 1\r\n\r\nx",
		"two content types": start +
			"Content-Type: a/b\r\nContent-Type: c/d\r\nContent-Length: 1\r\n\r\nx",
		"binary":               start + "Content-Length: 6\r\n\r\n\x00\xff\r\n\r\n",
		"close":                start + "Connection: close\r\nContent-Length: 1\r\n\r\nx",
		"keep-alive":           start + "Connection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx",
		"connection of others": start + "Connection: X-One\r\nX-One: 1\r\nContent-Length: 1\r\n\r\nx",
		"at the limit":         start + "Content-Length: 1000\r\n\r\n" + strings.Repeat("x", 1000),
		"over the limit":       start + "Content-Length: 1001\r\n\r\n" + strings.Repeat("x", 1001),
		"chunked":              start + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"expect":               start + "Expect: nothing\r\nContent-Length: 1\r\n\r\nx",
		"encoded":              start + "Content-Encoding: br\r\nContent-Length: 1\r\n\r\nx",
		"encoded as it is":     start + "Content-Encoding: identity\r\nContent-Length: 1\r\n\r\nx",
		"pragma":               start + "Pragma: no-cache\r\nContent-Length: 1\r\n\r\nx",
		"trailer":              start + "Trailer: X-A\r\nContent-Length: 1\r\n\r\nx",
		"no host name":         "POST /app HTTP/1.1\r\nHost:\r\nContent-Length: 1\r\n\r\nx",
		"odd host":             "POST /app HTTP/1.1\r\nHost: a b\r\nContent-Length: 1\r\n\r\nx",
		"escaped path":         "POST /%61pp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx",
		"whole URL":            "POST http://localhost/app HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx",
		"fragment":             "POST /app#a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx",
		"old version":          "POST /app HTTP/1.0\r\nContent-Length: 1\r\n\r\nx",
		"new version":          "POST /app HTTP/1.2\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx",
		"get":                  "GET /app HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"head":                 "HEAD /app HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
		"put":                  "PUT /app HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx",
		"other path":           "POST /other HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx",
		"batch":                "POST /app/batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: 4\r\n\r\n1\n2\n",
		"ends in its body":     start + "Content-Length: 5\r\n\r\nhell" + cut,
		"ends in its head":     start + "Content-Le" + cut,
		"two requests": start + "Content-Length: 1\r\n\r\nx" + start +
			"Content-Length: 1\r\n\r\ny",
		"close, and one more": start + "Connection: close\r\nContent-Length: 1\r\n\r\nx" + start +
			"\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			fast, plain := open(t, express.Options{}), prepare(t)
			defer plain.queue.Close()
			got, want := exchange(t, fast.addr, request),
				exchange(t, serveNetHTTP(t, plain.public, 0), request)
			if !slices.Equal(got, want) {
				t.Errorf("answers\n%q, want\n%q", got, want)
			}
			if got, want := stored(t, fast), stored(t, plain); got != want {
				t.Errorf("stored\n%s, want\n%s", got, want)
			}
		})
	}
}

// serveNetHTTP answers without the loop, and returns the address.
func serveNetHTTP(t *testing.T, handler http.Handler, maxHeader int) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	ended := make(chan error, 1)
	go func() {
		ended <- framing.Serve(server, listener,
			framing.Options{MaxHeaderBytes: maxHeader})
	}()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		<-ended
	})
	return listener.Addr().String()
}

// cut at the end of a request says that the client ends its side there.
const cut = "CUT"

// keys are the parts of answers that differ from one request to the next.
var keys = regexp.MustCompile(`[0-9a-f-]{36}|[0-9-]{10}T[0-9:.]{15}Z`)

// exchange returns all answers, without what differs from one request to the next.
func exchange(t *testing.T, addr, request string) []string {
	t.Helper()
	const last = "GET /app HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" // so that the end is known
	c := dial(t, addr)
	if whole, ends := strings.CutSuffix(request, cut); ends {
		if err := c.send(whole).CloseWrite(); err != nil {
			t.Fatal(err)
		}
	} else {
		c.send(request + last)
	}
	var answers []string
	for {
		a, err := c.tryAnswer()
		if err != nil {
			return answers
		}
		body := keys.ReplaceAllString(a.body, "KEY")
		if id := a.Header.Get("X-Request-Id"); id != "" {
			var receipt pillarbox.Receipt
			if err := json.Unmarshal([]byte(a.body), &receipt); err != nil || receipt.RequestID != id {
				t.Errorf("receipt %q, %v", a.body, err)
			}
			a.Header.Set("X-Request-Id", "ID")
		}
		head := fmt.Sprint(a.Proto, " ", a.StatusCode)
		if a.StatusCode == http.StatusBadRequest {
			answers = append(answers, head) // net/http refuses in its own words, and leaves out the date
			continue
		}
		if a.Header.Get("Date") == "" {
			t.Errorf("an answer without a date: %v", a.Header)
		}
		a.Header.Del("Date")
		head += fmt.Sprint(" close ", a.Close)
		for _, name := range slices.Sorted(maps.Keys(a.Header)) {
			head += fmt.Sprintf(", %s %q", name, a.Header[name])
		}
		answers = append(answers, head+": "+body)
	}
}

// stored returns the events as JSON, without their keys.
func stored(t *testing.T, b *box) string {
	t.Helper()
	var all []string
	for _, event := range b.queued() {
		copied := *event
		copied.Timestamp, copied.RequestID = 1, "ID"
		text, err := json.Marshal(&copied)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(text))
	}
	return strings.Join(all, "\n")
}

// TestHeadsHaveOneLimit, on both fronts.
func TestHeadsHaveOneLimit(t *testing.T) {
	const limit = 1024
	for size, c := range map[int]struct{ status, moved int }{
		500: {http.StatusAccepted, 0}, limit: {http.StatusAccepted, 0},
		limit + 1: {http.StatusRequestHeaderFieldsTooLarge, 0},
		6000:      {http.StatusRequestHeaderFieldsTooLarge, 0},
	} {
		const start, end = "POST /app HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nX-A: ",
			"\r\n\r\n"
		request := start + strings.Repeat("x", size-len(start+end)) + end + "x"
		fast, plain := open(t, express.Options{MaxHeaderBytes: limit}), prepare(t)
		defer plain.queue.Close()
		for front, addr := range map[string]string{"the loop": fast.addr,
			"net/http": serveNetHTTP(t, plain.public, limit)} {
			if got := dial(t, addr).send(request).answer(); got.StatusCode != c.status {
				t.Errorf("a head of %d bytes on %s: status %d, want %d", size, front, got.StatusCode, c.status)
			}
		}
		if moved := int(fast.moved.Load()); moved != c.moved {
			t.Errorf("a head of %d bytes: net/http has answered %d requests, want %d", size, moved, c.moved)
		}
	}
}
