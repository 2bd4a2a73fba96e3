package torture

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	_ "github.com/ncruces/go-sqlite3/driver" // to have the database refuse some events

	"pillarbox/internal/adminapi"
	"pillarbox/internal/adminclient"
	"pillarbox/internal/ledger"
	"pillarbox/internal/replay"
)

const (
	fillLanes        = 4 // disks that are filled at a time: a cycle is mostly waiting
	fillConnections  = 2
	minAckedPerFill  = 10
	fillDiskBytes    = 96 << 20
	fillBytesPerTurn = 1 << 20  // what one cycle may leave in the database and the log
	fillReserve      = 16 << 20 // queue.min_free
	refusalBound     = 30 * time.Second
	acceptBound      = 5 * time.Second // from the moment that space is back
	deliveryBound    = 20 * time.Second
	lettersAtATime   = 3
)

// fillConfig makes segments small, so that the room which was filled ahead is soon used up, and has
// a database that had no room be asked again soon.
const fillConfig = `queue: { segment_bytes: 64KiB, min_free: %d }
destinations:
  events: { url: "sqlite:", sources: [app], probe: { initial: 200ms, max: 1s } }
`

// DiskFull runs servers on small disks, takes the last room of each again and again under load, and
// gives it back. Every other time a part of what the server keeps back for deliveries is left: then
// deliveries and a replay must work while nothing is accepted. The other times nothing is left at
// all. No server is started again before the end, where each is killed and must find everything
// that it had acknowledged.
//
// The disks are of memory where this process may mount one. Otherwise Dir must lie on a small file
// system, which is really filled. The error is of the run itself; what it found is in the report.
func DiskFull(ctx context.Context, options Options) (*Report, error) {
	report := &Report{Run: "disk-full", Seed: options.Seed}
	lanes := min(fillLanes, options.Cycles)
	if !canMount() {
		lanes = 1 // they would take each other's room
	}
	var running sync.WaitGroup
	done := make(chan *filling)
	for n := range lanes {
		f := &filling{
			Options: options, report: &Report{Seed: options.Seed + uint64(n)}, clients: NewClients(
				options.Seed+uint64(n), true),
			cycles: (options.Cycles + n) / lanes, dir: filepath.Join(options.Dir,
				fmt.Sprintf("disk-%d", n+1)),
		}
		running.Go(func() {
			f.err = f.run(ctx, func() { done <- nil })
			done <- f
		})
	}
	go func() { running.Wait(); close(done) }()
	errs, turns := []error(nil), 0
	for f := range done {
		if f == nil {
			turns++
			options.progress(turns)
			continue
		}
		errs = append(errs, f.err)
		report.merge(f.report)
	}
	report.expect(options.Cycles, minAckedPerFill)
	return report, errors.Join(errs...)
}

// filling is one disk, and the server on it.
type filling struct {
	Options
	report  *Report
	clients *Clients
	cycles  int
	dir     string
	err     error

	disk    *smallDisk
	server  *Server
	api     *adminclient.Client
	slowest time.Duration // until something was accepted again
}

func (f *filling) run(ctx context.Context, turned func()) (err error) {
	if f.disk, err = openSmallDisk(f.dir, fillDiskBytes+int64(f.cycles)*fillBytesPerTurn); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.disk.close()) }()
	data := filepath.Join(f.dir, "data")
	args, err := f.begin(ctx, data)
	if err != nil {
		return err
	}
	if f.server, err = Start(ctx, f.Binary, data, args...); err != nil {
		return err
	}
	defer f.server.End()
	if f.api, err = adminclient.New(f.server.Admin, adminclient.Options{}); err != nil {
		return err
	}
	if err := f.underLoad(ctx, turned); err != nil {
		return err
	}
	return f.end(ctx, data, args)
}

// begin makes the database refuse what asks for it, unless it is told to have mercy.
func (f *filling) begin(ctx context.Context, data string) (args []string, err error) {
	config := filepath.Join(f.dir, "pillarbox.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, fillConfig, fillReserve), 0o600); err != nil {
		return nil, err
	}
	args = []string{"--config", config}
	s, err := Start(ctx, f.Binary, data, args...)
	if err != nil {
		return nil, err
	}
	defer s.End()
	if err := s.Stop(); err != nil {
		return nil, err
	}
	return args, refuseSome(data)
}

func (f *filling) underLoad(ctx context.Context, turned func()) error {
	_, wait := f.clients.begin(ctx, f.server, fillConnections)
	defer wait()
	for n := range f.cycles {
		if err := f.cycle(ctx, n); err != nil {
			return errors.Join(fmt.Errorf("%s, time %d that it is full: %w\n%s", filepath.Base(f.dir), n+1,
				err, f.server.Log()), f.disk.free())
		}
		f.report.Cycles++
		turned()
	}
	return nil
}

