package sim

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"pillarbox"
	"pillarbox/internal/batch"
	"pillarbox/internal/engine/seglog"
	"pillarbox/internal/replay"
	"pillarbox/internal/retry"
	"pillarbox/internal/vfs/faultfs"
)

// world is one history.
type world struct {
	boots atomic.Int64 // of the machine

	seed     uint64
	horizon  time.Duration // when the faults stop
	clock    *wallClock
	schedule []period
	ill      []illness
	model    *model
	tally    *tally
	disk     *faultfs.FS // of the life that is next

	policy     retry.Policy
	batch      batch.Limits
	atomic     bool          // the store takes all of a batch or nothing
	lull       time.Duration // between bursts
	logOptions seglog.Options

	fuse     atomic.Int64 // operations of the disk until the life is cut off; 0 for none
	looking  atomic.Bool  // a check reads; what it reads does not fail
	draining atomic.Bool
	filters  bool           // of the life that is on
	trouble  atomic.Int64   // when there was trouble last, since the start
	late     sync.WaitGroup // writes that nobody waits for

	rng, sinkRNG, copiesRNG, chosenRNG, queueRNG, diskRNG, lettersRNG, loopRNG, replayRNG, clientRNG, operatorRNG, cutRNG *rng

	once   sync.Once
	err    error         // set before broken is closed
	broken chan struct{} // closed once something is wrong
}

// Live lives the world of a seed for so many hours, in a bubble of synctest, and counts what
// happens. The error is a promise that was broken.
func Live(seed uint64, hours int, t *tally) error {
	w := newWorld(seed, time.Duration(hours)*time.Hour, t)
	for number := 1; w.elapsed() < w.horizon && !w.isBroken(); number++ {
		w.liveOnce(number)
	}
	if !w.isBroken() {
		w.finish()
	}
	w.late.Wait()
	t.addN("hours", int(w.elapsed()/time.Hour))
	t.add("worlds")
	return w.err
}

func newWorld(seed uint64, horizon time.Duration, t *tally) *world {
	w := &world{
		seed: seed, horizon: horizon, model: newModel(), tally: t, disk: faultfs.New(
			faultfs.Options{}), broken: make(chan struct{}),
		chosenRNG: newRNG(seed, "chosen"),
		rng:       newRNG(seed, "world"), sinkRNG: newRNG(seed, "sink"), copiesRNG: newRNG(seed,
			"copies"), queueRNG: newRNG(seed, "queue"), diskRNG: newRNG(seed, "disk"),
		lettersRNG: newRNG(seed, "letters"), loopRNG: newRNG(seed, "loop"), replayRNG: newRNG(seed,
			"replay"),
		clientRNG: newRNG(seed, "clients"), operatorRNG: newRNG(seed, "operator"), cutRNG: newRNG(seed,
			"cut"),
	}
	start := time.Now()
	w.clock = &wallClock{start: start, steps: clockSteps(newRNG(seed, "clock"), start, horizon, t)}
	w.schedule = drawSchedule(newRNG(seed, "weather"), horizon, t)
	w.ill = illnesses(newRNG(seed, "illness"), horizon)
	w.policy = retry.Policy{MaxAttempts: pick(w.rng, 6, 6, retry.DefaultMaxAttempts)}.WithDefaults()
	w.batch = batch.Limits{MaxEvents: pick(w.rng, 3, 16, 0)}.WithDefaults()
	w.atomic = w.rng.happens(0.3)
	w.lull = pick(w.rng, 2*time.Hour, 6*time.Hour)
	w.logOptions = seglog.Options{
		SegmentBytes: pick[int64](w.rng, seglog.MinSegmentBytes, 64<<10), KeepBytes: pick[int64](w.rng,
			-1, 0),
		MinFreeBytes: 1, StateBytes: 4 << 10,
	}
	return w
}

func (w *world) elapsed() time.Duration { return time.Since(w.clock.start) }

// calm reports whether the faults have stopped.
func (w *world) calm() bool { return w.elapsed() >= w.horizon }

func (w *world) condition() condition { return conditionAt(w.schedule, w.elapsed()) }

// troubled notes that something has happened that holds deliveries up.
func (w *world) troubled() { w.trouble.Store(int64(w.elapsed())) }

func (w *world) hadTrouble(since time.Duration) bool {
	return time.Duration(w.trouble.Load()) >= since
}

// fail notes the first promise that was broken.
func (w *world) fail(err error) {
	w.once.Do(func() {
		w.err = fmt.Errorf("after %v: %w", w.elapsed(), err)
		close(w.broken)
	})
}

// failLocked is fail for those who hold the model's lock.
func (w *world) failLocked(err error) { w.fail(err) }

func (w *world) isBroken() bool {
	select {
	case <-w.broken:
		return true
	default:
		return false
	}
}

// liveOnce lives one life, and waits until somebody starts the next.
func (w *world) liveOnce(number int) {
	l := w.start(number)
	if l == nil {
		return
	}
	l.end = pick(w.rng, closed, killed, powerCut)
	l.live(min(w.rng.about(40*time.Hour), w.horizon-w.elapsed()))
	w.fuse.Store(0)
	w.troubled()
	time.Sleep(w.rng.about(10 * time.Minute))
}

