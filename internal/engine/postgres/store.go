package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"pillarbox"
	"pillarbox/internal/telemetry"
)

// MaxEventBytes bounds one event as it is stored: body, headers and the other columns together.
const MaxEventBytes = 32 << 20

const (
	// DefaultTable is where events are where the URL names none.
	DefaultTable = "events"
	// DefaultConnectTimeout bounds the making of a connection.
	DefaultConnectTimeout = 10 * time.Second

	maxConns = 8 // writers of a destination take turns; the others are for reading
)

// Options are what Open may be told. The zero value is fine.
type Options struct {
	Table  string       // name, with its schema where it is not the first of search_path; default DefaultTable
	Logger *slog.Logger // nil discards
	Now    func() time.Time
}

// Store is an event store in one table. All methods may be called concurrently. The package comment
// says what is promised.
type Store struct {
	pool    *pgxpool.Pool
	options Options
	table   pgx.Identifier
	name    string // of server and table, for errors

	// beginWrite begins a transaction that a purge, when it begins, waits for.
	beginWrite string

	mu         sync.Mutex // held while the tables are looked at
	prepared   atomic.Bool
	partitions partitions
	hasJSON    atomic.Bool // the table has body_json

	hasSourceIndex atomic.Bool // an index leads to the events of a source

	identity atomic.Pointer[pillarbox.StoreIdentity] // as of the last write or look
	purges   purgeMemory

	closeOnce sync.Once
	closed    atomic.Bool
}

// Open makes a store of a connection string, "postgres://user@host/database" with the parameters of
// libpq. No connection is made: where the server can't be reached, Write says ErrUnavailable and tries
// again each time. Passwords come from PGPASSWORD, PGPASSFILE or a service file. The error is
// ErrInvalid for a URL that can never work.
func Open(url string, options Options) (*Store, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, pillarbox.Invalid("%w", err)
	}
	if options.Table == "" {
		options.Table = DefaultTable
	}
	table, err := parseTable(options.Table)
	if err != nil {
		return nil, err
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = DefaultConnectTimeout
	}
	config.MaxConns = maxConns
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = "pillarbox"
	}
	s := &Store{options: options, table: table, name: fmt.Sprintf("%s of %s/%s", options.Table,
		config.ConnConfig.Host, config.ConnConfig.Database)}
	s.beginWrite = fmt.Sprintf("BEGIN; SELECT pg_advisory_xact_lock_shared(%d)", s.purgeLock())
	config.AfterConnect = s.greet
	if s.pool, err = pgxpool.NewWithConfig(context.Background(), config); err != nil {
		return nil, pillarbox.Invalid("%w", err)
	}
	return s, nil
}

// greet sets a session up, and warns of a server that does not keep what it commits.
func (s *Store) greet(ctx context.Context, conn *pgx.Conn) error {
	var fsync, pages, commit string
	err := conn.QueryRow(ctx, "SELECT current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit')").
		Scan(&fsync, &pages, &commit)
	if err != nil {
		return err
	}
	if commit == "off" {
		if _, err := conn.Exec(ctx, "SET synchronous_commit = on"); err != nil {
			return err
		}
	}
	if fsync != "on" || pages != "on" {
		s.options.Logger.Warn("the server does not keep what it commits over a power cut: fsync or full_page_writes is off",
			telemetry.KeyDatabase, s.name)
	}
	return nil
}

// Identity implements pillarbox.Sink.
func (s *Store) Identity() pillarbox.StoreIdentity {
	if identity := s.identity.Load(); identity != nil {
		return *identity
	}
	return pillarbox.StoreIdentity{}
}

// Check implements pillarbox.Sink: it makes the tables where they are missing.
func (s *Store) Check(ctx context.Context) error {
	return s.with(ctx, "check", func(*pgxpool.Conn) error { return nil })
}

// Close implements pillarbox.Sink: it waits for running calls.
func (s *Store) Close() error {
	s.closed.Store(true)
	s.closeOnce.Do(s.pool.Close)
	return nil
}

// with calls work with a connection to tables that are there.
func (s *Store) with(ctx context.Context, doing string, work func(conn *pgxpool.Conn) error) error {
	if s.closed.Load() {
		return fmt.Errorf("%s %s: %w", doing, s.name, pillarbox.ErrClosed)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s %s: %w", doing, s.name, err)
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return s.failed(ctx, doing, err)
	}
	defer conn.Release()
	if err = s.prepare(ctx, conn.Conn()); err == nil {
		err = work(conn)
	}
	if err != nil {
		return s.failed(ctx, doing, err)
	}
	return nil
}

// inTransaction is with, in one transaction.
func (s *Store) inTransaction(ctx context.Context, doing string, options pgx.TxOptions,
	work func(tx pgx.Tx) error) error {
	return s.with(ctx, doing, func(conn *pgxpool.Conn) error {
		tx, err := conn.BeginTx(ctx, options)
		if err != nil {
			return err
		}
		if err := work(tx); err != nil {
			// The first error is the one that matters; a connection that can't roll back is closed.
			_ = tx.Rollback(context.WithoutCancel(ctx))
			return err
		}
		return tx.Commit(ctx)
	})
}

// failed says to whom an error belongs.
func (s *Store) failed(ctx context.Context, doing string, err error) error {
	var refused *pillarbox.BatchError
	switch {
	case errors.As(err, &refused):
		return err
	case errors.Is(err, pillarbox.ErrClosed), errors.Is(err, pillarbox.ErrNotFound), errors.Is(err, pillarbox.ErrCorrupt):
		return fmt.Errorf("%s %s: %w", doing, s.name, err)
	case s.closed.Load():
		return fmt.Errorf("%s %s: %w: %w", doing, s.name, pillarbox.ErrClosed, err)
	case ctx.Err() != nil:
		return fmt.Errorf("%s %s: %w", doing, s.name, ctx.Err())
	}
	if isMissing(err) {
		s.prepared.Store(false) // somebody has changed the tables: they are looked at again
	}
	return sorted(fmt.Sprintf("%s %s", doing, s.name), err)
}
