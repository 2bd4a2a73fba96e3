package admission

import (
	"testing"
	"time"
)

type closer struct {
	seat   *Seat
	closed int
}

func (c *closer) Close() error {
	c.closed++
	c.seat.Leave()
	return nil
}

// TestAClosedConnectionIsNotClosedForRoom: its reader finds out late, and says that it rests.
func TestAClosedConnectionIsNotClosedForRoom(t *testing.T) {
	var idle Idle
	gone, resting := &closer{}, &closer{}
	gone.seat, resting.seat = idle.Seat(gone), idle.Seat(resting)
	gone.seat.SetIdle(true)
	later := time.Now().Add(2 * LeastIdle)
	if !idle.Evict(later) || gone.closed != 1 {
		t.Fatalf("it was closed %d times", gone.closed)
	}
	gone.seat.SetIdle(true)
	resting.seat.SetIdle(true)
	if !idle.Evict(later.Add(LeastIdle)) || gone.closed != 1 || resting.closed != 1 {
		t.Errorf("one was closed %d times, and the one that rests %d times", gone.closed, resting.closed)
	}
	if idle.Evict(later.Add(LeastIdle)) {
		t.Error("there is one more")
	}
}
