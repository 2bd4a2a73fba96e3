package run_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox/internal/run"
)

// story collects what happened, with the seconds since the start of the bubble.
type story struct {
	mu    sync.Mutex
	begun time.Time
	lines []string
}

func newStory() *story { return &story{begun: time.Now()} }

func (s *story) tell(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := time.Since(s.begun).Round(time.Second)
	s.lines = append(s.lines, fmt.Sprintf("%v %s", at, fmt.Sprintf(format, args...)))
}

func (s *story) expect(t *testing.T, want ...string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.lines, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(s.lines, "\n"), strings.Join(want, "\n"))
	}
}

// worker finishes its work in the given time once it is drained, or drops it when it is cancelled.
func worker(s *story, name string, needs time.Duration) run.Service {
	drained := make(chan struct{})
	return run.Service{
		Name:  name,
		Start: func(context.Context) error { s.tell("start %s", name); return nil },
		Run: func(ctx context.Context) error {
			select {
			case <-drained:
			case <-ctx.Done():
				s.tell("%s cancelled", name)
				return ctx.Err()
			}
			select {
			case <-time.After(needs):
				s.tell("%s finished", name)
				return nil
			case <-ctx.Done():
				s.tell("%s cancelled", name)
				return ctx.Err()
			}
		},
		Drain: func(context.Context) error { s.tell("drain %s", name); close(drained); return nil },
		Close: func() error { s.tell("close %s", name); return nil },
	}
}

func store(s *story, name string, err error) run.Service {
	return run.Service{Name: name, Close: func() error { s.tell("close %s", name); return err }}
}

// background runs the group and returns what stops it, what forces it, and its result.
func background(g *run.Group) (stop, force func(), result <-chan error) {
	stopCtx, stop := context.WithCancel(context.Background())
	forceCtx, force := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(stopCtx, forceCtx) }()
	return stop, force, done
}

// The whole order of a shutdown, as the server needs it.
func TestStopsInTheOrderOfTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStory()
		g := run.New(run.Options{DrainTimeout: 10 * time.Second})
		g.Add(store(s, "dead letters", nil))
		g.Add(store(s, "queue", nil))
		g.Add(store(s, "sink", nil))
		g.Add(worker(s, "deliver", 3*time.Second))
		g.Add(worker(s, "http", 2*time.Second))
		g.Add(run.Service{
			Name:  "ready",
			Start: func(context.Context) error { s.tell("ready"); return nil },
			Drain: func(context.Context) error { s.tell("not ready"); return nil },
		})
		stop, _, result := background(g)
		synctest.Wait()
		stop()
		if err := <-result; err != nil {
			t.Errorf("got %v", err)
		}
		s.expect(t, "0s start deliver", "0s start http", "0s ready",
			"0s not ready", "0s drain http", "2s http finished", "2s close http",
			"2s drain deliver", "5s deliver finished", "5s close deliver",
			"5s close sink", "5s close queue", "5s close dead letters")
	})
}

func TestDrainEndsWithItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStory()
		g := run.New(run.Options{DrainTimeout: 10 * time.Second})
		g.Add(store(s, "queue", nil))
		slow := worker(s, "slow", time.Hour)
		slow.DrainTimeout = 4 * time.Second
		g.Add(slow, worker(s, "slower", time.Hour), worker(s, "quick", time.Second))
		stop, _, result := background(g)
		synctest.Wait()
		stop()
		err := <-result
		if !errors.Is(err, run.ErrDrainCut) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if text := err.Error(); !strings.Contains(text, "slow: cut off") ||
			!strings.Contains(text, "slower: cut off") ||
			strings.Contains(text, "quick") {
			t.Errorf("the services are not named: %v", err)
		}
		if want := []string{"1s quick finished", "4s slow cancelled", "10s slower cancelled",
			"10s close quick",
			"10s close slower", "10s close slow", "10s close queue"}; !slices.Equal(s.lines[6:], want) {
			t.Errorf("got %q", s.lines[6:])
		}
	})
}

// A Drain that blocks until its work is done, as http.Server.Shutdown does, can't outlive the
// deadline, and Run is cancelled even if Drain takes no notice of it.
func TestBlockingDrainIsCutToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := run.New(run.Options{})
		ended := make(chan struct{})
		g.Add(run.Service{
			Name: "http",
			Run: func(ctx context.Context) error {
				defer close(ended)
				<-ctx.Done()
				return ctx.Err()
			},
			Drain: func(context.Context) error { <-ended; return errors.New("one connection left") },
		})
		begun := time.Now()
		stop, _, result := background(g)
		synctest.Wait()
		stop()
		err := <-result
		if !errors.Is(err, run.ErrDrainCut) || !strings.Contains(err.Error(), "one connection left") {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begun); took != run.DefaultDrainTimeout {
			t.Errorf("took %v", took)
		}
	})
}

func TestSecondSignalCancelsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStory()
		g := run.New(run.Options{DrainTimeout: time.Hour})
		g.Add(store(s, "queue", nil))
		g.Add(worker(s, "deliver", time.Minute))
		g.Add(worker(s, "http", time.Minute))
		stop, force, result := background(g)
		synctest.Wait()
		stop()
		time.AfterFunc(5*time.Second, force)
		if err := <-result; !errors.Is(err, run.ErrDrainCut) {
			t.Errorf("got %v", err)
		}
		// Both are cancelled at the same moment, in whichever order; the closing keeps its own.
		slices.Sort(s.lines[3:5])
		closing := slices.DeleteFunc(slices.Clone(s.lines),
			func(line string) bool { return !strings.Contains(line, "close") })
		if !slices.Equal(closing, []string{"5s close http", "5s close deliver", "5s close queue"}) {
			t.Errorf("got %q", s.lines)
		}
	})
}

func TestFailingServiceStopsTheGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStory()
		failure := errors.New("address in use")
		g := run.New(run.Options{})
		g.Add(worker(s, "deliver", time.Second))
		g.Add(run.Service{Name: "http", Run: func(context.Context) error {
			<-time.After(7 * time.Second)
			return failure
		}})
		g.Add(run.Service{Name: "once", Run: func(context.Context) error { return nil }})
		_, _, result := background(g)
		err := <-result
		if !errors.Is(err, failure) || err.Error() != "http: address in use" {
			t.Errorf("got %v", err)
		}
		s.expect(t, "0s start deliver", "7s drain deliver", "8s deliver finished", "8s close deliver")
	})
}

func TestFailedStartStopsWhatWasStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStory()
		failure := errors.New("locked")
		g := run.New(run.Options{})
		g.Add(store(s, "queue", nil))
		g.Add(worker(s, "deliver", time.Second), run.Service{
			Name:  "sink",
			Start: func(context.Context) error { return failure },
			Run:   func(context.Context) error { s.tell("never"); return nil },
			Drain: func(context.Context) error { s.tell("never"); return nil },
			Close: func() error { s.tell("never"); return nil },
		})
		g.Add(worker(s, "http", time.Second))
		_, _, result := background(g)
		if err := <-result; !errors.Is(err, failure) || err.Error() != "start sink: locked" {
			t.Errorf("got %v", err)
		}
		s.expect(t, "0s start deliver", "0s drain deliver", "1s deliver finished", "1s close deliver",
			"1s close queue")
	})
}

func TestStopDuringStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStory()
		g := run.New(run.Options{})
		g.Add(store(s, "queue", nil))
		g.Add(run.Service{Name: "slow", Start: func(ctx context.Context) error {
			<-ctx.Done()
			return nil // became ready after all
		}, Close: func() error { s.tell("close slow"); return nil }})
		g.Add(worker(s, "http", time.Second))
		stop, _, result := background(g)
		synctest.Wait()
		stop()
		if err := <-result; err != nil {
			t.Errorf("got %v", err)
		}
		s.expect(t, "0s close slow", "0s close queue")
	})
}

// Every error comes back, and none keeps the rest from being closed.
func TestAllErrorsAreJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStory()
		g := run.New(run.Options{})
		g.Add(store(s, "queue", errors.New("sync failed")))
		g.Add(store(s, "sink", errors.New("still busy")))
		g.Add(run.Service{
			Name:  "deliver",
			Run:   func(ctx context.Context) error { <-ctx.Done(); return errors.New("lost the lease") },
			Drain: func(context.Context) error { return errors.New("no answer") },
			// Run goes on after the drain, so that the deadline cuts it off.
			DrainTimeout: time.Second,
		})
		stop, _, result := background(g)
		synctest.Wait()
		stop()
		err := <-result
		for _, want := range []string{"close queue: sync failed", "close sink: still busy",
			"deliver: lost the lease", "no answer"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q is missing in %v", want, err)
			}
		}
		s.expect(t, "1s close sink", "1s close queue")
	})
}

func TestLogsLifecycle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		s := newStory()
		g := run.New(run.Options{Log: slog.New(slog.NewTextHandler(&out, nil))})
		g.Add(worker(s, "http", 0))
		stop, _, result := background(g)
		synctest.Wait()
		stop()
		if err := <-result; err != nil {
			t.Error(err)
		}
		for _, want := range []string{`msg="service started" service=http`, "msg=stopping", `msg="service stopped" service=http`} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("no %q in\n%s", want, &out)
			}
		}
	})
}

