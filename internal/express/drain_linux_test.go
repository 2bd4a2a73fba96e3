package express_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/express"
)

// TestDrainFinishesWhatIsUnderWay: requests that have begun are answered, the last answer says that
// it is the last, idle connections are closed, and new ones refused.
func TestDrainFinishesWhatIsUnderWay(t *testing.T) {
	for _, loops := range []int{1, 3} {
		t.Run(fmt.Sprint(loops, " loops"), func(t *testing.T) {
			b := prepare(t)
			b.accept.held = make(chan struct{})
			b.start(express.Options{Loops: loops})
			text := post("hello")
			idle, begun, late := b.dial(), b.dial().send(text[:20]), b.dial().send(text[:len(text)-2])
			accepting := b.dial().send(text)
			eventually(t, "one is being accepted", func() bool { return b.accept.calls.Load() == 1 })
			drained := make(chan error, 1)
			go func() { drained <- b.server.Drain(context.Background()) }()
			eventually(t, "the drain has begun", b.server.Draining)
			close(b.accept.held)
			if a := accepting.wants(http.StatusAccepted); !a.Close {
				t.Error("the answer does not say that it is the last")
			}
			accepting.wantEnd()
			idle.wantEnd()
			begun.send(text[20:])
			late.send(text[len(text)-2:])
			for _, c := range []*client{begun, late} {
				if a := c.wants(http.StatusAccepted); !a.Close {
					t.Error("the answer does not say that it is the last")
				}
				c.wantEnd()
			}
			if err := <-drained; err != nil {
				t.Error(err)
			}
			if conn, err := net.Dial("tcp", b.addr); err == nil {
				conn.Close()
				t.Error("a connection was accepted after the drain")
			}
			b.wantStored("hello", "hello", "hello")
		})
	}
}

// TestDrainAnswersNewcomers: whoever has connected before the drain, and could not know of it, gets an
// answer to the first request, and no second one.
func TestDrainAnswersNewcomers(t *testing.T) {
	b := open(t, express.Options{Loops: 2})
	newcomers := []*client{b.dial(), b.dial(), b.dial(), b.dial()}
	served := b.dial().send(post("before"))
	served.wants(http.StatusAccepted)
	drained := make(chan error, 1)
	go func() { drained <- b.server.Drain(context.Background()) }()
	served.wantEnd() // so the loops know
	for _, c := range newcomers {
		if a := c.send(post("hello")).wants(http.StatusAccepted); !a.Close {
			t.Error("the answer does not say that it is the last")
		}
		c.wantEnd()
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
	b.wantStored("before", "hello", "hello", "hello", "hello")
}

// TestRetiredServerAsksForNewConnections: each answer says that it is the last one of its connection,
// and new connections are accepted.
func TestRetiredServerAsksForNewConnections(t *testing.T) {
	b := open(t, express.Options{})
	old := b.dial().send(post("a"))
	if a := old.wants(http.StatusAccepted); a.Close {
		t.Fatal("the answer says that it is the last")
	}
	b.server.Retire()
	for _, c := range []*client{old, b.dial()} {
		if a := c.send(post("b")).wants(http.StatusAccepted); !a.Close {
			t.Error("the answer does not say that it is the last")
		}
		c.wantEnd()
	}
	b.wantStored("a", "b", "b")
}

// TestDrainGivesUpWithItsContext and leaves the rest to Close.
func TestDrainGivesUpWithItsContext(t *testing.T) {
	b := open(t, express.Options{})
	c := b.dial().send(post("a") + post("b")[:30])
	// so the loop has the beginning of the second one as well: both came at once
	c.wants(http.StatusAccepted)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := b.server.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("drain ended with %v", err)
	}
	if err := b.server.Close(); err != nil {
		t.Error(err)
	}
	c.wantEnd()
}

// TestStartAndStop does so many times under clients that try all the while: whatever was answered
// with 202 is stored, and Run returns.
func TestStartAndStop(t *testing.T) {
	for i := range 30 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			b := open(t, express.Options{Loops: 1 + i%3})
			var clients sync.WaitGroup
			var mu sync.Mutex
			acknowledged := map[string]bool{}
			for range 4 {
				clients.Go(func() {
					for {
						ids, err := b.tryPosts()
						mu.Lock()
						for _, id := range ids {
							acknowledged[id] = true
						}
						mu.Unlock()
						if err != nil {
							return
						}
					}
				})
			}
			eventually(t, "some are stored", func() bool { return b.accept.calls.Load() > 5 })
			if i%2 == 0 {
				if err := b.server.Drain(context.Background()); err != nil {
					t.Error(err)
				}
			} else if err := b.server.Close(); err != nil {
				t.Error(err)
			}
			clients.Wait()
			for _, event := range b.queued() {
				delete(acknowledged, event.RequestID)
			}
			if len(acknowledged) > 0 {
				t.Errorf("%d acknowledged events are not stored", len(acknowledged))
			}
		})
	}
}

// tryPosts sends a few requests on one connection and returns the ids that were acknowledged.
func (b *box) tryPosts() (ids []string, err error) {
	conn, err := net.Dial("tcp", b.addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	c := newClient(b.t, conn)
	for range 5 {
		if _, err := io.WriteString(conn, post("x")); err != nil {
			return ids, err
		}
		a, err := c.tryAnswer()
		if err != nil {
			return ids, err
		}
		if a.StatusCode == http.StatusAccepted {
			ids = append(ids, a.Header.Get("X-Request-Id"))
		}
	}
	return ids, nil
}

// TestWithoutRun: a server that never ran can be drained and closed, and then does not run.
func TestWithoutRun(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := prepare(t)
	s, err := express.New([]express.Listener{{Listener: listener}},
		express.Options{Acceptor: b.accept, Problem: problem, Sources: b.sources, Loops: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Drain(context.Background()), s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	if err := s.Run(context.Background()); !errors.Is(err, pillarbox.ErrClosed) {
		t.Errorf("run ended with %v", err)
	}
	if _, err := express.New([]express.Listener{{Listener: listener}},
		express.Options{}); !errors.Is(err, pillarbox.ErrInvalid) {
		t.Errorf("without options: %v", err)
	}
}
