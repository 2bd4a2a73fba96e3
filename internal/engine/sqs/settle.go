package sqs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"pillarbox"
)

// receivesInReserve is how many receives before its last an event is sent again as a new message, if it was not
// refused: a process that is killed spends one for each of its lives.
const receivesInReserve = 2

// Settle implements pillarbox.Queue, except that attempts and verdicts are kept in memory; the package comment says
// what follows from that. What is released without a time stays in hand.
func (q *Queue) Settle(ctx context.Context, destination string, outcomes []pillarbox.Outcome) error {
	if err := q.begin(ctx); err != nil {
		return err
	}
	defer q.life.RUnlock()
	messages, err := q.find(destination, outcomes)
	if err != nil {
		return err
	}
	q.sendEnding(ctx, messages, outcomes)
	done, hidden, waits := q.sort(messages, outcomes)
	// Once SQS knows, another receive may bring a hidden message again: it must have left the hand before.
	q.part(messages, outcomes)
	err = errors.Join(q.tell(done, q.remove), q.tell(hidden, func(handles []string) error { return q.Hide(ctx, handles, waits) }))
	if err != nil {
		q.takeBack(hidden)
		return fmt.Errorf("settle: %w", err)
	}
	q.forget(messages, outcomes)
	return nil
}

// sort says which messages SQS may delete, and which it is to hide, for how long. It need not hear of the others.
func (q *Queue) sort(messages []*message, outcomes []pillarbox.Outcome) (done, hidden []*message, waits []time.Duration) {
	for i, outcome := range outcomes {
		switch m := messages[i]; {
		case m.settled || outcome.Kind == pillarbox.OutcomeCondemned:
		case m.copied:
			done = append(done, m)
		case staysInHand(outcome):
		case leavesForNow(outcome):
			hidden = append(hidden, m)
			waits = append(waits, q.waitOf(outcome))
		default:
			done = append(done, m)
		}
	}
	return done, hidden, waits
}

// sendEnding sends again what is released near its last receive.
func (q *Queue) sendEnding(ctx context.Context, messages []*message, outcomes []pillarbox.Outcome) {
	var released []*message
	for i, m := range messages {
		if outcomes[i].Kind == pillarbox.OutcomeReleased && !m.copied {
			released = append(released, m)
		}
	}
	if facts, err := q.facts(ctx); err == nil {
		q.sendAgain(ctx, facts, released)
	}
}

// sendAgain makes new messages of those whose receives come to an end although nobody has refused them. SQS would take an
// outage that lasts for refusals, and move them to the queue of dead letters. It marks them as copied; where that fails
// they stay what they are. What is condemned or too old is given up, and stays too.
func (q *Queue) sendAgain(ctx context.Context, facts facts, messages []*message) {
	var ending []*message
	var again []*pillarbox.Message
	q.mu.Lock()
	for _, m := range messages {
		d := &m.delivery
		if facts.receives > 0 && m.receives >= max(2, facts.receives-receivesInReserve) && d.Verdict == nil && !q.tooOld(d) {
			ending = append(ending, m)
			again = append(again, &pillarbox.Message{Event: d.Event, Claim: m.claim, Letter: m.letter, Since: d.Since})
		}
	}
	q.mu.Unlock()
	err := q.send(ctx, q.url, again, 0)
	if err != nil {
		q.options.Logger.Warn("events can't be sent again, their messages stay in the queue", "queue", q.url, "err", err)
	}
	for i, sent := range succeeded(len(ending), err) {
		ending[i].copied = sent
	}
}

func (q *Queue) tooOld(d *pillarbox.Delivery) bool {
	since := cmp.Or(d.Since, d.Event.Timestamp).Time()
	return q.options.MaxAge > 0 && q.options.Now().Sub(since) > q.options.MaxAge
}

func (q *Queue) waitOf(outcome pillarbox.Outcome) time.Duration {
	if outcome.NotBefore.IsZero() {
		return 0
	}
	return max(0, outcome.NotBefore.Sub(q.options.Now()))
}

// staysInHand says of an event that is released at once: the destination is down, for how long nobody knows.
func staysInHand(outcome pillarbox.Outcome) bool {
	return outcome.Kind == pillarbox.OutcomeReleased && outcome.NotBefore.IsZero()
}

// leavesForNow says of an event that SQS hands out again, so that it holds up no other one here meanwhile.
func leavesForNow(outcome pillarbox.Outcome) bool {
	return outcome.Kind == pillarbox.OutcomeRetry || outcome.Kind == pillarbox.OutcomeReleased && !outcome.NotBefore.IsZero()
}

// find returns the leased messages, in the order of the outcomes.
func (q *Queue) find(destination string, outcomes []pillarbox.Outcome) ([]*message, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.bindLocked(destination); err != nil {
		return nil, err
	}
	seen := map[uint64]bool{}
	messages := make([]*message, len(outcomes))
	for i, outcome := range outcomes {
		messages[i] = q.leased[outcome.Handle.Seq]
		if messages[i] == nil || seen[outcome.Handle.Seq] {
			return nil, fmt.Errorf("settle event %d for %s: it is not leased: %w", outcome.Handle.Seq, destination, pillarbox.ErrConflict)
		}
		seen[outcome.Handle.Seq] = true
	}
	return messages, nil
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
	var partial *pillarbox.BatchError
	if err != nil && !errors.As(err, &partial) {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range messages {
		m.settled = true
	}
	if partial != nil {
		for _, item := range partial.Items {
			messages[item.Index].settled = false
		}
	}
	return err
}

// part lets the messages go that are tried again later, and remembers what was done with them.
func (q *Queue) part(messages []*message, outcomes []pillarbox.Outcome) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, outcome := range outcomes {
		m := messages[i]
		if m.settled || m.copied || !leavesForNow(outcome) {
			continue
		}
		delete(q.inHand, m.id)
		known := q.past.of(m.id, m.delivery.Event.RequestID)
		m.before = *known
		if outcome.Kind == pillarbox.OutcomeReleased {
			known.idle++
		}
		if outcome.Attempt != nil {
			known.attempts = more(m.delivery.Attempts, *outcome.Attempt)
		}
	}
}

