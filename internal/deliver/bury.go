package deliver

import (
	"context"
	"errors"
	"fmt"

	"pillarbox"
)

// burialsAhead is how many batches of condemned events may wait for their letters while others are delivered.
const burialsAhead = 4

// leaseCondemned leases the events anew that were just settled as condemned: their verdict is durable by now. If their
// letters can't be written, or the process ends in between, they are leased again as condemned.
func (l *Loop) leaseCondemned(ctx context.Context, outcomes []pillarbox.Outcome) ([]pillarbox.Delivery, error) {
	n := 0
	for _, outcome := range outcomes {
		if outcome.Kind == pillarbox.OutcomeCondemned {
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
		return nil, fmt.Errorf("lease the condemned: %w", err)
	}
	var condemned, others []pillarbox.Delivery
	var released []pillarbox.Outcome
	for _, delivery := range leased {
		if delivery.Verdict != nil {
			condemned = append(condemned, delivery)
			continue
		}
		others = append(others, delivery)
		released = append(released, pillarbox.Outcome{Handle: delivery.Handle, Kind: pillarbox.OutcomeReleased})
	}
	if len(released) > 0 {
		err = l.settle(ctx, others, released)
	}
	return condemned, err
}

// buryAll buries batch after batch, beside the deliveries: letters take longer than the refusals do, and events that are
// not refused must not wait for them. It ends when there are no more.
func (l *Loop) buryAll(ctx context.Context, burials <-chan []pillarbox.Delivery) {
	for condemned := range burials {
		if err := l.bury(ctx, condemned); err != nil && !errors.Is(err, pillarbox.ErrClosed) {
			l.note(err)
		}
	}
}

// bury writes the dead letters of condemned events and settles them as dead.
func (l *Loop) bury(ctx context.Context, condemned []pillarbox.Delivery) error {
	outcomes, failure := l.putLetters(ctx, condemned)
	if err := l.settle(ctx, condemned, outcomes); err != nil {
		return err
	}
	if failure != nil {
		return fmt.Errorf("write dead letters: %w", failure)
	}
	return nil
}

// putLetters makes the letters of condemned events durable, with one call. An event whose letter is not kept is
// released.
func (l *Loop) putLetters(ctx context.Context, condemned []pillarbox.Delivery) ([]pillarbox.Outcome, error) {
	outcomes := make([]pillarbox.Outcome, len(condemned))
	letters := make([]*pillarbox.DeadLetter, len(condemned))
	for i := range condemned {
		outcomes[i] = pillarbox.Outcome{Handle: condemned[i].Handle, Kind: pillarbox.OutcomeDead}
		letters[i] = NewLetter(l.name, &condemned[i])
	}
	failure := l.opts.Letters.PutMany(context.WithoutCancel(ctx), letters)
	release := func(i int) {
		outcomes[i].Kind, outcomes[i].NotBefore = pillarbox.OutcomeReleased, l.opts.Now().Add(queueErrorWait)
	}
	var partial *pillarbox.BatchError
	switch {
	case failure == nil:
	case errors.As(failure, &partial) && names(partial, len(letters)):
		for _, item := range partial.Items {
			release(item.Index)
		}
	default: // an answer that names others is believed for none
		for i := range condemned {
			release(i)
		}
	}
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

// NewLetter makes the dead letter of a condemned delivery.
func NewLetter(destination string, delivery *pillarbox.Delivery) *pillarbox.DeadLetter {
	return &pillarbox.DeadLetter{
		Version: pillarbox.DeadLetterVersion, Destination: destination, Reason: delivery.Verdict.Reason,
		DeadAt: delivery.Verdict.DeadAt, Attempts: delivery.Attempts, Event: delivery.Event,
		Replay: fmt.Sprintf("pillarbox dead replay %s --destination %s", delivery.Event.RequestID, destination),
	}
}
