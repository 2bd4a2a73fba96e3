package files_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/files"
	"pillarbox/internal/letterfile"
	"pillarbox/internal/vfs"
	"pillarbox/internal/vfs/faultfs"
)

// story puts and resolves a few letters again and again, and knows for each which states it may be in: one
// while nothing has gone wrong, and the old and the new one during a call and after one that failed.
type story struct {
	random  *rand.Rand
	letters []*pillarbox.DeadLetter
	allowed []map[string]bool // per letter; "" is not there
	version int
}

func newStory(seed uint64) *story {
	s := &story{random: rand.New(rand.NewPCG(seed, 0)), letters: enginetest.Letters(3, seed)}
	s.letters[1].Event.RequestID = "not a uuid"
	for range s.letters {
		s.allowed = append(s.allowed, map[string]bool{"": true})
	}
	return s
}

// state is what tells the versions of a letter apart.
func state(letter *pillarbox.DeadLetter) string {
	if letter.Resolved == nil {
		return letter.Reason
	}
	return letter.Reason + " " + letter.Resolved.How
}

// step makes one call and returns its error.
func (s *story) step(ctx context.Context, store *files.Letters) error {
	at := s.random.IntN(len(s.letters))
	letter := s.letters[at]
	if s.random.IntN(5) < 3 {
		s.version++
		letter.Reason = fmt.Sprint("version-", s.version)
		letter.DeadAt += pillarbox.Timestamp(s.random.IntN(3)-1) * 24 * 3600 * 1_000_000
		return s.call(at, func(string) string { return letter.Reason }, func() error { return store.Put(ctx, letter) })
	}
	how := pillarbox.ResolvedReplayed
	if s.random.IntN(2) == 0 {
		how = pillarbox.ResolvedDiscarded
	}
	resolved := func(old string) string {
		if old == "" || strings.Contains(old, " ") {
			return old
		}
		return old + " " + how
	}
	return s.call(at, resolved, func() error {
		return store.Resolve(ctx, letter.Destination, letter.Event.Key(), pillarbox.Resolution{At: 1, How: how})
	})
}

// call keeps the account of one call: until it returns, and if it fails, both states are possible.
func (s *story) call(at int, change func(old string) string, call func() error) error {
	after := make(map[string]bool)
	for old := range s.allowed[at] {
		after[change(old)] = true
	}
	both := maps.Clone(s.allowed[at])
	maps.Copy(both, after)
	s.allowed[at] = both
	err := call()
	if err == nil {
		s.allowed[at] = after
	}
	return err
}

// check opens the letters and holds them against the account.
func (s *story) check(t *testing.T, disk *faultfs.FS, when string) {
	t.Helper()
	store, err := files.Open(disk, "dead", files.Options{})
	if err != nil {
		t.Fatalf("%s: open: %v", when, err)
	}
	defer store.Close()
	found := make(map[string]string)
	counts := make(map[string]pillarbox.LetterCount)
	for letter, err := range store.List(t.Context(), pillarbox.LetterFilter{Resolved: true}) {
		if err != nil {
			t.Fatalf("%s: list: %v", when, err)
		}
		if found[letter.Event.RequestID] != "" {
			t.Fatalf("%s: letter %s is there twice", when, letter.Event.RequestID)
		}
		found[letter.Event.RequestID] = state(letter)
		count := counts[letter.Destination]
		switch {
		case letter.Resolved == nil:
			count.Open++
		case letter.Resolved.How == pillarbox.ResolvedReplayed:
			count.Replayed++
		default:
			count.Discarded++
		}
		counts[letter.Destination] = count
	}
	for i, letter := range s.letters {
		if got := found[letter.Event.RequestID]; !s.allowed[i][got] {
			t.Fatalf("%s: letter %d is %q, want one of %q", when, i, got, slices.Collect(maps.Keys(s.allowed[i])))
		}
		count, err := store.Count(t.Context(), letter.Destination)
		if err != nil || count != counts[letter.Destination] {
			t.Fatalf("%s: count of %s: %+v, %v; listed were %+v", when, letter.Destination, count, err, counts[letter.Destination])
		}
	}
	wantOneFileEach(t, disk, len(found), when)
}

// wantOneFileEach checks that a letter has one file; unfinished ones do not count where letters are open.
func wantOneFileEach(t *testing.T, disk *faultfs.FS, want int, when string) {
	t.Helper()
	days, err := disk.ReadDir("dead")
	must(t, err)
	n := 0
	for _, day := range days {
		entries, err := disk.ReadDir("dead/" + day.Name)
		must(t, err)
		for _, entry := range entries {
			if !vfs.IsTemp(entry.Name) || !strings.HasSuffix(when, "still open") {
				n++
			}
		}
	}
	if n != want {
		t.Fatalf("%s: %d files for %d letters", when, n, want)
	}
}

