package express

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"pillarbox"
	"pillarbox/internal/framing"
	"pillarbox/internal/ingest"
	"pillarbox/internal/source"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/watchdog"
)

// Bounds of one turn. What is over them waits for the next one, ahead of the sockets.
const (
	maxEvents       = 512
	maxTurnRequests = 4096
	maxTurnBytes    = 8 << 20 // of bodies
	maxShare        = 64      // requests of one connection
	maxGathers      = 4       // looks for more sockets that are ready
)

// loop is one event loop. All of it but inbox and watch is touched only by the goroutine that owns
// it: that of run, or the one that has taken the loop over from it; see takeOver.
//
// Sockets are watched edge-triggered, for reading and writing at once: the kernel then tells each
// change once, and neither has a socket that was read empty to be looked at again in the next turn,
// nor is there a call to change what is watched. In return the loop must remember what it left
// unread.
type loop struct {
	server  *Server
	opts    *Options
	epoll   int
	wakeup  int          // an eventfd, written by notify
	accepts []*accepting // none where another loop accepts, or nobody any more
	conns   []*conn
	live    int // of conns
	events  []unix.EpollEvent

	start     time.Time
	now       time.Time
	mono      int64 // now since start, in nanoseconds
	nextSweep int64
	leastBody int64 // bytes that a body brings in each grace
	acceptAt  int64 // when to accept again after a pause; 0 where there is none
	nextLoop  int   // that gets the next connection
	draining  bool

	candidates []candidate // the ones that have rested for the longest time come last; see evict
	evictAt    int64       // when to look for them again

	arena    arena
	encoding [1]string // the Content-Encoding of sourceHead
	buffers  buffers
	names    names
	head     head
	answers  answers
	out      []byte
	sealed   []byte // what of it is sent over TLS

	// The turn.
	queued     []*conn // have something to do that no event will tell
	resumed    []*conn // queued of the last turn
	inTurn     []*conn // to be looked at when the answers are written
	sights     []sight // what the access log says of items
	items      []item  // in the order of the answers; those of one connection stand together
	requests   []ingest.Request
	sourceHead source.Head // of the request that is asked about
	results    []ingest.Result
	fields     pillarbox.Header
	bytes      int

	watch  *watchdog.Watch // over the calls of the Acceptor; nil without a bound
	result chan error      // what the last owner returns

	inbox
}

// item is one answer that is to be given.
type item struct {
	conn  *conn
	route *source.Route // nil where it isn't known
	lines string        // of the answer's header, for the page that the request may be of
	begun int64         // when the request began
	err   error         // what it is refused with; nil where the Acceptor decides
	span  *telemetry.Span
	sight int // in sights; with an access log only
}

func newLoop(s *Server) (*loop, error) {
	l := &loop{
		server: s, opts: &s.opts, epoll: -1, wakeup: -1,
		events: make([]unix.EpollEvent, maxEvents),
		start:  time.Now(), names: newNames(),
		leastBody: framing.LeastBytes(s.opts.MinBodyRate, s.opts.BodyGrace),
	}
	l.watch, l.result = watchdog.New(s.opts.AcceptTimeout, l.takeOver), make(chan error, 1)
	var err error
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if l.wakeup, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, errors.Join(os.NewSyscallError("eventfd", err), l.close())
	}
	if err := l.observe(l.wakeup, unix.EPOLLIN); err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

// run turns until the server stops, or until somebody else goes on with the loop. Then nothing of
// it is touched any more.
func (l *loop) run() {
	var err error
	for _, on := range l.accepts {
		err = errors.Join(err, l.observe(on.fd, unix.EPOLLIN))
	}
	l.goOn(err)
}

func (l *loop) goOn(err error) {
	for err == nil && !l.server.stopping.Load() {
		if !l.draining && l.server.draining.Load() {
			l.drain()
		}
		if l.draining {
			l.adoptPending() // of another loop, which accepted it before it knew of the drain
		}
		if l.draining && l.live == 0 {
			break
		}
		if err = l.turn(); err == errTakenOver {
			return
		}
	}
	l.result <- errors.Join(err, l.close())
}

// turn is one round: wait, read, accept all that is complete, answer.
func (l *loop) turn() error {
	n, err := l.wait()
	if err != nil {
		return err
	}
	l.tick()
	l.resume()
	l.gather(n)
	if !l.accept() {
		return errTakenOver
	}
	l.endTurn()
	return nil
}

// endTurn answers what the turn has taken, and ends it.
func (l *loop) endTurn() {
	l.answer()
	for _, c := range l.inTurn {
		l.finish(c)
	}
	l.reset()
	if l.mono >= l.nextSweep {
		l.sweep()
	}
}

