package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/ncruces/go-sqlite3"

	"pillarbox"
)

var (
	// errReplaced says that the path no longer leads to the file that is open.
	errReplaced = errors.New("the file was removed or replaced")
	// errWALReplaced is the same for the WAL alone.
	errWALReplaced = fmt.Errorf("its WAL: %w", errReplaced)
	// errNoMemory says that the memory of a connection is used up.
	errNoMemory = errors.New("out of memory")
	// errUnusable marks what a person has to change in the database.
	errUnusable = errors.New("not usable for events")
)

// failed says to whom an error belongs: to the caller's context, to a refused batch, or to the
// database.
func (s *Store) failed(ctx context.Context, doing string, err error) error {
	switch {
	case errors.Is(err, pillarbox.ErrClosed), errors.Is(err, pillarbox.ErrNotFound), errors.Is(err,
		pillarbox.ErrCorrupt):
		return fmt.Errorf("%s database %s: %w", doing, s.path, err)
	case ctx.Err() != nil:
		return fmt.Errorf("%s database %s: %w", doing, s.path, ctx.Err())
	case isRefusal(err):
		return pillarbox.Permanent(fmt.Errorf("%s database %s: %w", doing, s.path, err))
	case isFull(err):
		return fmt.Errorf("%s database %s: %w: %w: free space on its disk: %w",
			doing, s.path, pillarbox.ErrUnavailable, pillarbox.ErrNoSpace, err)
	}
	return fmt.Errorf("%s database %s: %w: %s: %w", doing, s.path, pillarbox.ErrUnavailable,
		advice(err), err)
}

// isRefusal reports whether SQLite refused a row for what is in it, which it will do again.
func isRefusal(err error) bool {
	return errors.Is(err, sqlite3.CONSTRAINT) || errors.Is(err, sqlite3.TOOBIG) ||
		errors.Is(err, sqlite3.MISMATCH)
}

func isFull(err error) bool {
	return errors.Is(err, sqlite3.FULL) || errors.Is(err, syscall.ENOSPC) ||
		errors.Is(err, syscall.EDQUOT)
}

func isIOError(err error) bool { return errors.Is(err, sqlite3.IOERR) }

// isDoubtful reports whether the connection should not be used after the error.
func isDoubtful(err error) bool {
	for _, code := range []sqlite3.ErrorCode{
		sqlite3.BUSY, sqlite3.LOCKED, sqlite3.FULL, sqlite3.INTERRUPT, sqlite3.CONSTRAINT, sqlite3.TOOBIG, sqlite3.MISMATCH,
	} {
		if errors.Is(err, code) {
			return false
		}
	}
	return true
}

// advice says what a person can do about the error.
func advice(err error) string {
	switch {
	case errors.Is(err, sqlite3.BUSY), errors.Is(err, sqlite3.LOCKED), errors.Is(err,
		sqlite3.PROTOCOL):
		return "another program holds a lock on it, end its transaction"
	case errors.Is(err, sqlite3.READONLY), errors.Is(err, sqlite3.PERM), errors.Is(err,
		syscall.EACCES), errors.Is(err, syscall.EROFS):
		return "make the file and its directory writable"
	case errors.Is(err, sqlite3.CANTOPEN), errors.Is(err, syscall.ENOENT), errors.Is(err,
		syscall.ENOTDIR):
		return "check that its directory is there and that it is a plain file"
	case errors.Is(err, sqlite3.CORRUPT), errors.Is(err, sqlite3.NOTADB):
		return "it is damaged or no database, restore it from a backup or move it away to start a new one"
	case errors.Is(err, sqlite3.IOERR):
		return "check the disk"
	case errors.Is(err, errNoMemory), errors.Is(err, sqlite3.NOMEM):
		return "write smaller batches"
	case errors.Is(err, errReplaced):
		return "keep other programs from moving it"
	case errors.Is(err, sqlite3.ERROR), errors.Is(err, sqlite3.SCHEMA), errors.Is(err, errUnusable):
		return "check the table events and its triggers"
	}
	return "check the database"
}

// protect turns the driver's panic at the end of a connection's memory into an error. The
// connection is then not to be used any more.
func protect(call func() error) (err error) {
	defer func() {
		recovered := recover()
		if recovered == nil {
			return
		}
		cause, ok := recovered.(error)
		if !ok || !strings.HasSuffix(cause.Error(), errNoMemory.Error()) {
			panic(recovered)
		}
		err = fmt.Errorf("%w: %w", errNoMemory, cause)
	}()
	return call()
}
