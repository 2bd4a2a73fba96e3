package turns_test

import (
	"strings"
	"testing"
	"time"

	"pillarbox/internal/benchmark/turns"
)

// TestBothSidesTakeTurns: each piece is done by both, one time by ours first and one time by the
// other, and what is reported can be read again.
func TestBothSidesTakeTurns(t *testing.T) {
	var order strings.Builder
	side := func(name string, took time.Duration) turns.Side {
		return func(int) (int, time.Duration) {
			order.WriteString(name)
			return 10, took
		}
	}
	result := testing.Benchmark(func(b *testing.B) {
		order.Reset()
		turns.Measure(b, side("o", time.Second), side("t", 2*time.Second))
	})
	if !strings.HasPrefix(order.String(), "otottoot"[:min(8, order.Len())]) || order.Len() != 2*result.N+2 {
		t.Errorf("the turns are %.12s… (%d)", order.String(), order.Len())
	}
	all, err := turns.Parse("BenchmarkIt\nBenchmarkIt-2 \t"+result.String()+"\nBenchmarkIt/more-2 1 x\nPASS\n", "BenchmarkIt")
	if err != nil || len(all) != 1 || all[0] != (turns.Figures{Ours: 10, Theirs: 5, Ratio: 2}) {
		t.Errorf("read again: %+v, %v", all, err)
	}
}

// TestWhatHasNoFiguresIsSaid: a benchmark that measures something else is no pair.
func TestWhatHasNoFiguresIsSaid(t *testing.T) {
	for _, output := range []string{"BenchmarkIt-2 5 100 ns/op\n", "BenchmarkIt-2 5 many ours/s\n"} {
		if all, err := turns.Parse(output, "BenchmarkIt"); err == nil {
			t.Errorf("%q: %+v", output, all)
		}
	}
	if all, err := turns.Parse("--- SKIP: BenchmarkIt\n", "BenchmarkIt"); err != nil || len(all) != 0 {
		t.Errorf("a skipped one: %+v, %v", all, err)
	}
}
