package replay

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"pillarbox"
)

// MaxJobs is how many replays are remembered; the oldest that have ended are forgotten first.
const MaxJobs = 100

// Jobs runs replays in the background, one at a time for each server: two replays of the same
// letters would do the work twice. It remembers them until the process ends; what a replay did is
// in the letters.
type Jobs struct {
	replayer *Replayer

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
func NewJobs(replayer *Replayer) *Jobs { return &Jobs{replayer: replayer} }

// Start begins a replay and returns its first progress. A dry run is done when Start returns. While
// another replay runs, a new one is ErrConflict.
func (j *Jobs) Start(ctx context.Context, request Request) (Progress, error) {
	if err := j.replayer.check(request); err != nil {
		return Progress{}, err
	}
	if request.DryRun {
		return j.replayer.Run(ctx, request, nil)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return Progress{}, fmt.Errorf("start a replay: %w", pillarbox.ErrClosed)
	}
	for _, other := range j.jobs {
		if other.progress.State == StateRunning {
			return Progress{}, fmt.Errorf("replay %s is running: %w", other.progress.ID,
				pillarbox.ErrConflict)
		}
	}
	// The replay goes on after the request that started it has been answered.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	j.next++
	started := &job{cancel: cancel, done: make(chan struct{})}
	started.progress = Progress{ID: strconv.Itoa(j.next), State: StateRunning,
		StartedAt: pillarbox.TimestampOf(j.replayer.now())}
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
	_, _ = j.replayer.Run(ctx, request, func(progress Progress) {
		j.mu.Lock()
		defer j.mu.Unlock()
		progress.ID = started.progress.ID
		started.progress = progress
	})
}

// Get returns the progress of a replay.
func (j *Jobs) Get(id string) (Progress, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, known := range j.jobs {
		if known.progress.ID == id {
			return known.progress, nil
		}
	}
	return Progress{}, fmt.Errorf("replay %q: %w", id, pillarbox.ErrNotFound)
}

// List returns all remembered replays, newest first.
func (j *Jobs) List() []Progress {
	j.mu.Lock()
	defer j.mu.Unlock()
	list := make([]Progress, 0, len(j.jobs))
	for _, known := range slices.Backward(j.jobs) {
		list = append(list, known.progress)
	}
	return list
}

// Cancel stops a replay and waits until it has stopped. Cancelling one that has ended changes
// nothing.
func (j *Jobs) Cancel(ctx context.Context, id string) (Progress, error) {
	j.mu.Lock()
	index := slices.IndexFunc(j.jobs, func(known *job) bool { return known.progress.ID == id })
	if index < 0 {
		j.mu.Unlock()
		return Progress{}, fmt.Errorf("replay %q: %w", id, pillarbox.ErrNotFound)
	}
	known := j.jobs[index]
	j.mu.Unlock()
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
