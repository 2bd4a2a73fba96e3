package webhook_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/webhook"
)

// kind is what a delivery makes of an error.
func kind(err error) string {
	switch {
	case err == nil:
		return "stored"
	case errors.Is(err, pillarbox.ErrGone) && errors.Is(err, pillarbox.ErrUnavailable):
		return "gone"
	case errors.Is(err, pillarbox.ErrUnavailable):
		return "outage"
	case pillarbox.IsPermanent(err):
		return "refused for good"
	}
	return "refused for now"
}

// TestWhatAnAnswerMeans is the table of docs/ENGINES.md, for every status there is, of a request for an
// event and of one for a batch.
func TestWhatAnAnswerMeans(t *testing.T) {
	want := map[int]string{401: "outage", 403: "outage", 407: "outage", 408: "outage", 425: "outage", 429: "outage", 410: "gone"}
	for _, status := range []int{400, 406, 411, 413, 414, 415, 416, 417, 422, 431} {
		want[status] = "refused for good"
	}
	status := 0
	r := receive(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		w.WriteHeader(status)
		return true
	})
	for _, send := range webhook.Sends() {
		for status = 200; status < 600; status++ {
			expected := want[status]
			switch {
			case expected != "":
			case status < 300:
				expected = "stored"
			case status < 400 || status >= 500:
				expected = "outage"
			default:
				expected = "refused for now"
			}
			sink := open(t, r.URL+"/secret-path?key=1", webhook.Options{Send: send})
			err := sink.Write(t.Context(), enginetest.Events(1, 81))
			if got := kind(err); got != expected {
				t.Errorf("%s, %d: %s, want %s: %v", send, status, got, expected, err)
			}
			if err != nil && (!strings.Contains(err.Error(), fmt.Sprintf("answered %d", status)) || strings.Contains(err.Error(), "secret-path")) {
				t.Errorf("%d: the error is %v", status, err)
			}
			if err := sink.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestARefusalKeepsTheAnswer: its beginning, as one line of text that can be shown to anybody.
func TestARefusalKeepsTheAnswer(t *testing.T) {
	answer := "{\"error\":\n\t\"no \x1b[31msuch\u202e field\xff\"}" + strings.Repeat(" and so on", 10_000)
	r := receive(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		w.WriteHeader(422)
		_, _ = w.Write([]byte(answer))
		return true
	})
	err := open(t, r.URL, webhook.Options{}).Write(t.Context(), enginetest.Events(1, 82))
	if text := fmt.Sprint(err); !strings.Contains(text, `answered 422 Unprocessable Entity: {"error": "no [31msuch field "}`) ||
		len(text) > pillarbox.MaxAttemptError || strings.ContainsAny(text, "\x1b\n\t\u202e") {
		t.Errorf("%q", text)
	}
}

// TestRetryAfterIsHonoured: nothing is sent before, by any Write, and never for longer than an hour.
func TestRetryAfterIsHonoured(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		status int
		header string
		want   time.Duration
	}{
		{503, "30", 30 * time.Second}, {429, "30", 30 * time.Second}, {429, "", time.Second}, {503, "", 0},
		{503, "99999999999999999999", 0}, {503, "9999999", time.Hour}, {503, "-1", 0}, {503, "soon", 0},
		{503, "Sun, 29 Nov 2026 12:01:00 GMT", time.Minute}, {503, "Sun, 29 Nov 2026 11:00:00 GMT", 0},
		{503, "Sun, 29 Nov 2099 11:00:00 GMT", time.Hour}, {500, "7", 7 * time.Second}, {409, "7", 7 * time.Second},
		{422, "7", 0}, {401, "7", 0}, {410, "7", 0},
	} {
		r := receive(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
			if c.header != "" {
				w.Header().Set("Retry-After", c.header)
			}
			w.WriteHeader(c.status)
			return true
		})
		sink := open(t, r.URL, webhook.Options{Concurrency: 1, Now: func() time.Time { return now }})
		err := sink.Write(t.Context(), enginetest.Events(20, 83))
		if got := pillarbox.RetryAfter(err); got != c.want && c.status != 409 && c.status != 422 {
			t.Errorf("%d, Retry-After %q: %v, want %v", c.status, c.header, got, c.want)
		}
		if c.want == 0 || kind(err) != "outage" {
			continue
		}
		if r.count() != 1 {
			t.Errorf("%d, Retry-After %q: %d requests of a write", c.status, c.header, r.count())
		}
		again := sink.Write(t.Context(), enginetest.Events(1, 84))
		if left := pillarbox.RetryAfter(again); r.count() != 1 || kind(again) != "outage" || left <= 0 || left > c.want {
			t.Errorf("%d, Retry-After %q: asked again before: %v, %d requests", c.status, c.header, again, r.count())
		}
	}
}

