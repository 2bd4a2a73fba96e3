package faultfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"pillarbox/internal/vfs"
	"pillarbox/internal/vfs/faultfs"
)

const sector = 512

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// states runs many crashes and counts what describe makes of them.
func states(fsys *faultfs.FS, mode faultfs.Mode, describe func(*faultfs.FS) string) map[string]int {
	found := make(map[string]int)
	for seed := range uint64(2000) {
		found[describe(fsys.Crash(seeded(seed), mode))]++
	}
	return found
}

// expect fails unless exactly the wanted states occurred.
func expect(t *testing.T, found map[string]int, want ...string) {
	t.Helper()
	got := slices.Sorted(maps.Keys(found))
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("found the states\n%q, want\n%q", got, want)
	}
}

// sectors returns a content of which each sector is filled with one letter.
func sectors(letters string) []byte {
	var content []byte
	for _, letter := range []byte(letters) {
		content = append(content, bytes.Repeat([]byte{letter}, sector)...)
	}
	return content
}

// letters is the inverse of sectors: 0 for zeros, ? for anything that is not one letter.
func letters(t *testing.T, name string) func(*faultfs.FS) string {
	return func(fsys *faultfs.FS) string {
		content := read(t, fsys, name)
		var out strings.Builder
		for part := range slices.Chunk([]byte(content), sector) {
			switch {
			case bytes.Count(part, part[:1]) != len(part):
				out.WriteByte('?')
			case part[0] == 0:
				out.WriteByte('0')
			default:
				out.WriteByte(part[0])
			}
		}
		return out.String()
	}
}

// The promise that the whole model exists for: what was synced is there, whatever the mode and the
// chance.
func TestSyncedContentSurvivesEveryMode(t *testing.T) {
	fsys := faultfs.New(faultfs.Options{})
	must(t, vfs.MkdirAll(fsys, "d/e"))
	file := store(t, fsys, "d/e/a", sectors("abc"))
	write(t, file, "x", 100)
	must(t, file.Truncate(2*sector))
	must(t, file.Sync())
	want := read(t, fsys, "d/e/a")
	for _, mode := range faultfs.Modes {
		expect(t, states(fsys, mode, func(state *faultfs.FS) string { return read(t, state, "d/e/a") }),
			want)
	}
}

func TestModesOnOverwrite(t *testing.T) {
	tests := []struct {
		mode faultfs.Mode
		want []string
	}{
		{faultfs.Dropped, []string{"aaa"}},
		{faultfs.Kept, []string{"BBa"}},
		{faultfs.Prefix, []string{"aaa", "Baa", "BBa"}},
		{faultfs.Torn, []string{"aaa", "Baa", "aBa", "BBa"}},
		{faultfs.Zeros, []string{"aaa", "BBa", "00a", "B0a", "0Ba"}},
		{faultfs.Garbage, []string{"aaa", "BBa", "??a", "B?a", "?Ba"}},
	}
	for _, test := range tests {
		t.Run(test.mode.String(), func(t *testing.T) {
			fsys := faultfs.New(faultfs.Options{})
			file := store(t, fsys, "a", sectors("aaa"))
			write(t, file, string(sectors("BB")), 0)
			expect(t, states(fsys, test.mode, letters(t, "a")), test.want...)
		})
	}
}

func TestModesOnGrowth(t *testing.T) {
	tests := []struct {
		mode faultfs.Mode
		want []string
	}{
		{faultfs.Dropped, []string{"a"}},
		{faultfs.Kept, []string{"aBB"}},
		{faultfs.Prefix, []string{"a", "aB", "aBB"}},
		{faultfs.Torn, []string{"a", "aB", "a0", "aBB", "aB0", "a0B", "a00"}},
		{faultfs.Zeros, []string{"a", "aB", "a0", "aBB", "aB0", "a0B", "a00"}},
		{faultfs.Garbage, []string{"a", "aB", "a0", "a?", "aBB", "a?B", "aB?", "a??", "a00"}},
	}
	for _, test := range tests {
		t.Run(test.mode.String(), func(t *testing.T) {
			fsys := faultfs.New(faultfs.Options{})
			file := store(t, fsys, "a", sectors("a"))
			write(t, file, string(sectors("BB")), sector)
			expect(t, states(fsys, test.mode, letters(t, "a")), test.want...)
		})
	}
}

