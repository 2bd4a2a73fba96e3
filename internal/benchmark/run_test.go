package benchmark_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pillarbox/internal/benchmark"
)

// local is a contender in the process of the test, which counts and can lie.
type local struct {
	name    string
	peer    bool
	refuse  bool   // answers 503
	hidden  uint64 // accepted events that are missing in its account, per answer
	fails   bool   // at its start
	started *[]string
	running atomic.Int64
}

func (l *local) contender() benchmark.Contender {
	return benchmark.Contender{Name: l.name, Class: benchmark.Durable, Peer: l.peer, Batches: true,
		Start: l.start}
}

func (l *local) start(_ context.Context, dir string) (*benchmark.Running, error) {
	*l.started = append(*l.started, l.name)
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		return nil, errors.New("the directory is not fresh")
	}
	if l.fails {
		return nil, errors.New("it does not start")
	}
	var accepted atomic.Uint64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if l.refuse {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		n := uint64(1)
		if r.URL.Path == "/app/batch" {
			n = 10
		}
		accepted.Add(n - l.hidden)
		w.WriteHeader(http.StatusAccepted)
	}))
	l.running.Add(1)
	return &benchmark.Running{
		Address: server.Listener.Addr().String(), Path: "/app", PID: os.Getpid(),
		Accepted: func() (uint64, error) { return accepted.Load(), nil },
		Stop:     func() error { server.Close(); l.running.Add(-1); return nil },
	}, nil
}

// runLocal runs one group of two scenarios for two rounds.
func runLocal(t *testing.T, all ...*local) (started []string, contenders []benchmark.Contender,
	measured []benchmark.Measurement, err error) {
	t.Helper()
	plan := benchmark.Plan{Dir: t.TempDir(), Groups: []benchmark.Group{{
		Scenarios: []benchmark.Scenario{benchmark.ClosedLoop(2, 100),
			{Connections: 1, Body: 60, Items: 10}}, Rounds: 2, Duration: 40 * time.Millisecond,
	}}}
	for _, l := range all {
		l.started = &started
		plan.Contenders = append(plan.Contenders, l.contender())
	}
	contenders, measured, err = benchmark.Run(t.Context(), plan)
	if left, _ := os.ReadDir(plan.Dir); len(left) > 0 {
		t.Errorf("%d directories are left", len(left))
	}
	for _, l := range all {
		if n := l.running.Load(); n != 0 {
			t.Errorf("%d servers of %s were not stopped", n, l.name)
		}
	}
	return started, contenders, measured, err
}

// TestContendersTakeTurns: each round gives everybody a turn in a fresh directory, every second one
// backwards.
func TestContendersTakeTurns(t *testing.T) {
	started, _, measured, err := runLocal(t, &local{name: "a"}, &local{name: "b"})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a", "b", "b", "a"}; !slices.Equal(started, want) {
		t.Errorf("started %v, want %v", started, want)
	}
	if len(measured) != 8 {
		t.Fatalf("%d measurements, want 8", len(measured))
	}
	for _, m := range measured {
		if m.Problem != "" || m.PerSecond <= 0 || m.P50 <= 0 || m.P99 < m.P50 || m.Max < m.P99 ||
			m.Failed != 0 {
			t.Errorf("%+v", m)
		}
	}
}

// TestWhatIsNotInTheAccountIsAProblem: answers are not believed.
func TestWhatIsNotInTheAccountIsAProblem(t *testing.T) {
	_, _, measured, err := runLocal(t, &local{name: "liar", hidden: 1},
		&local{name: "full", refuse: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range measured {
		want := map[string]string{"liar": "the ledger has", "full": "requests failed"}[m.Contender]
		if !strings.Contains(m.Problem, want) {
			t.Errorf("%s: %q, want %q", m.Contender, m.Problem, want)
		}
	}
}

// TestAPeerThatDoesNotStartIsLeftOut: the run goes on without it. Without one of our own it would
// mean nothing.
func TestAPeerThatDoesNotStartIsLeftOut(t *testing.T) {
	started, contenders, measured, err := runLocal(t, &local{name: "a"},
		&local{name: "b", peer: true, fails: true})
	if err != nil || len(measured) != 4 || contenders[1].Missing == "" ||
		slices.Index(started[2:], "b") >= 0 {
		t.Errorf("%v, %d measurements, %+v, started %v", err, len(measured), contenders, started)
	}
	if _, _, _, err = runLocal(t, &local{name: "a", fails: true}); err == nil {
		t.Error("a run without a contender of our own went on")
	}
}

func TestARunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	l := &local{name: "a", started: &[]string{}}
	plan := benchmark.Plan{Dir: t.TempDir(), Contenders: []benchmark.Contender{l.contender()},
		Groups: []benchmark.Group{{
			Scenarios: []benchmark.Scenario{benchmark.ClosedLoop(1, 100)}, Rounds: 1, Duration: time.Minute,
		}}}
	time.AfterFunc(100*time.Millisecond, cancel)
	begin := time.Now()
	if _, _, err := benchmark.Run(ctx, plan); !errors.Is(err, context.Canceled) ||
		time.Since(begin) > 30*time.Second {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
	if l.running.Load() != 0 {
		t.Error("the server was not stopped")
	}
}

// TestProgressNamesWhatIsMeasured, for those who wait.
func TestProgressNamesWhatIsMeasured(t *testing.T) {
	var out bytes.Buffer
	l := &local{name: "somebody", started: &[]string{}}
	plan := benchmark.Plan{Dir: t.TempDir(), Progress: &out,
		Contenders: []benchmark.Contender{l.contender()}, Groups: []benchmark.Group{{
			Scenarios: []benchmark.Scenario{{Connections: 2, Body: 4096,
				Rate: 500}}, Rounds: 1, Duration: 40 * time.Millisecond,
		}}}
	if _, _, err := benchmark.Run(t.Context(), plan); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"round 1 of 1", "somebody", "2 connections, 4 KiB, 500/s"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q does not hold %q", &out, want)
		}
	}
}