// poisoned answers the request of one event in its own way, and stores the others.
func poisoned(id string, answer func(w http.ResponseWriter, r *http.Request)) func(http.ResponseWriter, *http.Request, []byte) bool {
	return func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
		if r.Header.Get("Webhook-Id") == id {
			answer(w, r)
			return true
		}
		return false
	}
}

func cutOff(w http.ResponseWriter, _ *http.Request) {
	if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
		_ = conn.Close()
	}
}

func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func status(code int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// TestAnEventThatBreaksTheReceiverIsToBlame: while the others are stored it fails like an outage, by an
// error, by a connection that is cut, or by no answer at all. It spends an attempt, wherever in the
// batch it stands, and all others are stored. What only an overloaded receiver says is never its fault.
func TestAnEventThatBreaksTheReceiverIsToBlame(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request)
		want   string
	}{
		"500": {status(500), "refused for now"}, "502": {status(502), "refused for now"}, "cut": {cutOff, "refused for now"},
		"no answer": {hang, "refused for now"}, "503": {status(503), "outage"}, "422": {status(422), "refused for good"},
	} {
		for _, place := range []int{0, 20, 39} {
			t.Run(fmt.Sprintf("%s at %d", name, place), func(t *testing.T) {
				t.Parallel()
				events := enginetest.Events(40, 85)
				r := receive(t, poisoned(events[place].RequestID, c.answer))
				sink := open(t, r.URL, webhook.Options{Concurrency: 4})
				ctx := t.Context()
				if name == "no answer" {
					limited, cancel := context.WithTimeout(ctx, 6*time.Second) // a request has 3 of them
					defer cancel()
					ctx = limited
				}
				err := sink.Write(ctx, events)
				var partial *pillarbox.BatchError
				if !errors.As(err, &partial) || len(partial.Items) != 1 || partial.Items[0].Index != place || kind(partial.Items[0].Err) != c.want {
					t.Errorf("%v, want that event %d is %s", err, place, c.want)
				}
				if n, _ := r.kept.Count(t.Context()); n != 39 {
					t.Errorf("%d of 39 others are stored", n)
				}
			})
		}
	}
}

// TestAConnectionThatIsCutCostsThreeRequests at most, however many connections there are to try: a
// receiver that a request kills is not killed on each of them.
func TestAConnectionThatIsCutCostsThreeRequests(t *testing.T) {
	events := enginetest.Events(200, 92)
	r := receive(t, nil)
	sink := open(t, r.URL, webhook.Options{Concurrency: 16})
	if err := sink.Write(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	r.answer = func(w http.ResponseWriter, r *http.Request, _ []byte) bool { return answered(cutOff, w, r) }
	before := len(r.requests)
	r.mu.Unlock()
	if err := sink.Write(t.Context(), events[:1]); kind(err) != "outage" {
		t.Error(err)
	}
	if n := r.count() - before; n < 1 || n > 3 {
		t.Errorf("%d requests", n)
	}
}

// TestAnOutageBlamesNobody: one that begins in the middle of a Write, one of all the time, one of a
// part of all requests, and one that answers nothing. No event is refused, and the Write ends early.
func TestAnOutageBlamesNobody(t *testing.T) {
	var served atomic.Int64
	for name, c := range map[string]struct {
		answer func(n int64, w http.ResponseWriter, r *http.Request) bool
		most   int64 // requests
	}{
		"from the start":     {func(_ int64, w http.ResponseWriter, r *http.Request) bool { status(500)(w, r); return true }, 30},
		"from the middle on": {func(n int64, w http.ResponseWriter, r *http.Request) bool { return n > 150 && answered(cutOff, w, r) }, 200},
		"from the last on":   {func(n int64, w http.ResponseWriter, r *http.Request) bool { return n >= 200 && answered(cutOff, w, r) }, 205},
		"half of all": {func(n int64, w http.ResponseWriter, r *http.Request) bool {
			return n%2 == 0 && answered(status(502), w, r)
		}, 200},
		"credentials":         {func(_ int64, w http.ResponseWriter, r *http.Request) bool { return answered(status(401), w, r) }, 8},
		"redirects elsewhere": {func(_ int64, w http.ResponseWriter, r *http.Request) bool { return answered(status(302), w, r) }, 8},
	} {
		served.Store(0)
		r := receive(t, func(w http.ResponseWriter, r *http.Request, _ []byte) bool { return c.answer(served.Add(1), w, r) })
		sink := open(t, r.URL, webhook.Options{Concurrency: 8})
		err := sink.Write(t.Context(), enginetest.Events(200, 86))
		n, _ := r.kept.Count(t.Context())
		var partial *pillarbox.BatchError
		if errors.As(err, &partial) {
			if len(partial.Items)+int(n) < 200 {
				t.Errorf("%s: %d are stored and %d named", name, n, len(partial.Items))
			}
			for _, item := range partial.Items {
				if kind(item.Err) != "outage" {
					t.Errorf("%s: event %d is %s: %v", name, item.Index, kind(item.Err), item.Err)
				}
			}
		} else if n > 0 || kind(err) != "outage" {
			t.Errorf("%s: %d are stored: %v", name, n, err)
		}
		if served.Load() > c.most {
			t.Errorf("%s: %d requests, want at most %d", name, served.Load(), c.most)
		}
	}
}

func answered(with func(http.ResponseWriter, *http.Request), w http.ResponseWriter, r *http.Request) bool {
	with(w, r)
	return true
}

// TestWhoIsGoneIsGone: also after some events were stored.
func TestWhoIsGoneIsGone(t *testing.T) {
	events := enginetest.Events(40, 87)
	r := receive(t, poisoned(events[20].RequestID, status(410)))
	err := open(t, r.URL, webhook.Options{Concurrency: 1}).Write(t.Context(), events)
	if n, _ := r.kept.Count(t.Context()); n != 20 || kind(err) != "gone" || r.count() != 21 {
		t.Errorf("%d are stored after %d requests: %v", n, r.count(), err)
	}
}

// TestABadReceiverTakesItsTime, and no more: what answers never, without an end, with too much, with
// nonsense, or is cut in the middle. Nobody is blamed, and the next Write gets through.
func TestABadReceiverTakesItsTime(t *testing.T) {
	endless := func(head string) string { return head }
	for name, c := range map[string]struct {
		head, again string // written once, and then without an end; again is empty to wait
		stored      bool   // the status was there, and counts
	}{
		"never answers":     {"", "", false},
		"half a status":     {endless("HTTP/1.1 2"), "", false},
		"endless headers":   {"HTTP/1.1 200 OK\r\n", "X-More: and more\r\n", false},
		"endless 100s":      {"", "HTTP/1.1 102 Processing\r\n\r\n", false},
		"no HTTP":           {"SSH-2.0-OpenSSH_9.2\r\n", "", false},
		"endless body":      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "5\r\nhello\r\n", true},
		"body never comes":  {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", "", true},
		"refusal unended":   {"HTTP/1.1 422 No\r\nContent-Length: 10\r\n\r\nbecause", "", false},
		"cut in its middle": {"HTTP/1.1 200 OK\r\nContent-Le", "cut", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			go serveBadly(listener, c.head, c.again)
			sink := open(t, "http://"+listener.Addr().String(), webhook.Options{Concurrency: 2})
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			err = sink.Write(ctx, enginetest.Events(1, 88))
			want := "outage"
			switch {
			case c.stored:
				want = "stored"
			case name == "refusal unended":
				want = "refused for good"
			}
			if kind(err) != want || ctx.Err() != nil {
				t.Errorf("%s, want %s; its time is over: %v; %v", kind(err), want, ctx.Err(), err)
			}
		})
	}
}

