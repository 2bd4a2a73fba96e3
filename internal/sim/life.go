package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"pillarbox"
	"pillarbox/internal/background"
	"pillarbox/internal/clock"
	"pillarbox/internal/destination"
	"pillarbox/internal/engine/files"
	"pillarbox/internal/engine/seglog"
	"pillarbox/internal/node"
	"pillarbox/internal/retry"
	"pillarbox/internal/run"
	"pillarbox/internal/source"
	"pillarbox/internal/vfs/faultfs"
)

const (
	queueDir   = "queue"
	lettersDir = "dead-letters"

	writeTimeout = 30 * time.Second
	maxAge       = 14 * 24 * time.Hour // no event waits for so long here, whatever the clock says
	drainTimeout = time.Hour           // for the batch at hand, on a disk and a queue that fail
)

// The destinations, and the source that each of them takes. What is written to the other one was
// delivered to the wrong place.
const (
	events, app   = "events", "app"
	copies, audit = "copies", "audit"

	// chosen has a filter in some lives, and is paused and back-filled.
	chosen, choice = "chosen", "choice"
)

var destinations = []string{chosen, copies, events}

// goodOnly is the filter of chosen, in lives that have one: it takes what it would store.
const goodOnly = `path == "/app/g"`

// destinationOf is where events of the source belong.
func destinationOf(source string) string {
	switch source {
	case audit:
		return copies
	case choice:
		return chosen
	}
	return events
}

// life is one process, from its start to its end.
type life struct {
	world  *world
	number int
	disk   *faultfs.FS

	log   *seglog.Log
	store *files.Letters
	node  *node.Node
	ended <-chan error // of the deliveries

	busy sync.WaitGroup // clients and the operator

	gone bool          // guarded by model.mu; nothing that it does from then on counts
	end  ending        // how it ends, if it is cut off
	cut  chan struct{} // closed once it is cut off
	left *faultfs.FS   // what it leaves on the disk then
	last pillarbox.Timestamp

	filters bool // chosen has its filter

	setBack atomic.Bool // the clock was set back for good, and stamps have begun again
}

// ending is how a life ends.
type ending string

const (
	closed   ending = "closed"
	killed   ending = "killed"
	powerCut ending = "power cut"
)

// newLife opens what is on the disk, and makes the node that the server runs.
func (w *world) newLife(number int) (*life, error) {
	l := &life{world: w, number: number, disk: w.disk, cut: make(chan struct{})}
	w.filters = !w.draining.Load() && w.rng.happens(0.5)
	l.filters = w.filters
	var err error
	if l.store, err = files.Open(w.disk, lettersDir, files.Options{}); err != nil {
		return nil, fmt.Errorf("open the dead letters: %w", err)
	}
	ticking := clock.Open(w.disk, "clock.json",
		clock.Options{Read: w.read, Floor: w.clock.start.Add(-year), OnStep: func(step clock.Step) {
			w.tally.add("clock: a step is believed")
			if step.By < 0 {
				l.setBack.Store(true)
			}
		}})
	log := w.logOptions
	log.Now, log.Elapsed = w.clock.Now, ticking.Elapsed
	if l.log, err = seglog.Open(w.disk, queueDir, log); err != nil {
		return nil, fmt.Errorf("open the log: %w", errors.Join(err, l.store.Close()))
	}
	options, added := w.nodeOptions(l, ticking)
	if l.node, err = node.Open(context.Background(), options); err != nil {
		return nil, fmt.Errorf("open the node: %w", err)
	}
	// It was opened with other rules, and now and then without a source and its destination, so that
	// nothing goes right unless the reload reaches everything.
	if err := l.node.Reload(context.Background(), w.settings(w.policy), added); err != nil {
		return nil, fmt.Errorf("reload: %w", errors.Join(err, l.node.Close()))
	}
	return l, nil
}

// nodeOptions are those of the server, with engines that fail now and then. added are the sinks of
// destinations that come by a reload.
func (w *world) nodeOptions(l *life, ticking *clock.Clock) (options node.Options,
	added map[string]pillarbox.Sink) {
	wrong := w.policy
	wrong.MaxAttempts += 3
	options = node.Options{
		Engines: node.Engines{
			Queue:       &queue{Queue: l.log, life: l, rng: w.queueRNG},
			DeadLetters: &letters{DeadLetters: l.store, life: l, rng: w.lettersRNG, replayRNG: w.replayRNG},
			Sinks: map[string]pillarbox.Sink{
				events: &sink{name: events, life: l, rng: w.sinkRNG, replayRNG: w.replayRNG},
				copies: &sink{name: copies, life: l, rng: w.copiesRNG, replayRNG: w.replayRNG},
				chosen: &sink{name: chosen, life: l, rng: w.chosenRNG, replayRNG: w.replayRNG},
			},
			Clock: ticking, Jobs: background.NewKeeper(w.disk, nil),
		},
		Settings: w.settings(wrong), DrainTimeout: drainTimeout, Now: w.clock.Now, Chance: w.loopRNG.chance,
	}
	if !w.rng.happens(joins) {
		return options, nil
	}
	w.tally.add("a destination joins by a reload")
	added = map[string]pillarbox.Sink{copies: options.Sinks[copies]}
	delete(options.Sinks, copies)
	options.Sources = slices.DeleteFunc(options.Sources,
		func(s source.Settings) bool { return s.Name == audit })
	options.Destinations = slices.DeleteFunc(options.Destinations,
		func(d destination.Settings) bool { return d.Name == copies })
	return options, added
}

