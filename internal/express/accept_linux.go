package express

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"pillarbox/internal/admission"
	"pillarbox/internal/opening"
	"pillarbox/internal/telemetry"
)

const (
	maxAccepts  = 256                    // in one turn
	acceptPause = 100 * time.Millisecond // when there are no descriptors left
)

// accepting is a listener that the loop accepts from.
type accepting struct {
	fd     int
	opener *opening.Opener // nil where connections begin with HTTP
}

// acceptConns accepts the connections that wait, and gives each loop its share.
func (l *loop) acceptConns(on *accepting) {
	for range maxAccepts {
		if !l.server.admit() {
			if !l.someonePending() {
				return
			}
			if l.server.limit.Now(l.now) {
				l.opts.Logger.Warn("newcomers wait: there are as many connections as there may be "+
					"(http.max_connections)",
					telemetry.KeyConnections, l.opts.MaxConnections)
			}
			if l.evict() {
				continue
			}
			l.pauseAccepting(acceptPause) // or until one has gone
			return
		}
		fd, from, err := unix.Accept4(on.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			l.server.left()
			l.acceptFailed(err)
			return
		}
		pending := pendingConn{fd: fd, addr: addressOf(from)}
		if on.opener == nil || on.opener.Named() {
			var ok bool
			if pending.counted, ok = l.server.enter(pending.addr); !ok {
				l.opts.Closed(admission.OverItsBudget) // first, so that whoever sees the close finds it counted
				_ = unix.Close(fd)
				l.server.left()
				continue
			}
		}
		loops := l.server.loops
		l.nextLoop = (l.nextLoop + 1) % len(loops)
		if on.opener != nil {
			to := loops[l.nextLoop]
			l.server.opening.Go(func() { l.server.openConn(pending, on.opener, to) })
			continue
		}
		if other := loops[l.nextLoop]; other == l || l.draining || !other.enqueue(pending) {
			l.adopt(pending)
		}
	}
}

// acceptFailed waits a little where the machine has no room for another connection: the listener
// stays readable, and the loop would do nothing else.
func (l *loop) acceptFailed(err error) {
	switch err {
	case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
		if l.server.failing.Now(l.now) {
			l.opts.Logger.Warn("connections can't be accepted", telemetry.KeyErr, err)
		}
		l.pauseAccepting(acceptPause)
	case unix.EAGAIN, unix.EINTR, unix.ECONNABORTED:
	default: // an error of the network that the connection had already (accept(2))
		l.opts.Logger.Debug("a connection was not accepted", telemetry.KeyErr, err)
	}
}

func (l *loop) pauseAccepting(pause time.Duration) {
	l.acceptAt = l.mono + int64(pause)
	l.nextSweep = min(l.nextSweep, l.acceptAt)
	for _, on := range l.accepts {
		_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, on.fd, nil)
	}
}

func (l *loop) resumeAccepting() {
	l.acceptAt = 0
	for _, on := range l.accepts {
		if err := l.observe(on.fd, unix.EPOLLIN); err != nil && !errors.Is(err, unix.EEXIST) {
			l.opts.Logger.Error("the listener can't be watched", telemetry.KeyErr, err)
			l.acceptAt = l.mono + int64(time.Second)
		}
	}
}

func (l *loop) closeListeners() {
	for _, on := range l.accepts {
		_ = unix.Close(on.fd)
	}
	l.accepts, l.acceptAt = nil, 0
}
