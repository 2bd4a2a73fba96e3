package background_test

import (
	"context"
	"errors"
	"strconv"
	"testing"

	"pillarbox"
	"pillarbox/internal/background"
)

type progress struct {
	id      string
	running bool
	steps   int
}

func (p progress) Running() bool { return p.running }

func withID(p progress, id string) progress {
	p.id = id
	return p
}

func TestOneJobAtATimeCanBeCancelled(t *testing.T) {
	jobs := background.New("count", withID, background.Options{})
	request, answered := context.WithCancel(t.Context())
	first, err := jobs.Start(request, background.Work[progress]{First: progress{running: true},
		Run: func(ctx context.Context, report func(progress)) {
			report(progress{running: true, steps: 1})
			<-ctx.Done()
			report(progress{steps: 2})
		}})
	answered() // the job goes on
	if err != nil || first.id != "1" || !first.running {
		t.Fatalf("started as %+v, %v", first, err)
	}
	if _, err := jobs.Start(t.Context(), background.Work[progress]{}); !errors.Is(err, pillarbox.ErrConflict) {
		t.Errorf("a second job: %v", err)
	}
	ended, err := jobs.Cancel(t.Context(), "1")
	if err != nil || ended != (progress{id: "1", steps: 2}) {
		t.Errorf("cancelled as %+v, %v", ended, err)
	}
	if _, err := jobs.Cancel(t.Context(), "2"); !errors.Is(err, pillarbox.ErrNotFound) {
		t.Errorf("cancelling none: %v", err)
	}
	for range 2 {
		if err := jobs.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := jobs.Start(t.Context(), background.Work[progress]{}); !errors.Is(err, pillarbox.ErrClosed) {
		t.Errorf("a job after the end: %v", err)
	}
}

func TestJobsAreRememberedWithinBounds(t *testing.T) {
	jobs := background.New("count", withID, background.Options{})
	defer jobs.Close()
	const n = background.MaxJobs + 5
	for range n {
		started, err := jobs.Start(t.Context(), background.Work[progress]{First: progress{running: true},
			Run: func(_ context.Context, report func(progress)) { report(progress{}) }})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := jobs.Cancel(t.Context(), started.id); err != nil { // waits for its end
			t.Fatal(err)
		}
	}
	list := jobs.List()
	if len(list) != background.MaxJobs || list[0].id != strconv.Itoa(n) {
		t.Errorf("%d jobs, the first %+v", len(list), list[0])
	}
	if _, err := jobs.Get("5"); !errors.Is(err, pillarbox.ErrNotFound) {
		t.Errorf("the oldest but for the remembered ones: %v", err)
	}
	if got, err := jobs.Get("6"); err != nil || got.id != "6" {
		t.Errorf("the oldest that is remembered: %+v, %v", got, err)
	}
}
