package opening

import (
	"runtime"
	"testing"
)

// closing is a connection that notes that it was closed.
type closing struct{ closed bool }

func (c *closing) Close() error { c.closed = true; return nil }

// TestAFloodThatComputesMakesRoomItself: all of its works want to compute, so that those whose client
// is waited for are of others. They keep their places, and newcomers get one.
func TestAFloodThatComputesMakesRoomItself(t *testing.T) {
	const places, good = 64, 20
	var w works
	w.init(places, 1)
	begin := func(address string) (*work, *closing) {
		t.Helper()
		conn := &closing{}
		one, err := w.begin(conn, address)
		if err != nil {
			t.Fatalf("%s: %v", address, err)
		}
		return one, conn
	}
	flood := func() *closing {
		one, conn := begin("flood")
		done := make(chan struct{})
		go func() { // it waits for its turn, which never comes
			one.resume()
			close(done)
		}()
		t.Cleanup(func() { <-done })
		return conn
	}
	ready := func() int {
		w.mu.Lock()
		defer w.mu.Unlock()
		if of := w.addresses["flood"]; of != nil {
			return of.ready.Len()
		}
		return 0
	}
	first, _ := begin("first")
	if !first.resume() {
		t.Fatal("the only one may not compute")
	}
	var flooding []*closing
	for range places - 1 {
		flooding = append(flooding, flood())
	}
	for ready() < places-1 { // until all of them wait
		runtime.Gosched()
	}
	var waiting []*closing
	for i := range good {
		_, conn := begin(string(rune('a' + i)))
		waiting = append(waiting, conn)
	}
	for i, conn := range waiting {
		if conn.closed {
			t.Errorf("the place of good client %d was taken", i)
		}
	}
	gone := 0
	for _, conn := range flooding {
		if conn.closed {
			gone++
		}
	}
	if gone != good {
		t.Errorf("%d of the flood have gone, want %d", gone, good)
	}
	w.close()
	if len(w.open) > 0 || len(w.large) > 0 || len(w.addresses) > 0 {
		t.Errorf("something is left: %d, %d, %d", len(w.open), len(w.large), len(w.addresses))
	}
}
