package node

import (
	"context"
	"fmt"
	"slices"

	"pillarbox"
	"pillarbox/internal/backfill"
	"pillarbox/internal/background"
	"pillarbox/internal/deliver"
	"pillarbox/internal/replay"
	"pillarbox/internal/vfs"
)

// deliverBy is how jobs of a kind reach a destination.
func (n *Node) deliverBy(kind string) func(ctx context.Context, name string, events []*pillarbox.Event) ([]error, error) {
	return func(ctx context.Context, name string, events []*pillarbox.Event) ([]error, error) {
		errs, down := n.deliverOnce(ctx, kind, name, events)
		stored, refused := 0, 0
		for _, err := range errs {
			switch {
			case err == nil:
				stored++
			case down == nil:
				refused++
			}
		}
		n.opts.Metrics.JobEvents(kind, name, "stored", stored)
		n.opts.Metrics.JobEvents(kind, name, "refused", refused)
		return errs, down
	}
}

func (n *Node) deliverOnce(ctx context.Context, kind, name string,
	events []*pillarbox.Event) ([]error, error) {
	to, sink := n.table().Get(name), n.sink(name)
	if to == nil {
		err := fmt.Errorf("destination %s is not configured: %w", name, pillarbox.ErrUnavailable)
		return slices.Repeat([]error{err}, len(events)), err
	}
	if n.queue.Pause(name).IsPaused() { // since the job began
		err := fmt.Errorf("destination %s is paused: %w", name, pillarbox.ErrUnavailable)
		return slices.Repeat([]error{err}, len(events)), err
	}
	return deliver.Once(ctx, sink, events, deliver.Moment{Now: n.clock.Now(), Traces: n.opts.Traces, Verb: kind}, to)
}

// filled is the queue as back-fills see it: what they take from it is counted.
type filled struct {
	pillarbox.Queue
	node *Node
}

// Unskip implements pillarbox.Obligations.
func (f filled) Unskip(ctx context.Context, destination string, deliveries []*pillarbox.Delivery) (int, error) {
	taken, err := f.Queue.Unskip(ctx, destination, deliveries)
	f.node.opts.Metrics.JobEvents(backfill.Kind, destination, "taken", taken)
	return taken, err
}

// runningJobs counts jobs that have not ended, by kind.
func (n *Node) runningJobs() map[string]int {
	return map[string]int{replay.Kind: running(n.jobs.List()), backfill.Kind: running(n.filling.List()),
		"purge": running(n.purges.List())}
}

func running[P background.Job](jobs []P) (n int) {
	for _, job := range jobs {
		if job.Running() {
			n++
		}
	}
	return n
}

// diskFree is how many bytes are left on the disk of the data directory, or were when it answered last;
// negative where nobody knows.
func (n *Node) diskFree() int64 {
	if n.opts.Disk == nil {
		return -1
	}
	usage, err := answerOf(&n.answers, "the space of the disk", func() (vfs.Usage, error) { return n.opts.Disk.Usage() })
	if err != nil {
		return -1
	}
	return usage.Free
}
