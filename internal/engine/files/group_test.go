package files_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/files"
	"pillarbox/internal/vfs"
	"pillarbox/internal/vfs/faultfs"
)

// count counts the operations that the function chooses, from now on.
func count(disk *faultfs.FS, of func(op faultfs.Op) bool) *atomic.Int64 {
	n := new(atomic.Int64)
	disk.Inject(func(op faultfs.Op) error {
		if of(op) {
			n.Add(1)
		}
		return nil
	})
	return n
}

func isSync(op faultfs.Op) bool { return op.Kind == faultfs.Sync || op.Kind == faultfs.SyncDir }

// opensLetter reports whether a letter's file is opened, or the journal for one.
func opensLetter(op faultfs.Op) bool {
	return op.Kind == faultfs.OpenFile &&
		(strings.HasSuffix(op.Name, ".json") || strings.HasSuffix(op.Name, ".journal"))
}

func keysOf(letters []*pillarbox.DeadLetter) []pillarbox.DeadLetterKey {
	keys := make([]pillarbox.DeadLetterKey, len(letters))
	for i, letter := range letters {
		keys[i] = pillarbox.DeadLetterKey{Destination: letter.Destination, Key: letter.Event.Key()}
	}
	return keys
}

// TestGroupCostsOneSync: whatever the number of letters, putting and resolving them is one sync of
// a journal.
func TestGroupCostsOneSync(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	store := openUntended(t, disk, "at first")
	letters := enginetest.Letters(500, 1)
	must(t, store.PutMany(t.Context(), letters[:1])) // begins the journal
	syncs := count(disk, isSync)
	must(t, store.PutMany(t.Context(), letters))
	if n := syncs.Load(); n != 1 {
		t.Errorf("%d syncs for a group of %d letters, want 1", n, len(letters))
	}
	must(t, store.ResolveMany(t.Context(), keysOf(letters),
		pillarbox.Resolution{At: 1, How: pillarbox.ResolvedReplayed}))
	if n := syncs.Load(); n != 2 {
		t.Errorf("%d syncs for a group that is put and resolved, want 2", n)
	}
	left := openUntended(t, disk.Crash(nil, faultfs.Dropped), "after the power cut")
	if found := list(t, left); len(found) != len(letters) || found[0].Resolved == nil {
		t.Errorf("%d letters after the power cut, want %d that are resolved", len(found), len(letters))
	}
}

// TestNothingIsOpenedToBeCountedOrChosen: a start, counts, filters and summaries read the index
// alone.
func TestNothingIsOpenedToBeCountedOrChosen(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	store := openUntended(t, disk, "at first")
	letters := enginetest.Letters(300, 2)
	must(t, store.PutMany(t.Context(), letters))
	must(t, store.ResolveMany(t.Context(), keysOf(letters[:100]),
		pillarbox.Resolution{At: 1, How: pillarbox.ResolvedDiscarded}))
	must(t, store.Close())
	opened := count(disk, opensLetter)
	store = openUntended(t, disk, "again")
	total := uint64(0)
	for _, destination := range []string{"a", "b-2", "c_3"} {
		n, err := store.Count(t.Context(), destination)
		must(t, err)
		total += n.Open + n.Discarded
	}
	seen := 0
	for _, err := range store.Summaries(t.Context(), pillarbox.DeadLetterFilter{}) {
		must(t, err)
		seen++
	}
	for _, filter := range []pillarbox.DeadLetterFilter{{Source: "nowhere"}, {Error: "no such words"},
		{RequestIDs: []string{"nothing"}}, {Until: 1}} {
		for letter := range store.List(t.Context(), filter) {
			t.Errorf("filter %+v has found %v", filter, letter)
		}
	}
	if n := opened.Load(); n != 0 || total != 300 || seen != 200 {
		t.Errorf("%d letters were opened; counted %d and summed up %d, want 0, 300 and 200", n,
			total, seen)
	}
	for range store.List(t.Context(), pillarbox.DeadLetterFilter{}) {
		break
	}
	if n := opened.Load(); n == 0 || n > 10 {
		t.Errorf("%d letters were opened to see the first one", n)
	}
}

