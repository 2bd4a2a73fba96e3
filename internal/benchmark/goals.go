package benchmark

import "fmt"

// Goal is one thing that the project wants to reach, and what this run says about it.
type Goal struct {
	Name   string  `json:"name"`
	Target float64 `json:"target"`
	AtMost bool    `json:"at_most"` // less is better
	// Reached and Ratio are nil where this run has not measured it. A ratio of 1 or more is a goal
	// that is met.
	Reached *float64 `json:"reached"`
	Ratio   *float64 `json:"ratio"`
	Met     bool     `json:"met"`
	Basis   string   `json:"basis"` // the figures behind it, or why there are none
}

// The scenarios that the goals are about.
const (
	goalBody      = 200
	GoalRate      = 5000.0
	GoalItems     = 1000
	calmRate      = 1000.0
	rateClients   = 64
	batchClients  = 16
	goalEvents    = 10_000_000
	goalBacklog   = 10 << 30 // bytes
	goalMemory    = 150      // MiB
	steadyGrowth  = 0.02     // of what is accepted
	steadyBacklog = 10_000   // events: some batches under way
)

// ClosedLoop is a scenario as fast as it goes.
func ClosedLoop(connections, body int) Scenario {
	return Scenario{Connections: connections, Body: body}
}

// FixedRate is the scenario of the goal on latency.
func FixedRate(body int) Scenario {
	return Scenario{Connections: rateClients, Body: body, Rate: GoalRate}
}

// Batches is the scenario of the goal on batches.
func Batches(body int) Scenario {
	return Scenario{Connections: batchClients, Body: body, Items: GoalItems}
}

// judge holds a run against the goals.
func judge(r *Report) []Goal {
	at64, at256 := ClosedLoop(64, goalBody), ClosedLoop(256, goalBody)
	plain := Plain
	if find(r.Rows, Plain, at256) == nil {
		plain = Accepting // without an event loop everything is on net/http
	}
	const durableRate = "durable events/s at 256 connections, to "
	goals := []Goal{
		r.compare(contest{durableRate + "bare net/http", 1.5, Accepting, Bare, at256}, eventRate),
		r.compare(contest{"durable events/s at 64 connections, to bare net/http", 1.2, Accepting, Bare,
			at64}, eventRate),
		r.delivering(at256),
		r.compare(contest{durableRate + "the own front without a log", 0.85, Accepting, Front, at256},
			eventRate),
		r.compare(contest{durableRate + "the best durable peer", 3.5, Accepting,
			r.bestPeer(Durable, at256), at256}, eventRate),
		r.compare(contest{durableRate + "the best peer that answers before fsync", 2.2, Accepting,
			r.bestPeer(Before, at256), at256}, eventRate),
		atMost(r.compare(contest{"server processor time per event at 256 connections, to bare net/http",
			0.65, Accepting, Bare, at256}, processorTime)),
		r.latency(),
		r.batches(at256),
		r.delivery(),
		r.compare(contest{"net/http path, events/s at 256 connections, to bare net/http", 0.75, plain,
			Bare, at256}, eventRate),
		r.compare(contest{"encryption at rest on, to off, events/s at 256 connections", 0.9, Encrypting,
			Accepting, at256}, eventRate),
		r.memory("peak memory after 10 million events, MiB",
			func(l Life) bool { return l.Accepted >= goalEvents }),
		r.memory("peak memory with a backlog of 10 GiB, MiB",
			func(l Life) bool { return l.Backlog >= goalBacklog }),
	}
	return append(append(goals, r.doors()...), r.pairs()...)
}

func eventRate(row *Row) float64 { return row.PerSecond }

func processorTime(row *Row) float64 { return row.CPU }

// reach completes a goal.
func (g Goal) reach(reached float64, basis string) Goal {
	ratio := reached / g.Target
	if g.AtMost {
		ratio = g.Target / reached
	}
	g.Reached, g.Ratio, g.Met, g.Basis = &reached, &ratio, ratio >= 1, basis
	return g
}

// atMost turns a goal around.
func atMost(g Goal) Goal {
	g.AtMost = true
	if g.Reached == nil {
		return g
	}
	return g.reach(*g.Reached, g.Basis)
}

// contest is a goal on the ratio of two contenders in one scenario.
type contest struct {
	name         string
	target       float64
	ours, theirs string
	scenario     Scenario
}

