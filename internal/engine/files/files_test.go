package files_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/files"
	"pillarbox/internal/vfs"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestLettersKeepTheirContract(t *testing.T) {
	enginetest.DeadLetters(t, func(t *testing.T) pillarbox.DeadLetters {
		return openTest(t, openDisk(t, t.TempDir()))
	})
}

// TestLettersKeepTheirContractDecorated: a decorator takes nothing from what they can do.
func TestLettersKeepTheirContractDecorated(t *testing.T) {
	enginetest.DeadLetters(t, func(t *testing.T) pillarbox.DeadLetters {
		return enginetest.TraceDeadLetters(openTest(t, openDisk(t, t.TempDir())), &enginetest.Spans{})
	})
}

func TestLettersOutliveTheProcess(t *testing.T) {
	enginetest.DeadLettersDurable(t, func(t *testing.T) enginetest.LettersPlace {
		dir := t.TempDir()
		disk := openDisk(t, dir)
		var letters *files.Letters
		return enginetest.LettersPlace{
			Open: func() pillarbox.DeadLetters {
				letters = openTest(t, disk)
				return letters
			},
			Damage: func(destination string, key pillarbox.Key) {
				must(t, letters.Flush(t.Context()))
				names := glob(t, dir, "dead/20*/*."+destination+"."+key.RequestID+"*")
				must(t, os.Truncate(names[0], 100))
			},
		}
	})
}

func openDisk(t *testing.T, dir string) *vfs.Disk {
	t.Helper()
	disk, err := vfs.OpenDisk(dir)
	must(t, err)
	t.Cleanup(func() { must(t, disk.Close()) })
	return disk
}

