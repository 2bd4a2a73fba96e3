package crashmodel_test

import (
	"testing"
	"time"

	"pillarbox/internal/crashmodel"
	"pillarbox/test/setting"
)

// defaultStates is what a plain run of the tests checks.
const defaultStates = 10_000

// TestCrashModel cuts the power of many worlds.
func TestCrashModel(t *testing.T) {
	states := setting.Number(t, "PILLARBOX_TEST_CRASH_STATES", defaultStates)
	seed := setting.Seed(t)
	t.Logf("%d states to check", states)
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
