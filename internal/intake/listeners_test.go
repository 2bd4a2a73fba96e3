package intake_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"pillarbox/internal/admission"
	"pillarbox/internal/intake"
	"pillarbox/internal/opening"
	"pillarbox/internal/proxy"
	"pillarbox/internal/source"
)

// TestTheClientOfAProxyIsKnown: by the PROXY protocol, and by the header of a trusted proxy; what is
// not trusted is not believed. The address is what is stored, and what allow and deny see.
func TestTheClientOfAProxyIsKnown(t *testing.T) { onListeners(t, clientOfAProxy) }

func clientOfAProxy(t *testing.T, f front) {
	trusted := proxy.NewTrusted([]netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("10.0.0.0/8"),
		netip.MustParsePrefix(proxiedClient + "/32")}, true, proxy.XForwardedFor)
	own := map[string]string{overUnix: "unix", overProxy: proxiedClient, overProxyTLS: proxiedClient}[f.kind]
	if own == "" {
		own = "127.0.0.1"
	}
	for _, trusts := range []*proxy.Trusted{nil, trusted} {
		f.limits.Trusted = trusts
		b := openPublic(t, intake.Options{Trusted: trusts})
		table, err := source.Compile([]source.Settings{{Name: "app", Path: "/app", MaxBody: testMaxBody,
			Deny: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}}, source.Options{})
		if err != nil {
			t.Fatal(err)
		}
		b.sources.Replace(table)
		server := f.serve(t, b, 0, 0)
		for _, path := range []string{"/app", "/app/batch"} {
			for header, want := range map[string]string{
				"":                                  own,
				"X-Forwarded-For: 192.0.2.1\r\n":    "192.0.2.1",
				"X-Forwarded-For: 192.0.2.1:99\r\n": "192.0.2.1",
				"X-Forwarded-For: 1.1.1.1, 192.0.2.1, 10.1.1.1\r\n":                    "192.0.2.1",
				"X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 192.0.2.1\r\n":           "192.0.2.1",
				"X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 192.0.2.1, 10.1.1.1\r\n": "192.0.2.1",
				"X-Forwarded-For: unknown, 10.1.1.1\r\n":                               "10.1.1.1",
				"X-Forwarded-For: 2001:db8::1\r\n":                                     "2001:db8::1",
				"Forwarded: for=192.0.2.1\r\n":                                         own,
				"X-Forwarded-For: 198.51.100.7\r\n":                                    "",
			} {
				if trusts == nil {
					want = own
				}
				if want == overUnix {
					want = "" // is no address, and a source with networks wants one
				}
				before := len(b.Queued())
				response, _ := exchange(t, server, "POST "+path+" HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"+header+
					"Content-Length: 3\r\n\r\n[1]", false)
				stored := b.Queued()[before:]
				switch {
				case want == "" && (response.StatusCode != http.StatusForbidden || len(stored) > 0):
					t.Errorf("%q: answered with %d", header, response.StatusCode)
				case want != "" && (len(stored) != 1 || stored[0].RemoteAddr != want):
					t.Errorf("%q: %d, %v; want %s", header, response.StatusCode, stored, want)
				}
			}
		}
		server.stop()
	}
}

// TestWhoComesWithAPROXYHeaderMustBeTrusted, and the header must be right: nobody else gets an
// answer.
func TestWhoComesWithAPROXYHeaderMustBeTrusted(t *testing.T) {
	onFronts(t, func(t *testing.T, f front) {
		f.kind = overProxy
		b := openPublic(t, intake.Options{})
		server := f.serve(t, b, 0, 0)
		const post = "POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"
		for header, good := range map[string]bool{
			"PROXY UNKNOWN\r\n": true, "PROXY TCP6 2001:db8::1 ::1 1 2\r\n": true, "": false, "PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n": false,
			"PROXY TCP4 ::1 ::1 1 2\r\n": false, "PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n": false,
		} {
			conn, err := net.Dial("tcp", server.addr)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(conn, header+post) // it may be closed before its end
			_ = conn.(*net.TCPConn).CloseWrite()
			answer, _ := io.ReadAll(conn)
			if good != strings.HasPrefix(string(answer), "HTTP/1.1 202 ") || !good && len(answer) > 0 {
				t.Errorf("%q: %q", header, answer)
			}
			conn.Close()
		}
		if n := len(b.Queued()); n != 2 {
			t.Errorf("%d events are stored", n)
		}
	})
}

