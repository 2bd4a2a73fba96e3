package sqs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"pillarbox"
	"pillarbox/internal/sqsrules"
	"pillarbox/internal/telemetry"
)

// Settle implements pillarbox.Queue, except that attempts and rejections are kept in memory; the
// package comment says what follows from that. What is released without a time stays in flight.
func (q *Queue) Settle(ctx context.Context, destination string,
	outcomes []pillarbox.Outcome) error {
	if err := q.begin(ctx); err != nil {
		return err
	}
	defer q.life.RUnlock()
	messages, err := q.leasedMessages(destination, outcomes)
	if err != nil {
		return err
	}
	q.sendReleasedAgain(ctx, messages, outcomes)
	changes := q.changesOf(messages, outcomes)
	// Once SQS knows, another receive may bring a hidden message again: it must have left the
	// flight before.
	q.leaveFlight(messages, outcomes)
	err = errors.Join(q.deleteDone(changes), q.hideWaiting(ctx, changes))
	if err != nil {
		q.returnToFlight(changes.waiting)
		return fmt.Errorf("settle: %w", err)
	}
	q.endLeases(messages, outcomes)
	return nil
}

// leasedMessages returns the leased messages, in the order of the outcomes.
func (q *Queue) leasedMessages(destination string,
	outcomes []pillarbox.Outcome) ([]*message, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.bindLocked(destination); err != nil {
		return nil, err
	}
	seen := map[uint64]bool{}
	messages := make([]*message, len(outcomes))
	for i, outcome := range outcomes {
		seq := outcome.Handle.Seq
		messages[i] = q.leased[seq]
		if messages[i] == nil || seen[seq] {
			return nil, fmt.Errorf("settle event %d for %s: it is not leased: %w", seq, destination,
				pillarbox.ErrConflict)
		}
		seen[seq] = true
	}
	return messages, nil
}

// sendReleasedAgain sends again what is released near its last receive.
func (q *Queue) sendReleasedAgain(ctx context.Context, messages []*message,
	outcomes []pillarbox.Outcome) {
	var released []*message
	for i, m := range messages {
		if outcomes[i].Kind == pillarbox.OutcomeReleased && !m.copied {
			released = append(released, m)
		}
	}
	if attributes, err := q.attributes(ctx); err == nil {
		q.sendAgain(ctx, attributes, released)
	}
}

// sendAgain makes new messages of those whose receives come to an end although nobody has refused
// them. SQS would take an outage that lasts for refusals, and move them to the queue of dead
// letters. It marks them as copied; where that fails they stay what they are. What is rejected is
// given up, and stays too.
func (q *Queue) sendAgain(ctx context.Context, attributes attributes, messages []*message) {
	limits := sqsrules.Limits{MaxReceives: attributes.maxReceives, MaxAge: q.options.MaxAge}
	var ending []*message
	var copies []*pillarbox.Message
	q.mu.Lock()
	for _, m := range messages {
		if again := m.Again(limits, q.options.Now()); again != nil && m.delivery.Rejection == nil {
			ending, copies = append(ending, m), append(copies, again)
		}
	}
	q.mu.Unlock()
	err := q.send(ctx, q.url, copies, 0)
	if err != nil {
		q.options.Logger.Warn("events can't be sent again, their messages stay in the queue",
			telemetry.KeyQueue, q.url, telemetry.KeyErr, err)
	}
	for i, sent := range succeeded(len(ending), err) {
		ending[i].copied = sent
	}
}

// changes are what SQS is to be told of a Settle. It need not hear of the other messages.
type changes struct {
	done    []*message // to be deleted
	waiting []*message // to be hidden
	waits   []time.Duration
}

func (q *Queue) changesOf(messages []*message, outcomes []pillarbox.Outcome) (c changes) {
	for i, outcome := range outcomes {
		switch m := messages[i]; {
		case m.settled || outcome.Kind == pillarbox.OutcomeRejected:
		case m.copied:
			c.done = append(c.done, m)
		case staysInFlight(outcome):
		case waitsInSQS(outcome):
			c.waiting = append(c.waiting, m)
			c.waits = append(c.waits, q.waitOf(outcome))
		default:
			c.done = append(c.done, m)
		}
	}
	return c
}

