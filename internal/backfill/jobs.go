package backfill

import (
	"context"
	"encoding/json"

	"pillarbox/internal/background"
)

// Kind is what jobs of this kind are called.
const Kind = "backfill"

// Jobs runs back-fills in the background, one at a time for each destination. How far one is outlives
// the process where the jobs are kept. All methods may be called concurrently.
type Jobs struct {
	*background.Jobs[Progress]
	filler *Filler
}

// NewJobs lists the back-fills. Close it.
func NewJobs(filler *Filler, opts background.Options) *Jobs {
	return &Jobs{filler: filler, Jobs: background.New(Kind, Progress.withID, opts)}
}

// Running implements background.Job.
func (p Progress) Running() bool { return p.State == StateRunning }

func (p Progress) withID(id string) Progress {
	p.ID = id
	return p
}

// Start begins a back-fill and returns its first progress. A dry run is done when Start returns. While
// another job works on the same destination, a new one is ErrConflict.
func (j *Jobs) Start(ctx context.Context, request Request) (Progress, error) {
	if request.DryRun {
		return j.filler.Run(ctx, request, nil)
	}
	first := j.filler.first(&request)
	return j.Jobs.Start(ctx, background.Work[Progress]{Claims: []string{request.Destination}, Request: request, First: first,
		Run: j.run(request, first)})
}

// Enqueue keeps a back-fill for Resume to begin.
func (j *Jobs) Enqueue(request Request) (Progress, error) {
	return j.Jobs.Enqueue(background.Work[Progress]{Claims: []string{request.Destination}, Request: request, First: j.filler.first(&request)})
}

func (j *Jobs) run(request Request, last Progress) background.Run[Progress] {
	return func(ctx context.Context, report func(Progress)) {
		_, _ = j.filler.Continue(ctx, request, last, report) // the error is in the last progress
	}
}

// Resume goes on with back-fills that an earlier life has not ended.
func (j *Jobs) Resume(ctx context.Context) {
	j.Jobs.Resume(ctx, func(text json.RawMessage, last Progress) (background.Run[Progress], error) {
		var request Request
		if err := json.Unmarshal(text, &request); err != nil {
			return nil, err
		}
		return j.run(request, last), nil
	})
}