// TestClientsOfAProxyAreCountedByTheirAddress, and not under that of the proxy.
func TestClientsOfAProxyAreCountedByTheirAddress(t *testing.T) {
	onFronts(t, func(t *testing.T, f front) {
		for _, f.kind = range []string{overProxy, overProxyTLS} {
			closed := make(chan admission.Reason, 1)
			f.limits.MaxPerAddress, f.limits.Trusted, f.limits.Closed = 1, trustedProxy, func(reason admission.Reason) {
				select { // the first one counts: how often the loop below tries is left to the machine
				case closed <- reason:
				default:
				}
			}
			b := openPublic(t, intake.Options{})
			server := f.serve(t, b, 0, 0)
			const post = "POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"
			ask := func(conn duplex) bool {
				_, _ = io.WriteString(conn, post) // it may be closed
				_, err := http.ReadResponse(bufio.NewReader(conn), nil)
				return err == nil
			}
			first := server.dial(t)
			if !ask(first) {
				t.Fatal("the first one is not answered")
			}
			second := server.dial(t)
			if ask(second) || <-closed != admission.OverItsBudget {
				t.Error("a second one of the same address is answered")
			}
			second.Close()
			first.Close()
			for again := false; !again; { // the server finds out in its own time
				conn := server.dial(t)
				again = ask(conn)
				conn.Close()
			}
			server.stop()
		}
	})
}

// TestACertificateOpensASource by a name or a URI of it, over HTTP/1 and HTTP/2, and is the caller.
func TestACertificateOpensASource(t *testing.T) {
	onFronts(t, func(t *testing.T, f front) {
		f.kind = overTLS
		a, _ := serverTLS(t)
		b := openPublic(t, intake.Options{})
		rule := &source.CertificateRule{Names: []string{"shop.example.org", "alone"}, URIs: []string{"spiffe://example.org/billing", "spiffe://example.org/a/*"}}
		table, err := source.Compile([]source.Settings{{Name: "app", Path: "/app", MaxBody: testMaxBody, Certificates: rule},
			{Name: "any", Path: "/any", MaxBody: testMaxBody, Certificates: &source.CertificateRule{Names: []string{"*"}}}}, source.Options{})
		if err != nil {
			t.Fatal(err)
		}
		b.sources.Replace(table)
		server := f.serve(t, b, 0, 0)
		for _, c := range []struct {
			client    []tls.Certificate
			name      string
			app, any_ int
		}{
			{nil, "none", 401, 401},
			{[]tls.Certificate{a.Client("x", "shop.example.org", "")}, "a name", 202, 202},
			{[]tls.Certificate{a.Client("x", "Shop.Example.org", "")}, "a name in capitals", 202, 202},
			{[]tls.Certificate{a.Client("x", "other.example.org", "")}, "another name", 401, 202},
			{[]tls.Certificate{a.Client("alone", "", "")}, "a common name alone", 202, 202},
			{[]tls.Certificate{a.Client("alone", "other.example.org", "")}, "a common name beside a name", 401, 202},
			{[]tls.Certificate{a.Client("x", "", "spiffe://example.org/billing")}, "a URI", 202, 202},
			{[]tls.Certificate{a.Client("x", "", "spiffe://example.org/billing/x")}, "a longer URI", 401, 202},
			{[]tls.Certificate{a.Client("x", "", "spiffe://example.org/a/b")}, "a URI below", 202, 202},
		} {
			for _, http2 := range []bool{false, true} {
				transport := &http.Transport{ForceAttemptHTTP2: http2, TLSClientConfig: &tls.Config{RootCAs: a.Pool, ServerName: "localhost", Certificates: c.client}}
				if !http2 {
					transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
				}
				client := &http.Client{Transport: transport}
				for path, want := range map[string]int{"/app": c.app, "/any": c.any_} {
					response, err := client.Post("https://"+server.addr+path, "text/plain", strings.NewReader("x"))
					if err != nil {
						t.Fatal(err)
					}
					if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != want || (response.ProtoMajor == 2) != http2 {
						t.Errorf("%s, %s: %d %s, want %d", c.name, path, response.StatusCode, response.Proto, want)
					}
					if want == 401 && response.Header.Get("WWW-Authenticate") == "" {
						t.Errorf("%s: no challenge", c.name)
					}
					response.Body.Close()
				}
				transport.CloseIdleConnections()
			}
		}
	})
}

