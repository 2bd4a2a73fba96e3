// Package background runs jobs that a person has started and that take long: one at a time, to be
// asked about, and to be cancelled.
//
// It remembers them until the process ends. What a job does, and what outlives the process of it,
// is the business of who starts it: the package knows neither the work nor HTTP.
package background

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"pillarbox"
)

// MaxJobs is how many jobs of a kind are remembered; the oldest are forgotten first.
const MaxJobs = 100

// Job is what is told of a job.
type Job interface {
	// Running reports whether it has not ended.
	Running() bool
}

// Jobs are the jobs of one kind, of which one runs at a time. P is their progress. All methods may
// be called concurrently.
type Jobs[P Job] struct {
	kind   string // for errors: "replay"
	withID func(progress P, id string) P

	mu      sync.Mutex
	closed  bool
	next    int
	jobs    []*job[P]
	running sync.WaitGroup
}

type job[P Job] struct {
	id       string
	progress P
	cancel   context.CancelFunc
	done     chan struct{}
}

// New makes an empty list. withID puts the id of a job into its progress. Close it.
func New[P Job](kind string, withID func(progress P, id string) P) *Jobs[P] {
	return &Jobs[P]{kind: kind, withID: withID}
}

// Start begins a job with the first progress, which it returns with the id of the job. run goes on
// after the request that started it has been answered; it calls report with what has become of it,
// at last with its end. While another job runs, the error is ErrConflict; after Close ErrClosed.
func (j *Jobs[P]) Start(ctx context.Context, first P,
	run func(ctx context.Context, report func(P))) (P, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var none P
	if j.closed {
		return none, fmt.Errorf("start a %s: %w", j.kind, pillarbox.ErrClosed)
	}
	for _, other := range j.jobs {
		if other.progress.Running() {
			return none, fmt.Errorf("%s %s is running: %w", j.kind, other.id, pillarbox.ErrConflict)
		}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	j.next++
	started := &job[P]{id: strconv.Itoa(j.next), cancel: cancel, done: make(chan struct{})}
	started.progress = j.withID(first, started.id)
	j.jobs = append(j.jobs, started)
	if len(j.jobs) > MaxJobs {
		j.jobs = slices.Delete(j.jobs, 0, 1)
	}
	first = started.progress
	j.running.Go(func() {
		defer close(started.done)
		defer cancel()
		run(ctx, func(progress P) {
			j.mu.Lock()
			defer j.mu.Unlock()
			started.progress = j.withID(progress, started.id)
		})
	})
	return first, nil
}

// find returns a job. The caller has the lock.
func (j *Jobs[P]) find(id string) (*job[P], error) {
	for _, known := range j.jobs {
		if known.id == id {
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

// Cancel stops a job and waits until it has stopped. Cancelling one that has ended changes nothing.
// Errors: ErrNotFound, ctx's own.
func (j *Jobs[P]) Cancel(ctx context.Context, id string) (progress P, err error) {
	j.mu.Lock()
	known, err := j.find(id)
	j.mu.Unlock()
	if err != nil {
		return progress, err
	}
	known.cancel()
	select {
	case <-known.done:
	case <-ctx.Done():
		return progress, ctx.Err()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return known.progress, nil
}

// Close cancels what runs and waits for it. It is safe to call twice.
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
