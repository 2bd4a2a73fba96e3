package adminapi_test

import (
	"bufio"
	"context"
	"errors"
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
	"pillarbox/internal/node/nodetest"
)

// reading is a stream that is being read, message by message.
type reading struct {
	t        *testing.T
	response *http.Response
	lines    *bufio.Scanner
}

// follow opens a stream in process. It ends with the test.
func (b *box) follow(query string, headers ...string) *reading {
	b.T.Helper()
	request, err := http.NewRequest("GET", "http://localhost/api/v1/events?follow"+query, nil)
	if err != nil {
		b.T.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	return open(b.T, adminclient.InProcess(b.admin), request)
}

func open(t *testing.T, client *http.Client, request *http.Request) *reading {
	t.Helper()
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	if response.StatusCode != 200 || response.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("status %d, Content-Type %q", response.StatusCode, response.Header.Get("Content-Type"))
	}
	r := &reading{t: t, response: response, lines: bufio.NewScanner(response.Body)}
	if first := r.next(); first != ": following" {
		t.Fatalf("the stream begins with %q", first)
	}
	return r
}

// next returns the next message, "" at the end.
func (r *reading) next() string {
	var lines []string
	for r.lines.Scan() && r.lines.Text() != "" {
		lines = append(lines, r.lines.Text())
	}
	return strings.Join(lines, "\n")
}

// event returns the next event and its cursor.
func (r *reading) event() (*pillarbox.Event, string) {
	r.t.Helper()
	text := r.next()
	fields := strings.SplitN(text, "\n", 3)
	if len(fields) != 3 || fields[0] != "event: event" || !strings.HasPrefix(fields[1], "id: ") {
		r.t.Fatalf("message %q", text)
	}
	event := nodetest.Decode[pillarbox.Event](r.t, strings.TrimPrefix(fields[2], "data: "))
	return &event, strings.TrimPrefix(fields[1], "id: ")
}

func (r *reading) ids(n int) []string {
	r.t.Helper()
	ids := []string{}
	for range n {
		event, _ := r.event()
		ids = append(ids, event.RequestID)
	}
	return ids
}

// TestFollowTellsWhatIsStoredFromNowOn: nothing of before, everything of after, and only what was
// asked for.
func TestFollowTellsWhatIsStoredFromNowOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := openAdmin(t)
		b.Store(3)
		b.Start()
		all, other := b.follow(""), b.follow("=true&source=orders")
		receipt := nodetest.Decode[pillarbox.Receipt](t, b.post("/app", "line\nfeed"))
		event, cursor := all.event()
		if event.RequestID != receipt.RequestID || string(event.Body) != "line\nfeed" || cursor == "" {
			t.Errorf("event %+v, cursor %q", event, cursor)
		}
		if got := other.next(); got != ": still here" {
			t.Errorf("message %q for another source", got)
		}
	})
}

// TestFollowBeginsWithWhatIsStored behind the cursor, that of the header first, over more than a
// page, and then goes on live.
func TestFollowBeginsWithWhatIsStored(t *testing.T) {
	for _, header := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := openAdmin(t)
			ids := idsOf(b.Store(250))
			cursor, later := b.events("?limit=1").NextCursor, b.events("?limit=200").NextCursor
			b.Start()
			r, first := b.follow("&cursor="+cursor), 1
			if header {
				r, first = b.follow("&cursor="+cursor, "Last-Event-ID", later), 200
			}
			if got := r.ids(250 - first); !slices.Equal(got, ids[first:]) {
				t.Errorf("%d events from %s", len(got), got[0])
			}
			receipt := nodetest.Decode[pillarbox.Receipt](t, b.post("/app", "x"))
			if got := r.ids(1); got[0] != receipt.RequestID {
				t.Errorf("live event %s, want %s", got[0], receipt.RequestID)
			}
		})
	}
}

// TestFollowTellsNothingTwice: what is stored between the start of the follower and the reading of
// the store comes from both. An event that was held up comes live, behind younger ones, and does
// not turn the cursor back.
func TestFollowTellsNothingTwice(t *testing.T) {
	b := openAdmin(t)
	events := nodetest.Events(6)
	if err := b.Sink.Write(context.Background(), slices.Concat(events[0:1], events[2:5])); err != nil {
		t.Fatal(err)
	}
	batches := make(chan []*pillarbox.Event, 2)
	batches <- events[2:4]
	batches <- []*pillarbox.Event{events[4], events[1], events[5]}
	close(batches)
	b.node.Batches = batches
	r := b.follow("&since=2h")
	want := []string{"id-000", "id-002", "id-003", "id-004", "id-001", "id-005"}
	var cursors []string
	for _, id := range want {
		event, cursor := r.event()
		if event.RequestID != id {
			t.Errorf("event %s, want %s", event.RequestID, id)
		}
		cursors = append(cursors, cursor)
	}
	if cursors[4] != cursors[3] {
		t.Error("the cursor went back to that of an older event")
	}
	if got := r.next(); got != "event: lagged\ndata: {}" {
		t.Errorf("message %q after the follower was cut off", got)
	}
	if got := r.next(); got != "" {
		t.Errorf("the stream goes on with %q", got)
	}
}

