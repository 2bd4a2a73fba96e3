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
	"pillarbox/internal/deadletterfile"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/files"
	"pillarbox/internal/vfs"
	"pillarbox/internal/vfs/faultfs"
	"pillarbox/test/setting"
)

// story puts and resolves a few letters again and again, and knows for each which states it may be
// in: one while nothing has gone wrong, and the old and the new one during a call and after one
// that failed.
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

// step makes one call and returns its error. Now and then it is about several letters at once, and
// now and then files follow.
func (s *story) step(ctx context.Context, store *files.Letters) error {
	if s.random.IntN(4) == 0 {
		return store.Maintain()
	}
	some := s.random.Perm(len(s.letters))[:1+s.random.IntN(2)]
	if s.random.IntN(5) < 3 {
		return s.put(ctx, store, some)
	}
	how := pillarbox.ResolvedReplayed
	if s.random.IntN(2) == 0 {
		how = pillarbox.ResolvedDiscarded
	}
	resolved := func(_ int, old string) string {
		if old == "" || strings.Contains(old, " ") {
			return old
		}
		return old + " " + how
	}
	var keys []pillarbox.DeadLetterKey
	for _, at := range some {
		keys = append(keys, pillarbox.DeadLetterKey{Destination: s.letters[at].Destination,
			Key: s.letters[at].Event.Key()})
	}
	return s.call(some, resolved, func() error {
		return store.ResolveMany(ctx, keys, pillarbox.Resolution{At: 1, How: how})
	})
}

func (s *story) put(ctx context.Context, store *files.Letters, some []int) error {
	var letters []*pillarbox.DeadLetter
	for _, at := range some {
		s.version++
		letter := s.letters[at]
		letter.Reason = fmt.Sprint("version-", s.version)
		letter.DeadAt += pillarbox.Timestamp(s.random.IntN(3)-1) * 24 * 3600 * 1_000_000
		letters = append(letters, letter)
	}
	return s.call(some, func(at int, _ string) string { return s.letters[at].Reason },
		func() error { return store.PutMany(ctx, letters) })
}

// call keeps the account of one call: until it returns, and for what has failed, both states are
// possible.
func (s *story) call(some []int, change func(at int, old string) string, call func() error) error {
	afters := make([]map[string]bool, len(some))
	for i, at := range some {
		afters[i] = make(map[string]bool)
		for old := range s.allowed[at] {
			afters[i][change(at, old)] = true
		}
		both := maps.Clone(s.allowed[at])
		maps.Copy(both, afters[i])
		s.allowed[at] = both
	}
	err := call()
	var partial *pillarbox.BatchError
	if err != nil && !errors.As(err, &partial) {
		return err
	}
	failed := map[int]bool{}
	if partial != nil {
		for _, item := range partial.Items {
			failed[item.Index] = true
		}
	}
	for i, at := range some {
		if !failed[i] {
			s.allowed[at] = afters[i]
		}
	}
	return err
}

func openUntended(t *testing.T, disk *faultfs.FS, when string) *files.Letters {
	t.Helper()
	store, err := files.Open(disk, "dead", files.Options{Unmaintained: true})
	if err != nil {
		t.Fatalf("%s: open: %v", when, err)
	}
	return store
}

// check opens the letters and holds them against the account.
func (s *story) check(t *testing.T, disk *faultfs.FS, when string) {
	t.Helper()
	store := openUntended(t, disk, when)
	defer store.Close()
	found := make(map[string]string)
	counts := make(map[string]pillarbox.DeadLetterCount)
	for letter, err := range store.List(t.Context(), pillarbox.DeadLetterFilter{Resolved: true}) {
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
			t.Fatalf("%s: letter %d is %q, want one of %q", when, i, got,
				slices.Collect(maps.Keys(s.allowed[i])))
		}
		count, err := store.Count(t.Context(), letter.Destination)
		if err != nil || count != counts[letter.Destination] {
			t.Fatalf("%s: count of %s: %+v, %v; listed were %+v", when, letter.Destination, count,
				err, counts[letter.Destination])
		}
	}
	if err := store.Flush(t.Context()); err != nil {
		t.Fatalf("%s: flush: %v", when, err)
	}
	wantOneFileEach(t, disk, len(found), when)
}

