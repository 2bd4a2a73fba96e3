package deliver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"pillarbox"
	"pillarbox/internal/destination"
	"pillarbox/internal/retry"
	"pillarbox/internal/telemetry"
)

// Options of a Loop. Destination, Queue and Letters are required; what else is zero has a default.
type Options struct {
	Destination *destination.Destination
	Queue       pillarbox.Queue
	Sink        pillarbox.Sink // a Guard where others write to it too; nil for a destination that is not configured any more
	Letters     pillarbox.DeadLetters
	Watch       *Watch           // is told what was settled
	History     *History         // is told what was stored after refusals
	Now         func() time.Time // default time.Now; must measure durations well though the clock is set
	Date        func() time.Time // what is written down; default Now
	Chance      func() float64   // in [0, 1), for jitter; default rand.Float64
	Logger      *slog.Logger     // default: discard
	Metrics     *telemetry.Deliver
	Traces      *telemetry.Traces // nil: nothing is recorded

	// Canary is told what became of events of the canary, once that is settled. It must not block. nil:
	// nobody is.
	Canary func(destination string, results []CanaryResult)
}

// Status is what a loop is doing.
type Status struct {
	Destination string
	State       string    // StateDelivering, StateDown or StatePaused
	DownSince   time.Time // zero while it is not down
	NextProbe   time.Time // the same
	Pause       pillarbox.PauseRecord
	LastError   string // the latest problem; empty after a write that had none
	LastErrorAt time.Time
	LastStored  time.Time
	Hanging     time.Duration // how long a write has not returned whose time is over; 0 where there is none
}

// The states of a loop.
const (
	StateDelivering = "delivering"
	StateDown       = "down"   // it does not answer, or can't store anything
	StatePaused     = "paused" // a person has said so, or the destination itself
)

// Loop delivers to one destination, one batch at a time.
type Loop struct {
	opts     Options
	name     string
	breaker  retry.Breaker   // used by Run only
	draining context.Context // ended by Drain; here to be merged with the context of Run
	drain    context.CancelFunc
	canaries *Canaries
	woken    chan struct{} // holds a token when there is another sink, or a pause has ended

	mu     sync.Mutex
	to     *destination.Destination
	sink   *Guard
	status Status
	warned time.Time // when note has logged a warning
	failed time.Time // when noteFilter has
}

// NewLoop prepares a loop. It does nothing before Run.
func NewLoop(opts Options) *Loop {
	opts.Logger = cmp.Or(opts.Logger, slog.New(slog.DiscardHandler))
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Date == nil {
		opts.Date = opts.Now
	}
	if opts.Chance == nil {
		opts.Chance = rand.Float64
	}
	if opts.Sink == nil {
		opts.Sink = unconfigured{}
	}
	guard, guarded := opts.Sink.(*Guard)
	if !guarded {
		guard = NewGuard(opts.Destination.Name, opts.Sink, opts.Logger)
	}
	if opts.Watch == nil {
		opts.Watch = NewWatch(&destination.Table{})
	}
	opts.History = cmp.Or(opts.History, NewHistory())
	draining, drain := context.WithCancel(context.Background())
	return &Loop{
		opts: opts, name: opts.Destination.Name, breaker: opts.Destination.Probe, draining: draining, drain: drain,
		woken: make(chan struct{}, 1), canaries: NewCanaries(opts.Date(), opts.Queue.Traits().Shared),
		to: opts.Destination, sink: guard,
		status: Status{Destination: opts.Destination.Name, State: StateDelivering},
	}
}

// SetDestination changes the rules while the loop runs, from the next batch on.
func (l *Loop) SetDestination(to *destination.Destination) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.to = to
}

// Configure gives the loop of a destination that was not configured any more its rules and a sink. It
// delivers at once, whatever it was waiting for.
func (l *Loop) Configure(to *destination.Destination, sink *Guard) {
	l.mu.Lock()
	l.to, l.sink = to, sink
	l.mu.Unlock()
	l.Wake()
}

// Wake ends a wait until the next probe, and lets a pause be looked at that has ended: it delivers at
// once.
func (l *Loop) Wake() {
	select {
	case l.woken <- struct{}{}:
	default:
	}
}

func (l *Loop) current() (*destination.Destination, *Guard) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.to, l.sink
}

