package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"pillarbox/internal/console"
	"pillarbox/internal/torture"
)

type tortureFlags struct {
	dir     string
	only    []string
	cycles  int
	seed    uint64
	fs      []string
	form    console.Form
	inSpace bool // this process is the root of a namespace that was made for it
}

func newTortureCommand() *cobra.Command {
	flags := &tortureFlags{}
	command := &cobra.Command{
		Use:   "torture --dir DIR",
		Short: "Break it on your own disk, and count what was acknowledged against what is left",
		Long: `Run this binary in a fresh directory below DIR, post to it, and break it:

    crash-model   cuts the power of a disk in memory after every operation, unsynced writes dropped, torn or turned
                  into garbage, and recovers from every state
    kill9         ends the server with SIGKILL under load, again and again
    disk-full     takes the last byte of a small disk and gives it back; a disk of memory where that can be mounted
                  (as root, or in a user namespace), else DIR must be on a small one
    power-cut     takes a whole file system (ext4, xfs) away from under the server without a flush; needs root and
                  loop devices

What can't be run here is said. Every acknowledgement is then compared with the database and the dead letters.
Exit 0 if nothing is lost, doubled or invented; exit 1 if something is, and the directory is kept, or if
nothing could be run.`,
		Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error { return flags.run(command) },
	}
	f := command.Flags()
	f.StringVar(&flags.dir, "dir", "", "directory on the disk to be tried (required)")
	f.StringSliceVar(&flags.only, "only", torture.AllRuns, "what to run")
	f.IntVarP(&flags.cycles, "cycles", "n", 50,
		"how often to break it in each run; the crash model checks 5000 states for each")
	f.Uint64Var(&flags.seed, "seed", 0,
		"seed of the random choices (default: a new one, which is told)")
	f.StringSliceVar(&flags.fs, "fs", torture.AllFileSystems,
		"file systems of power-cut, as far as their mkfs is installed")
	f.BoolVar(&flags.inSpace, "in-namespace", false, "")
	if err := f.MarkHidden("in-namespace"); err != nil {
		panic("pillarbox: bug: " + err.Error())
	}
	outputFlag(command, &flags.form)
	return command
}

func (f *tortureFlags) check() error {
	if err := checkForm(f.form); err != nil {
		return err
	}
	if f.dir == "" {
		return usageError{errors.New("--dir is missing: name a directory on the disk that you want to try, such as --dir /var/lib")}
	}
	if f.cycles < 1 {
		return usageError{fmt.Errorf("-n %d: want 1 or more", f.cycles)}
	}
	if err := checkSelection("--only", f.only, torture.AllRuns); err != nil {
		return err
	}
	if err := checkSelection("--fs", f.fs, torture.AllFileSystems); err != nil {
		return err
	}
	return checkDir(f.dir)
}

// checkSelection refuses what is not possible, and to choose nothing.
func checkSelection(flag string, chosen, possible []string) error {
	if len(chosen) == 0 {
		return usageError{fmt.Errorf("%s is empty: name some of %s", flag, strings.Join(possible, ", "))}
	}
	for _, name := range chosen {
		if !slices.Contains(possible, name) {
			return usageError{fmt.Errorf("%s: %q is none of %s", flag, name,
				strings.Join(possible, ", "))}
		}
	}
	return nil
}

func (f *tortureFlags) run(command *cobra.Command) error {
	if err := f.check(); err != nil {
		return err
	}
	if f.seed == 0 {
		f.seed = rand.Uint64N(1 << 32)
	}
	ctx, stop := signal.NotifyContext(command.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	base, err := os.MkdirTemp(f.dir, "pillarbox-torture-")
	if err != nil {
		return fmt.Errorf("make a directory below %s: %w", f.dir, err)
	}
	talk := command.ErrOrStderr()
	if !f.inSpace {
		fmt.Fprintf(talk, "seed %d, in %s\n", f.seed, base)
	}
	session := &torture.Session{
		Dir: f.dir, Cycles: f.cycles, Seed: f.seed, FS: f.fs, InNamespace: f.inSpace, Talk: talk,
		Progress: func(run string) func(done, of int) { return progressOf(talk, run) },
	}
	var results []torture.Result
	for _, name := range f.only {
		result, err := session.Run(ctx, name, filepath.Join(base, name))
		if err != nil {
			return fmt.Errorf("%s: %w\nwhat it left is in %s", name, err, base)
		}
		results = append(results, result...)
	}
	return f.conclude(command.OutOrStdout(), talk, base, results)
}

// conclude prints, and keeps the directory where something is wrong.
func (f *tortureFlags) conclude(out, talk io.Writer, base string, results []torture.Result) error {
	if err := printTortured(out, results, f.form); err != nil {
		return err
	}
	switch broken, little := torture.WithVerdict(results,
		torture.VerdictBroken), torture.WithVerdict(results, torture.VerdictLittle); {
	case len(broken) > 0:
		for _, result := range broken {
			fmt.Fprintf(talk, "%s: %v\n", result.Run, result.Broken())
		}
		fmt.Fprintf(talk, "A promise was broken. Please report it with the seed %d, and with what was left in %s\n", f.seed, base)
		return silentError{}
	case len(little) > 0:
		for _, result := range little {
			fmt.Fprintf(talk, "%s: %s\n", result.Run, result.TooLittle)
		}
		return errors.Join(silentError{}, os.RemoveAll(base))
	case allSkipped(results):
		return errors.Join(silentError{}, os.RemoveAll(base))
	}
	return os.RemoveAll(base)
}

// allSkipped reports that nothing was run, which proves nothing.
func allSkipped(results []torture.Result) bool {
	return len(torture.WithVerdict(results, torture.VerdictSkipped)) == len(results)
}

// progressOf tells a person how far a run is, and a file nothing.
func progressOf(talk io.Writer, name string) func(done, of int) {
	file, ok := drawn(talk).(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return func(int, int) {}
	}
	return func(done, of int) {
		end := "\r"
		if done >= of {
			end = "\n"
		}
		fmt.Fprintf(file, "%s: %d of %d%s", name, done, of, end)
	}
}

func printTortured(w io.Writer, results []torture.Result, form console.Form) error {
	if form.Kind == console.JSON {
		return console.WriteJSON(w, results)
	}
	table := console.Rows{Head: []string{"run", "broken", "acknowledged", "stored", "dead", "lost",
		"twice",
		"invented", "verdict"}}
	for _, r := range results {
		switch {
		case r.Skipped != "":
			table.Add(r.Run, "-", "-", "-", "-", "-", "-", "-", "skipped: "+r.Skipped)
		case r.Model != nil:
			table.Add(r.Run, fmt.Sprintf("%d states", r.Cycles), r.Acked, "-", "-", len(r.Problems), "-",
				"-", r.Verdict)
		default:
			table.Add(r.Run, fmt.Sprintf("%d times", r.Cycles), r.Acked, r.Stored, r.Dead, len(r.Lost),
				len(r.Twice), len(r.Unsent), r.Verdict)
		}
	}
	if err := table.Write(w, form); err != nil || form.Kind == console.CSV {
		return err
	}
	text := "every acknowledged event was there, once"
	switch {
	case len(torture.WithVerdict(results, torture.VerdictBroken)) > 0:
		text = "NOT every promise was kept"
	case len(torture.WithVerdict(results, torture.VerdictLittle)) > 0:
		text = "too little was done to prove anything; break it more often (-n)"
	case allSkipped(results):
		text = "nothing could be run here, and nothing is proved"
	}
	_, err := fmt.Fprintln(w, text)
	return err
}
