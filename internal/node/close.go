package node

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"pillarbox/internal/run"
)

// Close ends what Start began, and closes everything that is open, in the reverse order of opening,
// all of it even after an error. What hangs is left behind, after half of the time that is left of
// DrainTimeout, and named. The directory then stays locked until the process has ended: what hangs
// may still write to it. It is safe to call twice.
func (n *Node) Close() error {
	n.closing.Do(func() { n.closed = n.close() })
	return n.closed
}

func (n *Node) close() error {
	n.stop()
	if group := n.begun(); group != nil {
		<-group
	}
	c := closing{left: n.opts.DrainTimeout}
	if n.causes != nil {
		c.close("groups of dead letters", func() error { n.causes.Close(); return nil })
	}
	if n.purges != nil {
		c.close("purges", n.purges.Close)
	}
	if n.filling != nil {
		c.close("back-fills", n.filling.Close)
	}
	if n.jobs != nil {
		c.close("replays", n.jobs.Close)
	}
	if n.opts.Engines.Quarantine != nil {
		c.close("quarantine", n.opts.Engines.Quarantine.Close)
	}
	c.close("destinations", n.closeSinks)
	if n.queue != nil {
		c.close("queue", n.queue.Close)
	}
	if n.opts.Keys != nil {
		c.close("idempotency keys", n.opts.Keys.Close)
	}
	if n.opts.Trail != nil {
		c.close("trail", n.opts.Trail.Close)
	}
	if n.letters != nil {
		c.close("dead letters", n.letters.Close)
	}
	if n.clock != nil {
		c.close("clock", n.clock.Close)
	}
	if errors.Is(errors.Join(c.errs...), run.ErrLeftBehind) {
		return errors.Join(c.errs...)
	}
	if n.opts.Lock != nil {
		c.errs = append(c.errs, n.opts.Lock.Close())
	}
	if n.opts.Disk != nil {
		c.errs = append(c.errs, n.opts.Disk.Close())
	}
	return errors.Join(c.errs...)
}

func (n *Node) closeSinks() error {
	n.mu.Lock()
	sinks := slices.AppendSeq(slices.Clone(n.added), maps.Values(n.opts.Sinks))
	n.mu.Unlock()
	var errs []error
	for _, sink := range sinks {
		if sink != nil {
			errs = append(errs, sink.Close())
		}
	}
	return errors.Join(errs...)
}

// closing closes parts one after the other, in no more time than is left.
type closing struct {
	left time.Duration
	errs []error
}

func (c *closing) close(name string, part func() error) {
	began := time.Now()
	if err := run.Within(c.left/2, part); err != nil {
		c.errs = append(c.errs, fmt.Errorf("close %s: %w", name, err))
	}
	c.left -= min(c.left/2, time.Since(began))
}