// joins is how many lives begin without the destination copies.
const joins = 0.3

func (w *world) settings(policy retry.Policy) node.Settings {
	settings := node.Settings{Sources: []source.Settings{{Name: app}, {Name: audit}, {Name: choice}}}
	for name, from := range map[string]string{events: app, copies: audit, chosen: choice} {
		where := ""
		if name == chosen && w.filters {
			where = goodOnly
		}
		settings.Destinations = append(settings.Destinations, destination.Settings{
			Name: name, Rule: &pillarbox.Rule{
				Sources: []string{from}, Where: where}, Retry: policy, MaxAge: maxAge, Batch: w.batch, WriteTimeout: writeTimeout,
		})
	}
	return settings
}

// read is what the clocks of the machine show: all of them go on while it lives, and the date is
// what somebody has set.
func (w *world) read() clock.Reading {
	elapsed := w.elapsed()
	return clock.Reading{Wall: w.clock.Now().Round(0), Mono: elapsed, Boot: elapsed + time.Hour,
		ID: fmt.Sprint(w.boots.Load())}
}

// live runs the process until its time is over or it is cut off, and leaves the disk as it then is.
func (l *life) live(length time.Duration) {
	w := l.world
	delivering, stopDelivering := context.WithCancel(context.Background())
	defer stopDelivering()
	visiting, stopVisiting := context.WithCancel(context.Background())
	l.ended = l.node.Start(delivering)
	l.busy.Go(func() { l.visit(visiting) })
	l.busy.Go(func() { l.operate(visiting) })
	l.lastUntil(length)
	stopVisiting()
	if l.isGone() {
		stopDelivering()
		l.reap()
		return
	}
	l.busy.Wait()
	l.post(context.Background()) // so that a batch is at hand when it is drained
	time.Sleep(w.rng.upTo(4 * maxJitter))
	forced := w.rng.happens(0.5)
	if forced {
		stopDelivering() // a second signal: a write that is under way is cut off
	}
	_ = l.node.Drain(context.Background())
	ended := <-l.ended
	if l.isGone() {
		l.reap()
		return
	}
	if ended != nil && !forced && !errors.Is(ended, run.ErrDrainCut) {
		w.fail(fmt.Errorf("delivery has ended: %w", ended))
	}
	if ended == nil && !forced {
		l.checkDrained()
	}
	_ = l.node.Close() // what can't be closed well is no loss
	if l.isGone() {
		w.disk = l.left
		return
	}
	w.tally.add("life: " + string(closed))
}

// lastUntil waits for the end of the life, which comes at an operation of the disk where it is cut
// off.
func (l *life) lastUntil(length time.Duration) {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-l.cut:
		return
	case <-l.world.broken:
		return
	case <-timer.C:
	}
	if l.end == closed {
		return
	}
	l.world.fuse.Store(int64(1 + l.world.rng.below(60)))
	_ = waitFor(l.cut, 3*time.Hour)
	l.die()
}

func waitFor(done <-chan struct{}, longest time.Duration) bool {
	timer := time.NewTimer(longest)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// die cuts the process off at this moment. What the disk holds then is what the next life finds.
func (l *life) die() {
	m := l.world.model
	m.mu.Lock()
	before := l.gone
	l.gone = true
	m.mu.Unlock()
	if before {
		return
	}
	w := l.world
	if l.end == powerCut {
		mode := pick(w.cutRNG, faultfs.Modes...)
		l.left = l.disk.Crash(rand.New(rand.NewPCG(w.seed, uint64(l.number))), mode)
		w.boots.Add(1)
		w.tally.add("life: power cut, " + mode.String())
	} else {
		l.left = l.disk.Kill()
		w.tally.add("life: killed")
	}
	close(l.cut)
}

func (l *life) isGone() bool {
	m := l.world.model
	m.mu.Lock()
	defer m.mu.Unlock()
	return l.gone
}

// reap ends what is left of a process that was cut off.
func (l *life) reap() {
	<-l.cut
	l.disk.Inject(nil)
	l.disk.After(nil)
	l.busy.Wait()
	_ = l.node.Close()
	l.world.disk = l.left
}
