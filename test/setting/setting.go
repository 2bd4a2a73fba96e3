// Package setting reads what a make target asks of a harness from the environment. It promises to
// fail the test for what it can't read, and to tell the seed.
package setting

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"
)

// Number is the number that an environment variable holds, or byDefault where it is not set.
func Number(t *testing.T, name string, byDefault int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return byDefault
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		t.Fatalf("%s=%q is no number", name, text)
	}
	return n
}

// Part is one of N parts of a list, which together are all of it.
type Part struct{ K, N int }

// PartOf is the part that an environment variable names as K/N, with K from 0, or everything.
func PartOf(t *testing.T, name string) Part {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return Part{0, 1}
	}
	var p Part
	if _, err := fmt.Sscanf(text, "%d/%d", &p.K, &p.N); err != nil || p.K < 0 || p.K >= p.N {
		t.Fatalf("%s=%q is no part: write K/N, such as 0/3", name, text)
	}
	return p
}

// Takes reports whether the part has the element at an index.
func (p Part) Takes(i int) bool { return i%p.N == p.K }

// Seed is PILLARBOX_TEST_SEED, or a new seed. Either is told.
func Seed(t *testing.T) uint64 {
	t.Helper()
	seed := Number(t, "PILLARBOX_TEST_SEED", int(time.Now().UnixNano()&0xffffff))
	t.Logf("seed %d (PILLARBOX_TEST_SEED)", seed)
	return uint64(seed)
}

// Fewer is n, or with the race detector fewer: it makes a harness that runs in one goroutine about ten
// times slower, and has nothing to find there. Such a harness runs in full where the detector is off.
func Fewer(n, fewer int) int {
	if raced {
		return fewer
	}
	return n
}
