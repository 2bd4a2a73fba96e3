package seglog

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"pillarbox"
	"pillarbox/internal/keyindex"
	"pillarbox/internal/telemetry"
)

// keysName is the directory of the key index, beside the segments.
const keysName = "keys"

// startSegments is how many of the newest segments a start may have to read for their keys.
const startSegments = 2

// keys connects the index of idempotency keys with the log: the index is told of each commit, of
// what is only in the log at a start, and before a segment goes.
//
// Locks: none of its own. The index has its own, which are behind all others.
type keys struct {
	*core
	segments *segmentSet
	scanner  *scanner
	ages     *ages
	index    *keyindex.Index // nil where the log was opened for reading
}

// load opens the index, and tells it what the records say that it does not have.
func (k *keys) load() error {
	_, next := k.segments.bounds()
	opts := keyindex.Options{Window: k.opts.KeyWindow, MaxKeys: k.opts.MaxKeys, Table: k.opts.KeyTable,
		Logger: k.opts.Logger, AtRest: k.opts.AtRest, LogID: k.segments.logID, Next: next}
	if k.opts.Elapsed != nil {
		opts.Elapsed = k.ages.now
	}
	var err error
	if k.index, err = keyindex.Open(k.fsys, path.Join(k.dir, keysName), opts); err != nil {
		return fmt.Errorf("open the idempotency keys: %w", unavailable(err))
	}
	err = k.scanner.walkRecordsFrom(context.Background(), k.index.Covered(),
		func(seq uint64, rec record) error {
			event, err := decodeRecord(rec.text)
			key, found := keyOf(event)
			if found && err == nil {
				key.Age = k.age(seq)
				k.index.Committed([]keyindex.Key{key}, seq+1)
			}
			return nil // what can't be understood was reported as damage
		})
	if err != nil {
		return fmt.Errorf("read the idempotency keys of the log: %w", unavailable(err))
	}
	k.index.Committed(nil, next)
	return nil
}

// keyOf is the key of an event as the index keeps it, if it has one.
func keyOf(event *pillarbox.Event) (key keyindex.Key, found bool) {
	if event.Idempotency.IsZero() {
		return key, false
	}
	id, found := keyindex.ParseID(event.RequestID)
	return keyindex.Key{Idempotency: event.Idempotency, Timestamp: event.Timestamp, ID: id}, found
}

// age is how long an event has been there at least.
func (k *keys) age(seq uint64) time.Duration {
	if k.opts.Elapsed == nil {
		return 0
	}
	k.ages.mu.Lock()
	defer k.ages.mu.Unlock()
	return k.ages.waited(seq, k.ages.now())
}

// committed tells what is durable now. The caller leads.
func (k *keys) committed(keys []keyindex.Key) {
	_, next := k.segments.bounds()
	k.index.Committed(keys, next)
}

// bound asks for the keys of older segments to be written, so that a start does not read those.
func (k *keys) bound() { k.index.Want(k.segments.firstOfNewest(startSegments)) }

// cover reports whether a segment may go because its keys are elsewhere. On a full disk it may all
// the same: they are in memory, and are written once there is room.
func (k *keys) cover(old *segment) bool {
	err := k.index.Cover(old.nextSeq)
	if err == nil || errors.Is(unavailable(err), pillarbox.ErrNoSpace) {
		return true
	}
	k.opts.Logger.Warn("write the idempotency keys of a segment before it is removed",
		telemetry.KeySegment, old.name, telemetry.KeyErr, err)
	return false
}

func (k *keys) close() error {
	if k.index == nil {
		return nil
	}
	return k.index.Close()
}

// Keys implements pillarbox.Queue.
func (l *Log) Keys() pillarbox.Keys {
	if l.keys.index == nil {
		return nil
	}
	return l.keys.index
}

// SetKeyLimits implements pillarbox.Queue.
func (l *Log) SetKeyLimits(window time.Duration, maxKeys int64) {
	if l.keys.index != nil {
		l.keys.index.SetLimits(window, maxKeys)
	}
}
