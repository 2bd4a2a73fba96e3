package adminclient_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/adminclient"
	"pillarbox/internal/node"
	"pillarbox/internal/node/nodetest"
	"pillarbox/internal/replay"
)

// box is a node with both handlers.
type box struct {
	*nodetest.Box
	node   *nodetest.Faulty
	admin  *adminapi.Handler
	public http.Handler
}

func openBox(t *testing.T, options adminapi.Options) *box {
	t.Helper()
	opened := nodetest.Open(t)
	b := &box{Box: opened, node: &nodetest.Faulty{Node: opened.Node},
		public: opened.Node.PublicHandler(node.Limits{})}
	b.admin = adminapi.New(b.node, options)
	t.Cleanup(b.admin.Close)
	return b
}

func idsOf(events []*pillarbox.Event) []string {
	var ids []string
	for _, event := range events {
		ids = append(ids, event.RequestID)
	}
	return ids
}

// newClient makes a client for a handler in this process.
func newClient(t *testing.T, handler http.Handler, token string) *adminclient.Client {
	t.Helper()
	client, err := adminclient.New("localhost:8081",
		adminclient.Options{Token: token, HTTP: adminclient.InProcess(handler)})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// must returns the value of a call that has to succeed.
func must[T any](value T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// TestClientCallsEveryRoute, in process and over a connection, and gets back what the handler was
// given.
func TestClientCallsEveryRoute(t *testing.T) {
	ctx := t.Context()
	b := openBox(t, adminapi.Options{
		Token: "secret", Now: func() time.Time { return nodetest.FirstTime.Add(time.Hour) },
		Metrics: http.HandlerFunc(func(w http.ResponseWriter,
			_ *http.Request) {
			fmt.Fprintln(w, "pillarbox_up 1")
		}),
	})
	events, letters := b.Store(5), b.DeadLetter(3)
	server := httptest.NewServer(b.admin)
	defer server.Close()
	overNet := must(adminclient.New(server.URL+"/",
		adminclient.Options{Token: "secret", HTTP: server.Client()}))(t)
	for _, c := range []*adminclient.Client{newClient(t, b.admin, "secret"), overNet} {
		if err := errors.Join(c.Healthy(ctx), c.Ready(ctx)); err != nil {
			t.Error(err)
		}
		if status := must(c.Status(ctx))(t); status.Version != "1.2.3" || !status.Ready ||
			len(status.Sources) != 1 {
			t.Errorf("status %+v", status)
		}
		page := must(c.Events(ctx, adminapi.EventQuery{Destination: nodetest.Destination, Source: "app",
			Since: "59m59s", Until: "1s", Newest: true, Limit: 1}))(t)
		if len(page.Events) != 1 || page.Events[0].Key() != events[4].Key() ||
			!bytes.Equal(page.Events[0].Body, events[4].Body) || page.NextCursor == "" {
			t.Errorf("page %+v", page)
		}
		page = must(c.Events(ctx, adminapi.EventQuery{Source: "app", Newest: true, Limit: 1,
			Cursor: page.NextCursor}))(t)
		if got := idsOf(page.Events); !slices.Equal(got, []string{"id-002"}) {
			t.Errorf("next page %v", got)
		}
		if story := must(c.Story(ctx, "id-004"))(t); story.State != pillarbox.StateStored ||
			story.Event.Key() != events[4].Key() {
			t.Errorf("story %+v", story)
		}
		list := must(c.DeadLetters(ctx, adminapi.DeadLetterQuery{Error: "reason",
			Since: "2026-11-24T00:00:00Z", Resolved: true, Limit: 1}))(t)
		if len(list.DeadLetters) != 1 || list.DeadLetters[0].Event.RequestID != "id-001" ||
			list.NextCursor == "" {
			t.Errorf("letters %+v", list)
		}
		if letter := must(c.DeadLetter(ctx, "", "id-002"))(t); letter.DeadAt != letters[2].DeadAt {
			t.Errorf("letter %+v", letter)
		}
		progress := must(c.StartReplay(ctx,
			adminapi.ReplayRequest{DryRun: true, RequestIDs: []string{"id-000"}}))(t)
		if progress.Matched != 1 || progress.State != replay.StateDone {
			t.Errorf("dry run %+v", progress)
		}
		if account := must(c.Ledger(ctx))(t); len(account.Destinations) != 2 {
			t.Errorf("ledger %+v", account)
		}
		if audit := must(c.Audit(ctx))(t); len(audit.Destinations) != 2 {
			t.Errorf("audit %+v", audit)
		}
		var metrics, document strings.Builder
		if err := errors.Join(c.Metrics(ctx, &metrics), c.OpenAPI(ctx, &document)); err != nil ||
			metrics.String() != "pillarbox_up 1\n" || !strings.HasPrefix(document.String(), "openapi: 3.1") {
			t.Errorf("metrics %q, document of %d bytes, %v", metrics.String(), document.Len(), err)
		}
	}
	c := overNet
	started := must(c.StartReplay(ctx, adminapi.ReplayRequest{Rate: 0.0001}))(t)
	if _, err := c.StartReplay(ctx, adminapi.ReplayRequest{}); !errors.Is(err, pillarbox.ErrConflict) {
		t.Errorf("a second replay: %v", err)
	}
	if cancelled := must(c.CancelReplay(ctx, started.ID))(
		t); cancelled.State != replay.StateCancelled {
		t.Errorf("cancelled %+v", cancelled)
	}
	if again := must(c.Replay(ctx, started.ID))(t); again.State != replay.StateCancelled {
		t.Errorf("replay %+v", again)
	}
	if all := must(c.Replays(ctx))(t); len(all) != 1 {
		t.Errorf("replays %+v", all)
	}
	if discarded := must(c.Discard(ctx, nodetest.Destination, "id-002"))(
		t); discarded.Resolved == nil {
		t.Errorf("discarded %+v", discarded)
	}
}

// TestClientErrorsHaveTheKindsOfTheServer, so that a caller can't tell whether it opened the data
// itself.
func TestClientErrorsHaveTheKindsOfTheServer(t *testing.T) {
	ctx := t.Context()
	for _, kind := range []error{pillarbox.ErrInvalid, pillarbox.ErrNotFound,
		pillarbox.ErrUnavailable} {
		c := newClient(t, adminapi.New(nodetest.Broken{Err: fmt.Errorf("the reason: %w", kind)},
			adminapi.Options{}), "")
		page, err := c.Events(ctx, adminapi.EventQuery{})
		if page != nil || !errors.Is(err, kind) || err.Error() != "the reason: "+kind.Error() {
			t.Errorf("%v: page %v, error %v", kind, page, err)
		}
	}
	for kind, call := range map[error]func(c *adminclient.Client) error{
		pillarbox.ErrConflict: func(c *adminclient.Client) error {
			_,
				err := c.Discard(ctx, "", "x")
			return err
		},
		pillarbox.ErrNoSpace: func(c *adminclient.Client) error {
			_,
				err := c.Discard(ctx, "", "x")
			return err
		},
		pillarbox.ErrCorrupt: func(c *adminclient.Client) error {
			_,
				err := c.DeadLetter(ctx, "", "x")
			return err
		},
	} {
		err := call(newClient(t, adminapi.New(nodetest.Broken{Err: kind}, adminapi.Options{}), ""))
		var problem *adminclient.ProblemError
		if !errors.As(err, &problem) || kind != pillarbox.ErrCorrupt && !errors.Is(err, kind) {
			t.Errorf("%v became %v", kind, err)
		}
	}
	var denied *adminclient.ProblemError
	_, err := newClient(t, adminapi.New(nodetest.Broken{}, adminapi.Options{Token: "x"}),
		"y").Audit(ctx)
	if !errors.As(err, &denied) || denied.Status != 401 {
		t.Errorf("wrong token: %v", err)
	}
}

// TestClientOfNoServerSaysWhatToDo, and does not blame the server when the caller gave up.
func TestClientOfNoServerSaysWhatToDo(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	c := must(adminclient.New(address, adminclient.Options{}))(t)
	_, err = c.Status(t.Context())
	for _, part := range []string{"http://" + address, "pillarbox serve", "--server", "refused"} {
		if !errors.Is(err, pillarbox.ErrUnavailable) || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v has no %q", err, part)
		}
	}
	if err := c.FollowEvents(t.Context(), adminapi.EventQuery{}, nil); !errors.Is(err,
		pillarbox.ErrUnavailable) {
		t.Errorf("follow: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Status(ctx); !errors.Is(err, context.Canceled) ||
		errors.Is(err, pillarbox.ErrUnavailable) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestClientOfSomethingElse makes sense of what is no answer of ours.
func TestClientOfSomethingElse(t *testing.T) {
	ctx := t.Context()
	for body, part := range map[string]string{"<html>": "is it a pillarbox server?",
		"": "is it a pillarbox server?"} {
		c := newClient(t, http.HandlerFunc(
			func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }), "")
		if _, err := c.Status(ctx); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q: %v", body, err)
		}
	}
	for status, kind := range map[int]error{404: pillarbox.ErrNotFound, 502: pillarbox.ErrUnavailable,
		405: pillarbox.ErrInvalid} {
		c := newClient(t, http.HandlerFunc(
			func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", status) }), "")
		if _, err := c.Status(ctx); !errors.Is(err, kind) || strings.Contains(err.Error(), "html") {
			t.Errorf("%d: %v", status, err)
		}
	}
	for _, base := range []string{"", "http://", "ftp://x", "http://a b", "http://x?y",
		"http://u:secret@x"} {
		if _, err := adminclient.New(base, adminclient.Options{}); !errors.Is(err,
			pillarbox.ErrInvalid) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", base, err)
		}
	}
}

// TestFollowEventsGoesOnAfterALag, from the event that was seen last, and ends as it is told to.
func TestFollowEventsGoesOnAfterALag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := openBox(t, adminapi.Options{Now: func() time.Time {
			return nodetest.FirstTime.Add(time.Hour)
		}})
		ids := idsOf(b.Store(5))
		lag := make(chan []*pillarbox.Event)
		close(lag)
		b.node.Batches = lag // cut off as soon as it is live: every round is only what is stored
		c := newClient(t, b.admin, "")
		var seen []string
		done := errors.New("enough")
		err := c.FollowEvents(t.Context(), adminapi.EventQuery{Since: "2h"},
			func(event *pillarbox.Event, cursor string) error {
				seen = append(seen, event.RequestID)
				switch len(seen) {
				case 5:
					late := nodetest.Events(6)[5:]
					ids = append(ids, late[0].RequestID)
					if err := b.Sink.Write(context.Background(), late); err != nil {
						t.Error(err)
					}
				case 6:
					return done
				}
				return nil
			})
		if !errors.Is(err, done) || !slices.Equal(seen, ids) {
			t.Errorf("seen %v, error %v", seen, err)
		}
		b.node.Batches = nil
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := c.FollowEvents(ctx, adminapi.EventQuery{}, nil); !errors.Is(err,
			context.DeadlineExceeded) {
			t.Errorf("after the deadline: %v", err)
		}
		b.admin.Close()
		if err := c.FollowEvents(t.Context(), adminapi.EventQuery{}, nil); !errors.Is(err,
			pillarbox.ErrUnavailable) || !strings.Contains(err.Error(), "ended the stream") {
			t.Errorf("after the stop: %v", err)
		}
		reads := 0
		b.node.Fault = func() error {
			if reads++; reads > 2 { // the first page, and whether there is more
				return pillarbox.ErrFull
			}
			return nil
		}
		b.Store(200)
		err = c.FollowEvents(t.Context(), adminapi.EventQuery{Since: "2h"},
			func(*pillarbox.Event, string) error { return nil })
		if !errors.Is(err, pillarbox.ErrUnavailable) || strings.Contains(err.Error(), "ended") {
			t.Errorf("after the store failed: %v", err)
		}
	})
}

