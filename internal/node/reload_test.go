package node_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/destination"
	"pillarbox/internal/engine/memory"
	"pillarbox/internal/engine/seglog"
	"pillarbox/internal/node"
	"pillarbox/internal/source"
	"pillarbox/internal/vfs/faultfs"
)

// grown are settings with a source and a destination more than settings has; the new destination
// takes both sources, and so does the old one.
func grown() node.Settings {
	s := settings()
	s.Sources = append(s.Sources, source.Settings{Name: "web", Path: "/web"})
	s.Destinations[0].Rule = &pillarbox.Rule{Sources: []string{"app", "web"}}
	s.Destinations = append(s.Destinations, destination.Settings{Name: "copies",
		Rule: &pillarbox.Rule{Sources: []string{"app", "web"}}})
	return s
}

func post(n *node.Node, path string) int {
	recorder := httptest.NewRecorder()
	n.PublicHandler(node.Limits{}).ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, path, nil))
	return recorder.Code
}

// TestReloadAddsUnderLoad adds a source and a destination while events come in and while deliveries
// rest. Whatever the moment, everything that is accepted after the reload is in both destinations,
// and nothing is held, which would be for a person to decide about.
func TestReloadAddsUnderLoad(t *testing.T) {
	queues := map[string]func() pillarbox.Queue{
		"memory": func() pillarbox.Queue { return memory.NewQueue(nil) },
		"seglog": func() pillarbox.Queue {
			log, err := seglog.Open(faultfs.New(faultfs.Options{}), "queue", seglog.Options{})
			if err != nil {
				t.Fatal(err)
			}
			return log
		},
	}
	for name, open := range queues {
		t.Run(name, func(t *testing.T) {
			for round := range 25 {
				addUnderLoad(t, open(), round%2 == 0)
			}
		})
	}
}

func addUnderLoad(t *testing.T, queue pillarbox.Queue, busy bool) {
	t.Helper()
	sink, more := memory.NewSink(), memory.NewSink()
	with := engines(queue)
	with.Sinks = map[string]pillarbox.Sink{"events": sink}
	n, err := node.Open(t.Context(), node.Options{Engines: with, Settings: settings()})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	n.Start(t.Context())
	var reloaded atomic.Bool
	ended := make(chan int)
	posted := make(chan bool, 1)
	go func() {
		accepted := 0
		for i := 0; busy && !reloaded.Load(); i++ {
			if post(n, "/app") == http.StatusAccepted {
				accepted++
			}
			if i == 3 {
				posted <- true
			}
		}
		ended <- accepted
	}()
	if busy {
		<-posted
	}
	early := make(chan int)
	go func() { // what the new source accepts at the first moment
		for {
			if code := post(n, "/web"); code != http.StatusNotFound {
				early <- code
				return
			}
		}
	}()
	if err := n.Reload(t.Context(), grown(), map[string]pillarbox.Sink{"copies": more}); err != nil {
		t.Fatal(err)
	}
	if code := <-early; code != http.StatusAccepted {
		t.Fatalf("the first request to the new source is answered with %d", code)
	}
	reloaded.Store(true)
	before := <-ended
	for range 3 {
		if post(n, "/app") != http.StatusAccepted || post(n, "/web") != http.StatusAccepted {
			t.Fatal("not accepted")
		}
	}
	accepted := uint64(before + 1 + 2*3)
	copies := settled(t, queue, "copies", accepted)
	events := settled(t, queue, "events", accepted)
	// What was accepted around the moment of the reload may be from before it.
	if events.Stored != accepted || copies.Stored < 7 || copies.SkippedBy.Before+copies.Stored != accepted {
		t.Errorf("of %d the old destination has %+v and the new one %+v", accepted, events, copies)
	}
	for of, want := range map[*memory.Sink]uint64{sink: events.Stored, more: copies.Stored} {
		if got, err := of.Count(t.Context()); err != nil || got != want {
			t.Errorf("a sink has %d, %v; want %d", got, err, want)
		}
	}
}

