package harness

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// MustApply fails unless every edit of the bug is possible: they are edits of the source, and must
// move with it. root is that of the module.
func (m Mutant) MustApply(t *testing.T, root string) {
	t.Helper()
	for _, edit := range m.Edits {
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(edit.File)))
		if err != nil {
			t.Errorf("%s: %v", m.Name, err)
		} else if n := strings.Count(string(text), edit.Old); n != 1 {
			t.Errorf("%s: %q occurs %d times in %s, want once", m.Name, edit.Old, n, edit.File)
		}
	}
}