// Status returns what the loop is doing.
func (l *Loop) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	status := l.status
	if status.Pause = l.opts.Queue.Pause(l.name); status.Pause.IsPaused() {
		status.State = StatePaused
	}
	if since := l.sink.Hanging(); since > 0 {
		status.LastError, status.LastErrorAt, status.Hanging = l.sink.hangs(
			since).Error(), l.opts.Now(), since
	}
	return status
}

// Drain makes Run return after the batch at hand. It does not wait.
func (l *Loop) Drain() { l.drain() }

// Run delivers until Drain or until ctx ends. Ending ctx cuts off a write, whose outcome is then
// unknown and whose events come again. The error is nil, or ctx's own.
func (l *Loop) Run(ctx context.Context) error {
	leasing, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(l.draining, stop)()
	toPut := make(chan []pillarbox.Delivery, batchesAhead)
	var putting sync.WaitGroup
	putting.Go(func() { l.putAll(ctx, toPut) })
	defer putting.Wait()
	defer close(toPut)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if leasing.Err() != nil {
			return nil
		}
		if err := l.turn(ctx, leasing, toPut); err != nil && leasing.Err() == nil {
			if errors.Is(err, pillarbox.ErrClosed) {
				return fmt.Errorf("deliver to %s: %w", l.name, err)
			}
			l.note(err)
			l.sleep(leasing, queueErrorWait)
		}
	}
}

// queueErrorWait is the pause after the queue itself failed.
const queueErrorWait = time.Second

// turn delivers one batch.
func (l *Loop) turn(ctx, leasing context.Context, toPut chan<- []pillarbox.Delivery) error {
	if l.isPaused() {
		l.sleepUntilWoken(leasing, pauseCheck)
		return nil
	}
	now := l.opts.Now()
	if wait := l.breaker.Wait(now); wait > 0 {
		l.sleepUntilWoken(leasing, wait)
		return nil
	}
	to, _ := l.current()
	l.breaker.ProbeInitial, l.breaker.ProbeMax = to.Probe.ProbeInitial, to.Probe.ProbeMax
	probing := l.breaker.State(now) == retry.Probing
	deliveries, err := l.gather(leasing, to.Batch)
	if len(deliveries) == 0 {
		return err
	}
	if l.isPaused() { // since the wait for them began
		return l.settle(ctx, deliveries, releaseAll(deliveries))
	}
	users, canaries := apart(deliveries)
	if len(users) > 0 {
		down, err := l.deliver(ctx, users, probing, toPut)
		if err != nil || down {
			return errors.Join(err, l.settle(ctx, canaries, releaseAll(canaries)))
		}
	}
	if len(canaries) > 0 {
		_, err = l.deliver(ctx, canaries, probing && len(users) == 0, toPut)
	}
	return err
}

// deliver takes a batch to its end. It returns whether the destination is down.
func (l *Loop) deliver(ctx context.Context, deliveries []pillarbox.Delivery, probing bool,
	toPut chan<- []pillarbox.Delivery) (down bool, err error) {
	to, sink := l.current() // anew: they may have come by rules that were not there when the wait began
	report := l.step(ctx, deliveries, to, sink, probing)
	l.meetStore(ctx, sink)
	l.steer(ctx, report, to.Batch.MaxEvents)
	l.pauseIfGone(ctx, report)
	if err := l.settle(ctx, deliveries, report.Outcomes); err != nil {
		return false, err
	}
	l.tellCanary(report.Canaries)
	if err := l.reviewHeld(ctx, report.Outcomes, to); err != nil {
		return false, err
	}
	rejected, err := l.leaseRejected(ctx, report.Outcomes)
	if len(rejected) > 0 {
		toPut <- rejected
	}
	return report.Down != nil, err
}

// pauseCheck is how often it is looked whether a pause has ended that somebody else may have ended,
// where the queue is shared.
const pauseCheck = time.Second

func (l *Loop) isPaused() bool {
	paused := l.opts.Queue.Pause(l.name).IsPaused()
	l.opts.Metrics.Paused(paused)
	return paused
}

// releaseAll gives events back as if they had not been leased.
func releaseAll(deliveries []pillarbox.Delivery) []pillarbox.Outcome {
	outcomes := make([]pillarbox.Outcome, len(deliveries))
	for i := range deliveries {
		outcomes[i] = pillarbox.Outcome{Handle: deliveries[i].Handle, Kind: pillarbox.OutcomeReleased}
	}
	return outcomes
}

