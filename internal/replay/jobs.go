package replay

import (
	"context"

	"pillarbox"
	"pillarbox/internal/background"
)

// Jobs runs replays in the background, one at a time for each server: two replays of the same
// letters would do the work twice. What a replay did is in the letters. All methods may be called
// concurrently.
type Jobs struct {
	*background.Jobs[Progress]
	replayer *Replayer
}

// NewJobs makes an empty list. Close it.
func NewJobs(replayer *Replayer) *Jobs {
	return &Jobs{replayer: replayer, Jobs: background.New("replay", Progress.withID)}
}

// Running implements background.Job.
func (p Progress) Running() bool { return p.State == StateRunning }

func (p Progress) withID(id string) Progress {
	p.ID = id
	return p
}

// Start begins a replay and returns its first progress. A dry run is done when Start returns. While
// another replay runs, a new one is ErrConflict.
func (j *Jobs) Start(ctx context.Context, request Request) (Progress, error) {
	if err := j.replayer.check(request); err != nil {
		return Progress{}, err
	}
	if request.DryRun {
		return j.replayer.Run(ctx, request, nil)
	}
	first := Progress{State: StateRunning, StartedAt: pillarbox.TimestampOf(j.replayer.now())}
	return j.Jobs.Start(ctx, first, func(ctx context.Context, report func(Progress)) {
		_, _ = j.replayer.Run(ctx, request, report) // the error is in the last progress
	})
}
