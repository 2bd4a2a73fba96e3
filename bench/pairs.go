package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"pillarbox/internal/benchmark"
	"pillarbox/internal/benchmark/turns"
)

const (
	pairRounds = 3
	pairTime   = 4 * time.Second // of a round, of both sides together
	pairBound  = "10m"
)

// pair is measured by a Go benchmark of the tree, which lies where what it measures is.
type pair struct {
	benchmark.Pair
	module  string // directory of it
	pkg     string
	measure string // name of the benchmark
}

// pairs are the destinations, each beside the same done by hand.
var pairs = []pair{
	{benchmark.Pair{Name: "destination PostgreSQL", Theirs: "bare pgx with the same COPY and merge", Unit: "rows",
		Target: benchmark.Target{Ratio: 0.85}}, ".", "./internal/engine/postgres", "BenchmarkWrite"},
	{benchmark.Pair{Name: "destination Parquet, a directory", Theirs: "destination SQLite", Unit: "rows",
		Target: benchmark.Target{Ratio: 4}}, ".", "./internal/engine/parquet", "BenchmarkWrite"},
	{benchmark.Pair{Name: "destination NATS", Theirs: "the bare client with the same messages and batches", Unit: "events",
		Target: benchmark.Target{Ratio: 0.85}}, "test/bus", ".", "BenchmarkNATS"},
	{benchmark.Pair{Name: "destination NATS", Theirs: "the bare client with messages made beforehand", Unit: "events"},
		"test/bus", ".", "BenchmarkNATSReady"},
	{benchmark.Pair{Name: "destination Kafka", Theirs: "the bare client with the same records and batches", Unit: "events",
		Target: benchmark.Target{Ratio: 0.85}}, "test/bus", ".", "BenchmarkKafka"},
	{benchmark.Pair{Name: "destination Kafka", Theirs: "the bare client with records made beforehand", Unit: "events"},
		"test/bus", ".", "BenchmarkKafkaReady"},
	{benchmark.Pair{Name: "webhook, 64 in flight", Theirs: "a bare client with as many, and requests made beforehand", Unit: "events",
		Target: benchmark.Target{Ratio: 0.8}}, ".", "./internal/engine/webhook", "BenchmarkWrite"},
	{benchmark.Pair{Name: "four destinations beside one that is down", Theirs: "the same four alone", Unit: "events",
		Target: benchmark.Target{Ratio: 0.95}}, ".", "./internal/deliver", "BenchmarkFanOut"},
	{benchmark.Pair{Name: "filter in CEL, processor time", Theirs: "the same rule in Go with encoding/json", Unit: "events",
		Target: benchmark.Target{Micros: 1.5}}, ".", "./internal/filter", "BenchmarkFilter"},
}

// measurePairs runs those whose name holds a text, or all. One that can't be measured says why.
func measurePairs(ctx context.Context, which string) ([]benchmark.Pair, error) {
	var measured []benchmark.Pair
	for _, p := range pairs {
		if which != "all" && !strings.Contains(strings.ToLower(p.Name), strings.ToLower(which)) {
			continue
		}
		rounds, err := p.run(ctx)
		if ctx.Err() != nil {
			return measured, context.Cause(ctx)
		}
		p.Fill(rounds)
		if err != nil {
			p.Missing = err.Error()
		}
		fmt.Fprintf(os.Stderr, "%s, to %s: %.2f %s\n", p.Name, p.Theirs, p.Ratio, p.Missing)
		measured = append(measured, p.Pair)
	}
	if len(measured) == 0 {
		return nil, fmt.Errorf("no pair has %q in its name", which)
	}
	return measured, nil
}

// run runs the benchmark of the pair.
func (p *pair) run(ctx context.Context) (rounds []benchmark.PairRound, err error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-v", "-run", "^$", "-bench", "^"+p.measure+"$", "-benchtime", pairTime.String(),
		"-count", strconv.Itoa(pairRounds), "-timeout", pairBound, p.pkg)
	cmd.Dir = p.module
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, lastLine(string(out)))
	}
	all, err := turns.Parse(string(out), p.measure)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, errors.New(whySkipped(string(out)))
	}
	for _, figures := range all {
		rounds = append(rounds, benchmark.PairRound(figures))
	}
	return rounds, nil
}

// whySkipped is the line behind the one that says so.
func whySkipped(output string) string {
	_, rest, found := strings.Cut(output, "--- SKIP")
	if _, rest, _ = strings.Cut(rest, "\n"); found && rest != "" {
		reason, _, _ := strings.Cut(rest, "\n")
		return "skipped: " + strings.TrimSpace(reason)
	}
	return "it gave no figures: " + lastLine(output)
}

// lastLine is the last one that says more than that something failed.
func lastLine(output string) (last string) {
	for line := range strings.Lines(output) {
		if line = strings.TrimSpace(line); line != "" && line != "FAIL" && !strings.HasPrefix(line, "FAIL\t") && !strings.HasPrefix(line, "exit status") {
			last = line
		}
	}
	return last
}