// TestHandshakesThatNeverFinishStarveNobody: good clients are served beside them, new ones and those
// that are there, and what is held is bounded by the places.
func TestHandshakesThatNeverFinishStarveNobody(t *testing.T) {
	const places, flood = 280, 600 // a turn of the loop accepts up to 256, in any order
	onFronts(t, func(t *testing.T, f front) {
		f.kind, f.places = overTLS, places
		b := openPublic(t, intake.Options{})
		server := f.serve(t, b, 0, 0)
		const post = "POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"
		there := server.dial(t)
		defer there.Close()
		answers, before, good := bufio.NewReader(there), runtime.NumGoroutine(), 0
		for i := range flood {
			conn, err := net.Dial("tcp", server.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, "\x16\x03\x01\x02\x00\x01"); err != nil {
				t.Fatal(err)
			}
			if i%50 != 0 {
				continue
			}
			if response, _ := exchange(t, server, post, false); response.StatusCode != http.StatusAccepted {
				t.Errorf("a new client is answered with %d", response.StatusCode)
			}
			if _, err := io.WriteString(there, post); err != nil {
				t.Fatal(err)
			}
			wantStatus(t, answers, http.StatusAccepted)
			good += 2
		}
		if n := runtime.NumGoroutine() - before; n > 2*places {
			t.Errorf("%d goroutines more for %d places", n, places)
		}
		if n := len(b.Queued()); n != good {
			t.Errorf("%d events are stored, want %d", n, good)
		}
	})
}