// A later write is never there without an earlier one to the same sector: the disk got the sector
// as it stood in the page cache.
func TestSectorHoldsOneOfItsVersions(t *testing.T) {
	fsys := faultfs.New(faultfs.Options{})
	file := store(t, fsys, "a", []byte("...."))
	write(t, file, "1", 0)
	write(t, file, "2", 1)
	write(t, file, "3", 2)
	content := func(state *faultfs.FS) string { return read(t, state, "a") }
	expect(t, states(fsys, faultfs.Torn, content), "....", "1...", "12..", "123.")
	expect(t, states(fsys, faultfs.Prefix, content), "....", "1...", "12..", "123.")
}

// Writes to different sectors are independent, and durable bytes beside a torn write are never
// touched.
func TestTornWriteSparesItsNeighbours(t *testing.T) {
	fsys := faultfs.New(faultfs.Options{})
	file := store(t, fsys, "a", sectors("aaaa"))
	write(t, file, strings.Repeat("B", sector), sector/2)
	write(t, file, strings.Repeat("C", 100), 3*sector)
	for _, mode := range faultfs.Modes {
		for seed := range uint64(500) {
			got := read(t, fsys.Crash(seeded(seed), mode), "a")
			intact := strings.Repeat("a", sector/2)
			if got[:sector/2] != intact || got[sector+sector/2:2*sector] != intact ||
				got[3*sector+100:] != strings.Repeat("a", sector-100) {
				t.Fatalf("%v, seed %d: bytes changed that nothing wrote", mode, seed)
			}
		}
	}
	found := states(fsys, faultfs.Torn, func(state *faultfs.FS) string {
		got := read(t, state, "a")
		return string([]byte{got[sector/2], got[sector], got[3*sector]})
	})
	if len(found) != 8 {
		t.Errorf("found %v, want all 8", found)
	}
}

func TestTruncateIsUnsyncedToo(t *testing.T) {
	fsys := faultfs.New(faultfs.Options{})
	file := store(t, fsys, "a", []byte("0123456789"))
	must(t, file.Truncate(4))
	content := func(state *faultfs.FS) string { return read(t, state, "a") }
	expect(t, states(fsys, faultfs.Dropped, content), "0123456789")
	expect(t, states(fsys, faultfs.Kept, content), "0123")
	expect(t, states(fsys, faultfs.Torn, content), "0123456789", "0123")
	must(t, file.Sync())
	expect(t, states(fsys, faultfs.Dropped, content), "0123")
}

func TestFreshFileNeedsItsDirectorySynced(t *testing.T) {
	fsys := faultfs.New(faultfs.Options{})
	file := open(t, fsys, "a", create)
	write(t, file, "hello", 0)
	must(t, file.Sync())
	there := func(state *faultfs.FS) string { return fmt.Sprint(exists(t, state, "a")) }
	expect(t, states(fsys, faultfs.Dropped, there), "false")
	expect(t, states(fsys, faultfs.Kept, there), "false", "true")
	if !exists(t, fsys.Crash(nil, faultfs.Kept), "a") {
		t.Error("a kill of the process lost the name")
	}
	must(t, fsys.SyncDir("."))
	for _, mode := range faultfs.Modes {
		expect(t, states(fsys, mode, func(state *faultfs.FS) string { return read(t, state, "a") }),
			"hello")
	}
}

