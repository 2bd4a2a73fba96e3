package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// driveGoroutines runs a share of the connections with a goroutine each.
func driveGoroutines(ctx context.Context, o Options) (*Result, error) {
	clients, err := dialClients(ctx, o)
	if err != nil {
		return nil, err
	}
	plan := &plan{Options: o, start: time.Now()}
	if o.Rate > 0 {
		plan.interval = time.Duration(float64(time.Second) / o.Rate)
	}
	var working sync.WaitGroup
	for _, c := range clients {
		c.plan = plan
		working.Go(func() { c.run(ctx) })
	}
	working.Wait()
	total := newResult(o.Duration)
	for _, c := range clients {
		total.add(c.result)
	}
	if o.Rate > 0 && ctx.Err() == nil {
		total.Unsent = uint64(max(plan.planned()-plan.next.Load(), 0))
	}
	return total, nil
}

func dialClients(ctx context.Context, o Options) ([]*client, error) {
	var clients []*client
	for range o.Connections {
		c := &client{result: newResult(o.Duration), buffer: make([]byte, 16<<10)}
		if err := c.dial(ctx, o); err != nil {
			for _, other := range clients {
				_ = other.conn.Close() // the error of the dial tells more
			}
			return nil, err
		}
		clients = append(clients, c)
	}
	return clients, nil
}

// plan says which request is due when. Its times count from the start of the run.
type plan struct {
	Options
	start    time.Time
	interval time.Duration // of an open loop
	next     atomic.Int64  // request of an open loop
	errors   atomic.Int64
}

func (p *plan) now() time.Duration { return time.Since(p.start) }

func (p *plan) planned() int64 { return int64((p.Duration + p.interval - 1) / p.interval) }

// client is one connection.
type client struct {
	plan    *plan
	conn    net.Conn
	result  *Result
	buffer  []byte
	own     []byte // the request under way
	reader  reader
	freedAt time.Duration
}

func (c *client) dial(ctx context.Context, o Options) (err error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	if c.conn, err = dialer.DialContext(ctx, "tcp", o.Address); err != nil || o.TLS == nil {
		return err
	}
	secure := tls.Client(c.conn, o.TLS)
	c.conn = secure
	return secure.HandshakeContext(ctx)
}

func (c *client) run(ctx context.Context) {
	// An answer that does not come must not keep the run.
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Now()) })
	defer stop()
	defer func() { _ = c.conn.Close() }()
	for ctx.Err() == nil {
		due, ok := c.due(ctx)
		if !ok {
			return
		}
		if err := c.exchange(due); err != nil && !c.broken(ctx, err) {
			return
		}
	}
}

// due waits for the next request's time, or reports that there is no next one.
func (c *client) due(ctx context.Context) (due time.Duration, ok bool) {
	if c.plan.Rate == 0 {
		now := c.plan.now()
		return now, now < c.plan.Duration
	}
	i := c.plan.next.Add(1) - 1
	if i >= c.plan.planned() || c.plan.now() > c.plan.Duration+c.plan.Grace {
		c.plan.next.Add(-1)
		return 0, false
	}
	due = time.Duration(i) * c.plan.interval
	timer := time.NewTimer(due - c.plan.now())
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return 0, false
	case <-timer.C:
	}
	c.result.Lag.Record(c.plan.now() - max(due, c.freedAt))
	return due, true
}

// exchange sends the request and reads the answer.
func (c *client) exchange(due time.Duration) error {
	deadline := c.plan.start.Add(c.plan.Duration + c.plan.Grace)
	if err := c.conn.SetDeadline(deadline); err != nil {
		return err
	}
	c.own = c.plan.serial(c.own)
	if _, err := c.conn.Write(c.own); err != nil {
		return err
	}
	for {
		n, err := c.conn.Read(c.buffer)
		if err != nil {
			return err
		}
		complete, err := c.reader.feed(c.buffer[:n])
		if err != nil {
			return fmt.Errorf("%w: %.100q", err, c.buffer[:n])
		}
		if complete {
			break
		}
	}
	c.freedAt = c.plan.now()
	c.result.Answers++
	c.result.Statuses[c.reader.status/100]++
	c.result.Latency.Record(c.freedAt - due)
	if c.freedAt >= c.plan.Duration {
		c.result.Late++
	}
	if c.reader.last {
		return errLast
	}
	return nil
}

// errLast is no failure: the server wants a new connection.
var errLast = errors.New("the last answer of this connection")

// broken opens the connection anew. It reports whether the run goes on.
func (c *client) broken(ctx context.Context, err error) bool {
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		c.result.Unanswered++
		return false
	case errors.Is(err, errLast):
	case c.plan.errors.Add(1) >= int64(c.plan.MaxErrors):
		c.result.fail(err, c.plan.MaxErrors)
		return false
	default:
		c.result.fail(err, c.plan.MaxErrors)
	}
	_ = c.conn.Close() // it is broken
	c.reader = reader{head: c.reader.head[:0]}
	if err := c.dial(ctx, c.plan.Options); err != nil {
		c.result.fail(err, c.plan.MaxErrors)
		return false
	}
	c.freedAt = c.plan.now()
	return true
}
