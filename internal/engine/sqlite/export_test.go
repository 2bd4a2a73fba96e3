package sqlite

import (
	"fmt"
	"testing"
)

// LimitPages makes the database full at that many pages.
func LimitPages(t *testing.T, store *Store, pages int) {
	t.Helper()
	if err := store.lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer store.unlock()
	if err := store.writer.conn.Exec(fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
		t.Fatal(err)
	}
}

// WithVFS makes the store use the driver's VFS of that name.
func WithVFS(options Options, name string) Options {
	options.vfs = name
	return options
}
