package deliver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"pillarbox"
)

// batchesAhead is how many batches of rejected events may wait for their letters while others are
// delivered.
const batchesAhead = 4

// leaseRejected leases the events anew that were just settled as rejected: their rejection is
// durable by now. If their letters can't be written, or the process ends in between, they are
// leased again as rejected.
func (l *Loop) leaseRejected(ctx context.Context,
	outcomes []pillarbox.Outcome) ([]pillarbox.Delivery, error) {
	n := 0
	for _, outcome := range outcomes {
		if outcome.Kind == pillarbox.OutcomeRejected {
			n++
		}
	}
	if n == 0 {
		return nil, nil
	}
	leasing, cancel := context.WithTimeout(context.WithoutCancel(ctx), queueErrorWait)
	defer cancel()
	leased, err := l.opts.Queue.Lease(leasing, l.name, pillarbox.LeaseLimits{MaxEvents: n})
	if err != nil {
		return nil, fmt.Errorf("lease the rejected: %w", err)
	}
	var rejected, others []pillarbox.Delivery
	var released []pillarbox.Outcome
	for _, delivery := range leased {
		if delivery.Rejection != nil {
			rejected = append(rejected, delivery)
			continue
		}
		others = append(others, delivery)
		released = append(released, pillarbox.Outcome{Handle: delivery.Handle,
			Kind: pillarbox.OutcomeReleased})
	}
	if len(released) > 0 {
		err = l.settle(ctx, others, released)
	}
	return rejected, err
}

// putAll puts the dead letters of batch after batch, beside the deliveries: letters take longer
// than the refusals do, and events that are not refused must not wait for them. It ends when there
// are no more.
func (l *Loop) putAll(ctx context.Context, toPut <-chan []pillarbox.Delivery) {
	for rejected := range toPut {
		if err := l.putDeadLetters(ctx, rejected); err != nil && !errors.Is(err, pillarbox.ErrClosed) {
			l.note(err)
		}
	}
}

// putDeadLetters writes the dead letters of rejected events and settles them as dead.
func (l *Loop) putDeadLetters(ctx context.Context, rejected []pillarbox.Delivery) error {
	outcomes, failure := l.putLetters(ctx, rejected)
	if err := l.settle(ctx, rejected, outcomes); err != nil {
		return err
	}
	if failure != nil {
		return fmt.Errorf("write dead letters: %w", failure)
	}
	return nil
}

// putLetters makes the letters of rejected events durable, with one call. An event whose letter is
// not kept is released.
func (l *Loop) putLetters(ctx context.Context,
	rejected []pillarbox.Delivery) ([]pillarbox.Outcome, error) {
	outcomes := make([]pillarbox.Outcome, len(rejected))
	letters := make([]*pillarbox.DeadLetter, len(rejected))
	for i := range rejected {
		outcomes[i] = pillarbox.Outcome{Handle: rejected[i].Handle, Kind: pillarbox.OutcomeDead}
		letters[i] = NewDeadLetter(l.name, &rejected[i])
	}
	began := time.Now()
	failure := l.opts.Letters.PutMany(context.WithoutCancel(ctx), letters)
	release := func(i int) {
		outcomes[i].Kind, outcomes[i].NotBefore = pillarbox.OutcomeReleased, l.opts.Now().Add(
			queueErrorWait)
	}
	var partial *pillarbox.BatchError
	switch {
	case failure == nil:
	case errors.As(failure, &partial) && names(partial, len(letters)):
		for _, item := range partial.Items {
			release(item.Index)
		}
	default: // an answer that names others is believed for none
		for i := range rejected {
			release(i)
		}
	}
	l.traceLetters(rejected, outcomes, began)
	return outcomes, failure
}

// names reports whether the error names items, and only such that were handed over.
func names(partial *pillarbox.BatchError, n int) bool {
	for _, item := range partial.Items {
		if item.Index < 0 || item.Index >= n {
			return false
		}
	}
	return len(partial.Items) > 0
}

// NewDeadLetter makes the dead letter of a rejected delivery.
func NewDeadLetter(destination string, delivery *pillarbox.Delivery) *pillarbox.DeadLetter {
	return &pillarbox.DeadLetter{
		Version: pillarbox.DeadLetterVersion, Destination: destination, Reason: delivery.Rejection.Reason,
		DeadAt: delivery.Rejection.DeadAt, Attempts: delivery.Attempts, Event: delivery.Event,
		Replay: fmt.Sprintf("pillarbox dead replay %s --destination %s", delivery.Event.RequestID,
			destination),
	}
}
