package alert

import (
	"context"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"pillarbox"
	"pillarbox/internal/rollup"
)

// Subject is what an alert is of.
type Subject struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name,omitempty"` // of a destination, or the file of a certificate; empty of the node

	key string // its labels, which tell it from others of its kind
}

// look is all values at one moment.
type look struct {
	at     time.Time
	series map[string][]Series // by metric
	past   *past
	usual  usual
	summed map[reading]map[string]float64 // what sums has found
}

// usual is what the history says of this hour of the week.
type usual struct {
	known    bool
	rate     float64 // events a second, on the average of four weeks
	lastWeek float64
}

// newLook sorts the series, and notes in the past what values need of it later.
func newLook(all []Series, p *past, u usual, at time.Time) *look {
	l := &look{at: at, series: map[string][]Series{}, past: p, usual: u,
		summed: map[reading]map[string]float64{}}
	for _, s := range all {
		l.series[s.Metric] = append(l.series[s.Metric], s)
	}
	p.forget(at)
	noted := map[string]bool{} // a counter is counted once, whatever times values are of
	for i := range values {
		l.note(&values[i], noted)
	}
	return l
}

func (l *look) note(v *value, noted map[string]bool) {
	switch v.kind {
	case isGrown, isGrowth:
		for key, total := range l.sums(v) {
			if name := v.counter(key); !noted[name] {
				noted[name] = true
				l.past.count(name, total, v.kind == isGrowth, l.at)
			}
		}
	case isLevel:
		for b, total := range l.buckets(v) {
			l.past.count(v.counter(b.String()), total, false, l.at)
		}
	case isFull:
		for key, level := range l.sums(v) {
			l.past.stand(v.counter(key), level, l.at)
		}
	}
}

// sums adds the series of a value up, for each of the things that it is of.
func (l *look) sums(v *value) map[string]float64 {
	of := reading{metric: v.metric, label: v.label, want: v.want}
	sums, known := l.summed[of]
	if known {
		return sums
	}
	sums = map[string]float64{}
	l.summed[of] = sums
	for i := range l.series[v.metric] {
		if s := &l.series[v.metric][i]; v.matches(s) {
			sums[keyOf(v.of, s)] += s.Value
		} else if _, there := sums[keyOf(v.of, s)]; !there {
			sums[keyOf(v.of, s)] = 0 // it is there, and nothing of it matches
		}
	}
	return sums
}

// bucket is one of the histogram of a thing: up to a bound, as text.
type bucket struct{ key, bound string }

func (b bucket) String() string { return strings.TrimPrefix(b.key+"\x00"+b.bound, "\x00") }

// buckets are those of a value's histogram, of all things.
func (l *look) buckets(v *value) map[bucket]float64 {
	totals := map[bucket]float64{}
	for i := range l.series[v.metric+"_bucket"] {
		s := &l.series[v.metric+"_bucket"][i]
		totals[bucket{keyOf(v.of, s), s.Labels["le"]}] += s.Value
	}
	return totals
}

// keyOf tells the things of a kind apart.
func keyOf(kind Kind, s *Series) string {
	parts := make([]string, 0, 2)
	for _, label := range labels[kind] {
		parts = append(parts, s.Labels[label])
	}
	return strings.Join(parts, "\x00")
}

// subjects are the things of a kind, in the order of names.
func (l *look) subjects(kind Kind) []Subject {
	if kind == OfNode {
		return []Subject{{Kind: OfNode}}
	}
	keys := map[string]bool{}
	for i := range values {
		v := &values[i]
		if v.of != kind || v.metric == "" {
			continue
		}
		for _, metric := range []string{v.metric, v.metric + "_bucket"} {
			for j := range l.series[metric] {
				keys[keyOf(kind, &l.series[metric][j])] = true
			}
		}
	}
	var all []Subject
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		parts := strings.Split(key, "\x00")
		all = append(all, Subject{Kind: kind, Name: parts[len(parts)-1], key: key})
	}
	return all
}

// known are all values that are known of a thing and of the node, by their names.
func (l *look) known(of Subject) map[string]any {
	facts := map[string]any{}
	for i := range values {
		v := &values[i]
		key := ""
		if v.of == of.Kind {
			key = of.key
		} else if v.of != OfNode {
			continue
		}
		if fact, known := l.read(v, key); known {
			facts[v.name] = fact
		}
	}
	return facts
}

// read is one value of a thing. What is no number is not known.
func (l *look) read(v *value, key string) (any, bool) {
	if v.kind == isText {
		at := slices.Index(labels[v.of], v.label)
		return strings.Split(key, "\x00")[at], true
	}
	number, known := l.number(v, key)
	if v.kind == isYes {
		return number == 1, known
	}
	return number, known && !math.IsNaN(number)
}

func (l *look) number(v *value, key string) (float64, bool) {
	sum, there := 0.0, false
	if v.metric != "" {
		sum, there = l.sums(v)[key]
	}
	switch v.kind {
	case isGrown:
		return l.past.grownBy(v.counter(key), l.at, v.over), there
	case isGrowth:
		of := l.past.covers(l.at, v.over)
		return l.past.grownBy(v.counter(key), l.at, v.over) / of.Seconds(), there && of >= v.over/2
	case isLevel:
		return l.level(v, key)
	case isFull:
		bound := l.sums(&value{of: v.of, reading: reading{metric: v.bound}})[key]
		seconds, known := l.past.reaches(v.counter(key), bound, l.at)
		return seconds, known && bound > 0
	case isDate:
		return sum - float64(l.at.UnixMilli())/1000, there
	case isUsual:
		return l.usual.rate, l.usual.known
	case isLastWeek:
		return l.usual.lastWeek, l.usual.known
	}
	return sum, there
}

func (l *look) level(v *value, key string) (float64, bool) {
	grown := map[float64]float64{}
	for b := range l.buckets(v) {
		if bound, err := strconv.ParseFloat(b.bound, 64); err == nil && b.key == key {
			grown[bound] = l.past.grownBy(v.counter(b.String()), l.at, v.over)
		}
	}
	return level(grown, v.at)
}

// History is what the server has done, by the hour. *rollup.History is one.
type History interface {
	Points(ctx context.Context, resolution rollup.Resolution, since,
		until pillarbox.Timestamp) ([]rollup.Point, error)
}

const (
	weeksBefore = 4               // that say what is usual
	usualEvery  = 5 * time.Minute // between two looks into the history, which is on the disk
	week        = 7 * 24 * time.Hour
	accepted    = "accepted" // what a history calls the events that came in
)

// usualAt is what is usual at a time: of each week before, the hour that ends then, as a part of the
// two hours of the clock that it lies in.
func usualAt(ctx context.Context, history History, at time.Time) (usual, error) {
	u := usual{}
	for i := 1; i <= weeksBefore; i++ {
		end := at.Add(-time.Duration(i) * week)
		first := end.Truncate(time.Hour).Add(-time.Hour)
		points, err := history.Points(ctx, rollup.Hour, pillarbox.TimestampOf(first),
			pillarbox.TimestampOf(first.Add(2*time.Hour)))
		if err != nil {
			return u, err
		}
		if len(points) < 2 { // no server ran
			return u, nil
		}
		part := end.Sub(end.Truncate(time.Hour)).Hours()
		rate := ((1-part)*points[0].Values[accepted] + part*points[1].Values[accepted]) / time.Hour.Seconds()
		if i == 1 {
			u.lastWeek = rate
		}
		u.rate += rate / weeksBefore
	}
	u.known = true
	return u, nil
}
