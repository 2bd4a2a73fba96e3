package replay

import (
	"context"
	"encoding/json"

	"pillarbox"
	"pillarbox/internal/background"
)

// Kind is what jobs of this kind are called.
const Kind = "replay"

// Jobs runs replays in the background, one at a time for each destination: two replays of the same
// letters would do the work twice. What a replay did is in the letters; how far it is outlives the
// process where the jobs are kept. All methods may be called concurrently.
type Jobs struct {
	*background.Jobs[Progress]
	replayer *Replayer
}

// NewJobs lists the replays. Close it.
func NewJobs(replayer *Replayer, opts background.Options) *Jobs {
	return &Jobs{replayer: replayer, Jobs: background.New(Kind, Progress.withID, opts)}
}

// Running implements background.Job.
func (p Progress) Running() bool { return p.State == StateRunning }

func (p Progress) withID(id string) Progress {
	p.ID = id
	return p
}

// Start begins a replay and returns its first progress. A dry run is done when Start returns. While
// another job works on the same destination, a new one is ErrConflict.
func (j *Jobs) Start(ctx context.Context, request Request) (Progress, error) {
	if err := j.replayer.check(request); err != nil {
		return Progress{}, err
	}
	if request.DryRun {
		return j.replayer.Run(ctx, request, nil)
	}
	first := Progress{State: StateRunning, StartedAt: pillarbox.TimestampOf(j.replayer.now())}
	work := background.Work[Progress]{Request: request, First: first, Run: j.run(request, first)}
	if request.Filter.Destination != "" {
		work.Claims = []string{request.Filter.Destination}
	}
	return j.Jobs.Start(ctx, work)
}

func (j *Jobs) run(request Request, last Progress) background.Run[Progress] {
	return func(ctx context.Context, report func(Progress)) {
		_, _ = j.replayer.Continue(ctx, request, last, report) // the error is in the last progress
	}
}

// Resume goes on with replays that an earlier life has not ended.
func (j *Jobs) Resume(ctx context.Context) {
	j.Jobs.Resume(ctx, func(text json.RawMessage, last Progress) (background.Run[Progress], error) {
		var request Request
		if err := json.Unmarshal(text, &request); err != nil {
			return nil, err
		}
		return j.run(request, last), nil
	})
}
