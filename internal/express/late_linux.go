package express

import (
	"errors"
	"fmt"
	"time"

	"pillarbox"
	"pillarbox/internal/ingest"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/watchdog"
)

// Who owns what while the Acceptor is late:
//
//   - Before the call, the goroutine of the loop owns all of it.
//   - During the call, it owns what the call was given: the requests and results, and the buffers
//     that the requests point into (the arena, and the buffers of connections whose requests came
//     in pieces). Nobody touches the rest.
//   - Of the goroutine that comes back and the one that is told that it is late, the first to end
//     the call at the watch owns the rest from then on. The other one keeps what the call was
//     given, until the call returns, and nothing else.
//
// So what is handed over is a loop in the middle of a turn, with its sockets, and without the
// memory of the turn.

// errTakenOver ends a goroutine whose loop is another's now.
var errTakenOver = errors.New("the loop was taken over")

// stopGrace is how long a stop waits for an Acceptor that has a bound.
const stopGrace = time.Second

// takeOver goes on with a loop whose Acceptor has not come back, on the goroutine of the caller.
// What was being made durable has an outcome that nobody knows, and is answered so.
func (l *loop) takeOver(call watchdog.Call) {
	if !l.watch.End(call) {
		return // it has come back
	}
	after := l.watch.Since(call)
	l.opts.Logger.Warn("requests are answered without knowing whether they are stored",
		telemetry.KeyRequests, len(l.requests), telemetry.KeyAfter, after.Round(time.Millisecond))
	unknown := ingest.Result{Err: lateError(after)}
	l.results = make([]ingest.Result, len(l.requests))
	for i := range l.results {
		l.results[i] = unknown
	}
	l.abandonMemory()
	l.tick()
	l.endTurn()
	l.goOn(nil)
}

func lateError(after time.Duration) error {
	err := fmt.Errorf("not durable after %s: %w: %w",
		after.Round(time.Millisecond), pillarbox.ErrUnknown, pillarbox.ErrUnavailable)
	return &pillarbox.RetryAfterError{After: retryAfterLate, Err: err}
}

// retryAfterLate is what a client is asked to wait while the Acceptor does not come back.
const retryAfterLate = 5 * time.Second

// abandonMemory gives up what the late call was given, and everything that it points into.
func (l *loop) abandonMemory() {
	l.arena, l.requests, l.fields = arena{}, nil, nil
	for _, c := range l.inTurn {
		l.abandonBuffer(c)
	}
}

// abandonBuffer gives up the buffer of a connection from which requests were taken in this turn.
func (l *loop) abandonBuffer(c *conn) {
	if c.state.gone() || c.used == 0 {
		return
	}
	rest := c.in[c.used:]
	if c.used = 0; len(rest) == 0 {
		l.server.memory.Shrink(int64(cap(c.in)))
		c.in = nil
		return
	}
	c.in = append(make([]byte, 0, cap(c.in)), rest...)
}

// endLateCall takes the loop over at a stop, if its Acceptor does not come back.
func (l *loop) endLateCall() {
	if call := l.watch.Current(); call != 0 {
		l.takeOver(call)
	}
}
