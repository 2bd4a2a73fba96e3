package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"pillarbox/internal/benchmark"
	"pillarbox/internal/ledger"
	"pillarbox/internal/load"
	"pillarbox/internal/torture"
)

const (
	deliveryRounds = 3
	slice          = 5 * time.Second  // of a long load, between two looks
	deliverTime    = 10 * time.Second // from a backlog, before memory is read
	maxSlices      = 20_000           // more than a day
)

// stand is where servers are put up for what takes longer than a scenario.
type stand struct{ binary, dir string }

// measureLonger does what needs a server of its own.
func measureLonger(ctx context.Context, o options, s *stand, report *benchmark.Report) (err error) {
	if o.delivery > 0 {
		if report.Delivery, err = s.delivery(ctx, o.delivery); err != nil {
			return fmt.Errorf("delivery: %w", err)
		}
	}
	if o.events > 0 || o.soak > 0 {
		life, err := s.soak(ctx, uint64(o.events), o.soak)
		if err != nil {
			return fmt.Errorf("soak: %w", err)
		}
		report.Lives = append(report.Lives, life)
	}
	if o.backlog > 0 {
		lives, err := s.backlog(ctx, uint64(o.backlog*(1<<30)))
		if err != nil {
			return fmt.Errorf("backlog: %w", err)
		}
		report.Lives = append(report.Lives, lives...)
	}
	return nil
}

// fresh makes a directory with the settings of a run.
func (s *stand) fresh() (dir, settings string, err error) {
	if dir, err = os.MkdirTemp(s.dir, "life-"); err != nil {
		return "", "", err
	}
	settings, err = benchmark.WriteSettings(dir, "")
	return dir, settings, err
}

func (s *stand) start(ctx context.Context, dir, settings string,
	args ...string) (*torture.Server, error) {
	return torture.Start(ctx, s.binary, filepath.Join(dir, "data"),
		append([]string{"--config", settings}, args...)...)
}

// post sends the requests of a scenario to a server. Every one of them must be acknowledged.
func post(ctx context.Context, server *torture.Server, s benchmark.Scenario,
	duration time.Duration) (*load.Result, error) {
	result, err := benchmark.Send(ctx,
		&benchmark.Running{Address: strings.TrimPrefix(server.Public, "http://"),
			Path: "/app"}, s, duration)
	if err != nil {
		return nil, err
	}
	if result.Failed() > 0 {
		return nil, fmt.Errorf("%d requests failed: %v %v", result.Failed(), result.Statuses,
			result.FirstError)
	}
	return result, nil
}

// fill accepts until enough says so, with nothing delivered.
func fill(ctx context.Context, server *torture.Server, step time.Duration,
	enough func() (bool, error)) error {
	for range maxSlices {
		done, err := enough()
		if done || err != nil {
			return err
		}
		if _, err := post(ctx, server, benchmark.Batches(200), step); err != nil {
			return err
		}
	}
	return errors.New("there was never enough")
}

// delivery compares, in turns, how fast a backlog is delivered with how fast the bare driver
// inserts the same rows.
func (s *stand) delivery(ctx context.Context, rows int) (*benchmark.Delivery, error) {
	var ours, driver []float64
	result := &benchmark.Delivery{}
	for round := range deliveryRounds {
		mine, bare, n, err := s.deliverOnce(ctx, rows)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(os.Stderr, "delivery %d of %d: %.0f rows/s, the bare driver %.0f rows/s\n", round+1,
			deliveryRounds, mine, bare)
		ours, driver, result.Rows = append(ours, mine), append(driver, bare), n
	}
	slices.Sort(ours)
	slices.Sort(driver)
	result.Ours, result.Driver = ours[deliveryRounds/2], driver[deliveryRounds/2]
	return result, nil
}

