package main

import (
	"errors"
	"fmt"
	"time"

	"pillarbox/internal/run"
)

// Close closes everything that is open, in the reverse order of opening, all of it even after an error. What hangs is left
// behind, after half of the time that is left of shutdown.drain_timeout, and named. The directory then stays locked until the
// process has ended: what hangs may still write to it.
func (o *office) Close() error {
	c := closing{left: o.config.Shutdown.DrainTimeout.Std()}
	if o.jobs != nil {
		c.close("replays", o.jobs.Close)
	}
	if len(o.sinks) > 0 {
		c.close("destinations", o.closeSinks)
	}
	if o.queue != nil {
		c.close("queue", o.queue.Close)
	}
	if o.letters != nil {
		c.close("dead letters", o.letters.Close)
	}
	if o.clock != nil {
		c.close("clock", o.clock.Close)
	}
	if errors.Is(errors.Join(c.errs...), run.ErrLeftBehind) {
		return errors.Join(c.errs...)
	}
	if o.lock != nil {
		c.errs = append(c.errs, o.lock.Close())
	}
	if o.disk != nil {
		c.errs = append(c.errs, o.disk.Close())
	}
	return errors.Join(c.errs...)
}

func (o *office) closeSinks() error {
	var errs []error
	for _, sink := range o.sinks {
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
