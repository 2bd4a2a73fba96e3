// Command bench measures pillarbox beside yardsticks and other products, on this machine, in turns,
// and writes the dated results. "make bench" runs it; "pillarbox bench" is the part of it that
// needs nothing installed.
//
// It builds the binary from the tree, and the peers from the module in bench/peers. Peers that are
// missing are named with how to install them, and left out. Everything is on loopback, in a
// directory that is removed at the end.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"pillarbox/internal/benchmark"
)

func main() {
	o := flags(os.Args[1:])
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := bench(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	long        bool
	dir         string
	rounds      int
	duration    time.Duration
	connections numbers
	bodies      numbers
	peers       string
	pairs       string
	delivery    int
	backlog     float64 // GiB
	keys        bool
	events      int
	soak        time.Duration
	out         string
	chart       string
	install     bool
}

// numbers is a list of numbers, with commas between.
type numbers []int

func (n *numbers) String() string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(*n), " ", ","), "[]")
}

func (n *numbers) Set(text string) error {
	*n = nil
	for part := range strings.SplitSeq(text, ",") {
		number, err := strconv.Atoi(part)
		if err != nil || number < 1 {
			return fmt.Errorf("%q is no number from 1 on", part)
		}
		*n = append(*n, number)
	}
	return nil
}

// flags reads the command line. What a long run does differently holds unless a flag says
// otherwise.
func flags(args []string) options {
	o := options{connections: numbers{64, 256}, bodies: numbers{200}}
	set := flag.NewFlagSet("bench", flag.ExitOnError)
	set.BoolVar(&o.long, "long", false, "all scenarios: about an hour, and 20 GB of disk")
	set.StringVar(&o.dir, "dir", "bin",
		"where the data is kept meanwhile; on the disk that is to be measured")
	set.IntVar(&o.rounds, "rounds", 3, "of all measurements")
	set.DurationVar(&o.duration, "duration", 3*time.Second, "of each measurement (long: 8s)")
	set.Var(&o.connections, "connections",
		"numbers of connections with the first body (long: 1,8,64,256,1024)")
	set.Var(&o.bodies, "bodies", "bytes of an event; the others than the first with 64 connections (long: 200,4096,262144)")
	set.StringVar(&o.peers, "peers", "all", "all, none, or a part of the name of those that take part")
	set.StringVar(&o.pairs, "pairs", "all", "destinations beside the same by hand, some minutes: all, none, or a part of the name of those that are measured")
	set.IntVar(&o.delivery, "delivery", 300_000,
		"rows for the comparison of delivery with the bare driver; 0 for none")
	set.Float64Var(&o.backlog, "backlog", 0, "GiB of a backlog to hold and to start with (long: 10)")
	set.IntVar(&o.events, "events", 0,
		"events that one server accepts and delivers before its memory is read (long: 10,000,000)")
	set.BoolVar(&o.keys, "keys", true,
		"with a server that holds ten million idempotency keys: 2 GB of disk, and half a minute to make them")
	set.DurationVar(&o.soak, "soak", 0, "how long that server is kept under load at least")
	set.StringVar(&o.out, "out", "bench/results", "where the dated results go; empty for nowhere")
	set.StringVar(&o.chart, "chart", "docs/performance.svg", "file of the chart; empty for none")
	set.BoolVar(&o.install, "install", false, "install the peers with apt-get, as root, and end")
	_ = set.Parse(args) // it exits by itself
	if o.long {
		given := map[string]bool{}
		set.Visit(func(f *flag.Flag) { given[f.Name] = true })
		o.lengthen(given)
	}
	return o
}

func (o *options) lengthen(given map[string]bool) {
	for name, value := range map[string]func(){
		"duration":    func() { o.duration = 8 * time.Second },
		"connections": func() { o.connections = numbers{1, 8, 64, 256, 1024} },
		"bodies":      func() { o.bodies = numbers{200, 4096, 262144} },
		"backlog":     func() { o.backlog = 10 },
		"events":      func() { o.events = 10_000_000 },
	} {
		if !given[name] {
			value()
		}
	}
}

