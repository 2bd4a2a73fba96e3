package benchmark

import (
	"fmt"
	"slices"
)

// Pair is two ways to do the same that have taken turns: what is ours, and the same by hand. Rates
// are the medians of the rounds.
type Pair struct {
	Name   string `json:"name"`   // what is ours
	Theirs string `json:"theirs"` // what it is held against
	Unit   string `json:"unit"`   // what is counted: rows, events
	Target Target `json:"target"`

	Rounds  int     `json:"rounds"`
	Ours    float64 `json:"per_second"`
	Other   float64 `json:"theirs_per_second"`
	Ratio   float64 `json:"ratio"` // of each turn, in the middle
	Lowest  float64 `json:"lowest_ratio"`
	Highest float64 `json:"highest_ratio"`
	Missing string  `json:"missing,omitempty"` // why it was not measured
}

// Target is what a pair is to reach: a ratio, or a time for each. With neither it is told without a
// goal.
type Target struct {
	Ratio  float64 `json:"ratio,omitempty"`
	Micros float64 `json:"us,omitempty"` // at most
}

// PairRound is what one run of a pair says.
type PairRound struct{ Ours, Theirs, Ratio float64 }

// Fill takes the medians of the rounds. Without any the pair is missing.
func (p *Pair) Fill(rounds []PairRound) {
	p.Rounds = len(rounds)
	if len(rounds) == 0 {
		p.Missing = "it gave no figures"
		return
	}
	of := func(figure func(PairRound) float64) []float64 {
		values := make([]float64, len(rounds))
		for i, round := range rounds {
			values[i] = figure(round)
		}
		slices.Sort(values)
		return values
	}
	ratios := of(func(r PairRound) float64 { return r.Ratio })
	p.Lowest, p.Highest = ratios[0], ratios[len(ratios)-1]
	p.Ratio = medianOf(ratios)
	p.Ours = medianOf(of(func(r PairRound) float64 { return r.Ours }))
	p.Other = medianOf(of(func(r PairRound) float64 { return r.Theirs }))
}

// micros is how long each takes of what is ours.
func (p *Pair) micros() float64 { return 1e6 / p.Ours }

// goal is what is wanted of the pair; false where nothing is.
func (p *Pair) goal() (Goal, bool) {
	g := Goal{Name: p.Name + ", " + p.Unit + "/s, to " + p.Theirs, Target: p.Target.Ratio, Basis: p.Missing}
	switch {
	case p.Target.Micros > 0:
		g.Name, g.Target, g.AtMost = p.Name+", us for each of its "+p.Unit, p.Target.Micros, true
		if p.Missing == "" {
			g = g.reach(p.micros(), fmt.Sprintf("%.2f of the rate of %s", p.Ratio, p.Theirs))
		}
	case p.Target.Ratio == 0:
		return g, false
	case p.Missing == "":
		g = g.reach(p.Ratio, fmt.Sprintf("%s / %s", short(p.Ours), short(p.Other)))
	}
	return g, true
}

// pairs are the goals of all pairs.
func (r *Report) pairs() (goals []Goal) {
	for i := range r.Pairs {
		if g, wanted := r.Pairs[i].goal(); wanted {
			goals = append(goals, g)
		}
	}
	return goals
}

// Beside is the table of the pairs; it is empty without any.
func (r *Report) Beside() Table {
	t := Table{Head: []string{"ours", "beside", "ours per s", "beside per s", "us each", "ratio", "lowest - highest", "missing"}}
	for i := range r.Pairs {
		p := &r.Pairs[i]
		if p.Missing != "" {
			t.add(p.Name, p.Theirs, "-", "-", "-", "-", "-", p.Missing)
			continue
		}
		t.add(p.Name, p.Theirs, Grouped(p.Ours)+" "+p.Unit, Grouped(p.Other)+" "+p.Unit, short(p.micros()), fmt.Sprintf("%.2f", p.Ratio),
			fmt.Sprintf("%.2f - %.2f", p.Lowest, p.Highest), "")
	}
	return t
}
