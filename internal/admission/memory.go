// Package admission decides what is let in: how much memory bodies may hold, and how many
// connections there may be, of whom, and which of them go first when others wait.
//
// It promises that what is counted is what is held, that one large body alone gets through, that
// large ones leave room for small ones, and that a pending connection is not kept waiting for the
// sake of a connection that rests. It knows neither HTTP nor events: the event loop and net/http
// ask it alike.
package admission

import "sync/atomic"

const (
	// SmallBody is the size up to which a body may use the memory that is kept for small ones.
	SmallBody = 64 << 10
	// smallShare is the part of the memory that is kept for them: an eighth.
	smallShare = 8
)

// Memory bounds what requests hold that are not complete. It may be used concurrently.
type Memory struct {
	limit int64
	held  atomic.Int64
}

// NewMemory returns the memory of so many bytes.
func NewMemory(limit int64) *Memory { return &Memory{limit: limit} }

// Limit is how many bytes there are.
func (m *Memory) Limit() int64 { return m.limit }

// Grow takes the memory for a request to grow from one size to another, if it is there. A request
// that is alone gets what it needs: it is to get through some time, and not never.
func (m *Memory) Grow(from, to int64) bool {
	limit := m.limit
	if to > SmallBody {
		limit -= m.limit / smallShare
	}
	if held := m.held.Add(to - from); held <= limit || held == to {
		return true
	}
	m.held.Add(from - to)
	return false
}

// Shrink gives memory back.
func (m *Memory) Shrink(bytes int64) { m.held.Add(-bytes) }

// Held is how much is held.
func (m *Memory) Held() int64 { return m.held.Load() }
