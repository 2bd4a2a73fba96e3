package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"pillarbox/internal/opening"
)

const (
	readBytes = 64 << 10
	maxEvents = 256
	// lookInterval bounds a wait, so that the end of the run and of the context are seen.
	lookInterval = 50 * time.Millisecond
	timerEvent   = -1 // the id of the timer among the events of connections
)

// loop serves its connections from one thread.
type loop struct {
	Options
	result *Result
	start  time.Time
	poll   int // epoll
	timer  int // timerfd of an open loop: the timeout of epoll_wait is too coarse for one
	conns  []*conn
	buffer []byte

	underWay int // requests without an answer
	alive    int // connections

	// Of an open loop.
	free     []*conn // waiting for a request, longest first
	interval time.Duration
	sent     int64 // requests
	armed    bool
}

// conn is one connection. Its times count from the start of the run.
type conn struct {
	id      int32
	fd      int
	secure  *opening.Secure // nil without TLS
	own     []byte          // the request under way
	sealed  []byte          // the same over TLS
	unsent  []byte          // of it
	busy    bool            // a request is under way
	due     time.Duration
	freedAt time.Duration
	reader  reader
}

// drive runs a share of the connections in an event loop.
func drive(ctx context.Context, o Options) (result *Result, err error) {
	// The kernel schedules the loop as one thread, as it does with the loops of other generators.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	l := &loop{Options: o, result: newResult(o.Duration), buffer: make([]byte, readBytes), timer: -1}
	l.poll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	defer func() { err = errors.Join(err, l.close()) }()
	if err := l.connectAll(ctx); err != nil {
		return nil, err
	}
	if o.Rate > 0 {
		l.interval = time.Duration(float64(time.Second) / o.Rate)
		l.free = append(l.free, l.conns...)
		if err := l.openTimer(); err != nil {
			return nil, err
		}
	}
	return l.result, l.run(ctx)
}

func (l *loop) connectAll(ctx context.Context) error {
	for i := range l.Connections {
		c := &conn{id: int32(i), fd: -1}
		l.conns = append(l.conns, c)
		if err := l.connect(ctx, c); err != nil {
			return err
		}
		l.alive++
	}
	return nil
}

// connect takes the descriptor out of the hands of Go's own poller, which would be woken for every
// answer as well.
func (l *loop) connect(ctx context.Context, c *conn) error {
	dialer := net.Dialer{Timeout: dialTimeout}
	dialed, err := dialer.DialContext(ctx, "tcp", l.Address)
	if err != nil {
		return err
	}
	defer dialed.Close()
	raw, err := dialed.(*net.TCPConn).SyscallConn()
	if err != nil {
		return err
	}
	var copied error
	if err := raw.Control(func(fd uintptr) {
		c.fd,
			copied = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	}); err != nil {
		return err
	}
	if copied != nil {
		c.fd = -1
		return os.NewSyscallError("fcntl", copied)
	}
	c.reader, c.unsent, c.busy = reader{head: c.reader.head[:0]}, nil, false
	if c.secure = nil; l.TLS != nil {
		if err := dialed.SetDeadline(time.Now().Add(dialTimeout)); err != nil {
			return err
		}
		if c.secure, err = opening.Client(dialed, l.TLS); err != nil {
			return err
		}
		c.secure.Detach(c)
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET,
		Fd: c.id}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(l.poll, unix.EPOLL_CTL_ADD, c.fd, &event))
}

func (l *loop) close() error {
	var all error
	for _, c := range l.conns {
		if c.fd >= 0 {
			all = errors.Join(all, unix.Close(c.fd))
		}
	}
	if l.timer >= 0 {
		all = errors.Join(all, unix.Close(l.timer))
	}
	return errors.Join(all, unix.Close(l.poll))
}

func (l *loop) run(ctx context.Context) error {
	l.start = time.Now()
	if l.Rate == 0 {
		for _, c := range l.conns {
			l.send(ctx, c, 0)
		}
	}
	events := make([]unix.EpollEvent, maxEvents)
	for !l.over(ctx) {
		if err := l.sendDue(ctx); err != nil {
			return err
		}
		n, err := unix.EpollWait(l.poll, events, int(lookInterval/time.Millisecond))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("epoll_wait", err)
		}
		for i := range max(n, 0) {
			l.handle(ctx, &events[i])
		}
	}
	l.result.Unanswered = uint64(l.underWay)
	if l.Rate > 0 && ctx.Err() == nil {
		l.result.Unsent = uint64(max(l.planned()-l.sent, 0))
	}
	return nil
}

func (l *loop) now() time.Duration { return time.Since(l.start) }

// planned is how many requests are due within the duration.
func (l *loop) planned() int64 { return int64((l.Duration + l.interval - 1) / l.interval) }

// over says whether the run is done: nothing is to be sent and nothing is under way, or the
// patience is at its end.
func (l *loop) over(ctx context.Context) bool {
	now := l.now()
	switch {
	case l.alive == 0, now >= l.Duration+l.Grace:
		return true
	case ctx.Err() != nil:
		return true
	case now < l.Duration:
		return false
	}
	return l.underWay == 0 && (l.Rate == 0 || l.sent >= l.planned())
}

// sendDue sends, in an open loop, what is due on connections that are free. What finds none is sent
// as soon as one is free, even after the end, and counts from when it was due.
func (l *loop) sendDue(ctx context.Context) error {
	if l.Rate == 0 {
		return nil
	}
	for len(l.free) > 0 && l.sent < l.planned() {
		now, due := l.now(), time.Duration(l.sent)*l.interval
		if due > now {
			return l.arm(due - now)
		}
		c := l.free[0]
		l.free = l.free[1:]
		if c.fd < 0 {
			continue // it broke while it was free
		}
		l.sent++
		l.result.Lag.Record(now - max(due, c.freedAt))
		l.send(ctx, c, due)
	}
	return nil
}