// wantOneFileEach checks that a letter has one file; unfinished ones do not count where letters are
// open.
func wantOneFileEach(t *testing.T, disk *faultfs.FS, want int, when string) {
	t.Helper()
	days, err := disk.ReadDir("dead")
	must(t, err)
	n := 0
	for _, day := range days {
		if day.Name == "index" || day.Name == "journal" {
			continue
		}
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

// The power may go after any operation on the disk, also while the letters are opened after the
// power went.
func TestPowerCutAtAnyMoment(t *testing.T) {
	cuts := 0
	passed := setting.Fewer(1, 10) // every one of so many operations is followed by a cut
	for seed := range uint64(5) {
		s := newStory(seed)
		disk := faultfs.New(faultfs.Options{})
		store := openUntended(t, disk, "at first")
		disk.After(func(op faultfs.Op, _ error) {
			if op.Kind == faultfs.Read || op.Kind == faultfs.ReadDir || passed > 1 && s.random.IntN(passed) > 0 {
				return
			}
			for _, mode := range []faultfs.Mode{faultfs.Dropped,
				faultfs.Modes[s.random.IntN(len(faultfs.Modes))]} {
				cuts++
				when := fmt.Sprintf("seed %d, %s cut after %v %s", seed, mode, op.Kind, op.Name)
				left := disk.Crash(s.random, mode)
				left.After(func(op faultfs.Op, _ error) {
					if (op.Kind == faultfs.Remove || op.Kind == faultfs.SyncDir) && s.random.IntN(4) == 0 {
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
	if cuts < 500/passed {
		t.Errorf("only %d power cuts", cuts)
	}
}

// Any operation on the disk may fail. The error says of which kind it is, what had been promised
// stays, and what is promised afterwards holds in spite of what the failed call has left behind.
func TestEveryOperationMayFail(t *testing.T) {
	failures := 0
	seeds := setting.Fewer(30, 6)
	for seed := range uint64(seeds) {
		s := newStory(seed)
		disk := faultfs.New(faultfs.Options{})
		store := openUntended(t, disk, "at first")
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
			put := func() error { return pillarbox.PutDeadLetter(t.Context(), store, letter) }
			must(t, s.call([]int{i}, func(int, string) string { return letter.Reason }, put))
		}
		must(t, store.Flush(t.Context()))
		wantOneFileEach(t, disk, len(s.letters), fmt.Sprintf("seed %d, still open", seed))
		must(t, store.Close())
		s.check(t, disk.Crash(nil, faultfs.Dropped), fmt.Sprintf("seed %d, at the end", seed))
	}
	if failures < 5*seeds {
		t.Errorf("only %d operations failed", failures)
	}
}

// A process may be killed after any operation, and the power may go in the next life: what that
// life found but was not yet durable must be made so before anything is promised or removed because
// of it.
func TestPowerCutAfterKill(t *testing.T) {
	kills, step := 0, setting.Fewer(2, 20)
	for seed := range uint64(3) {
		for last := 12; last < 90; last += step {
			s := newStory(seed)
			disk := faultfs.New(faultfs.Options{})
			store := openUntended(t, disk, "at first")
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
				s.check(t, disk.Crash(nil, faultfs.Dropped),
					fmt.Sprintf("%s, then cut after %v %s", when, op.Kind, op.Name))
			})
			next := openUntended(t, disk, when)
			for range 4 {
				if err := s.step(t.Context(), next); err != nil && !errors.Is(err, pillarbox.ErrNotFound) {
					t.Fatalf("%s: %v", when, err)
				}
			}
			disk.After(nil)
		}
	}
	if kills < 160/step {
		t.Errorf("only %d kills", kills)
	}
}

// The directory of a day that was made in a life that was killed is no more durable than its files.
func TestDayOfAnEarlierLifeIsMadeDurable(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	killed := openUntended(t, disk, "at first")
	must(t, pillarbox.PutDeadLetter(t.Context(), killed, enginetest.FullLetter()))
	disk.Inject(func(op faultfs.Op) error {
		if op.Kind == faultfs.SyncDir && op.Name == "dead" {
			return syscall.EIO
		}
		return nil
	})
	if err := killed.Flush(t.Context()); !errors.Is(err, pillarbox.ErrUnavailable) {
		t.Fatalf("flush: %v, want ErrUnavailable", err)
	}
	disk.Inject(nil)
	next := openUntended(t, disk, "after the kill")
	must(t, next.Close())
	if found := list(t, openUntended(t, disk.Crash(nil, faultfs.Dropped),
		"after the power cut")); len(found) != 1 {
		t.Errorf("%d letters after the power cut, want 1", len(found))
	}
}

// Where a crash left two files of a letter, the resolved one counts, then the later day; the other
// is removed, unless it or the one that counts can't be read.
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
		"resolved and open": {resolved, later, [2]func([]byte) []byte{whole, whole}, 0, 1},
		"earlier and later": {enginetest.FullLetter(), later,
			[2]func([]byte) []byte{whole, whole}, 1, 1},
		"resolved is broken": {resolved, later, [2]func([]byte) []byte{broken, whole}, 1, 2},
		"open is broken":     {resolved, later, [2]func([]byte) []byte{whole, broken}, 0, 2},
		"later is broken": {enginetest.FullLetter(), later,
			[2]func([]byte) []byte{whole, broken}, 0, 2},
		"open of the same day too": {resolved, enginetest.FullLetter(),
			[2]func([]byte) []byte{whole, whole}, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			disk := faultfs.New(faultfs.Options{})
			for i, letter := range []*pillarbox.DeadLetter{test.first, test.second} {
				id, content, err := deadletterfile.Encode(letter, letter.Resolved)
				must(t, err)
				path := "dead/" + deadletterfile.Name(id,
					deadletterfile.PlaceOf(letter.DeadAt, deadletterfile.StateOf(letter.Resolved)))
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
			must(t, pillarbox.PutDeadLetter(t.Context(), letters, later))
			must(t, letters.Flush(t.Context()))
			wantOneFileEach(t, disk, 1, name)
		})
	}
}

// A disk that can't be read when the letters are opened is an outage.
func TestOpenFails(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	letters, err := files.Open(disk, "dead", files.Options{})
	must(t, err)
	must(t, pillarbox.PutDeadLetter(t.Context(), letters, enginetest.FullLetter()))
	must(t, letters.Close())
	for _, kind := range []faultfs.Kind{faultfs.Mkdir, faultfs.SyncDir, faultfs.ReadDir} {
		disk.Inject(func(op faultfs.Op) error {
			if op.Kind == kind {
				return syscall.EIO
			}
			return nil
		})
		if _, err := files.Open(disk, "dead",
			files.Options{}); !errors.Is(err, pillarbox.ErrUnavailable) {
			t.Errorf("open with a failing %v: %v, want ErrUnavailable", kind, err)
		}
	}
}
