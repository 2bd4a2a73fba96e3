// Package turns measures two ways to do the same within a Go benchmark: ours, and what it is held
// against. They take turns, so that what a machine does meanwhile meets both.
//
// It promises three figures under names of its own, which the command bench reads out of what "go
// test" writes. It does not say what is a good figure.
package turns

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The names of the figures.
const (
	Ours   = "ours/s"
	Theirs = "theirs/s"
	// Ratio is the median of the ratios of all turns: what happens to a single one does not count.
	Ratio = "ours/theirs"
)

// Side does the n-th piece of work, and says how many events that were and how long they took. What
// it has to prepare is not in the time. The n of two calls are different.
type Side func(n int) (events int, took time.Duration)

// Measure lets both sides do the same pieces, the one first and then the other, in alternation. The
// first piece of each warms up, and is not counted.
func Measure(b *testing.B, ours, theirs Side) {
	b.Helper()
	rate := func(side Side, n int) float64 {
		events, took := side(n)
		return float64(events) / max(took, 1).Seconds()
	}
	rate(ours, 0)
	rate(theirs, 0)
	var mine, other, ratios []float64
	n := 0
	for b.Loop() {
		n++
		var first, second float64
		if n%2 == 1 {
			first = rate(ours, n)
			second = rate(theirs, n)
		} else {
			second = rate(theirs, n)
			first = rate(ours, n)
		}
		mine, other, ratios = append(mine, first), append(other, second), append(ratios, first/second)
	}
	b.ReportMetric(0, "ns/op") // of both sides together it says nothing
	b.ReportMetric(median(mine), Ours)
	b.ReportMetric(median(other), Theirs)
	b.ReportMetric(median(ratios), Ratio)
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// Figures are what Measure has reported.
type Figures struct{ Ours, Theirs, Ratio float64 }

// Parse reads the figures of a benchmark out of what "go test -bench" has written, one for each run
// of it. Errors: a line of the benchmark that does not have them.
func Parse(output, benchmark string) (all []Figures, err error) {
	for line := range strings.Lines(output) {
		fields := strings.Fields(line)
		if len(fields) < 2 || !isOf(fields[0], benchmark) {
			continue
		}
		if _, err := strconv.Atoi(fields[1]); err != nil {
			continue // a line of -v that only names it
		}
		figures := Figures{}
		for i := 2; i+1 < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, fmt.Errorf("a figure of %s: %w", benchmark, err)
			}
			switch fields[i+1] {
			case Ours:
				figures.Ours = value
			case Theirs:
				figures.Theirs = value
			case Ratio:
				figures.Ratio = value
			}
		}
		if figures.Ours <= 0 || figures.Theirs <= 0 || figures.Ratio <= 0 {
			return nil, fmt.Errorf("%s does not say %s, %s and %s: %q", benchmark, Ours, Theirs, Ratio, line)
		}
		all = append(all, figures)
	}
	return all, nil
}

// isOf reports whether a name is of that benchmark: behind it stands the number of processors.
func isOf(name, benchmark string) bool {
	rest, is := strings.CutPrefix(name, benchmark)
	return is && (rest == "" || rest[0] == '-' && !strings.Contains(rest, "/"))
}