// TestRemovedLetterIsMissing: a letter whose file was there and is removed by hand is counted and
// named, and is never made again: not by a start, and not by one after a crash, which still finds
// it in the journal.
func TestRemovedLetterIsMissing(t *testing.T) {
	letter := enginetest.FullLetter()
	name := "dead/2026-11-23/20261123T141200.123456Z.events.019ab123-4567-7abc-8def-0123456789ab.json"
	for how, end := range map[string]func(*files.Letters, *faultfs.FS) *faultfs.FS{
		"stopped": func(store *files.Letters,
			disk *faultfs.FS) *faultfs.FS {
			must(t, store.Close())
			return disk
		},
		"killed": func(_ *files.Letters, disk *faultfs.FS) *faultfs.FS { return disk.Kill() },
		"power cut": func(_ *files.Letters,
			disk *faultfs.FS) *faultfs.FS {
			return disk.Crash(nil, faultfs.Dropped)
		},
	} {
		t.Run(how, func(t *testing.T) {
			disk := faultfs.New(faultfs.Options{})
			store := openUntended(t, disk, "at first")
			must(t, pillarbox.PutDeadLetter(t.Context(), store, letter))
			must(t, store.Maintain())
			must(t, disk.Remove(name))
			must(t, disk.SyncDir("dead/2026-11-23"))
			disk = end(store, disk)
			for _, when := range []string{"next", "next but one"} {
				store = openUntended(t, disk, when)
				if found := list(t, store); len(found) != 0 {
					t.Errorf("%s: the letter is there", when)
				}
				n, err := store.Count(t.Context(), "events")
				if want := (pillarbox.DeadLetterCount{Missing: 1}); err != nil || n != want {
					t.Errorf("%s: count %+v, %v; want %+v", when, n, err, want)
				}
				named := 0
				for missing, err := range store.Summaries(t.Context(),
					pillarbox.DeadLetterFilter{Missing: true}) {
					must(t, err)
					if missing.State != pillarbox.DeadLetterMissing || missing.Key != letter.Event.Key() {
						t.Errorf("%s: summary %+v", when, missing)
					}
					named++
				}
				must(t, store.Close())
				if _, err := vfs.ReadFile(disk, name, 1<<30); err == nil || named != 1 {
					t.Errorf("%s: the file was made again (%v), or named %d times", when, err, named)
				}
			}
			store = openUntended(t, disk, "at last")
			// somebody who has the event may dead-letter it again
			must(t, pillarbox.PutDeadLetter(t.Context(), store, letter))
			if n, err := store.Count(t.Context(), "events"); err != nil ||
				n != (pillarbox.DeadLetterCount{Open: 1}) {
				t.Errorf("put again: %+v, %v", n, err)
			}
		})
	}
}

// TestIndexCanBeMadeAgain: who removes the index, or finds it rotten, loses nothing.
func TestIndexCanBeMadeAgain(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, index string){
		"removed": func(t *testing.T, index string) { must(t, os.RemoveAll(index)) },
		"rows removed": func(t *testing.T, index string) {
			for _, name := range glob(t, index, "*.rows") {
				must(t, os.Remove(name))
			}
		},
		"a bit flipped": func(t *testing.T, index string) {
			for _, name := range glob(t, index, "*.rows") {
				content, err := os.ReadFile(name)
				must(t, err)
				content[len(content)/2] ^= 4
				must(t, os.WriteFile(name, content, 0o600))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			disk := openDisk(t, dir)
			store := openTest(t, disk)
			letters := enginetest.Letters(50, 3)
			must(t, store.PutMany(t.Context(), letters))
			must(t, store.ResolveMany(t.Context(), keysOf(letters[:10]),
				pillarbox.Resolution{At: 1, How: pillarbox.ResolvedReplayed}))
			want := list(t, store)
			must(t, store.Close())
			spoil(t, filepath.Join(dir, "dead", "index"))
			store = openTest(t, disk)
			got := list(t, store)
			if len(got) != len(want) {
				t.Fatalf("%d letters, want %d", len(got), len(want))
			}
			for i := range got {
				if diff := enginetest.DiffLetter(got[i], want[i]); diff != "" {
					t.Fatal(diff)
				}
			}
			sum := pillarbox.DeadLetterCount{}
			for _, destination := range []string{"a", "b-2", "c_3"} {
				n, err := store.Count(t.Context(), destination)
				must(t, err)
				sum.Open, sum.Replayed, sum.Missing = sum.Open+n.Open, sum.Replayed+n.Replayed,
					sum.Missing+n.Missing
			}
			if sum != (pillarbox.DeadLetterCount{Open: 40, Replayed: 10}) {
				t.Errorf("counted %+v", sum)
			}
		})
	}
}

