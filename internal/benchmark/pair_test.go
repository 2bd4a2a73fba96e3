package benchmark

import (
	"strings"
	"testing"
)

// TestPairsAreJudgedByTheirMedian: by the ratio of the rounds in the middle, or by the time for each;
// one without a goal is told and not judged, and one that is missing says why.
func TestPairsAreJudgedByTheirMedian(t *testing.T) {
	rounds := []PairRound{{80, 100, 0.7}, {90, 100, 0.9}, {99, 100, 0.86}}
	report := &Report{Pairs: []Pair{
		{Name: "store", Theirs: "the bare driver", Unit: "rows", Target: Target{Ratio: 0.85}},
		{Name: "slow store", Theirs: "the bare driver", Unit: "rows", Target: Target{Ratio: 0.87}},
		{Name: "filter", Theirs: "by hand", Unit: "events", Target: Target{Micros: 20_000}},
		{Name: "told", Theirs: "by hand", Unit: "events"},
	}}
	for i := range report.Pairs {
		report.Pairs[i].Fill(rounds)
	}
	report.Pairs = append(report.Pairs, Pair{Name: "gone", Theirs: "x", Unit: "rows", Target: Target{Ratio: 1}, Missing: "no server"},
		Pair{Name: "silent", Theirs: "x", Unit: "rows", Target: Target{Ratio: 1}})
	report.Pairs[5].Fill(nil)
	goals := report.pairs()
	if len(goals) != 5 {
		t.Fatalf("%d goals: %+v", len(goals), goals)
	}
	if g := goals[0]; !g.Met || *g.Reached != 0.86 || g.Basis != "90.0 / 100" {
		t.Errorf("the store: %+v", g)
	}
	if g := goals[1]; g.Met || g.Reached == nil {
		t.Errorf("the slow store: %+v", g)
	}
	if g := goals[2]; !g.Met || !g.AtMost || *g.Reached != 1e6/90.0 || !strings.Contains(g.Basis, "0.86 of the rate of by hand") {
		t.Errorf("the filter: %+v", g)
	}
	for i, why := range map[int]string{3: "no server", 4: "it gave no figures"} {
		if g := goals[i]; g.Met || g.Reached != nil || g.Basis != why {
			t.Errorf("one that is missing: %+v", g)
		}
	}
	table := report.Beside()
	if row := strings.Join(table.Body[0], "|"); row != "store|the bare driver|90 rows|100 rows|11,111|0.86|0.70 - 0.90|" {
		t.Errorf("the row of the store: %s", row)
	}
	if row := table.Body[4]; row[len(row)-1] != "no server" {
		t.Errorf("the row of the one that is missing: %v", row)
	}
}
