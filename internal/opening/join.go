package opening

import (
	"errors"
	"net"
	"sync"
)

// Join makes one listener of several, of which there is at least one. Its address is that of the
// first.
func Join(listeners []net.Listener) net.Listener {
	if len(listeners) == 1 {
		return listeners[0]
	}
	j := &joined{Listener: listeners[0], listeners: listeners, accepted: make(chan accepted),
		closed: make(chan struct{})}
	for _, listener := range listeners {
		j.running.Go(func() { j.accept(listener) })
	}
	return j
}

type joined struct {
	net.Listener
	listeners []net.Listener
	accepted  chan accepted
	closed    chan struct{}
	once      sync.Once
	running   sync.WaitGroup
	err       error // of Close
}

type accepted struct {
	conn net.Conn
	err  error
}

func (j *joined) accept(from net.Listener) {
	for {
		conn, err := from.Accept()
		select {
		case j.accepted <- accepted{conn, err}:
		case <-j.closed:
			if err == nil {
				_ = conn.Close()
			}
			return
		}
	}
}

// Accept implements net.Listener.
func (j *joined) Accept() (net.Conn, error) {
	select {
	case next := <-j.accepted:
		return next.conn, next.err
	case <-j.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. It returns when nothing of it runs.
func (j *joined) Close() error {
	j.once.Do(func() {
		close(j.closed)
		var errs []error
		for _, listener := range j.listeners {
			errs = append(errs, listener.Close())
		}
		j.running.Wait()
		j.err = errors.Join(errs...)
	})
	return j.err
}
