package parquet

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	pq "github.com/parquet-go/parquet-go"

	"pillarbox"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/vfs"
)

// The defaults of Options.
const (
	DefaultGrace       = 5 * time.Minute
	DefaultTargetBytes = 128 << 20
	DefaultFoldFiles   = 256

	maintainEvery = 30 * time.Second
)

// Options are what Open may be told. The zero value is fine.
type Options struct {
	Logger *slog.Logger // nil discards
	Now    func() time.Time

	// Grace is how long a file is kept that does not count any more, for readers that have read the
	// manifest before. Close removes it.
	Grace time.Duration
	// TargetBytes is how large a file gets by putting smaller ones together, at most.
	TargetBytes int64
	// FoldFiles is how many changes the manifest holds itself before they go to the files of their days.
	FoldFiles int
	// Unmaintained leaves out what is done in the background: Maintain does it.
	Unmaintained bool
}

// Store is an event store in a directory. All methods may be called concurrently. The package comment
// says what is promised.
type Store struct {
	pillarbox.SinkDefaults // what it can't do

	options Options
	dir     string // for errors
	attach  func() (attached, error)

	// turn is held by whoever changes what is in the directory: a write, the recovery, and the moment at
	// which a compaction is named.
	turn     chan struct{}
	disk     attached               // guarded by turn
	writer   string                 // who this is, in a manifest that others may replace
	intents  intents                // where they are; set by the first recovery, guarded by turn
	broken   bool                   // the state of the directory is not known: it is recovered first; guarded by turn
	building map[string]bool        // files of the rewriting at hand; guarded by turn
	made     map[string]bool        // directories that are there; guarded by turn
	encoder  *pq.GenericWriter[row] // of writes; guarded by turn
	latest   pillarbox.Timestamp    // when the last event was stored; guarded by turn

	// rewriting is held while files are put together or purged: one such change at a time.
	rewriting sync.Mutex
	skip      map[string]bool // files of days that compaction has nothing to do for; guarded by rewriting
	damaged   map[string]bool // files that compaction could not read; guarded by rewriting
	purging   purging         // guarded by rewriting

	view atomic.Pointer[view] // nil before the first recovery, and while broken
	days dayCache

	identity atomic.Pointer[pillarbox.StoreIdentity] // as of the last view
	purges   atomic.Pointer[[]pillarbox.Purge]       // the same

	life   sync.RWMutex // held for reading by running calls, and for writing by Close
	closed atomic.Bool
	ctx    context.Context // ends with Close
	stop   context.CancelFunc
	done   chan struct{} // the maintenance has ended
	once   sync.Once
	err    error // of Close
}

// attached is a directory, or a part of a bucket, that is open. The zero value is none.
type attached struct {
	open    bool
	in      func(ctx context.Context) vfs.FS // its files; calls end with ctx where they can
	path    string                           // whole, for the view; empty for none
	current current
	shared  bool         // others may write to it, too: who does so last has it
	check   func() error // that it is still the one at its path
	close   func() error
}

// current is the manifest in its place. Whoever has the turn calls.
type current interface {
	// read returns the manifest; an error that matches fs.ErrNotExist for none.
	read(ctx context.Context) ([]byte, error)
	// replace puts the next one in the place of the one that was read or put last, durably.
	replace(ctx context.Context, text []byte) error
	// same returns an error that matches ErrConflict where the manifest is not the one that was read or
	// put last.
	same(ctx context.Context) error
}

// fileManifest is a manifest in a directory that nobody else writes to.
type fileManifest struct{ fsys vfs.FS }

func (m fileManifest) read(context.Context) ([]byte, error) {
	return vfs.ReadFile(m.fsys, manifestFile, manifestSize)
}

func (m fileManifest) replace(_ context.Context, text []byte) error {
	return vfs.WriteFile(m.fsys, manifestFile, text)
}

func (fileManifest) same(context.Context) error { return nil }

// attachedFS is a tree of files that nobody else writes to.
func attachedFS(fsys vfs.FS) attached {
	return attached{open: true, in: func(context.Context) vfs.FS { return fsys }, current: fileManifest{fsys},
		check: func() error { return nil }, close: func() error { return nil }}
}

// finishTime bounds what is finished although its caller does not wait any more.
const finishTime = 30 * time.Second

// finishing is a context for that.
func finishing(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), finishTime)
}

// Open makes a store of a directory, which is made where it is missing, but not the one above it: that
// is more likely a disk that is not mounted. A directory that can't be used is no error: each call
// tries again, and says ErrUnavailable.
func Open(dir string, options Options) *Store {
	return openStore(dir, options, func() (attached, error) { return attachDir(dir) })
}

// OpenOn makes a store of a tree of files that nobody else uses.
func OpenOn(fsys vfs.FS, options Options) *Store {
	return openStore("the directory", options, func() (attached, error) { return attachedFS(fsys), nil })
}

func openStore(dir string, options Options, attach func() (attached, error)) *Store {
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	options.Grace = cmp.Or(options.Grace, DefaultGrace)
	options.TargetBytes = cmp.Or(options.TargetBytes, DefaultTargetBytes)
	options.FoldFiles = cmp.Or(options.FoldFiles, DefaultFoldFiles)
	s := &Store{options: options, dir: dir, attach: attach, turn: make(chan struct{}, 1), building: map[string]bool{},
		made: map[string]bool{}, writer: rand.Text(), skip: map[string]bool{}, damaged: map[string]bool{}, done: make(chan struct{})}
	s.ctx, s.stop = context.WithCancel(context.Background())
	if _, err := s.snapshot(s.ctx); err != nil {
		options.Logger.Warn("a destination can't be opened, and is tried again with each write", telemetry.KeyDatabase, dir, telemetry.KeyErr, err)
	}
	if options.Unmaintained {
		close(s.done)
	} else {
		go s.maintainLoop()
	}
	return s
}