// compare judges a contest by a figure. With a failed request or a wrong account there is no
// result.
func (r *Report) compare(c contest, figure func(*Row) float64) Goal {
	g := Goal{Name: c.name, Target: c.target}
	mine, other := find(r.Rows, c.ours, c.scenario), find(r.Rows, c.theirs, c.scenario)
	switch {
	case c.theirs == "":
		g.Basis = "no such peer took part"
	case mine == nil:
		g.Basis = fmt.Sprintf("%s at %s was not measured", c.ours, c.scenario)
	case other == nil:
		g.Basis = fmt.Sprintf("%s at %s was not measured", c.theirs, c.scenario)
	case mine.Problem != "":
		g.Basis = c.ours + ": " + mine.Problem
	case other.Problem != "":
		g.Basis = c.theirs + ": " + other.Problem
	case figure(mine) <= 0 || figure(other) <= 0:
		g.Basis = "this system does not tell"
	default:
		return g.reach(figure(mine)/figure(other),
			fmt.Sprintf("%s / %s (%s)", short(figure(mine)), short(figure(other)), c.theirs))
	}
	return g
}

// bestPeer is the fastest of a class; "" if there is none.
func (r *Report) bestPeer(class Class, s Scenario) string {
	best, name := 0.0, ""
	for _, c := range r.Contenders {
		if row := find(r.Rows, c.Name, s); row != nil && c.Peer && c.Class == class &&
			row.Problem == "" && row.PerSecond > best {
			best, name = row.PerSecond, c.Name
		}
	}
	return name
}

// delivering counts only if the backlog does not grow: else the events are merely put aside.
func (r *Report) delivering(s Scenario) Goal {
	g := r.compare(contest{"durable events/s at 256 connections with delivery to SQLite keeping up, to bare net/http", 1.0, Delivering, Bare, s}, eventRate)
	if g.Reached == nil {
		return g
	}
	row := find(r.Rows, Delivering, s)
	g.Basis += fmt.Sprintf("; %s pending at the end, growing by %s/s", Grouped(row.Pending),
		Grouped(row.Growth))
	if row.Pending > steadyBacklog && row.Growth > steadyGrowth*row.PerSecond {
		g.Met = false
		g.Basis += ": delivery does not keep up"
	}
	return g
}

func (r *Report) latency() Goal {
	g := Goal{Name: "p99 in ms at 5,000/s with 64 connections, at most 3 fdatasync + 1 ms",
		Target: 3*r.Disk.P50 + 1, AtMost: true}
	row := find(r.Rows, Accepting, FixedRate(goalBody))
	switch {
	case row == nil:
		g.Basis = "not measured"
		return g
	case row.Problem != "":
		g.Basis = row.Problem
		return g
	}
	return g.reach(row.P99, fmt.Sprintf(
		"one fdatasync %.2f ms; the generator itself was late by %.2f ms at p99", r.Disk.P50, row.LagP99))
}

func (r *Report) batches(single Scenario) Goal {
	g := Goal{Name: "events/s in batches of 1,000, to single requests", Target: 8}
	one, many := find(r.Rows, Accepting, single), find(r.Rows, Accepting, Batches(goalBody))
	switch {
	case one == nil || many == nil || one.PerSecond <= 0:
		g.Basis = "not measured"
	case many.Problem != "" || one.Problem != "":
		g.Basis = many.Problem + one.Problem
	default:
		return g.reach(many.PerSecond/one.PerSecond,
			fmt.Sprintf("%s / %s", short(many.PerSecond), short(one.PerSecond)))
	}
	return g
}

func (r *Report) delivery() Goal {
	g := Goal{Name: "delivery to SQLite in rows/s, to the bare driver in transactions of 1,000",
		Target: 0.85}
	if r.Delivery == nil || r.Delivery.Driver <= 0 {
		g.Basis = "not measured"
		return g
	}
	return g.reach(r.Delivery.Ours/r.Delivery.Driver,
		fmt.Sprintf("%s / %s", short(r.Delivery.Ours), short(r.Delivery.Driver)))
}

func (r *Report) memory(name string, counts func(Life) bool) Goal {
	g := Goal{Name: name, Target: goalMemory, AtMost: true, Basis: "not measured: it takes a long run"}
	var peak uint64
	for _, life := range r.Lives {
		if counts(life) && life.Peak > peak {
			peak, g.Basis = life.Peak, life.Name
		}
	}
	if peak == 0 {
		return g
	}
	return g.reach(float64(peak)/(1<<20), g.Basis)
}
