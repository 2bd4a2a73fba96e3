package vfs

import "testing"

// SetLookedAt has a function called between the look at a name and its opening, until the test
// ends.
func SetLookedAt(t *testing.T, visit func(name string)) {
	lookedAt = visit
	t.Cleanup(func() { lookedAt = nil })
}
