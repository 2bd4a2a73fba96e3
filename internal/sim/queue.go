package sim

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"syscall"
	"time"

	"pillarbox"
	"pillarbox/internal/vfs/faultfs"
)

// queue is the log behind a connection that fails now and then.
type queue struct {
	pillarbox.Queue
	life *life
	rng  *rng
}

var errQueue = fmt.Errorf("the queue does not answer: %w", pillarbox.ErrUnavailable)

const queueOdds = 0.01

// mishap reports whether this one happens now.
func (q *queue) mishap(what string) bool {
	w := q.life.world
	if w.calm() || !q.rng.happens(queueOdds) {
		return false
	}
	w.troubled()
	w.tally.add("queue: " + what)
	return true
}

// Append implements pillarbox.Queue.
func (q *queue) Append(ctx context.Context, events []*pillarbox.Event) error {
	if err := pause(ctx, q.rng.upTo(maxJitter)); err != nil {
		return err
	}
	if q.mishap("append fails") {
		return errQueue
	}
	if err := q.Queue.Append(ctx, events); err != nil {
		return err
	}
	if err := pause(ctx, q.rng.upTo(maxJitter)); err != nil {
		return err // appended, and the client does not hear of it
	}
	if q.mishap("append without an answer") {
		return errQueue
	}
	return nil
}

// AppendInline implements pillarbox.Queue.
func (q *queue) AppendInline(ctx context.Context, events []*pillarbox.Event) error {
	return q.Append(ctx, events)
}

// Lease implements pillarbox.Queue.
func (q *queue) Lease(ctx context.Context, destination string,
	limits pillarbox.LeaseLimits) ([]pillarbox.Delivery, error) {
	if err := pause(ctx, q.rng.upTo(maxJitter)); err != nil {
		return nil, err
	}
	if q.mishap("lease fails") {
		return nil, errQueue
	}
	if q.mishap("lease cancelled") {
		return nil, context.Canceled
	}
	return q.Queue.Lease(ctx, destination, limits)
}

// Settle implements pillarbox.Queue.
func (q *queue) Settle(ctx context.Context, destination string,
	outcomes []pillarbox.Outcome) error {
	if err := pause(ctx, q.rng.upTo(maxJitter)); err != nil {
		return err
	}
	if q.mishap("settle fails") {
		return errQueue
	}
	if err := q.Queue.Settle(ctx, destination, outcomes); err != nil {
		return err
	}
	if q.mishap("settle without an answer") {
		return errQueue
	}
	return nil
}

// illness is a time in which calls to a part of the disk fail.
type illness struct {
	from, until time.Duration
	prefix      string // of the names that it befalls
	cause       error
	odds        float64
}

// illnesses draws when the disk is ill until the horizon.
func illnesses(d *rng, horizon time.Duration) []illness {
	var all []illness
	for at := d.about(40 * time.Hour); at < horizon; at += d.about(40 * time.Hour) {
		ill := illness{from: at, prefix: pick(d, "queue", "dead-letters", ""),
			cause: pick[error](d, syscall.EIO, syscall.ENOSPC), odds: pick(d, 1, 0.3)}
		at += d.about(20 * time.Minute)
		ill.until = min(at, horizon)
		all = append(all, ill)
	}
	return all
}

// glitchOdds is how often a call to a healthy disk fails.
const glitchOdds = 0.0005

// disturb fails calls that change the disk.
func (w *world) disturb(op faultfs.Op) error {
	switch op.Kind {
	case faultfs.Write, faultfs.Sync, faultfs.SyncDir, faultfs.Rename, faultfs.OpenFile, faultfs.Truncate:
	default:
		return nil
	}
	if w.calm() || w.looking.Load() {
		return nil
	}
	cause := w.diskFault(op)
	if cause == nil {
		return nil
	}
	w.troubled()
	w.tally.add("disk: " + cause.Error())
	if op.Kind == faultfs.Write && op.Length > 1 && w.diskRNG.happens(0.3) {
		return &faultfs.ShortWrite{N: w.diskRNG.below(op.Length), Err: cause}
	}
	return cause
}

func (w *world) diskFault(op faultfs.Op) error {
	elapsed := w.elapsed()
	i := sort.Search(len(w.ill), func(i int) bool { return w.ill[i].until > elapsed })
	if i < len(w.ill) && w.ill[i].from <= elapsed && strings.HasPrefix(op.Name, w.ill[i].prefix) &&
		w.diskRNG.happens(w.ill[i].odds) {
		return w.ill[i].cause
	}
	if w.diskRNG.happens(glitchOdds) {
		return pick[error](w.diskRNG, syscall.EIO, syscall.ENOSPC)
	}
	return nil
}
