package benchmark_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"pillarbox/internal/benchmark"
)

// measured makes the rounds of one contender in one scenario.
func measured(contender string, s benchmark.Scenario, cpu float64,
	perSecond ...float64) []benchmark.Measurement {
	var all []benchmark.Measurement
	for i, n := range perSecond {
		all = append(all, benchmark.Measurement{Contender: contender, Scenario: s, Round: i + 1,
			Figures: benchmark.Figures{PerSecond: n, CPU: cpu, P99: 1}})
	}
	return all
}

var (
	at64  = benchmark.ClosedLoop(64, 200)
	at256 = benchmark.ClosedLoop(256, 200)
	doors = benchmark.Doors()

	floods = benchmark.Floods()
)

// resident says how many MiB of memory the server had.
func resident(all []benchmark.Measurement, mebibytes float64) []benchmark.Measurement {
	for i := range all {
		all[i].Resident = mebibytes * (1 << 20)
	}
	return all
}

// sample is a report in which everything was measured and every goal is met.
func sample() *benchmark.Report {
	const own = benchmark.Accepting
	report := &benchmark.Report{
		Disk: benchmark.Probe{P50: 0.2},
		Contenders: []benchmark.Contender{
			{Name: benchmark.Bare, Class: benchmark.Nothing}, {Name: benchmark.Front,
				Class: benchmark.Nothing},
			{Name: own, Class: benchmark.Durable}, {Name: benchmark.Delivering,
				Class: benchmark.Durable}, {Name: benchmark.Plain, Class: benchmark.Durable}, {Name: benchmark.Encrypting, Class: benchmark.Durable},
			{Name: benchmark.HoldingKeys, Class: benchmark.Durable}, {Name: benchmark.BareTLS, Class: benchmark.Nothing}, {Name: benchmark.AcceptingTLS, Class: benchmark.Durable},
			{Name: "slow", Class: benchmark.Durable, Peer: true}, {Name: "fast", Class: benchmark.Durable,
				Peer: true}, {Name: "hasty", Class: benchmark.Before, Peer: true},
		},
		Delivery: &benchmark.Delivery{Ours: 90, Driver: 100},
		Lives: []benchmark.Life{{Name: "long", Accepted: 10_000_000, Peak: 100 << 20},
			{Name: "much", Backlog: 10 << 30, Peak: 100 << 20}},
	}
	report.Measurements = slices.Concat(
		measured(benchmark.Bare, at64, 10, 100), measured(own, at64, 6, 125),
		measured(benchmark.Bare, at256, 10, 90, 100, 500), measured(benchmark.Front, at256, 5,
			170), measured(own, at256, 6, 150, 160, 20),
		measured(benchmark.Delivering, at256, 9, 105), measured(benchmark.Plain, at256, 20, 76), measured(benchmark.Encrypting, at256, 7, 145),
		measured("slow", at256, 50, 10), measured("fast", at256, 50, 40), measured("hasty", at256, 50,
			60),
		measured(own, benchmark.FixedRate(200), 6, 5000), measured(own, benchmark.Batches(200), 1, 1500),
		measured(own, doors[0], 6, 150), resident(measured(own, doors[1], 7, 140), 60), measured(own, doors[2], 7, 140), measured(own, doors[3], 7, 140),
		measured(own, doors[4], 6, 100), measured(own, doors[5], 9, 75), measured(own, doors[6], 7, 130), measured(own, doors[7], 7, 149),
		measured(own, doors[8], 7, 5000), measured(own, doors[9], 7, 5000),
		measured(benchmark.HoldingKeys, doors[11], 6, 150), measured(benchmark.HoldingKeys, doors[12], 8, 130),
		resident(measured(benchmark.HoldingKeys, doors[13], 8, 130), 110),
		measured(own, floods[0], 6, 1000), measured(own, floods[1], 8, 1000),
		measured(benchmark.AcceptingTLS, floods[2], 6, 1000), measured(benchmark.AcceptingTLS, floods[3], 8, 1000),
		measured(benchmark.BareTLS, doors[10], 10, 50), measured(benchmark.AcceptingTLS, doors[10], 9, 80),
	)
	return report
}

