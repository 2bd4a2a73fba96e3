package harness

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Mutant is the product with one planted bug. A harness that does not find the bugs that it exists
// for is no proof of anything.
type Mutant struct {
	Name  string
	Edits []Edit
}

// Edit changes one place of the source: Old must occur exactly once in the file, which is named
// from the root of the module.
type Edit struct{ File, Old, New string }

// mutantBound is how long a harness may look for a bug in a compiled test.
const mutantBound = 30 * time.Minute

// Binary builds the binary with the bug and returns its path.
func (m Mutant) Binary(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "pillarbox")
	m.goCommand(t, ".", "build", "-overlay", m.overlay(t, dir), "-o", binary, "pillarbox/cmd/pillarbox")
	return binary
}

// MustFail compiles the tests of a package with the bug and runs those that match. The run must
// fail, and say the verdict, or one of several with a | between them: a build that does not compile
// or a panic elsewhere does not count as found. A harness that draws what it does from a seed gets
// several tries, each with another one.
func (m Mutant) MustFail(t *testing.T, tries int, pkg, run, verdict string, env ...string) {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "mutant.test")
	// In the directory of the package, which may be one of a module of its own.
	m.goCommand(t, filepath.Join(moduleRoot(t), pkg), "test", "-c", "-overlay", m.overlay(t, dir), "-o", binary, ".")
	out, failed := runMutant(t, binary, pkg, run, env)
	for try := 1; !failed && try < tries; try++ {
		out, failed = runMutant(t, binary, pkg, run, env)
	}
	if !failed {
		t.Errorf("the planted bug %q survives %s in %s, %d times:\n%s", m.Name, run, pkg, tries, tail(out))
		return
	}
	for one := range strings.SplitSeq(verdict, "|") {
		if line := lineWith(string(out), one); line != "" {
			t.Logf("%s: %s", m.Name, line)
			return
		}
	}
	t.Errorf("%s in %s fails on the planted bug %q, and not with %q:\n%s", run, pkg, m.Name, verdict,
		tail(out))
}

// runMutant runs the compiled tests once, and reports whether they have failed.
func runMutant(t *testing.T, binary, pkg, run string, env []string) (out []byte, failed bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), mutantBound)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "-test.run", run, "-test.timeout", mutantBound.String())
	cmd.Dir = filepath.Join(moduleRoot(t), pkg)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return out, err != nil
}

// MustApply sees that the bug has its place in the source. It compiles nothing.
func (m Mutant) MustApply(t *testing.T) {
	t.Helper()
	m.overlay(t, t.TempDir())
}

// MustBuild compiles the packages that the bug changes: its edits are edits of the source, and must
// move with it.
func (m Mutant) MustBuild(t *testing.T) {
	t.Helper()
	args := []string{"build", "-overlay", m.overlay(t, t.TempDir())}
	packages := map[string]bool{}
	for _, edit := range m.Edits {
		packages["pillarbox/"+path.Dir(edit.File)] = true
	}
	m.goCommand(t, ".", append(args, slices.Sorted(maps.Keys(packages))...)...)
}

func tail(out []byte) string { return string(out[max(0, len(out)-4000):]) }

func lineWith(text, part string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

func (m Mutant) goCommand(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build with the planted bug %q: %v\n%s", m.Name, err, out)
	}
}

// overlay writes the changed sources and the file that tells the compiler to take them instead.
func (m Mutant) overlay(t *testing.T, dir string) string {
	t.Helper()
	root := moduleRoot(t)
	changed := map[string]string{}
	for _, edit := range m.Edits {
		changed[edit.File] = m.edit(t, changed, root, edit)
	}
	replace := map[string]string{}
	for file, source := range changed {
		name := filepath.Join(dir, strings.ReplaceAll(file, "/", "-"))
		writeFile(t, name, []byte(source))
		replace[filepath.Join(root, file)] = name
	}
	text, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "overlay.json")
	writeFile(t, name, text)
	return name
}

func (m Mutant) edit(t *testing.T, changed map[string]string, root string, edit Edit) string {
	t.Helper()
	source, ok := changed[edit.File]
	if !ok {
		text, err := os.ReadFile(filepath.Join(root, edit.File))
		if err != nil {
			t.Fatal(err)
		}
		source = string(text)
	}
	if n := strings.Count(source, edit.Old); n != 1 {
		t.Fatalf("%s: %q occurs %d times in %s: the planted bug must follow the code", m.Name, edit.Old,
			n, edit.File)
	}
	return strings.Replace(source, edit.Old, edit.New, 1)
}

func moduleRoot(t *testing.T) string {
	t.Helper()
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		t.Fatal("find the module: ", err)
	}
	return strings.TrimSpace(string(root))
}

func writeFile(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
