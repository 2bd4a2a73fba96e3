package express

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// join makes the connection one of those that are looked after at the end of the turn.
func (l *loop) join(c *conn) {
	if !c.inTurn {
		c.inTurn = true
		l.inTurn = append(l.inTurn, c)
	}
}

// queue lets the next turn go on with c.
func (l *loop) queue(c *conn) {
	if !c.queued {
		c.queued = true
		l.queued = append(l.queued, c)
	}
}

// full reports whether the turn has taken all that it may.
func (l *loop) full() bool {
	return len(l.requests) >= maxTurnRequests || l.bytes >= maxTurnBytes
}

// reset ends the turn: its memory is free for the next one.
func (l *loop) reset() {
	clear(l.inTurn)
	clear(l.resumed)
	clear(l.items)
	clear(l.sights)
	l.sights = l.sights[:0]
	clear(l.requests)
	clear(l.fields)
	l.inTurn, l.items, l.requests, l.fields, l.bytes = l.inTurn[:0], l.items[:0], l.requests[:0],
		l.fields[:0], 0
	l.arena.reset()
}

func (l *loop) tick() {
	l.now = time.Now()
	l.mono = int64(l.now.Sub(l.start))
	l.answers.at(l.now)
}

func (l *loop) observe(fd int, events uint32) error {
	err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd,
		&unix.EpollEvent{Events: events, Fd: int32(fd)})
	return os.NewSyscallError("epoll_ctl", err)
}