// pauseIfGone pauses the delivery where the destination has said that it wants no more events. With a
// queue that remembers no pauses it stays down, and is probed.
func (l *Loop) pauseIfGone(ctx context.Context, report Report) {
	if !errors.Is(report.Down, pillarbox.ErrGone) || !l.opts.Queue.Traits().Obliges {
		return
	}
	record := pillarbox.PauseRecord{At: pillarbox.TimestampOf(l.opts.Date()), By: pillarbox.PausedByDestination,
		Reason: cut(report.Down.Error(), pillarbox.MaxPauseReason)}
	if err := l.opts.Queue.SetPause(context.WithoutCancel(ctx), l.name, record); err != nil {
		l.note(fmt.Errorf("pause: %w", err)) // it is down, and says so again when it is probed
		return
	}
	l.opts.Logger.Error("the destination wants no more events, and its delivery is paused; \"pillarbox resume\" goes on",
		telemetry.KeyDestination, l.name, telemetry.KeyErr, report.Down)
}

// reviewHeld looks again at what was held by rules that a reload has replaced meanwhile. The review
// that follows a reload leaves out what is leased.
func (l *Loop) reviewHeld(ctx context.Context, outcomes []pillarbox.Outcome,
	by *destination.Destination) error {
	now, _ := l.current()
	held := slices.ContainsFunc(outcomes,
		func(o pillarbox.Outcome) bool { return o.Kind == pillarbox.OutcomeHeld })
	if !held || now == by {
		return nil
	}
	return l.opts.Queue.Review(ctx, l.name, now.Holds)
}

func (l *Loop) step(ctx context.Context, deliveries []pillarbox.Delivery,
	to *destination.Destination, sink *Guard, probing bool) Report {
	start := time.Now()
	report := Step(ctx, sink, deliveries, to,
		Moment{Now: l.opts.Now(), Date: l.opts.Date(), Chance: l.opts.Chance, Probe: probing,
			Traces: l.opts.Traces, Canaries: l.canaries})
	l.opts.Metrics.Shaped(report.Changes.Dropped, report.Changes.Redacted, report.Changes.Renamed)
	if report.FilterFailed > 0 {
		l.opts.Metrics.FilterFailed(report.FilterFailed)
		l.noteFilter(report)
	}
	if report.Writes > 0 && !deliveries[0].Event.IsCanary() { // which come in batches of their own
		l.opts.Metrics.Batch(resultOf(report), len(deliveries), time.Since(start))
	}
	return report
}

func resultOf(report Report) telemetry.BatchResult {
	stored, refused := 0, 0
	for _, outcome := range report.Outcomes {
		switch outcome.Kind {
		case pillarbox.OutcomeStored:
			stored++
		case pillarbox.OutcomeSkipped, pillarbox.OutcomeHeld:
		default:
			refused++
		}
	}
	switch {
	case report.Down != nil && stored == 0:
		return telemetry.BatchUnavailable
	case refused == 0:
		return telemetry.BatchStored
	case stored == 0:
		return telemetry.BatchRefused
	}
	return telemetry.BatchPartial
}

// steer opens or closes the breaker. A write that the stop of the server cut off says nothing about
// the destination.
func (l *Loop) steer(ctx context.Context, report Report, full int) {
	now := l.opts.Now()
	switch {
	case report.Writes == 0 || ctx.Err() != nil:
		return
	case report.Down != nil:
		wasClosed := l.breaker.OpenSince().IsZero()
		l.breaker.Fail(now, pillarbox.RetryAfter(report.Down), l.opts.Chance())
		if wasClosed {
			l.opts.Logger.Warn("destination is down, delivery waits until it is back", telemetry.KeyDestination, l.name,
				telemetry.KeyErr, report.Down)
		}
	default:
		wasOpen := l.breaker.State(now) == retry.Probing
		l.breaker.Succeed(full)
		if wasOpen {
			l.opts.Logger.Info("destination is back, delivery goes on", telemetry.KeyDestination, l.name)
		}
	}
	l.describe(report, now)
}

func (l *Loop) describe(report Report, now time.Time) {
	down := l.breaker.State(now) == retry.Open || l.breaker.State(now) == retry.Probing
	l.opts.Metrics.Breaker(down)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.status.State, l.status.DownSince, l.status.NextProbe = StateDelivering, time.Time{}, time.Time{}
	if down {
		l.status.State, l.status.DownSince = StateDown, l.breaker.OpenSince()
		l.status.NextProbe = now.Add(l.breaker.Wait(now))
	}
	if report.Down != nil {
		l.status.LastError, l.status.LastErrorAt = report.Down.Error(), now
		return
	}
	l.status.LastError = ""
	for _, outcome := range report.Outcomes {
		switch {
		case outcome.Kind == pillarbox.OutcomeStored:
			l.status.LastStored = now
		case outcome.Attempt != nil:
			l.status.LastError, l.status.LastErrorAt = outcome.Attempt.Error, now
		}
	}
}

