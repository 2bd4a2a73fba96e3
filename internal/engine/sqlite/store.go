package sqlite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"

	"pillarbox"
	"pillarbox/internal/telemetry"
)

// MaxEventBytes bounds one event as it is stored: body, headers and the other columns together. The
// whole row has to fit into the memory of a connection several times.
const MaxEventBytes = 32 << 20

// DefaultBusyTimeout is how long a call waits for a lock that another program holds.
const DefaultBusyTimeout = 5 * time.Second

// Options are what Open may be told. The zero value is fine.
type Options struct {
	// BusyTimeout is how long a call waits for a lock that another program holds, before it gives up
	// with pillarbox.ErrUnavailable. 0 is DefaultBusyTimeout.
	BusyTimeout time.Duration
	// Logger gets a warning where the database could not be opened or had to be made anew; nil
	// discards it.
	Logger *slog.Logger
	// Now is the clock for stored_at; nil is time.Now.
	Now func() time.Time

	vfs string // name of the driver's VFS; empty is the one of the operating system
}

func (o Options) withDefaults() Options {
	if o.BusyTimeout == 0 {
		o.BusyTimeout = DefaultBusyTimeout
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Store is an event store in one SQLite database. All methods may be called concurrently: writes
// take turns, reads wait neither for writes nor make them wait. The package comment says what is
// promised.
type Store struct {
	path    string // absolute
	options Options
	readers *readerPool

	// turn holds one token while somebody uses the fields below. It is a channel and not a mutex
	// because waiting for it must end with the caller's context.
	turn   chan struct{}
	writer *writer // nil while the database is not open
	known  *files  // the database whose tables this Store has seen; they are not made again there
	size   int64   // of the database, as it was last seen
	// strict is set by an I/O error: the next opening must copy the whole WAL, not just sync it.
	strict bool

	latest pillarbox.Timestamp // stored_at of the last write
	begun  pillarbox.Timestamp // when the last purge began: no stored_at is earlier any more

	identity atomic.Pointer[pillarbox.StoreIdentity] // as of the last write or opening
	purges   purgeMemory

	current atomic.Pointer[files] // of the open database, for readers to compare with

	closeOnce sync.Once
	closeErr  error
	closed    chan struct{}
}

// Open opens or creates the database at path. A database that can't be opened is no error here:
// Write then says pillarbox.ErrUnavailable and tries again each time, so that accepting goes on
// meanwhile. The error is pillarbox.ErrInvalid for a path or an option that can never work, or
// ctx's own. Close the Store.
func Open(ctx context.Context, path string, options Options) (*Store, error) {
	if path == "" || strings.ContainsRune(path, 0) {
		return nil, pillarbox.Invalid("path of the database %q", path)
	}
	if options.BusyTimeout < 0 {
		return nil, pillarbox.Invalid("BusyTimeout %s", options.BusyTimeout)
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("path of the database %q: %w", path, err)
	}
	store := &Store{
		path: absolute, options: options.withDefaults(), readers: newReaderPool(),
		turn: make(chan struct{}, 1), closed: make(chan struct{}),
	}
	if err := store.refresh(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, errors.Join(ctx.Err(), store.Close())
		}
		store.options.Logger.Warn("database can not be opened yet", telemetry.KeyDatabase, absolute,
			telemetry.KeyErr, err)
	}
	return store, nil
}

// Write implements pillarbox.Sink in one transaction. Next to what the contract says:
//   - ErrUnavailable for everything that is wrong with the database and not with an event: missing, locked
//     for longer than BusyTimeout, read-only, damaged, a table or column that is not there. A full disk
//     matches pillarbox.ErrNoSpace, too.
//   - *pillarbox.BatchError for rows that the table refuses: a PermanentError for a constraint, a trigger's
//     RAISE(ABORT) or RAISE(FAIL), an event over MaxEventBytes; a plain error for a trigger that failed.
//   - PermanentError for the whole batch where a trigger says RAISE(ROLLBACK).
//
// When ctx ends, the transaction is rolled back, unless its commit had already begun.
func (s *Store) Write(ctx context.Context, events []*pillarbox.Event) error {
	if err := s.lock(ctx); err != nil {
		return s.failed(ctx, "write to", err)
	}
	defer s.unlock()
	writer, err := s.ready(ctx)
	if err != nil {
		return s.failed(ctx, "open", err)
	}
	if len(events) == 0 {
		return nil
	}
	storedAt := max(pillarbox.TimestampOf(s.options.Now()), s.begun)
	s.latest = max(s.latest, storedAt)
	var refused []pillarbox.ItemError
	err = protect(func() (err error) {
		refused, err = writer.write(ctx, events, storedAt)
		return err
	})
	if err == nil {
		identity := writer.identity
		s.identity.Store(&identity)
		// What was committed into a file that is no longer at this path is gone.
		err = writer.files.check(s.path)
		s.noteSize()
	}
	if err != nil {
		s.afterError(err)
		return s.failed(ctx, "write to", err)
	}
	if len(refused) > 0 {
		return &pillarbox.BatchError{Items: refused}
	}
	return nil
}

// Close waits for running calls, copies the WAL into the database as far as it can, and releases
// the files. It is safe to call twice. Every call after it returns pillarbox.ErrClosed.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		close(s.closed)
		s.turn <- struct{}{}
		s.readers.drain()
		if s.writer != nil {
			if err := s.writer.close(); err != nil {
				s.closeErr = fmt.Errorf("close database %s: %w", s.path, err)
			}
			s.writer = nil
		}
		<-s.turn
	})
	return s.closeErr
}

