// Package setting reads what a make target asks of a harness from the environment. It promises to
// fail the test for what it can't read, and to tell the seed.
package setting

import (
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

// Seed is PILLARBOX_TEST_SEED, or a new seed. Either is told.
func Seed(t *testing.T) uint64 {
	t.Helper()
	seed := Number(t, "PILLARBOX_TEST_SEED", int(time.Now().UnixNano()&0xffffff))
	t.Logf("seed %d (PILLARBOX_TEST_SEED)", seed)
	return uint64(seed)
}
