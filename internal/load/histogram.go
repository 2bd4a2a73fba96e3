package load

import (
	"math/bits"
	"time"
)

// A bucket is at most 1/64 of its value wide: 1.6 %. That is finer than two runs agree, and forty
// lines are less to carry than a library.
const (
	stepBits = 6
	steps    = 1 << stepBits
	// maxExponent bounds the highest bucket: 2^42 ns are 73 minutes, and longer is counted as that.
	maxExponent = 42
	buckets     = (maxExponent - stepBits + 1) * steps
)

// Histogram counts durations in log-linear buckets. The zero value is empty. It is not for
// concurrent use: each loop has its own, and Add merges them.
type Histogram struct {
	counts [buckets]uint64
	total  uint64
	max    time.Duration
}

// Record counts one duration. Less than nothing counts as nothing.
func (h *Histogram) Record(d time.Duration) {
	d = max(d, 0)
	h.counts[bucketOf(uint64(d))]++
	h.total++
	h.max = max(h.max, d)
}

// Add counts what other has counted.
func (h *Histogram) Add(other *Histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
	h.max = max(h.max, other.max)
}

// Count is how many durations were recorded.
func (h *Histogram) Count() uint64 { return h.total }

// Max is the longest duration, exactly.
func (h *Histogram) Max() time.Duration { return h.max }

// Quantile is the duration that a share q of all did not exceed, from 0 to 1; the upper end of its
// bucket.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	want := max(uint64(q*float64(h.total)+0.5), 1)
	var seen uint64
	for i, n := range h.counts {
		if seen += n; seen >= want {
			return min(time.Duration(upperEnd(i)), h.max)
		}
	}
	return h.max
}

// bucketOf keeps the six bits after the leading one. Values below 64 have a bucket each.
func bucketOf(value uint64) int {
	exponent := max(bits.Len64(value)-1-stepBits, 0)
	if exponent > maxExponent-stepBits-1 {
		return buckets - 1
	}
	return exponent<<stepBits + int(value>>exponent)
}

// upperEnd is the highest value of a bucket.
func upperEnd(bucket int) uint64 {
	if bucket < 2*steps {
		return uint64(bucket)
	}
	exponent := bucket>>stepBits - 1
	mantissa := uint64(bucket&(steps-1)) | steps
	return (mantissa+1)<<exponent - 1
}