// start opens the disk. A disk that is ill may refuse, and then somebody tries again.
func (w *world) start(number int) *life {
	for try := range 100 {
		w.troubled()
		if try < 50 {
			w.disk.Inject(w.disturb)
		} else {
			w.disk.Inject(nil)
		}
		l, err := w.newLife(number)
		if err == nil {
			w.disk.Inject(w.disturb)
			w.disk.After(func(faultfs.Op, error) { w.burn(l) })
			return l
		}
		w.tally.add("start refused")
		if errors.Is(err, pillarbox.ErrCorrupt) || try == 99 {
			w.fail(fmt.Errorf("start: %w", err))
			return nil
		}
		time.Sleep(10 * time.Second)
	}
	return nil
}

// burn shortens the fuse, and cuts the life off at its end.
func (w *world) burn(l *life) {
	if w.fuse.Load() > 0 && w.fuse.Add(-1) == 0 {
		l.die()
	}
}

const (
	drainBound = 24 * time.Hour   // for everything that waits when the faults stop
	drainLull  = 20 * time.Second // between the bursts that wedges need as control events
)

// finish sees that everything comes to its end once the faults have stopped, and that replays bring
// the rest.
func (w *world) finish() {
	time.Sleep(max(0, w.horizon-w.elapsed()))
	w.draining.Store(true)
	l := w.start(0)
	if l == nil {
		return
	}
	l.number = 1 << 30
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	l.ended = l.node.Start(ctx)
	if err := l.finish(ctx); err != nil {
		w.fail(err)
	}
	if err := errors.Join(l.node.Drain(ctx), <-l.ended, l.node.Close()); err != nil {
		w.fail(fmt.Errorf("close: %w", err))
	}
}

func (l *life) finish(ctx context.Context) error {
	if err := l.node.SetPause(ctx, chosen, pillarbox.PauseRecord{}); err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	if err := l.drain(ctx); err != nil {
		return err
	}
	if err := l.fillAll(ctx); err != nil {
		return err
	}
	if err := l.drain(ctx); err != nil {
		return err
	}
	if err := l.check(ctx); err != nil {
		return err
	}
	if err := l.settledAsTheyAre(); err != nil {
		return err
	}
	if err := l.replayAll(ctx); err != nil {
		return err
	}
	return l.check(ctx)
}

// drain waits until nothing is pending.
func (l *life) drain(ctx context.Context) error {
	for begin := l.world.elapsed(); ; {
		open := false
		for _, name := range destinations {
			account, err := l.log.Account(name)
			if err != nil {
				return fmt.Errorf("account: %w", err)
			}
			open = open || account.Pending > 0
			if account.Pending > 0 && l.world.elapsed()-begin > drainBound {
				return l.stuck(ctx, account)
			}
		}
		if !open {
			return nil
		}
		l.post(ctx) // also where nothing retries: a wedge that is alone has no control event, and was charged with nothing yet
		time.Sleep(drainLull)
	}
}

// stuck says what has not come to its end.
func (l *life) stuck(ctx context.Context, account pillarbox.Account) error {
	pending, scanErr := l.pending(ctx, nil)
	var of []string
	for e := range pending {
		of = append(of, fmt.Sprintf("%s (%c, life %d, %d outages, %d refusals)", e.key.RequestID,
			e.nature, e.life, e.outages, e.refusals))
	}
	err := fmt.Errorf("events are pending %v after the faults have stopped: %+v: %s", drainBound,
		account, strings.Join(of, ", "))
	return errors.Join(err, scanErr)
}

// settledAsTheyAre sees that what the destination takes is stored, and what it refuses is dead.
func (l *life) settledAsTheyAre() error {
	m := l.world.model
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.order {
		takes := e.nature == good || e.nature == fussy
		if e.acked && takes != e.stored && !e.mended && (e.stored || !e.filtered) {
			return fmt.Errorf("event %s (%c) is settled in the wrong way: stored is %v", e.key.RequestID,
				e.nature, e.stored)
		}
	}
	return nil
}

// replayAll replays every letter once what was refused is mended, and then once more, which must
// find nothing.
func (l *life) replayAll(ctx context.Context) error {
	m := l.world.model
	m.mu.Lock()
	for _, e := range m.order {
		e.mended = true
	}
	m.mu.Unlock()
	for run := range 2 {
		progress, err := l.node.RunReplay(asReplay(ctx), replay.Request{})
		if err != nil || progress.State != replay.StateDone || progress.Failed > 0 || run == 1 &&
			progress.Matched > 0 {
			return fmt.Errorf("replay %d of all letters: %+v, %v", run+1, progress, err)
		}
		l.world.tally.addN("replay: letters stored at the end", progress.Replayed)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.order {
		if e.acked && !e.stored && !e.filtered && e.resolved != pillarbox.ResolvedDiscarded && !e.asked {
			return fmt.Errorf("event %s (%c) is not stored at the end", e.key.RequestID, e.nature)
		}
	}
	return nil
}
