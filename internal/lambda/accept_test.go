package lambda_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox"
	"pillarbox/internal/engine/memory"
	"pillarbox/internal/ingest"
	"pillarbox/internal/intake"
	"pillarbox/internal/lambda"
	"pillarbox/internal/source"
	"pillarbox/test/standin/fakelambda"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var noon = time.Date(2026, 11, 25, 14, 12, 0, 123456000, time.UTC)

// front is an accepting function before a queue in memory.
type front struct {
	*lambda.Accept
	t       *testing.T
	queue   *memory.Queue
	metrics bytes.Buffer
	log     bytes.Buffer
}

// newFront makes one of the source app, with what is said of it here.
func newFront(t *testing.T, app source.Settings, others ...source.Settings) *front {
	t.Helper()
	f := &front{t: t, queue: memory.NewQueue(nil)}
	if _, err := f.queue.Account("events"); err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return noon }
	acceptor := ingest.New(f.queue, ingest.Options{Now: now})
	options := source.Options{Logger: jsonLog(&f.log), Now: now}
	f.Accept = newAccept(t, acceptor, append(others, app), options,
		lambda.AcceptOptions{Metrics: &f.metrics, Logger: options.Logger, Now: now})
	return f
}

// newAccept wires an accepting function as the command does.
func newAccept(t testing.TB, acceptor ingest.Acceptor, settings []source.Settings,
	options source.Options, opts lambda.AcceptOptions) *lambda.Accept {
	t.Helper()
	app := &settings[len(settings)-1]
	app.Name, app.Path = cmp.Or(app.Name, "app"), cmp.Or(app.Path, "/app")
	table, err := source.Compile(settings, options)
	if err != nil {
		t.Fatal(err)
	}
	sources := source.NewSources(table)
	handler := intake.New(intake.Options{Acceptor: lambda.NewAcceptor(acceptor), Sources: sources})
	return lambda.NewAccept(handler, sources, opts)
}

// queued returns the events that were made durable.
func (f *front) queued() []*pillarbox.Event {
	f.t.Helper()
	account, err := f.queue.Account("events")
	if err != nil {
		f.t.Fatal(err)
	}
	if account.Pending == 0 {
		return nil
	}
	deliveries, err := f.queue.Lease(context.Background(), "events",
		pillarbox.LeaseLimits{MaxEvents: 1000})
	if err != nil {
		f.t.Fatal(err)
	}
	var events []*pillarbox.Event
	for _, delivery := range deliveries {
		events = append(events, delivery.Event)
	}
	return events
}

type gatewayAnswer struct {
	StatusCode int
	Headers    map[string]string
	Body       string
}

