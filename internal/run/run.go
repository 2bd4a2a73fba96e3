// Package run starts the services of a process in order and stops them in the reverse order, each
// with a deadline.
//
// It promises that whatever was started is stopped, waited for and closed, however the process came
// to its end and however many of the services fail on the way; and that no error gets lost. It does
// not restart anything: a service that can heal does so inside, and one that can't ends the
// process.
package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// ErrDrainCut says that a service had not finished its work when its deadline passed or when the
// stop was forced, and was cancelled.
var ErrDrainCut = errors.New("cut off before it was drained")

// ErrLeftBehind says that something had not ended although it was cancelled or closed, and was not
// waited for any longer. It still runs: the process is to end.
var ErrLeftBehind = errors.New("did not end and was left behind")

// Grace is how long something that was cancelled may take to end before it is left behind.
const Grace = 3 * time.Second

// DefaultDrainTimeout is how long a service may take to finish its work where nothing else is set.
const DefaultDrainTimeout = 30 * time.Second

// Service is one thing to start and stop. Every function is optional.
//
//	Start -> Run ... Drain -> (deadline: Run's context is cancelled) -> Run has returned -> Close
type Service struct {
	// Name is how errors and logs call it.
	Name string

	// Start returns when the service is ready for those that are started after it. An error ends the
	// group, and then neither Run, Drain nor Close of this service is called. ctx is cancelled when
	// the group stops meanwhile.
	Start func(ctx context.Context) error

	// Run works until it is drained or ctx is cancelled, and must return soon after either. If it
	// returns an error before, the group stops; if it returns nil, the others go on. An error that is
	// ctx's own cancellation counts as none.
	Run func(ctx context.Context) error

	// Drain makes Run return once it has finished the work at hand, and refuse new work. It may return
	// at once or when the work is finished: both Drain and Run are waited for. ctx ends with the
	// deadline, or at once where the stop is forced; ctx may already have ended when Drain is called.
	// Without Drain, the context of Run is cancelled instead.
	Drain func(ctx context.Context) error

	// DrainTimeout is how long Drain and Run may take from the call of Drain on, before Run's context
	// is cancelled. 0 is the group's.
	DrainTimeout time.Duration

	// Close releases what Start or the maker of the service took. It is called after Run has returned,
	// and after everything that was started later is closed; not at all where Run is left behind. It
	// may take as long as a drain, and is left behind then.
	Close func() error
}

// Options of a group. The zero value works.
type Options struct {
	Log          *slog.Logger  // nil discards
	DrainTimeout time.Duration // 0 is DefaultDrainTimeout
}

// Group is a list of stages. No stage is to be added while it runs.
type Group struct {
	log          *slog.Logger
	drainTimeout time.Duration
	stages       []*Stage
}

// ErrStopping says that a service can't be launched, because its stage stops already.
var ErrStopping = errors.New("nothing can be started any more, because the process stops")

// Stage is services that start one after the other, and stop side by side.
type Stage struct {
	mu       sync.Mutex
	services []Service              // to start with
	launch   func(Service) *running // nil unless the stage runs
	running  []*running
	ended    bool
}

// New returns an empty group.
func New(options Options) *Group {
	return &Group{
		log:          cmp.Or(options.Log, slog.New(slog.DiscardHandler)),
		drainTimeout: cmp.Or(options.DrainTimeout, DefaultDrainTimeout),
	}
}

// Add appends a stage. Stages and the services in them are started one after the other. Stages are
// stopped in reverse order, one after the other; the services of one stage are drained side by side
// and then closed in reverse order.
func (g *Group) Add(services ...Service) *Stage {
	stage := &Stage{services: services}
	g.stages = append(g.stages, stage)
	return stage
}

// Launch starts one more service of a stage, or has it started with the others where the stage has
// not begun yet. It is stopped as if it had been there from the beginning. It may be called
// concurrently. Errors: those of Start; ErrStopping, after which the service is closed.
func (s *Stage) Launch(ctx context.Context, service Service) error {
	if s.adds(service) {
		return nil
	}
	if err := startOne(ctx, service); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.running = append(s.running, s.launch(service))
		return nil
	}
	err := fmt.Errorf("start %s: %w", service.Name, ErrStopping)
	if service.Close != nil {
		err = errors.Join(err, service.Close())
	}
	return err
}

// adds adds the service to those that the stage begins with, unless it has begun.
func (s *Stage) adds(service Service) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.launch != nil || s.ended {
		return false
	}
	s.services = append(s.services, service)
	return true
}

// begin lets services be launched, and returns those that the stage begins with.
func (s *Stage) begin(launch func(Service) *running) []Service {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.launch = launch
	return s.services
}

// end lets no more be launched, and returns what runs.
func (s *Stage) end() []*running {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	return s.running
}

