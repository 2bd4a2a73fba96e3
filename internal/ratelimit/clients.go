package ratelimit

import (
	"sync"
	"sync/atomic"
	"time"
)

// DefaultMaxClients is how many clients Clients remembers, by default. Each costs 16 bytes.
const DefaultMaxClients = 1 << 16

// ways is how many clients are in one set: a new one is looked for among so many, and takes the
// place of one of them.
const ways = 8

// Clients is a bucket for each client, of those that send at the time. All methods may be called
// concurrently.
//
// A bucket that is full needs no memory. Where there are more of the others than there is room for,
// a new client takes over the fullest bucket of its set, as it is (this is the rule of the
// Space-Saving algorithm, Metwally et al. 2005): nobody gets a full one by sending under many names,
// and who pushes whom out is not for clients to choose, because the hash that finds the set is not
// known to them.
type Clients struct {
	shape
	sets   []set
	shared atomic.Uint64
}

type set struct {
	mu      sync.Mutex
	clients [ways]client
}

type client struct {
	id     uint64
	fullAt int64
}

// NewClients remembers at least maxClients, or returns nil for no limit.
func NewClients(r Rate, maxClients int) *Clients {
	if r.PerSecond <= 0 {
		return nil
	}
	sets := 1
	for sets*ways < maxClients {
		sets *= 2
	}
	return &Clients{shape: newShape(r), sets: make([]set, sets)}
}

// find returns the bucket of a client. The set is locked.
func (s *set) find(id uint64, now int64, shared *atomic.Uint64) *client {
	fullest := &s.clients[0]
	for i := range s.clients {
		c := &s.clients[i]
		if c.id == id {
			return c
		}
		if c.fullAt < fullest.fullAt {
			fullest = c
		}
	}
	if fullest.fullAt > now {
		shared.Add(1)
	}
	fullest.id = id
	return fullest
}

func (c *Clients) lock(id uint64) *set {
	s := &c.sets[id&uint64(len(c.sets)-1)]
	s.mu.Lock()
	return s
}

// Take takes n events from the bucket of a client, as Bucket.Take does. The id is a hash of the
// client's name with a secret seed.
func (c *Clients) Take(id uint64, now time.Duration, n int) (wait time.Duration) {
	s := c.lock(id)
	defer s.mu.Unlock()
	found := s.find(id, int64(now), &c.shared)
	found.fullAt, wait = c.take(found.fullAt, int64(now), n)
	return wait
}

// Return gives n events back that were taken and not needed. Those of a client that is not
// remembered any more are lost to it.
func (c *Clients) Return(id uint64, n int) {
	s := c.lock(id)
	defer s.mu.Unlock()
	for i := range s.clients {
		if s.clients[i].id == id {
			s.clients[i].fullAt -= int64(min(n, c.most)) * c.each
			return
		}
	}
}

// Wait is how long n events of a client would have to wait now. Nothing is taken, and nobody is
// remembered for it.
func (c *Clients) Wait(id uint64, now time.Duration, n int) time.Duration {
	_, wait := c.take(c.peek(id), int64(now), n)
	return wait
}

// Level is how full the bucket of a client is.
func (c *Clients) Level(id uint64, now time.Duration) Level { return c.left(c.peek(id), int64(now)) }

// peek is when the bucket of a client will be full: that which it would take over, if it is new.
func (c *Clients) peek(id uint64) int64 {
	s := c.lock(id)
	defer s.mu.Unlock()
	fullest := s.clients[0].fullAt
	for i := range s.clients {
		if s.clients[i].id == id {
			return s.clients[i].fullAt
		}
		fullest = min(fullest, s.clients[i].fullAt)
	}
	return fullest
}

// Shared is how often a client took over a bucket that was not full: more clients send at the time
// than are remembered.
func (c *Clients) Shared() uint64 { return c.shared.Load() }
