package crash_test

import (
	"os"
	"strings"
	"testing"

	"pillarbox/internal/torture"
	"pillarbox/test/harness"
	"pillarbox/test/setting"
)

// cutsPerMutant is how many cuts a planted bug is given to lose an event.
const cutsPerMutant = 8

// fileSystems are the ones to cut, and how many cuts each gets.
func fileSystems(t *testing.T) (names []string, cuts int) {
	t.Helper()
	cuts = setting.Number(t, "PILLARBOX_TEST_POWERCUTS", 0)
	if cuts <= 0 {
		t.Skip("needs root, loop devices and mkfs: set PILLARBOX_TEST_POWERCUTS to the number of cuts, or run make powercut")
	}
	if err := torture.PowerCutPossible(); err != nil {
		t.Fatal(err)
	}
	names = []string{"ext4", "xfs"}
	if only := os.Getenv("PILLARBOX_TEST_POWERCUT_FS"); only != "" {
		names = strings.Split(only, ",")
	}
	return names, (cuts + len(names) - 1) / len(names)
}

// TestAckedEventSurvivesPowerCut cuts the power of real file systems under the real binary.
func TestAckedEventSurvivesPowerCut(t *testing.T) {
	names, cuts := fileSystems(t)
	for _, fs := range names {
		t.Run(fs, func(t *testing.T) {
			o := options(t, harness.Binary(), cuts)
			o.Beside = []torture.Beside{parquetBeside}
			report, err := torture.PowerCut(t.Context(), torture.PowerCutOptions{Options: o, FS: fs})
			judge(t, report, err)
		})
	}
}

// TestPowerCutFindsPlantedBugs cuts the power under builds that acknowledge or forget an event too
// early.
func TestPowerCutFindsPlantedBugs(t *testing.T) {
	names, _ := fileSystems(t)
	for _, bug := range []struct {
		harness.Mutant
		kind torture.LifeKind
	}{
		{harness.NothingSynced, torture.LifeAcceptOnly},
		{harness.AckBeforeSync, torture.LifeAnswered},
		{harness.TrimBeforeStoreIsDurable, torture.LifeRested},
	} {
		t.Run(bug.Name, func(t *testing.T) {
			binary := bug.Binary(t)
			mustFind(t, "are lost", func() (*torture.Report, error) {
				return torture.PowerCut(t.Context(), torture.PowerCutOptions{
					Options: options(t, binary, cutsPerMutant), FS: names[0],
					Trusted: harness.Binary(), Kind: bug.kind})
			})
		})
	}
}
