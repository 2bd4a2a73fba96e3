package intake_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"pillarbox/internal/intake"
)

// exchange sends bytes on a connection of its own, half-closes it where the end of the request is
// meant, and returns the first answer. With the half-close, what else came is returned too.
func exchange(t *testing.T, server *served, request string,
	halfClose bool) (*http.Response, string) {
	t.Helper()
	conn := server.dial(t)
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	if halfClose {
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
	}
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
	rest := ""
	if halfClose {
		text, _ := io.ReadAll(reader) // a reset is an end too
		rest = string(text)
	}
	return response, rest
}

// TestBrokenBodiesAreNotStored sends bodies that do not end as they should, on real connections:
// only what ended cleanly is answered with 2xx.
func TestBrokenBodiesAreNotStored(t *testing.T) { onListeners(t, brokenBodiesAreNotStored) }

func brokenBodiesAreNotStored(t *testing.T, f front) {
	const head = " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
	for name, c := range map[string]struct {
		framing string
		status  int
	}{
		"chunk size is no number": {"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nxyz\r\n", 400},
		"chunk is longer than said": {"Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n",
			400},
		"last chunk is missing": {"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", 400},
		"ends within a chunk":   {"Transfer-Encoding: chunked\r\n\r\n9\r\nabc", 400},
		"trailer is cut off": {"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-A: b",
			400},
		"shorter than its length":     {"Content-Length: 10\r\n\r\nabc", 400},
		"two lengths":                 {"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400},
		"unknown transfer encoding":   {"Transfer-Encoding: xchunked\r\n\r\nabc", 400},
		"chunk size with a bare feed": {"Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", 400},
		"chunk size that is too large": {"Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("f",
			17) + "\r\nabc", 400},
	} {
		for _, path := range []string{"/app", "/app/batch"} {
			t.Run(name+" "+path, func(t *testing.T) {
				b := openPublic(t, intake.Options{})
				server := f.serve(t, b, 0, 0)
				response, _ := exchange(t, server, "POST "+path+head+c.framing, true)
				if response.StatusCode != c.status {
					t.Errorf("status %d, want %d", response.StatusCode, c.status)
				}
				server.stop() // waits for the handler
				if stored := b.Queued(); len(stored) != 0 {
					t.Errorf("stored %q", stored[0].Body)
				}
			})
		}
	}
}

// TestWhatNetHTTPAnswersItselfIsAsDocumented: the document, the package and OPERATIONS.md except a
// few errors from being application/problem+json. All that we answer are.
func TestWhatNetHTTPAnswersItselfIsAsDocumented(t *testing.T) {
	onListeners(t, whatNetHTTPAnswersItselfIsAsDocumented)
}

func whatNetHTTPAnswersItselfIsAsDocumented(t *testing.T, f front) {
	const start, plain, problem = "POST /app HTTP/1.1\r\nHost: localhost\r\n", "text/plain; charset=utf-8", "application/problem+json"
	for request, want := range map[string]struct {
		status int
		form   string
	}{
		start + "X-A: " + strings.Repeat("x", 33<<10) + "\r\n\r\n":   {431, problem},
		start + "Transfer-Encoding: x\r\n\r\n":                       {400, problem},
		"GET /app HTTP/3.0\r\nHost: localhost\r\n\r\n":               {505, problem},
		"GET /%zz HTTP/1.1\r\nHost: localhost\r\n\r\n":               {400, plain},
		"GET /app HTTP/1.1\r\nX-A b\r\n\r\n":                         {400, problem},
		start + "Expect: x\r\nContent-Length: 1\r\n\r\nx":            {417, ""},
		start + "Content-Encoding: br\r\nContent-Length: 1\r\n\r\nx": {415, problem},
		"PUT /app HTTP/1.1\r\nHost: localhost\r\n\r\n":               {405, problem},
	} {
		b := openPublic(t, intake.Options{})
		server := f.serve(t, b, 0, 0)
		response, _ := exchange(t, server, request, false)
		if got := response.Header.Get("Content-Type"); response.StatusCode != want.status ||
			got != want.form {
			t.Errorf("%.60q: %d %q, want %d %q", request, response.StatusCode, got, want.status, want.form)
		}
		server.stop()
		if len(b.Queued()) != 0 {
			t.Errorf("%.60q: something was stored", request)
		}
	}
}

