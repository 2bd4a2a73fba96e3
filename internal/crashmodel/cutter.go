package crashmodel

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"

	"pillarbox/internal/vfs/faultfs"
)

// tornSeeds is how many states of each mode that leaves it to chance are drawn after an operation.
const tornSeeds = 3

// cutter cuts the power of one world after every operation, and checks what is left.
type cutter struct {
	world     *world
	rng       *rand.Rand
	seen      map[uint64]bool // prints of the states that were checked
	recovered uint64          // recoveries so far
	lastOps   int             // operations of the last recovery

	states, nested int
	err            error // the first violation
}

func newCutter(w *world) *cutter {
	c := &cutter{world: w, rng: rand.New(rand.NewPCG(w.seed, 1)), seen: map[uint64]bool{}}
	w.reference.observe = func(disk *faultfs.FS) {
		clear(c.seen) // its generations are others
		disk.After(func(op faultfs.Op, _ error) { c.cut(disk, op) })
	}
	w.reference.observe(w.disk)
	return c
}

func changes(op faultfs.Op) bool {
	return op.Kind != faultfs.Read && op.Kind != faultfs.ReadDir && op.Kind != faultfs.Usage
}

// cut checks the states that the power may leave after the operation.
func (c *cutter) cut(disk *faultfs.FS, op faultfs.Op) {
	if c.err != nil || !changes(op) {
		return
	}
	what := func(mode faultfs.Mode) string {
		return fmt.Sprintf("power cut after operation %d (%v %s), unsynced writes %v", op.Index, op.Kind,
			op.Name, mode)
	}
	c.check(disk.Crash(nil, faultfs.Dropped), what(faultfs.Dropped))
	if !disk.Unsynced() {
		return
	}
	c.check(disk.Crash(nil, faultfs.Kept), what(faultfs.Kept))
	for _, mode := range faultfs.Modes[1:] {
		for range tornSeeds {
			c.check(disk.Crash(c.rng, mode), what(mode))
		}
	}
}

// check opens a state, unless the same one was opened before.
func (c *cutter) check(state *faultfs.FS, what string) {
	if c.err != nil || c.seen[state.Print()] {
		return
	}
	c.seen[state.Print()] = true
	c.states++
	if err := c.recoverTwice(state); err != nil {
		c.err = fmt.Errorf("%s: %w", what, err)
	}
}

// recoverTwice opens the state, and has the power cut once more: in the middle of the recovery, or
// behind it. What is left by that is opened too, and now and then what a close or a kill leaves.
func (c *cutter) recoverTwice(state *faultfs.FS) (err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("panic: %v\n%s", panicked, debug.Stack())
		}
	}()
	unchanged := state.Crash(nil, faultfs.Dropped).Print()
	n := c.drawNested()
	state.After(n.after(state))
	s, first, err := c.recover(state)
	if err != nil {
		return err
	}
	if n.state == nil {
		n.take(state)
	}
	c.lastOps = n.ops
	if err := c.reopen(state, s, first); err != nil {
		return fmt.Errorf("opened again: %w", err)
	}
	if n.state.Print() == unchanged {
		return nil
	}
	c.nested++
	if err := c.recoverNested(n, first); err != nil {
		return fmt.Errorf("power cut after operation %d of %d of the recovery, unsynced writes %v: %w",
			n.at, n.ops, n.mode, err)
	}
	return nil
}

// nested is a power cut during a recovery or right after it.
type nested struct {
	rng  *rand.Rand
	at   int // the operation after which it comes; behind the last one where the recovery has fewer
	mode faultfs.Mode

	ops   int         // of the recovery so far
	state *faultfs.FS // what the cut leaves
}

func (c *cutter) drawNested() *nested {
	return &nested{rng: c.rng, at: c.rng.IntN(c.lastOps + c.lastOps/4 + 1),
		mode: faultfs.Modes[c.rng.IntN(len(faultfs.Modes))]}
}

func (n *nested) after(disk *faultfs.FS) func(faultfs.Op, error) {
	return func(op faultfs.Op, _ error) {
		if !changes(op) {
			return
		}
		if n.ops == n.at {
			n.take(disk)
		}
		n.ops++
	}
}

func (n *nested) take(disk *faultfs.FS) { n.state = disk.Crash(n.rng, n.mode) }

// recoverNested opens what the second cut has left. Where the first recovery was complete, it must
// find the same.
func (c *cutter) recoverNested(n *nested, first recovery) error {
	s, second, err := c.recover(n.state)
	if err != nil {
		return err
	}
	if n.at >= n.ops {
		err = first.compare(second)
	}
	return errors.Join(err, s.close())
}

// reopen ends the process that has recovered, and now and then opens what a close or a kill of it
// leaves.
func (c *cutter) reopen(state *faultfs.FS, s *service, first recovery) error {
	fate := c.rng.IntN(8)
	killed := state
	if fate == 0 {
		killed = state.Kill()
	}
	state.After(nil)
	if err := s.close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	if fate > 1 {
		return nil
	}
	again, second, err := c.recover(killed)
	if err != nil {
		return err
	}
	return errors.Join(first.compare(second), again.close())
}

// recover opens a state and takes stock. Where it fails, nothing is left open that matters.
func (c *cutter) recover(state *faultfs.FS) (*service, recovery, error) {
	s, err := open(state, c.world.letters, 0, c.world.seals(c.world.life+int(c.recovered%2)), c.world.now)
	if err != nil {
		return nil, recovery{}, err
	}
	c.recovered++
	found, err := c.world.reference.takeStock(s, c.recovered)
	return s, found, err
}
