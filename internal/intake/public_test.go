package intake_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox"
	"pillarbox/internal/admission"
	"pillarbox/internal/intake"
	"pillarbox/internal/node/nodetest"
	"pillarbox/internal/ratelimit"
	"pillarbox/internal/source"
)

func openPublic(t *testing.T, opts intake.Options) *box {
	t.Helper()
	return openBox(t, opts)
}

// TestBodiesAreKeptByteForByte sends what JSON, text and nothing look like, and what no text is.
func TestBodiesAreKeptByteForByte(t *testing.T) {
	for name, body := range map[string]string{
		"JSON": `{"hello":"wörld"}`, "binary": "\x00\xff\xfe\r\n\x80", "empty": "", "at the limit": strings.Repeat("x", testMaxBody),
	} {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s chunked=%v", name, chunked), func(t *testing.T) {
				b := openPublic(t, intake.Options{})
				request := httptest.NewRequest(http.MethodPost, "/app?a=1&b=%20", strings.NewReader(body))
				if chunked {
					request = httptest.NewRequest(http.MethodPost, "/app?a=1&b=%20",
						io.MultiReader(strings.NewReader(body)))
				}
				request.Header.Set("Content-Type", "text/x-test")
				request.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
				got := nodetest.Do(t, nodetest.Public, b.public, request).Wants(t, http.StatusAccepted)
				receipt := nodetest.Decode[pillarbox.Receipt](t, got.Body)
				events := b.Queued()
				if len(events) != 1 || string(events[0].Body) != body {
					t.Fatalf("stored %v", events)
				}
				event := events[0]
				if event.RequestID != receipt.RequestID || event.Timestamp != receipt.Timestamp ||
					receipt.Status != pillarbox.StateAccepted ||
					got.Header.Get("X-Request-Id") != receipt.RequestID {
					t.Errorf("receipt %+v and header %q for event %+v", receipt, got.Header.Get("X-Request-Id"),
						event.Key())
				}
				if event.Source != "app" || event.Method != "POST" || event.Path != "/app" ||
					event.Query != "a=1&b=%20" || event.ContentType != "text/x-test" ||
					event.RemoteAddr != "192.0.2.1" || event.Traceparent == "" {
					t.Errorf("event %+v", event)
				}
			})
		}
	}
}

// TestBodyOverTheLimitIsRefusedWithTheNameOfTheLimit does so with and without Content-Length.
func TestBodyOverTheLimitIsRefusedWithTheNameOfTheLimit(t *testing.T) {
	b := openPublic(t, intake.Options{})
	body := strings.Repeat("x", testMaxBody+1)
	b.post("/app", body).Wants(t, http.StatusRequestEntityTooLarge, "1000 bytes",
		"sources.app.max_body")
	request := httptest.NewRequest(http.MethodPost, "/app", io.MultiReader(strings.NewReader(body)))
	nodetest.Do(t, nodetest.Public, b.public, request).Wants(t, http.StatusRequestEntityTooLarge,
		"1000 bytes",
		"sources.app.max_body")
	if len(b.Queued()) != 0 {
		t.Error("something was stored")
	}
}

// TestWrongMethodsAndPaths sees that every error is a problem, and that OPTIONS is answered.
func TestWrongMethodsAndPaths(t *testing.T) {
	b := openPublic(t, intake.Options{})
	for _, c := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"PUT", "/app", 405, "GET, HEAD, OPTIONS, POST"},
		{"DELETE", "/app", 405, "GET, HEAD, OPTIONS, POST"},
		{"OPTIONS", "/app", 204, "GET, HEAD, OPTIONS, POST"},
		{"GET", "/app/batch", 405, "OPTIONS, POST"}, {"HEAD", "/app/batch", 405, "OPTIONS, POST"},
		{"OPTIONS", "/app/batch", 204, "OPTIONS, POST"}, {"POST", "/openapi.yaml", 405, "GET, HEAD"},
		{"POST", "/", 404, ""}, {"POST", "/app//", 404, ""}, {"POST", "/App", 404, ""}, {"POST",
			"/a/../app", 404, ""}, {"GET", "/batch", 404, ""},
	} {
		request := httptest.NewRequest(c.method, c.path, strings.NewReader("x"))
		got := nodetest.Do(t, nodetest.Public, b.public, request).Wants(t, c.status)
		if got.Header.Get("Allow") != c.allow {
			t.Errorf("%s %s: Allow %q, want %q", c.method, c.path, got.Header.Get("Allow"), c.allow)
		}
	}
	nodetest.Do(t, nodetest.Public, b.public, httptest.NewRequest("GET", "/app", nil)).Wants(t, 200, `{"status":"ok"}`)
	nodetest.Do(t, nodetest.Public, b.public, httptest.NewRequest("HEAD", "/app", nil)).Wants(t, 200)
	nodetest.Do(t, nodetest.Public, b.public,
		httptest.NewRequest("GET", "/openapi.yaml", nil)).Wants(t, 200, "openapi: 3.1")
	if len(b.Queued()) != 0 {
		t.Error("something was stored")
	}
}

