package crash_test

import (
	"testing"

	"pillarbox/internal/torture"
	"pillarbox/test/harness"
	"pillarbox/test/setting"
)

// fillsPerMutant is how often the disk of a planted bug is filled.
const fillsPerMutant = 8

// TestFullDiskLosesNothing fills small disks under load, and frees them.
func TestFullDiskLosesNothing(t *testing.T) {
	report, err := torture.DiskFull(t.Context(), options(t, harness.Binary(), fills(t)))
	judge(t, report, err)
}

// TestFullDiskFindsPlantedBugs fills the disk under servers that have a bug.
func TestFullDiskFindsPlantedBugs(t *testing.T) {
	fills(t)
	for _, bug := range []struct {
		harness.Mutant
		verdict string
	}{
		{harness.RefusalAcknowledged, "are lost"},
		{harness.NotHealed, "nothing is accepted again"},
	} {
		t.Run(bug.Name, func(t *testing.T) {
			binary := bug.Binary(t)
			mustFind(t, bug.verdict, func() (*torture.Report, error) {
				return torture.DiskFull(t.Context(), options(t, binary, fillsPerMutant))
			})
		})
	}
}

func fills(t *testing.T) int {
	t.Helper()
	n := setting.Number(t, "PILLARBOX_TEST_FILLS", 0)
	if n <= 0 {
		t.Skip("needs root, or a user namespace: set PILLARBOX_TEST_FILLS to the number of times, or run make diskfull")
	}
	return n
}
