package terraform_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

var shared = regexp.MustCompile(`(?s)\n  # From here: .*\n  # To here\.\n`)

// TestWiringIsAssertedAlike with few and with many options: "terraform test" has no way to write an
// assertion once.
func TestWiringIsAssertedAlike(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(module, "tests", "wiring_*.tftest.hcl"))
	if err != nil || len(files) < 3 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	first := ""
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		part := shared.FindString(string(text))
		if first == "" {
			first = part
		}
		if len(part) < 10_000 || part != first {
			t.Errorf("%s: the assertions that all have in common, %d bytes, are others than in %s", file,
				len(part), files[0])
		}
	}
}
