// Package atresttest opens data keys for tests, wrapped by a key that is the same in all of them.
package atresttest

import (
	"context"
	"testing"

	"pillarbox/internal/atrest"
	"pillarbox/internal/vfs"
)

// Text is the key that wraps data keys, as a person configures it.
const Text = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

// Key returns the key that wraps data keys.
func Key(t testing.TB) atrest.KeyEncryption {
	t.Helper()
	key, err := atrest.NewSecretKey("the tests", Text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Open opens the data keys of a directory, so that what is written is sealed.
func Open(t testing.TB, fsys vfs.FS) *atrest.Keys {
	t.Helper()
	keys, err := atrest.Open(context.Background(), fsys, atrest.Options{Key: Key(t)})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}
