// Package purge deletes old events of a destination for good, at a rate that leaves room for
// deliveries.
//
// It promises that nothing which was purged comes back by itself: an event that is stored and that
// the queue still has to settle, because a crash came in between, is left alone, and so is what is
// stored while the purge runs. An event that is pending and not stored is none of its business, and
// is stored when its time comes, however old it is. What was deleted the store remembers, so that
// the ledger can tell a purged event from a lost one.
//
// It knows no engine and no HTTP.
package purge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"pillarbox"
)

const (
	// MaxKept bounds how many events that are stored and not settled a purge remembers to leave alone.
	// There are more than a batch of them only where settling fails.
	MaxKept = 100_000
	// SharedMemory is how long a queue that is shared with others may hand out again what was stored:
	// SQS keeps a message for that long at most. What was stored since then is left alone, because
	// nobody can say what such a queue still has.
	SharedMemory = 14 * 24 * time.Hour

	lookups = 500 // keys that are asked of a store at once
)

// Request says what to purge and how carefully.
type Request struct {
	Destination string
	Source      string              // exact; empty for all
	Until       pillarbox.Timestamp // of the event; exclusive
	DryRun      bool                // count, and delete nothing
	Rate        float64             // events per second; 0 for no limit
}

// The states of a purge.
const (
	StateRunning   = "running"
	StateDone      = "done"
	StateStopped   = "stopped"   // by an error, which is the reason
	StateCancelled = "cancelled" // by a person or by the stop of the server
)

// Progress is how far a purge is.
type Progress struct {
	ID          string              `json:"id,omitempty"`
	State       string              `json:"state"`
	Destination string              `json:"destination"`
	Source      string              `json:"source,omitempty"`
	Until       pillarbox.Timestamp `json:"until"` // older events are purged
	DryRun      bool                `json:"dry_run"`
	Matched     uint64              `json:"matched"` // stored events that are old enough
	Purged      uint64              `json:"purged"`  // of these, what is deleted now
	Kept        uint64              `json:"kept"`    // of these, what is left alone, because the queue has not settled it yet
	Reason      string              `json:"reason,omitempty"`
	StartedAt   pillarbox.Timestamp `json:"started_at"`
	EndedAt     pillarbox.Timestamp `json:"ended_at,omitempty"`
}

// Options of a Purger. All are required but Now.
type Options struct {
	Queue pillarbox.Queue
	// Sink returns the store of a destination, or ErrNotFound.
	Sink func(destination string) (pillarbox.Sink, error)
	Now  func() time.Time // default time.Now
}

// Purger purges. It is safe for concurrent use.
type Purger struct{ opts Options }

// New makes a Purger.
func New(opts Options) *Purger {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Purger{opts: opts}
}

// check returns the store to purge. Errors: ErrNotFound, ErrInvalid.
func (p *Purger) check(request Request) (pillarbox.Sink, error) {
	sink, err := p.opts.Sink(request.Destination)
	switch {
	case err != nil:
		return nil, err
	case !sink.Traits().Purges:
		return nil, pillarbox.Invalid("the store of destination %s can't be purged by pillarbox; let it expire what is old by its own means, as the time to live (TTL) of a DynamoDB table", request.Destination)
	case request.Until == 0:
		return nil, pillarbox.Invalid("a purge needs an age; nothing is purged without")
	}
	return sink, nil
}

// Run purges and calls report with the progress after each step, and at the end with the final one,
// which it also returns. What was purged before an error stays purged, and is accounted for.
func (p *Purger) Run(ctx context.Context, request Request,
	report func(Progress)) (Progress, error) {
	sink, err := p.check(request)
	if err != nil {
		return Progress{}, err
	}
	run := &run{Purger: p, request: request, sink: sink, report: report, progress: p.first(request)}
	err = run.purge(ctx)
	switch {
	case err == nil:
		run.progress.State = StateDone
	case errors.Is(err, context.Canceled):
		run.progress.State = StateCancelled
	default:
		run.progress.State, run.progress.Reason = StateStopped, err.Error()
	}
	run.progress.EndedAt = pillarbox.TimestampOf(p.opts.Now())
	run.tell()
	return run.progress, err
}

