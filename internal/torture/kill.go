package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	killConnections   = 8
	minAckedPerCycle  = 10
	longestLife       = 200 * time.Millisecond // of clients in one cycle
	longestRest       = 300 * time.Millisecond
	longestStart      = 40 * time.Millisecond // of a server that is killed while it starts
	defaultKillCycles = 20
	firstCrashing     = 7 // of the ten kinds of a life, from which on a store of its own crashes, too
)

// Options of a run.
type Options struct {
	Binary   string // that is run
	Dir      string // where its data is kept; must not exist, or be empty
	Cycles   int
	Seed     uint64
	Store    *Store             // nil for the database in the data directory
	Progress func(done, of int) // optional
	Beside   []Beside           // destinations beside the database; not where disks fill up

	config string // of the servers; empty for none
}

func (o Options) progress(done int) {
	if o.Progress != nil {
		o.Progress(done, o.Cycles)
	}
}

// Kill runs servers on one data directory, one after the other, and ends each with SIGKILL: under
// load, at rest, while it delivers a backlog, or while it starts. One event in fifty is refused by
// the database, so that dead letters are on their way too. The error is of the run itself; what it
// found is in the report.
func Kill(ctx context.Context, options Options) (*Report, error) {
	k := &killing{
		Options: options, rng: rand.New(rand.NewPCG(options.Seed, 0)), clients: NewClients(options.Seed,
			true),
		report: &Report{Run: "kill9", Seed: options.Seed},
	}
	if err := k.prepare(options.Dir + ".yaml"); err != nil {
		return k.report, err
	}
	if err := k.begin(ctx); err != nil {
		return k.report, err
	}
	for n := range options.Cycles {
		if err := k.cycle(ctx); err != nil {
			return k.report, fmt.Errorf("cycle %d: %w", n+1, err)
		}
		k.report.Cycles++
		options.progress(n + 1)
	}
	s, err := Start(ctx, options.Binary, options.Dir, k.args()...)
	if err != nil {
		return k.report, err
	}
	defer s.End()
	if _, err := s.Drain(); err != nil {
		k.report.fail("%v", err)
		return k.report, nil
	}
	if err := k.finish(k.report, k.clients, options.Dir); err != nil {
		return k.report, err
	}
	k.report.expect(options.Cycles, minAckedPerCycle)
	return k.report, nil
}

type killing struct {
	Options
	rng     *rand.Rand
	clients *Clients
	report  *Report
}

// begin makes the database, and has it refuse what asks for it.
func (k *killing) begin(ctx context.Context) error {
	s, err := Start(ctx, k.Binary, k.Dir, k.args()...)
	if err != nil {
		return err
	}
	defer s.End()
	if err := s.Stop(); err != nil {
		return err
	}
	return k.Store.refuse(ctx, k.Dir)
}

// refuseSome makes the database refuse messages that ask for it, as long as the table mercy is
// empty.
func refuseSome(data string) error {
	return execute(data, "CREATE TABLE mercy (granted); CREATE TRIGGER refuse BEFORE INSERT ON events WHEN instr(NEW.body, '"+poison+"')"+
		" AND NOT EXISTS (SELECT 1 FROM mercy) BEGIN SELECT RAISE(ABORT, 'it asks for it'); END")
}

// cycle is one life of a server.
func (k *killing) cycle(ctx context.Context) error {
	kind := k.rng.IntN(10)
	if kind == 0 {
		return k.killStarting()
	}
	var args []string
	if kind <= 2 {
		args = []string{"--roles", "accept,admin"} // leaves a backlog
	}
	s, err := Start(ctx, k.Binary, k.Dir, k.args(args...)...)
	if err != nil {
		return err
	}
	defer s.End()
	_, wait := k.clients.begin(ctx, s, killConnections)
	defer wait()
	pause(ctx, k.rng, longestLife)
	if k.Store != nil && kind >= firstCrashing {
		if err := k.Store.Crash(ctx); err != nil {
			return err
		}
		pause(ctx, k.rng, longestLife)
	}
	if kind == 9 {
		wait()
		pause(ctx, k.rng, longestRest)
	}
	return s.Kill()
}

// killStarting kills a server that is not ready yet, or has just become so.
func (k *killing) killStarting() error {
	s, err := Launch(k.Binary, k.Dir, k.args()...)
	if err != nil {
		return err
	}
	defer s.End()
	pause(context.Background(), k.rng, longestStart)
	return s.Kill()
}

// pause waits for up to longest.
func pause(ctx context.Context, rng *rand.Rand, longest time.Duration) {
	timer := time.NewTimer(time.Duration(rng.Int64N(int64(longest))))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