func (s *stand) deliverOnce(ctx context.Context,
	rows int) (ours, driver float64, n int, err error) {
	dir, settings, err := s.fresh()
	if err != nil {
		return 0, 0, 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	server, err := s.start(ctx, dir, settings, "--roles", "accept,admin")
	if err != nil {
		return 0, 0, 0, err
	}
	err = fill(ctx, server, 200*time.Millisecond, func() (bool, error) {
		entry, err := server.Entry()
		return entry.Accepted >= uint64(rows), err
	})
	server.End()
	if err != nil {
		return 0, 0, 0, err
	}
	// The start belongs to it: what is delivered before the server says that it is ready is not for
	// free.
	begin := time.Now()
	if server, err = s.start(ctx, dir, settings); err != nil {
		return 0, 0, 0, err
	}
	defer server.End()
	entry, err := server.WaitUntil("everything is delivered",
		func(e ledger.Entry) bool { return e.Pending == 0 })
	if err != nil {
		return 0, 0, 0, err
	}
	ours = float64(entry.Stored) / time.Since(begin).Seconds()
	if err := server.Stop(); err != nil {
		return 0, 0, 0, err
	}
	inserted, took, err := insertAgain(filepath.Join(dir, "data", "events.db"),
		filepath.Join(dir, "driver.db"))
	if err == nil && uint64(inserted) != entry.Stored {
		err = fmt.Errorf("%d rows are in the database, and the ledger has %d", inserted, entry.Stored)
	}
	return ours, float64(inserted) / took.Seconds(), inserted, err
}

// soak keeps one server under load, with delivery, until it has accepted enough for long enough.
func (s *stand) soak(ctx context.Context, events uint64,
	atLeast time.Duration) (life benchmark.Life, err error) {
	dir, settings, err := s.fresh()
	if err != nil {
		return life, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	server, err := s.start(ctx, dir, settings)
	if err != nil {
		return life, err
	}
	defer server.End()
	begin := time.Now()
	for range maxSlices {
		if life.Accepted >= events && time.Since(begin) >= atLeast {
			break
		}
		if _, err := post(ctx, server, benchmark.ClosedLoop(64, 200), slice); err != nil {
			return life, err
		}
		if err := s.look(server, dir, &life); err != nil {
			return life, err
		}
		fmt.Fprintf(os.Stderr, "soak: %d accepted, %d pending, %d MiB\n", life.Accepted, life.Pending,
			life.Resident>>20)
	}
	entry, err := drain(server)
	if err != nil {
		return life, err
	}
	if !entry.Balanced || entry.Stored != entry.Accepted {
		return life, fmt.Errorf("the account is wrong: %+v", entry)
	}
	err = s.look(server, dir, &life)
	life.Seconds = time.Since(begin).Seconds()
	life.Name = fmt.Sprintf("one server, %d events accepted and delivered in %.0f s", life.Accepted,
		life.Seconds)
	return life, err
}

// drain waits until everything is delivered, as long as it goes forward.
func drain(server *torture.Server) (ledger.Entry, error) {
	for last := uint64(math.MaxUint64); ; {
		entry, err := server.WaitUntil("everything is delivered",
			func(e ledger.Entry) bool { return e.Pending == 0 })
		if err == nil || entry.Pending >= last || entry.Pending == 0 {
			return entry, err
		}
		last = entry.Pending
	}
}

// look fills in what is known of a server.
func (s *stand) look(server *torture.Server, dir string, life *benchmark.Life) error {
	entry, err := server.Entry()
	if err != nil {
		return err
	}
	usage, err := benchmark.UsageOf(server.Pid())
	if err != nil {
		return err
	}
	if life.Backlog, err = size(filepath.Join(dir, "data", "queue")); err != nil {
		return err
	}
	life.Accepted, life.Pending, life.Resident, life.Peak = entry.Accepted, entry.Pending, usage.Resident, usage.Peak
	return nil
}

// backlog fills a log, and looks at the server that did it, and at one that starts with it.
func (s *stand) backlog(ctx context.Context, bytes uint64) (lives []benchmark.Life, err error) {
	dir, settings, err := s.fresh()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	server, err := s.start(ctx, dir, settings, "--roles", "accept,admin")
	if err != nil {
		return nil, err
	}
	begin, holding := time.Now(), benchmark.Life{
		Name: "accepting until the backlog was there, in batches"}
	err = fill(ctx, server, slice, func() (bool, error) {
		err := s.look(server, dir, &holding)
		fmt.Fprintf(os.Stderr, "backlog: %.1f GiB, %d events, %d MiB of memory\n",
			float64(holding.Backlog)/(1<<30), holding.Pending, holding.Resident>>20)
		return holding.Backlog >= bytes, err
	})
	holding.Seconds = time.Since(begin).Seconds()
	server.End() // kill -9
	if err != nil {
		return nil, err
	}
	started := benchmark.Life{Name: "started with the backlog after a kill -9, delivering for 10 s",
		Backlog: holding.Backlog}
	begin = time.Now()
	if server, err = s.start(ctx, dir, settings); err != nil {
		return nil, err
	}
	defer server.End()
	started.Start = time.Since(begin).Seconds()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(deliverTime):
	}
	err = s.look(server, dir, &started)
	started.Backlog, started.Seconds = holding.Backlog, time.Since(begin).Seconds()
	return []benchmark.Life{holding, started}, err
}

// size adds up the files of a directory.
func size(dir string) (total uint64, err error) {
	err = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a segment that is not needed any more
		}
		if err == nil {
			total += uint64(info.Size())
		}
		return err
	})
	return total, err
}