// TestBodyEndsAtItsLength: what is longer belongs to the next request.
func TestBodyEndsAtItsLength(t *testing.T) { onListeners(t, bodyEndsAtItsLength) }

func bodyEndsAtItsLength(t *testing.T, f front) {
	b := openPublic(t, intake.Options{})
	server := f.serve(t, b, 0, 0)
	response, rest := exchange(t, server,
		"POST /app HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabcdef\r\n\r\n", true)
	if response.StatusCode != http.StatusAccepted || !strings.HasPrefix(rest, "HTTP/1.1 400") {
		t.Errorf("status %d, then %q", response.StatusCode, rest)
	}
	server.stop()
	if stored := b.Queued(); len(stored) != 1 || string(stored[0].Body) != "abc" {
		t.Errorf("stored %v", stored)
	}
}

// TestOldHTTPNeedsALength: net/http hides Transfer-Encoding of HTTP/1.0, so that the chunks would
// be taken for the next request.
func TestOldHTTPNeedsALength(t *testing.T) { onListeners(t, oldHTTPNeedsALength) }

func oldHTTPNeedsALength(t *testing.T, f front) {
	const smuggled = "5\r\nhello\r\n0\r\n\r\nPOST /app HTTP/1.0\r\nContent-Length: 1\r\n\r\nx"
	for framing, status := range map[string]int{
		"Transfer-Encoding: chunked\r\n":  400,
		"":                                400,
		"Transfer-Encoding: identity\r\n": 400,
		"Content-Length: 5\r\n":           202,
		"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n": 400,
	} {
		t.Run(framing, func(t *testing.T) {
			b := openPublic(t, intake.Options{})
			server := f.serve(t, b, 0, 0)
			response, rest := exchange(t, server,
				"POST /app HTTP/1.0\r\nConnection: keep-alive\r\n"+framing+"\r\n"+smuggled, true)
			if response.StatusCode != status || rest != "" || !response.Close {
				t.Errorf("status %d, close %v, then %q", response.StatusCode, response.Close, rest)
			}
			server.stop()
			if stored := len(b.Queued()); (status == 202) != (stored == 1) {
				t.Errorf("%d events are stored", stored)
			}
		})
	}
}

// TestTooLongIsRefusedBeforeTheBody: who asks first (Expect) need not send what is refused.
func TestTooLongIsRefusedBeforeTheBody(t *testing.T) { onListeners(t, tooLongIsRefusedBeforeTheBody) }

func tooLongIsRefusedBeforeTheBody(t *testing.T, f front) {
	b := openPublic(t, intake.Options{})
	server := f.serve(t, b, 0, 0)
	request := fmt.Sprintf("POST /app HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", testMaxBody+1)
	if response, _ := exchange(t, server, request,
		false); response.StatusCode != http.StatusRequestEntityTooLarge || !response.Close {
		t.Errorf("status %d, close %v", response.StatusCode, response.Close)
	}
}

// TestSlowBodyIsATimeout: the sender is told with 408, and nothing is stored.
func TestSlowBodyIsATimeout(t *testing.T) { onListeners(t, slowBodyIsATimeout) }

func slowBodyIsATimeout(t *testing.T, f front) {
	b := openPublic(t, intake.Options{})
	server := f.serve(t, b, 50*time.Millisecond, 0)
	response, _ := exchange(t, server,
		"POST /app HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab", false)
	if response.StatusCode != http.StatusRequestTimeout {
		t.Errorf("status %d", response.StatusCode)
	}
	server.stop()
	if len(b.Queued()) != 0 {
		t.Error("something was stored")
	}
}

// TestWaitOutlastsTheTimeoutsOfTheServer: the receipt arrives although the wait is longer than
// both.
func TestWaitOutlastsTheTimeoutsOfTheServer(t *testing.T) {
	onFronts(t, waitOutlastsTheTimeoutsOfTheServer)
}

func waitOutlastsTheTimeoutsOfTheServer(t *testing.T, f front) {
	b := openPublic(t, intake.Options{})
	server := f.serve(t, b, 50*time.Millisecond, 50*time.Millisecond)
	start := time.Now()
	response, _ := exchange(t, server,
		"POST /app HTTP/1.1\r\nHost: localhost\r\nPrefer: wait=1\r\nContent-Length: 2\r\n\r\nab", false)
	if took := time.Since(start); response.StatusCode != http.StatusAccepted || took < time.Second {
		t.Errorf("status %d after %v", response.StatusCode, took)
	}
}
