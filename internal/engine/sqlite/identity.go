package sqlite

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"

	"github.com/ncruces/go-sqlite3"

	"pillarbox"
	"pillarbox/internal/telemetry"
)

// The row that tells this database from every other one, and from an older copy of itself: its mark
// grows in the same transaction as the events that are stored.
const identitySchema = `
CREATE TABLE IF NOT EXISTS pillarbox_store (
	one INTEGER PRIMARY KEY CHECK (one = 1),
	id TEXT NOT NULL,
	mark INTEGER NOT NULL
);`

// identify makes the row where it is missing, and reads it.
func (w *writer) identify() (pillarbox.StoreIdentity, error) {
	if err := w.conn.Exec(identitySchema); err != nil {
		return pillarbox.StoreIdentity{}, fmt.Errorf("create the table of the identity: %w", err)
	}
	stmt, _, err := w.conn.Prepare("INSERT INTO pillarbox_store (one, id, mark) VALUES (1, ?, 0) ON CONFLICT DO NOTHING")
	if err != nil {
		return pillarbox.StoreIdentity{}, fmt.Errorf("make the identity: %w", err)
	}
	err = stmt.BindText(1, rand.Text())
	if err == nil {
		stmt.Step()
		err = stmt.Err()
	}
	if err = errors.Join(err, stmt.Close()); err != nil {
		return pillarbox.StoreIdentity{}, fmt.Errorf("make the identity: %w", err)
	}
	return w.readIdentity()
}

// markWrite lets the mark grow by the events that a transaction stores. It is part of that.
func (w *writer) markWrite(events int) error {
	identity, err := w.stepMark(events)
	if err != nil || identity.ID == "" { // somebody has dropped the table, or emptied it
		if _, err = w.identify(); err == nil {
			identity, err = w.stepMark(events)
		}
	}
	if err != nil {
		return fmt.Errorf("mark the write: %w", err)
	}
	w.identity = identity
	return nil
}

func (w *writer) stepMark(events int) (identity pillarbox.StoreIdentity, err error) {
	if err := w.mark.BindInt(1, events); err != nil {
		return identity, err
	}
	identity = identityOf(w.mark)
	return identity, w.mark.Reset()
}

// identityOf steps through the rows of a statement, of which there is one.
func identityOf(stmt *sqlite3.Stmt) (identity pillarbox.StoreIdentity) {
	for stmt.Step() {
		identity = pillarbox.StoreIdentity{ID: stmt.ColumnText(0),
			Mark: uint64(max(0, stmt.ColumnInt64(1)))}
	}
	return identity
}

func (w *writer) readIdentity() (identity pillarbox.StoreIdentity, err error) {
	stmt, _, err := w.conn.Prepare("SELECT id, mark FROM pillarbox_store")
	if err != nil {
		return identity, fmt.Errorf("read the identity: %w", err)
	}
	identity = identityOf(stmt)
	if err := errors.Join(stmt.Err(), stmt.Close()); err != nil {
		return identity, fmt.Errorf("read the identity: %w", err)
	}
	return identity, nil
}

// Identity implements pillarbox.Identified.
func (s *Store) Identity() pillarbox.StoreIdentity {
	identity := s.identity.Load()
	if identity == nil {
		return pillarbox.StoreIdentity{}
	}
	return *identity
}

// noteSize remembers how large the database is after a write, which may have copied the WAL into
// it.
func (s *Store) noteSize() {
	if info, err := os.Stat(s.path); err == nil {
		s.size = max(s.size, info.Size())
	}
}

// checkShrunk looks at a database that became smaller. It does so when somebody vacuums it, and
// when somebody overwrites or cuts the file in place: then it is not what its WAL belongs to any
// more, and that must not be copied into it. The caller has the turn.
func (s *Store) checkShrunk(ctx context.Context) error {
	info, err := os.Stat(s.path)
	if err != nil {
		return err
	}
	before := s.size
	s.size = info.Size()
	if s.size >= before {
		return nil
	}
	var rejection string
	var there pillarbox.StoreIdentity
	err = protect(func() error {
		conn, err := openConn(ctx, s.target(), sqlite3.OPEN_READONLY)
		if err != nil {
			return err
		}
		look := &writer{conn: conn}
		if rejection, err = look.text("PRAGMA quick_check(1)"); err == nil {
			there, err = look.readIdentity()
		}
		return errors.Join(err, closeConn(conn))
	})
	if mine := s.writer.identity; err == nil && rejection == "ok" && there.ID == mine.ID &&
		there.Mark >= mine.Mark {
		return nil
	}
	s.options.Logger.Error("the database was overwritten or cut while it was open; its WAL is set aside, and what is in the file now is used", telemetry.KeyDatabase, s.path,
		telemetry.KeyBytes, s.size, telemetry.KeyBefore, before, telemetry.KeyCheck, rejection, telemetry.KeyErr, err)
	return errReplaced
}
