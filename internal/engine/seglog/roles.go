package seglog

import (
	"context"

	"pillarbox"
)

// The roles of a queue. Each method hands its call to the part whose it is, and holds no rule of
// its own.

// Append implements pillarbox.Queue. Events over MaxRecordBytes are named in a *BatchError, the
// others are committed with one fdatasync. Once the events are taken, ctx no longer counts: the
// commit takes as long as the disk, but no caller waits for longer than CommitTimeout.
func (l *Log) Append(ctx context.Context, events []*pillarbox.Event) error {
	return l.appender.appendFitting(ctx, events, l.appender.watch == nil)
}

// AppendInline implements pillarbox.Queue.
func (l *Log) AppendInline(ctx context.Context, events []*pillarbox.Event) error {
	return l.appender.appendFitting(ctx, events, true)
}

// Lease implements pillarbox.Queue.
func (l *Log) Lease(
	ctx context.Context, destination string, limits pillarbox.LeaseLimits,
) ([]pillarbox.Delivery, error) {
	c, err := l.destinations.get(destination)
	if err != nil {
		return nil, err
	}
	return c.lease(ctx, limits)
}

// Settle implements pillarbox.Queue. Nothing changes in memory before the state is written, so that
// after an error the same call may be made again.
func (l *Log) Settle(_ context.Context, destination string, outcomes []pillarbox.Outcome) error {
	c, err := l.destinations.getToChange(destination)
	if err != nil {
		return err
	}
	if err := c.settle(outcomes); err != nil {
		return err
	}
	l.destinations.measureBacklog()
	return nil
}

// Account implements pillarbox.Queue.
func (l *Log) Account(destination string) (pillarbox.Account, error) {
	c, err := l.destinations.get(destination)
	if err != nil {
		return pillarbox.Account{}, err
	}
	return c.account(), nil
}

// SetMaxBytes changes the limit of undelivered bytes.
func (l *Log) SetMaxBytes(maxBytes int64) { l.backlog.setMaxBytes(maxBytes) }

// SetKeepBytes changes the history of what is delivered. What exceeds it goes with the next round
// of the maintenance.
func (l *Log) SetKeepBytes(keepBytes int64) {
	l.trimmer.setKeepBytes(keepBytes)
	l.wakeup.ifSleeping()
}

// Scan implements pillarbox.EventScanner. It reads with files of its own and holds no lock while it
// does; a segment that is removed meanwhile is passed over.
func (l *Log) Scan(
	ctx context.Context, destination string,
	visit func(event *pillarbox.Event, standing pillarbox.Standing) error,
) error {
	return l.destinations.scan(ctx, destination, visit)
}

// Find implements pillarbox.EventFinder: it looks through the held segments for the event. The
// retry sets are looked at first, because their events may have left the segments.
func (l *Log) Find(ctx context.Context, requestID string) (*pillarbox.Event, error) {
	event, _, err := l.destinations.find(ctx, requestID)
	return event, err
}

// Trace implements pillarbox.Obligations.
func (l *Log) Trace(
	ctx context.Context, requestID string,
) (*pillarbox.Event, map[string]pillarbox.Trace, error) {
	return l.destinations.trace(ctx, requestID)
}

// Waiting returns the attempts and the rejection of an event that waits for another attempt. ok is
// false where it does not wait.
func (l *Log) Waiting(
	destination, requestID string,
) (attempts []pillarbox.Attempt, rejection *pillarbox.Rejection, ok bool) {
	c, err := l.destinations.get(destination)
	if err != nil {
		return nil, nil, false
	}
	it := c.findRetry(requestID)
	if it == nil {
		return nil, nil, false
	}
	return it.attempts, it.rejection, true
}

// Oblige implements pillarbox.Obligations.
func (l *Log) Oblige(_ context.Context, destination string, rule pillarbox.Rule) error {
	return l.obligations.oblige(destination, rule)
}

// RuleAt implements pillarbox.Obligations.
func (l *Log) RuleAt(destination string, handle pillarbox.Handle) *pillarbox.Rule {
	return l.obligations.ruleAt(destination, handle)
}