func (l *loop) openTimer() (err error) {
	if l.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC,
		unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		return os.NewSyscallError("timerfd_create", err)
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: timerEvent}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(l.poll, unix.EPOLL_CTL_ADD, l.timer, &event))
}

func (l *loop) arm(wait time.Duration) error {
	if l.armed {
		return nil // it runs for this very request: the next one is due later
	}
	l.armed = true
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(wait))}
	return os.NewSyscallError("timerfd_settime", unix.TimerfdSettime(l.timer, 0, &spec, nil))
}

func (l *loop) handle(ctx context.Context, event *unix.EpollEvent) {
	if event.Fd == timerEvent {
		var count [8]byte
		_, _ = unix.Read(l.timer, count[:]) // how often it fired does not matter: the clock is asked
		l.armed = false
		return
	}
	c := l.conns[event.Fd]
	if len(c.unsent) > 0 && event.Events&unix.EPOLLOUT != 0 {
		l.write(ctx, c)
	}
	if event.Events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		l.read(ctx, c)
	}
}

// send begins a request that was due at a time.
func (l *loop) send(ctx context.Context, c *conn, due time.Duration) {
	c.own = l.serial(c.own)
	c.busy, c.due, c.unsent = true, due, c.own
	if c.secure != nil {
		var err error
		if c.sealed, err = c.secure.Seal(c.sealed[:0], c.own); err != nil {
			c.busy = false
			l.broken(ctx, c, err)
			return
		}
		c.unsent = c.sealed
	}
	l.underWay++
	l.write(ctx, c)
}

func (l *loop) write(ctx context.Context, c *conn) {
	for len(c.unsent) > 0 {
		n, err := unix.Write(c.fd, c.unsent)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return
		case err != nil:
			l.broken(ctx, c, os.NewSyscallError("write", err))
			return
		}
		c.unsent = c.unsent[n:]
	}
}

// read takes all that is there: the poll tells of new bytes only once.
func (l *loop) read(ctx context.Context, c *conn) {
	for c.fd >= 0 {
		n, err := c.read(l.buffer)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return
		case err != nil:
			l.broken(ctx, c, os.NewSyscallError("read", err))
			return
		case n == 0:
			l.broken(ctx, c, io.ErrUnexpectedEOF)
			return
		case !c.busy || len(c.unsent) > 0:
			l.broken(ctx, c, fmt.Errorf("an answer before the request was sent: %.100q", l.buffer[:n]))
			return
		}
		complete, err := c.reader.feed(l.buffer[:n])
		if err != nil {
			l.broken(ctx, c, fmt.Errorf("%w: %.100q", err, l.buffer[:n]))
			return
		}
		if complete {
			l.answered(ctx, c)
			return
		}
		if n < len(l.buffer) && c.secure == nil {
			return
		}
	}
}

// read reads what is there, and with TLS decrypts it.
func (c *conn) read(b []byte) (int, error) {
	if c.secure == nil {
		return unix.Read(c.fd, b)
	}
	n, err := c.secure.Read(b)
	switch {
	case n > 0:
		return n, nil
	case errors.Is(err, opening.Again):
		return 0, unix.EAGAIN
	case errors.Is(err, io.EOF):
		return 0, nil
	}
	return 0, err
}

// Receive implements opening.Receiver.
func (c *conn) Receive(b []byte) (int, error) {
	n, err := unix.Read(c.fd, b)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return 0, opening.Again
	case err == nil && n == 0:
		return 0, io.EOF
	}
	return max(n, 0), err
}

func (l *loop) answered(ctx context.Context, c *conn) {
	now := l.now()
	l.underWay--
	c.busy, c.freedAt = false, now
	l.result.Answers++
	l.result.Statuses[c.reader.status/100]++
	l.result.Latency.Record(now - c.due)
	if now >= l.Duration {
		l.result.Late++
	}
	if c.reader.last && !l.reconnect(ctx, c) {
		return
	}
	switch {
	case l.Rate > 0:
		l.free = append(l.free, c)
	case now < l.Duration:
		l.send(ctx, c, now)
	}
}

// broken gives up the request of a connection and opens the connection anew.
func (l *loop) broken(ctx context.Context, c *conn, err error) {
	wasBusy := c.busy
	if wasBusy {
		l.underWay--
	}
	if !l.result.fail(err, l.MaxErrors) {
		l.alive = 0
		l.drop(c)
		return
	}
	if !l.reconnect(ctx, c) {
		return
	}
	switch now := l.now(); {
	case l.Rate > 0 && wasBusy: // one that was free is among the free ones already
		c.freedAt = now
		l.free = append(l.free, c)
	case l.Rate == 0 && now < l.Duration:
		l.send(ctx, c, now)
	}
}

// reconnect replaces the connection. Where that fails the run goes on without it.
func (l *loop) reconnect(ctx context.Context, c *conn) bool {
	l.drop(c)
	if err := l.connect(ctx, c); err != nil {
		l.result.fail(err, l.MaxErrors)
		l.alive--
		l.drop(c)
		return false
	}
	return true
}

func (l *loop) drop(c *conn) {
	if c.fd >= 0 {
		_ = unix.Close(c.fd) // nothing is expected of it any more
	}
	c.fd, c.unsent, c.busy = -1, nil, false
}
