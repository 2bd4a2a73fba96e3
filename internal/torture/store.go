package torture

import (
	"context"
	"io"
	"path/filepath"

	"pillarbox"
	"pillarbox/internal/engine/sqlite"
)

// Store is a destination outside of the data directory, in place of the database in it.
type Store struct {
	// Config is the file of a configuration with the store as the only destination, which takes what
	// comes to /app.
	Config string
	// Refuse has it refuse, for good, what has a text in its body. A server has run before.
	Refuse func(ctx context.Context, text string) error
	// Crash ends the store as a crash does, and starts it again. Kill calls it under load.
	Crash func(ctx context.Context) error
	// Open opens it to be read.
	Open func(ctx context.Context) (StoreReader, error)
}

// StoreReader is what a store is read by.
type StoreReader interface {
	List(ctx context.Context, filter pillarbox.EventFilter) ([]*pillarbox.Event, error)
	io.Closer
}

// poison is what a body holds that a store is to refuse.
const poison = `"kind":"` + refusalWord + `"`

// args are those of a server or of an audit that has the store.
func (s *Store) args(others ...string) []string {
	if s == nil {
		return others
	}
	return append([]string{"--config", s.Config}, others...)
}

// refuse has the store of a data directory refuse what asks for it.
func (s *Store) refuse(ctx context.Context, data string) error {
	if s == nil {
		return refuseSome(data)
	}
	return s.Refuse(ctx, poison)
}

// open opens the store of a data directory.
func (s *Store) open(ctx context.Context, data string) (StoreReader, error) {
	if s == nil {
		return sqlite.Open(ctx, filepath.Join(data, databaseFile), sqlite.Options{})
	}
	return s.Open(ctx)
}
