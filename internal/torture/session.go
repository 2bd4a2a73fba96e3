package torture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"pillarbox/internal/crashmodel"
	"strconv"
)

// The runs of a session, in their order.
const (
	RunCrashModel = "crash-model"
	RunKill       = "kill9"
	RunDiskFull   = "disk-full"
	RunPowerCut   = "power-cut"
)

// AllRuns lists them.
var AllRuns = []string{RunCrashModel, RunKill, RunDiskFull, RunPowerCut}

// statesPerCycle is how many states of the crash model stand beside one cycle of the others.
const statesPerCycle = 5000

// Result is the result of one run.
type Result struct {
	*Report
	Model   *crashmodel.Report `json:"model,omitempty"` // of the crash model, in place of the rest
	Skipped string             `json:"skipped,omitempty"`
	Verdict string             `json:"verdict"`
}

// The verdicts on a run.
const (
	VerdictKept    = "kept"       // every promise
	VerdictBroken  = "broken"     // at least one promise
	VerdictLittle  = "too little" // was done to say either
	VerdictSkipped = "skipped"    // it can't be run here
)

// Session is what a person asked for: the same for every run.
type Session struct {
	Dir         string
	Cycles      int
	Seed        uint64
	FS          []string // file systems of power cuts
	InNamespace bool     // this process is the root of a namespace that was made for it
	Talk        io.Writer
	Progress    func(run string) func(done, of int)
}

// WithVerdict picks the results of that verdict.
func WithVerdict(results []Result, verdict string) (picked []Result) {
	for _, result := range results {
		if result.Verdict == verdict {
			picked = append(picked, result)
		}
	}
	return picked
}

// Run makes one of the runs below a directory, or several of it on different file systems. The
// error is one of ours: what was found is in the results.
func (s *Session) Run(ctx context.Context, name, dir string) ([]Result, error) {
	binary, err := os.Executable()
	if err != nil {
		return nil, err
	}
	options := Options{Binary: binary, Dir: dir, Cycles: s.Cycles, Seed: s.Seed,
		Progress: s.Progress(name)}
	switch name {
	case RunCrashModel:
		return s.crashModel(ctx)
	case RunKill:
		return oneResult(Kill(ctx, options))
	case RunDiskFull:
		return s.diskFull(ctx, options)
	}
	return s.powerCuts(ctx, options)
}

func (s *Session) crashModel(ctx context.Context) ([]Result, error) {
	states, progress := s.Cycles*statesPerCycle, s.Progress(RunCrashModel)
	report, err := crashmodel.Run(ctx, crashmodel.Options{
		Seed: s.Seed, States: states, Progress: func(n int) { progress(min(n, states), states) },
	})
	result := Result{Report: &Report{Run: RunCrashModel, Seed: s.Seed, Cycles: report.States},
		Model: &report, Verdict: VerdictKept}
	result.Acked = report.Acked
	var violation *crashmodel.Violation
	if errors.As(err, &violation) {
		result.Problems, result.Verdict = []string{violation.Error()}, VerdictBroken
		err = nil
	}
	return []Result{result}, err
}

func oneResult(report *Report, err error) ([]Result, error) {
	result := Result{Report: report, Verdict: VerdictKept}
	switch {
	case report.Broken() != nil:
		result.Verdict = VerdictBroken
		err = nil // it follows from what was found
	case report.TooLittle != "":
		result.Verdict = VerdictLittle
	}
	return []Result{result}, err
}

func skippedRun(name string, why error) []Result {
	return []Result{{Report: &Report{Run: name}, Skipped: why.Error(), Verdict: VerdictSkipped}}
}

// diskFull mounts a disk of memory where it may, and else tries again as root of a namespace of its
// own.
func (s *Session) diskFull(ctx context.Context, options Options) ([]Result, error) {
	if os.Geteuid() == 0 || s.InNamespace {
		return oneResult(DiskFull(ctx, options))
	}
	self := exec.CommandContext(ctx, options.Binary, "torture", "--dir", s.Dir, "--only", RunDiskFull,
		"--in-namespace",
		"-n", strconv.Itoa(s.Cycles), "--seed", strconv.FormatUint(s.Seed, 10), "-o", "json")
	self.Stderr = s.Talk
	if err := AsRootOfNamespace(self); err == nil {
		var results []Result
		out, err := self.Output()
		if json.Unmarshal(out, &results) == nil {
			return results, nil
		}
		fmt.Fprintf(s.Talk, "no disk of memory can be mounted in a namespace (%v)\n", err)
	}
	report, err := DiskFull(ctx, options)
	if errors.Is(err, ErrImpossible) {
		return skippedRun(RunDiskFull, err), nil
	}
	return oneResult(report, err)
}

func (s *Session) powerCuts(ctx context.Context, options Options) ([]Result, error) {
	if err := PowerCutPossible(); err != nil || s.InNamespace {
		return skippedRun(RunPowerCut, err), nil
	}
	var results []Result
	dir := options.Dir
	for _, fs := range s.FS {
		if _, err := exec.LookPath("mkfs." + fs); err != nil {
			results = append(results, skippedRun(RunPowerCut+" "+fs, err)...)
			continue
		}
		options.Dir = filepath.Join(dir, fs)
		result, err := oneResult(PowerCut(ctx, PowerCutOptions{Options: options, FS: fs}))
		if err != nil {
			return nil, err
		}
		results = append(results, result...)
	}
	return results, nil
}