func (p *Purger) first(request Request) Progress {
	return Progress{State: StateRunning, Destination: request.Destination, Source: request.Source,
		Until: request.Until, DryRun: request.DryRun, StartedAt: pillarbox.TimestampOf(p.opts.Now())}
}

type run struct {
	*Purger
	request  Request
	sink     pillarbox.Sink
	report   func(Progress)
	progress Progress
	keep     map[pillarbox.Key]bool
}

func (r *run) tell() {
	if r.report != nil {
		r.report(r.progress)
	}
}

func (r *run) purge(ctx context.Context) error {
	filter := pillarbox.PurgeFilter{Source: r.request.Source, Until: r.request.Until}
	if r.opts.Queue.Traits().Shared {
		filter.StoredBefore = pillarbox.TimestampOf(r.opts.Now().Add(-SharedMemory))
	}
	start, err := r.sink.BeginPurge(ctx, filter)
	if err != nil {
		return err
	}
	// What was stored before the beginning is settled by now, or is met here; what is stored later is
	// not purged.
	if err := r.findUnsettled(ctx); err != nil {
		return err
	}
	r.progress.Matched, r.progress.Kept = start.Matched, uint64(len(r.keep))
	r.tell()
	if r.request.DryRun {
		return nil
	}
	step := pillarbox.PurgeStep{PurgeFilter: filter, At: start.At, Keep: r.keep,
		Limit: pillarbox.PurgeStepLimit}
	return r.steps(ctx, step)
}

// steps purges step by step. With a limit on the rate, a step is no more than a second's worth; where it
// was more, because it was a whole file, the next one waits for as long as that is worth.
func (r *run) steps(ctx context.Context, step pillarbox.PurgeStep) error {
	var limiter *rate.Limiter
	if r.request.Rate > 0 {
		step.Limit = max(1, min(step.Limit, int(r.request.Rate)))
		limiter = rate.NewLimiter(rate.Limit(r.request.Rate), step.Limit)
	}
	due := step.Limit // events that are to be waited for
	for {
		for ; limiter != nil && due > 0; due -= step.Limit {
			if err := limiter.WaitN(ctx, min(due, step.Limit)); err != nil {
				return errors.Join(context.Canceled, err)
			}
		}
		result, err := r.sink.Purge(ctx, step)
		if err != nil {
			return err
		}
		if result.Last == (pillarbox.Key{}) {
			return nil
		}
		r.progress.Purged += result.Deleted
		due = max(step.Limit, int(result.Deleted))
		step.After = result.Last
		r.tell()
	}
}

// findUnsettled finds what is stored and will be delivered once more: the queue has handed it out,
// and a crash came before it was settled.
func (r *run) findUnsettled(ctx context.Context) error {
	r.keep = map[pillarbox.Key]bool{}
	queue, name := r.opts.Queue, r.request.Destination
	if !queue.Traits().Obliges {
		return nil
	}
	account, err := queue.Account(name)
	if err != nil || account.Pending == 0 {
		return err
	}
	var keys []pillarbox.Key
	err = queue.ScanPending(ctx, name, func(d *pillarbox.Delivery) error {
		switch {
		case d.Event.Timestamp >= r.request.Until,
			r.request.Source != "" && d.Event.Source != r.request.Source:
			return nil
		}
		if keys = append(keys, d.Event.Key()); len(keys) < lookups {
			return nil
		}
		defer func() { keys = keys[:0] }()
		return r.keepStored(ctx, keys)
	})
	if err != nil {
		return fmt.Errorf("look through what is pending for %s: %w", name, err)
	}
	return r.keepStored(ctx, keys)
}

// keepStored leaves alone those of the keys that are stored.
func (r *run) keepStored(ctx context.Context, keys []pillarbox.Key) error {
	missing, err := r.sink.Missing(ctx, keys)
	if err != nil {
		return fmt.Errorf("look events up in %s: %w", r.request.Destination, err)
	}
	absent := map[pillarbox.Key]bool{}
	for _, key := range missing {
		absent[key] = true
	}
	for _, key := range keys {
		if !absent[key] {
			r.keep[key] = true
		}
	}
	if len(r.keep) > MaxKept {
		return fmt.Errorf("more than %d events are stored in %s and not settled; let it deliver first: %w", MaxKept, r.request.Destination, pillarbox.ErrUnavailable)
	}
	return nil
}
