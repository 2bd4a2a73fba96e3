package benchmark

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Table is text in columns.
type Table struct {
	Head []string
	Body [][]string
}

func (t *Table) add(cells ...string) { t.Body = append(t.Body, cells) }

// Figures is the table of the rows, for people.
func (r *Report) Figures() Table {
	t := Table{Head: []string{"scenario", "contender", "events/s", "to bare", "lowest - highest",
		"cpu us", "p50 ms", "p99 ms", "memory MiB", "backlog", "acknowledged", "failed"}}
	for _, row := range r.Rows {
		ratio := "-"
		if row.Ratio > 0 && row.Scenario.Rate == 0 {
			ratio = fmt.Sprintf("%.2f", row.Ratio)
		}
		backlog := "-"
		if row.Contender == Delivering {
			backlog = Grouped(row.Pending)
		}
		t.add(row.Scenario.String(), row.Contender, Grouped(row.PerSecond), ratio,
			Grouped(row.Lowest)+" - "+Grouped(row.Highest),
			short(row.CPU), fmt.Sprintf("%.2f", row.P50), fmt.Sprintf("%.2f",
				row.P99), mebibytes(row.Resident), backlog, string(row.Class), Grouped(row.Failed))
	}
	return t
}

// Plain is the table of the rows with plain numbers, for programs.
func (r *Report) Plain() Table {
	t := Table{Head: []string{"contender", "acknowledged", "connections", "body_bytes", "rate",
		"batch", "rounds", "events_per_second", "ratio_to_bare", "lowest_per_second",
		"highest_per_second", "cpu_us_per_event", "p50_ms", "p99_ms", "max_ms", "resident_bytes", "peak_bytes", "pending", "failed", "problem"}}
	for _, row := range r.Rows {
		s := row.Scenario
		cells := []string{row.Contender, string(row.Class), strconv.Itoa(s.Connections),
			strconv.Itoa(s.Body), plainNumber(s.Rate), strconv.Itoa(s.Items), strconv.Itoa(row.Rounds)}
		for _, n := range []float64{row.PerSecond, row.Ratio, row.Lowest, row.Highest, row.CPU, row.P50,
			row.P99, row.Max, row.Resident, row.Peak, row.Pending, row.Failed} {
			cells = append(cells, plainNumber(n))
		}
		t.add(append(cells, row.Problem)...)
	}
	return t
}

// Judgement is the table of the goals.
func (r *Report) Judgement() Table {
	t := Table{Head: []string{"goal", "wanted", "reached", "reached/wanted", "met", "from"}}
	for _, g := range r.Goals {
		wanted := ">= " + short(g.Target)
		if g.AtMost {
			wanted = "<= " + short(g.Target)
		}
		reached, ratio, met := "-", "-", "not measured"
		if g.Reached != nil {
			reached, ratio, met = short(*g.Reached), fmt.Sprintf("%.2f", *g.Ratio), "no"
		}
		if g.Met {
			met = "yes"
		}
		t.add(g.Name, wanted, reached, ratio, met, g.Basis)
	}
	return t
}

// Longer is the table of the lives; it is empty without any.
func (r *Report) Longer() Table {
	t := Table{Head: []string{"life", "accepted", "pending", "backlog", "start s", "memory MiB",
		"peak MiB"}}
	for _, l := range r.Lives {
		start := "-"
		if l.Start > 0 {
			start = fmt.Sprintf("%.2f", l.Start)
		}
		t.add(l.Name, Grouped(float64(l.Accepted)), Grouped(float64(l.Pending)),
			fmt.Sprintf("%.2f GiB", float64(l.Backlog)/(1<<30)), start, mebibytes(
				float64(l.Resident)), mebibytes(float64(l.Peak)))
	}
	return t
}

// headline is the scenario that the verdict speaks of: that of the goals, or else the first closed
// loop that there is.
func (r *Report) headline() Scenario {
	at := ClosedLoop(256, goalBody)
	if find(r.Rows, Accepting, at) != nil {
		return at
	}
	for _, row := range r.Rows {
		if row.Contender == Accepting && row.Scenario.Items == 0 && row.Scenario.Rate == 0 {
			return row.Scenario
		}
	}
	return at
}

