package node

import (
	"context"
	"fmt"

	"pillarbox"
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
	var loops []run.Service
	for name, loop := range n.loops {
		loops = append(loops, run.Service{Name: "deliver to " + name, Run: loop.Run,
			Drain: drainOf(loop)})
	}
	group.Add(run.Service{Name: "review", Run: n.review})
	group.Add(loops...)
}

func drainOf(loop *deliver.Loop) func(context.Context) error {
	return func(context.Context) error { loop.Drain(); return nil }
}

// Reload puts other settings in force: sources from the next request on, destinations from the next
// batch on. The names and rules of destinations are not to change. After an error nothing has
// changed. Errors: ErrInvalid.
func (n *Node) Reload(settings Settings) error {
	n.reloading.Lock()
	defer n.reloading.Unlock()
	sources, destinations, err := n.compile(settings)
	if err != nil {
		return err
	}
	before := n.table()
	if len(before.All()) != len(destinations.All()) {
		return pillarbox.Invalid("destinations can't be added or removed while it runs")
	}
	for _, d := range destinations.All() {
		was := before.Get(d.Name)
		if was == nil || !sameRule(was.Rule, d.Rule) {
			return pillarbox.Invalid("what the destination %s takes can't be changed while it runs", d.Name)
		}
	}
	n.sources.Replace(sources)
	n.destinations.Store(destinations)
	n.watch.SetDestinations(destinations)
	for _, d := range destinations.All() {
		n.loops[d.Name].SetDestination(d)
	}
	n.queue.SetMaxBytes(settings.MaxQueueBytes)
	n.queue.SetKeepBytes(settings.KeepQueueBytes)
	return nil
}

func sameRule(a, b *pillarbox.Rule) bool {
	return (a == nil) == (b == nil) && (a == nil || a.Equal(b))
}
