// Package backfill gives a destination what it has not got of the events that the queue still has:
// what was accepted before it began, and what its sources and its filter did not take then and take
// now.
//
// It promises that what the rules of today don't take is left alone, and so is what a person gave to
// another destination or gave up; that an event which it takes is pending from then on, so that the
// account is an equation at every moment and after a crash, and that it is delivered by the loop of
// the destination like any other, once, with attempts and dead letters; that it takes few at a time,
// waits while live delivery lags, the destination is down or paused, and keeps its rate; and that it
// goes on where it was when it is cut off. What arrives after it has begun is not its own.
//
// What the queue has forgotten of the time before the destination it copies out of another store, where
// it is told to. That goes straight to the destination: stored events are counted as stored instead of
// skipped once, whatever breaks in between, and refused ones become dead letters with one attempt. Of
// what the queue has forgotten and the destination was there for, nobody knows whether its rules took it:
// that is left alone.
//
// It knows no engine and no HTTP.
package backfill

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"pillarbox"
)

// Defaults and limits.
const (
	DefaultSample = 5

	// MaxAhead is how many events a back-fill has taken at a time that are not delivered yet.
	MaxAhead = 2000

	batchEvents = 500             // that are taken with one change of the queue's records
	batchBytes  = 8 << 20         // of their bodies, which are in memory meanwhile
	firstPoll   = time.Second / 8 // until it is looked whether it may go on; each time twice as long
	longestPoll = 8 * time.Second
)

// Request says what to give to which destination, and how fast. Destination is required.
type Request struct {
	Destination string
	Source      string              // exact; empty for all that it takes
	Since       pillarbox.Timestamp // of acceptance, inclusive; 0 for no bound
	Until       pillarbox.Timestamp // exclusive; 0 for the beginning of the back-fill
	FromStore   string              // the destination whose store has what the queue has forgotten; empty for none
	Rate        float64             // events per second; 0 for no limit
	DryRun      bool                // count and sample, and touch nothing
}

// The states of a back-fill.
const (
	StateRunning   = "running"
	StateDone      = "done"      // all that matched was taken, and is delivered or waits for another attempt
	StateStopped   = "stopped"   // by what Reason says
	StateCancelled = "cancelled" // by a person; what was taken is delivered all the same
)

// Progress is how far a back-fill is.
type Progress struct {
	ID          string              `json:"id,omitempty"`
	Destination string              `json:"destination"`
	State       string              `json:"state"`
	DryRun      bool                `json:"dry_run"`
	Matched     uint64              `json:"matched"`              // events that the request selected so far
	Taken       uint64              `json:"taken"`                // of these, what the queue had and is no longer skipped
	Copied      uint64              `json:"copied,omitempty"`     // and what another store had and the destination has stored
	Dead        uint64              `json:"dead,omitempty"`       // and what the destination has refused of the store's: dead letters
	Uncounted   uint64              `json:"uncounted,omitempty"`  // of copied and dead, what this queue has not counted as skipped: others have accepted it, or it was copied before
	Unreadable  uint64              `json:"unreadable,omitempty"` // of the store's; left out
	Waiting     string              `json:"waiting,omitempty"`
	Reason      string              `json:"reason,omitempty"`
	StartedAt   pillarbox.Timestamp `json:"started_at"`
	EndedAt     pillarbox.Timestamp `json:"ended_at,omitempty"`
	Sample      []pillarbox.Receipt `json:"sample,omitempty"` // of a dry run

	Next uint64 `json:"next,omitempty"` // the place in the order of the queue where it goes on
}

// Queue is the part of a queue that a back-fill works on.
type Queue interface {
	ScanSkipped(ctx context.Context, destination string, from pillarbox.Handle,
		visit func(delivery *pillarbox.Delivery, rule string) error) error
	Unskip(ctx context.Context, destination string, deliveries []*pillarbox.Delivery) (taken int, err error)
	Account(destination string) (pillarbox.Account, error)

	ScanKept(ctx context.Context, visit func(*pillarbox.Delivery) error) error
	Began(destination string) (pillarbox.Handle, pillarbox.Timestamp)
	Copied(destination string) pillarbox.CopyRecord
	SetCopied(ctx context.Context, destination string, record pillarbox.CopyRecord,
		stored, dead uint64) (counted uint64, err error)
}