// TestSourceMayHaveThePathOfTheDocument sees that the document gives way.
func TestSourceMayHaveThePathOfTheDocument(t *testing.T) {
	b := openPublic(t, intake.Options{})
	b.setSources(source.Settings{Name: "app", Path: "/openapi.yaml", MaxBody: 10})
	recorder := httptest.NewRecorder()
	b.public.ServeHTTP(recorder, httptest.NewRequest("POST", "/openapi.yaml", strings.NewReader("x")))
	if recorder.Code != http.StatusAccepted || len(b.Queued()) != 1 {
		t.Errorf("status %d", recorder.Code)
	}
}

// TestErrorsOfTheQueueBecomeStatuses sees that our own fault is never a 4xx, and that a wait is
// passed on.
func TestErrorsOfTheQueueBecomeStatuses(t *testing.T) {
	wait := func(after time.Duration, err error) error {
		return &pillarbox.RetryAfterError{After: after, Err: err}
	}
	for _, c := range []struct {
		err    error
		status int
		after  string
	}{
		{wait(2500*time.Millisecond, fmt.Errorf("queue: %w", pillarbox.ErrFull)), 503, "3"},
		{pillarbox.ErrFull, 503, "5"},
		{wait(time.Minute, pillarbox.ErrNoSpace), 507, "60"},
		{pillarbox.ErrUnavailable, 503, "5"},
		{pillarbox.ErrClosed, 503, "5"},
		{pillarbox.ErrTooLarge, 413, ""},
		{pillarbox.ErrConflict, 500, ""}, // of no Append: our own fault
		{errors.New("secret detail"), 500, ""},
		{&pillarbox.BatchError{Items: []pillarbox.ItemError{{Index: 0, Err: pillarbox.ErrNoSpace}}}, 507,
			"5"},
	} {
		b := openPublic(t, intake.Options{})
		b.Queue.SetFault(func([]*pillarbox.Event) error { return c.err })
		got := b.post("/app", "x").Wants(t, c.status)
		if got.Header.Get("Retry-After") != c.after {
			t.Errorf("%v: Retry-After %q, want %q", c.err, got.Header.Get("Retry-After"), c.after)
		}
		if strings.Contains(got.Body, "secret") {
			t.Errorf("the inside is told: %s", got.Body)
		}
	}
}

// TestPreferWait answers 201 once the event is stored, and 202 when that takes too long.
func TestPreferWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := openPublic(t, intake.Options{})
		start := time.Now()
		got := b.post("/app", "x", "Prefer", "respond-async, wait=5").Wants(t, http.StatusAccepted, `"accepted"`)
		if waited := time.Since(start); waited != 5*time.Second ||
			got.Header.Get("Preference-Applied") != "wait=5" {
			t.Errorf("waited %v, applied %q", waited, got.Header.Get("Preference-Applied"))
		}
		b.Start()
		b.post("/app", "y", "Prefer", "wait=100").Wants(t, http.StatusCreated, `"stored"`)
		for _, prefer := range []string{"wait", "wait=x", "wait=-1", "wait=0", "return=minimal"} {
			got := b.post("/app", "z", "Prefer", prefer).Wants(t, http.StatusAccepted)
			if applied := got.Header.Get("Preference-Applied"); applied != "" {
				t.Errorf("%s was applied as %q", prefer, applied)
			}
		}
	})
}

// noTaker is a node of which no destination takes the event.
type noTaker struct{}

func (noTaker) Expect(*pillarbox.Event) intake.Expectation { return nil }

// TestNothingIsStoredWhereNobodyTakesIt: an event that no destination takes can't be promised more
// than 202, and nobody waits for it.
func TestNothingIsStoredWhereNobodyTakesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, start := openPublic(t, intake.Options{Waiter: noTaker{}}), time.Now()
		got := b.post("/app", "x", "Prefer", "wait=5").Wants(t, http.StatusAccepted)
		if time.Since(start) > 0 || got.Header.Get("Preference-Applied") != "" {
			t.Errorf("waited %v, applied %q", time.Since(start), got.Header.Get("Preference-Applied"))
		}
	})
}