// Review implements pillarbox.Obligations.
func (l *Log) Review(
	ctx context.Context, destination string, hold func(*pillarbox.Delivery) bool,
) error {
	return l.obligations.review(ctx, destination, hold)
}

// ScanHeld implements pillarbox.Obligations.
func (l *Log) ScanHeld(
	ctx context.Context, destination string, visit func(*pillarbox.Delivery) error,
) error {
	return l.obligations.scanHeld(ctx, destination, visit)
}

// ScanPending implements pillarbox.Obligations.
func (l *Log) ScanPending(
	ctx context.Context, destination string, visit func(*pillarbox.Delivery) error,
) error {
	return l.obligations.scanPending(ctx, destination, visit)
}

// ScanSettled implements pillarbox.Obligations.
func (l *Log) ScanSettled(
	ctx context.Context, destination string, visit func(*pillarbox.Delivery) error,
) error {
	return l.obligations.scanSettled(ctx, destination, visit)
}

// SettleHeld implements pillarbox.Obligations.
func (l *Log) SettleHeld(
	_ context.Context, destination string, outcomes []pillarbox.Outcome,
) (int, error) {
	return l.obligations.settleHeld(destination, outcomes)
}

// Route implements pillarbox.Obligations. The other destination has the events durably before the
// first one lets go of them; while that is going on, no segment is removed.
func (l *Log) Route(
	_ context.Context, from, to string, deliveries []*pillarbox.Delivery,
) (int, error) {
	return l.obligations.route(from, to, deliveries)
}

// ScanSkipped implements pillarbox.Obligations.
func (l *Log) ScanSkipped(
	ctx context.Context, destination string, from pillarbox.Handle,
	visit func(*pillarbox.Delivery, string) error,
) error {
	return l.obligations.scanSkipped(ctx, destination, from.Seq, visit)
}

// Unskip implements pillarbox.Obligations. No segment is removed meanwhile.
func (l *Log) Unskip(
	_ context.Context, destination string, deliveries []*pillarbox.Delivery,
) (int, error) {
	return l.obligations.unskip(destination, deliveries)
}

// ScanKept implements pillarbox.Obligations.
func (l *Log) ScanKept(ctx context.Context, visit func(*pillarbox.Delivery) error) error {
	return l.obligations.scanKept(ctx, visit)
}

// Began implements pillarbox.Obligations.
func (l *Log) Began(destination string) (pillarbox.Handle, pillarbox.Timestamp) {
	return l.obligations.began(destination)
}

// Copied implements pillarbox.Obligations.
func (l *Log) Copied(destination string) pillarbox.CopyRecord {
	return l.obligations.copied(destination)
}

// SetCopied implements pillarbox.Obligations. No segment is removed meanwhile.
func (l *Log) SetCopied(
	_ context.Context, destination string, record pillarbox.CopyRecord, stored, dead uint64,
) (uint64, error) {
	return l.obligations.setCopied(destination, record, stored, dead)
}

// Redeliver implements pillarbox.Obligations. No segment is removed meanwhile.
func (l *Log) Redeliver(
	_ context.Context, destination string, handles []pillarbox.Handle, dead uint64,
) (int, error) {
	return l.obligations.redeliver(destination, handles, dead)
}

// Store implements pillarbox.Obligations.
func (l *Log) Store(destination string) pillarbox.StoreRecord {
	return l.obligations.store(destination)
}

// Pause implements pillarbox.Obligations.
func (l *Log) Pause(destination string) pillarbox.PauseRecord {
	return l.obligations.pause(destination)
}

// SetPause implements pillarbox.Obligations.
func (l *Log) SetPause(_ context.Context, destination string, record pillarbox.PauseRecord) error {
	return l.obligations.setPause(destination, record)
}

// SetStore implements pillarbox.Obligations.
func (l *Log) SetStore(_ context.Context, destination string, record pillarbox.StoreRecord) error {
	return l.obligations.setStore(destination, record)
}
