package rollup

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"maps"
	"math"
	"slices"
	"strconv"
)

// record is one interval as it is kept. Numbers that are zero are left out.
type record struct {
	At         int64                        `json:"at"` // Unix seconds, of its beginning
	Counters   map[string]float64           `json:"c,omitempty"`
	Gauges     map[string]float64           `json:"g,omitempty"`
	Histograms map[string]map[string]uint64 `json:"h,omitempty"` // by name and upper bound, each bucket for itself
}

// over is the bucket of what is above all bounds.
const over = "+"

// change is what has happened between two samples. A counter that went back was begun anew.
func change(before, now Sample) record {
	r := record{Counters: map[string]float64{}, Gauges: map[string]float64{}, Histograms: map[string]map[string]uint64{}}
	for name, value := range now.Counters {
		if was := before.Counters[name]; was <= value {
			value -= was
		}
		if isNumber(value) {
			r.Counters[name] = value
		}
	}
	for name, value := range now.Gauges {
		if isNumber(value) {
			r.Gauges[name] = value
		}
	}
	for name, histogram := range now.Histograms {
		was := before.Histograms[name]
		if was.Count > histogram.Count {
			was = Histogram{}
		}
		if buckets := histogram.since(was); len(buckets) > 0 {
			r.Histograms[name] = buckets
		}
	}
	return r
}

// Plus is both together: their buckets have the same bounds.
func (h Histogram) Plus(other Histogram) Histogram {
	sum := Histogram{Buckets: map[float64]uint64{}, Count: h.Count + other.Count}
	for bound, count := range other.Buckets {
		sum.Buckets[bound] = h.Buckets[bound] + count
	}
	return sum
}

// isNumber reports whether a value is kept: zero is left out, and JSON has neither NaN nor infinity.
func isNumber(value float64) bool {
	return value != 0 && !math.IsNaN(value) && !math.IsInf(value, 0)
}

// since are the buckets of what has come since then.
func (h Histogram) since(was Histogram) map[string]uint64 {
	buckets := map[string]uint64{}
	below := uint64(0) // of what has come since, in the buckets so far
	put := func(name string, upTo, wasUpTo uint64) {
		if fresh := upTo - wasUpTo; fresh > below {
			buckets[name], below = fresh-below, fresh
		}
	}
	for _, bound := range slices.Sorted(maps.Keys(h.Buckets)) {
		put(strconv.FormatFloat(bound, 'g', -1, 64), h.Buckets[bound], was.Buckets[bound])
	}
	put(over, h.Count, was.Count)
	return buckets
}

// limit leaves out what is more than MaxValues, and reports whether anything was.
func (r *record) limit() (cut bool) {
	room := MaxValues
	keep := func(names []string, drop func(name string)) {
		for _, name := range names {
			if room--; room < 0 {
				drop(name)
				cut = true
			}
		}
	}
	keep(slices.Sorted(maps.Keys(r.Counters)), func(name string) { delete(r.Counters, name) })
	keep(slices.Sorted(maps.Keys(r.Gauges)), func(name string) { delete(r.Gauges, name) })
	keep(slices.Sorted(maps.Keys(r.Histograms)), func(name string) { delete(r.Histograms, name) })
	return cut
}

// merge adds what another record has.
func (r *record) merge(other *record) {
	if r.Counters == nil {
		r.Counters, r.Gauges, r.Histograms = map[string]float64{}, map[string]float64{}, map[string]map[string]uint64{}
	}
	for name, value := range other.Counters {
		r.Counters[name] += value
	}
	for name, value := range other.Gauges {
		r.Gauges[name] = max(r.Gauges[name], value)
	}
	for name, buckets := range other.Histograms {
		if r.Histograms[name] == nil {
			r.Histograms[name] = map[string]uint64{}
		}
		for bound, count := range buckets {
			r.Histograms[name][bound] += count
		}
	}
}

// values are what a point has.
func (r *record) values() map[string]float64 {
	values := make(map[string]float64, len(r.Counters)+len(r.Gauges)+3*len(r.Histograms))
	maps.Copy(values, r.Counters)
	maps.Copy(values, r.Gauges)
	for name, buckets := range r.Histograms {
		for end, part := range map[string]float64{"_p50_seconds": .50, "_p95_seconds": .95, "_p99_seconds": .99} {
			values[name+end] = quantile(buckets, part)
		}
	}
	return values
}

// quantile is below which value a part of the observations is, by a straight line through the bucket
// that it is in; the highest bound where it is above all of them.
func quantile(buckets map[string]uint64, part float64) float64 {
	total, counts, bounds := 0.0, map[float64]uint64{}, []float64{}
	for name, count := range buckets {
		total += float64(count)
		if bound, err := strconv.ParseFloat(name, 64); err == nil && name != over {
			counts[bound], bounds = count, append(bounds, bound)
		}
	}
	slices.Sort(bounds)
	wanted, below, lower := part*total, 0.0, 0.0
	for _, bound := range bounds {
		in := float64(counts[bound])
		if in > 0 && below+in >= wanted {
			return lower + (bound-lower)*(wanted-below)/in
		}
		below, lower = below+in, bound
	}
	return lower
}

// A line of a file is the checksum of its text in eight hexadecimal digits (CRC-32C), a space, the
// record as JSON, and the end of the line.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const sumLength = 8

func (r *record) line() []byte {
	text, err := json.Marshal(r)
	if err != nil {
		panic("rollup: bug: a record can't be written: " + err.Error())
	}
	return fmt.Appendf(nil, "%08x %s\n", crc32.Checksum(text, castagnoli), text)
}

// parse reads a line, without its end.
func parse(line []byte) (r record, good bool) {
	sum, text, found := bytes.Cut(line, []byte(" "))
	if !found || len(sum) != sumLength {
		return r, false
	}
	want, err := strconv.ParseUint(string(sum), 16, 32)
	if err != nil || crc32.Checksum(text, castagnoli) != uint32(want) {
		return r, false
	}
	return r, json.Unmarshal(text, &r) == nil
}

// content is what can be read of a file.
type content struct {
	records []record
	good    []byte // their lines
	end     int64  // behind the last of them
	damaged int64  // where something between them can't be read; -1 where nothing is
}

// read takes a file apart. What is behind the last good line is what a kill has left of the next one.
func read(file []byte) (c content) {
	c.damaged = -1
	bad := int64(-1)
	for at := 0; at < len(file); {
		length := bytes.IndexByte(file[at:], '\n') + 1
		if length == 0 {
			break
		}
		r, good := parse(file[at : at+length-1])
		switch {
		case !good && bad < 0:
			bad = int64(at)
		case good:
			c.records, c.good = append(c.records, r), append(c.good, file[at:at+length]...)
			if c.end = int64(at + length); bad >= 0 && c.damaged < 0 {
				c.damaged = bad
			}
		}
		at += length
	}
	return c
}
