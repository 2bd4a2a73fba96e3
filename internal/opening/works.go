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

// works are the connections that are being opened. Few of them compute at a time, so that others
// have the processors too: addresses take turns, and of each address the one goes first that wants
// to compute for the longest time.
type works struct {
	max int

	mu        sync.Mutex            // guards the fields below, and those of each work
	open      map[*work]struct{}    // all of them
	idle      int                   // how many more may compute
	waiting   list.List             // of *work whose client is waited for, the longest first
	turns     list.List             // of *address that have works that want to compute
	addresses map[string]*addressOf // those that have works
	large     map[*addressOf]bool   // those that have their share, or more
	closed    bool
}

// addressOf is the works of one address.
type addressOf struct {
	name    string
	works   int
	waiting list.List     // whose client is waited for, the longest first
	ready   list.List     // that want to compute, the longest first
	turn    *list.Element // in works.turns; nil while none is ready
}

// work is one of them. It begins as one whose client is waited for.
type work struct {
	works   *works
	conn    io.Closer
	address *addressOf
	gone    chan struct{} // closed where it lost its place
	turn    chan struct{} // is sent to when it may compute

	// Guarded by works.mu:
	computes bool
	place    *list.Element // in works.waiting
	own      *list.Element // in address.waiting, or in address.ready
	ready    bool          // own is in address.ready
	lost     bool
}

func (w *works) init(limit, computing int) {
	w.max, w.idle = limit, computing
	w.open, w.addresses, w.large = map[*work]struct{}{}, map[string]*addressOf{}, map[*addressOf]bool{}
}

// share is how many places one address may hold while others wait for one.
func (w *works) share() int { return max(1, w.max/addressShare) }

// begin gives a connection a place. Where there is none, another one makes room; see evictLocked.
func (w *works) begin(conn io.Closer, address string) (*work, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || len(w.open) >= w.max && !w.evictLocked(address) {
		return nil, errCrowded
	}
	of := w.addresses[address]
	if of == nil {
		of = &addressOf{name: address}
		w.addresses[address] = of
	}
	if of.works++; of.works >= w.share() {
		w.large[of] = true
	}
	one := &work{works: w, conn: conn, address: of, gone: make(chan struct{}), turn: make(chan struct{}, 1)}
	w.open[one] = struct{}{}
	one.waitLocked()
	return one, nil
}

// evictLocked makes room for an address: the one goes whose client has been waited for the longest.
// It is of this address, if that has its share already. Else it is of the address that has the most,
// if that is a share: of a flood whose works all want to compute, it is the last of those, and not one
// of somebody else whose client is waited for. Else it is of any.
func (w *works) evictLocked(address string) bool {
	own := w.addresses[address]
	if own != nil && own.works >= w.share() {
		return evictFront(&own.waiting)
	}
	if largest := w.largestLocked(); largest != nil && (evictFront(&largest.waiting) || largest.giveUpLocked()) {
		return true
	}
	if evictFront(&w.waiting) {
		return true
	}
	most := own
	for turn := w.turns.Front(); turn != nil; turn = turn.Next() {
		if of := turn.Value.(*addressOf); most == nil || of.works > most.works {
			most = of
		}
	}
	return most != nil && most != own && most.giveUpLocked()
}

// largestLocked is the address that has the most of those that have their share; nil where none has.
// There are addressShare of them at most.
func (w *works) largestLocked() (largest *addressOf) {
	for of := range w.large {
		if largest == nil || of.works > largest.works {
			largest = of
		}
	}
	return largest
}

// giveUpLocked takes the place of the last that wants to compute, if any does.
func (a *addressOf) giveUpLocked() bool {
	last := a.ready.Back()
	if last == nil {
		return false
	}
	last.Value.(*work).loseLocked()
	return true
}

func evictFront(works *list.List) bool {
	longest := works.Front()
	if longest == nil {
		return false
	}
	longest.Value.(*work).loseLocked()
	return true
}

func (o *work) loseLocked() {
	o.lost = true
	o.removeLocked()
	close(o.gone)
	_ = o.conn.Close() // who reads from it is told
}

// removeLocked gives its place back.
func (o *work) removeLocked() {
	if _, there := o.works.open[o]; !there {
		return
	}
	o.leaveLocked()
	delete(o.works.open, o)
	if o.address.works--; o.address.works < o.works.share() {
		delete(o.works.large, o.address)
	}
	if o.address.works == 0 {
		delete(o.works.addresses, o.address.name)
	}
}

func (o *work) waitLocked() {
	o.place, o.own, o.ready = o.works.waiting.PushBack(o), o.address.waiting.PushBack(o), false
}

// leaveLocked takes it out of the list that it is in.
func (o *work) leaveLocked() {
	switch {
	case o.own == nil:
		return
	case o.ready:
		o.address.ready.Remove(o.own)
		if o.address.ready.Len() == 0 {
			o.works.turns.Remove(o.address.turn)
			o.address.turn = nil
		}
	default:
		o.works.waiting.Remove(o.place)
		o.address.waiting.Remove(o.own)
	}
	o.place, o.own, o.ready = nil, nil, false
}

// pause is called before the client is waited for.
func (o *work) pause() {
	o.works.mu.Lock()
	defer o.works.mu.Unlock()
	o.restLocked()
	if o.own == nil && !o.lost {
		o.waitLocked()
	}
}

// restLocked ends its turn to compute, and gives it to the next one.
func (o *work) restLocked() {
	if !o.computes {
		return
	}
	o.computes = false
	turn := o.works.turns.Front()
	if turn == nil {
		o.works.idle++
		return
	}
	of := turn.Value.(*addressOf)
	o.works.turns.MoveToBack(turn)
	next := of.ready.Front().Value.(*work)
	next.leaveLocked()
	next.computes = true
	next.turn <- struct{}{} // has room: it is sent to once
}

// resume is called when the client has sent something. It waits for its turn to compute, and
// returns false where the place is lost.
func (o *work) resume() bool {
	o.works.mu.Lock()
	o.leaveLocked()
	switch {
	case o.lost:
	case o.works.idle > 0:
		o.works.idle--
		o.computes = true
	default:
		o.own, o.ready = o.address.ready.PushBack(o), true
		if o.address.turn == nil {
			o.address.turn = o.works.turns.PushBack(o.address)
		}
	}
	lost, computes := o.lost, o.computes
	o.works.mu.Unlock()
	if lost || computes {
		return computes
	}
	select {
	case <-o.turn:
		return true
	case <-o.gone:
		return false // a turn that came at the same moment is given back at the end
	}
}

// end gives the place back, and reports whether it was lost before.
func (w *works) end(one *work) (lost bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	one.restLocked()
	one.removeLocked()
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
