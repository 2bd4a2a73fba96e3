package seglog

import (
	"log/slog"
	"time"

	"pillarbox"
	"pillarbox/internal/atrest"
)

// Defaults and limits of Options.
const (
	DefaultSegmentBytes     = 64 << 20
	DefaultMaxBytes         = 10 << 30
	DefaultKeepBytes        = 256 << 20 // as queue.keep_bytes of the configuration
	DefaultMaxRetrying      = 10_000
	DefaultMaxRetryingBytes = 64 << 20
	DefaultStateBytes       = 256 << 10
	DefaultMaxRetryWait     = 5 * time.Minute

	// MinSegmentBytes is the smallest segment: a frame header and a small group must fit.
	MinSegmentBytes = 8 << 10
	// MaxRecordBytes bounds one event with all its fields, so that one event never needs a special
	// segment at the default sizes.
	MaxRecordBytes = 32 << 20
	// MaxGroupBytes bounds what one commit writes; more waits for the next commit.
	MaxGroupBytes = 32 << 20
	// MaxLeased bounds the events of one destination that are leased or given back at a time.
	MaxLeased = 16_384
	// MaxLeasedBytes bounds their bytes.
	MaxLeasedBytes = 64 << 20
	// MaxDamageReports bounds the damage that Stats lists; all of it is logged and counted.
	MaxDamageReports = 1000

	maxFirstSegment = 8 << 20 // the first segment of a life is filled with zeros while the start waits
	defaultMinFree  = 64 << 20

	defaultMinFreeFiles = 256 // files (inodes) that a new segment leaves on the disk
	minFreeFraction     = 16  // or 1/16 of a small disk
	smallestFallback    = 1 << 20
)

// Options of a Log. The zero value is good.
type Options struct {
	SegmentBytes     int64 // size of a segment file; default DefaultSegmentBytes
	MaxBytes         int64 // bytes of undelivered frames from which on Append says ErrFull; default DefaultMaxBytes
	KeepBytes        int64 // bytes of delivered segments kept as history; default DefaultKeepBytes, negative for none
	MinFreeBytes     int64 // space to leave on the disk for databases and dead letters; default 64 MiB, at most 1/16 of the disk
	MaxRetrying      int   // events of one destination that wait for another attempt; default DefaultMaxRetrying
	StateBytes       int64 // zero-filled size of a delivery state file, so that the cursor can move on a full disk; default DefaultStateBytes
	MaxRetryingBytes int64 // their bytes, which are held in memory; default DefaultMaxRetryingBytes

	// CommitTimeout is how long a commit may take before the disk counts as hanging: those that
	// wait for it are then told that the outcome is not known, and nothing is accepted until the
	// call returns. 0: a commit is waited for as long as it takes, by whoever appends.
	CommitTimeout time.Duration

	// ReadOnly opens the log without writing a byte: Append and Settle return ErrClosed.
	ReadOnly bool

	// ManualMaintenance leaves the maintenance to the caller, who calls Maintain: the log then does
	// nothing by itself, and the same calls lead to the same operations.
	ManualMaintenance bool

	KeyWindow time.Duration // for which idempotency keys are remembered at most; default pillarbox.DefaultKeyWindow
	MaxKeys   int64         // how many are; default pillarbox.DefaultMaxKeys
	KeyTable  int           // how many are in memory before they are written; default: as keyindex has it

	AtRest *atrest.Keys // seals what is written, and opens what was sealed; nil: neither

	Now func() time.Time // default time.Now
	// Elapsed is the time that has passed in all lives, whatever the wall clock says; it never goes
	// back. By it the log measures how long events wait. nil: it does not measure.
	Elapsed func() time.Duration
	// MaxRetryWait bounds what a start believes of the time until a retry, which an earlier life
	// has written down as a date: what would wait longer is due at once. Default
	// DefaultMaxRetryWait.
	MaxRetryWait time.Duration
	Logger       *slog.Logger // default: discard
	Meter        Meter        // default: none
}

// Meter is told what the log does. Its methods may be called concurrently and must not block.
type Meter interface {
	Committed(events int, bytes int64, sync time.Duration)
	IOError()
	Damaged(events uint64)
}

func (o Options) withDefaults() Options {
	setDefault(&o.SegmentBytes, DefaultSegmentBytes)
	setDefault(&o.MaxBytes, DefaultMaxBytes)
	setDefault(&o.KeepBytes, DefaultKeepBytes)
	setDefault(&o.MaxRetrying, DefaultMaxRetrying)
	setDefault(&o.MaxRetryingBytes, DefaultMaxRetryingBytes)
	setDefault(&o.StateBytes, DefaultStateBytes)
	if o.MaxRetryWait == 0 {
		o.MaxRetryWait = DefaultMaxRetryWait
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Meter == nil {
		o.Meter = noMeter{}
	}
	return o
}

func setDefault[T int | int64](value *T, byDefault T) {
	if *value == 0 {
		*value = byDefault
	}
}

func (o Options) validate() error {
	switch {
	case o.SegmentBytes < MinSegmentBytes || o.SegmentBytes%sectorBytes != 0:
		return pillarbox.Invalid("segment_bytes is %d: want a multiple of %d from %d on",
			o.SegmentBytes, sectorBytes, MinSegmentBytes)
	case o.MaxBytes < 0 || o.MaxRetrying < 0 || o.MaxRetryingBytes < 0 || o.MinFreeBytes < 0 ||
		o.CommitTimeout < 0 || o.KeyWindow < 0 || o.MaxKeys < 0:
		return pillarbox.Invalid("limits of the queue can't be negative")
	}
	return nil
}

type noMeter struct{}

func (noMeter) Committed(int, int64, time.Duration) {}
func (noMeter) IOError()                            {}
func (noMeter) Damaged(uint64)                      {}
