package node

import (
	"context"
	"fmt"
	"slices"

	"pillarbox"
	"pillarbox/internal/backfill"
	"pillarbox/internal/background"
	"pillarbox/internal/deliver"
	"pillarbox/internal/destination"
	"pillarbox/internal/telemetry"
)

// MaxBacklog is how many events may wait for a destination before replays and back-fills to it let them
// go first: those that are accepted for it, and were not tried yet.
const MaxBacklog = 10_000

func (n *Node) jobOptions() background.Options {
	opts := background.Options{Keeper: n.opts.Engines.Jobs, Claims: &n.claims, Logger: n.logger}
	if n.opts.ReadOnly {
		opts.Keeper = nil
	}
	return opts
}

// prepareBackfills makes the list of back-fills, which a new destination may be the first to be on.
func (n *Node) prepareBackfills() {
	n.filling = backfill.NewJobs(backfill.New(backfill.Options{Queue: n.queue, Takes: n.takes, Lag: n.lag,
		Delivers: n.delivers, Now: n.clock.Now}), n.jobOptions())
}

func (n *Node) takes(name string, event *pillarbox.Event) bool {
	d := n.table().Get(name)
	return d != nil && d.Fills(event)
}

// delivers reports whether this node delivers, or only looks and acts.
func (n *Node) delivers() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.deliveries != nil
}

// liveLag says why live delivery to a destination is to go first.
func (n *Node) liveLag(name string) string {
	if !n.delivers() {
		return ""
	}
	account, err := n.queue.Account(name)
	if err != nil {
		return ""
	}
	others := account.Retrying + account.Held + account.Backfill
	if live := account.Pending - min(account.Pending, others); live > MaxBacklog {
		return fmt.Sprintf("%d events of live traffic are to be delivered first", live)
	}
	return ""
}

// lag says why a destination is given nothing beside live traffic.
func (n *Node) lag(name string) string {
	wired := n.wired.Load()
	loop := wired.loops[name]
	if wired.table.Get(name) == nil || loop == nil {
		return "the destination is not configured"
	}
	switch status := loop.Status(); status.State {
	case deliver.StatePaused:
		return fmt.Sprintf("the destination is paused since %s", status.Pause.At)
	case deliver.StateDown:
		return fmt.Sprintf("the destination is down since %s", pillarbox.TimestampOf(status.DownSince))
	}
	return n.liveLag(name)
}

// fillNew keeps a back-fill for a destination that the queue does not know yet and that is to get what
// was accepted before it. It comes before the queue learns of the destination, so that no crash parts
// the two.
func (n *Node) fillNew(d *destination.Destination) error {
	known := n.queue.Stats().Destinations
	if !d.From.Before || n.opts.ReadOnly || len(known) == 0 || slices.Contains(known, d.Name) {
		return nil // the first destinations of a queue get everything
	}
	for _, other := range n.filling.List() {
		if other.Destination == d.Name && other.Running() {
			return nil
		}
	}
	// It takes what is accepted until the queue knows the destination, whenever that is: what comes later
	// is not skipped.
	progress, err := n.filling.Enqueue(backfill.Request{Destination: d.Name, Since: d.From.Since, Until: endOfTime})
	if err != nil {
		return fmt.Errorf("back-fill the new destination %s: %w", d.Name, err)
	}
	n.logger.Info("a new destination gets what the queue still has of the time before it", telemetry.KeyDestination, d.Name,
		telemetry.KeyJob, backfill.Kind+" "+progress.ID)
	return nil
}

// endOfTime is the last timestamp that has a text: RFC 3339 has four digits for a year.
const endOfTime = pillarbox.Timestamp(253_402_300_799_999_999)

// resumeJobs goes on with what an earlier life has not ended.
func (n *Node) resumeJobs(ctx context.Context) error {
	n.jobs.Resume(ctx)
	n.filling.Resume(ctx)
	return nil
}

// StartBackfill implements adminapi.Backfills.
func (n *Node) StartBackfill(ctx context.Context, request backfill.Request) (backfill.Progress, error) {
	if n.sink(request.Destination) == nil {
		return backfill.Progress{}, n.noDestination(request.Destination)
	}
	if !n.queue.Traits().Obliges {
		return backfill.Progress{}, pillarbox.Invalid("the queue keeps nothing of what is delivered, so that there is nothing to back-fill from it")
	}
	return n.filling.Start(ctx, request)
}

// Backfills implements adminapi.Backfills.
func (n *Node) Backfills() []backfill.Progress { return n.filling.List() }

// Backfill implements adminapi.Backfills.
func (n *Node) Backfill(id string) (backfill.Progress, error) { return n.filling.Get(id) }

// CancelBackfill implements adminapi.Backfills.
func (n *Node) CancelBackfill(ctx context.Context, id string) (backfill.Progress, error) {
	return n.filling.Cancel(ctx, id)
}
