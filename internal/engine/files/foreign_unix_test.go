//go:build unix

package files_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/files"
	"pillarbox/internal/vfs"
)

// some returns letters of different events that died in one day.
func some(n, from int) (letters []*pillarbox.DeadLetter) {
	for i := range n {
		letter := enginetest.FullLetter()
		letter.Event.RequestID = fmt.Sprintf("018f0000-0000-7000-8000-%012d", from+i)
		letters = append(letters, letter)
	}
	return letters
}

// plants are what somebody may put into the place of a file, and what is said of it.
var plants = map[string]func(t *testing.T, name string){
	"a named pipe":    func(t *testing.T, name string) { must(t, unix.Mkfifo(name, 0o600)) },
	"a symbolic link": func(t *testing.T, name string) { must(t, os.Symlink("/etc/hostname", name)) },
	"a directory": func(t *testing.T, name string) {
		must(t, os.MkdirAll(filepath.Join(name, "inside"), 0o700))
	},
	"3221225472 bytes": func(t *testing.T, name string) {
		must(t, os.WriteFile(name, nil, 0o600))
		must(t, os.Truncate(name, 3<<30))
	},
	"a socket": func(t *testing.T, name string) {
		t.Chdir(filepath.Dir(name)) // the path of a socket is short
		listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: "s"})
		must(t, err)
		listener.SetUnlinkOnClose(false)
		must(t, errors.Join(listener.Close(), os.Rename("s", name)))
	},
}

// unreadable lists what can be read, and what is said of the rest.
func unreadable(t *testing.T, letters *files.Letters) (ids []string, damage []error) {
	t.Helper()
	for letter, err := range letters.List(t.Context(), pillarbox.DeadLetterFilter{Resolved: true}) {
		switch {
		case errors.Is(err, pillarbox.ErrCorrupt):
			damage = append(damage, err)
		case err != nil:
			t.Fatalf("the list ends: %v", err)
		default:
			ids = append(ids, letter.Event.RequestID)
		}
	}
	return ids, damage
}

// TestWhatIsPutInThePlaceOfALetterIsDamaged: it is named, and the other letters are listed, found,
// counted and resolved, while the letters are open and after they were opened again, with and
// without the index.
func TestWhatIsPutInThePlaceOfALetterIsDamaged(t *testing.T) {
	for what, plant := range plants {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			all := some(3, 0)
			disk := openDisk(t, dir)
			letters := openTest(t, disk)
			must(t, letters.PutMany(t.Context(), all))
			must(t, letters.Flush(t.Context()))
			victim := glob(t, dir, "dead/20*/*"+all[1].Event.RequestID+"*")[0]
			must(t, os.Remove(victim))
			plant(t, victim)
			day := filepath.Dir(victim)
			stray := filepath.Join(day, "20200101T000000.000000Z.events.00000000-0000-7000-8000-000000000000.json")
			plant(t, stray)
			plant(t, filepath.Join(day, strings.ReplaceAll(filepath.Base(stray), "0000Z", "0001Z")+".tmp"))

			check := func(letters *files.Letters, strays int) {
				t.Helper()
				ids, damage := unreadable(t, letters)
				if len(ids) != 2 || slices.Contains(ids, all[1].Event.RequestID) {
					t.Errorf("listed %q", ids)
				}
				for _, name := range []string{victim, stray}[:1+strays] {
					if !slices.ContainsFunc(damage, func(err error) bool {
						return strings.Contains(err.Error(), filepath.Base(name)) &&
							strings.Contains(err.Error(), what)
					}) {
						t.Errorf("%s is not named with %q: %v", name, what, damage)
					}
				}
				_, err := letters.Get(t.Context(), "", all[1].Event.RequestID)
				if !errors.Is(err, pillarbox.ErrCorrupt) {
					t.Errorf("the letter in whose place it is: %v", err)
				}
				if _, err := letters.Get(t.Context(), "", all[2].Event.RequestID); err != nil {
					t.Error(err)
				}
			}
			check(letters, 1)
			must(t, letters.Maintain())
			check(letters, 1)
			must(t, letters.Close())
			check(openAgain(t, disk, func() {}), 1)
			check(openAgain(t, disk, func() {
				must(t, os.Remove(filepath.Join(dir, "dead/index/complete")))
			}), 1)
			if _, err := os.Lstat(victim); err != nil {
				t.Errorf("it was not left as it is: %v", err)
			}
		})
	}
}