// TestFollowEndsWhenTheServerStops, and when the reader goes; either way its follower is given
// back.
func TestFollowEndsWhenTheServerStops(t *testing.T) {
	b := openAdmin(t)
	stopped, left := b.follow(""), b.follow("")
	if err := left.response.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if n := b.node.Follows.Load(); n != 1 {
		t.Errorf("%d followers after one of two readers left", n)
	}
	b.admin.Close()
	b.admin.Close()
	if got := stopped.next(); got != "" {
		t.Errorf("message %q", got)
	}
	if err := errors.Join(stopped.lines.Err(), stopped.response.Body.Close()); err != nil {
		t.Errorf("the stream ended with %v", err)
	}
	if n := b.node.Follows.Load(); n != 0 {
		t.Errorf("%d followers are left", n)
	}
}

// TestFollowTellsThatTheStoreFailed in the stream, once the answer has begun.
func TestFollowTellsThatTheStoreFailed(t *testing.T) {
	b := openAdmin(t)
	b.Store(150)
	reads := 0
	b.node.Fault = func() error {
		if reads++; reads > 4 {
			return pillarbox.ErrUnavailable
		}
		return nil
	}
	r := b.follow("&since=2h")
	r.ids(100)
	if got := r.next(); !strings.HasPrefix(got, "event: failed\ndata: {") || !strings.Contains(got, `"status":503`) {
		t.Errorf("message %q", got)
	}
	b.get("/api/v1/events?follow&since=2h").Wants(t, 503)
}

// TestFollowOutlastsTheTimeoutsOfTheServer reads heartbeats for several times as long.
func TestFollowOutlastsTheTimeoutsOfTheServer(t *testing.T) {
	b := openBox(t, adminapi.Options{Heartbeat: 20 * time.Millisecond})
	server := httptest.NewUnstartedServer(b.admin)
	server.Config.ReadTimeout, server.Config.WriteTimeout = 50*time.Millisecond, 50*time.Millisecond
	server.Config.RegisterOnShutdown(b.admin.Close)
	server.Start()
	defer server.Close()
	request, err := http.NewRequest("GET", server.URL+"/api/v1/events?follow", nil)
	if err != nil {
		t.Fatal(err)
	}
	r := open(t, server.Client(), request)
	for range 15 {
		if got := r.next(); got != ": still here" {
			t.Fatalf("message %q", got)
		}
	}
	if err := server.Config.Shutdown(context.Background()); err != nil { // waits for the stream
		t.Fatal(err)
	}
}

// TestFollowOfHeadEndsAtOnce.
func TestFollowOfHeadEndsAtOnce(t *testing.T) {
	openAdmin(t).call("HEAD", "/api/v1/events?follow", "").Wants(t, 200)
}

// TestFollowersAreCapped, and one that ends makes room.
func TestFollowersAreCapped(t *testing.T) {
	b := openBox(t, adminapi.Options{})
	for range adminapi.DefaultMaxFollowers - 1 {
		b.follow("")
	}
	last := b.follow("")
	b.get("/api/v1/events?follow").Wants(t, http.StatusServiceUnavailable, "admin.max_followers")
	last.response.Body.Close()
	for deadline := time.Now().Add(30 * time.Second); b.admin.Followers() == adminapi.DefaultMaxFollowers; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a stream that has ended counts on")
		}
	}
	b.follow("")
}

// TestEachEventIsMadeIntoTextOnce, however many follow.
func TestEachEventIsMadeIntoTextOnce(t *testing.T) {
	b := openBox(t, adminapi.Options{})
	var followers []*reading
	for range 20 {
		followers = append(followers, b.follow(""))
	}
	const n = 10
	for i := range n {
		b.post("/app", strings.Repeat("x", i+1))
	}
	b.Start()
	for _, r := range followers {
		for range n {
			if message := r.next(); !strings.HasPrefix(message, "event: event\n") {
				t.Fatalf("message %q", message)
			}
		}
	}
	if made := b.admin.TextsMade(); made != n {
		t.Errorf("%d texts for %d events", made, n)
	}
}
