package sqs

import (
	"context"
	"slices"
	"time"

	"pillarbox"
)

// Lease implements pillarbox.Queue. That SQS can't be reached is returned once for each time that it was tried.
func (q *Queue) Lease(ctx context.Context, destination string, limits pillarbox.LeaseLimits) ([]pillarbox.Delivery, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		deliveries, changed, err := q.tryLease(destination, limits)
		if err != nil || len(deliveries) > 0 {
			return deliveries, err
		}
		q.await(ctx, changed)
	}
}

// await returns when something has changed, or what is in hand has become due.
func (q *Queue) await(ctx context.Context, changed <-chan struct{}) {
	q.mu.Lock()
	wait := q.nextLocked()
	q.mu.Unlock()
	var due <-chan time.Time
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ctx.Done():
	case <-changed:
	case <-due:
	}
}

// nextLocked is how long it takes until another message is due; 0 where none is in hand that waits.
func (q *Queue) nextLocked() (wait time.Duration) {
	now := q.options.Now()
	for _, m := range q.ready {
		if left := m.due.Sub(now); left > 0 && (wait == 0 || left < wait) {
			wait = left
		}
	}
	return wait
}

// dueLocked counts what can be leased now.
func (q *Queue) dueLocked() (n int) {
	now := q.options.Now()
	for _, m := range q.ready {
		if !m.due.After(now) {
			n++
		}
	}
	return n
}

// roomLocked is how many more messages are to be fetched.
func (q *Queue) roomLocked() int {
	return min(q.wanted-q.dueLocked(), MaxHeld-len(q.ready))
}

// tryLease leases what is ready. Where nothing is, it has somebody fetch, and returns what says that something changed.
func (q *Queue) tryLease(destination string, limits pillarbox.LeaseLimits) ([]pillarbox.Delivery, <-chan struct{}, error) {
	q.life.RLock()
	defer q.life.RUnlock()
	if q.closed {
		return nil, nil, q.errClosed()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.bindLocked(destination); err != nil {
		return nil, nil, err
	}
	deliveries := q.leaseLocked(limits)
	if q.failure != nil && len(deliveries) == 0 {
		err := q.failure
		q.failure = nil // once for each failed receive
		return nil, nil, err
	}
	q.wanted = max(1, limits.MaxEvents)
	if !q.fetching && q.roomLocked() > 0 {
		q.fetching = true
		q.tasks.Add(1)
		go q.fetch()
	}
	return deliveries, q.changed, nil
}

func (q *Queue) leaseLocked(limits pillarbox.LeaseLimits) (deliveries []pillarbox.Delivery) {
	now, bytes, full := q.options.Now(), int64(0), false
	q.ready = slices.DeleteFunc(q.ready, func(m *message) bool {
		if full = full || len(deliveries) == max(1, limits.MaxEvents); full || m.due.After(now) {
			return false
		}
		if full = limits.MaxBytes > 0 && len(deliveries) > 0 && bytes+m.delivery.Bytes > limits.MaxBytes; full {
			return false
		}
		bytes += m.delivery.Bytes
		q.readyBytes -= m.delivery.Bytes
		q.seq++
		m.seq, m.settled = q.seq, false
		m.delivery.Handle = pillarbox.Handle{Seq: q.seq, Token: m.id}
		q.leased[q.seq] = m
		deliveries = append(deliveries, m.delivery)
		return true
	})
	return deliveries
}

// keepEvery is how often what is in hand is looked through.
const keepEvery = time.Second

// keep keeps others from what is in hand, for as long as there is anything.
func (q *Queue) keep() {
	defer q.tasks.Done()
	for sleep(q.working, keepEvery) == nil {
		q.mu.Lock()
		if len(q.inHand) == 0 {
			q.keeping = false
			q.mu.Unlock()
			return
		}
		q.mu.Unlock()
		q.extend()
	}
}

func (q *Queue) keepLocked() {
	if !q.keeping {
		q.keeping = true
		q.tasks.Add(1)
		go q.keep()
	}
}

// extend hides what is in hand for another while, once half of the time is over.
func (q *Queue) extend() {
	facts, err := q.facts(q.working)
	if err != nil {
		return // nothing was received without them
	}
	until := time.Now().Add(facts.visibility)
	q.mu.Lock()
	var handles []string
	for _, m := range q.inHand {
		if time.Until(m.hidden) < facts.visibility/2 && !m.settled {
			handles = append(handles, m.receipt)
			m.hidden = until
		}
	}
	q.mu.Unlock()
	waits := make([]time.Duration, len(handles))
	for i := range waits {
		waits[i] = facts.visibility
	}
	if err := q.Hide(q.working, handles, waits); err != nil && q.working.Err() == nil {
		q.options.Logger.Warn("events in hand may be handed out to others as well", "queue", q.url, "err", err)
	}
}
