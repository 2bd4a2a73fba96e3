package express_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"pillarbox/internal/express"
)

// TestLateAcceptor holds one turn for longer than it may take. Everybody in it is told in time that
// the outcome is not known; the connections stay, and others are served as if nothing were; and the
// turn that is stuck keeps its memory: when it goes on, what it stores is what was sent, whatever
// was read meanwhile.
func TestLateAcceptor(t *testing.T) {
	b := prepare(t)
	released := [3]chan struct{}{1: make(chan struct{}), 2: make(chan struct{})}
	b.accept.hold = func(call int64) {
		if call < int64(len(released)) {
			<-released[call]
		}
	}
	b.start(express.Options{AcceptTimeout: time.Second})

	// One whose request comes in pieces, and is followed by a piece of the next.
	mark := strings.Repeat("p", 500)
	pieces := post(mark)
	inPieces := b.dial().send(pieces[:len(pieces)-300])
	eventually(t, "the first piece is read", func() bool { return b.server.Held() > 0 })
	first := b.dial().send(post("first"))
	eventually(t, "the first turn is held", func() bool { return b.accept.calls.Load() == 1 })
	whole, several := b.dial().send(post("whole")), b.dial()
	text, bodies := posts(20)
	several.send(text)
	next := post("next")
	inPieces.send(pieces[len(pieces)-300:] + next[:20])
	close(released[1])
	if status := first.answer().StatusCode; status != http.StatusAccepted &&
		status != http.StatusServiceUnavailable {
		t.Errorf("status %d", status)
	}
	eventually(t, "the second turn is held", func() bool { return b.accept.calls.Load() == 2 })

	unknown := func(c *client) {
		t.Helper()
		if a := c.wants(http.StatusServiceUnavailable); a.Header.Get("Retry-After") == "" ||
			!strings.Contains(a.body, "not known") {
			t.Errorf("%v %s, want that the outcome is not known, and when to come back", a.Header, a.body)
		}
	}
	unknown(whole)
	unknown(inPieces)
	for range bodies {
		unknown(several)
	}
	var later []string
	// Over the buffer of the one in pieces, if it were used again: what is here of this one is as
	// large.
	again := strings.Repeat("a", 700)
	over, held := b.dial(), b.server.Held()
	over.send(post(again)[:len(pieces)])
	eventually(t, "most of it is read", func() bool { return b.server.Held() > held })
	over.send(post(again)[len(pieces):]).wants(http.StatusAccepted)
	later = append(later, again)
	for i, c := range []*client{whole, several, inPieces, b.dial()} {
		if c == inPieces {
			c.send(next[20:])
			later = append(later, "next")
		}
		for j := range 30 { // over what the stuck turn has, if it were used again
			body := fmt.Sprintf("later %d %d %s", i, j, strings.Repeat("x", 700))
			c.send(post(body))
			later = append(later, body)
		}
		if c == inPieces {
			c.wants(http.StatusAccepted)
		}
		for range 30 {
			c.wants(http.StatusAccepted)
		}
	}
	close(released[2])
	want := append(append([]string{"first", "whole", mark}, bodies...), later...)
	eventually(t, "the stuck turn goes on", func() bool { return len(b.bodies()) == len(want) })
	got := b.bodies()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("stored %.300q, want %.300q", got, want)
	}
}

// TestStopWithALateAcceptor stops the server while the Acceptor does not come back, and has not
// taken too long yet: the stop does not wait for it, and the client is told.
func TestStopWithALateAcceptor(t *testing.T) {
	b := prepare(t)
	released := make(chan struct{})
	b.accept.hold = func(int64) { <-released }
	b.start(express.Options{AcceptTimeout: time.Hour})
	c := b.dial().send(post("a"))
	eventually(t, "the turn is held", func() bool { return b.accept.calls.Load() == 1 })
	if err := b.server.Close(); err != nil {
		t.Fatal(err)
	}
	if a := c.wants(http.StatusServiceUnavailable); !strings.Contains(a.body, "not known") {
		t.Errorf("%s, want that the outcome is not known", a.body)
	}
	close(released)
	eventually(t, "the event is stored",
		func() bool { return slices.Equal(b.bodies(), []string{"a"}) })
}