// A directory whose own name is not durable takes everything inside along.
func TestUnsyncedDirectoryLosesItsFiles(t *testing.T) {
	fsys := faultfs.New(faultfs.Options{})
	must(t, fsys.Mkdir("d"))
	store(t, fsys, "d/a", []byte("safe?"))
	if got := names(t, fsys.Crash(nil, faultfs.Dropped), "."); got != nil {
		t.Errorf("found %v", got)
	}
	must(t, fsys.SyncDir("."))
	if got := read(t, fsys.Crash(nil, faultfs.Dropped), "d/a"); got != "safe?" {
		t.Errorf("holds %q", got)
	}
}

func TestNameOperationsAreIndependent(t *testing.T) {
	fsys := faultfs.New(faultfs.Options{})
	for _, name := range []string{"a", "b"} {
		store(t, fsys, name, []byte(name))
	}
	must(t, fsys.Remove("a"))
	must(t, fsys.Rename("b", "c"))
	open(t, fsys, "d", create)
	found := states(fsys, faultfs.Torn,
		func(state *faultfs.FS) string { return strings.Join(names(t, state, "."), "") })
	expect(t, found, "ab", "b", "ac", "c", "abd", "bd", "acd", "cd")
	expect(t, states(fsys, faultfs.Dropped, func(state *faultfs.FS) string {
		return strings.Join(names(t, state, "."), "")
	}), "ab")
}

// A replaced file is there with its old content or with its new one, never missing.
func TestReplaceIsAtomic(t *testing.T) {
	fsys := faultfs.New(faultfs.Options{})
	must(t, vfs.WriteFile(fsys, "a", []byte("old")))
	store(t, fsys, "a.tmp", []byte("new"))
	must(t, fsys.Rename("a.tmp", "a"))
	for _, mode := range faultfs.Modes[1:] {
		expect(t, states(fsys, mode, func(state *faultfs.FS) string {
			return read(t, state, "a") + " " + strings.Join(names(t, state, "."), " ")
		}), "old a a.tmp", "new a")
	}
}

// A chain of renames that reuses names never loses a file that was durable.
func TestRotationKeepsEveryFile(t *testing.T) {
	fsys := faultfs.New(faultfs.Options{})
	for _, name := range []string{"a", "b"} {
		store(t, fsys, name, []byte(name))
	}
	must(t, fsys.Rename("b", "c"))
	must(t, fsys.Rename("a", "b"))
	must(t, fsys.Mkdir("d"))
	must(t, fsys.Rename("b", "d/e"))
	must(t, fsys.SyncDir("d"))
	found := states(fsys, faultfs.Garbage,
		func(state *faultfs.FS) string { return tree(t, state, ".") })
	expect(t, found, "a=a b=b", "a=a c=b", "b=a c=b", "c=b d/e=a", "a=a b=b d/", "a=a c=b d/",
		"b=a c=b d/")
}

// tree writes down all names and contents.
func tree(t *testing.T, fsys vfs.FS, dir string) string {
	t.Helper()
	var out []string
	entries, err := fsys.ReadDir(dir)
	must(t, err)
	for _, entry := range entries {
		name := strings.TrimPrefix(dir+"/"+entry.Name, "./")
		if !entry.Dir {
			out = append(out, name+"="+read(t, fsys, name))
			continue
		}
		below := tree(t, fsys, name)
		if below == "" {
			below = name + "/"
		}
		out = append(out, below)
	}
	return strings.Join(out, " ")
}

func TestRenameBetweenDirectoriesNeedsBothSynced(t *testing.T) {
	fsys := faultfs.New(faultfs.Options{})
	must(t, vfs.MkdirAll(fsys, "d"))
	store(t, fsys, "a", []byte("a"))
	must(t, fsys.Rename("a", "d/a"))
	dropped := func() string { return tree(t, fsys.Crash(nil, faultfs.Dropped), ".") }
	must(t, fsys.SyncDir("d"))
	if got := dropped(); got != "a=a d/" {
		t.Errorf("one directory synced: %s", got)
	}
	must(t, fsys.SyncDir("."))
	if got := dropped(); got != "d/a=a" {
		t.Errorf("both synced: %s", got)
	}
}

