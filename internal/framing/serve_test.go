package framing

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// serve answers on a listener of its own, and returns the address.
func serve(t testing.TB, server *http.Server, how func(net.Listener) error) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- how(listener) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

func reading() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusRequestTimeout)
		}
	})
}

// TestLaterHeadsHaveTheirTime: the time for a head begins with its first byte, on every request of
// a connection, although net/http does not see that byte before the last one. While an answer is
// being made, nobody waits for the next head.
func TestLaterHeadsHaveTheirTime(t *testing.T) {
	release := make(chan struct{})
	server := &http.Server{ReadHeaderTimeout: 100 * time.Millisecond, IdleTimeout: time.Hour,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				select {
				case <-release:
				case <-r.Context().Done():
					t.Error("the head behind it has ended a request")
				}
			}
		})}
	conn, err := net.Dial("tcp", serve(t, server,
		func(l net.Listener) error { return Serve(server, l, Options{}) }))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	fmt.Fprint(conn, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\nGET / HT")
	time.AfterFunc(300*time.Millisecond, func() { close(release) })
	if response, err := http.ReadResponse(answers, nil); err != nil ||
		response.StatusCode != http.StatusOK {
		t.Fatal(response, err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(answers); err != nil || len(text) > 0 {
		t.Errorf("after half a head came %q, %v", text, err)
	}
}

// TestBodiesThatStandStillAreCutOff, although what they brought before was much, and those that
// bring their least are not.
func TestBodiesThatStandStillAreCutOff(t *testing.T) {
	server := &http.Server{Handler: reading()}
	addr := serve(t, server, func(l net.Listener) error {
		return Serve(server, l, Options{MinBodyRate: 100, BodyGrace: 100 * time.Millisecond})
	})
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"+strings.Repeat(
		"x", 600_000))
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || response.StatusCode != http.StatusRequestTimeout || !response.Close {
		t.Fatal(response, err)
	}
	if text, _ := io.ReadAll(response.Body); !strings.Contains(string(text), "http.min_body_rate") {
		t.Errorf("%s", text)
	}
}

// BenchmarkServe is net/http with the filter and without, one connection, for their ratio.
func BenchmarkServe(b *testing.B) {
	request := []byte("POST /app HTTP/1.1\r\nHost: localhost:8080\r\nContent-Type: application/json\r\nContent-Length: 200\r\n\r\n" + strings.Repeat("x", 200))
	for _, with := range []bool{false, true} {
		b.Run(fmt.Sprintf("filter=%v", with), func(b *testing.B) {
			server := &http.Server{Handler: reading()}
			conn, err := net.Dial("tcp", serve(b, server, func(l net.Listener) error {
				if with {
					return Serve(server, l, Options{})
				}
				return server.Serve(l)
			}))
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			answer := make([]byte, 4096)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := conn.Write(request); err != nil {
					b.Fatal(err)
				}
				if n, err := conn.Read(answer); n <= 0 {
					b.Fatal(err)
				}
			}
		})
	}
}
