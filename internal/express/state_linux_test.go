package express

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestTransitions makes every transition of the table, each on a connection of its own, and sees
// where it leads.
func TestTransitions(t *testing.T) {
	for from := range states {
		for what := range events {
			next := transitions[from][what]
			if next == 0 {
				continue
			}
			t.Run(fmt.Sprintf("%s, %s", from, what), func(t *testing.T) {
				b := openBench(t)
				reached := false
				observer = func(s state, e event) { reached = reached || s == from && e == what }
				defer func() { observer = nil }()
				b.bring(from)
				if reached = false; from == stateAnswering || from == stateBroken { // states within a turn
					b.bring(stateIdle)
				}
				c := b.only()
				b.provoke(from, what)
				if !reached {
					t.Errorf("a connection that is %s was not told %s; it is %s now", from, what, c.state)
				}
				_ = unix.Close(b.client)
			})
		}
	}
}

// TestOtherTransitionsAreBugs, in production as well: no event is ignored.
func TestOtherTransitionsAreBugs(t *testing.T) {
	for from := stateFresh; from < states; from++ {
		for what := range events {
			if transitions[from][what] != 0 {
				continue
			}
			c := &conn{state: from}
			func() {
				defer func() {
					said, _ := recover().(string)
					if !strings.HasPrefix(said, "pillarbox: bug: ") || c.state != from {
						t.Errorf("%s, %s: %q, and it is %s", from, what, said, c.state)
					}
				}()
				c.advance(what)
			}()
		}
	}
}

// TestTransitionsAreDocumented holds the table of doc.go to the one that is obeyed.
func TestTransitionsAreDocumented(t *testing.T) {
	source, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for from := stateFresh; from < states; from++ {
		name := from.String()
		for next := range states {
			var by []string
			for what := range events {
				if transitions[from][what] == next {
					by = append(by, what.String())
				}
			}
			if next > 0 && len(by) > 0 {
				fmt.Fprintf(&want, "//\t%-15s  %-15s  %s\n", name, next, strings.Join(by, ", "))
				name = ""
			}
		}
	}
	if !strings.Contains(string(source), want.String()) {
		t.Errorf("doc.go does not have this table:\n%s", want.String())
	}
}

const (
	headStart  = "POST /app HTTP/1.1\r\nHost: a\r\n"
	bodyStart  = headStart + "Content-Length: 3\r\n\r\na"
	wholePlain = bodyStart + "bc"
	manyPlain  = 40 // answers that do not fit into a small buffer
)

// bring makes the connection of b be in a state at the end of a turn, or idle for those within one.
func (b *bench) bring(to state) {
	b.t.Helper()
	if b.loop.live == 0 {
		b.connect()
	}
	switch to {
	case stateFresh:
	case stateFirstHead:
		b.step(headStart)
	case stateIdle, stateAnswering, stateBroken:
		b.step(wholePlain)
	case stateHead:
		b.step(wholePlain + headStart)
	case stateBody:
		b.step(wholePlain + bodyStart)
	case stateBacklog:
		b.step(strings.Repeat(wholePlain, 3*maxShare))
	case stateLingering:
		b.step("POST :\r\n\r\n")
	default:
		b.block(to)
		return
	}
	b.wantState(to)
}

// block brings the connection into a state in which answers wait for the client.
func (b *bench) block(to state) {
	b.t.Helper()
	b.shrinkSendBuffer()
	last := map[state]string{
		stateWriting: "", stateCloseAfter: headStart + "Connection: close\r\n\r\n",
		stateLingerAfter: "POST :\r\n\r\n", stateHandOverAfter: "GET /app HTTP/1.1\r\n",
	}
	b.step(strings.Repeat(wholePlain, manyPlain) + last[to])
	b.wantState(to)
	if len(b.only().out) == 0 {
		b.t.Fatal("all answers were written at once")
	}
}

func (b *bench) wantState(want state) {
	b.t.Helper()
	if want == stateAnswering || want == stateBroken {
		want = stateIdle
	}
	if c := b.only(); c.state != want {
		b.t.Fatalf("the connection is %s, want %s", c.state, want)
	}
}

