package lambda

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"pillarbox"
	"pillarbox/internal/telemetry"
)

// settle makes the outcomes last: dead letters and successors are put into their queues, and what stays is hidden for
// as long as it is to wait. The first two come first, because only they decide whether a message may be deleted.
func (r *round) settle(ctx context.Context) {
	r.bury(ctx)
	r.sendAgain(ctx)
	r.hide(ctx)
}

// bury sends the dead letters of the condemned to their queue.
func (r *round) bury(ctx context.Context) {
	var condemned []*parcel
	var letters []*pillarbox.DeadLetter
	for _, p := range r.parcels {
		if p.outcome.Kind == pillarbox.OutcomeCondemned {
			condemned = append(condemned, p)
			letters = append(letters, r.letter(p))
		}
	}
	if len(letters) == 0 {
		return
	}
	for i, err := range eachError(len(letters), r.mailbox.Bury(ctx, letters)) {
		p := condemned[i]
		if err != nil {
			r.log.Error("dead letter can't be sent, its event stays in the queue", telemetry.KeyEventID, p.message.Event.RequestID, telemetry.KeyErr, err)
			continue
		}
		p.done = true
		r.measures.counts[metricBuried]++
		r.log.Warn("event is given up", telemetry.KeyEventID, p.message.Event.RequestID, keyMessage, p.id, telemetry.KeyAttempt, p.receives)
	}
}

// letter makes the dead letter of a condemned parcel. Where its receives are used up, the reason says so in the words
// of what was counted.
func (r *round) letter(p *parcel) *pillarbox.DeadLetter {
	letter := p.letter(r.opts.Destination, r.now)
	switch attempt := p.outcome.Attempt; {
	case attempt == nil && p.lost == nil:
		letter.Reason = fmt.Sprintf("received %d times and not stored; the reasons are in the logs of those attempts", p.receives)
	case attempt != nil && (attempt.Class == pillarbox.ClassRefused || attempt.Class == pillarbox.ClassUnavailable):
		letter.Reason = fmt.Sprintf("received %d times and not stored, the last time with: %s", p.receives, attempt.Error)
	}
	return letter
}

// sendAgain makes new messages of events whose receives come to an end although nobody refused them. Without it, a
// destination that is down for long enough would make dead letters of everything.
func (r *round) sendAgain(ctx context.Context) {
	var ending []*parcel
	var again []*pillarbox.Message
	for _, p := range r.parcels {
		if p.outcome.Kind == pillarbox.OutcomeReleased && p.receives >= r.endsAt && p.lost == nil && !r.tooOld(p) {
			ending = append(ending, p)
			again = append(again, &pillarbox.Message{Event: p.message.Event, Claim: p.claim, Letter: p.message.Letter, Since: p.since()})
		}
	}
	if len(again) == 0 {
		return
	}
	for i, err := range eachError(len(again), r.mailbox.Send(ctx, again)) {
		if err != nil {
			r.log.Warn("event can't be sent again, its message stays in the queue", telemetry.KeyEventID, again[i].Event.RequestID, telemetry.KeyErr, err)
			continue
		}
		ending[i].done = true
		r.measures.counts[metricSentAgain]++
	}
}

// tooOld says of a parcel that it was not delivered in time. Where there is no try that would condemn it, SQS moves it to
// the dead-letter queue after its last receive.
func (r *round) tooOld(p *parcel) bool {
	since := cmp.Or(p.since(), p.message.Event.Timestamp).Time()
	return r.opts.MaxAge > 0 && r.now.Sub(since) > r.opts.MaxAge
}

// hide keeps what stays in the queue from coming back before its time. Where that fails it comes back after the queue's
// own visibility timeout, which is sooner and does no harm.
func (r *round) hide(ctx context.Context) {
	var handles []string
	var waits []time.Duration
	for _, p := range r.parcels {
		if p.done {
			continue
		}
		if p.wait <= 0 { // it was not tried
			p.wait = r.policy.Delay(p.receives, r.opts.Chance())
		}
		for _, handle := range p.handles {
			handles, waits = append(handles, handle), append(waits, min(p.wait, r.opts.MaxRetryWait))
		}
	}
	if len(handles) == 0 {
		return
	}
	if err := r.mailbox.Hide(ctx, handles, waits); err != nil {
		r.log.Warn("messages can't be hidden, they come back sooner", telemetry.KeyEvents, len(handles), telemetry.KeyErr, err)
	}
}

// count measures the round, and logs why each of the refused has to come again.
func (r *round) count(records, failed int) {
	counts := r.measures.counts
	counts[metricBatch], counts[metricStored], counts[metricFailed] = records, 0, failed
	for _, p := range r.parcels {
		switch p.outcome.Kind {
		case pillarbox.OutcomeStored:
			counts[metricStored]++
		case pillarbox.OutcomeSkipped:
			counts[metricSkipped]++
		case pillarbox.OutcomeReleased:
			counts[metricReleased]++
		case pillarbox.OutcomeRetry:
			counts[metricRetried]++
			r.log.Warn("event is refused, and tried again", telemetry.KeyEventID, p.message.Event.RequestID, telemetry.KeyAttempt, p.receives, telemetry.KeyRetryIn, p.wait, telemetry.KeyErr, p.outcome.Attempt.Error)
		}
	}
}
