package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"pillarbox"
	"pillarbox/internal/destination"
	"pillarbox/internal/run"
	"pillarbox/internal/source"
	"pillarbox/internal/telemetry"
)

// Reload puts other settings in force: sources from the next request on, destinations from the next
// batch on. Destinations may be added, and one may take more sources than before; sinks has those
// of the added ones, and the node closes them from then on. A destination gets what is accepted
// after the reload. After an error nothing has changed, and the sinks are the caller's.
//
// Nothing else about destinations may change: what is accepted while a source goes over from one
// destination to another could be for neither.
//
// Errors: ErrInvalid, and those of the engines.
func (n *Node) Reload(ctx context.Context, settings Settings, sinks map[string]pillarbox.Sink) error {
	n.reloading.Lock()
	defer n.reloading.Unlock()
	sources, table, err := n.compile(settings)
	if err != nil {
		return err
	}
	r := &reload{Node: n, before: n.wired.Load(), after: &wiring{table: table}}
	if err := r.plan(sinks); err != nil {
		return err
	}
	if err := r.meet(ctx); err != nil {
		return errors.Join(err, r.undo(context.WithoutCancel(ctx)))
	}
	n.mu.Lock()
	for _, name := range r.added {
		n.added = append(n.added, sinks[name])
	}
	n.mu.Unlock()
	r.put(ctx, sources, settings)
	return nil
}

// reload is one of them.
type reload struct {
	*Node
	before, after *wiring
	added, grown  []string // names of destinations
	told          []string // that the queue was told of, so far
}

// plan finds out what changes, and refuses what must not.
func (r *reload) plan(sinks map[string]pillarbox.Sink) error {
	for _, was := range r.before.table.All() {
		if r.after.table.Get(was.Name) == nil {
			return pillarbox.Invalid("the destination %s can't be removed while it runs", was.Name)
		}
	}
	r.after.sinks, r.after.loops = maps.Clone(r.before.sinks), maps.Clone(r.before.loops)
	for _, d := range r.after.table.All() {
		was := r.before.table.Get(d.Name)
		switch {
		case was == nil:
			sink, err := r.guard(d.Name, sinks)
			if err != nil {
				return err
			}
			r.added, r.after.sinks[d.Name] = append(r.added, d.Name), sink
		case sameRule(was.Rule, d.Rule):
		case was.Rule == nil || d.Rule == nil || !d.Rule.Covers(was.Rule):
			return pillarbox.Invalid("the destination %s can't take less while it runs", d.Name)
		default:
			r.grown = append(r.grown, d.Name)
		}
	}
	return nil
}

// meet does all that can fail: it looks at the new sinks, and tells the queue what each destination
// is meant to get from now on. Until the loops know, what one of them is meant to get and does not
// take yet is another one's: every source that there is has one.
func (r *reload) meet(ctx context.Context) error {
	for _, name := range r.added {
		if err := r.check(ctx, r.after.sinks[name].Sink); err != nil {
			return err
		}
	}
	for _, name := range r.added {
		if err := r.fillNew(r.after.table.Get(name)); err != nil {
			return err
		}
		r.told = append(r.told, name)
		if err := r.meetStore(ctx, name, r.after.sinks[name]); err != nil {
			return err
		}
	}
	for _, name := range slices.Concat(r.added, r.grown) {
		if err := r.tell(ctx, r.after.table.Get(name)); err != nil {
			return err
		}
	}
	return nil
}

// tell makes the destination known to the queue, with its rule where the queue keeps rules.
func (r *reload) tell(ctx context.Context, d *destination.Destination) error {
	if !r.queue.Traits().Obliges || d.Rule == nil {
		_, err := r.account(d.Name)
		return err
	}
	if !slices.Contains(r.told, d.Name) {
		r.told = append(r.told, d.Name)
	}
	return r.queue.Oblige(ctx, d.Name, *d.Rule)
}

// undo tells the queue that destinations are to get what they got before, and nothing where they
// are new: the queue knows them now, and somebody has to pass over what is accepted.
func (r *reload) undo(ctx context.Context) error {
	var errs []error
	for _, name := range r.told {
		if !slices.Contains(r.queue.Stats().Destinations, name) {
			continue
		}
		was := r.before.table.Get(name)
		if was == nil {
			was = r.after.table.Unconfigured(name)
		}
		if r.queue.Traits().Obliges && was.Rule != nil {
			errs = append(errs, r.queue.Oblige(ctx, name, *was.Rule))
		}
		r.follow(ctx, was)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("not all of it could be taken back; restart the server when the cause is gone: %w", err)
	}
	return nil
}

// follow begins a loop for a destination that the queue has come to know and that is not
// configured.
func (r *reload) follow(ctx context.Context, d *destination.Destination) {
	wired := *r.wired.Load()
	if wired.loops[d.Name] != nil {
		return
	}
	wired.loops = maps.Clone(wired.loops)
	wired.loops[d.Name] = r.newLoop(d, nil)
	r.wired.Store(&wired)
	r.launch(ctx, delivery(d.Name, wired.loops[d.Name]))
}

// put puts it in force. Sources come last: what a new one accepts has its destinations by then.
func (r *reload) put(ctx context.Context, sources *source.Table, settings Settings) {
	var launched []run.Service
	for _, d := range r.after.table.All() {
		loop, sink := r.after.loops[d.Name], r.after.sinks[d.Name]
		switch {
		case loop == nil:
			loop = r.newLoop(d, sink)
			r.after.loops[d.Name] = loop
			launched = append(launched, delivery(d.Name, loop))
		case slices.Contains(r.added, d.Name):
			loop.Configure(d, sink)
		default:
			loop.SetDestination(d)
		}
	}
	r.wired.Store(r.after)
	r.watch.SetDestinations(r.after.table)
	for _, service := range launched {
		r.launch(ctx, service)
	}
	r.sources.Replace(sources)
	if r.opts.Engines.Quarantine != nil {
		r.opts.Engines.Quarantine.SetLimits(settings.Quarantine)
	}
	r.queue.SetMaxBytes(settings.MaxQueueBytes)
	r.queue.SetKeepBytes(settings.KeepQueueBytes)
	r.setKeyLimits(&settings)
	if len(r.added)+len(r.grown) > 0 {
		r.logger.Info("destinations take more from now on", telemetry.KeyDestination,
			slices.Sorted(slices.Values(slices.Concat(r.added, r.grown))))
		r.launch(ctx, run.Service{Name: "review", Run: r.review})
		r.launch(ctx, run.Service{Name: "jobs", Run: r.resumeJobs})
	}
}

// launch runs a service beside the deliveries. Where this node does not deliver it does not, and
// where it stops the next life does.
func (r *reload) launch(ctx context.Context, service run.Service) {
	r.mu.Lock()
	stage := r.deliveries
	r.mu.Unlock()
	if stage == nil {
		return
	}
	if err := stage.Launch(ctx, service); err != nil {
		r.logger.Info("a reload comes too late for this life", telemetry.KeyErr, err)
	}
}

func sameRule(a, b *pillarbox.Rule) bool {
	return (a == nil) == (b == nil) && (a == nil || a.Equal(b))
}
