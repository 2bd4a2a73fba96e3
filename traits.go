package pillarbox

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// QueueTraits say what a queue can do. They are part of the contract: they never change while it is
// open, whoever wraps a queue hands them on, and the contract suite holds each engine to its own.
// The zero value is a queue that only passes events on, to one destination.
type QueueTraits struct {
	FanOut          bool // every destination consumes all of it; else there can be one destination
	Ordered         bool // Lease keeps the order of Append
	DurableAttempts bool // attempts and rejections survive the process
	Counted         bool // Account and Stats count all that was ever appended; else see Account.Uncounted
	Shared          bool // others fill and empty it too, with sources and settlements that this process knows nothing of
	Local           bool // Append takes as long as a disk of this machine does, and never as long as a network
	Immediate       bool // Lease hands out all that is due at once; else as much of it as was fetched by then
	Searchable      bool // Find, Scan
	Obliges         bool // everything of Obligations
	Requeues        bool // Requeue
	Keys            bool // Keys
}

// SinkTraits say what a sink can do, in the same way. The zero value is a sink that only takes
// events.
type SinkTraits struct {
	Readable    bool // everything of EventStore
	Identified  bool // Identity tells the store from every other one
	Purges      bool // everything of Purger
	PurgesFiles bool // a step of a purge deletes what is in a file, however much that is
	LatestAt    bool // StoredAt is the time of the latest write of an event; else that of the first
	Removes     bool // Remove
	Forwards    bool // it sends events on to somebody who goes on with their traces: each Write may name another parent
}

// ErrUnsupported says that an engine can't do what it was asked for, as its Traits say.
var ErrUnsupported = errors.New("this engine can't do that")

func unsupported(what string) error { return fmt.Errorf("%s: %w", what, ErrUnsupported) }

// QueueDefaults has the methods of Queue that an engine may be without. An engine embeds it, and
// says in its Traits which ones it has replaced. They fail with ErrUnsupported, or know nothing
// where there is no error.
type QueueDefaults struct{}

// Check implements Queue: there is nothing to look at.
func (QueueDefaults) Check(context.Context) error { return nil }

// SetMaxBytes implements Queue: there is no limit.
func (QueueDefaults) SetMaxBytes(int64) {}

// SetKeepBytes implements Queue: nothing is kept of what is delivered.
func (QueueDefaults) SetKeepBytes(int64) {}

// Requeue implements Queue.
func (QueueDefaults) Requeue(context.Context, []*DeadLetter) error { return unsupported("requeue") }

// Keys implements Queue: none are kept.
func (QueueDefaults) Keys() Keys { return nil }

// SetKeyLimits implements Queue: there are none.
func (QueueDefaults) SetKeyLimits(time.Duration, int64) {}

// Find implements Queue.
func (QueueDefaults) Find(context.Context, string) (*Event, error) {
	return nil, unsupported("find an event in the queue")
}

// Waiting implements Queue.
func (QueueDefaults) Waiting(string,
	string) ([]Attempt, *Rejection, bool) {
	return nil, nil, false
}

// Scan implements Queue.
func (QueueDefaults) Scan(context.Context, string, func(*Event, Standing) error) error {
	return unsupported("scan the queue")
}

// Oblige implements Obligations.
func (QueueDefaults) Oblige(context.Context, string, Rule) error { return unsupported("oblige") }

// RuleAt implements Obligations.
func (QueueDefaults) RuleAt(string, Handle) *Rule { return nil }

// Review implements Obligations.
func (QueueDefaults) Review(context.Context, string, func(*Delivery) bool) error {
	return unsupported("review")
}

// ScanHeld implements Obligations.
func (QueueDefaults) ScanHeld(context.Context, string, func(*Delivery) error) error {
	return unsupported("scan held events")
}

// ScanPending implements Obligations.
func (QueueDefaults) ScanPending(context.Context, string, func(*Delivery) error) error {
	return unsupported("scan pending events")
}

// Trace implements Obligations.
func (QueueDefaults) Trace(context.Context, string) (*Event, map[string]Trace, error) {
	return nil, nil, unsupported("trace an event")
}

