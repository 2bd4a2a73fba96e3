package background_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/background"
	"pillarbox/internal/vfs"
	"pillarbox/internal/vfs/faultfs"
)

// counted is a progress that is kept.
type counted struct {
	ID    string `json:"id"`
	State string `json:"state"`
	Steps int    `json:"steps"`
}

func (c counted) Running() bool { return c.State == "running" }

func (c counted) withID(id string) counted {
	c.ID = id
	return c
}

type request struct {
	Until int `json:"until"`
}

func keptJobs(fsys vfs.FS, claims *background.Claims) *background.Jobs[counted] {
	return background.New("count", counted.withID, background.Options{Keeper: background.NewKeeper(fsys, nil), Claims: claims})
}

// count goes on from a progress until its number, or until it is cut off at one.
func count(from counted, until, cut int, cutOff func()) background.Run[counted] {
	return func(ctx context.Context, report func(counted)) {
		for at := from; ; {
			if at.Steps == until {
				at.State = "done"
				report(at)
				return
			}
			if at.Steps == cut {
				cutOff()
				<-ctx.Done()
				at.State = "cancelled"
				report(at)
				return
			}
			at.Steps++
			report(at)
		}
	}
}

// TestJobsOutliveTheProcess: what a stop has cut off goes on, from where it was, as what it was; what a
// person has cancelled does not.
func TestJobsOutliveTheProcess(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	jobs := keptJobs(disk, nil)
	reached := make(chan bool)
	first, err := jobs.Start(t.Context(), background.Work[counted]{Claims: []string{"a"}, Request: request{10}, First: counted{State: "running"},
		Run: count(counted{State: "running"}, 10, 4, func() { close(reached) })})
	if err != nil || first.ID != "1" {
		t.Fatal(first, err)
	}
	<-reached
	if _, err := jobs.Start(t.Context(), background.Work[counted]{}); !errors.Is(err, pillarbox.ErrConflict) || !strings.Contains(err.Error(), "count 1") {
		t.Errorf("another one for everything: %v", err)
	}
	if _, err := jobs.Start(t.Context(), background.Work[counted]{Claims: []string{"b", "a"}}); !errors.Is(err, pillarbox.ErrConflict) {
		t.Errorf("another one for the same: %v", err)
	}
	elsewhere := make(chan bool)
	second, err := jobs.Start(t.Context(), background.Work[counted]{Claims: []string{"b"}, Request: request{10}, First: counted{State: "running"},
		Run: count(counted{State: "running"}, 10, 2, func() { close(elsewhere) })})
	if err != nil {
		t.Fatal(err)
	}
	<-elsewhere
	if ended, err := jobs.Cancel(t.Context(), second.ID); err != nil || ended.State != "cancelled" {
		t.Errorf("cancelled as %+v, %v", ended, err)
	}
	if err := jobs.Close(); err != nil {
		t.Fatal(err)
	}

	jobs = keptJobs(disk.Crash(nil, faultfs.Dropped), nil)
	defer jobs.Close()
	if list := jobs.List(); len(list) != 2 || list[0].State != "cancelled" || list[1] != (counted{"1", "running", 4}) {
		t.Fatalf("the next life finds %+v", list)
	}
	if _, err := jobs.Cancel(t.Context(), "1"); !errors.Is(err, pillarbox.ErrConflict) {
		t.Errorf("cancelling what does not run yet: %v", err)
	}
	done := make(chan bool)
	jobs.Resume(t.Context(), func(asked json.RawMessage, last counted) (background.Run[counted], error) {
		var r request
		if err := json.Unmarshal(asked, &r); err != nil || last.Steps != 4 {
			t.Errorf("%s after %+v: %v", asked, last, err)
		}
		run := count(last, r.Until, -1, nil)
		return func(ctx context.Context, report func(counted)) { run(ctx, report); close(done) }, nil
	})
	<-done
	if at, err := jobs.Cancel(t.Context(), "1"); err != nil || at != (counted{"1", "done", 10}) {
		t.Errorf("ended as %+v, %v", at, err)
	}
	if third, err := jobs.Start(t.Context(), background.Work[counted]{Run: func(context.Context, func(counted)) {}}); err != nil || third.ID != "3" {
		t.Errorf("a job after them: %+v, %v", third, err)
	}
}

// TestPowerCutsLoseNoJob cuts the power after every operation of the disk: a job whose start was
// answered is there, with what it had reported, and one that had ended has.
func TestPowerCutsLoseNoJob(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	cuts := 0
	disk := faultfs.New(faultfs.Options{})
	started, told, ended := false, 0, false
	disk.After(func(op faultfs.Op, _ error) {
		if op.Kind == faultfs.Read || op.Kind == faultfs.ReadDir {
			return
		}
		for _, mode := range faultfs.Modes {
			cuts++
			jobs := keptJobs(disk.Crash(random, mode), nil)
			at, err := jobs.Get("1")
			switch {
			case !started && errors.Is(err, pillarbox.ErrNotFound):
			case err != nil:
				t.Errorf("after %v, %v: %v", op, mode, err)
			case at.Steps < told, ended && at.Running():
				t.Errorf("after %v, %v: %+v; %d steps were told, ended %v", op, mode, at, told, ended)
			}
		}
	})
	jobs := keptJobs(disk, nil)
	begin, done := make(chan bool), make(chan bool)
	_, err := jobs.Start(t.Context(), background.Work[counted]{Request: request{5}, First: counted{State: "running"},
		Run: func(_ context.Context, report func(counted)) {
			<-begin
			for step := 1; step <= 5; step++ {
				report(counted{State: "running", Steps: step})
				told = step
			}
			report(counted{State: "done", Steps: 5})
			close(done)
		}})
	if err != nil {
		t.Fatal(err)
	}
	started = true
	close(begin)
	<-done
	ended = true
	if err := vfs.WriteFile(disk, "another", nil); err != nil {
		t.Fatal(err)
	}
	if cuts < 100 {
		t.Errorf("only %d cuts", cuts)
	}
}

// TestWhatIsNoJob: a file that can't be read is named and left alone, and gives its number to nobody.
func TestWhatIsNoJob(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	jobs := keptJobs(disk, nil)
	if _, err := jobs.Start(t.Context(), background.Work[counted]{Run: func(_ context.Context, report func(counted)) { report(counted{State: "done"}) }}); err != nil {
		t.Fatal(err)
	}
	if err := jobs.Close(); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"count-2.json": "{", "count-3.json": `{"version":2}`, "count-4.json": `{"version":1,"kind":"count","id":"9"}`,
		"count-x.json": "{}", "other-7.json": "{}"} {
		if err := vfs.WriteFile(disk, background.Directory+"/"+name, []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	var log strings.Builder
	jobs = background.New("count", counted.withID, background.Options{Keeper: background.NewKeeper(disk, nil), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	defer jobs.Close()
	for _, name := range []string{"count-2.json", "count-3.json", "count-4.json"} {
		if !strings.Contains(log.String(), name) {
			t.Errorf("%s is not named: %s", name, log.String())
		}
	}
	if next, err := jobs.Start(t.Context(), background.Work[counted]{Run: func(context.Context, func(counted)) {}}); err != nil || next.ID != "5" || len(jobs.List()) != 2 {
		t.Errorf("the next one: %+v, %v, of %d", next, err, len(jobs.List()))
	}
}