// Run starts everything, waits until stop is done or a service fails, and stops everything that was
// started. When force is done, all drains end and all services are cancelled at once; they are
// still waited for and closed in order.
//
// It returns the errors of all services, joined, each with the service's name: those of Start, Run,
// Drain and Close, ErrDrainCut and ErrLeftBehind. That stop or force is done is no error. It
// returns when nothing runs any more but what it has left behind, by name: what hangs, in a call to
// a disk for example, can't be made to end.
func (g *Group) Run(stop, force context.Context) error {
	stop, ask := context.WithCancel(stop)
	defer ask()
	base, cancel := context.WithCancel(context.WithoutCancel(stop))
	defer cancel()
	defer context.AfterFunc(force, cancel)()

	started, err := g.start(stop, base, ask)
	if err == nil {
		<-stop.Done()
	}
	ask()
	g.log.Info("stopping")
	errs := []error{err}
	for _, stage := range slices.Backward(started) {
		errs = append(errs, g.stopStage(base, stage.end())...)
	}
	return errors.Join(errs...)
}

// running is a service that was started.
type running struct {
	Service
	ctx    context.Context // of Run; here only because Drain's deadline cancels it
	cancel context.CancelFunc
	done   chan struct{} // closed when Run has returned
	err    error         // of Run; to be read after done
	left   bool          // Run was left behind; set by who stops it
	cut    bool          // Run returned after it was cancelled; to be read after done
}

// start starts services until all run, or one fails, or stop is done.
func (g *Group) start(stop, base context.Context, ask func()) (started []*Stage, err error) {
	for _, stage := range g.stages {
		started = append(started, stage)
		services := stage.begin(func(service Service) *running { return g.launch(base, service, ask) })
		for _, service := range services {
			if stop.Err() != nil {
				return started, nil
			}
			if err := stage.Launch(stop, service); err != nil {
				return started, err
			}
		}
	}
	return started, nil
}

func startOne(stop context.Context, service Service) error {
	if service.Start == nil {
		return nil
	}
	err := service.Start(stop)
	if err != nil {
		return fmt.Errorf("start %s: %w", service.Name, err)
	}
	return nil
}

// launch runs Run beside the caller. ask stops the group.
func (g *Group) launch(base context.Context, service Service, ask func()) *running {
	r := &running{Service: service, done: make(chan struct{})}
	r.ctx, r.cancel = context.WithCancel(base)
	if service.Run == nil {
		close(r.done)
		return r
	}
	g.log.Info("service started", "service", service.Name)
	go func() {
		defer close(r.done)
		r.err = service.Run(r.ctx)
		r.cut = r.ctx.Err() != nil
		if r.cut && errors.Is(r.err, context.Canceled) {
			r.err = nil
		}
		if r.err != nil {
			ask()
		}
	}()
	return r
}

// stopStage drains a stage side by side, waits for it, and closes it in reverse order.
func (g *Group) stopStage(base context.Context, stage []*running) []error {
	errs := make([]error, len(stage), 2*len(stage))
	var drains sync.WaitGroup
	for i, r := range stage {
		drains.Go(func() { errs[i] = g.stopOne(base, r) })
	}
	drains.Wait()
	for _, r := range slices.Backward(stage) {
		if r.Close == nil || r.left {
			continue
		}
		if err := Within(g.drainTimeout+Grace, r.Close); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", r.Name, err))
		}
	}
	return errs
}

// stopOne returns when the service has ended, or is left behind.
func (g *Group) stopOne(base context.Context, r *running) error {
	ended := make(chan error, 1)
	go func() { ended <- g.end(base, r) }()
	ctx, cancel := context.WithTimeout(base, cmp.Or(r.DrainTimeout, g.drainTimeout))
	defer cancel()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	err := Within(Grace, func() error { return <-ended })
	if r.left = errors.Is(err, ErrLeftBehind); r.left {
		g.log.Error("a service did not end and is left behind", "service", r.Name)
		err = fmt.Errorf("%s: %w", r.Name, err)
	}
	return err
}

// Within calls f, and returns ErrLeftBehind where that takes longer than it may. f then still runs.
func Within(limit time.Duration, f func() error) error {
	returned := make(chan error, 1)
	go func() { returned <- f() }()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-returned:
		return err
	case <-timer.C:
		return ErrLeftBehind
	}
}

// end returns when the service has ended.
func (g *Group) end(base context.Context, r *running) error {
	var drainErr error
	if r.Drain != nil {
		drainErr = g.drain(base, r)
	}
	r.cancel()
	<-r.done
	if r.Run != nil {
		g.log.Info("service stopped", "service", r.Name)
	}
	if r.err == nil && drainErr == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", r.Name, errors.Join(r.err, drainErr))
}

// drain returns when both Drain and Run have.
func (g *Group) drain(base context.Context, r *running) error {
	ctx, cancel := context.WithTimeout(base, cmp.Or(r.DrainTimeout, g.drainTimeout))
	defer cancel()
	// Not only after Drain, which may be the one that does not return.
	defer context.AfterFunc(ctx, r.cancel)()
	err := r.Drain(ctx)
	<-r.done
	ended := ctx.Err()
	if ended == nil || err == nil && !r.cut {
		return err
	}
	if errors.Is(err, ended) {
		err = nil // says nothing more
	}
	return errors.Join(fmt.Errorf("%w: %w", ErrDrainCut, ended), err)
}