// cycle fills the disk, sees what must still work, and empties it.
func (f *filling) cycle(ctx context.Context, n int) error {
	leave := int64(0)
	if n%2 == 1 {
		leave = fillReserve / 2
	}
	before := f.clients.Counts().Refused
	if err := f.until(ctx, refusalBound, func() (bool, error) {
		// Again and again: the log gives its history up when space is short, and that must not make room.
		return f.clients.Counts().Refused > before, f.disk.fill(leave)
	}); err != nil {
		return fmt.Errorf("the disk is full, and nothing is refused: %w", err)
	}
	if leave > 0 {
		if err := f.whileFull(ctx); err != nil {
			return err
		}
	}
	acked, begin := f.clients.Counts().Acked, time.Now()
	if err := f.disk.free(); err != nil {
		return err
	}
	if err := f.until(ctx, acceptBound,
		func() (bool, error) { return f.clients.Counts().Acked > acked, nil }); err != nil {
		f.report.fail("nothing is accepted again %v after space came back", acceptBound)
		return err
	}
	f.slowest = max(f.slowest, time.Since(begin))
	return nil
}

// until polls. The error is that of is, of ctx, or of the bound.
func (f *filling) until(ctx context.Context, bound time.Duration, is func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	for {
		if ok, err := is(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// whileFull sees that what was accepted is delivered, and that a replay brings a dead letter back.
func (f *filling) whileFull(ctx context.Context) error {
	var entry ledger.Entry
	if err := f.until(ctx, deliveryBound, func() (bool, error) {
		var err error
		entry, err = f.server.Entry()
		return entry.Pending == 0, err
	}); err != nil {
		f.report.fail("deliveries do not go on while the disk is full")
		return fmt.Errorf("the ledger stays at %+v: %w", entry, err)
	}
	f.report.tallies.delivered++
	if entry.Dead == 0 {
		return nil
	}
	data := filepath.Join(f.dir, "data")
	if err := execute(data, "INSERT INTO mercy VALUES (1)"); err != nil {
		return err
	}
	progress, err := f.replay(ctx)
	if err == nil && (progress.State != replay.StateDone || progress.Replayed == 0) {
		f.report.fail("a replay does not work while the disk is full")
		err = fmt.Errorf("the replay ended as %+v", progress)
	}
	f.report.tallies.replayed += progress.Replayed
	return errors.Join(err, execute(data, "DELETE FROM mercy"))
}

func (f *filling) replay(ctx context.Context) (replay.Progress, error) {
	started, err := f.api.StartReplay(ctx, adminapi.ReplayRequest{Limit: lettersAtATime})
	if err != nil {
		return replay.Progress{}, err
	}
	progress := *started
	err = f.until(ctx, deliveryBound, func() (bool, error) {
		now, err := f.api.Replay(ctx, started.ID)
		if err != nil {
			return false, err
		}
		progress = *now
		return progress.State != replay.StateRunning, nil
	})
	return progress, err
}

// end kills the server, starts it again, and compares.
func (f *filling) end(ctx context.Context, data string, args []string) error {
	if err := f.server.Kill(); err != nil {
		return err
	}
	s, err := Start(ctx, f.Binary, data, args...)
	if err != nil {
		return err
	}
	defer s.End()
	if _, err := s.Drain(); err != nil {
		f.report.fail("%v", err)
		return nil
	}
	if err := f.report.finish(f.clients, f.Binary, data, nil); err != nil {
		return err
	}
	f.report.note("%s: accepted again after %v at most; %d times delivered while full, %d letters replayed while full; answers by status: %v",
		filepath.Base(f.dir), f.slowest.Round(
			time.Millisecond), f.report.tallies.delivered, f.report.tallies.replayed, f.clients.statuses)
	f.judge()
	return nil
}

// judge sees that the clients were told the truth about the disk, and that the harness has done its
// part.
func (f *filling) judge() {
	for status, n := range f.clients.statuses {
		if status != http.StatusInsufficientStorage {
			f.report.fail("%d requests were answered with %d, and a full disk is %d", n, status,
				http.StatusInsufficientStorage)
		}
	}
	if f.clients.mute > 0 {
		f.report.fail("%d refusals do not say when to come again", f.clients.mute)
	}
	// The first time there may be no letter yet.
	if half := f.cycles / 2; f.report.tallies.delivered < half || f.report.tallies.replayed < half-1 {
		f.report.TooLittle = fmt.Sprintf("too little was tried while the disk was full: %+v in %d cycles", f.report.tallies, f.cycles)
	}
}

// execute runs one statement on the database of a server, which may be running.
func execute(data, statement string) error {
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(data,
		databaseFile)+"?_pragma=busy_timeout(10000)")
	if err != nil {
		return err
	}
	_, err = db.Exec(statement)
	return errors.Join(err, db.Close())
}
