package sqs

import (
	"context"
	"fmt"
	"sync"
	"time"

	"pillarbox"
)

// DefaultLinger is how long a message waits for others at most.
const DefaultLinger = 5 * time.Millisecond

// gatherer makes batches of what several calls have to send, because SQS is paid by the call. A
// batch is sent when it is full, when no other one is under way, and when its linger is over:
// whichever comes first.
type gatherer struct {
	queue  *Queue
	linger time.Duration // below 0: nothing is gathered

	mu       sync.Mutex
	pending  *gathered // takes messages; nil where none waits; guarded by mu
	underWay int       // batches that are not answered; guarded by mu
}

// gathered is a batch that several callers wait for. Each has its answers by the channels of its
// own entries, so that one that has stopped waiting holds up nobody.
type gathered struct {
	entries []entry
	bytes   int
	timer   *time.Timer // of the linger; nil where the batch does not wait
}

// take takes the last of the batches where it is not full, and returns the others. The caller holds
// q.life until the messages are answered, or nobody waits for them.
func (g *gatherer) take(batches [][]entry, maxBytes int) [][]entry {
	last := len(batches) - 1
	if last < 0 || len(batches[last]) == maxBatch || g.linger < 0 {
		return batches
	}
	g.join(batches[last], maxBytes)
	return batches[:last]
}

// join puts messages into the pending batch, and has sent what need not wait.
func (g *gatherer) join(entries []entry, maxBytes int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range entries {
		if g.pending != nil && g.pending.bytes+len(e.text) > maxBytes {
			g.sendLocked()
		}
		if g.pending == nil {
			g.pending = &gathered{}
		}
		g.pending.entries = append(g.pending.entries, e)
		g.pending.bytes += len(e.text)
		if len(g.pending.entries) == maxBatch || g.pending.bytes >= maxBytes {
			g.sendLocked()
		}
	}
	switch {
	case g.pending == nil:
	case g.underWay == 0:
		g.sendLocked()
	case g.pending.timer == nil:
		g.lingerLocked()
	}
}

// lingerLocked has the pending batch sent when its linger is over.
func (g *gatherer) lingerLocked() {
	batch := g.pending
	g.queue.tasks.Add(1) // for the timer's goroutine; taken back where the timer is stopped before
	batch.timer = time.AfterFunc(g.linger, func() {
		defer g.queue.tasks.Done()
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.pending == batch {
			g.sendLocked()
		}
	})
}

// sendLocked sends the pending batch. Close waits for it: whoever calls holds q.life, or is one of
// q.tasks.
func (g *gatherer) sendLocked() {
	batch := g.pending
	g.pending = nil
	g.underWay++
	g.queue.tasks.Go(func() { g.send(batch) })
	if batch.timer != nil && batch.timer.Stop() {
		g.queue.tasks.Done()
	}
}

// send is cut off by none of those who wait: the others share the call. Close, which waits for
// them, cuts off what is left then, for which nobody waits.
func (g *gatherer) send(batch *gathered) {
	g.queue.sendBatch(g.queue.working, g.queue.url, batch.entries)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.underWay--
	if g.underWay == 0 && g.pending != nil {
		g.sendLocked() // SQS is idle, so that a wait would only cost time
	}
}

// wait returns what became of the message, or that this is not known because ctx ended before.
func (e *entry) wait(ctx context.Context) error {
	select {
	case err := <-e.answer: // counts where ctx has ended as well
		return err
	default:
	}
	select {
	case err := <-e.answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("the caller stopped waiting for SQS, and the outcome is unknown: %w: %w: %w",
			pillarbox.ErrUnknown, pillarbox.ErrUnavailable, ctx.Err())
	}
}