// score counts the goals, and the measurements that are worth nothing.
func (r *Report) score() string {
	met, missed := 0, 0
	for _, g := range r.Goals {
		switch {
		case g.Met:
			met++
		case g.Reached != nil:
			missed++
		}
	}
	text := fmt.Sprintf("Goals: %d met, %d missed, %d not measured.", met, missed,
		len(r.Goals)-met-missed)
	problems := 0
	for _, m := range r.Measurements {
		if m.Problem != "" {
			problems++
		}
	}
	if problems > 0 {
		text += fmt.Sprintf(" Measurements with problems: %d. Their rows are not to be trusted.",
			problems)
	}
	return text
}

// verdict says in words what the figures mean.
func verdict(r *Report) string {
	var text strings.Builder
	at := r.headline()
	if row := find(r.Rows, Accepting, at); row != nil {
		fmt.Fprintf(&text, "At %s pillarbox accepts %s events a second, each one synced before its answer: %.2f times what a bare handler answers that keeps nothing", at, Grouped(row.PerSecond), row.Ratio)
		if row.CPU > 0 {
			fmt.Fprintf(&text, ", for %s us of processor time each", short(row.CPU))
		}
		text.WriteString(". ")
	}
	if row := find(r.Rows, Delivering, at); row != nil {
		fmt.Fprintf(&text, "With delivery to SQLite on the same machine it is %s a second, and %s events wait at the end. ", Grouped(row.PerSecond), Grouped(row.Pending))
	}
	text.WriteString(r.score())
	for _, problem := range r.Problems {
		fmt.Fprintf(&text, " Not measured: %s.", problem)
	}
	if r.Machine.Load > 1 {
		fmt.Fprintf(&text, " The machine was not idle before the run (load %.1f): compare ratios, not figures.", r.Machine.Load)
	}
	return text.String()
}

// Grouped writes a number without decimals, in groups of three digits.
func Grouped(n float64) string {
	digits := strconv.FormatFloat(math.Abs(math.Round(n)), 'f', 0, 64)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	if math.Round(n) < 0 {
		return "-" + digits
	}
	return digits
}

// short writes a number with as many decimals as it deserves.
func short(n float64) string {
	switch {
	case math.Abs(n) >= 1000:
		return Grouped(n)
	case math.Abs(n) >= 100:
		return fmt.Sprintf("%.0f", n)
	case math.Abs(n) >= 10:
		return fmt.Sprintf("%.1f", n)
	}
	return fmt.Sprintf("%.2f", n)
}

func plainNumber(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }

func mebibytes(n float64) string { return fmt.Sprintf("%.0f", n/(1<<20)) }

// Generator names what sends the requests: the same for all contenders of a run.
const Generator = "internal/load: raw TCP on loopback, one request under way per connection, threads for half of the processors"

// Circumstances are the facts about a run that figures mean nothing without, one a line.
func (r *Report) Circumstances() []string {
	m := r.Machine
	commit := r.Commit
	if commit == "" {
		commit = "unknown"
	}
	if r.Dirty {
		commit += " with changes"
	}
	lines := []string{
		fmt.Sprintf("Machine: %s, %d cores, %.0f GiB, %s %s, data on %s, %s. Load before the run: %.2f.",
			m.Processor, m.Cores, float64(m.Memory)/(1<<30), m.System, m.Kernel, m.FileSystem, m.Go, m.Load),
		fmt.Sprintf("Disk: one write of 4 KiB with fdatasync takes %.3f ms (median of %d; p99 %.3f, longest %.3f).", r.Disk.P50, r.Disk.Writes, r.Disk.P99, r.Disk.Max),
		fmt.Sprintf("Commit: %s. Started %s, took %.0f s.", commit,
			r.Started.Format("2006-01-02 15:04:05 UTC"), r.Seconds),
		"Generator: " + r.Generator + ".",
	}
	if m.FileSystem == "tmpfs" || m.FileSystem == "ramfs" {
		lines = append(lines, "The directory is in memory, where an fdatasync costs nothing: choose one on a disk.")
	}
	return lines
}

// Meanings is the table of the contenders with what their acknowledgement means, and of those that
// did not take part.
func (r *Report) Meanings() Table {
	t := Table{Head: []string{"contender", "acknowledged", "means", "missing"}}
	for _, c := range r.Contenders {
		why, _, _ := strings.Cut(c.Missing, "\n")
		t.add(c.Name, string(c.Class), c.Means, why)
	}
	return t
}
