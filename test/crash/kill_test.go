// Package crash_test breaks the real binary, and sees that every promise was kept; and it breaks
// binaries with planted bugs, and sees that it finds out.
package crash_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pillarbox/internal/atrest/atresttest"
	"pillarbox/internal/torture"
	"pillarbox/test/harness"
	"pillarbox/test/setting"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

const (
	defaultCycles = 10
	mutantCycles  = 15 // of a run that looks for a planted bug
	runsPerMutant = 5  // at most
)

// options are the options of a run, with a seed that is told.
func options(t *testing.T, binary string, cycles int) torture.Options {
	t.Helper()
	seed := setting.Seed(t)
	t.Logf("%d cycles", cycles)
	return torture.Options{Binary: binary, Dir: filepath.Join(t.TempDir(), "data"), Cycles: cycles,
		Seed: seed}
}

// judge fails the test unless every promise was kept.
func judge(t *testing.T, report *torture.Report, err error) {
	t.Helper()
	t.Log(report)
	for _, note := range report.Notes {
		t.Log(note)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := report.Err(); err != nil {
		t.Error(err)
	}
}

// mustFind fails the test unless a run finds the planted bug, and says so. What is killed at a
// random moment may be killed beside its bug, so that several runs are given a chance.
func mustFind(
	t *testing.T, verdict string, run func() (*torture.Report, error),
) (found *torture.Report) {
	t.Helper()
	for range runsPerMutant {
		report, err := run()
		t.Log(report)
		if err != nil && report.Err() == nil {
			t.Fatal(err)
		}
		switch err := report.Err(); {
		case err == nil:
			t.Log("not found in this run")
		case !strings.Contains(err.Error(), verdict):
			t.Fatalf("found is %q, which is not %q", err, verdict)
		default:
			t.Log(err)
			return report
		}
	}
	t.Fatalf("the planted bug survives %d runs", runsPerMutant)
	return nil
}

// TestAckedEventSurvivesKill kills the server with SIGKILL at random moments. In the end every
// event that a client has a receipt for is stored once with its own bytes or is a dead letter,
// nothing is there more often than it was posted, and the audit balances.
func TestAckedEventSurvivesKill(t *testing.T) {
	o := options(t, harness.Binary(), setting.Number(t, "PILLARBOX_TEST_KILL_CYCLES", defaultCycles))
	o.Beside = []torture.Beside{parquetBeside}
	report, err := torture.Kill(t.Context(), o)
	judge(t, report, err)
}

// TestAckedEventSurvivesKillEncrypted is the same with everything sealed.
func TestAckedEventSurvivesKillEncrypted(t *testing.T) {
	t.Setenv("TORTURE_KEY", atresttest.Text)
	t.Setenv("PILLARBOX_ENCRYPTION_KEY", "env:TORTURE_KEY")
	report, err := torture.Kill(t.Context(),
		options(t, harness.Binary(), setting.Number(t, "PILLARBOX_TEST_KILL_CYCLES", defaultCycles)/4+1))
	judge(t, report, err)
}

// TestKillFindsPlantedBugs kills servers that have a bug.
func TestKillFindsPlantedBugs(t *testing.T) {
	if setting.Number(t, "PILLARBOX_TEST_KILL_CYCLES", 0) == 0 {
		t.Skip("takes a minute: set PILLARBOX_TEST_KILL_CYCLES, or run make kill9")
	}
	for _, bug := range []struct {
		harness.Mutant
		verdict string
	}{
		{harness.SettledBeforeWrite, "are lost"},
		{harness.NoUniqueKey, "there twice"},
		{harness.KeysNotReadAtTheStart, "there twice"},
	} {
		t.Run(bug.Name, func(t *testing.T) {
			binary := bug.Binary(t)
			report := mustFind(t, bug.verdict, func() (*torture.Report, error) {
				return torture.Kill(t.Context(), options(t, binary, mutantCycles))
			})
			if len(report.Lost) > 0 && !strings.Contains(strings.Join(report.Lost, ""), `"kind":"plain"`) {
				t.Error("only events that the store refused are lost: that takes no kill")
			}
		})
	}
}
