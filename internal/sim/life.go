package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"pillarbox"
	"pillarbox/internal/clock"
	"pillarbox/internal/deliver"
	"pillarbox/internal/engine/files"
	"pillarbox/internal/engine/seglog"
	"pillarbox/internal/ingest"
	"pillarbox/internal/ledger"
	"pillarbox/internal/replay"
	"pillarbox/internal/vfs/faultfs"
)

const (
	destination = "events"
	source      = "app"
	queueDir    = "queue"
	lettersDir  = "dead-letters"

	writeTimeout = 30 * time.Second
	maxAge       = 14 * 24 * time.Hour // no event waits for so long here, whatever the clock says
)

// life is one process, from its start to its end.
type life struct {
	world  *world
	number int
	disk   *faultfs.FS

	clock    *clock.Clock
	log      *seglog.Log
	store    *files.Letters
	letters  *letters // as replays see them
	acceptor *ingest.Acceptor
	loop     *deliver.Loop
	books    *ledger.Books
	replayer *replay.Replayer

	delivering sync.WaitGroup // the loop
	busy       sync.WaitGroup // clients and the operator

	gone bool          // guarded by model.mu; nothing that it does from then on counts
	end  ending        // how it ends, if it is cut off
	cut  chan struct{} // closed once it is cut off
	left *faultfs.FS   // what it leaves on the disk then
	last pillarbox.Timestamp

	stamping atomic.Pointer[ingest.Acceptor] // the acceptor, for the clock
	setBack  atomic.Bool                     // the clock was set back for good, and stamps have begun again
}

// ending is how a life ends.
type ending string

const (
	closed   ending = "closed"
	killed   ending = "killed"
	powerCut ending = "power cut"
)

// newLife opens what is on the disk, and wires it as the server does.
func (w *world) newLife(number int) (*life, error) {
	l := &life{world: w, number: number, disk: w.disk, cut: make(chan struct{})}
	var err error
	if l.store, err = files.Open(w.disk, lettersDir, files.Options{}); err != nil {
		return nil, fmt.Errorf("open the dead letters: %w", err)
	}
	l.clock = clock.Open(w.disk, "clock.json", clock.Options{Read: w.read, OnStep: func(step clock.Step) {
		w.tally.add("clock: a step is believed")
		if acceptor := l.stamping.Load(); acceptor != nil && step.By < 0 {
			l.setBack.Store(true)
			acceptor.ClockSetBack()
		}
	}, Floor: w.clock.start.Add(-year)})
	options := w.logOptions
	options.Now, options.Elapsed = w.clock.Now, l.clock.Elapsed
	if l.log, err = seglog.Open(w.disk, queueDir, options); err != nil {
		return nil, fmt.Errorf("open the log: %w", errors.Join(err, l.store.Close()))
	}
	if _, err := l.log.Account(destination); err != nil {
		return nil, fmt.Errorf("begin the destination: %w", errors.Join(err, l.log.Close(), l.store.Close()))
	}
	l.wire()
	return l, nil
}

// read is what the clocks of the machine show: all of them go on while it lives, and the date is what somebody has set.
func (w *world) read() clock.Reading {
	elapsed := w.elapsed()
	return clock.Reading{Wall: w.clock.Now().Round(0), Mono: elapsed, Boot: elapsed + time.Hour, ID: fmt.Sprint(w.boots.Load())}
}

func (l *life) wire() {
	w := l.world
	faulty := &queue{Queue: l.log, life: l, dice: w.queueDice}
	l.acceptor = ingest.New(faulty, ingest.Options{Sources: map[string]ingest.Source{source: {}}, Now: l.clock.Now})
	l.stamping.Store(l.acceptor)
	l.loop = deliver.NewLoop(deliver.Options{
		Destination: destination, Queue: faulty, Sink: &sink{life: l, dice: w.sinkDice},
		Letters: &letters{DeadLetters: l.store, life: l, dice: w.lettersDice},
		Rules:   deliver.Rules{Rule: &pillarbox.Rule{Sources: []string{source}}, Retry: w.policy, MaxAge: maxAge}, Batch: w.batch,
		WriteTimeout: writeTimeout, Now: w.clock.Now, Date: l.clock.Now, Chance: w.loopDice.chance,
	})
	l.books = ledger.New(l.log, l.store, []ledger.Destination{{Name: destination}}, nil)
	l.letters = &letters{DeadLetters: l.store, life: l, dice: w.replayDice, replay: true}
	to := &sink{life: l, dice: w.replayDice, replay: true}
	l.replayer = replay.New(replay.Options{Letters: l.letters, Now: w.clock.Now, Deliver: func(ctx context.Context, _ string, events []*pillarbox.Event) ([]error, error) {
		return deliver.Once(ctx, to, events, w.clock.Now(), writeTimeout)
	}})
}

// live runs the process until its time is over or it is cut off, and leaves the disk as it then is.
func (l *life) live(length time.Duration) {
	w := l.world
	delivering, stopDelivering := context.WithCancel(context.Background())
	visiting, stopVisiting := context.WithCancel(context.Background())
	l.delivering.Go(func() {
		if err := l.loop.Run(delivering); err != nil && delivering.Err() == nil && !l.isGone() {
			w.fail(fmt.Errorf("delivery has ended: %w", err))
		}
	})
	l.busy.Go(func() { l.visit(visiting) })
	l.busy.Go(func() { l.operate(visiting) })
	l.lastUntil(length)
	stopVisiting()
	if l.isGone() {
		stopDelivering()
		l.bury()
		return
	}
	l.busy.Wait()
	l.loop.Drain()
	if w.dice.happens(0.5) {
		stopDelivering() // a second signal: a write that is under way is cut off
	}
	l.delivering.Wait()
	stopDelivering()
	if l.isGone() {
		l.bury()
		return
	}
	_ = l.log.Close() // what can't be closed well is no loss
	_ = l.clock.Close()
	_ = l.store.Close()
	if l.isGone() {
		w.disk = l.left
		return
	}
	w.tally.add("life: " + string(closed))
}

// lastUntil waits for the end of the life, which comes at an operation of the disk where it is cut off.
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
	l.world.fuse.Store(int64(1 + l.world.dice.below(60)))
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
		mode := pick(w.cutDice, faultfs.Modes...)
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

// bury ends what is left of a process that was cut off.
func (l *life) bury() {
	<-l.cut
	l.disk.Inject(nil)
	l.disk.After(nil)
	l.busy.Wait()
	l.delivering.Wait()
	_ = l.log.Close()
	_ = l.store.Close()
	l.world.disk = l.left
}
