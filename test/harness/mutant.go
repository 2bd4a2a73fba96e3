package harness

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// BuildMutant builds the binary with one planted bug and returns its path: old, which must occur once in a file
// of the module, becomes new for this build only. A harness that does not find the bug is no proof of anything.
func BuildMutant(t *testing.T, file, old, new string) string {
	t.Helper()
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		t.Fatal("find the module: ", err)
	}
	file = filepath.Join(strings.TrimSpace(string(root)), file)
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), old); n != 1 {
		t.Fatalf("%q occurs %d times in %s: the mutant must follow the code", old, n, file)
	}
	dir := t.TempDir()
	changed := filepath.Join(dir, "changed.go")
	writeFile(t, changed, []byte(strings.Replace(string(source), old, new, 1)))
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {file: changed}})
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "overlay.json"), overlay)
	mutant := filepath.Join(dir, "mutant")
	build := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", mutant, "pillarbox/cmd/pillarbox")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the mutant: %v\n%s", err, out)
	}
	return mutant
}

func writeFile(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
