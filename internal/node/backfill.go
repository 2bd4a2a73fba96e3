package node

import (
	"context"
	"errors"
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
	n.filling = backfill.NewJobs(backfill.New(backfill.Options{Queue: filled{n.queue, n}, Takes: n.takes, Lag: n.lag,
		Delivers: n.delivers, Now: n.clock.Now, Store: n.readable, Deliver: n.deliverBy(backfill.Kind), Bury: n.bury, Dead: n.isDead}),
		n.jobOptions())
}

// readable is the store of a destination, nil where its events can't be read back.
func (n *Node) readable(name string) pillarbox.EventStore {
	if sink := n.sink(name); sink != nil && sink.Traits().Readable {
		return sink
	}
	return nil
}

// bury makes dead letters of what a copy was refused.
func (n *Node) bury(ctx context.Context, name string, refused []backfill.Refused) error {
	letters := make([]*pillarbox.DeadLetter, len(refused))
	for i, r := range refused {
		letters[i] = deliver.NewDeadLetter(name, &pillarbox.Delivery{Event: r.Event, Attempts: []pillarbox.Attempt{r.Attempt},
			Rejection: &pillarbox.Rejection{Reason: r.Attempt.Error, DeadAt: pillarbox.TimestampOf(n.clock.Now())}})
	}
	return n.letters.PutMany(ctx, letters)
}

// isDead reports whether there is a dead letter of an event, open or resolved.
func (n *Node) isDead(ctx context.Context, name, requestID string) (bool, error) {
	count, err := n.letters.Count(ctx, name)
	if err != nil || count == (pillarbox.DeadLetterCount{}) {
		return false, err
	}
	_, err = n.letters.Get(ctx, name, requestID)
	if errors.Is(err, pillarbox.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
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
	progress, err := n.filling.Enqueue(backfill.Request{Destination: d.Name, Since: d.From.Since, Until: endOfTime,
		FromStore: d.From.Store})
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
	if err := n.checkFromStore(&request); err != nil {
		return backfill.Progress{}, err
	}
	return n.filling.Start(ctx, request)
}

func (n *Node) checkFromStore(request *backfill.Request) error {
	switch from := request.FromStore; {
	case from == "":
		return nil
	case from == request.Destination:
		return pillarbox.Invalid("%s can't be back-filled from its own store; name another destination", from)
	case n.sink(from) == nil:
		return n.noDestination(from)
	case n.readable(from) == nil:
		return pillarbox.Invalid("the events of %s can't be read back; name a destination of sqlite, postgres, parquet or dynamodb", from)
	}
	return nil
}

// Backfills implements adminapi.Backfills.
func (n *Node) Backfills() []backfill.Progress { return n.filling.List() }

// Backfill implements adminapi.Backfills.
func (n *Node) Backfill(id string) (backfill.Progress, error) { return n.filling.Get(id) }

// CancelBackfill implements adminapi.Backfills.
func (n *Node) CancelBackfill(ctx context.Context, id string) (backfill.Progress, error) {
	return n.filling.Cancel(ctx, id)
}