// TestHTTP2IsAsStrict: what smuggles requests in HTTP/1 is refused in HTTP/2, or says nothing there,
// and limits are the same.
func TestHTTP2IsAsStrict(t *testing.T) {
	onFronts(t, func(t *testing.T, f front) {
		f.kind = overTLS
		b := openPublic(t, intake.Options{})
		server := f.serve(t, b, 0, 0)
		long := strings.Repeat("x", 33<<10)
		for _, c := range []struct {
			name   string
			header []string // pairs, behind those of a POST
			body   string
			status int // 0: the stream or the connection ends
		}{
			{"plain", nil, "abc", 202},
			{"its length", []string{"content-length", "3"}, "abc", 202},
			{"a length that is too short", []string{"content-length", "2"}, "abc", 0},
			{"a length that is too long", []string{"content-length", "4"}, "abc", 400},
			{"two lengths", []string{"content-length", "3", "content-length", "4"}, "abc", 400},
			{"one length twice", []string{"content-length", "3", "content-length", "3"}, "abc", 400},
			{"a length that is none", []string{"content-length", "x"}, "abc", 0},
			{"Transfer-Encoding", []string{"transfer-encoding", "chunked"}, "3\r\nabc\r\n0\r\n\r\n", 400},
			{"Connection", []string{"connection", "close"}, "abc", 400},
			{"Upgrade", []string{"upgrade", "h2c"}, "abc", 400},
			{"TE", []string{"te", "gzip"}, "abc", 400},
			{"a line break in a value", []string{"x-a", "b\r\nx-c: d"}, "abc", 0},
			{"a line break in a name", []string{"x-a\r\nx-c", "d"}, "abc", 0},
			{"a name in capitals", []string{"X-A", "b"}, "abc", 0},
			{"a zero in a value", []string{"x-a", "b\x00c"}, "abc", 0},
			{"a space before a colon", []string{"content-length ", "3"}, "abc", 0},
			{"another host", []string{"host", "b"}, "abc", 400},
			{"the same host", []string{"host", "localhost"}, "abc", 202},
			{"a pseudo-header behind a header", []string{"x-a", "b", ":path", "/any"}, "abc", 0},
			{"a head that is too large", []string{"x-a", long}, "abc", 431},
			{"a body that is too large", nil, strings.Repeat("x", testMaxBody+1), 413},
			{"another coding", []string{"content-encoding", "br"}, "abc", 415},
		} {
			before := len(b.Queued())
			status := rawHTTP2(t, server, c.header, c.body, true)
			stored := b.Queued()[before:]
			if (len(stored) == 1) != (c.status == 202) || len(stored) == 1 && string(stored[0].Body) != c.body {
				t.Errorf("%s: stored %v", c.name, stored)
			}
			if status != c.status && !(c.status == 0 && status == 400) {
				t.Errorf("%s: answered with %d, want %d", c.name, status, c.status)
			}
		}
		server.stop()
	})
}

// TestAnUploadOverHTTP2ThatStandsStillIsCutOff with 408, as one over HTTP/1 is.
func TestAnUploadOverHTTP2ThatStandsStillIsCutOff(t *testing.T) {
	onFronts(t, func(t *testing.T, f front) {
		f.kind, f.limits.MinBodyRate, f.limits.BodyGrace = overTLS, 100, 50*time.Millisecond
		b := openPublic(t, intake.Options{})
		server := f.serve(t, b, time.Hour, 0)
		if status := rawHTTP2(t, server, []string{"content-length", "900"}, strings.Repeat("x", 600), false); status != http.StatusRequestTimeout {
			t.Errorf("answered with %d", status)
		}
		server.stop()
		if len(b.Queued()) != 0 {
			t.Error("something was stored")
		}
	})
}

// rawHTTP2 sends a POST with these headers on a connection of its own, with a body that ends or not,
// and returns the status; 0 where the stream or the connection ends without one.
func rawHTTP2(t *testing.T, server *served, header []string, body string, ends bool) int {
	t.Helper()
	a, _ := serverTLS(t)
	conn, err := tls.Dial("tcp", server.addr, &tls.Config{RootCAs: a.Pool, ServerName: "localhost", NextProtos: []string{opening.HTTP2}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	framer.AllowIllegalWrites = true
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	var block strings.Builder
	encoder := hpack.NewEncoder(&block)
	fields := append([]string{":method", "POST", ":scheme", "https", ":authority", "localhost", ":path", "/app"}, header...)
	for i := 0; i < len(fields); i += 2 {
		if err := encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
			t.Fatal(err)
		}
	}
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	writeBlock(t, framer, block.String())
	_ = framer.WriteData(1, ends, []byte(body)) // it may be refused before
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return 0
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			status := 0
			fmt.Sscan(frame.PseudoValue("status"), &status)
			return status
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return 0
		}
	}
}

// writeBlock writes a block of headers in frames of the size that every server takes.
func writeBlock(t *testing.T, framer *http2.Framer, block string) {
	t.Helper()
	const size = 16 << 10
	first := block[:min(len(block), size)]
	block = block[len(first):]
	err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte(first), EndHeaders: block == ""})
	for err == nil && block != "" {
		part := block[:min(len(block), size)]
		block = block[len(part):]
		err = framer.WriteContinuation(1, block == "", []byte(part))
	}
	if err != nil {
		t.Fatal(err)
	}
}
