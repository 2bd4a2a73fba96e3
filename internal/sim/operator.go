package sim

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"pillarbox"
	"pillarbox/internal/backfill"
	"pillarbox/internal/replay"
)

// operate is the person who mends what is refused, replays and discards, and whoever looks at the
// ledger.
func (l *life) operate(ctx context.Context) {
	w := l.world
	l.report(ctx)
	for pause(ctx, w.operatorRNG.about(8*time.Hour)) == nil {
		if since := l.log.Pause(chosen).At; since != 0 && w.clock.Now().Sub(since.Time()).Abs() > longestPause {
			l.pauseOrResume(ctx)
		}
		switch w.operatorRNG.below(8) {
		case 0, 1:
			w.mend(pick(w.operatorRNG, 0, 0.5, 1))
			l.replay(ctx, l.request())
		case 2:
			l.discard(ctx)
		case 5:
			l.pauseOrResume(ctx)
		case 6, 7:
			l.fill(ctx)
		}
		l.report(ctx)
	}
}

// longestPause is when somebody remembers that chosen is paused: long before its events are too old.
const longestPause = 48 * time.Hour

// pauseOrResume leaves chosen alone for a while, or goes on.
func (l *life) pauseOrResume(ctx context.Context) {
	record := pillarbox.PauseRecord{}
	if !l.log.Pause(chosen).IsPaused() {
		record.At = pillarbox.TimestampOf(l.world.clock.Now())
	}
	if l.node.SetPause(ctx, chosen, record) == nil { // a disk that is ill refuses
		l.world.tally.add("operator: pauses or resumes")
	}
}

// fill gives chosen what its filter did not take, in a life without one; in another there is nothing
// to give. What an earlier life has begun goes on by itself.
func (l *life) fill(ctx context.Context) {
	progress, err := l.node.StartBackfill(ctx, backfill.Request{Destination: chosen, Rate: pick(l.world.operatorRNG, 0, 0, 0.5)})
	if err != nil {
		return // another one runs, or the disk is ill
	}
	l.world.tally.add("backfill: runs")
	_ = pause(ctx, l.world.operatorRNG.upTo(10*time.Minute))
	if l.world.operatorRNG.happens(0.2) {
		_, _ = l.node.CancelBackfill(ctx, progress.ID)
	}
	now, _ := l.node.Backfill(progress.ID)
	l.world.tally.addN("backfill: events taken", int(now.Taken))
}

// fillAll gives chosen all that the queue still has, and sees that there is nothing left to give.
func (l *life) fillAll(ctx context.Context) error {
	for {
		_, err := l.node.StartBackfill(ctx, backfill.Request{Destination: chosen})
		if err == nil {
			break
		}
		if !errors.Is(err, pillarbox.ErrConflict) { // with what an earlier life has begun
			return fmt.Errorf("back-fill: %w", err)
		}
		time.Sleep(time.Minute)
	}
	for begin := l.world.elapsed(); l.node.Backfills()[0].Running(); time.Sleep(time.Second) {
		if l.world.elapsed()-begin > drainBound {
			return fmt.Errorf("a back-fill does not end: %+v", l.node.Backfills()[0])
		}
		if l.world.elapsed()-begin > time.Hour {
			l.post(ctx) // an event that looks like an outage and is alone has no control event: see drain
		}
	}
	left, err := l.node.StartBackfill(ctx, backfill.Request{Destination: chosen, DryRun: true})
	if err != nil || left.Matched > 0 {
		return fmt.Errorf("after a back-fill of everything there is still %+v, %v", left, err)
	}
	return nil
}

// report fails the world where the ledger or the events are wrong.
func (l *life) report(ctx context.Context) {
	if err := l.check(ctx); err != nil && ctx.Err() == nil && !l.isGone() {
		l.world.fail(err)
	}
}

// mend has the destination take what it has refused, of the events that have their letter.
func (w *world) mend(probability float64) {
	w.model.mu.Lock()
	defer w.model.mu.Unlock()
	for _, e := range w.model.order {
		if e.letters > 0 && !e.mended && w.operatorRNG.happens(probability) {
			e.mended = true
		}
	}
}

// request draws what is replayed.
func (l *life) request() replay.Request {
	d := l.world.operatorRNG
	request := replay.Request{MaxFailed: pick(d, 0, -1, 1), Limit: pick(d, 0, 0, 3),
		Rate: pick(d, 0, 0, 5.0)}
	switch d.below(4) {
	case 0:
		request.Filter.Error = "NOT TAKE"
	case 1:
		request.Filter.RequestIDs = l.world.someLetters(3)
	case 2:
		request.Filter.Since = pillarbox.TimestampOf(l.world.clock.Now().Add(-48 * time.Hour))
	}
	return request
}

// someLetters draws some of the events that have a letter.
func (w *world) someLetters(n int) []string {
	w.model.mu.Lock()
	defer w.model.mu.Unlock()
	var dead, ids []string
	for _, e := range w.model.order {
		if e.letters > 0 {
			dead = append(dead, e.key.RequestID)
		}
	}
	for range n {
		if len(dead) > 0 {
			ids = append(ids, pick(w.operatorRNG, dead...))
		}
	}
	return append(ids, "none") // an empty list would select all
}

// replay runs one replay, or two at once, or one that is cancelled, and the same again.
func (l *life) replay(ctx context.Context, request replay.Request) {
	w := l.world
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	runs := 1
	if w.operatorRNG.happens(0.3) {
		runs = 2
	}
	for range runs {
		running.Go(func() { l.replayOnce(ctx, request) })
	}
	switch w.operatorRNG.below(5) {
	case 0:
		w.tally.add("replay: cancelled")
		_ = pause(ctx, w.operatorRNG.upTo(50*time.Millisecond))
		cancel()
	case 1:
		_ = pause(ctx, w.operatorRNG.upTo(50*time.Millisecond))
		l.discard(ctx)
	}
	running.Wait()
	if ctx.Err() == nil {
		l.replayOnce(ctx, request)
	}
}

func (l *life) replayOnce(ctx context.Context, request replay.Request) {
	progress, _ := l.node.RunReplay(asReplay(ctx), request) // its letters tell what was done, also after an error
	l.world.tally.add("replay: runs")
	l.world.tally.addN("replay: letters stored", progress.Replayed)
	l.world.tally.addN("replay: letters refused again", progress.Failed)
}

// discard gives one letter up.
func (l *life) discard(ctx context.Context) {
	id := l.world.someLetters(1)[0]
	to := events
	l.world.model.mu.Lock()
	if e := l.world.model.entries[id]; e != nil {
		e.asked, to = true, destinationOf(e.source)
	}
	l.world.model.mu.Unlock()
	_ = l.node.Discard(asReplay(ctx), to, id) // the letters tell
}

// replaying marks the calls of replays: they reach the same engines as deliveries do.
type replaying struct{}

func asReplay(ctx context.Context) context.Context {
	return context.WithValue(ctx, replaying{}, true)
}

func isReplay(ctx context.Context) bool { return ctx.Value(replaying{}) != nil }
