package alert

import (
	"maps"
	"math"
	"slices"
	"time"
)

// remembered is for how long the past keeps minutes: the longest time of a reading.
const remembered = time.Hour

// MaxPast is how many numbers the past keeps, of an hour each: those of 100 destinations. Of more,
// the ones that come first in a look count.
const MaxPast = 2000

// past is how much counters have grown in each of the last minutes, and where levels stood. It is
// written to the state file, so that a restart does not forget what happened within the hour.
type past struct {
	Began time.Time           `json:"began"` // since when it knows everything
	Ended time.Time           `json:"ended"` // the last look
	Grown map[string][]minute `json:"grown,omitempty"`
	Stood map[string][]minute `json:"stood,omitempty"`

	totals map[string]float64 // of this process
}

// minute is a number of one minute.
type minute struct {
	At    int64   `json:"at"` // Unix time of its beginning, in seconds
	Value float64 `json:"value"`
}

func newPast(at time.Time) *past {
	return &past{Began: at, Ended: at, Grown: map[string][]minute{}, Stood: map[string][]minute{},
		totals: map[string]float64{}}
}

// goOn makes what was read of a file fit for a look. A gap of more than an hour, or a clock that
// was set back, leaves nothing of it.
func (p *past) goOn(at time.Time) *past {
	if gap := at.Sub(p.Ended); gap < 0 || gap > remembered {
		return newPast(at)
	}
	p.totals = map[string]float64{}
	if p.Grown == nil {
		p.Grown = map[string][]minute{}
	}
	if p.Stood == nil {
		p.Stood = map[string][]minute{}
	}
	return p
}

// count notes the total of a counter. A total that is lower than the last one has begun anew.
// lasting counters are not at zero when a process begins: what they show first is no growth.
func (p *past) count(name string, total float64, lasting bool, at time.Time) {
	before, known := p.totals[name]
	p.totals[name] = total
	grown := total - before
	switch {
	case !known && lasting:
		return
	case grown < 0:
		grown = total
	}
	if grown > 0 {
		add(p.Grown, name, at, func(m *minute) { m.Value += grown })
	}
}

// stand notes where a level is.
func (p *past) stand(name string, level float64, at time.Time) {
	add(p.Stood, name, at, func(m *minute) { m.Value = level })
}

func add(to map[string][]minute, name string, at time.Time, change func(*minute)) {
	minutes, known := to[name]
	if !known && len(to) >= MaxPast {
		return
	}
	begin := at.Truncate(time.Minute).Unix()
	if n := len(minutes); n == 0 || minutes[n-1].At != begin {
		minutes = append(minutes, minute{At: begin})
	}
	change(&minutes[len(minutes)-1])
	to[name] = minutes
}

// forget drops what is too old, and what a clock that was set back has left in the future.
func (p *past) forget(at time.Time) {
	p.Ended = at
	if p.Began.After(at) {
		p.Began = at
	}
	old := at.Add(-remembered - time.Minute).Unix()
	for _, kept := range []map[string][]minute{p.Grown, p.Stood} {
		for name, minutes := range kept {
			minutes = slices.DeleteFunc(minutes, func(m minute) bool {
				return m.At <= old || m.At > at.Unix()
			})
			if kept[name] = minutes; len(minutes) == 0 {
				delete(kept, name)
			}
		}
	}
}

// grownBy is how much a counter has grown within a time, to the minute.
func (p *past) grownBy(name string, at time.Time, within time.Duration) (sum float64) {
	since := at.Add(-within).Unix()
	for _, m := range p.Grown[name] {
		if m.At > since {
			sum += m.Value
		}
	}
	return sum
}

// covers is how much of a time the past knows.
func (p *past) covers(at time.Time, within time.Duration) time.Duration {
	return min(within, at.Sub(p.Began))
}

// reaches is how many seconds pass until a level gets to a bound, by the line of least squares
// through where it stood. It is not known where the line does not rise, and of fewer than three
// minutes.
func (p *past) reaches(name string, bound float64, at time.Time) (seconds float64, known bool) {
	minutes := p.Stood[name]
	if len(minutes) < 3 {
		return 0, false
	}
	var x, y, xx, xy float64
	for _, m := range minutes {
		t := float64(m.At - at.Unix())
		x, y, xx, xy = x+t, y+m.Value, xx+t*t, xy+t*m.Value
	}
	n := float64(len(minutes))
	slope := (n*xy - x*y) / (n*xx - x*x)
	if !(slope > 0) { // nor where it is not a number
		return 0, false
	}
	return max(0, (bound-(y-slope*x)/n)/slope), true
}

// level is a quantile of a histogram by how much its buckets have grown, as Prometheus reckons it:
// along a line within the bucket that it falls into. Buckets count those of lower bounds too.
func level(buckets map[float64]float64, at float64) (bound float64, known bool) {
	bounds := slices.Sorted(maps.Keys(buckets))
	if len(bounds) == 0 || buckets[bounds[len(bounds)-1]] == 0 {
		return 0, false
	}
	rank := at * buckets[bounds[len(bounds)-1]]
	var lower, below float64
	for _, upper := range bounds {
		if buckets[upper] >= rank {
			if math.IsInf(upper, 1) {
				return lower, true
			}
			return lower + (upper-lower)*(rank-below)/(buckets[upper]-below), true
		}
		lower, below = upper, buckets[upper]
	}
	return lower, true
}