// Traits implements pillarbox.Sink.
func (s *Store) Traits() pillarbox.SinkTraits {
	return pillarbox.SinkTraits{Readable: true, Identified: true, Purges: true, PurgesFiles: true}
}

// Identity implements pillarbox.Sink.
func (s *Store) Identity() pillarbox.StoreIdentity {
	if identity := s.identity.Load(); identity != nil {
		return *identity
	}
	return pillarbox.StoreIdentity{}
}

// Check implements pillarbox.Sink.
func (s *Store) Check(ctx context.Context) error {
	return s.call(ctx, "check", func() error {
		_, err := s.snapshot(ctx)
		return err
	})
}

// Close implements pillarbox.Sink: it waits for running calls, ends what is done in the background and
// removes the files that don't count, so that all files are events that are stored.
func (s *Store) Close() error {
	s.once.Do(func() {
		s.closed.Store(true)
		s.stop()
		<-s.done
		s.life.Lock()
		defer s.life.Unlock()
		s.err = s.release()
	})
	return s.err
}

// release is the end of a store that nobody uses any more.
func (s *Store) release() error {
	if !s.disk.open {
		return nil
	}
	ctx, cancel := finishing(context.Background())
	defer cancel()
	err := s.leave(ctx)
	if err != nil {
		err = s.failed(context.Background(), "close", err)
	}
	return errors.Join(err, s.disk.close())
}

// leave removes the files that don't count, and gives back a place that others may take. A change of
// which nobody knows whether it has happened is found out about there first: what was uploaded, and is in
// the way of who reads all files, is an object that no file system forgets.
func (s *Store) leave(ctx context.Context) error {
	if s.disk.shared {
		if _, err := s.readyLocked(ctx); err != nil {
			if errors.Is(err, errTaken) {
				return nil // it is somebody else's
			}
			return err
		}
	}
	v := s.view.Load()
	if v == nil {
		return nil
	}
	if err := s.removeRetired(v.in(ctx)); err != nil || !s.disk.shared {
		return err
	}
	return s.giveBack(ctx)
}

// call lets work in unless the store is closed, and says to whom its error belongs.
func (s *Store) call(ctx context.Context, doing string, work func() error) error {
	s.life.RLock()
	defer s.life.RUnlock()
	if s.closed.Load() {
		return fmt.Errorf("%s %s: %w", doing, s.dir, pillarbox.ErrClosed)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s %s: %w", doing, s.dir, err)
	}
	if err := work(); err != nil {
		return s.failed(ctx, doing, err)
	}
	return nil
}

// failed says to whom an error belongs.
func (s *Store) failed(ctx context.Context, doing string, err error) error {
	var refused *pillarbox.BatchError
	var others *pillarbox.UnreadableError
	switch {
	case errors.As(err, &refused), errors.As(err, &others):
		return err
	case errors.Is(err, pillarbox.ErrNotFound):
		return fmt.Errorf("%s %s: %w", doing, s.dir, err)
	case ctx.Err() != nil:
		return fmt.Errorf("%s %s: %w", doing, s.dir, ctx.Err())
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%s %s: %w: %w: free space on its disk: %w", doing, s.dir, pillarbox.ErrUnavailable, pillarbox.ErrNoSpace, err)
	case errors.Is(err, vfs.ErrLocked):
		return fmt.Errorf("%s %s: %w: end the other one, or give each destination a directory of its own: %w",
			doing, s.dir, pillarbox.ErrUnavailable, err)
	}
	return fmt.Errorf("%s %s: %w: %w", doing, s.dir, pillarbox.ErrUnavailable, err)
}

// lock takes the turn to change the directory.
func (s *Store) lock(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// await is lock for what is to be finished: whoever has the turn ends in time.
func (s *Store) await() { s.turn <- struct{}{} }

func (s *Store) unlock() { <-s.turn }

// snapshot returns what counts now. Where that is not known, it is found out first.
func (s *Store) snapshot(ctx context.Context) (*view, error) {
	if v := s.view.Load(); v != nil {
		return v.in(ctx), nil
	}
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.unlock()
	bounded, cancel := context.WithTimeout(ctx, finishTime)
	defer cancel()
	v, err := s.readyLocked(bounded)
	if err != nil {
		return nil, err
	}
	return v.in(ctx), nil
}

// readyLocked is snapshot for who has the turn.
func (s *Store) readyLocked(ctx context.Context) (*view, error) {
	if s.disk.open {
		if err := s.disk.check(); err != nil {
			s.view.Store(nil)
			lost := s.disk
			s.disk, s.made = attached{}, map[string]bool{}
			return nil, errors.Join(err, lost.close()) // the next call opens what is there
		}
	}
	if v := s.view.Load(); v != nil && !s.broken {
		if s.disk.current.same(ctx) == nil {
			return v.in(ctx), nil
		}
		s.breakLocked() // the recovery finds out, or meets the same error
	}
	if err := s.recoverLocked(ctx); err != nil {
		return nil, err
	}
	return s.view.Load().in(ctx), nil
}

// breakLocked says that nobody knows what of a change has happened.
func (s *Store) breakLocked() {
	s.broken = true
	s.view.Store(nil)
}

// show makes a manifest that is durable what counts.
func (s *Store) show(m *manifest) {
	s.identity.Store(&pillarbox.StoreIdentity{ID: m.ID, Mark: m.Mark})
	s.purges.Store(&m.Purges)
	s.view.Store(&view{manifest: m, tree: s.disk.in, days: &s.days})
}

func notExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }
