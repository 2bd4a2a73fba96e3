package node

import (
	"context"
	"fmt"

	"pillarbox/internal/deliver"
	"pillarbox/internal/run"
)

// Start begins to deliver, without any listener, and returns at once. It is called once. Drain ends
// it when the batches at hand are settled; when ctx ends, writes are cut off, whose events come
// again. ended gets the error that delivering came to its end with, or nil.
func (n *Node) Start(ctx context.Context) (ended <-chan error) {
	group := run.New(run.Options{Log: n.logger, DrainTimeout: n.opts.DrainTimeout})
	n.addDeliveries(group)
	done, result := make(chan struct{}), make(chan error, 1)
	n.mu.Lock()
	n.group = done
	n.mu.Unlock()
	go func() {
		defer close(done)
		result <- group.Run(n.stopping, ctx)
	}()
	return result
}

func (n *Node) begun() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.group
}

// Drain ends what Start began, and returns when it has ended, or ctx has.
func (n *Node) Drain(ctx context.Context) error {
	n.watch.Hurry()
	n.stop()
	group := n.begun()
	if group == nil {
		return nil
	}
	select {
	case <-group:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("deliveries are not drained yet: %w", ctx.Err())
	}
}

// addDeliveries adds the loops, and the look at what they are to hold.
func (n *Node) addDeliveries(group *run.Group) {
	n.reloading.Lock()
	defer n.reloading.Unlock()
	var loops []run.Service
	for name, loop := range n.wired.Load().loops {
		loops = append(loops, delivery(name, loop))
	}
	group.Add(run.Service{Name: "review", Run: n.review}, run.Service{Name: "jobs", Run: n.resumeJobs})
	stage := group.Add(loops...)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.deliveries = stage
}

// delivery is the service that a loop is.
func delivery(name string, loop *deliver.Loop) run.Service {
	return run.Service{Name: "deliver to " + name, Run: loop.Run,
		Drain: func(context.Context) error { loop.Drain(); return nil }}
}
