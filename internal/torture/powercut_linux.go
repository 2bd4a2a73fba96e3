package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// An image has room for what all cuts may leave, and xfs wants 300 MB in any case. It is sparse.
const (
	imageBytes       = 512 << 20
	imageBytesPerCut = 1 << 20
)

const (
	cutConnections   = 8
	minAckedPerCut   = 10
	shortestCutLife  = 20 * time.Millisecond
	longestCutLife   = 200 * time.Millisecond
	shortestRest     = 1200 * time.Millisecond
	restedEvery      = 20 // one life in so many rests: those are slow, and some must be there
	answeredEvery    = 8  // one life in so many is cut after its last answer
	refusedStartNote = "%d starts were refused, which is no loss"
)

// PowerCutPossible says why there can be no power cut here; nil where it can.
func PowerCutPossible() error {
	if os.Geteuid() != 0 {
		return errors.New("cutting the power of a file system needs root: it is made in a file, mounted and shut down")
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		return fmt.Errorf("cutting the power of a file system needs loop devices: %w", err)
	}
	return nil
}

// PowerCut makes a file system in a file below Dir, runs servers on it, one after the other, and
// takes it away from under each at a random moment: the process is frozen, the file system is shut
// down without a flush of its journal, the process is killed, and what is left is mounted again.
// The database lies on the same disk, unless the options have a store outside of it. What the file system has not flushed is gone, as after a
// power cut; the file below it is kept whole, so that a disk which loses or reorders what it was
// given before a flush is not tested.
//
// It needs root, loop devices and mkfs. The error is of the run itself; what it found is in the
// report.
func PowerCut(ctx context.Context, options PowerCutOptions) (*Report, error) {
	report := &Report{Run: "power-cut " + options.FS, Seed: options.Seed}
	if err := PowerCutPossible(); err != nil {
		return report, err
	}
	d, err := makeDisk(options.FS, options.Dir, imageBytes+int64(options.Cycles)*imageBytesPerCut)
	if err != nil {
		return report, err
	}
	c := &cutting{PowerCutOptions: options, report: report, disk: d,
		rng: rand.New(rand.NewPCG(options.Seed, 0))}
	if options.Trusted == "" {
		err = c.run(ctx)
	} else {
		err = c.runDistrusted(ctx)
	}
	keep := err != nil || report.Err() != nil && options.Trusted == ""
	return report, errors.Join(err, d.remove(keep))
}

type cutting struct {
	PowerCutOptions
	report *Report
	disk   *disk
	rng    *rand.Rand
}

// run cuts one data directory again and again.
func (c *cutting) run(ctx context.Context) error {
	data, clients := filepath.Join(c.disk.dir, "data"), NewClients(c.Seed, true)
	if err := c.prepare(c.Dir + ".yaml"); err != nil {
		return err
	}
	if err := c.begin(ctx, c.Binary, data); err != nil {
		return err
	}
	kinds := map[LifeKind]int{}
	for n := range c.Cycles {
		l := c.draw(n)
		if err := c.life(ctx, l, data, clients); err != nil {
			return fmt.Errorf("cut %d: %w", n+1, err)
		}
		kinds[l.kind]++
		c.report.Cycles++
		c.progress(n + 1)
	}
	c.report.note("kinds of lives: %v", kinds)
	s, err := Start(ctx, c.Binary, data, c.args()...)
	if err != nil {
		return err
	}
	defer s.End()
	if _, err := s.Drain(); err != nil {
		c.report.fail("%v", err)
		return nil
	}
	if err := c.finish(c.report, clients, data); err != nil {
		return err
	}
	c.report.expect(c.Cycles, minAckedPerCut)
	return nil
}

// begin lets an earlier life leave files that are whole: of its first files, a log without syncs
// leaves so little that the next start is refused, and a bug would not be on its own.
func (c *cutting) begin(ctx context.Context, binary, data string) error {
	s, err := Start(ctx, binary, data, c.args()...)
	if err != nil {
		return err
	}
	defer s.End()
	if err := s.Stop(); err != nil {
		return err
	}
	return c.Store.refuse(ctx, data)
}

// runDistrusted gives every cut a directory of its own, and has the trusted binary read what is
// left.
func (c *cutting) runDistrusted(ctx context.Context) error {
	refused := 0
	for n := range c.Cycles {
		data, clients := filepath.Join(c.disk.dir,
			fmt.Sprintf("data-%d", n)), NewClients(c.Seed+uint64(n), false)
		if err := c.begin(ctx, c.Trusted, data); err != nil {
			return err
		}
		if err := c.life(ctx, c.draw(n), data, clients); err != nil {
			return fmt.Errorf("cut %d: %w", n+1, err)
		}
		c.report.Cycles++
		c.progress(n + 1)
		s, err := Start(ctx, c.Trusted, data, c.Store.args()...)
		if err != nil {
			refused++ // no loss yet: the events may still be in the log
			continue
		}
		_, err = s.Drain()
		s.End()
		if err != nil {
			c.report.fail("%v", err)
			continue
		}
		found, err := clients.Compare(data, c.Store)
		if err != nil {
			return err
		}
		c.report.add(found, clients.Counts())
		c.report.Problems = append(c.report.Problems, clients.broken...)
	}
	c.report.note(refusedStartNote, refused)
	return nil
}

// cutLife is one life that ends in a power cut.
type cutLife struct {
	kind  LifeKind
	load  time.Duration
	rests time.Duration // without load, before the cut
	args  []string
}

func (c *cutting) draw(n int) cutLife {
	kind := c.Kind
	switch {
	case kind != "":
	case n%restedEvery == restedEvery/2:
		kind = LifeRested
	case n%answeredEvery == 0:
		kind = LifeAnswered
	case c.rng.IntN(2) == 0:
		kind = LifeAcceptOnly
	default:
		kind = LifeBusy
	}
	l := cutLife{kind: kind, load: shortestCutLife + time.Duration(
		c.rng.Int64N(int64(longestCutLife-shortestCutLife)))}
	switch kind {
	case LifeAcceptOnly, LifeAnswered:
		l.args = []string{"--roles", "accept,admin"}
	case LifeRested:
		l.rests = shortestRest + time.Duration(c.rng.IntN(300))*time.Millisecond
	}
	return l
}

// life has clients post to a server, cuts the power, and mounts what is left.
func (c *cutting) life(ctx context.Context, l cutLife, data string, clients *Clients) error {
	s, err := Start(ctx, c.Binary, data, c.args(l.args...)...)
	if err != nil {
		return err
	}
	defer s.End()
	stop, wait := clients.begin(ctx, s, cutConnections)
	defer stop()
	time.Sleep(l.load)
	if l.kind == LifeAnswered || l.kind == LifeRested {
		wait()
		time.Sleep(l.rests)
	}
	// A sync that runs while the file system goes down may return success for nothing. A process
	// without power would not have seen that, so it must have stopped before.
	if err := s.Freeze(); err != nil {
		return err
	}
	if err := c.disk.shutDown(); err != nil {
		return err
	}
	stop() // first, or the clients would knock at a closed port
	if err := s.Kill(); err != nil {
		return err
	}
	wait()
	if err := c.disk.unmount(); err != nil {
		return err
	}
	return c.disk.mount()
}