// provoke lets the event happen to a connection that was brought into the state.
func (b *bench) provoke(from state, what event) {
	b.t.Helper()
	switch what {
	case eventRequest, eventHeadLeft, eventBodyLeft, eventRefused, eventUnusual:
		b.provokeByRequest(from, what)
	case eventLast:
		b.step(headStart + "Connection: close\r\n\r\n")
	case eventFull:
		b.provokeFull(from)
	case eventResumed:
		b.step("")
	case eventBlocked:
		b.shrinkSendBuffer()
		b.step(strings.Repeat(wholePlain, manyPlain))
	case eventWritten, eventLinger, eventHandOver:
		b.receive()
	case eventNothingLeft:
		b.provokeNothingLeft(from)
	case eventEnded:
		if from == stateAnswering {
			b.write(wholePlain)
		}
		if err := unix.Shutdown(b.client, unix.SHUT_WR); err != nil {
			b.t.Fatal(err)
		}
		b.step("")
	case eventDrained:
		b.provokeDrained(from)
	case eventDrainedLate:
		b.loop.server.draining.Store(true)
		b.step(wholePlain)
	case eventFailed:
		b.provokeFailed(from)
	case eventClosed:
		b.provokeClosed(from)
	}
}

// provokeByRequest sends what completes the request that the state has begun, or goes on with it.
func (b *bench) provokeByRequest(from state, what event) {
	b.t.Helper()
	switch {
	case from == stateBody:
		b.provokeByBody(what)
		return
	case from == stateBacklog || from == stateHandOverAfter: // a rest is to be kept, and there is no room for it
		b.disconnect()
		b.connect()
		b.loop.server.memory.Grow(0, DefaultMaxInFlightBytes)
		more := map[state]string{
			stateBacklog:       strings.Repeat(wholePlain, 2*maxShare),
			stateHandOverAfter: "GET /app HTTP/1.1\r\n",
		}
		b.step(more[from])
		return
	}
	rest := map[event]string{
		eventRequest: "Content-Length: 3\r\n\r\nabc", eventHeadLeft: "X: y\r\n",
		eventBodyLeft: "Content-Length: 3\r\n\r\na",
		eventRefused:  "X : y\r\n\r\n", eventUnusual: "Expect: x\r\n\r\n",
	}[what]
	if from != stateFirstHead && from != stateHead {
		rest = headStart + rest
	}
	if from == stateAnswering {
		rest = wholePlain + rest
	}
	b.step(rest)
}

func (b *bench) provokeByBody(what event) {
	b.t.Helper()
	switch what {
	case eventRequest:
		b.step("bc")
	case eventBodyLeft:
		b.step("b")
	case eventRefused: // the rest is late
		b.loop.start = b.loop.start.Add(-2 * DefaultReadTimeout)
		b.step("")
	}
}

func (b *bench) provokeFull(from state) {
	b.t.Helper()
	if from == stateHead { // the backlog of a turn that others have filled already
		b.step("\r\n")
		b.step(strings.Repeat(wholePlain, 2*maxShare))
		b.loop.bytes = maxTurnBytes
		b.step("")
		return
	}
	b.step(strings.Repeat(wholePlain, 2*maxShare))
}

func (b *bench) provokeNothingLeft(from state) {
	b.t.Helper()
	switch from {
	case stateAnswering:
		b.step(wholePlain)
	case stateFirstHead, stateHead: // an empty line is all that has come
		b.replaceHead(from)
		b.step("\n")
	default:
		b.loop.queue(b.only())
		b.step("")
	}
}

// replaceHead begins a connection anew whose head begins with one half of an empty line.
func (b *bench) replaceHead(from state) {
	b.t.Helper()
	b.disconnect()
	b.connect()
	if from == stateHead {
		b.step(wholePlain)
	}
	b.step("\r")
	b.wantState(from)
}

func (b *bench) provokeDrained(from state) {
	b.t.Helper()
	switch from {
	case stateFirstHead, stateHead:
		b.replaceHead(from)
		b.loop.drain()
		b.step("")
		b.step("\n")
	case stateAnswering:
		b.step(headStart)
		b.loop.drain()
		b.step("")
		b.step("\r\n")
	default:
		b.loop.drain()
		b.step("")
	}
}