// settled waits until so many are accepted and nothing is pending.
func settled(t *testing.T, queue pillarbox.Queue, name string, accepted uint64) pillarbox.Account {
	t.Helper()
	return until(t, queue, name, func(a pillarbox.Account) bool {
		if a.Held > 0 {
			t.Fatalf("%s: held: %+v", name, a)
		}
		return a.Accepted == accepted && a.Pending == 0
	})
}

// until waits for an account of a destination.
func until(t *testing.T, queue pillarbox.Queue, name string,
	is func(pillarbox.Account) bool) pillarbox.Account {
	t.Helper()
	const patience = time.Minute
	for deadline := time.Now().Add(patience); ; <-time.After(time.Millisecond) {
		account, err := queue.Account(name)
		switch {
		case err != nil:
			t.Fatal(err)
		case is(account):
			return account
		case time.Now().After(deadline):
			t.Fatalf("%s does not get there: %+v", name, account)
		}
	}
}

// watched is a queue that tells of calls.
type watched struct {
	pillarbox.Queue
	obliges func(destination string)
	leases  func(destination string)
	reviews func() (done func())
}

func (w *watched) Review(ctx context.Context, destination string,
	hold func(*pillarbox.Delivery) bool) error {
	if w.reviews == nil {
		return w.Queue.Review(ctx, destination, hold)
	}
	done := w.reviews()
	defer done()
	return w.Queue.Review(ctx, destination, hold)
}

func (w *watched) Oblige(ctx context.Context, destination string, rule pillarbox.Rule) error {
	if w.obliges != nil {
		w.obliges(destination)
	}
	return w.Queue.Oblige(ctx, destination, rule)
}

func (w *watched) Lease(ctx context.Context, destination string,
	limits pillarbox.LeaseLimits) ([]pillarbox.Delivery, error) {
	if w.leases != nil {
		w.leases(destination)
	}
	return w.Queue.Lease(ctx, destination, limits)
}

// TestReloadOpensTheWayLast: while the queue does not know yet who is to get it, nothing comes in.
func TestReloadOpensTheWayLast(t *testing.T) {
	queue := &watched{Queue: memory.NewQueue(nil)}
	n, err := node.Open(t.Context(), node.Options{Engines: engines(queue), Settings: settings()})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	queue.obliges = func(destination string) {
		if code := post(n, "/web"); code != http.StatusNotFound {
			t.Errorf("a new source is there before its destinations (%s): %d", destination, code)
		}
	}
	if err := n.Reload(t.Context(), grown(),
		map[string]pillarbox.Sink{"copies": memory.NewSink()}); err != nil {
		t.Fatal(err)
	}
	if code := post(n, "/web"); code != http.StatusAccepted {
		t.Errorf("after the reload: %d", code)
	}
}

// TestReloadIsSeenByAWaitingLoop: what a loop gets that has waited since before the reload is
// judged by the rules of now.
func TestReloadIsSeenByAWaitingLoop(t *testing.T) {
	waiting := make(chan bool, 100)
	queue := &watched{Queue: memory.NewQueue(nil), leases: func(destination string) {
		if destination == "events" {
			waiting <- true
		}
	}}
	n, err := node.Open(t.Context(), node.Options{Engines: engines(queue), Settings: settings()})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	n.Start(t.Context())
	<-waiting
	alone := settings()
	alone.Sources = append(alone.Sources, source.Settings{Name: "web", Path: "/web"})
	alone.Destinations[0].Rule = &pillarbox.Rule{Sources: []string{"app", "web"}}
	if err := n.Reload(t.Context(), alone, nil); err != nil {
		t.Fatal(err)
	}
	if code := post(n, "/web"); code != http.StatusAccepted {
		t.Fatalf("post: %d", code)
	}
	if account := settled(t, queue, "events", 1); account.Stored != 1 {
		t.Errorf("%+v", account)
	}
}

