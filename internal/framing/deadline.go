package framing

import (
	"errors"
	"os"
	"time"
)

// deadline is that of the calls in one direction. net/http sets several for each request, and the
// connection below is told only of those that are earlier than what it has: each telling costs as
// much as a small read. A call that ends before its time goes on.
type deadline struct {
	set   func(time.Time) error // of the connection below
	exact bool                  // it is told of every one

	wanted  time.Time // by net/http; zero for none
	own     time.Time // ours, which counts where it is earlier
	applied time.Time // what the connection below has
	waits   bool      // a call is under way
}

func (d *deadline) due() time.Time {
	if d.wanted.IsZero() || !d.own.IsZero() && d.own.Before(d.wanted) {
		return d.own
	}
	return d.wanted
}

// want is for a deadline that net/http sets. A call that is under way has to end at it.
func (d *deadline) want(t time.Time) error {
	d.wanted = t
	if d.waits || d.exact {
		return d.tighten()
	}
	return nil
}

// begin begins a call. A connection that is gone says so in the call.
func (d *deadline) begin() {
	d.waits = true
	_ = d.tighten()
}

// tighten tells the connection of a deadline that is earlier than what it has.
func (d *deadline) tighten() error {
	due := d.due()
	if !d.exact && (due.IsZero() || !d.applied.IsZero() && !due.Before(d.applied)) || due.Equal(d.applied) {
		return nil
	}
	return d.apply(due)
}

func (d *deadline) apply(due time.Time) error {
	d.applied = due
	return d.set(due)
}

// goesOn ends a call, unless that has ended before its time and is to be made again.
func (d *deadline) goesOn(err error) bool {
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		due := d.due()
		early := !due.Equal(d.applied) && (due.IsZero() || time.Now().Before(due))
		if early && d.apply(due) == nil {
			return true
		}
	}
	d.waits = false
	return false
}

// readWithin reads from the network within the deadlines of this moment.
func (c *Conn) readWithin(p []byte) (int, error) {
	c.mu.Lock()
	c.read.begin()
	c.mu.Unlock()
	for {
		n, err := c.Conn.Read(p)
		c.mu.Lock()
		again := c.read.goesOn(err)
		c.mu.Unlock()
		if !again {
			return n, err
		}
	}
}

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.write.begin()
	c.mu.Unlock()
	written := 0
	for {
		n, err := c.Conn.Write(p[written:])
		written += n
		c.mu.Lock()
		again := c.write.goesOn(err)
		c.mu.Unlock()
		if !again {
			return written, err
		}
	}
}

// park is for the read by which net/http finds out that a client leaves while it is answered, where
// nobody wants to know: reading costs two calls to the system and a place among what the network is
// asked about. It waits for what ends that read, and reports whether that is its deadline.
func (c *Conn) park() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.parked = true
	for !c.closed && c.read.wanted.IsZero() {
		c.wakeup.Wait()
	}
	c.parked = false
	return !c.closed && !time.Now().Before(c.read.wanted)
}

// SetReadDeadline implements net.Conn. Ours stays, where it is earlier.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.parked {
		c.wakeup.Signal()
	}
	return c.read.want(t)
}

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.write.want(t)
}

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// Close implements net.Conn.
func (c *Conn) Close() error {
	c.mu.Lock()
	c.closed = true
	c.wakeup.Signal()
	c.mu.Unlock()
	return c.Conn.Close()
}
