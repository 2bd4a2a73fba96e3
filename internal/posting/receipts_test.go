package posting_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/posting"
)

// TestReceiptsAreAdded: a second run keeps those of the first, and a line that was cut off spoils no
// other.
func TestReceiptsAreAdded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "receipts.ndjson")
	keep := func(id string) {
		t.Helper()
		receipts, err := posting.OpenReceipts(file)
		if err != nil {
			t.Fatal(err)
		}
		receipts.Add([]pillarbox.Receipt{{RequestID: id}})
		if err := receipts.Close(); err != nil {
			t.Fatal(err)
		}
	}
	keep("first")
	keep("second")
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, content[:len(content)-5], 0o600); err != nil {
		t.Fatal(err)
	}
	keep("third")
	content, err = os.ReadFile(file)
	lines := strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
	if err != nil || len(lines) != 3 || !strings.Contains(lines[0], "first") ||
		!strings.Contains(lines[2], `"third"`) || !strings.HasPrefix(lines[2], "{") {
		t.Errorf("%q, %v", lines, err)
	}
}
