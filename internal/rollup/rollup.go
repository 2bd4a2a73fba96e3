// Package rollup keeps what a server has done, by the minute for a week and by the hour for a year, so
// that charts need neither a scan nor another program.
//
// It takes a sample once a minute of numbers that the server keeps anyway, and appends what has changed
// to a file for each day; an hour is added up from its minutes when it has ended, into a file for each
// month. It promises that a kill or a power cut costs at most the minute that was not over, that the
// numbers of a minute are never counted twice, and that no trouble with its files, which it names in the
// log, is anybody else's: a file that is damaged is put aside and begun anew with what can be read of it,
// and while the disk takes nothing, up to MaxWaiting minutes are kept in memory. It does not promise that
// what it has is exact: the ledger is.
//
// Memory holds one sample and, of a query, its points; the files take a few megabytes, and never more
// than the bounds below.
package rollup

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"pillarbox"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/vfs"
)

// Directory is where the files are, below the data directory.
const Directory = "history"

// The bounds of a history.
const (
	KeepMinutes = 7 * 24 * time.Hour   // for so long minutes are kept, and up to a day longer
	KeepHours   = 365 * 24 * time.Hour // for so long hours are kept, and up to a month longer
	MaxValues   = 300                  // numbers of one sample; of more, the last by name are left out
	MaxWaiting  = 1440                 // records that the disk has not taken, before the oldest are dropped
	MaxPoints   = 1500                 // points of one answer: somewhat more than the minutes of a day
)

// Resolution is how long an interval is.
type Resolution string

// The resolutions.
const (
	Minute Resolution = "minute"
	Hour   Resolution = "hour"
)

// Length is how long an interval is; 0 of what is no resolution.
func (r Resolution) Length() time.Duration {
	switch r {
	case Minute:
		return time.Minute
	case Hour:
		return time.Hour
	}
	return 0
}

// Sample is what a server knows of itself at one time. Names are those of the points; those of a
// histogram get _p50_seconds, _p95_seconds and _p99_seconds at their end.
type Sample struct {
	Counters   map[string]float64   // since the process began
	Gauges     map[string]float64   // now. Of an hour, the highest counts
	Histograms map[string]Histogram // since the process began
}

// Histogram counts observations by the upper bounds of their buckets, which include those of lower
// ones. What is above all bounds is in Count alone.
type Histogram struct {
	Buckets map[float64]uint64
	Count   uint64
}

// Options of a History. What is nil has a default.
type Options struct {
	FS     vfs.FS                                // required
	Sample func(context.Context) (Sample, error) // required; called once a minute
	Now    func() time.Time                      // default time.Now
	Logger *slog.Logger                          // default: discard
}

// Point is one interval. What is not among the values was zero.
type Point struct {
	At     pillarbox.Timestamp `json:"at"` // its beginning
	Values map[string]float64  `json:"values"`
}

// History is a history that is open. Its methods may be called concurrently.
type History struct {
	opts Options
	turn chan struct{} // held by whoever uses what follows

	before         Sample // as of the last record
	minutes, hours *series
	lastHour       int64 // Unix seconds of the last hour that was added up
	cut            bool  // somebody was told of MaxValues
}

// Open opens a history. What is wrong with its files is in the log, and keeps nobody from anything.
func Open(opts Options) *History {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	h := &History{opts: opts, turn: make(chan struct{}, 1),
		minutes: newSeries(opts, Minute), hours: newSeries(opts, Hour)}
	now := opts.Now().UTC()
	for _, at := range []time.Time{now.AddDate(0, 0, -now.Day()), now} { // last month, and this one
		for _, r := range h.hours.file(h.hours.nameOf(at.Unix())) {
			h.lastHour = max(h.lastHour, r.At)
		}
	}
	return h
}

// Run takes samples until ctx ends, and one more then. It returns nil.
func (h *History) Run(ctx context.Context) error {
	for {
		now := h.opts.Now()
		timer := time.NewTimer(now.Truncate(time.Minute).Add(time.Minute).Sub(now))
		select {
		case <-ctx.Done():
			timer.Stop()
			h.record(context.WithoutCancel(ctx))
			return nil
		case <-timer.C:
			h.record(ctx)
		}
	}
}

// record writes what has changed since the last one, in the minute that is ending.
func (h *History) record(ctx context.Context) {
	sample, err := h.opts.Sample(ctx)
	if err != nil { // the next one has it all
		h.opts.Logger.Warn("the history has no sample of this minute", telemetry.KeyErr, err)
		return
	}
	h.turn <- struct{}{}
	defer func() { <-h.turn }()
	now := h.opts.Now()
	r := change(h.before, sample)
	r.At = now.Add(-time.Minute / 2).Truncate(time.Minute).Unix() // a timer may be late, or end it early
	if r.limit() && !h.cut {
		h.cut = true
		h.opts.Logger.Warn("the history leaves out numbers of some sources or destinations: there are more than it keeps",
			telemetry.KeyItems, MaxValues)
	}
	h.before = sample
	h.minutes.add(r)
	h.addUp(now)
	h.minutes.prune(now, KeepMinutes)
	h.hours.prune(now, KeepHours)
}

// addUp makes the records of the hours that have ended since the last one.
func (h *History) addUp(now time.Time) {
	end := now.Truncate(time.Hour).Unix()
	since := max(h.lastHour+int64(time.Hour/time.Second), now.Add(-KeepMinutes).Truncate(time.Hour).Unix())
	if since >= end {
		return
	}
	hours := map[int64]*record{}
	for _, r := range h.minutes.between(since, end) {
		at := r.At - r.At%int64(time.Hour/time.Second)
		if hours[at] == nil {
			hours[at] = &record{At: at}
		}
		hours[at].merge(&r)
	}
	for at := range hours {
		hours[at].limit()
	}
	for _, r := range sorted(hours) {
		h.hours.add(r)
	}
	h.lastHour = end - int64(time.Hour/time.Second)
}

// Points returns the intervals that begin between two times, the second of them exclusive, as far as
// they are kept, oldest first. An hour is there when it has ended. Errors: ErrInvalid for a resolution
// that there is none of, or more than MaxPoints; ctx's own.
func (h *History) Points(ctx context.Context, resolution Resolution, since, until pillarbox.Timestamp) ([]Point, error) {
	length := resolution.Length()
	if length == 0 {
		return nil, pillarbox.Invalid("resolution is %q; it may be minute or hour", resolution)
	}
	if n := until.Time().Sub(since.Time()) / length; n > MaxPoints {
		return nil, pillarbox.Invalid("there are %d points of a %s between %s and %s, and an answer has up to %d: ask for fewer of them (since, until), or for hours",
			n, resolution, since, until, MaxPoints)
	}
	select {
	case h.turn <- struct{}{}:
		defer func() { <-h.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	from, to := ceil(since.Time()), ceil(until.Time())
	of := h.minutes
	if resolution == Hour {
		of = h.hours
	}
	points := []Point{}
	for _, r := range of.merged(max(from, h.opts.Now().Add(-of.keep()).Unix()), to) {
		points = append(points, Point{At: pillarbox.TimestampOf(time.Unix(r.At, 0)), Values: r.values()})
	}
	return points, nil
}

// ceil is the first second at a time or later.
func ceil(t time.Time) int64 {
	if t.Nanosecond() > 0 {
		return t.Unix() + 1
	}
	return t.Unix()
}

func sorted(records map[int64]*record) []record {
	list := make([]record, 0, len(records))
	for _, r := range records {
		list = append(list, *r)
	}
	slices.SortFunc(list, func(a, b record) int { return int(a.At - b.At) })
	return list
}
