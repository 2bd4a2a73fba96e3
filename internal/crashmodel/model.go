package crashmodel

import (
	"context"
	"fmt"
	"runtime"
	"sync"
)

// Options of Run.
type Options struct {
	Seed   uint64 // of the first world; the others follow
	States int    // to check at least, the ones in the middle of a recovery included
	// Progress, if set, is told now and then how many states were checked. Calls do not overlap.
	Progress func(states int)
}

// Report is what Run has done.
type Report struct {
	Seed   uint64 `json:"seed"`
	Worlds int    `json:"worlds"`
	States int    `json:"states"` // distinct states, the nested ones included
	Nested int    `json:"nested"` // of these, states after another power cut during the recovery
	Acked  int    `json:"acked"`  // events that were acknowledged in all worlds
}

// Violation is a promise that was broken. Run with its seed breaks it again in the first world.
type Violation struct {
	Seed uint64
	Err  error
}

func (v *Violation) Error() string { return fmt.Sprintf("world with seed %d: %v", v.Seed, v.Err) }

// Unwrap returns what was broken.
func (v *Violation) Unwrap() error { return v.Err }

// Run checks worlds on all cores until enough states were checked, ctx ends or a promise is broken.
// The error is ctx's own or a *Violation; the report says what was checked until then.
func Run(ctx context.Context, options Options) (Report, error) {
	r := &runner{options: options, report: Report{Seed: options.Seed}, next: options.Seed}
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for seed, more := r.draw(ctx); more; seed, more = r.draw(ctx) {
				r.add(checkWorld(seed))
			}
		})
	}
	workers.Wait()
	if r.err == nil {
		r.err = ctx.Err()
	}
	return r.report, r.err
}

type runner struct {
	options Options

	mu     sync.Mutex
	next   uint64
	report Report
	err    error
}

// draw returns the seed of the next world, if there is to be one.
func (r *runner) draw(ctx context.Context) (seed uint64, more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil || ctx.Err() != nil || r.report.States >= r.options.States {
		return 0, false
	}
	r.next++
	return r.next - 1, true
}

func (r *runner) add(c *cutter) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Worlds++
	r.report.States += c.states + c.nested
	r.report.Nested += c.nested
	r.report.Acked += c.world.reference.acked()
	if c.err != nil && r.err == nil {
		r.err = &Violation{Seed: c.world.seed, Err: c.err}
	}
	if r.options.Progress != nil {
		r.options.Progress(r.report.States)
	}
}

// checkWorld lives one world under the cutter.
func checkWorld(seed uint64) *cutter {
	w := newWorld(seed)
	c := newCutter(w)
	if err := w.run(); err != nil && c.err == nil {
		c.err = err
	}
	return c
}
