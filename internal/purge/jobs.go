package purge

import (
	"context"

	"pillarbox/internal/background"
)

// Jobs runs purges in the background, one at a time for each server. What a purge has deleted the
// store remembers. All methods may be called concurrently.
type Jobs struct {
	*background.Jobs[Progress]
	purger *Purger
}

// NewJobs makes an empty list. Close it.
func NewJobs(purger *Purger) *Jobs {
	return &Jobs{purger: purger, Jobs: background.New("purge", Progress.withID, background.Options{})}
}

// Running implements background.Job.
func (p Progress) Running() bool { return p.State == StateRunning }

func (p Progress) withID(id string) Progress {
	p.ID = id
	return p
}

// Start begins a purge and returns its first progress. A dry run is done when Start returns. While
// another purge runs, a new one is ErrConflict.
func (j *Jobs) Start(ctx context.Context, request Request) (Progress, error) {
	if _, err := j.purger.check(request); err != nil {
		return Progress{}, err
	}
	if request.DryRun {
		return j.purger.Run(ctx, request, nil)
	}
	return j.Jobs.Start(ctx, background.Work[Progress]{First: j.purger.first(request),
		Run: func(ctx context.Context, report func(Progress)) {
			_, _ = j.purger.Run(ctx, request, report) // the error is in the last progress
		}})
}