func (f *front) call(payload []byte) gatewayAnswer {
	f.t.Helper()
	response, err := f.Invoke(context.Background(), payload)
	if err != nil {
		f.t.Fatal(err)
	}
	var answer gatewayAnswer
	if err := json.Unmarshal(response, &answer); err != nil {
		f.t.Fatal(err)
	}
	return answer
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile("testdata/"+name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := read(t, name); !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

// TestShapes reads one event of each kind, and compares the answer and the queued event with what
// they were.
func TestShapes(t *testing.T) {
	for _, name := range []string{"rest", "http", "url"} {
		t.Run(name, func(t *testing.T) {
			f := newFront(t, source.Settings{})
			response, err := f.Invoke(context.Background(), read(t, name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			for _, value := range []any{json.RawMessage(response), f.queued()[0]} {
				text, err := json.MarshalIndent(value, "", "  ")
				if err != nil {
					t.Fatal(err)
				}
				out.Write(append(text, '\n'))
			}
			golden(t, name+".golden", out.Bytes())
			if strings.Contains(out.String()+f.metrics.String()+f.log.String(), "canary") {
				t.Error("a credential got through")
			}
		})
	}
}

// server is the public listener before a queue of its own.
func server(t *testing.T, fault func([]*pillarbox.Event) error) *httptest.Server {
	t.Helper()
	queue := memory.NewQueue(nil)
	queue.SetFault(fault)
	table, err := source.Compile([]source.Settings{{Name: "app", Path: "/app", MaxBody: 100}},
		source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	public := intake.New(intake.Options{Acceptor: ingest.New(queue, ingest.Options{}),
		Sources: source.NewSources(table)})
	s := httptest.NewServer(public)
	t.Cleanup(s.Close)
	return s
}

var ids = regexp.MustCompile(`"request_id":"[^"]+","timestamp":"[^"]+"`)

func answerOf(t *testing.T, base, method, path, encoding, body string) string {
	t.Helper()
	request, err := http.NewRequest(method, base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if encoding != "" {
		request.Header.Set("Content-Encoding", encoding)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	header := response.Header
	id := header.Get("X-Request-Id")
	if (id != "") != strings.Contains(string(text), `"request_id":"`+id+`"`) {
		t.Errorf("the header names %q, the receipt is %s", id, text)
	}
	return fmt.Sprintf("%d %q %q %q %q %s", response.StatusCode, header.Get("Content-Type"),
		header.Get("Allow"), header.Get("Retry-After"),
		header.Get("X-Content-Type-Options"),
		ids.ReplaceAllString(string(text), `"request_id":"","timestamp":""`))
}

// TestAnswersAreThoseOfTheServer sends the same requests to the HTTP server and through each kind
// of gateway.
func TestAnswersAreThoseOfTheServer(t *testing.T) {
	faults := map[string]error{
		"none": nil, "full": fmt.Errorf("the queue: %w", pillarbox.ErrFull),
		"no space": pillarbox.ErrNoSpace, "down": pillarbox.ErrUnavailable,
		"asks to wait": &pillarbox.RetryAfterError{After: 90 * time.Second,
			Err: pillarbox.ErrUnavailable}, "closed": pillarbox.ErrClosed,
		"too large": fmt.Errorf("a message: %w", pillarbox.ErrTooLarge),
		"late":      context.DeadlineExceeded, "unknown": errors.New("secret"),
		"conflict": pillarbox.ErrConflict, "one": &pillarbox.BatchError{
			Items: []pillarbox.ItemError{{Index: 0, Err: pillarbox.ErrUnavailable}}},
	}
	for fault, err := range faults {
		refuse := func([]*pillarbox.Event) error { return err }
		want := server(t, refuse)
		for _, kind := range []fakelambda.Kind{fakelambda.REST, fakelambda.HTTP, fakelambda.URL} {
			f := newFront(t, source.Settings{MaxBody: 100})
			f.queue.SetFault(refuse)
			got := httptest.NewServer(&fakelambda.Gateway{Kind: kind, Function: f})
			t.Cleanup(got.Close)
			for _, c := range []struct{ method, path, encoding, body string }{
				{"POST", "/app", "", "hello"}, {"POST", "/app?a=1", "identity", ""},
				{"POST", "/app", "", "\x00\xff\x80"},
				{"POST", "/app", "gzip", "hello"}, {"POST", "/app", "", strings.Repeat("x", 100)},
				{"POST", "/app", "", strings.Repeat("x", 101)},
				{"GET", "/app", "", ""}, {"HEAD", "/app", "", ""}, {"PUT", "/app", "", ""},
				{"DELETE", "/app", "", ""}, {"OPTIONS", "/app", "", ""},
			} {
				name := fmt.Sprintf("%s, queue: %s, %s %s %s %.10q", kind, fault, c.method, c.path,
					c.encoding, c.body)
				a := answerOf(t, want.URL, c.method, c.path, c.encoding, c.body)
				b := answerOf(t, got.URL, c.method, c.path, c.encoding, c.body)
				if a != b {
					t.Errorf("%s:\nthe server answers   %s\nthe function answers %s", name, a, b)
				}
			}
			if strings.Contains(f.log.String(), "hello") {
				t.Errorf("a body is in the log: %s", f.log.String())
			}
		}
	}
}

// TestFaultOfOursIsNeverThe2xxOrThe4xxOfAClient: whatever goes wrong behind the door, the sender
// may send again.
func TestFaultOfOursIsNeverThe2xxOrThe4xxOfAClient(t *testing.T) {
	for name, fault := range map[string]func([]*pillarbox.Event) error{
		"the queue is not there": func([]*pillarbox.Event) error { return pillarbox.ErrNotFound },
		"the queue was set up wrong": func([]*pillarbox.Event) error {
			return &pillarbox.BatchError{Items: []pillarbox.ItemError{{Err: pillarbox.ErrInvalid}}}
		},
		"panic": func([]*pillarbox.Event) error { panic("bug") },
	} {
		f := newFront(t, source.Settings{})
		f.queue.SetFault(fault)
		answer := f.call(read(t, "rest.json"))
		if answer.StatusCode != http.StatusInternalServerError ||
			answer.Headers["Content-Type"] != "application/problem+json" {
			t.Errorf("%s: answered with %+v", name, answer)
		}
		if line := metricsOf(t, f.metrics.String())[0]; line["Accepted"] != 0.0 ||
			line["RefusedInternalServerError"] != 1.0 {
			t.Errorf("%s: counted as %v", name, line)
		}
		if f.log.Len() == 0 {
			t.Errorf("%s: nothing is in the log", name)
		}
	}
	f := newFront(t, source.Settings{})
	bad := bytes.Replace(read(t, "rest.json"), []byte("AP+AaGVsbG8="), []byte("AP+AaGVsbG8!"), 1)
	if answer := f.call(bad); answer.StatusCode != http.StatusInternalServerError ||
		f.queued() != nil {
		t.Errorf("a body that the gateway garbled is answered with %+v", answer)
	}
}

// TestPathBehindWhateverStandsInFrontOfIt lists what is the source's path and what is not.
func TestPathBehindWhateverStandsInFrontOfIt(t *testing.T) {
	event := func(shape, stage, path string) []byte {
		if shape == "rest" {
			return fmt.Appendf(nil, `{"httpMethod":"POST","path":%q,"requestContext":{"stage":%q}}`,
				path, stage)
		}
		return fmt.Appendf(nil, `{"rawPath":%q,"requestContext":{"stage":%q,"http":{"method":"POST"}}}`, path, stage)
	}
	for _, c := range []struct {
		source, stage, path string
		status              int
	}{
		{"/app", "live", "/app", 202}, {"/app", "live", "/live/app", 202},
		{"/app", "live", "/v1/x/app", 202}, {"/app", "live", "/app/", 202}, {"/app", "live", "/app//", 404},
		{"/app", "live", "/snapp", 404}, {"/app", "live", "/app/batch", 415}, {"/app", "live", "/app/x", 404},
		{"/app", "live", "", 404}, {"/app", "live", "/App", 404}, {"/a/b", "live", "/b", 404},
		{"/a/b", "live", "/live/a/b", 202}, {"/", "live", "/", 202}, {"/", "live", "", 202},
		{"/", "live", "/live", 202}, {"/", "live", "/live/", 202},
		{"/", "live", "/other", 404}, {"/", "$default", "/live/", 404},
	} {
		for _, shape := range []string{"rest", "v2"} {
			f := newFront(t, source.Settings{Path: c.source})
			answer := f.call(event(shape, c.stage, c.path))
			if answer.StatusCode != c.status {
				t.Errorf("%s: %q of stage %s for the source at %q is answered with %+v", shape,
					c.path, c.stage, c.source, answer)
			}
			if events := f.queued(); answer.StatusCode == 202 &&
				(len(events) != 1 || strings.TrimSuffix(events[0].Path, "/") != strings.TrimSuffix(c.source, "/")) {
				t.Errorf("%s: %q was queued as %+v", shape, c.path, events)
			}
		}
	}
}

// TestEveryEventHasAnID: that of the gateway where there is one that nobody can choose, and one of
// ours where not.
func TestEveryEventHasAnID(t *testing.T) {
	const own = ""
	for context, want := range map[string]string{
		`{"extendedRequestId":"CEzHRgK1LPEEGVg=","requestId":"a"}`: "CEzHRgK1LPEEGVg=",
		`{"requestId":"0a1b2c3d-4e5f"}`:                            "0a1b2c3d-4e5f",
		`{}`:                                                       own,
		`{"requestId":""}`:                                         own,
		`{"requestId":"a b"}`:                                      own,
		`{"requestId":"a\r\nSet-Cookie: x"}`:                       own,
		`{"requestId":"a\"}"}`:                                     own,
		`{"requestId":"ü"}`:                                        own,
		`{"requestId":"` + strings.Repeat("a", 129) + `"}`:         own,
	} {
		f := newFront(t, source.Settings{})
		answer := f.call([]byte(`{"httpMethod":"POST","path":"/app","requestContext":` + context + `}`))
		got := f.queued()[0].RequestID
		if got != want && (want != own || len(got) != 36) {
			t.Errorf("%s: the event is %q, want %q", context, got, want)
		}
		if answer.Headers["X-Request-Id"] != got ||
			!strings.Contains(answer.Body, `"request_id":"`+got+`"`) {
			t.Errorf("%s: the receipt is %+v, the event %q", context, answer, got)
		}
	}
}

func TestWhatIsNoRequestIsAnError(t *testing.T) {
	for _, payload := range []string{
		``, `null`, `{}`, `[]`, `{"Records":[]}`, `{"version":"2.0","requestContext":{}}`,
		`{"requestContext":{"http":{}}}`, `{"httpMethod":5}`,
		`{"httpMethod":"POST","path":"/app","requestContext":{"elb":{"targetGroupArn":"arn"}}}`,
		`{"httpMethod":"POST","path":"/app","headers":"canary"}`,
	} {
		f := newFront(t, source.Settings{})
		response, err := f.Invoke(context.Background(), []byte(payload))
		if err == nil || response != nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q is answered with %s, %v", payload, response, err)
		}
		if f.queued() != nil {
			t.Errorf("%q was queued", payload)
		}
	}
}

// stuck is a queue that answers when it is told to give up.
type stuck struct{ pillarbox.Queue }

func (stuck) Keys() pillarbox.Keys { return nil }

func (stuck) Append(ctx context.Context, _ []*pillarbox.Event) error {
	<-ctx.Done()
	return ctx.Err()
}

// TestSlowQueueIsAnsweredFor: before Lambda kills the process, the client is told to come back.
func TestSlowQueueIsAnsweredFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		accept := newAccept(t, ingest.New(stuck{}, ingest.Options{}), make([]source.Settings, 1),
			source.Options{}, lambda.AcceptOptions{})
		for _, timeout := range []time.Duration{10 * time.Second, time.Second} {
			ctx, cancel := context.WithTimeout(context.Background(), timeout)
			start := time.Now()
			response, err := accept.Invoke(ctx, read(t, "rest.json"))
			took := time.Since(start)
			if err != nil || !bytes.Contains(response, []byte(`"statusCode":503`)) ||
				!bytes.Contains(response, []byte(`"Retry-After"`)) {
				t.Errorf("answered with %s, %v", response, err)
			}
			if took >= timeout || timeout-took > time.Second {
				t.Errorf("answered after %v of %v", took, timeout)
			}
			cancel()
		}
	})
}

// FuzzAccept hands over anything: it does not panic, and a 2xx to a POST is always one event in the
// queue.
func FuzzAccept(f *testing.F) {
	for _, name := range []string{"rest", "http", "url"} {
		f.Add(read(f, name+".json"))
	}
	f.Add([]byte(`{"httpMethod":"GET","path":"/app"}`))
	f.Add([]byte(`{"httpMethod":"POST","path":"/app","isBase64Encoded":true,"body":"="}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		front := newFront(t, source.Settings{})
		response, err := front.Invoke(context.Background(), payload)
		queued := front.queued()
		if err != nil {
			if queued != nil {
				t.Errorf("error %v, and an event in the queue", err)
			}
			return
		}
		var answer gatewayAnswer
		if err := json.Unmarshal(response, &answer); err != nil {
			t.Fatalf("answer %s: %v", response, err)
		}
		switch {
		case answer.StatusCode == http.StatusAccepted:
			if len(queued) != 1 || answer.Headers["X-Request-Id"] != queued[0].RequestID {
				t.Errorf("answer %s for %+v", response, queued)
			}
		case queued != nil:
			t.Errorf("answer %s, and an event in the queue", response)
		case answer.StatusCode == http.StatusOK:
			if !bytes.Contains(payload, []byte("GET")) &&
				!bytes.Contains(payload, []byte("HEAD")) && !bytes.Contains(payload, []byte(`\u`)) {
				t.Errorf("answer %s", response)
			}
		case answer.StatusCode < 400 || answer.StatusCode > 599:
			t.Errorf("answer %s", response)
		}
		checkMetrics(t, front.metrics.String())
	})
}

// sinkhole is a queue that keeps nothing.
type sinkhole struct{ pillarbox.Queue }

func (sinkhole) Keys() pillarbox.Keys { return nil }

func (sinkhole) Append(context.Context, []*pillarbox.Event) error { return nil }

// BenchmarkAccept is the work of one request beside the queue's.
func BenchmarkAccept(b *testing.B) {
	for _, size := range []int{1 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			body := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0xff}, size))
			payload := bytes.Replace(read(b, "rest.json"), []byte("AP+AaGVsbG8="), []byte(body), 1)
			accept := newAccept(b, ingest.New(sinkhole{}, ingest.Options{}), make([]source.Settings, 1),
				source.Options{}, lambda.AcceptOptions{Metrics: io.Discard})
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				if response, err := accept.Invoke(context.Background(), payload); err != nil ||
					!bytes.Contains(response, []byte(`"statusCode":202`)) {
					b.Fatalf("%s, %v", response, err)
				}
			}
		})
	}
}

// What the function does not keep of a request is counted, as at the server.
func TestRemovedSecretsAreCounted(t *testing.T) {
	f := newFront(t, source.Settings{})
	payload := `{"httpMethod":"POST","path":"/app","body":"x","multiValueHeaders":{"Api_Key":["s3cret"],"X-Hub-Signature":["1"]},
		"multiValueQueryStringParameters":{"accessToken":["s3cret"],"sig":["1"]}}`
	if answer := f.call([]byte(payload)); answer.StatusCode != http.StatusAccepted {
		t.Fatalf("answered with %+v", answer)
	}
	if line := metricsOf(t, f.metrics.String())[0]; line["Removed"] != 2.0 {
		t.Errorf("counted as %v, want 2 removed", line)
	}
	if strings.Contains(f.log.String(), "s3cret") || !strings.Contains(f.log.String(), "Api_key") {
		t.Errorf("the log says %s", f.log.String())
	}
}

// TestWhatIsTakenOverCountsForTheSameRequest: the first one of a process finds its source, whatever
// stands in front of its path, and one for which nothing could be taken over is told when to come back.
func TestWhatIsTakenOverCountsForTheSameRequest(t *testing.T) {
	none, err := source.Compile(nil, source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	app, err := source.Compile([]source.Settings{{Name: "app", Path: "/app"}}, source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	sources := source.NewSources(none)
	away := fmt.Errorf("secrets: %w", pillarbox.ErrUnavailable)
	handler := intake.New(intake.Options{Acceptor: lambda.NewAcceptor(ingest.New(sinkhole{}, ingest.Options{})), Sources: sources})
	accept := lambda.NewAccept(handler, sources, lambda.AcceptOptions{Refresh: func(context.Context) error {
		if away != nil {
			return away
		}
		sources.Replace(app)
		return nil
	}})
	for _, status := range []int{503, 202} {
		response, err := accept.Invoke(context.Background(), []byte(`{"httpMethod":"POST","path":"/v1/app"}`))
		if err != nil || !bytes.Contains(response, fmt.Appendf(nil, `"statusCode":%d`, status)) {
			t.Errorf("answered with %s, %v, want %d", response, err, status)
		}
		if away = nil; status == 503 && !bytes.Contains(response, []byte("Retry-After")) {
			t.Errorf("answered with %s", response)
		}
	}
}