// staysInFlight says of an event that is released at once: the destination is down, for how long
// nobody knows.
func staysInFlight(outcome pillarbox.Outcome) bool {
	return outcome.Kind == pillarbox.OutcomeReleased && outcome.NotBefore.IsZero()
}

// waitsInSQS says of an event that SQS hands out again, so that it holds up no other one here
// meanwhile.
func waitsInSQS(outcome pillarbox.Outcome) bool {
	return outcome.Kind == pillarbox.OutcomeRetry || outcome.Kind == pillarbox.OutcomeReleased &&
		!outcome.NotBefore.IsZero()
}

func (q *Queue) waitOf(outcome pillarbox.Outcome) time.Duration {
	if outcome.NotBefore.IsZero() {
		return 0
	}
	return max(0, outcome.NotBefore.Sub(q.options.Now()))
}

// leaveFlight lets the messages go that are tried again later, and remembers what was done with
// them.
func (q *Queue) leaveFlight(messages []*message, outcomes []pillarbox.Outcome) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, outcome := range outcomes {
		m := messages[i]
		if m.settled || m.copied || !waitsInSQS(outcome) {
			continue
		}
		delete(q.inFlight, m.ID)
		known := q.historyLocked(m)
		m.before = *known
		if outcome.Kind == pillarbox.OutcomeReleased {
			known.idle++
		}
		if outcome.Attempt != nil {
			known.attempts = withAttempt(m.delivery.Attempts, *outcome.Attempt)
		}
	}
}

func (q *Queue) historyLocked(m *message) *messageHistory {
	return q.history.of(m.ID, m.delivery.Event.RequestID)
}

func withAttempt(attempts []pillarbox.Attempt, attempt pillarbox.Attempt) []pillarbox.Attempt {
	return append(attempts[:len(attempts):len(attempts)], attempt)
}

// returnToFlight undoes leaveFlight for the messages that SQS does not know of.
func (q *Queue) returnToFlight(messages []*message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range messages {
		if m.settled || q.inFlight[m.ID] != nil {
			continue
		}
		q.inFlight[m.ID] = m
		*q.historyLocked(m) = m.before
	}
}

func (q *Queue) deleteDone(c changes) error {
	return q.tell(c.done, q.remove)
}

func (q *Queue) hideWaiting(ctx context.Context, c changes) error {
	return q.tell(c.waiting, func(handles []string) error { return q.Hide(ctx, handles, c.waits) })
}

// tell has SQS told of the messages, and notes those that it knows of.
func (q *Queue) tell(messages []*message, call func(handles []string) error) error {
	if len(messages) == 0 {
		return nil
	}
	q.mu.Lock()
	handles := make([]string, len(messages))
	for i, m := range messages {
		handles[i] = m.receipt
	}
	q.mu.Unlock()
	err := call(handles)
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, known := range succeeded(len(messages), err) {
		messages[i].settled = messages[i].settled || known
	}
	return err
}

// endLeases ends the leases. What was rejected or released stays in flight, and is leased next.
func (q *Queue) endLeases(messages []*message, outcomes []pillarbox.Outcome) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, outcome := range slices.Backward(outcomes) { // those that stay go before what is ready, one by one
		m := messages[i]
		delete(q.leased, m.seq)
		switch {
		case outcome.Kind == pillarbox.OutcomeRejected:
			q.rejectLocked(m, outcome)
		case m.copied && (staysInFlight(outcome) || waitsInSQS(outcome)):
			q.forgetLocked(m)
		case staysInFlight(outcome):
			q.firstLocked(m)
		case waitsInSQS(outcome): // it has left
		default:
			q.forgetLocked(m)
			q.counts.settled(outcome)
		}
	}
	q.changeLocked()
}

// rejectLocked has a message leased again as rejected: its dead letter is to be written.
func (q *Queue) rejectLocked(m *message, outcome pillarbox.Outcome) {
	if outcome.Attempt != nil {
		m.delivery.Attempts = withAttempt(m.delivery.Attempts, *outcome.Attempt)
	}
	m.delivery.Rejection = outcome.Rejection
	known := q.historyLocked(m)
	known.attempts, known.rejection = m.delivery.Attempts, outcome.Rejection
	q.readyLocked(m)
}

func (q *Queue) forgetLocked(m *message) {
	delete(q.inFlight, m.ID)
	q.history.forget(m.ID)
}