// Options of a Filler. Queue and Takes are required, and the others of Store for what copies.
type Options struct {
	Queue Queue
	// Takes reports whether the rules of today take the event for the destination.
	Takes func(destination string, event *pillarbox.Event) bool
	// Lag says in words why a back-fill has to wait: live delivery lags, or the destination takes
	// nothing. "" is that it has not. Default: never.
	Lag func(destination string) string
	// Delivers reports whether somebody delivers meanwhile; else nobody is waited for, and what was taken
	// is delivered in a later life. Default: yes.
	Delivers func() bool
	Now      func() time.Time // default time.Now

	// Store returns the store of a destination, and nil where its events can't be read back.
	Store func(destination string) pillarbox.EventStore
	// Deliver writes events to a destination once, as replays do: see replay.Deliver.
	Deliver func(ctx context.Context, destination string, events []*pillarbox.Event) (errs []error, down error)
	// Bury makes dead letters of refused events, durably. Dead reports whether there is one of an event.
	Bury func(ctx context.Context, destination string, refused []Refused) error
	Dead func(ctx context.Context, destination, requestID string) (bool, error)
}

// Filler back-fills. It is safe for concurrent use; two back-fills of one destination take each event
// once.
type Filler struct{ opts Options }

// New makes a Filler.
func New(opts Options) *Filler {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Lag == nil {
		opts.Lag = func(string) string { return "" }
	}
	if opts.Delivers == nil {
		opts.Delivers = func() bool { return true }
	}
	return &Filler{opts: opts}
}

// first is the progress of a back-fill that begins.
func (f *Filler) first(request *Request) Progress {
	return Progress{Destination: request.Destination, State: StateRunning, DryRun: request.DryRun,
		StartedAt: pillarbox.TimestampOf(f.opts.Now())}
}

// Run back-fills and calls report with the progress after each step, and at the end with the final
// one, which it also returns. The error is one of the queue or ctx's own; what was taken before stays
// so. A dry run reads all that the queue has of the destination's skipped events.
func (f *Filler) Run(ctx context.Context, request Request, report func(Progress)) (Progress, error) {
	return f.Continue(ctx, request, f.first(&request), report)
}

// Continue goes on with a back-fill from a progress that it reported when it had not ended.
func (f *Filler) Continue(ctx context.Context, request Request, last Progress,
	report func(Progress)) (Progress, error) {
	if request.Until == 0 {
		request.Until = last.StartedAt
	}
	r := &run{Filler: f, request: request, progress: last, report: report}
	if request.Rate > 0 {
		r.limiter = rate.NewLimiter(rate.Limit(request.Rate), max(1, int(request.Rate)))
	}
	var err error
	queue, store := r.take, r.copy
	if request.DryRun {
		queue, store = r.look, r.lookIntoStore
	}
	if err = queue(ctx); err == nil && request.FromStore != "" {
		err = store(ctx)
	}
	switch {
	case err == nil:
		r.progress.State = StateDone
	case ctx.Err() != nil:
		r.progress.State = StateCancelled
	default:
		r.progress.State, r.progress.Reason = StateStopped, err.Error()
	}
	r.progress.Waiting, r.progress.EndedAt = "", pillarbox.TimestampOf(f.opts.Now())
	r.tell()
	return r.progress, err
}

type run struct {
	*Filler
	request  Request
	progress Progress
	report   func(Progress)
	limiter  *rate.Limiter
}

func (r *run) tell() {
	if r.report != nil {
		r.report(r.progress)
	}
}

// selects reports whether a skipped event is one that the destination is to get after all.
func (r *run) selects(event *pillarbox.Event, rule string) bool {
	switch {
	case rule == pillarbox.SkippedRouted, rule == pillarbox.SkippedForgotten: // a person has decided
		return false
	case r.request.Source != "" && event.Source != r.request.Source,
		event.Timestamp < r.request.Since, event.Timestamp >= r.request.Until:
		return false
	}
	return r.opts.Takes(r.request.Destination, event)
}