func serveBadly(listener net.Listener, head, again string) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			buffer := make([]byte, 4096)
			_, err := conn.Read(buffer)
			if err == nil {
				_, err = conn.Write([]byte(head))
			}
			if again == "cut" {
				return
			}
			for more := bytes.Repeat([]byte(again), 100); err == nil && again != ""; {
				_, err = conn.Write(more)
			}
			for err == nil {
				_, err = conn.Read(buffer) // until the other side has enough
			}
		}()
	}
}

// TestARedirectIsNotFollowed: neither the body nor a credential goes anywhere else, and the error says
// where it leads without what may be secret of it.
func TestARedirectIsNotFollowed(t *testing.T) {
	elsewhere := receive(t, nil)
	for _, code := range []int{301, 302, 303, 307, 308} {
		r := receive(t, func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
			http.Redirect(w, r, elsewhere.URL+"/token-in-path", code)
			return true
		})
		sink := open(t, r.URL, webhook.Options{Headers: map[string]string{"Authorization": "Bearer abc"}})
		err := sink.Write(t.Context(), enginetest.Events(3, 89))
		if kind(err) != "outage" || !strings.Contains(err.Error(), strings.TrimPrefix(elsewhere.URL, "http://")) || strings.Contains(err.Error(), "token-in-path") {
			t.Errorf("%d: %v", code, err)
		}
	}
	if elsewhere.count() > 0 {
		t.Errorf("%d requests were sent where redirects lead", elsewhere.count())
	}
}

// TestConnectionsAreKept over refusals and answers with a body.
func TestConnectionsAreKept(t *testing.T) {
	n := 0
	r := receive(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		n++
		w.WriteHeader([]int{200, 422, 500, 409}[n%4])
		_, _ = w.Write(bytes.Repeat([]byte("x"), 20_000))
		return true
	})
	sink := open(t, r.URL, webhook.Options{Concurrency: 1})
	for range 20 {
		_ = sink.Write(t.Context(), enginetest.Events(1, 90)) // what it means is another test
	}
	var addresses []string
	for _, request := range r.requests {
		addresses = append(addresses, request.RemoteAddr)
	}
	if slices.Sort(addresses); len(slices.Compact(addresses)) != 1 || n != 20 {
		t.Errorf("%d requests on the connections %v", n, addresses)
	}
}
