package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"pillarbox/internal/benchmark"
	"pillarbox/internal/console"
)

// Limits of a benchmark.
const (
	maxBenchRounds   = 100
	maxBenchDuration = time.Hour
	maxBenchBody     = 1 << 20 // the default limit of a body
)

// benchContenders are the yardsticks in this binary, by name: each listens at an address until ctx
// ends.
var benchContenders = map[string]func(ctx context.Context, address string) error{
	benchmark.BareCommand:  benchmark.ServeBare,
	benchmark.FrontCommand: serveFront,

	benchmark.BareTLSCommand: benchmark.ServeBareTLS,
}

// benchFlags are the flags of the command.
type benchFlags struct {
	dir         string
	duration    time.Duration
	rounds      int
	connections []int
	body        int
	form        console.Form
}

func newBenchCommand() *cobra.Command {
	flags := &benchFlags{}
	command := &cobra.Command{
		Use:   "bench",
		Short: "Measure it on your own machine, beside a handler that keeps nothing",
		Long: `Start servers of this binary as processes of their own in a fresh directory, send them requests over
loopback, and compare, in turns: a bare HTTP handler that reads the body and keeps nothing; pillarbox
that accepts; pillarbox that accepts and delivers to SQLite. Then the same at 5,000 requests a second
for latencies, with batches of 1,000 events, with what a front door asks of a request, and over TLS beside
a bare handler with TLS. What is printed are the medians of the rounds, ratios
to the bare handler of the same run, the servers' own processor time, and the project's goals.

The directory should be on the disk that will hold the data: one fdatasync on it is measured as well.
With the defaults it takes about five minutes and some gigabytes, which are removed at the end.`,
		Example: `  pillarbox bench
  pillarbox bench --dir /var/lib/pillarbox --duration 10s --rounds 5
  pillarbox bench --connections 1,8,64 --rounds 1 -o json`,
		Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := flags.check(); err != nil {
				return err
			}
			return bench(command, flags)
		},
	}
	set := command.Flags()
	set.StringVar(&flags.dir, "dir", ".", "where the data of the run is kept meanwhile")
	set.DurationVar(&flags.duration, "duration", 5*time.Second, "of each measurement")
	set.IntVar(&flags.rounds, "rounds", 3, "of all measurements")
	set.IntSliceVar(&flags.connections, "connections", []int{64, 256}, "numbers of connections")
	set.IntVar(&flags.body, "body", 200, "bytes of an event")
	outputFlag(command, &flags.form)
	command.AddCommand(newContenderCommand())
	return command
}

func (f *benchFlags) check() error {
	switch {
	case f.duration < 100*time.Millisecond || f.duration > maxBenchDuration:
		return usageError{fmt.Errorf("--duration %v: want 100ms to %v", f.duration, maxBenchDuration)}
	case f.rounds < 1 || f.rounds > maxBenchRounds:
		return usageError{fmt.Errorf("--rounds %d: want 1 to %d", f.rounds, maxBenchRounds)}
	case len(f.connections) == 0 || slices.Min(f.connections) < 1 ||
		slices.Max(f.connections) > maxConcurrency:
		return usageError{fmt.Errorf("--connections %v: want numbers from 1 to %d", f.connections,
			maxConcurrency)}
	case f.body < 1 || f.body > maxBenchBody:
		return usageError{fmt.Errorf("--body %d: want 1 to %d", f.body, maxBenchBody)}
	}
	if err := checkDir(f.dir); err != nil {
		return err
	}
	return checkForm(f.form)
}

// checkDir refuses a directory that is not there.
func checkDir(dir string) error {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return usageError{fmt.Errorf("--dir: %q is not a directory that exists", dir)}
	}
	return nil
}

// newContenderCommand serves a yardstick. It is for bench, which starts it as a child.
func newContenderCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "contender [NAME ADDRESS]",
		Short:  "Serve a yardstick, or list them",
		Hidden: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 0 && len(args) != 2 {
				return usageError{errors.New("want a name and an address, or nothing for a list")}
			}
			return nil
		},
		RunE: func(command *cobra.Command, args []string) error {
			if len(args) == 0 {
				for name := range benchContenders {
					fmt.Fprintln(command.OutOrStdout(), name)
				}
				return nil
			}
			serve, ok := benchContenders[args[0]]
			if !ok {
				return usageError{fmt.Errorf("there is no contender %q", args[0])}
			}
			ctx, stop := signal.NotifyContext(command.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return serve(ctx, args[1])
		},
	}
}

// bench runs the comparison in a directory that it removes.
func bench(command *cobra.Command, flags *benchFlags) (err error) {
	ctx, stop := signal.NotifyContext(command.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	parent, err := filepath.Abs(flags.dir)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(parent, "pillarbox-bench-")
	if err != nil {
		return fmt.Errorf("--dir: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	report := &benchmark.Report{Started: time.Now().UTC(), Machine: benchmark.ThisMachine(dir),
		Generator: benchmark.Generator}
	report.Commit, report.Dirty = commit()
	if report.Disk, err = benchmark.ProbeDisk(dir); err != nil {
		return err
	}
	contenders, err := benchmark.Own(ctx, binary)
	if err != nil {
		return err
	}
	plan := benchmark.Plan{Dir: dir, Contenders: contenders, Groups: flags.groups(),
		Progress: command.ErrOrStderr()}
	if report.Contenders, report.Measurements, err = benchmark.Run(ctx, plan); err != nil {
		return err
	}
	report.Seconds = time.Since(report.Started).Seconds()
	report.Complete()
	return printBench(command.OutOrStdout(), report, flags.form)
}

// groups are the scenarios: as fast as it goes, at a fixed rate, in batches.
func (f *benchFlags) groups() []benchmark.Group {
	var loops []benchmark.Scenario
	for _, connections := range f.connections {
		loops = append(loops, benchmark.ClosedLoop(connections, f.body))
	}
	group := func(scenarios ...benchmark.Scenario) benchmark.Group {
		return benchmark.Group{Scenarios: scenarios, Rounds: f.rounds, Duration: f.duration}
	}
	return []benchmark.Group{group(loops...), group(benchmark.FixedRate(f.body)),
		group(benchmark.Batches(f.body)), group(benchmark.Doors()...)}
}

// commit is what the binary was built from, as far as the build has noted it.
func commit() (revision string, dirty bool) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "", false
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			revision = setting.Value[:min(len(setting.Value), 12)]
		case "vcs.modified":
			dirty = setting.Value == "true"
		}
	}
	return revision, dirty
}

func printBench(w io.Writer, report *benchmark.Report, form console.Form) error {
	switch form.Kind {
	case console.JSON:
		return console.WriteJSON(w, report)
	case console.CSV:
		table := report.Plain()
		return (&console.Rows{Head: table.Head, Body: table.Body}).Write(w, form)
	}
	for _, table := range []benchmark.Table{report.Figures(), report.Judgement()} {
		if err := (&console.Rows{Head: table.Head, Body: table.Body}).Write(w, form); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	_, err := fmt.Fprintf(w, "%s\n\n%s\n", strings.Join(report.Circumstances(), "\n"), report.Verdict)
	return err
}