func (b *bench) provokeFailed(from state) {
	b.t.Helper()
	if from == stateAnswering { // after it was read
		b.accept = func() { b.breakSocket() }
		b.step(wholePlain)
		return
	}
	b.breakSocket()
	c := b.only()
	c.input = inputReady
	b.loop.queue(c)
	b.step("")
}

// provokeClosed ends the loop, but for what ends by itself.
func (b *bench) provokeClosed(from state) {
	b.t.Helper()
	switch from {
	case stateBroken:
		b.provokeFailed(stateIdle)
		return
	case stateAnswering: // in the middle of a turn
		b.write(wholePlain)
		c := b.only()
		c.input = inputReady
		b.loop.receive(c)
		if c.state != stateAnswering {
			b.t.Fatalf("the connection is %s", c.state)
		}
	}
	if err := b.loop.close(); err != nil {
		b.t.Fatal(err)
	}
}

// step writes, and lets the loop turn once.
func (b *bench) step(text string) {
	b.t.Helper()
	b.write(text)
	b.loop.notify() // so that it does not wait
	if err := b.loop.turn(); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) write(text string) {
	b.t.Helper()
	if text == "" {
		return
	}
	if n, err := unix.Write(b.client, []byte(text)); n != len(text) || err != nil {
		b.t.Fatal(n, err)
	}
}

// only is the connection that there is.
func (b *bench) only() *conn {
	b.t.Helper()
	i := slices.IndexFunc(b.loop.conns, func(c *conn) bool { return c != nil })
	if i < 0 {
		b.t.Fatal("there is no connection")
	}
	return b.loop.conns[i]
}

// shrinkSendBuffer lets few answers fit into what the client has not read yet.
func (b *bench) shrinkSendBuffer() {
	b.t.Helper()
	if err := unix.SetsockoptInt(b.only().fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 1); err != nil {
		b.t.Fatal(err)
	}
}

// breakSocket lets every further call on the connection's descriptor fail.
func (b *bench) breakSocket() {
	b.t.Helper()
	other, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		b.t.Fatal(err)
	}
	defer unix.Close(other)
	if err := unix.Dup3(other, b.only().fd, unix.O_CLOEXEC); err != nil {
		b.t.Fatal(err)
	}
}

// TestTimeOfAWait follows the time that a connection has through the states. What comes too late of
// an empty line or of a head gives no new time; an answer does.
func TestTimeOfAWait(t *testing.T) {
	b := openBench(t)
	o := b.loop.opts
	pass := func(d time.Duration) { b.loop.start = b.loop.start.Add(-d) }
	before := int64(time.Since(b.loop.start))
	b.connect()
	defer b.disconnect()
	deadline := b.only().deadline
	if accepted := deadline - int64(o.ReadHeaderTimeout); accepted < before || accepted > b.loop.mono {
		t.Errorf("the first head has until %d, want the time since it was accepted", deadline)
	}
	for _, piece := range []string{"\r", "\n", headStart[:1], headStart[1:]} {
		pass(time.Second)
		if b.step(piece); b.only().deadline != deadline {
			t.Errorf("after %q the first head has until %d, want %d", piece, b.only().deadline, deadline)
		}
	}
	begun := b.only().begun
	if b.step("Content-Length: 3\r\n\r\n"); b.only().deadline != begun+int64(o.ReadTimeout) {
		t.Errorf("the body has until %d, want the time since its request began", b.only().deadline)
	}
	if b.step("abc"); b.only().deadline != b.loop.mono+int64(o.IdleTimeout) {
		t.Errorf("the next request has until %d", b.only().deadline)
	}
	deadline = b.only().deadline
	pass(time.Second)
	if b.step("\r\n"); b.only().deadline != deadline {
		t.Error("an empty line has given new time")
	}
	pass(time.Second)
	if b.step(headStart); b.only().deadline != b.loop.mono+int64(o.ReadHeaderTimeout) {
		t.Errorf("the head has until %d, want the time since it began", b.only().deadline)
	}
}
