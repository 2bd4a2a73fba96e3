package benchmark

import (
	"slices"
	"time"
)

// Report is a run with everything that is needed to judge it later.
type Report struct {
	Started      time.Time     `json:"started"`
	Seconds      float64       `json:"seconds"`
	Commit       string        `json:"commit"`
	Dirty        bool          `json:"dirty"` // the tree had changes that are in no commit
	Machine      Machine       `json:"machine"`
	Generator    string        `json:"generator"`
	Disk         Probe         `json:"disk"`
	Contenders   []Contender   `json:"contenders"`
	Rows         []Row         `json:"rows"`
	Delivery     *Delivery     `json:"delivery,omitempty"`
	Pairs        []Pair        `json:"pairs,omitempty"`
	Lives        []Life        `json:"lives,omitempty"`
	Goals        []Goal        `json:"goals"`
	Problems     []string      `json:"problems,omitempty"` // what could not be measured
	Verdict      string        `json:"verdict"`
	Measurements []Measurement `json:"measurements"`
}

// Row is one contender in one scenario: the medians of the rounds.
type Row struct {
	Contender string   `json:"contender"`
	Class     Class    `json:"class"`
	Scenario  Scenario `json:"scenario"`
	Rounds    int      `json:"rounds"`
	Figures
	// Lowest and Highest of the rounds say how far a median is to be trusted.
	Lowest  float64 `json:"lowest_per_second"`
	Highest float64 `json:"highest_per_second"`
	Ratio   float64 `json:"ratio_to_bare"` // of events per second; 0 where the bare handler did not run this
	Problem string  `json:"problem,omitempty"`
}

// Delivery is how fast a backlog gets into SQLite, beside the bare driver with the same rows.
type Delivery struct {
	Rows   int     `json:"rows"`
	Ours   float64 `json:"rows_per_second"`
	Driver float64 `json:"bare_driver_rows_per_second"`
}

// Life is a server that was kept for long, or that holds much.
type Life struct {
	Name     string  `json:"name"`
	Accepted uint64  `json:"accepted"`
	Pending  uint64  `json:"pending"`
	Backlog  uint64  `json:"backlog_bytes"`
	Start    float64 `json:"start_seconds,omitempty"` // with the backlog, after a kill -9, until ready
	Resident uint64  `json:"resident_bytes"`
	Peak     uint64  `json:"peak_bytes"`
	Seconds  float64 `json:"seconds"`
}

// Complete makes the rows, the goals and the verdict from what was measured.
func (r *Report) Complete() {
	r.Rows = rowsOf(r.Contenders, r.Measurements)
	r.Goals = judge(r)
	r.Verdict = verdict(r)
}

// rowsOf takes the medians, in the order of the scenarios and of the contenders.
func rowsOf(contenders []Contender, all []Measurement) []Row {
	var rows []Row
	for _, scenario := range scenariosOf(all) {
		for _, c := range contenders {
			var rounds []Measurement
			for _, m := range all {
				if m.Contender == c.Name && m.Scenario == scenario {
					rounds = append(rounds, m)
				}
			}
			if len(rounds) > 0 {
				rows = append(rows, rowOf(c, rounds))
			}
		}
	}
	for i := range rows {
		if bare := find(rows, Bare, rows[i].Scenario); bare != nil && bare.PerSecond > 0 {
			rows[i].Ratio = rows[i].PerSecond / bare.PerSecond
		}
	}
	return rows
}

func scenariosOf(all []Measurement) []Scenario {
	var scenarios []Scenario
	for _, m := range all {
		if !slices.Contains(scenarios, m.Scenario) {
			scenarios = append(scenarios, m.Scenario)
		}
	}
	return scenarios
}

func rowOf(c Contender, rounds []Measurement) Row {
	median := func(of func(f Figures) float64) float64 {
		values := make([]float64, len(rounds))
		for i, m := range rounds {
			values[i] = of(m.Figures)
		}
		return medianOf(values)
	}
	row := Row{Contender: c.Name, Class: c.Class, Scenario: rounds[0].Scenario, Rounds: len(rounds),
		Figures: Figures{
			PerSecond: median(func(f Figures) float64 { return f.PerSecond }),
			CPU:       median(func(f Figures) float64 { return f.CPU }),
			P50:       median(func(f Figures) float64 { return f.P50 }),
			P99:       median(func(f Figures) float64 { return f.P99 }),
			LagP99:    median(func(f Figures) float64 { return f.LagP99 }),
			Pending:   median(func(f Figures) float64 { return f.Pending }),
			Growth:    median(func(f Figures) float64 { return f.Growth }),
		}}
	row.Lowest, row.Highest = rounds[0].PerSecond, rounds[0].PerSecond
	for _, m := range rounds {
		row.Lowest, row.Highest = min(row.Lowest, m.PerSecond), max(row.Highest, m.PerSecond)
		row.Max, row.Resident, row.Peak = max(row.Max, m.Max), max(row.Resident,
			m.Resident), max(row.Peak, m.Peak)
		row.Failed += m.Failed
		if row.Problem == "" {
			row.Problem = m.Problem
		}
	}
	return row
}

// medianOf is the middle, or the mean of the two in the middle.
func medianOf(values []float64) float64 {
	slices.Sort(values)
	middle := len(values) / 2
	if len(values)%2 == 1 {
		return values[middle]
	}
	return (values[middle-1] + values[middle]) / 2
}

// find returns a row, or nil.
func find(rows []Row, contender string, scenario Scenario) *Row {
	for i := range rows {
		if rows[i].Contender == contender && rows[i].Scenario == scenario {
			return &rows[i]
		}
	}
	return nil
}
