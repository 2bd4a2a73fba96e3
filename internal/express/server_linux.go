package express

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"pillarbox"
	"pillarbox/internal/admission"
	"pillarbox/internal/opening"
	"pillarbox/internal/proxy"
)

// Server answers on one listener.
type Server struct {
	opts   Options
	loops  []*loop
	named  []net.Listener // that have a name to be removed; see takeListener
	handed *handed
	memory *admission.Memory // of requests that are not complete

	addresses *admission.Addresses
	idle      admission.Idle   // of those that were handed over
	limit     admission.Seldom // that connections are pending
	failing   admission.Seldom // that accepting fails

	opening sync.WaitGroup // connections that have no loop yet
	openers []*opening.Opener

	open     atomic.Int64 // connections, with those that were handed over
	full     atomic.Bool  // a loop waits for a connection to go
	retiring atomic.Bool
	draining atomic.Bool
	stopping atomic.Bool

	mu      sync.Mutex // guards started and closed
	started bool
	closed  bool
	done    chan struct{} // closed when Run returns, or when it never will run
}

// Possible returns nil where express works, and else why not.
func Possible() error { return nil }

// New makes a server, which takes the listeners over: they are closed, whatever New returns. Run
// answers on them.
func New(listeners []Listener, opts Options) (*Server, error) {
	opts = opts.withDefaults()
	if err := opts.validate(len(listeners)); err != nil {
		return nil, errors.Join(err, closeAll(listeners))
	}
	s := &Server{
		opts: opts, handed: newHanded(listeners[0].Addr()), memory: opts.Memory,
		addresses: admission.NewAddresses(opts.MaxPerAddress), done: make(chan struct{}),
	}
	for range opts.Loops {
		l, err := newLoop(s)
		if err != nil {
			return nil, errors.Join(err, closeAll(listeners), s.Close())
		}
		s.loops = append(s.loops, l)
	}
	for i, listener := range listeners {
		fd, err := s.takeListener(listener.Listener)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("take over the listener: %w", err),
				closeAll(listeners[i:]), s.Close())
		}
		on := &accepting{fd: fd, opener: listener.Opener}
		if on.opener != nil && !on.opener.Needed() {
			on.opener = nil
		}
		if on.opener != nil {
			s.openers = append(s.openers, on.opener)
		}
		s.loops[0].accepts = append(s.loops[0].accepts, on)
	}
	return s, nil
}

func closeAll(listeners []Listener) error {
	var errs []error
	for _, listener := range listeners {
		errs = append(errs, listener.Close())
	}
	return errors.Join(errs...)
}

// HandedOver returns the listener of the connections that are not simple, each with what was read
// of it. A http.Server is to serve it for as long as Run runs.
func (s *Server) HandedOver() net.Listener { return s.handed }

// Run answers until ctx is done, or Drain or Close has ended it. Requests that are being made
// durable at the end are finished first; whether their answers arrive is not known. Where
// AcceptTimeout is set, an Acceptor that does not come back is not waited for: its goroutine ends
// when it does.
func (s *Server) Run(ctx context.Context) error {
	s.mu.Lock()
	if s.started || s.closed {
		s.mu.Unlock()
		return fmt.Errorf("express: run twice, or after close: %w", pillarbox.ErrClosed)
	}
	s.started = true
	s.mu.Unlock()
	defer close(s.done)
	defer context.AfterFunc(ctx, s.stop)()
	errs := make([]error, len(s.loops))
	var running sync.WaitGroup
	for i, l := range s.loops {
		go l.run()
		running.Go(func() {
			if errs[i] = <-l.result; errs[i] != nil {
				s.stop() // the others are no use without it
			}
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

// Retire makes each answer the last one of its connection, and goes on accepting: whoever is told so
// does not send the next request just as Drain closes what is idle. It can't be taken back.
func (s *Server) Retire() { s.retiring.Store(true) }

// parting reports whether an answer is the last one of its connection, whatever the client wants.
func (s *Server) parting() bool { return s.retiring.Load() || s.draining.Load() }

// Drain refuses new connections, closes idle ones, waits two seconds for the first request of those that
// were just accepted, finishes the requests that are under way, and
// makes Run return. It returns when Run has, and everything that was handed over is accepted; or
// with the error of ctx.
func (s *Server) Drain(ctx context.Context) error {
	s.draining.Store(true)
	s.closeOpeners()
	s.mu.Lock()
	started := s.started
	s.mu.Unlock()
	if !started {
		return nil
	}
	s.wake()
	select {
	case <-s.done:
		return s.handed.empty(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends everything at once, HandedOver too. It is safe to call twice, and returns when nothing
// runs.
func (s *Server) Close() error {
	s.stop()
	s.mu.Lock()
	started, closed := s.started, s.closed
	s.closed = true
	s.mu.Unlock()
	var errs []error
	switch {
	case started:
		<-s.done
	case !closed:
		for _, l := range s.loops {
			errs = append(errs, l.close())
		}
		close(s.done)
	}
	for _, listener := range s.named {
		errs = append(errs, listener.Close())
	}
	errs = append(errs, s.handed.Close())
	s.opening.Wait()
	return errors.Join(errs...)
}

// closeOpeners ends what has not come to HTTP yet: nothing of a request is there.
func (s *Server) closeOpeners() {
	for _, opener := range s.openers {
		opener.Close()
	}
}

func (s *Server) stop() {
	first := !s.stopping.Swap(true)
	s.closeOpeners()
	s.wake()
	if !first {
		return
	}
	for _, l := range s.loops {
		if l.watch != nil {
			time.AfterFunc(stopGrace, l.endLateCall)
		}
	}
}

func (s *Server) wake() {
	for _, l := range s.loops {
		l.notify()
	}
}

// admit counts a connection, if there may be one more.
func (s *Server) admit() bool {
	if s.open.Add(1) <= int64(s.opts.MaxConnections) {
		return true
	}
	s.full.Store(true)
	if s.open.Add(-1) < int64(s.opts.MaxConnections) {
		s.wake() // one went before it could see that somebody waits
	}
	return false
}

// enter counts a connection under an address, unless that may not have one more. It returns an
// empty one where nobody is counted: a proxy brings the connections of others, and so does what
// stands before a unix socket.
func (s *Server) enter(addr string) (counted string, ok bool) {
	if addr == proxy.Unix || s.opts.Trusted.Trusts(addr) {
		return "", true
	}
	return addr, s.addresses.Enter(addr)
}

// released counts a connection as gone, and under the address that it was counted under.
func (s *Server) released(counted string) {
	if counted != "" {
		s.addresses.Leave(counted)
	}
	s.left()
}

// left counts a connection as gone.
func (s *Server) left() {
	s.open.Add(-1)
	if s.full.CompareAndSwap(true, false) {
		s.wake()
	}
}
