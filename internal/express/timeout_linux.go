package express

import (
	"fmt"
	"os"
	"time"

	"pillarbox/internal/framing"
)

// sweepsPerTimeout is how exactly timeouts are kept: to a part of the shortest.
const sweepsPerTimeout = 8

// sweep ends what has waited for too long. One look at all connections now and then costs less than
// a timer for each.
func (l *loop) sweep() {
	o := l.opts
	shortest := min(o.ReadHeaderTimeout, o.ReadTimeout, o.WriteTimeout, o.IdleTimeout, o.BodyGrace,
		lingerTime)
	l.nextSweep = l.mono + int64(max(shortest/sweepsPerTimeout, 5*time.Millisecond))
	for _, c := range l.conns {
		if c != nil && c.deadline <= l.mono {
			l.expire(c)
		}
	}
	if l.acceptAt > 0 && l.acceptAt <= l.mono {
		l.resumeAccepting()
	}
	l.arena.trim()
}

// expire ends a connection. A client whose body is late is told so; the others are left without a
// word, as net/http leaves them.
func (l *loop) expire(c *conn) {
	if c.state != stateBody {
		l.closeConn(c)
		return
	}
	late := fmt.Errorf("the body did not arrive in time (http.read_timeout); nothing was stored: %w",
		os.ErrDeadlineExceeded)
	if c.begun+int64(l.opts.ReadTimeout) > l.mono {
		late = framing.ErrTooSlow
	}
	if c.route != nil {
		c.route.Metrics.BeginMany(1)
	}
	l.refuse(c, late)
	l.answer()
	l.finish(c)
	l.reset()
}
