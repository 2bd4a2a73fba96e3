package admission

import (
	"container/list"
	"io"
	"sync"
	"time"
)

// LeastIdle is how long a connection has rested at least before it is closed for a pending
// connection: its client may just be about to use it again.
const LeastIdle = time.Second

// Reason says why a connection was closed.
type Reason string

// The reasons.
const (
	ForRoom       Reason = "room"    // it rested for the longest time, and a pending connection waited
	OverItsBudget Reason = "address" // its address has as many as it may
)

// Addresses counts the connections of each address. It may be used concurrently.
type Addresses struct {
	max int

	mu   sync.Mutex
	open map[string]int
}

// NewAddresses allows so many connections of one address; 0 is no limit.
func NewAddresses(limit int) *Addresses { return &Addresses{max: limit, open: map[string]int{}} }

// Enter counts a connection, if its address may have one more.
func (a *Addresses) Enter(address string) bool {
	if a.max <= 0 {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open[address] >= a.max {
		return false
	}
	a.open[address]++
	return true
}

// Leave counts it as gone.
func (a *Addresses) Leave(address string) {
	if a.max <= 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open[address]--; a.open[address] == 0 {
		delete(a.open, address)
	}
}

// Idle holds the connections that rest between two requests, the longest first. It may be used
// concurrently.
type Idle struct {
	mu    sync.Mutex
	seats list.List // of *Seat
}

// Seat is the place of one connection in it.
type Seat struct {
	idle  *Idle
	conn  io.Closer
	place *list.Element // nil while it does not rest; guarded by idle.mu, as since and left are
	since time.Time
	left  bool
}

// Seat makes the place of a connection that does not rest.
func (i *Idle) Seat(conn io.Closer) *Seat { return &Seat{idle: i, conn: conn} }

// SetIdle says whether the connection rests. After Leave it says nothing.
func (s *Seat) SetIdle(idle bool) {
	s.idle.mu.Lock()
	defer s.idle.mu.Unlock()
	switch {
	case idle && s.place == nil && !s.left:
		s.since, s.place = time.Now(), s.idle.seats.PushBack(s)
	case !idle && s.place != nil:
		s.idle.seats.Remove(s.place)
		s.place = nil
	}
}

// Leave is for a connection that is closed. Its reader may not know yet, and take it for one that
// rests.
func (s *Seat) Leave() {
	s.idle.mu.Lock()
	defer s.idle.mu.Unlock()
	s.left = true
	if s.place != nil {
		s.idle.seats.Remove(s.place)
		s.place = nil
	}
}

// Longest is since when the one that has rested for the longest time does; false where none rests.
func (i *Idle) Longest() (since time.Time, ok bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if first := i.seats.Front(); first != nil {
		return first.Value.(*Seat).since, true
	}
	return time.Time{}, false
}

// Evict closes the one that has rested for the longest time, if that is LeastIdle. What has come of
// its next request, and was not read yet, is lost with it, as with every connection that is closed
// for resting.
func (i *Idle) Evict(now time.Time) bool {
	i.mu.Lock()
	first := i.seats.Front()
	if first == nil || now.Sub(first.Value.(*Seat).since) < LeastIdle {
		i.mu.Unlock()
		return false
	}
	seat := i.seats.Remove(first).(*Seat)
	seat.place = nil
	i.mu.Unlock()
	_ = seat.conn.Close() // who reads from it is told
	return true
}

// Seldom lets something be said once a minute.
type Seldom struct {
	mu   sync.Mutex
	last time.Time
}

// Now reports whether it is time again.
func (s *Seldom) Now(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.last.IsZero() && now.Sub(s.last) < time.Minute {
		return false
	}
	s.last = now
	return true
}
