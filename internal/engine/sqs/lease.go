package sqs

import (
	"context"

	"pillarbox"
)

// Lease implements pillarbox.Queue. That SQS can't be reached is returned once for each time that
// it was tried.
func (q *Queue) Lease(ctx context.Context, destination string,
	limits pillarbox.LeaseLimits) ([]pillarbox.Delivery, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		deliveries, changed, err := q.tryLease(destination, limits)
		if err != nil || len(deliveries) > 0 {
			return deliveries, err
		}
		select {
		case <-ctx.Done():
		case <-changed:
		}
	}
}

// tryLease leases what is ready. Where nothing is, it has somebody fetch, and returns what says
// that something changed.
func (q *Queue) tryLease(destination string,
	limits pillarbox.LeaseLimits) ([]pillarbox.Delivery, <-chan struct{}, error) {
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
	if !q.fetching && len(q.ready) < q.wanted {
		q.fetching, q.giveBack = true, q.Hide
		q.tasks.Add(1)
		go q.fetch()
	}
	return deliveries, q.changed, nil
}

func (q *Queue) leaseLocked(limits pillarbox.LeaseLimits) (deliveries []pillarbox.Delivery) {
	bytes := int64(0)
	for len(q.ready) > 0 && len(deliveries) < max(1, limits.MaxEvents) {
		m := q.ready[0]
		if limits.MaxBytes > 0 && len(deliveries) > 0 && bytes+m.delivery.Bytes > limits.MaxBytes {
			break
		}
		bytes += m.delivery.Bytes
		q.readyBytes -= m.delivery.Bytes
		q.ready = q.ready[1:]
		q.seq++
		m.seq, m.settled = q.seq, false
		m.delivery.Handle = pillarbox.Handle{Seq: q.seq, Token: m.ID}
		q.leased[q.seq] = m
		deliveries = append(deliveries, m.delivery)
	}
	return deliveries
}
