package express

import (
	"pillarbox/internal/framing"
	"pillarbox/internal/source"
)

// conn is one connection. While it is idle it has no buffer.
type conn struct {
	fd       int
	addr     string
	state    state // see the table in doc.go; only advance changes it
	input    input
	deadline int64 // when its wait is over; see sweep

	inTurn bool // is in loop.inTurn
	queued bool // is in loop.queued
	taken  int  // requests, in this turn

	in    []byte // what was read of requests that are not taken yet
	used  int    // bytes of in that were taken in this turn
	out   []byte // answers that the client has not read yet
	begun int64  // when the first byte of the request at the start of in came

	// Of the request at the start of in, as far as it is known:

	scan     framing.Scan     // of its head, where that came in pieces
	blank    bool             // the empty line that may stand before it has come
	need     int              // bytes that it has; 0 while its head isn't complete
	route    *source.Route    // once the head is complete, and the body is not
	admitted source.Admission // in the same state
	bodyDue  int64            // when its body must have brought its least; 0 where none is awaited
	progress int64            // bytes of the body since the last time that it had
}

// resting reports whether nothing of a further request has been read, as far as this turn has read.
func (c *conn) resting() bool { return len(c.in) == c.used && !c.input.ready() }

// left is what a turn has left of a connection that goes on with requests.
func (c *conn) left() event {
	switch {
	case len(c.out) > 0:
		return eventBlocked
	case c.need > 0:
		return eventBodyLeft
	case len(c.in) > 0:
		return eventHeadLeft
	}
	return eventNothingLeft
}