// Start and stop at any moment, by any of the three ways: everything that was started is closed,
// exactly once, and nothing runs afterwards.
func TestStartStopStress(t *testing.T) {
	const rounds = 2000
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range rounds {
		var opened, closed, active atomic.Int32
		g := run.New(run.Options{DrainTimeout: time.Millisecond})
		for range rng.IntN(4) + 1 {
			var stage []run.Service
			for range rng.IntN(3) + 1 {
				stage = append(stage, stressed(rng.IntN(6), &opened, &closed, &active))
			}
			g.Add(stage...)
		}
		stop, force, result := background(g)
		if rng.IntN(2) == 0 {
			go force()
		}
		go stop()
		// Which errors occur is chance; that the call returns with everything closed is the promise.
		<-result
		force()
		if opened.Load() != closed.Load() || active.Load() != 0 {
			t.Fatalf("opened %d, closed %d, still active %d", opened.Load(), closed.Load(), active.Load())
		}
	}
}

func stressed(kind int, opened, closed, active *atomic.Int32) run.Service {
	drained := make(chan struct{})
	service := run.Service{
		Name:  fmt.Sprint("kind ", kind),
		Start: func(context.Context) error { opened.Add(1); return nil },
		Run: func(ctx context.Context) error {
			active.Add(1)
			defer active.Add(-1)
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-drained:
				return nil
			}
		},
		Drain: func(context.Context) error { close(drained); return nil },
		Close: func() error { closed.Add(1); return nil },
	}
	switch kind {
	case 0:
		service.Run = func(context.Context) error { return errors.New("broken") }
	case 1:
		service.Run = nil
	case 2:
		service.Drain = nil
	case 3:
		service.Drain = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	}
	return service
}

func TestSignals(t *testing.T) {
	stop, force, release := run.Signals(syscall.SIGUSR1)
	defer release()
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	<-stop.Done()
	if force.Err() != nil {
		t.Error("the first signal forced the stop")
	}
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	<-force.Done()
	release()
}

func TestSignalsAreReleased(t *testing.T) {
	stop, force, release := run.Signals(syscall.SIGUSR1)
	release()
	release()
	if stop.Err() == nil || force.Err() == nil {
		t.Error("a released context has not ended")
	}
}

// TestLeavesBehindWhatHangs has a service that ignores everything, and one whose Close does not
// return: the stop ends in time, goes on with the others, and names both.
func TestLeavesBehindWhatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, release := newStory(), make(chan struct{})
		group := run.New(run.Options{DrainTimeout: 10 * time.Second})
		group.Add(store(s, "store", nil))
		group.Add(run.Service{Name: "stuck close", Close: func() error { <-release; return nil }})
		group.Add(run.Service{
			Name: "stuck run", Run: func(context.Context) error { <-release; return nil },
			Drain: func(context.Context) error { <-release; return nil },
			Close: func() error { t.Error("closed although it runs"); return nil },
		})
		group.Add(run.Service{Name: "stuck without drain",
			Run: func(context.Context) error { <-release; return nil }})
		stop, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- group.Run(stop, context.Background()) }()
		synctest.Wait()
		began := time.Now()
		cancel()
		err := <-ended
		for _, name := range []string{"stuck close", "stuck run", "stuck without drain"} {
			if !errors.Is(err, run.ErrLeftBehind) || !strings.Contains(err.Error(), name) {
				t.Errorf("%v, want that %s was left behind", err, name)
			}
		}
		if took, most := time.Since(began), 3*(10*time.Second+run.Grace); took > most {
			t.Errorf("the stop took %s, want at most %s", took, most)
		}
		s.expect(t, "39s close store")
		close(release)
	})
}

// TestLaunch adds services to a stage before it begins, while it runs and after its end. Those that
// run are drained with the stage.
func TestLaunch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStory()
		stop, cancel := context.WithCancel(t.Context())
		group := run.New(run.Options{})
		stage := group.Add(worker(s, "first", time.Second))
		launch := func(name string) {
			if err := stage.Launch(t.Context(), worker(s, name, time.Second)); err != nil {
				t.Error(err)
			}
		}
		launch("early")
		ended := make(chan error)
		go func() { ended <- group.Run(stop, t.Context()) }()
		synctest.Wait()
		launch("late")
		s.expect(t, "0s start first", "0s start early", "0s start late")
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		closed := false
		err := stage.Launch(t.Context(), run.Service{Name: "too late",
			Close: func() error { closed = true; return nil }})
		if !errors.Is(err, run.ErrStopping) || !strings.Contains(err.Error(), "too late") || !closed {
			t.Errorf("after the end: %v, closed %v", err, closed)
		}
	})
}
