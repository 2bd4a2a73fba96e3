// Package background runs jobs that a person has started and that take long: to be asked about, and
// to be cancelled.
//
// It promises that of the jobs that share their claims no two work on the same destination; and, with
// a Keeper, that a job that was started is durable before Start returns, and goes on in the next life
// from the latest progress that it reported, until it has ended or a person has cancelled it. What
// was done since that report is done once more: a job must bear that. Without a Keeper jobs are
// remembered until the process ends. The package knows neither the work nor HTTP.
package background

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"

	"pillarbox"
	"pillarbox/internal/telemetry"
)

// MaxJobs is how many jobs of a kind are remembered; the oldest that have ended are forgotten first.
const MaxJobs = 100

// Job is what is told of a job.
type Job interface {
	// Running reports whether it has not ended.
	Running() bool
}

// Options of Jobs. What is zero has a default.
type Options struct {
	Keeper *Keeper // nil: jobs end with the process
	Claims *Claims // shared with other kinds; default: of its own
	Logger *slog.Logger
}

// Jobs are the jobs of one kind. P is their progress, whose JSON form is what is kept of it. All
// methods may be called concurrently.
type Jobs[P Job] struct {
	kind   string // for errors and files: "replay"
	withID func(progress P, id string) P
	opts   Options

	mu      sync.Mutex
	closed  bool
	next    int
	jobs    []*job[P]
	running sync.WaitGroup
}

type job[P Job] struct {
	progress  P
	record    record // with mu of the Jobs
	keeping   sync.Mutex
	cancel    context.CancelFunc
	cancelled bool          // by a person
	done      chan struct{} // closed when it has ended; nil while it waits for Resume
}

// New lists the jobs of a kind, with those that are kept. What can't be read of them is logged and
// left alone. withID puts the id of a job into its progress. Close it.
func New[P Job](kind string, withID func(progress P, id string) P, opts Options) *Jobs[P] {
	if opts.Claims == nil {
		opts.Claims = &Claims{}
	}
	opts.Logger = cmp.Or(opts.Logger, slog.New(slog.DiscardHandler))
	j := &Jobs[P]{kind: kind, withID: withID, opts: opts}
	records, last, err := opts.Keeper.kept(kind)
	j.next = last
	for _, r := range records {
		known := &job[P]{record: *r, cancel: func() {}}
		if bad := json.Unmarshal(r.Progress, &known.progress); bad != nil {
			err = errors.Join(err, fmt.Errorf("%s, which is left alone: %w", r.name(), bad))
			continue
		}
		j.jobs = append(j.jobs, known)
	}
	if err != nil {
		opts.Logger.Error("a job that is kept can't be read, and does not go on; start it anew, and remove its file", telemetry.KeyJob, kind, telemetry.KeyErr, err)
	}
	return j
}

// Work is what a job is to do.
type Work[P Job] struct {
	Claims  []string // destinations that it works on; nil for all
	Request any      // what it was asked for, for a later life; its JSON form is kept
	First   P        // its progress when it begins
	Run     Run[P]
}

// Run does the work. It goes on after the request that started it has been answered; it calls report
// with what has become of it, now and then, and at last with its end.
type Run[P Job] func(ctx context.Context, report func(P))

// Start begins a job and returns its first progress with its id. Errors: ErrConflict while another one
// works on the same; ErrClosed after Close; those of keeping it.
func (j *Jobs[P]) Start(ctx context.Context, work Work[P]) (P, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var none P
	if j.closed {
		return none, fmt.Errorf("start a %s: %w", j.kind, pillarbox.ErrClosed)
	}
	held, err := j.opts.Claims.acquire(j.kind+" "+strconv.Itoa(j.next+1), work.Claims)
	if err != nil {
		return none, err
	}
	started, err := j.add(&work)
	if err != nil {
		j.opts.Claims.release(held)
		return none, err
	}
	j.launch(ctx, started, held, work.Run)
	return started.progress, nil
}

// Enqueue keeps a job for the next Resume to begin, in this life or a later one. Errors: ErrClosed;
// those of keeping it.
func (j *Jobs[P]) Enqueue(work Work[P]) (progress P, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return progress, fmt.Errorf("enqueue a %s: %w", j.kind, pillarbox.ErrClosed)
	}
	added, err := j.add(&work)
	if err != nil {
		return progress, err
	}
	return added.progress, nil
}

// add makes a job durable and lists it. The caller has the lock.
func (j *Jobs[P]) add(work *Work[P]) (*job[P], error) {
	id := strconv.Itoa(j.next + 1)
	added := &job[P]{progress: j.withID(work.First, id), cancel: func() {}}
	request, err := json.Marshal(work.Request)
	if err != nil {
		return nil, err
	}
	added.record = record{Version: recordVersion, Kind: j.kind, ID: id, Running: true, Claims: work.Claims, Request: request}
	if added.record.Progress, err = json.Marshal(added.progress); err != nil {
		return nil, err
	}
	if err := j.opts.Keeper.keep(&added.record); err != nil {
		return nil, err
	}
	j.next++
	j.jobs = append(j.jobs, added)
	j.forgetOldest()
	return added, nil
}