// Random histories of names: every state is a legal tree in which no file exists twice, a synced
// file keeps one of the names it had, and a state in which everything is synced is the same in
// every mode.
func TestRandomNamesStayLegal(t *testing.T) {
	for seed := range uint64(300) {
		history(t, seed)
	}
}

func history(t *testing.T, seed uint64) {
	rng := seeded(seed)
	fsys := faultfs.New(faultfs.Options{})
	kept := []string{"1", "2", "3"}
	for _, name := range kept {
		store(t, fsys, name, []byte(name))
	}
	places := []string{"1", "2", "3", "d", "e", "d/1", "d/x", "e/2", "e/d", "d/e", "d/e/3"}
	pick := func() string { return places[rng.IntN(len(places))] }
	for range 12 {
		// Most steps are refused for one reason or another, which is as good.
		switch rng.IntN(5) {
		case 0:
			_ = fsys.Mkdir(pick())
		case 1, 2:
			if to := pick(); !isFile(fsys, to) {
				_ = fsys.Rename(pick(), to)
			}
		case 3:
			if from := pick(); !isFile(fsys, from) {
				_ = fsys.Remove(from)
			}
		case 4:
			if rng.IntN(3) == 0 {
				_ = fsys.SyncDir([]string{".", "d", "e"}[rng.IntN(3)])
			}
		}
		for _, mode := range faultfs.Modes {
			checkNames(t, fsys.Crash(rng, mode), seed, kept)
		}
	}
	want := tree(t, fsys, ".")
	for _, dir := range []string{"d/e", "e/d", "d", "e", "."} {
		_ = fsys.SyncDir(dir)
	}
	if got := tree(t, fsys.Crash(rng, faultfs.Dropped), "."); got != want {
		t.Fatalf("seed %d: everything synced, %s became %s", seed, want, got)
	}
}

func isFile(fsys vfs.FS, name string) bool {
	file, err := fsys.OpenFile(name, os.O_RDONLY)
	if err == nil {
		err = file.Close()
	}
	return err == nil
}

func checkNames(t *testing.T, state *faultfs.FS, seed uint64, kept []string) {
	t.Helper()
	all := tree(t, state, ".")
	for _, content := range kept {
		if n := strings.Count(all+" ", "="+content+" "); n != 1 {
			t.Fatalf("seed %d: file %s is there %d times: %s", seed, content, n, all)
		}
	}
}

func TestSameSeedSameState(t *testing.T) {
	fsys := faultfs.New(faultfs.Options{})
	for i := range 20 {
		write(t, open(t, fsys, fmt.Sprint("file", i), create), string(sectors("abcdefgh")), 0)
	}
	for _, mode := range faultfs.Modes {
		first := tree(t, fsys.Crash(seeded(7), mode), ".")
		if again := tree(t, fsys.Crash(seeded(7), mode), "."); again != first {
			t.Errorf("%v differs", mode)
		}
	}
}

// Recovery can be crashed as well: a state is a file system like any other.
func TestCrashDuringRecovery(t *testing.T) {
	fsys := faultfs.New(faultfs.Options{})
	must(t, vfs.WriteFile(fsys, "a", []byte("one")))
	state := fsys.Crash(nil, faultfs.Dropped)
	must(t, vfs.WriteFile(state, "a", []byte("two")))
	write(t, open(t, state, "b", create), "lost", 0)
	again := state.Crash(nil, faultfs.Dropped)
	if got := tree(t, again, "."); got != "a=two" {
		t.Errorf("got %s", got)
	}
	if got := tree(t, fsys, "."); got != "a=one" {
		t.Errorf("the original became %s", got)
	}
	if exists(t, again, "b") {
		t.Error("an unsynced file of the recovery is there")
	}
}

