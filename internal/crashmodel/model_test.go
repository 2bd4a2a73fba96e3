package crashmodel_test

import (
	"os"
	"strconv"
	"testing"
	"time"

	"pillarbox/internal/crashmodel"
)

// defaultStates is what a plain run of the tests checks.
const defaultStates = 10_000

func setting(t *testing.T, name string, byDefault uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return byDefault
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s=%q is no number", name, text)
	}
	return n
}

// TestCrashModel cuts the power of many worlds.
func TestCrashModel(t *testing.T) {
	states := int(setting(t, "PILLARBOX_CRASH_STATES", defaultStates))
	seed := setting(t, "PILLARBOX_SEED", uint64(time.Now().UnixNano()&0xffffff))
	t.Logf("seed %d (PILLARBOX_SEED), %d states to check", seed, states)
	start := time.Now()
	report, err := crashmodel.Run(t.Context(), crashmodel.Options{Seed: seed, States: states})
	t.Logf("%+v, %.0f states/s", report, float64(report.States)/time.Since(start).Seconds())
	if err != nil {
		t.Fatal(err)
	}
	if report.States < states || report.Nested < states/4 || report.Acked < states/1000 {
		t.Errorf("too little was checked: %+v", report)
	}
}
