package dynamodb

import (
	"context"
	"time"

	"pillarbox"
)

// WithEmptyHours shortens how long a list asks hours in vain.
func WithEmptyHours(o Options, hours int) Options {
	o.emptyHours = hours
	return o
}

// RecordWaits replaces the waits of the store by a list of them, each as long as it may be.
func (s *Store) RecordWaits() *[]time.Duration {
	waits := &[]time.Duration{}
	s.chance = func(wait time.Duration) time.Duration { return wait }
	s.pause = func(ctx context.Context, wait time.Duration) error {
		*waits = append(*waits, wait)
		return ctx.Err()
	}
	return waits
}

// Item is what DynamoDB keeps of an event.
type Item = item

// Encode makes the item of an event.
func (s *Store) Encode(event *pillarbox.Event, claim *pillarbox.Claim,
	storedAt pillarbox.Timestamp) Item {
	return s.encode(event, claim, storedAt)
}

// Decode, SizeOf, WireBytes and CheckKey are decode, sizeOf, wireBytes and checkKey.
var (
	Decode    = decode
	SizeOf    = sizeOf
	WireBytes = wireBytes
	CheckKey  = checkKey
)

// The bounds of DynamoDB, and of this package.
const (
	MaxBatchBytes = maxBatchBytes
	MaxTries      = maxTries
	ScanSegments  = scanSegments
)