// TestPoster sends one and many.
func TestPoster(t *testing.T) {
	b := openBox(t, adminapi.Options{})
	poster := &adminclient.Poster{HTTP: adminclient.InProcess(b.public)}
	header := http.Header{"X-Kept": {"yes"}}
	posted := must(poster.Post(t.Context(), "http://localhost/app?a=1", "text/plain",
		[]byte("\x00\xff"), header))(t)
	batch := must(poster.PostBatch(t.Context(), "http://localhost/app/batch", []byte("1\nbad\n2\n"),
		nil))(t)
	events := b.Queued()
	if posted.Status != 202 || posted.Receipt.RequestID != events[0].RequestID ||
		string(events[0].Body) != "\x00\xff" || events[0].Query != "a=1" {
		t.Errorf("posted %+v, stored %+v", posted, events[0])
	}
	if len(header) != 1 || !slices.Contains(events[0].Header,
		pillarbox.HeaderField{Name: "X-Kept", Value: "yes"}) {
		t.Errorf("header %v, stored %v", header, events[0].Header)
	}
	if len(batch) != 3 || batch[0].Receipt.RequestID != events[1].RequestID ||
		batch[2].Receipt.RequestID != events[2].RequestID ||
		!errors.Is(batch[1].Err, pillarbox.ErrInvalid) || batch[1].Status != 400 {
		t.Errorf("batch %+v", batch)
	}
	for form, body := range map[string]string{"application/x-ndjson": "1\nbad\n2\n",
		"application/json": "[1,bad,2]"} {
		as := must(poster.Post(t.Context(), "http://localhost/app/batch", form, []byte(body), nil))(t)
		if len(as.Items) != 3 || as.Receipt.RequestID != "" || as.Items[0].Receipt.RequestID == "" ||
			as.Items[2].Err != nil || !errors.Is(as.Items[1].Err, pillarbox.ErrInvalid) {
			t.Errorf("a batch of %s as one body: %+v", form, as)
		}
	}
	if as, err := poster.Post(t.Context(), "http://localhost/app/batch", "application/x-ndjson",
		[]byte("bad\nworse"), nil); as.Status != 422 || err == nil ||
		!strings.Contains(err.Error(), "none of the 2 items") ||
		!strings.Contains(err.Error(), "line 1 is no JSON") {
		t.Errorf("a batch of nothing good: %+v, %v", as, err)
	}
	b.Queue.SetFault(func([]*pillarbox.Event) error {
		return &pillarbox.RetryAfterError{After: 7 * time.Second, Err: pillarbox.ErrNoSpace}
	})
	refused, err := poster.Post(t.Context(), "http://localhost/app", "", nil, nil)
	if !errors.Is(err, pillarbox.ErrNoSpace) || pillarbox.RetryAfter(err) != 7*time.Second ||
		refused.Status != 507 {
		t.Errorf("refused %+v, %v", refused, err)
	}
	if _, err := poster.PostBatch(t.Context(), "http://localhost/app/batch", []byte("1"),
		nil); !errors.Is(err, pillarbox.ErrNoSpace) {
		t.Errorf("batch refused: %v", err)
	}
	if _, err := poster.Post(t.Context(), "http://localhost/nowhere", "", nil, nil); !errors.Is(err,
		pillarbox.ErrNotFound) {
		t.Errorf("nowhere: %v", err)
	}
	if _, err := poster.Post(t.Context(), "http://a b/", "", nil, nil); !errors.Is(err,
		pillarbox.ErrInvalid) {
		t.Errorf("no url: %v", err)
	}
	stranger := &adminclient.Poster{HTTP: adminclient.InProcess(
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_,
				_ = io.WriteString(w, "hello")
		}))}
	if _, err := stranger.Post(t.Context(), "http://localhost/app", "", nil, nil); err == nil ||
		!strings.Contains(err.Error(), "no receipt") {
		t.Errorf("stranger: %v", err)
	}
	if _, err := stranger.PostBatch(t.Context(), "http://localhost/app/batch", nil, nil); err == nil {
		t.Error("a stranger's answer counts as receipts")
	}
}

