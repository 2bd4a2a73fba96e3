package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/deliver"
	"pillarbox/internal/engine/memory"
	"pillarbox/internal/held"
	"pillarbox/internal/httpapi"
	"pillarbox/internal/ingest"
	"pillarbox/internal/ledger"
	"pillarbox/internal/replay"
)

// box is the whole service on engines in memory: accepting, one destination, dead letters, and both handlers,
// each behind a check that it answers what the document says.
type box struct {
	t       *testing.T
	queue   *memory.Queue
	sink    *memory.Sink
	letters *memory.DeadLetters
	watch   *deliver.Watch
	jobs    *replay.Jobs
	desk    *desk
	accept  *ingest.Acceptor
	public  *httpapi.Public
	admin   *httpapi.Admin
}

const destination = "events"

func openBox(t *testing.T, public httpapi.PublicOptions, admin httpapi.AdminOptions) *box {
	t.Helper()
	b := &box{t: t, queue: memory.NewQueue(nil), sink: memory.NewSink(), letters: memory.NewDeadLetters(), watch: deliver.NewWatch()}
	replayer := replay.New(replay.Options{Letters: b.letters, Deliver: b.deliverOnce})
	b.jobs = replay.NewJobs(replayer)
	books := ledger.New(b.queue, b.letters, []ledger.Destination{{Name: destination, Sink: b.sink}}, nil)
	b.desk = &desk{Books: books, box: b, replayer: replayer, held: held.New(b.queue, b.letters, func() []string { return []string{destination, "archive"} }, nil)}
	b.accept = ingest.New(b.queue, ingest.Options{Sources: map[string]ingest.Source{"app": {MaxBody: testMaxBody}}})
	if public.Waiter == nil {
		public.Waiter = waiter{b.watch}
	}
	b.public = httpapi.NewPublic(b.accept, public)
	b.public.SetSources([]httpapi.Source{{Name: "app", Path: "/app", MaxBody: testMaxBody, Destinations: []string{destination}}})
	b.admin = httpapi.NewAdmin(b.desk, admin)
	t.Cleanup(func() {
		b.admin.Close()
		for _, err := range []error{b.jobs.Close(), b.queue.Close(), b.sink.Close(), b.letters.Close()} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	return b
}

// testMaxBody is small, so that going over it is cheap.
const testMaxBody = 1000

// deliverOnce refuses what says so.
func (b *box) deliverOnce(ctx context.Context, _ string, events []*pillarbox.Event) ([]error, error) {
	errs := make([]error, len(events))
	for i, event := range events {
		if bytes.Contains(event.Body, []byte("refuse")) {
			errs[i] = fmt.Errorf("refused again")
			continue
		}
		errs[i] = b.sink.Write(ctx, events[i:i+1])
	}
	return errs, nil
}

// deliver runs the loop of the destination until the test ends.
func (b *box) deliver() {
	loop := deliver.NewLoop(deliver.Options{Destination: destination, Queue: b.queue, Sink: b.sink, Letters: b.letters, Watch: b.watch})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- loop.Run(ctx) }()
	b.t.Cleanup(func() { cancel(); <-done })
}

// queued returns what the queue holds, in order.
func (b *box) queued() []*pillarbox.Event {
	b.t.Helper()
	var events []*pillarbox.Event
	if _, err := b.queue.Account(destination); err != nil {
		b.t.Fatal(err)
	}
	err := b.queue.Scan(context.Background(), destination, func(event *pillarbox.Event, _ pillarbox.Standing) error {
		copied := *event
		copied.Body = bytes.Clone(event.Body)
		events = append(events, &copied)
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return events
}

// store puts n events into the destination, one second apart.
func (b *box) store(n int) []*pillarbox.Event {
	b.t.Helper()
	events := makeEvents(n)
	if err := b.sink.Write(context.Background(), events); err != nil {
		b.t.Fatal(err)
	}
	return events
}

var firstTime = time.Date(2026, 11, 23, 14, 12, 0, 123456000, time.UTC)

func makeEvents(n int) []*pillarbox.Event {
	events := make([]*pillarbox.Event, n)
	for i := range events {
		events[i] = &pillarbox.Event{
			Timestamp: pillarbox.TimestampOf(firstTime.Add(time.Duration(i) * time.Second)), RequestID: fmt.Sprintf("id-%03d", i),
			Source: []string{"app", "orders"}[i%2], Method: "POST", Path: "/app", ContentType: "text/plain",
			Header: pillarbox.Header{{Name: "Content-Type", Value: "text/plain"}}, Body: fmt.Appendf(nil, "<body %d>", i),
		}
	}
	return events
}

// bury makes dead letters of n events, one a day.
func (b *box) bury(n int) []*pillarbox.DeadLetter {
	b.t.Helper()
	letters := make([]*pillarbox.DeadLetter, n)
	for i, event := range makeEvents(n) {
		at := event.Timestamp + pillarbox.Timestamp(time.Duration(i)*24*time.Hour/time.Microsecond)
		letters[i] = &pillarbox.DeadLetter{
			Version: pillarbox.DeadLetterVersion, Destination: destination, Reason: fmt.Sprintf("reason %d", i), DeadAt: at, Event: event,
			Attempts: []pillarbox.Attempt{{At: at, Class: pillarbox.ClassRefused, Error: "constraint"}}, Replay: "pillarbox dead replay",
		}
		if err := pillarbox.PutLetter(context.Background(), b.letters, letters[i]); err != nil {
			b.t.Fatal(err)
		}
	}
	return letters
}

// waiter is the watch as the public side wants it.
type waiter struct{ watch *deliver.Watch }

func (w waiter) Expect(requestID string) httpapi.Expectation { return w.watch.Expect(requestID) }

// desk is the desk of a box.
type desk struct {
	httpapi.Books
	box      *box
	replayer *replay.Replayer
	follows  atomic.Int64
	batches  chan []*pillarbox.Event // for Follow, instead of what the loop stores
	fault    func() error            // of Events
	held     *held.Events
}

func (d *desk) HeldGroups(ctx context.Context, filter held.Filter) ([]held.Group, error) {
	return d.held.Groups(ctx, filter)
}

func (d *desk) HeldEvents(ctx context.Context, filter held.Filter, after *held.Place, limit int) ([]held.Item, *held.Place, error) {
	return d.held.List(ctx, filter, after, limit)
}

func (d *desk) RouteHeld(ctx context.Context, filter held.Filter, to string, dryRun bool) (held.Result, error) {
	return d.held.Route(ctx, filter, to, dryRun)
}

func (d *desk) DeadLetterHeld(ctx context.Context, filter held.Filter, dryRun bool) (held.Result, error) {
	return d.held.DeadLetter(ctx, filter, dryRun)
}

func (d *desk) ForgetHeld(ctx context.Context, filter held.Filter, dryRun bool) (held.Result, error) {
	return d.held.Forget(ctx, filter, dryRun)
}

func (d *desk) Obligations(ctx context.Context) ([]held.Pending, error) { return d.held.Pending(ctx) }

var _ httpapi.Desk = (*desk)(nil)

func (d *desk) Status(context.Context) (httpapi.Status, error) {
	return httpapi.Status{
		Version: "1.2.3", StartedAt: 1, UptimeSeconds: 2, Data: "./data",
		Destinations: []httpapi.DestinationStatus{{Destination: destination, URL: "memory:", State: deliver.StateDelivering}},
		Sources:      []httpapi.SourceStatus{{Source: "app", Path: "/app"}},
	}, nil
}

func known(name string) error {
	if name != "" && name != destination {
		return fmt.Errorf("destination %q: %w", name, pillarbox.ErrNotFound)
	}
	return nil
}

func (d *desk) Events(ctx context.Context, name string, filter pillarbox.EventFilter) ([]*pillarbox.Event, error) {
	if err := known(name); err != nil {
		return nil, err
	}
	if d.fault != nil {
		if err := d.fault(); err != nil {
			return nil, err
		}
	}
	return d.box.sink.List(ctx, filter)
}

func (d *desk) Follow(_ context.Context, name string) (httpapi.Following, error) {
	if err := known(name); err != nil {
		return httpapi.Following{}, err
	}
	if d.batches != nil {
		return httpapi.Following{Batches: d.batches, Close: func() {}}, nil
	}
	follower := d.box.watch.Follow(destination)
	d.follows.Add(1)
	return httpapi.Following{Batches: follower.Batches, Close: func() { follower.Close(); d.follows.Add(-1) }}, nil
}

func (d *desk) DeadLetters(ctx context.Context, filter pillarbox.LetterFilter) iter.Seq2[*pillarbox.DeadLetter, error] {
	return d.box.letters.List(ctx, filter)
}

func (d *desk) DeadLetter(ctx context.Context, name, requestID string) (*pillarbox.DeadLetter, error) {
	return d.box.letters.Get(ctx, name, requestID)
}

func (d *desk) Discard(ctx context.Context, name, requestID string) error {
	return d.replayer.Discard(ctx, name, requestID)
}

func (d *desk) StartReplay(ctx context.Context, request replay.Request) (replay.Progress, error) {
	if err := known(request.Filter.Destination); err != nil {
		return replay.Progress{}, err
	}
	return d.box.jobs.Start(ctx, request)
}

func (d *desk) Replays() []replay.Progress                { return d.box.jobs.List() }
func (d *desk) Replay(id string) (replay.Progress, error) { return d.box.jobs.Get(id) }

func (d *desk) CancelReplay(ctx context.Context, id string) (replay.Progress, error) {
	return d.box.jobs.Cancel(ctx, id)
}

// answer is what a handler wrote.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request to a handler, and checks the answer against the document.
func do(t *testing.T, handler http.Handler, request *http.Request) answer {
	t.Helper()
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	result := recorder.Result()
	text, err := io.ReadAll(result.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := answer{status: result.StatusCode, header: result.Header, body: string(text)}
	conform(t, handler, request, got)
	return got
}

// get asks the admin handler, from this machine.
func (b *box) get(target string) answer {
	b.t.Helper()
	return b.call(http.MethodGet, target, "")
}

func (b *box) call(method, target, body string) answer {
	b.t.Helper()
	request := httptest.NewRequest(method, "http://localhost:8081"+target, strings.NewReader(body))
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	return do(b.t, b.admin, request)
}

// post sends a body to the public handler. headers are names and values.
func (b *box) post(path, body string, headers ...string) answer {
	b.t.Helper()
	request := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	return do(b.t, b.public, request)
}

// wants fails unless the status is as wanted and the body holds every part. An error must be a problem.
func (a answer) wants(t *testing.T, status int, parts ...string) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d; body %s", a.status, status, a.body)
	}
	for _, part := range parts {
		if !strings.Contains(a.body, part) {
			t.Errorf("body %q has no %q", a.body, part)
		}
	}
	retriable := status == http.StatusServiceUnavailable || status == http.StatusInsufficientStorage
	if retriable && a.header.Get("Retry-After") == "" {
		t.Errorf("status %d has no Retry-After", status)
	}
	return a
}

func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var value T
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return value
}
