package intake_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"

	"pillarbox/internal/intake"
	"pillarbox/internal/node/nodetest"
	"pillarbox/internal/source"
)

// TestABodyIsAskedForOnceItMayComeIn: who sends Expect: 100-continue gets a 100 for what is admitted,
// and for what is refused its answer and never a 100.
func TestABodyIsAskedForOnceItMayComeIn(t *testing.T) { onFronts(t, askedFor) }

func askedFor(t *testing.T, f front) {
	b := openPublic(t, intake.Options{})
	server := f.serve(t, b, 0, 0)
	keys := nodetest.NewDoorKeys(t)
	app := source.Settings{Name: "app", Path: "/app", MaxBody: nodetest.MaxBody}
	asks, denied := app, app
	asks.Keys, denied.Deny = keys.Ring, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	github := nodetest.DoorSource(t, "github")
	const json = "Content-Type: application/json\r\n"
	for _, c := range []struct {
		name, line, header string
		settings           source.Settings
		length             int
		status             int // 100 for what is admitted
	}{
		{"open", "POST /app", "", app, 5, 100},
		{"a key", "POST /app", "X-Api-Key: " + keys.Good + "\r\n", asks, 5, 100},
		{"a batch", "POST /app/batch", json, app, 5, 100},
		{"a batch with a key", "POST /app/batch", json + "X-Api-Key: " + keys.Good + "\r\n", asks, 5, 100},
		{"no key", "POST /app", "", asks, 5, 401},
		{"no key for a batch", "POST /app/batch", json, asks, 5, 401},
		{"another address", "POST /app", "", denied, 5, 403},
		{"no signature", "POST /app", "", github, 5, 401},
		{"no source", "POST /other", "", app, 5, 404},
		{"another method", "PUT /app", "", app, 5, 405},
		{"too large", "POST /app", "", app, nodetest.MaxBody + 1, 413},
		{"another coding", "POST /app", "Content-Encoding: br\r\n", app, 5, 415},
		{"a batch of another type", "POST /app/batch", "Content-Type: text/plain\r\n", app, 5, 415},
	} {
		use(t, b, c.settings)
		before := len(b.Queued())
		conn, err := net.Dial("tcp", server.addr)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: %d\r\n%s\r\n", c.line, c.length, c.header)
		reader := bufio.NewReader(conn)
		first, err := http.ReadResponse(reader, &http.Request{Method: http.MethodPost})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if first.StatusCode != c.status {
			t.Errorf("%s: the head is answered with %d, want %d", c.name, first.StatusCode, c.status)
		}
		if first.StatusCode == http.StatusContinue {
			if _, err := io.WriteString(conn, "[1,2]"); err != nil {
				t.Fatal(err)
			}
			second, err := http.ReadResponse(reader, &http.Request{Method: http.MethodPost})
			if err != nil || second.StatusCode != http.StatusAccepted {
				t.Errorf("%s: the body is answered with %v, %v", c.name, second, err)
			}
		}
		if stored := len(b.Queued()) - before; (stored > 0) != (c.status == 100) {
			t.Errorf("%s: %d events are stored", c.name, stored)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestBatchesAreUTF8: what says that it is something else is refused, unless it is ASCII after all; a
// mark of UTF-8 is skipped.
func TestBatchesAreUTF8(t *testing.T) {
	b := openPublic(t, intake.Options{})
	for _, c := range []struct {
		form, body string
		status     int
	}{
		{array + "; charset=utf-8", "[\"\u00fc\"]", 202}, {array + "; charset=UTF8", "[1]", 202}, {array + `; charset="utf-8"`, "\ufeff[1]", 202},
		{ndjson, "\ufeff1\n\ufeff2", 202}, {array + "; charset=iso-8859-1", "[1]", 202}, {ndjson + "; charset=us-ascii", "1", 202},
		{array + "; charset=windows-1252", "[1]", 202},
		{array + "; charset=iso-8859-1", "[\"\xfc\"]", 415}, {ndjson + "; charset=us-ascii", "\"\u00fc\"", 415},
		{array + "; charset=utf-16", "\xff\xfe[\x001\x00]\x00", 415}, {array + "; charset=utf-16le", "[1]", 415}, {array + "; charset=utf-32", "[1]", 415},
		{array, "\xff\xfe[\x001\x00]\x00", 415}, {array, "\xfe\xff\x00[\x001\x00]", 415}, {ndjson, "\xff\xfe\x00\x001\x00\x00\x00", 415},
		{array, "\x00\x00\xfe\xff\x00\x00\x00[", 415},
	} {
		before := len(b.Queued())
		b.batch(c.form, c.body).Wants(t, c.status)
		if stored := len(b.Queued()) - before; (stored > 0) != (c.status == 202) {
			t.Errorf("%s of %q: %d events are stored", c.form, c.body, stored)
		}
	}
}
