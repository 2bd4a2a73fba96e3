package opening

import (
	"container/list"
	"errors"
	"io"
	"sync"
)

// addressShare is the part of the places that one address may hold while others wait for one: a
// sixteenth.
const addressShare = 16

var errCrowded = errors.New("there are as many connections that begin as there may be")

// works are the connections that are being opened.
type works struct {
	max    int
	tokens chan struct{} // one for each that may compute at a time: the others must not wait for it

	mu        sync.Mutex            // guards the fields below, and those of each work
	open      map[*work]struct{}    // all of them
	waiting   list.List             // of *work whose client is waited for, the longest first
	addresses map[string]*list.List // the same of each address
	closed    bool
}

// work is one of them. It begins as one whose client is waited for.
type work struct {
	works   *works
	conn    io.Closer
	address string
	gone    chan struct{} // closed where it lost its place

	computes bool          // holds a token; touched only by its own goroutine
	place    *list.Element // among all that wait; nil while it computes or wants to. Guarded by mu
	own      *list.Element // among those of its address
	lost     bool
}

func (w *works) init(limit, computing int) {
	w.max, w.tokens = limit, make(chan struct{}, computing)
	w.open, w.addresses = map[*work]struct{}{}, map[string]*list.List{}
}

// begin gives a connection a place. Where there is none, the one goes whose client has been waited
// for the longest: of this address, if it has its share, and else of all.
func (w *works) begin(conn io.Closer, address string) (*work, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || len(w.open) >= w.max && !w.evictLocked(address) {
		return nil, errCrowded
	}
	one := &work{works: w, conn: conn, address: address, gone: make(chan struct{})}
	w.open[one] = struct{}{}
	one.waitLocked()
	return one, nil
}

func (w *works) evictLocked(address string) bool {
	longest := w.waiting.Front()
	if own := w.addresses[address]; own != nil && own.Len() >= max(1, w.max/addressShare) {
		longest = own.Front()
	}
	if longest == nil {
		return false // all of them compute
	}
	longest.Value.(*work).loseLocked()
	return true
}

func (o *work) loseLocked() {
	o.leaveLocked()
	o.lost = true
	delete(o.works.open, o)
	close(o.gone)
	_ = o.conn.Close() // who reads from it is told
}

func (o *work) waitLocked() {
	own := o.works.addresses[o.address]
	if own == nil {
		own = list.New()
		o.works.addresses[o.address] = own
	}
	o.place, o.own = o.works.waiting.PushBack(o), own.PushBack(o)
}

func (o *work) leaveLocked() {
	if o.place == nil {
		return
	}
	own := o.works.addresses[o.address]
	own.Remove(o.own)
	if own.Len() == 0 {
		delete(o.works.addresses, o.address)
	}
	o.works.waiting.Remove(o.place)
	o.place, o.own = nil, nil
}

// pause is called before the client is waited for.
func (o *work) pause() {
	if o.computes {
		<-o.works.tokens
		o.computes = false
	}
	o.works.mu.Lock()
	defer o.works.mu.Unlock()
	if o.place == nil && !o.lost {
		o.waitLocked()
	}
}

// resume is called when the client has sent something. It waits for its turn to compute, and
// returns false where the place is lost.
func (o *work) resume() bool {
	o.works.mu.Lock()
	o.leaveLocked()
	lost := o.lost
	o.works.mu.Unlock()
	if lost {
		return false
	}
	select {
	case o.works.tokens <- struct{}{}:
		o.computes = true
		return true
	case <-o.gone:
		return false
	}
}

// end gives the place back, and reports whether it was lost before.
func (w *works) end(one *work) (lost bool) {
	if one.computes {
		<-w.tokens
		one.computes = false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	one.leaveLocked()
	delete(w.open, one)
	return one.lost
}

func (w *works) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for one := range w.open {
		one.loseLocked()
	}
}