// look counts and samples.
func (r *run) look(ctx context.Context) error {
	return r.opts.Queue.ScanSkipped(ctx, r.request.Destination, pillarbox.Handle{}, func(d *pillarbox.Delivery, rule string) error {
		if !r.selects(d.Event, rule) {
			return nil
		}
		r.match(d.Event)
		return nil
	})
}

func (r *run) match(event *pillarbox.Event) {
	if r.progress.Matched++; len(r.progress.Sample) < DefaultSample {
		r.progress.Sample = append(r.progress.Sample, pillarbox.Receipt{RequestID: event.RequestID, Timestamp: event.Timestamp,
			Status: pillarbox.StatePending})
	}
}

// take takes batch after batch, and returns when they are delivered.
func (r *run) take(ctx context.Context) error {
	for {
		if err := r.wait(ctx, r.lag); err != nil {
			return err
		}
		batch, end, err := r.next(ctx)
		if err != nil {
			return err
		}
		if err := r.pass(ctx, batch); err != nil {
			return err
		}
		if end {
			return r.wait(ctx, r.undelivered)
		}
	}
}

// errFull ends a scan that has found a batch.
var errFull = errors.New("the batch is full")

// next finds the next events. end is that there are no others.
func (r *run) next(ctx context.Context) (batch []*pillarbox.Delivery, end bool, err error) {
	bytes := int64(0)
	most := batchEvents
	if r.limiter != nil {
		most = min(most, r.limiter.Burst())
	}
	err = r.opts.Queue.ScanSkipped(ctx, r.request.Destination, pillarbox.Handle{Seq: r.progress.Next}, func(d *pillarbox.Delivery, rule string) error {
		if len(batch) >= most || bytes >= batchBytes {
			return errFull
		}
		r.progress.Next = d.Handle.Seq + 1
		if !r.selects(d.Event, rule) {
			return nil
		}
		copied := *d
		batch, bytes = append(batch, &copied), bytes+d.Bytes
		return nil
	})
	if errors.Is(err, errFull) {
		return batch, false, nil
	}
	return batch, err == nil, err
}

// pass hands a batch out, and says so. Should it be cut off in between, the events are not skipped any
// more and are passed over the next time.
func (r *run) pass(ctx context.Context, batch []*pillarbox.Delivery) error {
	if len(batch) == 0 {
		return ctx.Err()
	}
	if r.limiter != nil {
		if err := r.limiter.WaitN(ctx, len(batch)); err != nil {
			return errors.Join(ctx.Err(), err)
		}
	}
	taken, err := r.opts.Queue.Unskip(context.WithoutCancel(ctx), r.request.Destination, batch)
	r.progress.Matched, r.progress.Taken = r.progress.Matched+uint64(len(batch)), r.progress.Taken+uint64(taken)
	r.tell()
	return errors.Join(err, ctx.Err())
}

// wait waits until a reason to wait is gone, and tells it.
func (r *run) wait(ctx context.Context, reason func() (string, error)) error {
	for again := firstPoll; ; again = min(2*again, longestPoll) {
		why, err := reason()
		if err != nil {
			return err
		}
		if !r.opts.Delivers() {
			why = ""
		}
		if err := r.rest(ctx, again, why); err != nil || why == "" {
			return err
		}
	}
}

// rest tells why it waits, and does so for a while where there is a reason.
func (r *run) rest(ctx context.Context, pause time.Duration, why string) error {
	if why != r.progress.Waiting {
		r.progress.Waiting = why
		r.tell()
	}
	if why == "" {
		return ctx.Err()
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// lag is why nothing may be taken now. The queue is asked last: asking makes a destination known to it.
func (r *run) lag() (string, error) {
	if why := r.opts.Lag(r.request.Destination); why != "" {
		return why, nil
	}
	account, err := r.opts.Queue.Account(r.request.Destination)
	if err != nil {
		return "", err
	}
	if account.Backfill >= MaxAhead {
		return fmt.Sprintf("%d events that were taken are to be delivered first", account.Backfill), nil
	}
	return "", nil
}

// undelivered is that something that was taken was not even tried yet.
func (r *run) undelivered() (string, error) {
	account, err := r.opts.Queue.Account(r.request.Destination)
	if err != nil || account.Backfill <= account.Retrying {
		return "", err
	}
	return fmt.Sprintf("all are taken, and %d are to be delivered", account.Backfill), nil
}