func (s *Store) lock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closed:
		return pillarbox.ErrClosed
	}
	select {
	case <-s.closed: // both were ready
		s.unlock()
		return pillarbox.ErrClosed
	default:
		return nil
	}
}

func (s *Store) unlock() { <-s.turn }

// refresh opens the database if it is not open, or not the one that is at the path.
func (s *Store) refresh(ctx context.Context) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.unlock()
	_, err := s.ready(ctx)
	return err
}

// ready returns the writer of the database that is at the path now. The caller has the turn.
func (s *Store) ready(ctx context.Context) (*writer, error) {
	if s.writer != nil {
		err := s.writer.files.check(s.path)
		if err == nil {
			err = s.checkShrunk(ctx)
		}
		if err == nil {
			return s.writer, nil
		}
		if !errors.Is(err, errReplaced) {
			return nil, err
		}
		s.options.Logger.Warn("database was removed or replaced while open", telemetry.KeyDatabase,
			s.path, telemetry.KeyErr, err)
		if err := s.abandon(err); err != nil {
			return nil, err
		}
	}
	return s.open(ctx)
}

func (s *Store) open(ctx context.Context) (*writer, error) {
	var opened *writer
	err := protect(func() (err error) {
		opened, err = openWriter(ctx, s.target(), s.known, s.strict)
		return err
	})
	if err != nil {
		s.strict = s.strict || isIOError(err)
		return nil, err
	}
	s.writer, s.known, s.strict = opened, opened.files, false
	s.identity.Store(&opened.identity)
	s.purges.set(opened.purges)
	s.size = opened.files.database.Size()
	s.current.Store(opened.files)
	return opened, nil
}

// abandon closes the writer of a database that is no longer at the path, or whose WAL is not. The
// old WAL is set aside while it is still open: afterwards its inode number may be given to another
// file.
func (s *Store) abandon(cause error) error {
	if !errors.Is(cause, errWALReplaced) {
		// The file may have been overwritten in place: closing must not copy the old WAL into it.
		if _, err := s.writer.conn.Config(sqlite3.DBCONFIG_NO_CKPT_ON_CLOSE, true); err != nil {
			return err
		}
		if err := s.writer.files.setAside(s.path, s.options.Now()); err != nil {
			return err
		}
	} else if err := protect(s.writer.checkpoint); err != nil {
		// The database itself is in its place, and the rows in the removed WAL could have been saved.
		s.options.Logger.Error("rows of the removed WAL can not be saved", telemetry.KeyDatabase, s.path,
			telemetry.KeyErr, err)
	}
	s.drop()
	return nil
}

// afterError closes the writer where the error leaves it in doubt; the next call opens it anew.
func (s *Store) afterError(err error) {
	switch {
	case errors.Is(err, errReplaced): // the next call sees to it
	case isIOError(err):
		s.strict = true
		s.drop()
	case isDoubtful(err):
		s.drop()
	}
}

// drop closes the writer. Its error says nothing that the caller does not know already.
func (s *Store) drop() {
	s.current.Store(nil)
	s.readers.expire()
	_ = s.writer.close()
	s.writer = nil
}