// noteEvery is how often a problem is logged that comes again and again.
const noteEvery = time.Minute

// note keeps a problem of the queue or of the dead letters for the status.
func (l *Loop) note(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, level := l.opts.Now(), slog.LevelDebug
	if l.warned.IsZero() || now.Sub(l.warned) >= noteEvery {
		l.warned, level = now, slog.LevelWarn
	}
	l.opts.Logger.Log(context.Background(), level, "delivery is held up", telemetry.KeyDestination,
		l.name, telemetry.KeyErr, err)
	l.status.LastError, l.status.LastErrorAt = err.Error(), now
}

// noteFilter says that the filter could not tell of events.
func (l *Loop) noteFilter(report Report) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.opts.Now()
	if !l.failed.IsZero() && now.Sub(l.failed) < noteEvery {
		return
	}
	l.failed = now
	l.opts.Logger.Warn("the filter of a destination can't tell of events; they are delivered, or are dead letters, as where_on_error says",
		telemetry.KeyDestination, l.name, telemetry.KeyEvents, report.FilterFailed, telemetry.KeyErr, report.FilterFailure)
}

// settle records the outcomes, and does not give up while the process lives: the deliveries are
// leased, and nobody else will settle them.
func (l *Loop) settle(ctx context.Context, deliveries []pillarbox.Delivery,
	outcomes []pillarbox.Outcome) error {
	for {
		// A stop must not cut off the record of what was done.
		err := l.opts.Queue.Settle(context.WithoutCancel(ctx), l.name, outcomes)
		if err == nil {
			break
		}
		if errors.Is(err, pillarbox.ErrConflict) && len(outcomes) > 1 {
			return l.settleEach(ctx, deliveries, outcomes)
		}
		if ctx.Err() != nil || errors.Is(err, pillarbox.ErrClosed) ||
			errors.Is(err, pillarbox.ErrConflict) {
			return fmt.Errorf("settle: %w", err)
		}
		l.note(fmt.Errorf("settle: %w", err))
		l.sleep(ctx, queueErrorWait)
	}
	l.measure(deliveries, outcomes)
	l.opts.History.remember(l.name, deliveries, outcomes)
	l.opts.Watch.settled(l.name, deliveries, outcomes)
	return nil
}

// settleEach settles one by one what can't be settled together because some of it is not leased any
// more: the others must not stay leased for that. It happens where an answer of the queue was lost,
// and what it had released was leased twice.
func (l *Loop) settleEach(ctx context.Context, deliveries []pillarbox.Delivery,
	outcomes []pillarbox.Outcome) error {
	errs := make([]error, len(outcomes))
	for i := range outcomes {
		errs[i] = l.settle(ctx, deliveries[i:i+1], outcomes[i:i+1])
	}
	return errors.Join(errs...)
}

func (l *Loop) measure(deliveries []pillarbox.Delivery, outcomes []pillarbox.Outcome) {
	counts := map[telemetry.Outcome]int{}
	now := l.opts.Date()
	for i, outcome := range outcomes {
		if deliveries[i].Event.IsCanary() {
			continue // no user's event: it has metrics of its own
		}
		switch outcome.Kind {
		case pillarbox.OutcomeStored:
			counts[telemetry.Stored]++
			l.measureLag(deliveries[i].Event, now)
		case pillarbox.OutcomeSkipped:
			counts[telemetry.Skipped]++
		case pillarbox.OutcomeRetry:
			counts[telemetry.Retry]++
		case pillarbox.OutcomeDead:
			counts[telemetry.Dead]++
		case pillarbox.OutcomeReleased:
			counts[telemetry.Released]++
		case pillarbox.OutcomeHeld:
			counts[telemetry.Held]++
		}
	}
	for outcome, n := range counts {
		l.opts.Metrics.Events(outcome, n)
	}
}

func (l *Loop) sleep(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// sleepUntilWoken is for waits until a probe of a sink, which say nothing of another one.
func (l *Loop) sleepUntilWoken(ctx context.Context, wait time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	select {
	case <-ctx.Done():
	case <-l.woken:
		to, _ := l.current()
		l.breaker = to.Probe
	}
}