// TestDamagedJournalIsSetAside: what of it had no file is missing and named, the rest is filed, and
// the file is kept.
func TestDamagedJournalIsSetAside(t *testing.T) {
	dir := t.TempDir()
	disk := openDisk(t, dir)
	store, err := files.Open(disk, "dead", files.Options{Unmaintained: true})
	must(t, err)
	letters := enginetest.Letters(20, 4)
	must(t, store.PutMany(t.Context(), letters))
	name := glob(t, dir, "dead/journal/*.journal")[0]
	content, err := os.ReadFile(name)
	must(t, err)
	content[len(content)/2] ^= 1
	must(t, os.WriteFile(name, content, 0o600))
	must(t, store.Close())
	store = openTest(t, disk)
	found, missing := 0, 0
	for summary, err := range store.Summaries(t.Context(), pillarbox.DeadLetterFilter{Missing: true}) {
		must(t, err)
		if summary.State == pillarbox.DeadLetterMissing {
			missing++
		} else {
			found++
		}
	}
	if found < 5 || missing < 5 || found+missing != len(letters) || len(list(t, store)) != found {
		t.Errorf("%d letters are there and %d are missing, of %d", found, missing, len(letters))
	}
	if kept := glob(t, dir, "dead/journal/*.damaged"); len(kept) != 1 {
		t.Errorf("kept are %q", kept)
	}
}

// TestBacklogIsBounded: where files can't be written, letters are kept until the backlog is full,
// and then the reason is told. When it has gone, everything gets its file.
func TestBacklogIsBounded(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	store, err := files.Open(disk, "dead", files.Options{Unmaintained: true, MaxBacklog: 20 << 10})
	must(t, err)
	disk.Inject(func(op faultfs.Op) error {
		if op.Kind == faultfs.OpenFile && strings.HasSuffix(op.Name, ".json.tmp") {
			return syscall.ENOSPC
		}
		return nil
	})
	letters := enginetest.Letters(200, 5)
	kept := 0
	for ; kept < len(letters) && err == nil; kept++ {
		err = pillarbox.PutDeadLetter(t.Context(), store, letters[kept])
	}
	if !errors.Is(err, pillarbox.ErrNoSpace) || kept < 5 || kept == len(letters) {
		t.Fatalf("%d letters were kept before %v", kept, err)
	}
	disk.Inject(nil)
	must(t, store.PutMany(t.Context(), letters))
	must(t, store.Close())
	wantOneFileEach(t, disk, len(letters), "after the disk had room")
}

// TestJournalsEnd: a journal is removed when its letters have their files, and a stop leaves none.
func TestJournalsEnd(t *testing.T) {
	dir := t.TempDir()
	store := openTest(t, openDisk(t, dir))
	letters := enginetest.Letters(60, 6)
	for i, letter := range letters {
		letter.Event.Body = []byte(strings.Repeat("x", 600<<10))
		letter.Destination = fmt.Sprint("d", i%3)
	}
	for i := 0; i < len(letters); i += 5 {
		must(t, store.PutMany(t.Context(), letters[i:i+5]))
	}
	for _, letter := range letters { // wherever it is now
		got, err := store.Get(t.Context(), letter.Destination, letter.Event.RequestID)
		must(t, err)
		if diff := enginetest.DiffLetter(got, letter); diff != "" {
			t.Fatal(diff)
		}
	}
	must(t, store.Flush(t.Context()))
	if left := glob(t, dir, "dead/journal/*"); len(left) > 1 {
		t.Errorf("journals %q are left when all letters have files", left)
	}
	must(t, store.Close())
	if left := glob(t, dir, "dead/journal/*"); len(left) != 0 {
		t.Errorf("journals %q are left after a stop", left)
	}
	if names := glob(t, dir, "dead/20*/*.json"); len(names) != len(letters) {
		t.Errorf("%d files after a stop, want %d", len(names), len(letters))
	}
}

// TestEditedLetter: what somebody writes into a file is found by it.
func TestEditedLetter(t *testing.T) {
	dir := t.TempDir()
	store, err := files.Open(openDisk(t, dir), "dead", files.Options{Unmaintained: true})
	must(t, err)
	t.Cleanup(func() { must(t, store.Close()) })
	must(t, pillarbox.PutDeadLetter(t.Context(), store, enginetest.FullLetter()))
	must(t, store.Flush(t.Context()))
	name := glob(t, dir, "dead/20*/*")[0]
	content, err := os.ReadFile(name)
	must(t, err)
	must(t, os.WriteFile(name,
		[]byte(strings.Replace(string(content), "amount", "a person says: amount", 1)), 0o600))
	must(t, store.Maintain())
	for _, err := range store.Summaries(t.Context(),
		pillarbox.DeadLetterFilter{Error: "A person says"}) {
		must(t, err)
		return
	}
	t.Error("the letter is not found by what is in it now")
}