func openTest(t *testing.T, fsys vfs.FS) *files.Letters {
	t.Helper()
	letters, err := files.Open(fsys, "dead", files.Options{})
	must(t, err)
	t.Cleanup(func() { must(t, letters.Close()) })
	return letters
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func glob(t *testing.T, dir, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	must(t, err)
	return names
}

func list(t *testing.T, letters *files.Letters) []*pillarbox.DeadLetter {
	t.Helper()
	var found []*pillarbox.DeadLetter
	for letter, err := range letters.List(t.Context(), pillarbox.DeadLetterFilter{Resolved: true}) {
		must(t, err)
		found = append(found, letter)
	}
	return found
}

// Other programs and people rely on names and content: they only change on purpose.
func TestFilesAreAFormat(t *testing.T) {
	dir := t.TempDir()
	letters := openTest(t, openDisk(t, dir))
	binary := enginetest.FullLetter()
	binary.Event.RequestID, binary.Event.Body, binary.Attempts = "../../etc/passwd",
		[]byte{0xff, 0}, nil
	for _, letter := range []*pillarbox.DeadLetter{enginetest.FullLetter(), binary} {
		must(t, pillarbox.PutDeadLetter(t.Context(), letters, letter))
	}
	resolution := pillarbox.Resolution{At: 1795443200_000000, How: pillarbox.ResolvedReplayed}
	must(t, pillarbox.ResolveDeadLetter(t.Context(), letters,
		pillarbox.DeadLetterKey{Destination: "events", Key: binary.Event.Key()}, resolution))

	must(t, letters.Flush(t.Context()))
	var got bytes.Buffer
	for _, name := range glob(t, dir, "dead/20*/*") {
		content, err := os.ReadFile(name)
		must(t, err)
		relative, err := filepath.Rel(dir, name)
		must(t, err)
		fmt.Fprintf(&got, "%s\n%s", relative, content)
	}
	golden := filepath.Join("testdata", "letters.golden")
	if *update {
		must(t, os.WriteFile(golden, got.Bytes(), 0o600))
	}
	want, err := os.ReadFile(golden)
	must(t, err)
	if got.String() != string(want) {
		t.Errorf("the files are\n%s\nwant\n%s", &got, want)
	}
}

// No name is made of what a client or a caller says, unless it can do no harm.
func TestNamesHoldNoForeignText(t *testing.T) {
	dir := t.TempDir()
	letters := openTest(t, openDisk(t, dir))
	ids := []string{
		"../x", "/etc/passwd", "a\x00b", ".", "CON", strings.Repeat("x", 5000),
		"019AB123-4567-7ABC-8DEF-0123456789AB",
		"019ab123-4567-7abc-8def-0123456789ab ", "019ab12304567-7abc-8def-0123456789ab",
		"x" + strings.Repeat("0", 32),
	}
	for _, requestID := range ids {
		letter := enginetest.FullLetter()
		letter.Event.RequestID = requestID
		must(t, pillarbox.PutDeadLetter(t.Context(), letters, letter))
		found, err := letters.Get(t.Context(), "events", requestID)
		must(t, err)
		if found.Event.RequestID != requestID {
			t.Errorf("got the letter of %q, want that of %q", found.Event.RequestID, requestID)
		}
	}
	must(t, letters.Flush(t.Context()))
	names := glob(t, dir, "dead/20*/*")
	if len(names) != len(ids) {
		t.Errorf("%d files, want %d", len(names), len(ids))
	}
	hashed := regexp.MustCompile(`/2026-11-23/20261123T141200\.123456Z\.events\.x[0-9a-f]{32}\.json$`)
	for _, name := range names {
		if !hashed.MatchString(name) {
			t.Errorf("file %s", name)
		}
	}
	for _, destination := range []string{"", "..", "a/b", "a.b", "A", "-a", "_a", "a b", "ä",
		strings.Repeat("a", 64)} {
		letter := enginetest.FullLetter()
		letter.Destination = destination
		if err := pillarbox.PutDeadLetter(t.Context(), letters,
			letter); !errors.Is(err, pillarbox.ErrInvalid) {
			t.Errorf("destination %q: %v, want ErrInvalid", destination, err)
		}
	}
}

// What could not be read again is not kept.
func TestLettersThatAreNone(t *testing.T) {
	letters := openTest(t, openDisk(t, t.TempDir()))
	for name, spoil := range map[string]func(*pillarbox.DeadLetter){
		"no event":         func(l *pillarbox.DeadLetter) { l.Event = nil },
		"no id":            func(l *pillarbox.DeadLetter) { l.Event.RequestID = "" },
		"no timestamp":     func(l *pillarbox.DeadLetter) { l.Event.Timestamp = 0 },
		"id is no text":    func(l *pillarbox.DeadLetter) { l.Event.RequestID = "\xff" },
		"time of no year":  func(l *pillarbox.DeadLetter) { l.Event.Timestamp = 1 << 62 },
		"death in no year": func(l *pillarbox.DeadLetter) { l.DeadAt = -1 << 62 },
		"negative version": func(l *pillarbox.DeadLetter) { l.Version = -1 },
	} {
		letter := enginetest.FullLetter()
		spoil(letter)
		if err := pillarbox.PutDeadLetter(t.Context(), letters,
			letter); !errors.Is(err, pillarbox.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	must(t, pillarbox.PutDeadLetter(t.Context(), letters, enginetest.FullLetter()))
	err := pillarbox.ResolveDeadLetter(t.Context(), letters,
		pillarbox.DeadLetterKey{Destination: "events", Key: enginetest.FullLetter().Event.Key()},
		pillarbox.Resolution{How: "forgotten"})
	if !errors.Is(err, pillarbox.ErrInvalid) {
		t.Errorf("resolve in no known way: %v, want ErrInvalid", err)
	}
	if found := list(t, letters); len(found) != 1 {
		t.Errorf("%d letters, want 1", len(found))
	}
}

// Letters of one time are ordered by request id also where the names hide it.
func TestOrderOfHashedIDs(t *testing.T) {
	letters := openTest(t, openDisk(t, t.TempDir()))
	ids := []string{"a", "b", "c", "d", "e", "f", "019ab123-4567-7abc-8def-0123456789ab", "zz"}
	for _, requestID := range ids {
		letter := enginetest.FullLetter()
		letter.Event.RequestID = requestID
		must(t, pillarbox.PutDeadLetter(t.Context(), letters, letter))
	}
	var got []string
	for _, letter := range list(t, letters) {
		got = append(got, letter.Event.RequestID)
	}
	slices.Sort(ids)
	if !slices.Equal(got, ids) {
		t.Errorf("order %q, want %q", got, ids)
	}
}

// A person may add, copy and remove files, and keep other things in the directory.
func TestHandsInTheDirectory(t *testing.T) {
	dir := t.TempDir()
	disk := openDisk(t, dir)
	letters := openTest(t, disk)
	two := enginetest.Letters(2, 1)
	must(t, pillarbox.PutDeadLetter(t.Context(), letters, two[0]))
	must(t, pillarbox.PutDeadLetter(t.Context(), letters, two[1]))
	must(t, letters.Flush(t.Context()))
	must(t, os.WriteFile(filepath.Join(dir, "dead", "README"), []byte("mine"), 0o600))
	day := filepath.Dir(glob(t, dir, "dead/20*/*"+two[0].Event.RequestID+"*")[0])
	foreign := []string{"notes.json", "x.json.tmp", "20261123T141200.123456Z.events.json",
		"20261123T141200.123456Z.Events.x.json"}
	for _, name := range foreign {
		must(t, os.WriteFile(filepath.Join(day, name), []byte("mine"), 0o600))
	}

	// One is moved away and comes back.
	name := glob(t, dir, "dead/20*/*"+two[1].Event.RequestID+"*")[0]
	away := filepath.Join(t.TempDir(), "letter")
	must(t, os.Rename(name, away))
	if _, err := letters.Get(t.Context(), two[1].Destination,
		two[1].Event.RequestID); !errors.Is(err, pillarbox.ErrNotFound) {
		t.Errorf("get of a removed letter: %v, want ErrNotFound", err)
	}
	if found := list(t, letters); len(found) != 1 {
		t.Errorf("%d letters while one is away", len(found))
	}
	must(t, os.Rename(away, name))
	if found := list(t, letters); len(found) != 2 {
		t.Errorf("%d letters, want 2", len(found))
	}
	found, err := letters.Get(t.Context(), two[1].Destination, two[1].Event.RequestID)
	if diff := enginetest.DiffLetter(found, two[1]); err != nil || diff != "" {
		t.Errorf("get of the letter that came back: %v, %s", err, diff)
	}

	// A day that is removed can be used again.
	must(t, os.RemoveAll(filepath.Join(dir, "dead", two[0].DeadAt.String()[:10])))
	must(t, pillarbox.PutDeadLetter(t.Context(), letters, two[0]))
	must(t, letters.Close())
	if found := list(t, openTest(t, disk)); len(found) == 0 {
		t.Error("the letter is not there")
	}
}

// Each kind of damage is told apart from the others, and names the file.
func TestDamagedFiles(t *testing.T) {
	dir := t.TempDir()
	disk := openDisk(t, dir)
	letters := openTest(t, disk)
	letter := enginetest.FullLetter()
	must(t, pillarbox.PutDeadLetter(t.Context(), letters, letter))
	must(t, letters.Flush(t.Context()))
	name := glob(t, dir, "dead/20*/*")[0]
	content, err := os.ReadFile(name)
	must(t, err)
	for damage, want := range map[string]string{
		"":                    "unexpected end",
		string(content[:200]): "unexpected end",
		strings.Replace(string(content), `"events"`, `"others"`, 1):           "another letter",
		strings.Replace(string(content), "019ab123-4567", "019ab123-4568", 1): "another letter",
		strings.Replace(string(content), `"version": 1`, `"version": 0`, 1):   "version",
		strings.Replace(string(content), `"version": 1`, `"version": "1"`, 1): "cannot unmarshal",
		`{"version": 1}`: "no event",
		strings.TrimSuffix(string(content), "\n}\n") +
			`,"resolved":{"at":"2026-11-23T14:12:00.123456Z","how":"replayed"}}`: "disagree",
	} {
		must(t, os.WriteFile(name, []byte(damage), 0o600))
		_, err := letters.Get(t.Context(), "events", letter.Event.RequestID)
		var corrupt *pillarbox.CorruptError
		if !errors.As(err, &corrupt) || !strings.HasSuffix(name, corrupt.File) ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want a CorruptError with %q", err, want)
		}
		if err := pillarbox.ResolveDeadLetter(t.Context(), letters,
			pillarbox.DeadLetterKey{Destination: "events", Key: letter.Event.Key()},
			pillarbox.Resolution{At: 1, How: pillarbox.ResolvedDiscarded}); !errors.Is(err,
			pillarbox.ErrCorrupt) {
			t.Errorf("resolve: %v, want ErrCorrupt", err)
		}
		if left, err := os.ReadFile(name); err != nil || string(left) != damage {
			t.Errorf("the file was changed: %v", err)
		}
	}
	// Names that are added later are no damage.
	must(t, os.WriteFile(name, bytes.Replace(content, []byte(`"version": 1`),
		[]byte(`"version": 2, "new": {}`), 1), 0o600))
	if _, err := letters.Get(t.Context(), "events", letter.Event.RequestID); err != nil {
		t.Errorf("get of a newer version: %v", err)
	}
}
