package adminclient_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/adminclient"
	"pillarbox/internal/node/nodetest"
)

// lives is a server that can be stopped and started again: a client reaches the handler of its
// life, and nobody in between.
type lives struct {
	mu      sync.Mutex
	handler *adminapi.Handler // nil: nobody listens
	tries   int               // while nobody does
}

func (l *lives) set(handler *adminapi.Handler) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.handler = handler
}

func (l *lives) RoundTrip(request *http.Request) (*http.Response, error) {
	l.mu.Lock()
	handler := l.handler
	if handler == nil {
		l.tries++
	}
	l.mu.Unlock()
	if handler == nil {
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	}
	return adminclient.InProcess(handler).Transport.RoundTrip(request)
}

// follower follows in the background and keeps what it is told.
type follower struct {
	*box
	lives *lives
	seen  chan string
	mu    sync.Mutex
	lost  []error
	end   func() error
}

func startFollower(t *testing.T, b *box, query adminapi.EventQuery) *follower {
	t.Helper()
	f := &follower{box: b, lives: &lives{handler: b.admin}, seen: make(chan string, 100)}
	client := must(adminclient.New("localhost:8081",
		adminclient.Options{HTTP: &http.Client{Transport: f.lives}}))(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- client.FollowOn(ctx, adminclient.Follow{Query: query,
			Event: func(event *pillarbox.Event) error { f.seen <- event.RequestID; return nil },
			Lost: func(err error) {
				f.mu.Lock()
				defer f.mu.Unlock()
				f.lost = append(f.lost, err)
			}})
	}()
	f.end = func() error { cancel(); return <-ended }
	synctest.Wait()
	return f
}

// stop ends the life of the server, and start begins another one, with what it hands on live.
func (f *follower) stop() {
	f.admin.Close()
	f.lives.set(nil)
	synctest.Wait()
}

func (f *follower) start(live ...[]*pillarbox.Event) {
	f.node.Batches = make(chan []*pillarbox.Event, len(live)+1)
	for _, batch := range live {
		f.node.Batches <- batch
	}
	f.admin = adminapi.New(f.node, adminapi.Options{})
	f.lives.set(f.admin)
}

func (f *follower) wants(t *testing.T, events ...*pillarbox.Event) {
	t.Helper()
	for _, want := range idsOf(events) {
		select {
		case got := <-f.seen:
			if got != want {
				t.Fatalf("told of %s, want %s", got, want)
			}
		case <-time.After(time.Hour): // of fake time
			t.Fatalf("not told of %s", want)
		}
	}
}

func (f *follower) stores(t *testing.T, events ...*pillarbox.Event) {
	t.Helper()
	if err := f.Sink.Write(context.Background(), events); err != nil {
		t.Fatal(err)
	}
}

// TestFollowGoesOnWhenTheServerIsBack, from now on or from a time: what was stored meanwhile comes
// too, also one that was held up and is older than what was told; nothing comes twice, and the
// outage is told once.
func TestFollowGoesOnWhenTheServerIsBack(t *testing.T) {
	for _, since := range []string{"", "2026-01-01T00:00:00Z"} {
		synctest.Test(t, func(t *testing.T) {
			b := openBox(t, adminapi.Options{})
			events := nodetest.Events(9)
			if err := b.Sink.Write(t.Context(), events[:3]); err != nil {
				t.Fatal(err)
			}
			b.node.Batches = make(chan []*pillarbox.Event, 1)
			f := startFollower(t, b, adminapi.EventQuery{Since: since})
			if since != "" {
				f.wants(t, events[:3]...)
			}
			f.stores(t, events[4])
			b.node.Batches <- events[4:5]
			f.wants(t, events[4])
			f.stop()
			time.Sleep(time.Minute) // of fake time
			f.stores(t, events[3], events[5])
			f.start([]*pillarbox.Event{events[5], events[6]})
			f.wants(t, events[3], events[5], events[6])
			f.stop()
			f.stores(t, events[6:9]...)
			f.start()
			f.wants(t, events[7:9]...)
			time.Sleep(time.Hour)
			if err := f.end(); !errors.Is(err, context.Canceled) || len(f.seen) > 0 {
				t.Errorf("ended with %v, and %d more", err, len(f.seen))
			}
			if len(f.lost) != 2 || f.lives.tries < 10 || f.lives.tries > 30 {
				t.Errorf("told of %v, after %d tries in a minute", f.lost, f.lives.tries)
			}
		})
	}
}

// TestFollowMissesNothingBeforeItsFirstEvent: the server goes before it has told anything.
func TestFollowMissesNothingBeforeItsFirstEvent(t *testing.T) {
	for _, before := range []int{0, 2} {
		synctest.Test(t, func(t *testing.T) {
			b := openBox(t, adminapi.Options{})
			events := nodetest.Events(4)
			if err := b.Sink.Write(t.Context(), events[:before]); err != nil {
				t.Fatal(err)
			}
			f := startFollower(t, b, adminapi.EventQuery{})
			f.stop()
			f.stores(t, events[before:]...)
			f.start()
			f.wants(t, events[before:]...)
			if err := f.end(); !errors.Is(err, context.Canceled) || len(f.seen) > 0 || len(f.lost) != 1 {
				t.Errorf("ended with %v, %d more, told of %v", err, len(f.seen), f.lost)
			}
		})
	}
}

// TestFollowEndsWhereThereIsNothingToGoOn: no server at the beginning, one that refuses, and an
// error of who is told.
func TestFollowEndsWhereThereIsNothingToGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := openBox(t, adminapi.Options{})
		b.Store(1)
		none := must(adminclient.New("localhost:8081",
			adminclient.Options{HTTP: &http.Client{Transport: &lives{}}}))(t)
		for _, query := range []adminapi.EventQuery{{}, {Since: "2h"}} {
			if err := none.FollowOn(t.Context(), adminclient.Follow{Query: query}); !errors.Is(err,
				pillarbox.ErrUnavailable) {
				t.Errorf("no server: %v", err)
			}
		}
		client := newClient(t, b.admin, "")
		for _, query := range []adminapi.EventQuery{{Destination: "nobody"}, {Destination: "nobody",
			Since: "2026-01-01T00:00:00Z"}} {
			if err := client.FollowOn(t.Context(), adminclient.Follow{Query: query}); !errors.Is(err,
				pillarbox.ErrNotFound) {
				t.Errorf("no destination: %v", err)
			}
		}
		enough := errors.New("enough")
		err := client.FollowOn(t.Context(), adminclient.Follow{
			Query: adminapi.EventQuery{Since: "2026-01-01T00:00:00Z"},
			Event: func(*pillarbox.Event) error { return enough }})
		if !errors.Is(err, enough) {
			t.Errorf("enough: %v", err)
		}
		f := startFollower(t, b, adminapi.EventQuery{})
		f.stop()
		f.admin = adminapi.New(f.node, adminapi.Options{Token: "another"})
		f.lives.set(f.admin)
		time.Sleep(time.Minute)
		var refused *adminclient.ProblemError
		if err := f.end(); !errors.As(err, &refused) || refused.Status != http.StatusUnauthorized {
			t.Errorf("refused: %v", err)
		}
		if len(f.lost) != 1 {
			t.Errorf("told of %v", f.lost)
		}
	})
}
