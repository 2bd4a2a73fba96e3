package express

import (
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"pillarbox/internal/source"
)

// answer writes the answers of the turn, all of one connection at once, and counts them.
func (l *loop) answer() {
	result := 0
	count := tally{}
	for i := 0; i < len(l.items); {
		c := l.items[i].conn
		if c.state == stateAnswering && c.resting() && l.server.parting() {
			// the next request may be there, and must not cost this one its answer
			c.advance(eventDrainedLate)
		}
		l.out = l.out[:0]
		for ; i < len(l.items) && l.items[i].conn == c; i++ {
			item, before := &l.items[i], len(l.out)
			last := c.state.ends() && (i+1 == len(l.items) || l.items[i+1].conn != c)
			status, err, requestID := 0, item.err, ""
			if err == nil {
				err = l.results[result].Err
				if err == nil {
					requestID = l.results[result].Receipt.RequestID
					answer := item.route.Source.Accepted()
					status = answer.Status
					l.out = l.answers.appendAccepted(l.out, answer, &l.results[result],
						l.requests[result].Grant.Quota(), item.lines, last)
				}
				result++
			}
			if err != nil {
				status = l.appendProblem(err, item.lines, last)
			}
			count.add(item, status, l.mono)
			if item.span != nil {
				item.span.Answered(status, requestID, l.now)
			}
			if l.opts.Access != nil {
				l.logAccess(item, l.out[before:], status, requestID)
			}
		}
		l.write(c, l.out)
	}
	count.flush()
}

func (l *loop) appendProblem(err error, lines string, last bool) (status int) {
	status, header, body := l.opts.Problem(err)
	l.out = l.answers.appendProblem(l.out, status, header, body, lines, last)
	return status
}

// tally counts answers, those that are alike at once.
type tally struct {
	route  *source.Route
	status int
	begun  int64
	now    int64
	n      int
}

func (t *tally) add(item *item, status int, now int64) {
	if item.span != nil {
		t.flush()
		*t = tally{}
		addRecorded(item, status, now)
		return
	}
	if t.n > 0 && t.route == item.route && t.status == status && t.begun == item.begun {
		t.n++
		return
	}
	t.flush()
	*t = tally{route: item.route, status: status, begun: item.begun, now: now, n: 1}
}

// addRecorded counts the answer to a request that is recorded: it may become an exemplar.
func addRecorded(item *item, status int, now int64) {
	item.route.Metrics.DoneIn(item.span.TraceID(), http.MethodPost, status, time.Duration(now-item.begun))
	countRefused(item.route, status, 1)
}

func (t *tally) flush() {
	if t.n > 0 && t.route != nil {
		t.route.Metrics.DoneMany(http.MethodPost, t.status, time.Duration(t.now-t.begun), t.n)
		countRefused(t.route, t.status, t.n)
	}
}

func countRefused(route *source.Route, status, n int) {
	if status >= http.StatusBadRequest {
		route.Source.Metrics().Refused(status, n)
	}
}

// write writes what the client's side takes now. The rest is kept until it takes more.
func (l *loop) write(c *conn, b []byte) {
	if c.secure != nil {
		var err error
		if l.sealed, err = c.secure.Seal(l.sealed[:0], b); err != nil {
			if c.state != stateBroken {
				c.advance(eventFailed)
			}
			return
		}
		b = l.sealed
	}
	l.send(c, b)
}

// send is write for what is not to be encrypted any more.
func (l *loop) send(c *conn, b []byte) {
	if rest := l.push(c, b); len(rest) > 0 {
		c.out = append(c.out, rest...)
		c.deadline = l.mono + int64(l.opts.WriteTimeout)
	}
}

// push returns what did not fit. Only the kernel's word that nothing fits makes it tell when
// something does.
func (l *loop) push(c *conn, b []byte) []byte {
	for len(b) > 0 && c.state != stateBroken {
		n, errno := send(c.fd, b)
		if errno == unix.EAGAIN {
			return b
		}
		if errno != 0 {
			c.advance(eventFailed) // the client is gone; what was accepted stays accepted
			break
		}
		b = b[n:]
	}
	return nil
}

// flush writes what was kept.
func (l *loop) flush(c *conn) {
	rest := l.push(c, c.out)
	if len(rest) > 0 {
		c.out = c.out[:copy(c.out, rest)]
		return
	}
	c.out = nil
	if c.state == stateWriting {
		c.advance(eventWritten) // from here on, the time for the next request counts
	}
	if c.need == 0 {
		c.begun = l.mono
	}
}
