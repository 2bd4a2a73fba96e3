package express

import (
	"time"

	"golang.org/x/sys/unix"

	"pillarbox/internal/admission"
	"pillarbox/internal/telemetry"
)

const (
	maxAccepts  = 256                    // in one turn
	acceptPause = 100 * time.Millisecond // when there are no descriptors left
)

// acceptConns accepts the connections that wait, and gives each loop its share.
func (l *loop) acceptConns() {
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
		fd, from, err := unix.Accept4(l.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			l.server.left()
			l.acceptFailed(err)
			return
		}
		pending := pendingConn{fd: fd, addr: addressOf(from)}
		if !l.server.addresses.Enter(pending.addr) {
			l.opts.Closed(admission.OverItsBudget) // first, so that whoever sees the close finds it counted
			_ = unix.Close(fd)
			l.server.left()
			continue
		}
		loops := l.server.loops
		l.nextLoop = (l.nextLoop + 1) % len(loops)
		if other := loops[l.nextLoop]; other == l || !other.enqueue(pending) {
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
	_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, l.listener, nil)
}

func (l *loop) resumeAccepting() {
	l.acceptAt = 0
	if l.listener < 0 {
		return
	}
	if err := l.observe(l.listener, unix.EPOLLIN); err != nil {
		l.opts.Logger.Error("the listener can't be watched", telemetry.KeyErr, err)
		l.acceptAt = l.mono + int64(time.Second)
	}
}

func (l *loop) closeListener() {
	if l.listener >= 0 {
		_ = unix.Close(l.listener)
		l.listener = -1
	}
	l.acceptAt = 0
}