// ScanSettled implements Obligations.
func (QueueDefaults) ScanSettled(context.Context, string, func(*Delivery) error) error {
	return unsupported("scan settled events")
}

// Redeliver implements Obligations.
func (QueueDefaults) Redeliver(context.Context, string, []Handle, uint64) (int, error) {
	return 0, unsupported("redeliver")
}

// ScanSkipped implements Obligations.
func (QueueDefaults) ScanSkipped(context.Context, string, Handle, func(*Delivery, string) error) error {
	return unsupported("scan skipped events")
}

// Unskip implements Obligations.
func (QueueDefaults) Unskip(context.Context, string, []*Delivery) (int, error) {
	return 0, unsupported("hand out skipped events")
}

// ScanKept implements Obligations.
func (QueueDefaults) ScanKept(context.Context, func(*Delivery) error) error {
	return unsupported("scan the queue")
}

// Began implements Obligations.
func (QueueDefaults) Began(string) (Handle, Timestamp) { return Handle{}, 0 }

// Copied implements Obligations.
func (QueueDefaults) Copied(string) CopyRecord { return CopyRecord{} }

// SetCopied implements Obligations.
func (QueueDefaults) SetCopied(context.Context, string, CopyRecord, uint64, uint64) (uint64, error) {
	return 0, unsupported("remember a copy")
}

// Store implements Obligations.
func (QueueDefaults) Store(string) StoreRecord { return StoreRecord{} }

// SetStore implements Obligations.
func (QueueDefaults) SetStore(context.Context, string, StoreRecord) error {
	return unsupported("remember a store")
}

// Pause implements Obligations: nobody can pause.
func (QueueDefaults) Pause(string) PauseRecord { return PauseRecord{} }

// SetPause implements Obligations.
func (QueueDefaults) SetPause(context.Context, string, PauseRecord) error {
	return unsupported("remember that a destination is paused")
}

// SettleHeld implements Obligations.
func (QueueDefaults) SettleHeld(context.Context, string, []Outcome) (int, error) {
	return 0, unsupported("settle held events")
}

// Route implements Obligations.
func (QueueDefaults) Route(context.Context, string, string, []*Delivery) (int, error) {
	return 0, unsupported("route held events")
}

// SinkDefaults has the methods of Sink that an engine may be without, in the same way: embedded
// alone, it makes a sink that only takes events.
type SinkDefaults struct{}

// Traits implements Sink: none.
func (SinkDefaults) Traits() SinkTraits { return SinkTraits{} }

// Check implements Sink: there is nothing to look at.
func (SinkDefaults) Check(context.Context) error { return nil }

// Identity implements Sink: there is none.
func (SinkDefaults) Identity() StoreIdentity { return StoreIdentity{} }

// Find implements EventStore.
func (SinkDefaults) Find(context.Context, string) (*Event, error) {
	return nil, unsupported("find an event in the destination")
}

// List implements EventStore.
func (SinkDefaults) List(context.Context, EventFilter) ([]*Event, error) {
	return nil, unsupported("list events of the destination")
}

// Count implements EventStore.
func (SinkDefaults) Count(context.Context) (uint64, error) {
	return 0, unsupported("count events of the destination")
}

// Missing implements EventStore.
func (SinkDefaults) Missing(context.Context, []Key) ([]Key, error) {
	return nil, unsupported("look events up in the destination")
}

// BeginPurge implements Purger.
func (SinkDefaults) BeginPurge(context.Context, PurgeFilter) (PurgeStart, error) {
	return PurgeStart{}, unsupported("purge the destination")
}

// Purge implements Purger.
func (SinkDefaults) Purge(context.Context, PurgeStep) (PurgeResult, error) {
	return PurgeResult{}, unsupported("purge the destination")
}

// Remove implements Sink.
func (SinkDefaults) Remove(context.Context, []Key) error {
	return unsupported("remove events from the destination")
}

// Purges implements Purger: nothing was purged.
func (SinkDefaults) Purges() []Purge { return nil }

// StoredAt implements EventStore.
func (SinkDefaults) StoredAt(context.Context, Key) (Timestamp, error) {
	return 0, unsupported("look an event up in the destination")
}