// TestReloadIsSeenByAReview that has begun before it: it does not hold what a new source has
// accepted meanwhile.
func TestReloadIsSeenByAReview(t *testing.T) {
	begun, posted, reviewed, looked := make(chan bool), make(chan bool), make(chan bool), make(chan bool)
	reviews := 0 // they come one after the other
	queue := &watched{
		Queue: memory.NewQueue(nil), leases: func(string) { <-looked },
		reviews: func() func() {
			if reviews++; reviews > 1 {
				<-looked
				return func() {}
			}
			close(begun)
			<-posted
			return func() { close(reviewed) }
		},
	}
	n, err := node.Open(t.Context(), node.Options{Engines: engines(queue), Settings: settings()})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	n.Start(t.Context())
	<-begun
	if err := n.Reload(t.Context(), grown(),
		map[string]pillarbox.Sink{"copies": memory.NewSink()}); err != nil {
		t.Fatal(err)
	}
	if code := post(n, "/web"); code != http.StatusAccepted {
		t.Fatalf("post: %d", code)
	}
	close(posted)
	<-reviewed
	if account, err := queue.Account("events"); err != nil || account.Held > 0 {
		t.Errorf("held by rules that are no more: %+v, %v", account, err)
	}
	close(looked)
	settled(t, queue, "events", 1)
	settled(t, queue, "copies", 1)
}

// refusing is a queue that can't record rules.
type refusing struct {
	pillarbox.Queue
	at    string // of this destination
	tells int
}

var errFull = errors.New("no space")

func (r *refusing) Oblige(ctx context.Context, destination string, rule pillarbox.Rule) error {
	if destination == r.at && r.tells == 0 {
		r.tells++
		return errFull
	}
	return r.Queue.Oblige(ctx, destination, rule)
}

// TestReloadThatFailsIsTakenBack: where the queue can't be told of all destinations, those that it
// was told of get what they got before, nothing waits for the new one, and another try succeeds.
func TestReloadThatFailsIsTakenBack(t *testing.T) {
	for _, at := range []string{"events", "copies"} {
		t.Run(at, func(t *testing.T) {
			queue := &refusing{Queue: memory.NewQueue(nil)}
			n, err := node.Open(t.Context(), node.Options{Engines: engines(queue), Settings: settings()})
			if err != nil {
				t.Fatal(err)
			}
			defer n.Close()
			n.Start(t.Context())
			queue.at = at
			more := map[string]pillarbox.Sink{"copies": memory.NewSink()}
			if err := n.Reload(t.Context(), grown(), more); !errors.Is(err, errFull) {
				t.Fatalf("reload: %v", err)
			}
			if post(n, "/web") != http.StatusNotFound || post(n, "/app") != http.StatusAccepted {
				t.Error("a part of it is in force")
			}
			if account := settled(t, queue, "copies", 1); account.Stored != 0 {
				t.Errorf("the destination that is not there: %+v", account)
			}
			if err := n.Reload(t.Context(), grown(), more); err != nil || post(n, "/web") != http.StatusAccepted {
				t.Errorf("again: %v", err)
			}
			if a, b := settled(t, queue, "copies", 2), settled(t, queue, "events", 2); a.Stored != 1 || b.Stored != 2 {
				t.Errorf("then: %+v, %+v", a, b)
			}
		})
	}
}

// TestReloadBringsADestinationBack that was not configured any more: what is held for it comes at
// once.
func TestReloadBringsADestinationBack(t *testing.T) {
	queue := memory.NewQueue(nil)
	rule := pillarbox.Rule{Sources: []string{"app"}}
	if err := queue.Oblige(t.Context(), "copies", rule); err != nil {
		t.Fatal(err)
	}
	event := &pillarbox.Event{RequestID: strings.Repeat("a", 26), Timestamp: 1, Source: "app"}
	if err := queue.Append(t.Context(), []*pillarbox.Event{event}); err != nil {
		t.Fatal(err)
	}
	n, err := node.Open(t.Context(), node.Options{Engines: engines(queue), Settings: settings()})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	n.Start(t.Context())
	until(t, queue, "copies", func(a pillarbox.Account) bool { return a.Held == 1 })
	if err := n.Reload(t.Context(), grown(),
		map[string]pillarbox.Sink{"copies": memory.NewSink()}); err != nil {
		t.Fatal(err)
	}
	until(t, queue, "copies", func(a pillarbox.Account) bool { return a.Stored == 1 && a.Pending == 0 })
}
