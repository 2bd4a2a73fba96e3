package purge

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"pillarbox"
)

// MaxJobs is how many purges are remembered; the oldest are forgotten first. What a purge has
// deleted the store remembers.
const MaxJobs = 100

// Jobs runs purges in the background, one at a time for each server. All methods may be called
// concurrently.
type Jobs struct {
	purger *Purger

	mu      sync.Mutex
	closed  bool
	next    int
	jobs    []*job
	running sync.WaitGroup
}

type job struct {
	progress Progress
	cancel   context.CancelFunc
	done     chan struct{}
}

// NewJobs makes an empty list. Close it.
func NewJobs(purger *Purger) *Jobs { return &Jobs{purger: purger} }

// Start begins a purge and returns its first progress. A dry run is done when Start returns. While
// another purge runs, a new one is ErrConflict.
func (j *Jobs) Start(ctx context.Context, request Request) (Progress, error) {
	if _, err := j.purger.check(request); err != nil {
		return Progress{}, err
	}
	if request.DryRun {
		return j.purger.Run(ctx, request, nil)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return Progress{}, fmt.Errorf("start a purge: %w", pillarbox.ErrClosed)
	}
	for _, other := range j.jobs {
		if other.progress.State == StateRunning {
			return Progress{}, fmt.Errorf("purge %s is running: %w", other.progress.ID,
				pillarbox.ErrConflict)
		}
	}
	// The purge goes on after the request that started it has been answered.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	j.next++
	started := &job{cancel: cancel, done: make(chan struct{}), progress: j.purger.first(request)}
	started.progress.ID = strconv.Itoa(j.next)
	j.jobs = append(j.jobs, started)
	if len(j.jobs) > MaxJobs {
		j.jobs = slices.Delete(j.jobs, 0, 1)
	}
	first := started.progress
	j.running.Go(func() { j.run(ctx, started, request) })
	return first, nil
}

func (j *Jobs) run(ctx context.Context, started *job, request Request) {
	defer close(started.done)
	defer started.cancel()
	// The error is in the last progress.
	_, _ = j.purger.Run(ctx, request, func(progress Progress) {
		j.mu.Lock()
		defer j.mu.Unlock()
		progress.ID = started.progress.ID
		started.progress = progress
	})
}

// find returns a job. The caller has the lock.
func (j *Jobs) find(id string) (*job, error) {
	for _, known := range j.jobs {
		if known.progress.ID == id {
			return known, nil
		}
	}
	return nil, fmt.Errorf("purge %q: %w", id, pillarbox.ErrNotFound)
}

// Get returns the progress of a purge, or ErrNotFound.
func (j *Jobs) Get(id string) (Progress, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	known, err := j.find(id)
	if err != nil {
		return Progress{}, err
	}
	return known.progress, nil
}

// List returns all remembered purges, newest first.
func (j *Jobs) List() []Progress {
	j.mu.Lock()
	defer j.mu.Unlock()
	list := make([]Progress, 0, len(j.jobs))
	for _, known := range slices.Backward(j.jobs) {
		list = append(list, known.progress)
	}
	return list
}

// Cancel stops a purge and waits until it has stopped. Cancelling one that has ended changes
// nothing.
func (j *Jobs) Cancel(ctx context.Context, id string) (Progress, error) {
	j.mu.Lock()
	known, err := j.find(id)
	j.mu.Unlock()
	if err != nil {
		return Progress{}, err
	}
	known.cancel()
	select {
	case <-known.done:
	case <-ctx.Done():
		return Progress{}, ctx.Err()
	}
	return j.Get(id)
}

// Close cancels what runs and waits for it. It is safe to call twice.
func (j *Jobs) Close() error {
	j.mu.Lock()
	j.closed = true
	for _, known := range j.jobs {
		known.cancel()
	}
	j.mu.Unlock()
	j.running.Wait()
	return nil
}