// The power may go after any operation on the disk, also while the letters are opened after the power went.
func TestPowerCutAtAnyMoment(t *testing.T) {
	cuts := 0
	for seed := range uint64(5) {
		s := newStory(seed)
		disk := faultfs.New(faultfs.Options{})
		store, err := files.Open(disk, "dead", files.Options{})
		must(t, err)
		disk.After(func(op faultfs.Op, _ error) {
			if op.Kind == faultfs.Read || op.Kind == faultfs.ReadDir {
				return
			}
			for _, mode := range []faultfs.Mode{faultfs.Dropped, faultfs.Modes[s.random.IntN(len(faultfs.Modes))]} {
				cuts++
				when := fmt.Sprintf("seed %d, %s cut after %v %s", seed, mode, op.Kind, op.Name)
				left := disk.Crash(s.random, mode)
				left.After(func(op faultfs.Op, _ error) {
					if op.Kind == faultfs.Remove || op.Kind == faultfs.SyncDir {
						again := left.Crash(nil, faultfs.Dropped)
						s.check(t, again, fmt.Sprintf("%s, and again after %v %s", when, op.Kind, op.Name))
					}
				})
				s.check(t, left, when)
			}
		})
		for range 12 {
			if err := s.step(t.Context(), store); err != nil && !errors.Is(err, pillarbox.ErrNotFound) {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		disk.After(nil)
		must(t, store.Close())
		s.check(t, disk, fmt.Sprintf("seed %d, at the end", seed))
	}
	if cuts < 500 {
		t.Errorf("only %d power cuts", cuts)
	}
}

// Any operation on the disk may fail. The error says of which kind it is, what had been promised stays, and
// what is promised afterwards holds in spite of what the failed call has left behind.
func TestEveryOperationMayFail(t *testing.T) {
	failures := 0
	for seed := range uint64(30) {
		s := newStory(seed)
		disk := faultfs.New(faultfs.Options{})
		store, err := files.Open(disk, "dead", files.Options{})
		must(t, err)
		cause := []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS}[seed%3]
		kind := pillarbox.ErrUnavailable
		if cause == syscall.ENOSPC {
			kind = pillarbox.ErrNoSpace
		}
		disk.Inject(func(faultfs.Op) error {
			if s.random.IntN(12) == 0 {
				failures++
				return cause
			}
			return nil
		})
		for range 25 {
			err := s.step(t.Context(), store)
			if err != nil && !errors.Is(err, kind) && !errors.Is(err, pillarbox.ErrNotFound) {
				t.Fatalf("seed %d: %v, want %v", seed, err, kind)
			}
			s.check(t, disk.Crash(nil, faultfs.Dropped), fmt.Sprintf("seed %d, power cut", seed))
			s.check(t, disk.Crash(nil, faultfs.Kept), fmt.Sprintf("seed %d, kill", seed))
		}
		disk.Inject(nil)
		for i, letter := range s.letters { // the next call sets everything right
			letter.Reason = "at-last"
			must(t, s.call(i, func(string) string { return letter.Reason }, func() error { return store.Put(t.Context(), letter) }))
		}
		wantOneFileEach(t, disk, len(s.letters), fmt.Sprintf("seed %d, still open", seed))
		must(t, store.Close())
		s.check(t, disk.Crash(nil, faultfs.Dropped), fmt.Sprintf("seed %d, at the end", seed))
	}
	if failures < 150 {
		t.Errorf("only %d operations failed", failures)
	}
}

// A process may be killed after any operation, and the power may go in the next life: what that life found but
// was not yet durable must be made so before anything is promised or removed because of it.
func TestPowerCutAfterKill(t *testing.T) {
	kills := 0
	for seed := range uint64(3) {
		for last := 5; last < 50; last++ {
			s := newStory(seed)
			disk := faultfs.New(faultfs.Options{})
			store, err := files.Open(disk, "dead", files.Options{})
			must(t, err)
			disk.Inject(func(op faultfs.Op) error {
				if op.Index >= last {
					return syscall.EIO
				}
				return nil
			})
			for disk.Operations() < last {
				_ = s.step(t.Context(), store)
			}
			kills++
			when := fmt.Sprintf("seed %d, killed before operation %d", seed, last)
			disk.Inject(nil)
			disk.After(func(op faultfs.Op, _ error) {
				s.check(t, disk.Crash(nil, faultfs.Dropped), fmt.Sprintf("%s, then cut after %v %s", when, op.Kind, op.Name))
			})
			next, err := files.Open(disk, "dead", files.Options{})
			must(t, err)
			for range 4 {
				if err := s.step(t.Context(), next); err != nil && !errors.Is(err, pillarbox.ErrNotFound) {
					t.Fatalf("%s: %v", when, err)
				}
			}
			disk.After(nil)
		}
	}
	if kills < 100 {
		t.Errorf("only %d kills", kills)
	}
}

// The directory of a day that was made in a life that was killed is no more durable than its files.
func TestDayOfAnEarlierLifeIsMadeDurable(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	disk.Inject(func(op faultfs.Op) error {
		if op.Kind == faultfs.SyncDir && op.Name == "dead" && op.Index > 5 {
			return syscall.EIO
		}
		return nil
	})
	killed := openTest(t, disk)
	if err := killed.Put(t.Context(), enginetest.FullLetter()); !errors.Is(err, pillarbox.ErrUnavailable) {
		t.Fatalf("put: %v, want ErrUnavailable", err)
	}
	disk.Inject(nil)
	must(t, openTest(t, disk).Put(t.Context(), enginetest.FullLetter()))
	if found := list(t, openTest(t, disk.Crash(nil, faultfs.Dropped))); len(found) != 1 {
		t.Errorf("%d letters after the power cut, want 1", len(found))
	}
}

// Where a crash left two files of a letter, the resolved one counts, then the later day; the other is removed,
// unless it or the one that counts can't be read.
func TestOneOfTwoFilesCounts(t *testing.T) {
	resolved, later := enginetest.FullLetter(), enginetest.FullLetter()
	resolved.Resolved = &pillarbox.Resolution{At: 1, How: pillarbox.ResolvedDiscarded}
	later.DeadAt += 24 * 3600 * 1_000_000
	broken := func(content []byte) []byte { return content[:50] }
	whole := func(content []byte) []byte { return content }
	for name, test := range map[string]struct {
		first, second *pillarbox.DeadLetter
		spoil         [2]func([]byte) []byte
		want          int // which counts
		left          int // files
	}{
		"resolved and open":        {resolved, later, [2]func([]byte) []byte{whole, whole}, 0, 1},
		"earlier and later":        {enginetest.FullLetter(), later, [2]func([]byte) []byte{whole, whole}, 1, 1},
		"resolved is broken":       {resolved, later, [2]func([]byte) []byte{broken, whole}, 1, 2},
		"open is broken":           {resolved, later, [2]func([]byte) []byte{whole, broken}, 0, 2},
		"later is broken":          {enginetest.FullLetter(), later, [2]func([]byte) []byte{whole, broken}, 0, 2},
		"open of the same day too": {resolved, enginetest.FullLetter(), [2]func([]byte) []byte{whole, whole}, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			disk := faultfs.New(faultfs.Options{})
			for i, letter := range []*pillarbox.DeadLetter{test.first, test.second} {
				id, content, err := letterfile.Encode(letter, letter.Resolved)
				must(t, err)
				path := "dead/" + letterfile.Name(id, letterfile.PlaceOf(letter.DeadAt, letterfile.StateOf(letter.Resolved)))
				must(t, vfs.MkdirAll(disk, path[:len("dead/2026-11-23")]))
				must(t, vfs.WriteFile(disk, path, test.spoil[i](content)))
			}
			letters := openTest(t, disk)
			found := list(t, letters)
			want := []*pillarbox.DeadLetter{test.first, test.second}[test.want]
			if len(found) != 1 || enginetest.DiffLetter(found[0], want) != "" {
				t.Errorf("got %v, want one letter: %s", found, enginetest.DiffLetter(found[0], want))
			}
			wantOneFileEach(t, disk, test.left, name)
			must(t, letters.Put(t.Context(), later))
			wantOneFileEach(t, disk, 1, name)
		})
	}
}

// A disk that can't be read when the letters are opened is an outage.
func TestOpenFails(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	letters, err := files.Open(disk, "dead", files.Options{})
	must(t, err)
	must(t, letters.Put(t.Context(), enginetest.FullLetter()))
	must(t, letters.Close())
	for _, kind := range []faultfs.Kind{faultfs.Mkdir, faultfs.SyncDir, faultfs.ReadDir} {
		disk.Inject(func(op faultfs.Op) error {
			if op.Kind == kind {
				return syscall.EIO
			}
			return nil
		})
		if _, err := files.Open(disk, "dead", files.Options{}); !errors.Is(err, pillarbox.ErrUnavailable) {
			t.Errorf("open with a failing %v: %v, want ErrUnavailable", kind, err)
		}
	}
}