// TestBodiesInFlightAreBounded holds bodies half sent, and sees the next one refused and later let
// in.
func TestBodiesInFlightAreBounded(t *testing.T) {
	b := openPublic(t, intake.Options{Memory: admission.NewMemory(1000)})
	reader, writer := io.Pipe()
	first := make(chan nodetest.Answer)
	go func() {
		request := httptest.NewRequest(http.MethodPost, "/app", reader) // length unknown
		first <- nodetest.Do(t, nodetest.Public, b.public, request)
	}()
	if _, err := writer.Write([]byte("half")); err != nil { // returns when it is read
		t.Fatal(err)
	}
	b.post("/app", strings.Repeat("x", 600)).Wants(t, http.StatusServiceUnavailable,
		"http.max_in_flight_bytes")
	b.post("/app", strings.Repeat("x", 400)).Wants(t, http.StatusAccepted)
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	(<-first).Wants(t, http.StatusAccepted)
	b.post("/app", strings.Repeat("x", 600)).Wants(t, http.StatusAccepted)
}

// TestMemoryOfABodyIsFreeDuringTheWait: who waits for the delivery of a small body keeps nobody
// out.
func TestMemoryOfABodyIsFreeDuringTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := openPublic(t, intake.Options{Memory: admission.NewMemory(testMaxBody)})
		first := make(chan nodetest.Answer)
		go func() { first <- b.post("/app", strings.Repeat("x", 900), "Prefer", "wait=20") }()
		synctest.Wait()
		b.post("/app", strings.Repeat("x", 900)).Wants(t, http.StatusAccepted)
		(<-first).Wants(t, http.StatusAccepted)
	})
}

// TestBodyLargerThanAllMemoryGetsThroughAlone: it must not be refused for ever.
func TestBodyLargerThanAllMemoryGetsThroughAlone(t *testing.T) {
	b := openPublic(t, intake.Options{Memory: admission.NewMemory(10)})
	b.post("/app", strings.Repeat("x", 900)).Wants(t, http.StatusAccepted)
	b.post("/app", strings.Repeat("x", 900)).Wants(t, http.StatusAccepted)
	b = openPublic(t, intake.Options{Memory: admission.NewMemory(testMaxBody)})
	chunked := httptest.NewRequest(http.MethodPost, "/app",
		io.MultiReader(strings.NewReader(strings.Repeat("x", testMaxBody))))
	nodetest.Do(t, nodetest.Public, b.public, chunked).Wants(t, http.StatusAccepted)
}

// TestSourceKeepsItsRate has a bucket of three events: what is over it gets 429 and when to come
// again, single and batch alike, and nothing of it is stored.
func TestSourceKeepsItsRate(t *testing.T) {
	b := openBox(t, intake.Options{})
	settings := source.Settings{Name: "app", Path: "/app", MaxBody: testMaxBody, Limits: []source.Limit{
		{Rate: ratelimit.Rate{PerSecond: 1, Burst: 3}}}}
	b.setSources(settings)
	post := func(path, contentType, body string) *httptest.ResponseRecorder {
		t.Helper()
		request := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		request.Header.Set("Content-Type", contentType)
		recorder := httptest.NewRecorder()
		b.public.ServeHTTP(recorder, request)
		return recorder
	}
	if answer := post("/app/batch", "application/x-ndjson",
		"1\n2\n"); answer.Code != http.StatusAccepted {
		t.Errorf("2 of 3: %d %s", answer.Code, answer.Body)
	}
	if answer := post("/app", "text/plain", "x"); answer.Code != http.StatusAccepted {
		t.Errorf("the third: %d %s", answer.Code, answer.Body)
	}
	for _, path := range []string{"/app", "/app/batch"} {
		answer := post(path, "application/x-ndjson", "1\n2\n3\n4\n5\n")
		if answer.Code != http.StatusTooManyRequests || answer.Header().Get("Retry-After") == "" ||
			!strings.Contains(answer.Body.String(), "sources.app.rate") {
			t.Errorf("%s over the rate: %d %v %s", path, answer.Code, answer.Header(), answer.Body)
		}
	}
	if accepted := b.Queue.Stats().Accepted; accepted != 3 {
		t.Errorf("%d events are in the queue, want 3", accepted)
	}
	settings.Limits[0].Rate = ratelimit.Rate{PerSecond: 1000, Burst: 2}
	b.setSources(settings)
	if answer := post("/app/batch", "application/x-ndjson",
		"1\n2\n3\n4\n5\n"); answer.Code != http.StatusAccepted {
		t.Errorf("a batch larger than the bucket must get through when the bucket is full: %d %s",
			answer.Code, answer.Body)
	}
}