// TestARunIsHeldAgainstTheGoals: with one thing changed, one goal is missed or not measured, and
// the others stay.
func TestARunIsHeldAgainstTheGoals(t *testing.T) {
	set := func(contender string, s benchmark.Scenario,
		change func(m *benchmark.Measurement)) func(*benchmark.Report) {
		return func(r *benchmark.Report) {
			for i := range r.Measurements {
				if m := &r.Measurements[i]; m.Contender == contender && m.Scenario == s {
					change(m)
				}
			}
		}
	}
	const own = benchmark.Accepting
	for name, test := range map[string]struct {
		change      func(r *benchmark.Report)
		missed, not []string // parts of the names of the goals
	}{
		"nothing changed": {func(*benchmark.Report) {}, nil, nil},
		"slow at 64": {set(own, at64, func(m *benchmark.Measurement) { m.PerSecond = 119 }),
			[]string{"at 64"}, nil},
		"slow with encryption": {set(benchmark.Encrypting, at256, func(m *benchmark.Measurement) { m.PerSecond = 130 }),
			[]string{"encryption"}, nil},
		"a greedy server": {set(own, at256, func(m *benchmark.Measurement) { m.CPU = 7 }),
			[]string{"processor"}, nil},
		"late": {set(own, benchmark.FixedRate(200),
			func(m *benchmark.Measurement) { m.P99 = 1.61 }), []string{"p99 in"}, nil},
		"a failed request": {set(own, at64, func(m *benchmark.Measurement) { m.Problem = "one failed" }),
			nil, []string{"at 64"}},
		"a backlog that grows": {set(benchmark.Delivering, at256,
			func(m *benchmark.Measurement) { m.Pending, m.Growth = 20_000, 5000 }),
			[]string{"keeping up"}, nil},
		"a fast peer": {set("fast", at256, func(m *benchmark.Measurement) { m.PerSecond = 50 }),
			[]string{"durable peer"}, nil},
		"a peer with problems": {set("hasty", at256, func(m *benchmark.Measurement) { m.Problem = "x" }),
			nil, []string{"before fsync"}},
		"slow delivery": {func(r *benchmark.Report) { r.Delivery.Ours = 84 },
			[]string{"bare driver"}, nil},
		"no delivery": {func(r *benchmark.Report) { r.Delivery = nil }, nil,
			[]string{"bare driver"}},
		"much memory": {func(r *benchmark.Report) { r.Lives[1].Peak = 151 << 20 },
			[]string{"backlog of 10"}, nil},
		"a short life": {func(r *benchmark.Report) { r.Lives[0].Accepted-- }, nil,
			[]string{"10 million"}},
		"slow with a key": {set(own, doors[1], func(m *benchmark.Measurement) { m.PerSecond = 100 }),
			[]string{"with a new Idempotency-Key"}, nil},
		"slow with TLS": {set(benchmark.AcceptingTLS, doors[10], func(m *benchmark.Measurement) { m.PerSecond = 30 }),
			[]string{"over TLS 1.3"}, nil},
		"slow with gzip": {set(own, doors[5], func(m *benchmark.Measurement) { m.PerSecond = 60 }),
			[]string{"with gzip"}, nil},
		"slow with an API key": {set(own, doors[6], func(m *benchmark.Measurement) { m.PerSecond = 100 }),
			[]string{"an API key and"}, nil},
		"slow with old keys": {set(benchmark.HoldingKeys, doors[13], func(m *benchmark.Measurement) { m.PerSecond = 119 }),
			[]string{"that are held"}, nil},
		"large with keys": {set(benchmark.HoldingKeys, doors[13], func(m *benchmark.Measurement) { m.Resident = 125 << 20 }),
			[]string{"memory of ten million"}, nil},
		"no server with keys": {set(benchmark.HoldingKeys, doors[13], func(m *benchmark.Measurement) { m.Problem = "x" }), nil,
			[]string{"memory of ten million", "that are held"}},
		"slow beside slow ones": {set(own, floods[1], func(m *benchmark.Measurement) { m.P99 = 2.1 }),
			[]string{"10,000 slow"}, nil},
		"slow beside handshakes": {set(benchmark.AcceptingTLS, floods[3], func(m *benchmark.Measurement) { m.P99 = 2.1 }),
			[]string{"handshakes/s"}, nil},
		"starved": {set(own, doors[9], func(m *benchmark.Measurement) { m.P99 = 3.1 }),
			[]string{"beside another key"}, nil},
		"no event loop": {func(r *benchmark.Report) {
			r.Contenders = slices.DeleteFunc(r.Contenders,
				func(c benchmark.Contender) bool {
					return c.Name == benchmark.Front ||
						c.Name == benchmark.Plain
				})
		}, nil, []string{"own front"}},
	} {
		t.Run(name, func(t *testing.T) {
			report := sample()
			test.change(report)
			report.Complete()
			for _, goal := range report.Goals {
				within := func(parts []string) bool {
					return slices.ContainsFunc(parts,
						func(part string) bool { return strings.Contains(goal.Name, part) })
				}
				switch {
				case within(test.not):
					if goal.Met || goal.Reached != nil {
						t.Errorf("measured: %+v", goal)
					}
				case goal.Reached == nil || goal.Met == within(test.missed):
					t.Errorf("want met %v: %+v", !within(test.missed), goal)
				}
			}
		})
	}
}

// TestRowsAreMedians, with the ratio to the bare handler in the same scenario.
func TestRowsAreMedians(t *testing.T) {
	report := sample()
	report.Complete()
	for _, row := range report.Rows {
		if row.Contender == benchmark.Accepting && row.Scenario == at256 {
			if row.PerSecond != 150 || row.Lowest != 20 || row.Highest != 160 || row.Ratio != 1.5 ||
				row.Rounds != 3 {
				t.Errorf("%+v", row)
			}
			return
		}
	}
	t.Error("there is no such row")
}

// TestAReportWithoutMeasurementsIsStillAReport: nothing was measured, nothing is claimed, and it
// can be written as JSON.
func TestAReportWithoutMeasurementsIsStillAReport(t *testing.T) {
	report := &benchmark.Report{}
	report.Complete()
	if _, err := json.Marshal(report); err != nil {
		t.Error(err)
	}
	for _, goal := range report.Goals {
		if goal.Met || goal.Reached != nil || goal.Basis == "" {
			t.Errorf("%+v", goal)
		}
	}
	if !strings.Contains(report.Verdict, "0 met, 0 missed") {
		t.Errorf("%q", report.Verdict)
	}
}

func TestTablesHaveOneCellPerColumn(t *testing.T) {
	report := sample()
	report.Machine.FileSystem = "tmpfs"
	report.Complete()
	for _, table := range []benchmark.Table{report.Figures(), report.Plain(), report.Judgement(),
		report.Longer(), report.Meanings()} {
		for _, row := range table.Body {
			if len(row) != len(table.Head) {
				t.Errorf("%d cells under %d heads: %v", len(row), len(table.Head), row)
			}
		}
	}
	if lines := report.Circumstances(); !strings.Contains(lines[len(lines)-1], "in memory") {
		t.Errorf("a disk in memory is not told: %q", lines)
	}
}
