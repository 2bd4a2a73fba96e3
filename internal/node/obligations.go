package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"pillarbox"
	"pillarbox/internal/deliver"
	"pillarbox/internal/destination"
	"pillarbox/internal/held"
	"pillarbox/internal/telemetry"
)

// meetEngines looks whether the engines can serve and whether the stores are those that they were,
// and tells the queue of the destinations.
func (n *Node) meetEngines(ctx context.Context) error {
	if err := n.check(ctx, n.queue); err != nil {
		return err
	}
	if n.opts.Keys != nil {
		if err := n.check(ctx, n.opts.Keys); err != nil {
			return err
		}
	}
	n.prepareBackfills()
	for _, d := range n.table().All() {
		if err := n.fillNew(d); err != nil {
			return err
		}
	}
	for _, d := range n.table().All() {
		sink := n.sink(d.Name)
		if err := n.check(ctx, sink.Sink); err != nil {
			return err
		}
		if err := n.meetStore(ctx, d.Name, sink); err != nil {
			return err
		}
		// The destination exists for the queue from here on: it gets everything that is accepted later.
		if _, err := n.account(d.Name); err != nil {
			return err
		}
	}
	return n.oblige(ctx)
}

// checkTime bounds the look at what an engine works with.
const checkTime = 10 * time.Second

// check asks an engine whether it can serve. One that can't be reached now may be reached later:
// that is an outage, and no reason not to start.
func (n *Node) check(ctx context.Context, engine interface{ Check(context.Context) error }) error {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	err := engine.Check(ctx)
	if errors.Is(err, pillarbox.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		n.logger.Warn("an engine can't be reached", telemetry.KeyErr, err)
		return nil
	}
	return err
}

// meetStore sees whether a destination's store is the one that it was.
func (n *Node) meetStore(ctx context.Context, name string, sink *deliver.Guard) error {
	if n.opts.ReadOnly {
		return nil
	}
	record, changed, err := deliver.MeetStore(ctx, n.queue, name, sink,
		pillarbox.TimestampOf(n.clock.Now()))
	if changed {
		deliver.LogStoreChanged(n.logger, name, record)
	}
	return err
}

// oblige tells the queue what each destination is meant to get from now on: what its rule says, and
// nothing where it is not configured any more.
func (n *Node) oblige(ctx context.Context) error {
	if n.opts.ReadOnly || !n.queue.Traits().Obliges {
		return nil
	}
	for _, d := range n.all() {
		if d.Rule == nil {
			continue
		}
		if err := n.queue.Oblige(ctx, d.Name, *d.Rule); err != nil {
			return err
		}
	}
	return nil
}

// all lists the destinations, those that only the queue knows included.
func (n *Node) all() []*destination.Destination {
	all := slices.Clone(n.table().All())
	for _, name := range n.unconfigured() {
		all = append(all, n.table().Unconfigured(name))
	}
	return all
}

// review looks at what is pending and no destination takes any more because the configuration has
// changed, and says so. After a reload it runs again: one after the other, so that the last one has
// the last word.
func (n *Node) review(ctx context.Context) error {
	if !n.queue.Traits().Obliges {
		return nil
	}
	n.reviewAll(ctx)
	n.sayHeld(ctx)
	return nil
}

func (n *Node) reviewAll(ctx context.Context) {
	n.reviewing.Lock()
	defer n.reviewing.Unlock()
	for _, d := range n.all() {
		if err := n.queue.Review(ctx, d.Name, n.holds(d.Name)); err != nil && ctx.Err() == nil {
			n.logger.Warn("what is pending could not be reviewed; it is looked at when it is delivered",
				telemetry.KeyDestination, d.Name, telemetry.KeyErr, err)
		}
	}
}

// holds judges by the rules that are in force when it is asked: a review may begin before a reload,
// and meet what was accepted after it.
func (n *Node) holds(name string) func(*pillarbox.Delivery) bool {
	return func(delivery *pillarbox.Delivery) bool {
		d := n.table().Get(name)
		if d == nil {
			d = n.table().Unconfigured(name)
		}
		return d.Holds(delivery)
	}
}

// sayHeld logs once what is held, when the count stands still: the deliveries hold events as well.
func (n *Node) sayHeld(ctx context.Context) {
	const interval, rounds = 500 * time.Millisecond, 20
	total, of := n.heldNow()
	for range rounds {
		select {
		case <-ctx.Done():
			return
		case <-time.After(interval):
		}
		before := total
		if total, of = n.heldNow(); total == before {
			break
		}
	}
	if total > 0 {
		n.logger.Warn("events are held: they are pending, and no destination takes them any more; \"pillarbox held list\" shows them, and held route, dead-letter or forget decides about them",
			telemetry.KeyEvents, total, telemetry.KeyDestination, strings.Join(of, ", "))
	}
}

// heldNow counts what is held, altogether and by destination.
func (n *Node) heldNow() (total uint64, of []string) {
	for _, d := range n.all() {
		if account, err := n.queue.Account(d.Name); err == nil && account.Held > 0 {
			total, of = total+account.Held, append(of, fmt.Sprintf("%s %d", d.Name, account.Held))
		}
	}
	return total, of
}

// WouldHold returns what is pending and would be held by other settings, because no destination
// that was meant to get it would take it. What waits is not asked whether it passes a filter: with
// another filter than it was accepted by, all of it counts. Errors: ErrInvalid.
func WouldHold(settings Settings, pending []held.Pending) ([]held.Pending, error) {
	table, err := destination.Compile(settings.Destinations, nil, compileFilter)
	if err != nil {
		return nil, err
	}
	var would []held.Pending
	for _, p := range pending {
		event := &pillarbox.Event{Source: p.Source}
		takes := func(name string) bool {
			d := table.Get(name)
			return d != nil && d.Rule.Takes(event) && (d.Rule.Where == "" || d.Rule.Where == p.Where[name])
		}
		// What a destination that is gone was meant to get is held, although another one has it too.
		gone := table.Get(p.Destination) == nil
		if gone || !takes(p.Destination) && !slices.ContainsFunc(p.Also, takes) {
			would = append(would, p)
		}
	}
	return would, nil
}