// A log of 100 KiB in a few segments, with one group of records that was not synced.
func logOf100K(b *testing.B) *faultfs.FS {
	fsys := faultfs.New(faultfs.Options{})
	must(b, vfs.MkdirAll(fsys, "queue/log"))
	var file vfs.File
	for i := range 7 {
		name := fmt.Sprintf("queue/log/%08d", i)
		file = open(b, fsys, name, create)
		must(b, vfs.Zero(file, 32<<10, nil))
		must(b, fsys.SyncDir("queue/log"))
		for at := int64(0); at < 16<<10; at += 1 << 10 {
			write(b, file, strings.Repeat("r", 1<<10), at)
			must(b, file.Sync())
		}
	}
	write(b, file, strings.Repeat("s", 4000), 16<<10)
	must(b, fsys.Remove("queue/log/00000000"))
	open(b, fsys, "queue/log/00000008", create)
	return fsys
}

func BenchmarkCrash(b *testing.B) {
	for _, mode := range faultfs.Modes {
		b.Run(mode.String(), func(b *testing.B) {
			fsys := logOf100K(b)
			rng := seeded(1)
			b.ReportAllocs()
			for b.Loop() {
				fsys.Crash(rng, mode)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "states/s")
		})
	}
}

func BenchmarkCrashAndReadAll(b *testing.B) {
	fsys := logOf100K(b)
	rng := seeded(1)
	b.ReportAllocs()
	for b.Loop() {
		state := fsys.Crash(rng, faultfs.Torn)
		entries, err := state.ReadDir("queue/log")
		must(b, err)
		for _, entry := range entries {
			_, err := vfs.ReadFile(state, "queue/log/"+entry.Name, 1<<30)
			must(b, err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "states/s")
}

// TestKillKeepsWhatWasWrittenUnsafe kills the process and then cuts the power.
func TestKillKeepsWhatWasWrittenUnsafe(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	file, err := disk.OpenFile("a", os.O_RDWR|os.O_CREATE)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt([]byte("safe"), 0); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(file.Sync(), disk.SyncDir(".")); err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt([]byte("open"), 0); err != nil {
		t.Fatal(err)
	}
	killed := disk.Kill()
	if got, err := vfs.ReadFile(killed, "a", 1<<30); err != nil || string(got) != "open" {
		t.Errorf("after the kill: %q, %v", got, err)
	}
	if got, err := vfs.ReadFile(killed.Crash(nil, faultfs.Dropped), "a", 1<<30); err != nil ||
		string(got) != "safe" {
		t.Errorf("after kill and power cut: %q, %v", got, err)
	}
}

// TestSamePrintSameState draws many states of changing disks: those with the same print hold the
// same.
func TestSamePrintSameState(t *testing.T) {
	states, prints := 0, map[uint64]string{}
	fsys := faultfs.New(faultfs.Options{})
	a, b := open(t, fsys, "a", create), open(t, fsys, "b", create)
	rng := seeded(1)
	for step := range 60 {
		file := []vfs.File{a, b}[rng.IntN(2)]
		switch rng.IntN(6) {
		case 0:
			must(t, file.Sync())
		case 1:
			must(t, fsys.SyncDir("."))
		case 2:
			must(t, vfs.WriteFile(fsys, fmt.Sprint("c", rng.IntN(3)), []byte{byte(step)}))
		case 3:
			must(t, file.Truncate(int64(rng.IntN(3*sector))))
		default:
			write(t, file, string(sectors("xy"))+fmt.Sprint(step), int64(rng.IntN(3*sector)))
		}
		for _, mode := range faultfs.Modes {
			for range 20 {
				state := fsys.Crash(rng, mode)
				content := tree(t, state, ".")
				if other, known := prints[state.Print()]; known && other != content {
					t.Fatalf("step %d, mode %v: two states have one print", step, mode)
				}
				prints[state.Print()], states = content, states+1
			}
		}
	}
	if len(prints) < 100 || len(prints) == states {
		t.Errorf("%d prints of %d states", len(prints), states)
	}
	if fsys.Print() != 0 {
		t.Error("a disk that was not cut has a print")
	}
}