// forgetOldest keeps the list within its bound. The caller has the lock.
func (j *Jobs[P]) forgetOldest() {
	for len(j.jobs) > MaxJobs {
		ended := slices.IndexFunc(j.jobs, func(known *job[P]) bool { return !known.progress.Running() })
		if ended < 0 {
			return
		}
		if err := j.opts.Keeper.drop(&j.jobs[ended].record); err != nil {
			j.opts.Logger.Warn("what is kept of an old job can't be removed", telemetry.KeyJob, j.kind, telemetry.KeyErr, err)
		}
		j.jobs = slices.Delete(j.jobs, ended, ended+1)
	}
}

// launch runs a job. The caller has the lock.
func (j *Jobs[P]) launch(ctx context.Context, known *job[P], held *claim, run Run[P]) {
	ctx, known.cancel = context.WithCancel(context.WithoutCancel(ctx))
	known.done = make(chan struct{})
	j.running.Go(func() {
		defer close(known.done)
		defer j.opts.Claims.release(held)
		defer known.cancel()
		run(ctx, func(progress P) { j.report(known, progress) })
	})
}

// report takes a progress in, and keeps it. The end of a job that the stop of the server has cut off
// is not kept: it goes on in the next life.
func (j *Jobs[P]) report(known *job[P], progress P) {
	known.keeping.Lock() // so that what is kept last is what was told last
	defer known.keeping.Unlock()
	j.mu.Lock()
	known.progress = j.withID(progress, known.record.ID)
	text, err := json.Marshal(known.progress)
	cutOff := j.closed && !known.cancelled && !progress.Running()
	if err == nil && !cutOff {
		known.record.Progress, known.record.Running = text, progress.Running()
	}
	kept := known.record
	j.mu.Unlock()
	if err == nil && !cutOff {
		err = j.opts.Keeper.keep(&kept)
	}
	if err != nil {
		j.opts.Logger.Warn("how far a job is can't be kept; after a restart it does some of its work once more", telemetry.KeyJob, j.kind+" "+kept.ID, telemetry.KeyErr, err)
	}
}

// Resume goes on with what an earlier life has not ended. again makes the work of a request and its
// latest progress; where it fails, the job is left alone and the error logged.
func (j *Jobs[P]) Resume(ctx context.Context, again func(request json.RawMessage, last P) (Run[P], error)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, known := range j.jobs {
		if j.closed || !known.record.Running || known.done != nil {
			continue
		}
		run, err := again(known.record.Request, known.progress)
		var held *claim
		if err == nil {
			held, err = j.opts.Claims.acquire(j.kind+" "+known.record.ID, known.record.Claims)
		}
		if err != nil {
			j.opts.Logger.Error("a job of an earlier life can't go on", telemetry.KeyJob, j.kind+" "+known.record.ID, telemetry.KeyErr, err)
			continue
		}
		j.opts.Logger.Info("a job of an earlier life goes on", telemetry.KeyJob, j.kind+" "+known.record.ID)
		j.launch(ctx, known, held, run)
	}
}

// find returns a job. The caller has the lock.
func (j *Jobs[P]) find(id string) (*job[P], error) {
	for _, known := range j.jobs {
		if known.record.ID == id {
			return known, nil
		}
	}
	return nil, fmt.Errorf("%s %q: %w", j.kind, id, pillarbox.ErrNotFound)
}

// Get returns the progress of a job. Errors: ErrNotFound.
func (j *Jobs[P]) Get(id string) (progress P, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	known, err := j.find(id)
	if err != nil {
		return progress, err
	}
	return known.progress, nil
}

// List returns all remembered jobs, newest first.
func (j *Jobs[P]) List() []P {
	j.mu.Lock()
	defer j.mu.Unlock()
	list := make([]P, 0, len(j.jobs))
	for _, known := range slices.Backward(j.jobs) {
		list = append(list, known.progress)
	}
	return list
}

// Cancel stops a job for good and waits until it has stopped. Cancelling one that has ended changes
// nothing. Errors: ErrNotFound, ctx's own; ErrConflict for one that waits for a life to go on in.
func (j *Jobs[P]) Cancel(ctx context.Context, id string) (progress P, err error) {
	j.mu.Lock()
	known, err := j.find(id)
	if err != nil {
		j.mu.Unlock()
		return progress, err
	}
	done := known.done
	known.cancelled = true
	known.cancel()
	progress = known.progress
	j.mu.Unlock()
	switch {
	case done == nil && progress.Running():
		return progress, fmt.Errorf("%s %s goes on when the server runs, and can be cancelled there: %w", j.kind, id, pillarbox.ErrConflict)
	case done == nil:
		return progress, nil
	}
	select {
	case <-done:
	case <-ctx.Done():
		return progress, ctx.Err()
	}
	return j.Get(id)
}

// Close cuts off what runs and waits for it. What is kept goes on in the next life. It is safe to call
// twice.
func (j *Jobs[P]) Close() error {
	j.mu.Lock()
	j.closed = true
	for _, known := range j.jobs {
		known.cancel()
	}
	j.mu.Unlock()
	j.running.Wait()
	return nil
}
