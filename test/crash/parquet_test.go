package crash_test

import (
	"strings"
	"testing"

	"pillarbox/internal/torture"
	"pillarbox/test/harness"
	"pillarbox/test/setting"
)

// parquetBeside is a directory of Parquet files in the data directory. Its batches are as short as a life,
// so that each life has some.
var parquetBeside = torture.Beside{Name: "files", URL: "parquet:files", Keys: "batch: { max_age: 20ms }"}

// TestKillFindsABatchWrittenTwice kills servers whose Parquet destination does not ask what is stored of a
// batch that is cut anew.
func TestKillFindsABatchWrittenTwice(t *testing.T) {
	if setting.Number(t, "PILLARBOX_TEST_KILL_CYCLES", 0) == 0 {
		t.Skip("takes a while: set PILLARBOX_TEST_KILL_CYCLES, or run make kill9")
	}
	const cycles = 40 // what was written comes again only where the kill is right behind it
	binary := harness.WrittenAgain.Binary(t)
	report := mustFind(t, "are there twice", func() (*torture.Report, error) {
		o := options(t, binary, cycles)
		o.Beside = []torture.Beside{parquetBeside}
		return torture.Kill(t.Context(), o)
	})
	for _, twice := range report.Twice {
		if !strings.HasPrefix(twice, parquetBeside.Name+": ") {
			t.Errorf("not in the files alone: %s", twice)
		}
	}
}
