package main

import (
	"io"
	"os"
	"strings"
	"testing"

	"pillarbox/internal/console"
	"pillarbox/internal/torture"
)

// TestTortureThatRanNothingProvesNothing: where every run was skipped the exit is 1, and the text
// does not say that every event was there.
func TestTortureThatRanNothingProvesNothing(t *testing.T) {
	skipped := torture.Result{Report: &torture.Report{Run: "power-cut"}, Skipped: "needs root",
		Verdict: torture.VerdictSkipped}
	kept := torture.Result{Report: &torture.Report{Run: "kill9"}, Verdict: torture.VerdictKept}
	for _, c := range []struct {
		results []torture.Result
		code    int
		want    string
	}{
		{[]torture.Result{skipped}, exitFailed, "nothing could be run here, and nothing is proved\n"},
		{[]torture.Result{skipped, kept}, exitDone, "every acknowledged event was there, once\n"},
	} {
		for _, kind := range []string{console.Table, console.CSV, console.JSON} {
			base, flags := t.TempDir(), &tortureFlags{form: console.Form{Kind: kind}}
			var out strings.Builder
			err := flags.conclude(&out, io.Discard, base, c.results)
			if got := exitCode(err); got != c.code {
				t.Errorf("%s of %d results: exit %d, want %d", kind, len(c.results), got, c.code)
			}
			if kind == console.Table && !strings.HasSuffix(out.String(), c.want) {
				t.Errorf("it says\n%s\nand not %q", out.String(), c.want)
			}
			if _, err := os.Stat(base); !os.IsNotExist(err) {
				t.Errorf("%s is left: %v", base, err)
			}
		}
	}
}

// TestTortureKnowsItsFileSystems before anything is broken.
func TestTortureKnowsItsFileSystems(t *testing.T) {
	dir := t.TempDir()
	try(t, "torture", "--dir", dir, "--fs", "ntfs").failsWith(t, exitUsage,
		`--fs: "ntfs" is none of ext4, xfs`)
	try(t, "torture", "--dir", dir, "--fs", "").failsWith(t, exitUsage, "--fs is empty")
	try(t, "torture", "--dir", dir, "--only", "").failsWith(t, exitUsage, "--only is empty")
}