func openAgain(t *testing.T, disk *vfs.Disk, before func()) *files.Letters {
	t.Helper()
	before()
	letters, err := files.Open(disk, "dead", files.Options{})
	must(t, err)
	t.Cleanup(func() { _ = letters.Close() })
	return letters
}

// TestSparseFileTakesNoMemory lists a directory with a file of 3 GiB in it.
func TestSparseFileTakesNoMemory(t *testing.T) {
	dir := t.TempDir()
	letters := openTest(t, openDisk(t, dir))
	must(t, letters.PutMany(t.Context(), some(1, 0)))
	must(t, letters.Flush(t.Context()))
	name := glob(t, dir, "dead/20*/*.json")[0]
	must(t, os.Truncate(name, 3<<30))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	ids, damage := unreadable(t, letters)
	runtime.ReadMemStats(&after)
	if len(ids) != 0 || len(damage) != 1 {
		t.Errorf("listed %q, %v", ids, damage)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 64<<20 {
		t.Errorf("it took %d bytes of memory", took)
	}
}

// TestWhatIsPutInThePlaceOfADayIsNamed: the letters of other days go on.
func TestWhatIsPutInThePlaceOfADayIsNamed(t *testing.T) {
	for what, plant := range plants {
		if what == "a directory" {
			continue
		}
		t.Run(what, func(t *testing.T) {
			if what == "3221225472 bytes" {
				what = "a file and not a directory"
			}
			dir := t.TempDir()
			all := some(2, 0)
			all[1].DeadAt = all[0].DeadAt + 24*3600*1e6
			disk := openDisk(t, dir)
			letters := openTest(t, disk)
			must(t, letters.PutMany(t.Context(), all))
			must(t, letters.Flush(t.Context()))
			day := filepath.Join(dir, "dead", all[0].DeadAt.String()[:10])
			must(t, os.RemoveAll(day))
			plant(t, day)
			check := func(letters *files.Letters) {
				t.Helper()
				ids, damage := unreadable(t, letters)
				if !slices.Equal(ids, []string{all[1].Event.RequestID}) || len(damage) != 1 ||
					!strings.Contains(damage[0].Error(), what) {
					t.Errorf("listed %q, %v", ids, damage)
				}
				named := 0
				for _, err := range letters.Summaries(t.Context(), pillarbox.DeadLetterFilter{}) {
					if errors.Is(err, pillarbox.ErrCorrupt) {
						named++
					} else if err != nil {
						t.Errorf("the summaries end: %v", err)
					}
				}
				if named != 1 {
					t.Errorf("%d days are named", named)
				}
				must(t, letters.Maintain())
				if _, err := letters.Get(t.Context(), "", all[0].Event.RequestID); !errors.Is(err,
					pillarbox.ErrCorrupt) {
					t.Errorf("a letter of that day: %v", err)
				}
			}
			check(letters)
			must(t, letters.Close())
			check(openAgain(t, disk, func() {}))
		})
	}
}

// TestWhatIsPutInThePlaceOfTheIndexIsMadeAnew: everything beside the letters can be made again, or
// is not needed, except a journal.
func TestWhatIsPutInThePlaceOfTheIndexIsMadeAnew(t *testing.T) {
	for what, plant := range plants {
		for _, name := range []string{"index/complete", "index/filed", "index/table", "index/DAY.rows",
			"index/2019-01-01.rows", "journal/0000000001.journal", "journal/0000000099.journal"} {
			t.Run(what+" as "+name, func(t *testing.T) {
				dir := t.TempDir()
				all := some(3, 0)
				disk := openDisk(t, dir)
				letters := openTest(t, disk)
				must(t, letters.PutMany(t.Context(), all))
				must(t, letters.Close())
				at := filepath.Join(dir, "dead", strings.ReplaceAll(name, "DAY",
					all[0].DeadAt.String()[:10]))
				must(t, os.RemoveAll(at))
				if what == "a directory" {
					must(t, os.Mkdir(at, 0o700))
				} else {
					plant(t, at)
				}
				again := openAgain(t, disk, func() {})
				if got := list(t, again); len(got) != 3 {
					t.Errorf("%d letters are listed", len(got))
				}
				must(t, again.PutMany(t.Context(), some(4, 100)))
				must(t, again.Flush(t.Context()))
				must(t, again.Close())
			})
		}
	}
}