// gather reads every socket that is ready, and then those that became ready meanwhile: a turn that
// is about to wait for the disk should not leave behind what is there. It waits for nobody.
func (l *loop) gather(n int) {
	for looks := 0; ; looks++ {
		for i := range l.events[:n] {
			l.dispatch(&l.events[i])
		}
		if n == 0 || len(l.requests) == 0 || l.full() || looks == maxGathers {
			return
		}
		var errno unix.Errno
		if n, errno = poll(l.epoll, l.events); errno != 0 {
			return // it comes again, and the next turn reports it
		}
	}
}

// wait waits for events. A call that may wait costs more in Go than one that doesn't, so that one
// comes first.
func (l *loop) wait() (int, error) {
	n, errno := poll(l.epoll, l.events)
	if n > 0 || errno != 0 || len(l.queued) > 0 {
		return max(n, 0), ignoreInterrupt(errno)
	}
	n, err := unix.EpollWait(l.epoll, l.events, l.waitMillis())
	if err != nil {
		return 0, ignoreInterrupt(err.(unix.Errno))
	}
	return n, nil
}

func ignoreInterrupt(errno unix.Errno) error {
	if errno == 0 || errno == unix.EINTR {
		return nil
	}
	return os.NewSyscallError("epoll_wait", errno)
}

// waitMillis is how long to wait, in milliseconds: with nobody there, for ever.
func (l *loop) waitMillis() int {
	if l.live == 0 && l.acceptAt == 0 {
		return -1
	}
	return int(max(0, l.nextSweep-l.mono)/int64(time.Millisecond)) + 1
}

// resume goes on with what the last turn has left.
func (l *loop) resume() {
	l.queued, l.resumed = l.resumed[:0], l.queued
	for _, c := range l.resumed {
		c.queued = false
		if !c.state.gone() {
			l.receive(c)
		}
	}
}

func (l *loop) dispatch(event *unix.EpollEvent) {
	switch fd := int(event.Fd); fd {
	case l.wakeup:
		l.wokenUp()
	default:
		if fd < len(l.conns) && l.conns[fd] != nil {
			l.socketReady(l.conns[fd], event.Events)
			return
		}
		for _, on := range l.accepts {
			if on.fd == fd {
				l.acceptConns(on)
			}
		}
	}
}

// accept makes everything durable that this turn has taken. The client may leave; what is being
// made durable is then still accepted. It returns false where that took so long that somebody else
// has taken the loop over.
func (l *loop) accept() bool {
	for i := 0; i < len(l.items); {
		n := l.sameRoute(i)
		if route := l.items[i].route; route != nil {
			route.Metrics.BeginMany(n)
		}
		i += n
	}
	if len(l.requests) == 0 {
		return true
	}
	// From Begin on, l may be another's.
	watch, acceptor, requests, results := l.watch, l.opts.Acceptor, l.requests, l.results
	call := watch.Begin()
	results = acceptor.AcceptInto(context.Background(), requests, results)
	if !watch.End(call) {
		return false
	}
	l.results = results
	if len(l.results) != len(l.requests) {
		panic(fmt.Sprintf("pillarbox: bug: %d results for %d requests", len(l.results), len(l.requests)))
	}
	l.tick()
	return true
}

// sameRoute counts the items from i on that have the same route.
func (l *loop) sameRoute(i int) int {
	n := 1
	for i+n < len(l.items) && l.items[i+n].route == l.items[i].route {
		n++
	}
	return n
}

func (l *loop) wokenUp() {
	var count [8]byte
	_, _ = unix.Read(l.wakeup, count[:])
	l.adoptPending()
	if l.acceptAt > 0 {
		l.resumeAccepting()
	}
}

func (l *loop) adoptPending() {
	l.mu.Lock()
	pending := l.pending
	l.pending = nil
	l.mu.Unlock()
	for _, conn := range pending {
		l.adopt(conn)
	}
}

// drain accepts what has connected already, stops accepting, and has a last look at every connection:
// what has arrived is under way, and one between two requests is closed.
func (l *loop) drain() {
	l.draining = true
	for _, on := range l.accepts {
		l.acceptConns(on)
	}
	l.closeListeners()
	l.adoptPending()
	for _, c := range l.conns {
		if c != nil {
			c.wake()
			l.queue(c)
		}
	}
}

// close ends all connections.
func (l *loop) close() error {
	l.mu.Lock()
	l.ended = true
	pending := l.pending
	l.pending = nil
	l.mu.Unlock()
	for _, conn := range pending {
		_ = unix.Close(conn.fd)
		l.server.released(conn.counted)
	}
	for _, c := range l.conns {
		if c != nil {
			l.closeConn(c)
		}
	}
	l.closeListeners()
	for _, fd := range []int{l.wakeup, l.epoll} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
	l.wakeup, l.epoll = -1, -1
	return nil
}