func more(attempts []pillarbox.Attempt, attempt pillarbox.Attempt) []pillarbox.Attempt {
	return append(attempts[:len(attempts):len(attempts)], attempt)
}

// takeBack undoes part for the messages that SQS does not know of.
func (q *Queue) takeBack(messages []*message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range messages {
		if m.settled || q.inHand[m.id] != nil {
			continue
		}
		q.inHand[m.id] = m
		*q.past.of(m.id, m.delivery.Event.RequestID) = m.before
	}
}

// forget ends the leases. What was condemned or released stays in hand, and is leased next.
func (q *Queue) forget(messages []*message, outcomes []pillarbox.Outcome) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, outcome := range slices.Backward(outcomes) { // those that stay go before what is ready, one by one
		m := messages[i]
		delete(q.leased, m.seq)
		switch outcome.Kind {
		case pillarbox.OutcomeRetry:
		case pillarbox.OutcomeReleased:
			switch {
			case m.copied:
				delete(q.inHand, m.id)
				q.past.forget(m.id)
			case staysInHand(outcome):
				q.firstLocked(m)
			}
		case pillarbox.OutcomeCondemned:
			if outcome.Attempt != nil {
				m.delivery.Attempts = more(m.delivery.Attempts, *outcome.Attempt)
			}
			m.delivery.Verdict = outcome.Verdict
			known := q.past.of(m.id, m.delivery.Event.RequestID)
			known.attempts, known.verdict = m.delivery.Attempts, outcome.Verdict
			q.readyLocked(m)
		default:
			delete(q.inHand, m.id)
			q.past.forget(m.id)
			q.counts.settled(outcome.Kind)
		}
	}
	q.changeLocked()
}

// Hide keeps messages from being handed out again for the time that stands beside each, 0 for not at all and 12 hours
// at most. A message that SQS has handed out to somebody else since is left alone. Errors are a *BatchError or
// ErrUnavailable for all.
func (q *Queue) Hide(ctx context.Context, handles []string, waits []time.Duration) error {
	return batched(len(handles), func(from, to int, errs []error) error {
		entries := make([]types.ChangeMessageVisibilityBatchRequestEntry, to-from)
		for i := range entries {
			seconds := min((waits[from+i]+time.Second-1)/time.Second, maxHideSecs)
			entries[i] = types.ChangeMessageVisibilityBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), ReceiptHandle: &handles[from+i], VisibilityTimeout: int32(seconds),
			}
		}
		out, err := q.client.ChangeMessageVisibilityBatch(ctx, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &q.url, Entries: entries})
		if err != nil {
			return kind("hide messages of "+q.url, err)
		}
		return note(out.Failed, "hide a message", errs[from:to])
	})
}

// remove deletes messages. One that is gone, or was handed out to somebody else since, is left alone: at worst it comes
// again.
func (q *Queue) remove(handles []string) error {
	// The outcome is durable in the sink; that it is not done twice is worth finishing, whoever has stopped waiting.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(q.working), removeTime)
	defer cancel()
	return batched(len(handles), func(from, to int, errs []error) error {
		entries := make([]types.DeleteMessageBatchRequestEntry, to-from)
		for i := range entries {
			entries[i] = types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: &handles[from+i]}
		}
		out, err := q.client.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &q.url, Entries: entries})
		if err != nil {
			return kind("delete messages of "+q.url, err)
		}
		return note(out.Failed, "delete a message", errs[from:to])
	})
}

// removeTime bounds the deletion of one batch.
const removeTime = 30 * time.Second

// batched calls do for batches of n things, several at once, and joins what failed.
func batched(n int, do func(from, to int, errs []error) error) error {
	if n == 0 {
		return nil
	}
	errs := make([]error, n)
	inParallel((n+maxBatch-1)/maxBatch, func(i int) {
		from, to := i*maxBatch, min(n, (i+1)*maxBatch)
		if err := do(from, to, errs); err != nil {
			for at := from; at < to; at++ {
				errs[at] = err
			}
		}
	})
	return joined(errs)
}

// note puts the failures of a batch beside what they are of. What is the sender's fault can only be a receipt whose time
// is over: nothing that could be done again.
func note(failed []types.BatchResultErrorEntry, action string, errs []error) error {
	for _, entry := range failed {
		if entry.SenderFault {
			continue
		}
		i, err := strconv.Atoi(aws.ToString(entry.Id))
		if err != nil || i < 0 || i >= len(errs) {
			return fmt.Errorf("%s: SQS names the entry %q, which was not sent: %w", action, aws.ToString(entry.Id), pillarbox.ErrUnavailable)
		}
		errs[i] = &refusal{entry: entry, action: action}
	}
	return nil
}
