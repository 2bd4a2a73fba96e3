package trail_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"strings"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/atrest/atresttest"
	"pillarbox/internal/trail"
	"pillarbox/internal/vfs"
	"pillarbox/internal/vfs/faultfs"
)

func open(t *testing.T, fsys vfs.FS, most int64) *trail.Trail {
	t.Helper()
	tr, err := trail.Open(fsys, trail.Options{MaxFileBytes: most, Now: func() time.Time { return time.Date(2026, 11, 25, 14, 12, 0, 0, time.UTC) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close() })
	return tr
}

func add(t *testing.T, tr *trail.Trail, n int) {
	t.Helper()
	for range n {
		if _, err := tr.Append(trail.Act{Actor: "ops", Action: "keys.create", Object: fmt.Sprint("key ", tr.Head().Entries+1)}); err != nil {
			t.Fatal(err)
		}
	}
}

// read wants a trail that proves itself.
func read(t *testing.T, tr *trail.Trail) *trail.Page {
	t.Helper()
	page, err := tr.Read(0, 1000)
	if err == nil {
		err = page.Whole()
	}
	if err != nil {
		t.Fatal(err)
	}
	if page.Head != tr.Head() {
		t.Fatalf("the head is %+v, and what is read ends with %+v", tr.Head(), page.Head)
	}
	return page
}

func TestActsAreReadAsTheyWere(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	tr := open(t, disk, 1000) // some entries a file
	if page := read(t, tr); len(page.Entries) != 0 || page.Head.Entries != 0 {
		t.Errorf("an empty trail has %+v", page)
	}
	add(t, tr, 20)
	long := strings.Repeat("ü", trail.MaxText)
	if seq, err := tr.Append(trail.Act{Actor: "ops", Action: "x", Result: "done", Of: 20, Request: long}); err != nil || seq != 21 {
		t.Fatal(seq, err)
	}
	for _, life := range []string{"this life", "the next life"} {
		page := read(t, tr)
		if len(page.Entries) != 21 {
			t.Fatalf("%s: %d entries, want 21", life, len(page.Entries))
		}
		for i, e := range page.Entries[:20] {
			if e.Seq != uint64(i+1) || e.Act.Object != fmt.Sprint("key ", i+1) || e.Act.Actor != "ops" || e.At.Time().IsZero() {
				t.Errorf("%s: entry %d is %+v, %+v", life, i+1, e, e.Act)
			}
		}
		last := page.Entries[20].Act
		if len(last.Request) > trail.MaxText+100 || !strings.HasSuffix(last.Request, fmt.Sprintf("… (%d bytes)", len(long))) || last.Of != 20 {
			t.Errorf("%s: the last one has %d bytes of request", life, len(last.Request))
		}
		if page, err := tr.Read(18, 2); err != nil || len(page.Entries) != 2 || page.Entries[0].Seq != 19 {
			t.Errorf("%s: behind 18 are %+v, %v", life, page, err)
		}
		if err := tr.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := tr.Append(trail.Act{}); !errors.Is(err, pillarbox.ErrUnavailable) {
			t.Errorf("appending to a closed one: %v", err)
		}
		tr = open(t, disk, 1000)
	}
	if files, err := disk.ReadDir(trail.Directory); err != nil || len(files) < 8 {
		t.Errorf("%d files, %v; want several", len(files), err)
	}
}

// TestErasedEntriesAreGone: nobody can read them any more, and all others still prove themselves.
func TestErasedEntriesAreGone(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	tr := open(t, disk, 1000)
	add(t, tr, 12)
	head := tr.Head()
	for _, seq := range []uint64{1, 5, 12, 5} {
		if err := tr.Erase(seq); err != nil {
			t.Fatal(err)
		}
	}
	for _, seq := range []uint64{0, 13} {
		if err := tr.Erase(seq); !errors.Is(err, pillarbox.ErrNotFound) {
			t.Errorf("erasing entry %d: %v", seq, err)
		}
	}
	add(t, tr, 3)
	tr = open(t, disk, 1000)
	page := read(t, tr)
	if page.Entries[11].Hash != head.Hash {
		t.Error("erasing has changed the chain")
	}
	for _, e := range page.Entries {
		gone := e.Seq == 1 || e.Seq == 5 || e.Seq == 12
		if e.Erased != gone || (e.Act == nil) != gone {
			t.Errorf("entry %d: erased %v, %+v", e.Seq, e.Erased, e.Act)
		}
	}
}

// TestEveryChangeIsNoticed: of each byte of the log, of lines that are taken out, put elsewhere or
// doubled, and of a key.
func TestEveryChangeIsNoticed(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	add(t, open(t, disk, 0), 6)
	name := path.Join(trail.Directory, "0000000000000001.log")
	text, err := vfs.ReadFile(disk, name, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
	last := len(lines) - 1
	lines[last] = append(bytes.Clone(lines[last]), '\n')
	check := func(what string, changed []byte) {
		t.Helper()
		if bytes.Equal(changed, text) {
			return
		}
		left := disk.Crash(nil, faultfs.Kept)
		if err := vfs.WriteFile(left, name, changed); err != nil {
			t.Fatal(err)
		}
		tr, err := trail.Open(left, trail.Options{})
		if errors.Is(err, pillarbox.ErrCorrupt) {
			return
		}
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		defer tr.Close()
		if _, err := vfs.ReadFile(left, name+".torn", 1<<20); err == nil {
			return // set aside, and told
		}
		page, err := tr.Read(0, 100)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if page.Whole() == nil && page.Head.Entries == 6 {
			t.Fatalf("%s is not noticed: %+v", what, page)
		}
	}
	for at := range text {
		for _, bit := range []byte{1, 0x20} {
			changed := bytes.Clone(text)
			changed[at] ^= bit
			check(fmt.Sprintf("another byte at %d, in %q", at, text[max(0, at-10):min(len(text), at+10)]), changed)
		}
	}
	for i := range lines {
		without := append(append([][]byte{}, lines[:i]...), lines[i+1:]...)
		check(fmt.Sprintf("line %d taken out", i+1), bytes.Join(without, nil))
		for j := range lines {
			swapped := append([][]byte{}, lines...)
			swapped[i], swapped[j] = swapped[j], swapped[i]
			check(fmt.Sprintf("lines %d and %d changed about", i+1, j+1), bytes.Join(swapped, nil))
			doubled := append(append(append([][]byte{}, lines[:j]...), lines[i]), lines[j:]...)
			check(fmt.Sprintf("line %d again before %d", i+1, j+1), bytes.Join(doubled, nil))
		}
	}
}

// TestPowerCuts: what was begun is there, whatever else is lost, and the trail goes on.
func TestPowerCuts(t *testing.T) {
	cuts := 0
	for seed := uint64(1); seed <= 8; seed++ {
		random := rand.New(rand.NewPCG(seed, 1))
		disk := faultfs.New(faultfs.Options{})
		begun := uint64(0)
		var erasedFrom, erasedUpTo uint64
		disk.After(func(op faultfs.Op, _ error) {
			if op.Kind == faultfs.Read || op.Kind == faultfs.ReadDir {
				return
			}
			for _, mode := range []faultfs.Mode{faultfs.Dropped, faultfs.Modes[random.IntN(len(faultfs.Modes))]} {
				cuts++
				after := open(t, disk.Crash(random, mode), 700)
				page := read(t, after)
				if page.Head.Entries < begun || page.Head.Entries > begun+1 {
					t.Fatalf("seed %d, after %v, %v: %d entries, and %d acts were begun", seed, op, mode, page.Head.Entries, begun)
				}
				for _, e := range page.Entries {
					if e.Erased && e.Seq > erasedUpTo || !e.Erased && e.Seq <= erasedFrom {
						t.Fatalf("seed %d, after %v, %v: entry %d is erased: %v", seed, op, mode, e.Seq, e.Erased)
					}
				}
				add(t, after, 1)
				read(t, after)
				_ = after.Close()
			}
		})
		tr := open(t, disk, 700)
		for i := range 12 {
			if i == 8 {
				erasedUpTo = 1
				if err := tr.Erase(1); err != nil {
					t.Fatal(err)
				}
				erasedFrom = 1
			}
			seq, err := tr.Append(trail.Act{Actor: "ops", Action: "x", Request: strings.Repeat("y", random.IntN(200))})
			if err != nil {
				t.Fatal(err)
			}
			begun = seq
		}
		_ = tr.Close()
	}
	if cuts < 500 {
		t.Errorf("only %d cuts", cuts)
	}
}

// TestNothingIsBegunThatCanNotBeWritten: what a call to the disk that fails was about is not begun,
// the next act is, and a power cut leaves all that was begun.
func TestNothingIsBegunThatCanNotBeWritten(t *testing.T) {
	for fail := 0; ; fail++ {
		disk := faultfs.New(faultfs.Options{})
		tr := open(t, disk, 700)
		add(t, tr, 3)
		count, failed := 0, false
		disk.Inject(func(op faultfs.Op) error {
			if count++; count-1 == fail {
				failed = true
				return &os.PathError{Op: "write", Path: op.Name, Err: errors.New("no")}
			}
			return nil
		})
		var begun []string
		refused := 0
		for i := range 4 {
			act := trail.Act{Action: "x", Object: fmt.Sprint("of ", i), Request: strings.Repeat("y", 100*(4-i))}
			switch _, err := tr.Append(act); {
			case err == nil:
				begun = append(begun, act.Object)
			case errors.Is(err, pillarbox.ErrUnavailable):
				refused++
			default:
				t.Fatalf("failure %d: %v", fail, err)
			}
		}
		disk.Inject(nil)
		if failed != (refused == 1) || len(begun)+refused != 4 {
			t.Fatalf("failure %d: %d acts were refused, %d begun", fail, refused, len(begun))
		}
		read(t, tr)
		_ = tr.Close()
		page := read(t, open(t, disk.Crash(nil, faultfs.Dropped), 700))
		for i, object := range begun {
			if e := page.Entries[3+i]; e.Act.Object != object {
				t.Fatalf("failure %d: entry %d is %+v, want %s", fail, e.Seq, e.Act, object)
			}
		}
		if !failed {
			return
		}
	}
}

// TestKeysOfEntriesAreSealed: a copy of the directory tells nobody what was done, and proves itself
// all the same.
func TestKeysOfEntriesAreSealed(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	keys := atresttest.Open(t, disk)
	for range 2 { // lives
		tr, err := trail.Open(disk, trail.Options{AtRest: keys, MaxFileBytes: 1000})
		if err != nil {
			t.Fatal(err)
		}
		add(t, tr, 6)
		page := read(t, tr)
		if last := page.Entries[len(page.Entries)-1]; last.Act == nil || last.Act.Action != "keys.create" {
			t.Errorf("%+v", last)
		}
		if err := errors.Join(tr.Erase(2), tr.Close()); err != nil {
			t.Fatal(err)
		}
	}
	page := read(t, open(t, disk, 1000))
	for _, entry := range page.Entries {
		if entry.Act != nil || entry.Sealed == entry.Erased || entry.Erased != (entry.Seq == 2) {
			t.Errorf("without the data key: %+v", entry)
		}
	}
	if len(page.Entries) != 12 {
		t.Errorf("%d entries", len(page.Entries))
	}
}
