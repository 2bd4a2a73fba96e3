package intake_test

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"pillarbox/internal/intake"
	"pillarbox/internal/ratelimit"
	"pillarbox/internal/source"
)

// TestRatesOfClients: each address has a rate of its own, single events and batches take from the
// same one, and every answer says what is left.
func TestRatesOfClients(t *testing.T) { onFronts(t, ratesOfClients) }

func ratesOfClients(t *testing.T, f front) {
	b := openPublic(t, intake.Options{})
	server := f.serve(t, b, 0, 0)
	table, err := source.Compile([]source.Settings{{Name: "app", Path: "/app", MaxBody: testMaxBody,
		Limits: []source.Limit{{By: source.ByAddress, Rate: ratelimit.Rate{PerSecond: 2, Burst: 6}}}}},
		source.Options{Rate: ratelimit.Rate{PerSecond: 10}, Elapsed: func() time.Duration { return 0 }})
	if err != nil {
		t.Fatal(err)
	}
	b.sources.Replace(table)
	first, second := clientAt(t, server.addr, "127.0.0.1"), clientAt(t, server.addr, "127.0.0.2")
	const policies = `"address";q=6;w=3, "server";q=10;w=1`
	for _, step := range []struct {
		name       string
		from       *rateClient
		path, body string
		status     int
		left       string
		after      string
	}{
		{"one", first, "/app", "x", 202, `"address";r=5;t=1`, ""},
		{"a batch", first, "/app/batch", "1\n2\n3\n", 202, `"address";r=2;t=2`, ""},
		{"a batch over it", first, "/app/batch", "1\n2\n3\n", 429, `"address";r=2;t=2`, "1"},
		{"two more", first, "/app/batch", "1\n2\n", 202, `"address";r=0;t=3`, ""},
		{"one over it", first, "/app", "x", 429, `"address";r=0;t=3`, "1"},
		{"of another", second, "/app", "x", 202, `"server";r=3;t=1`, ""},
		{"all that the server takes", second, "/app/batch", "1\n2\n3\n", 202, `"server";r=0;t=1`, ""},
		{"one over that", second, "/app", "x", 503, `"server";r=0;t=1`, "1"},
	} {
		got := step.from.post(t, step.path, step.body)
		if got.StatusCode != step.status || got.Header.Get("RateLimit") != step.left ||
			got.Header.Get("RateLimit-Policy") != policies || got.Header.Get("Retry-After") != step.after {
			t.Errorf("%s: %d %v", step.name, got.StatusCode, got.Header)
		}
	}
	if n := len(b.Queued()); n != 10 {
		t.Errorf("%d events are stored, want 10", n)
	}
}

// rateClient comes from an address of its own.
type rateClient struct {
	addr string
	dial func() net.Conn
}

func clientAt(t *testing.T, addr, from string) *rateClient {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	return &rateClient{addr: addr, dial: func() net.Conn {
		conn, err := dialer.DialContext(context.Background(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}}
}

func (c *rateClient) post(t *testing.T, path, body string) *http.Response {
	t.Helper()
	conn := c.dial()
	defer conn.Close()
	request, err := http.NewRequest(http.MethodPost, "http://"+c.addr+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-ndjson")
	if err := request.Write(conn); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response
}
