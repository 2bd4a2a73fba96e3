package pillarbox_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"pillarbox"
)

func TestInvalidSaysTheCauseAlone(t *testing.T) {
	cause := errors.New("no number")
	err := fmt.Errorf("line 3: %w", pillarbox.Invalid("%q: %w", "x", cause))
	if !errors.Is(err, pillarbox.ErrInvalid) || !errors.Is(err, cause) ||
		errors.Is(err, pillarbox.ErrFull) {
		t.Errorf("%v is not of its kinds", err)
	}
	if got := err.Error(); got != `line 3: "x": no number` {
		t.Errorf("got %s", got)
	}
}

// An error says what is wrong, and does not end with the word for its kind.
func TestNoErrorEndsInItsKind(t *testing.T) {
	suffixed := regexp.MustCompile(`: %w",[^:;{}]*?\bErrInvalid\b,?\s*\)`)
	files := 0
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		files++
		text, err := os.ReadFile(name)
		if found := suffixed.Find(text); found != nil {
			t.Errorf("%s: %s: use pillarbox.Invalid", name, found)
		}
		return err
	})
	if err != nil || files < 300 {
		t.Errorf("looked at %d files, %v", files, err)
	}
}