// groups are the scenarios. Peers take part where connections and bodies vary; latency at a fixed
// rate and batches are about pillarbox itself.
func (o *options) groups() []benchmark.Group {
	var loops, bodies []benchmark.Scenario
	for _, connections := range o.connections {
		loops = append(loops, benchmark.ClosedLoop(connections, o.bodies[0]))
	}
	for _, body := range o.bodies[1:] {
		bodies = append(bodies, benchmark.ClosedLoop(64, body))
	}
	group := func(ownOnly bool, scenarios ...benchmark.Scenario) benchmark.Group {
		return benchmark.Group{Scenarios: scenarios, Rounds: o.rounds, Duration: o.duration,
			OwnOnly: ownOnly}
	}
	groups := []benchmark.Group{group(false, loops...)}
	if len(bodies) > 0 {
		groups = append(groups, group(false, bodies...))
	}
	return append(groups, group(true, benchmark.FixedRate(o.bodies[0])),
		group(true, benchmark.Batches(o.bodies[0])), group(true, benchmark.Doors()...), group(true, benchmark.Floods()...))
}

// bench does it all in a directory that it removes.
func bench(ctx context.Context, o options) (err error) {
	if o.install {
		return install(ctx)
	}
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return err
	}
	parent, err := filepath.Abs(o.dir)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(parent, "bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	// PostgreSQL does not run as root, and whom it runs as has to go through.
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	report, err := measure(ctx, o, dir)
	if err != nil {
		return err
	}
	if err := printReport(os.Stdout, report); err != nil {
		return err
	}
	if err := keep(o, report); err != nil {
		return err
	}
	if len(report.Problems) > 0 {
		return errors.New("the run is not complete: " + strings.Join(report.Problems, "; "))
	}
	return nil
}

func measure(ctx context.Context, o options, dir string) (*benchmark.Report, error) {
	// Before anything is built: the build itself is a load.
	report := &benchmark.Report{Started: time.Now().UTC(), Machine: benchmark.ThisMachine(dir),
		Generator: benchmark.Generator}
	var err error
	if report.Commit, report.Dirty, err = commit(ctx); err != nil {
		return nil, err
	}
	binary := filepath.Join(dir, "pillarbox")
	if err := build(ctx, "CGO_ENABLED=0", "build", "-trimpath", "-o", binary,
		"./cmd/pillarbox"); err != nil {
		return nil, err
	}
	contenders, err := benchmark.Own(ctx, binary)
	if err != nil {
		return nil, err
	}
	if o.keys {
		contenders = append(contenders, benchmark.Holding(binary, dir, fillKeys))
	}
	if o.peers != "none" {
		peers, err := buildPeers(ctx, dir, o.peers)
		if err != nil {
			fmt.Fprintln(os.Stderr, "no peers take part:", err)
		}
		contenders = append(contenders, peers...)
	}
	if report.Disk, err = benchmark.ProbeDisk(dir); err != nil {
		return nil, err
	}
	plan := benchmark.Plan{Dir: dir, Contenders: contenders, Groups: o.groups(), Progress: os.Stderr}
	report.Contenders, report.Measurements, err = benchmark.Run(ctx, plan)
	if err == nil && o.pairs != "none" {
		report.Pairs, err = measurePairs(ctx, o.pairs)
	}
	if err == nil {
		err = measureLonger(ctx, o, &stand{binary: binary, dir: dir}, report)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil { // what was measured before it took long, and is kept
		report.Problems = append(report.Problems, err.Error())
	}
	report.Seconds = time.Since(report.Started).Seconds()
	report.Complete()
	return report, nil
}

// build runs the go command with one more variable.
func build(ctx context.Context, env string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), env)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// commit asks git, because "go run" notes nothing in the binary.
func commit(ctx context.Context) (revision string, dirty bool, err error) {
	out, err := exec.CommandContext(ctx, "git", "rev-parse", "--short=10", "HEAD").Output()
	if err != nil {
		return "", false, fmt.Errorf("git rev-parse: %w", err)
	}
	changes, err := exec.CommandContext(ctx, "git", "status", "--porcelain", "--untracked-files=all",
		"--", ".", ":!bench/results", ":!docs").Output()
	if err != nil {
		return "", false, fmt.Errorf("git status: %w", err)
	}
	return strings.TrimSpace(string(out)), len(changes) > 0, nil
}
