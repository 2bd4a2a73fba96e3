package lambda

import (
	"context"
	"fmt"
	"time"

	"pillarbox"
	"pillarbox/internal/telemetry"
)

// settle makes the outcomes last: dead letters and successors are put into their queues, and what
// stays is hidden for as long as it is to wait. The first two come first, because only they decide
// whether a message may be deleted.
func (b *batch) settle(ctx context.Context) {
	b.putDeadLetters(ctx)
	b.sendAgain(ctx)
	b.hide(ctx)
}

// putDeadLetters sends the dead letters of the rejected to their queue.
func (b *batch) putDeadLetters(ctx context.Context) {
	var rejected []*message
	var letters []*pillarbox.DeadLetter
	for _, m := range b.messages {
		if m.outcome.Kind == pillarbox.OutcomeRejected {
			rejected = append(rejected, m)
			letters = append(letters, b.letter(m))
		}
	}
	if len(letters) == 0 {
		return
	}
	for i, err := range eachError(len(letters), b.queue.SendDeadLetters(ctx, letters)) {
		m := rejected[i]
		if err != nil {
			b.log.Error("dead letter can't be sent, its event stays in the queue",
				telemetry.KeyEventID, m.Message.Event.RequestID, telemetry.KeyErr, err)
			continue
		}
		m.done = true
		b.measures.counts[metricDeadLettered]++
		b.log.Warn("event is given up", telemetry.KeyEventID, m.Message.Event.RequestID, keyMessage,
			m.ID, telemetry.KeyAttempt, m.Receives)
	}
}

// letter makes the dead letter of a rejected message. Where its receives are used up, the reason
// says so in the words of what was counted.
func (b *batch) letter(m *message) *pillarbox.DeadLetter {
	letter := m.letter(b.opts.Destination, b.now)
	switch attempt := m.outcome.Attempt; {
	case attempt == nil && m.Lost == nil:
		letter.Reason = fmt.Sprintf("received %d times and not stored; the reasons are in the logs of those attempts", m.Receives)
	case attempt != nil && (attempt.Class == pillarbox.ClassRefused ||
		attempt.Class == pillarbox.ClassUnavailable):
		letter.Reason = fmt.Sprintf("received %d times and not stored, the last time with: %s",
			m.Receives, attempt.Error)
	}
	return letter
}

// sendAgain makes new messages of events whose receives come to an end although nobody refused
// them. Without it, a destination that is down for long enough would make dead letters of
// everything.
func (b *batch) sendAgain(ctx context.Context) {
	var ending []*message
	var again []*pillarbox.Message
	for _, m := range b.messages {
		if m.outcome.Kind != pillarbox.OutcomeReleased {
			continue
		}
		if successor := m.Again(b.limits, b.now); successor != nil {
			ending, again = append(ending, m), append(again, successor)
		}
	}
	if len(again) == 0 {
		return
	}
	for i, err := range eachError(len(again), b.queue.Send(ctx, again)) {
		if err != nil {
			b.log.Warn("event can't be sent again, its message stays in the queue",
				telemetry.KeyEventID, again[i].Event.RequestID, telemetry.KeyErr, err)
			continue
		}
		ending[i].done = true
		b.measures.counts[metricSentAgain]++
	}
}

// hide keeps what stays in the queue from coming back before its time. Where that fails it comes
// back after the queue's own visibility timeout, which is sooner and does no harm.
func (b *batch) hide(ctx context.Context) {
	var handles []string
	var waits []time.Duration
	for _, m := range b.messages {
		if m.done {
			continue
		}
		if m.wait <= 0 { // it was not tried
			m.wait = b.policy.Delay(m.Receives, b.opts.Chance())
		}
		for _, handle := range m.handles {
			handles, waits = append(handles, handle), append(waits, min(m.wait, b.opts.MaxRetryWait))
		}
	}
	if len(handles) == 0 {
		return
	}
	if err := b.queue.Hide(ctx, handles, waits); err != nil {
		b.log.Warn("messages can't be hidden, they come back sooner", telemetry.KeyEvents,
			len(handles), telemetry.KeyErr, err)
	}
}

// count measures the batch, and logs why each of the refused has to come again.
func (b *batch) count(records, failed int) {
	counts := b.measures.counts
	counts[metricBatch], counts[metricStored], counts[metricFailed] = records, 0, failed
	for _, m := range b.messages {
		switch m.outcome.Kind {
		case pillarbox.OutcomeStored:
			counts[metricStored]++
		case pillarbox.OutcomeSkipped:
			counts[metricSkipped]++
		case pillarbox.OutcomeReleased:
			counts[metricReleased]++
		case pillarbox.OutcomeRetry:
			counts[metricRetried]++
			b.log.Warn("event is refused, and tried again", telemetry.KeyEventID,
				m.Message.Event.RequestID, telemetry.KeyAttempt, m.Receives, telemetry.KeyRetryIn,
				m.wait, telemetry.KeyErr, m.outcome.Attempt.Error)
		}
	}
}