// TestInProcessStreams: the client reads what the handler has written while the handler goes on;
// closing the body ends the handler, and a panic is an error and not the end of the process.
func TestInProcessStreams(t *testing.T) {
	goOn, ended := make(chan bool), make(chan bool, 1)
	client := adminclient.InProcess(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/stream":
			defer func() { ended <- true }()
			w.WriteHeader(http.StatusTeapot)
			_, _ = io.WriteString(w, "one ")
			<-goOn
			_, _ = io.WriteString(w, "two ")
			<-r.Context().Done()
		case "/panic":
			panic("oops")
		case "/late-panic":
			_, _ = io.WriteString(w, "half")
			panic("oops")
		case "/hang":
			<-r.Context().Done()
		case "/echo":
			_, _ = io.Copy(w, r.Body)
		}
	}))
	response := must(client.Get("http://anything/stream"))(t)
	text := make([]byte, 4)
	for _, want := range []string{"one ", "two "} {
		if _, err := io.ReadFull(response.Body, text); err != nil || string(text) != want {
			t.Errorf("read %q, %v", text, err)
		}
		if want == "one " {
			goOn <- true
		}
	}
	if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusTeapot {
		t.Errorf("status %d, %v", response.StatusCode, err)
	}
	select {
	case <-ended:
	default:
		t.Error("the body is closed and the handler runs on")
	}
	response = must(client.Post("http://anything/echo", "", strings.NewReader("hello")))(t)
	if text, err := io.ReadAll(response.Body); err != nil || string(text) != "hello" {
		t.Errorf("echo %q, %v", text, err)
	}
	response = must(client.Get("http://anything/panic"))(t)
	if _, err := io.ReadAll(response.Body); err == nil || response.StatusCode != 500 {
		t.Errorf("panic: status %d, %v", response.StatusCode, err)
	}
	response = must(client.Get("http://anything/late-panic"))(t)
	if _, err := io.ReadAll(response.Body); err == nil || !strings.Contains(err.Error(), "oops") {
		t.Errorf("late panic: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	request := must(http.NewRequestWithContext(ctx, "GET", "http://anything/hang", nil))(t)
	cancel()
	if _, err := client.Do(request); !errors.Is(err, context.Canceled) {
		t.Errorf("hang: %v", err)
	}
}
