package enginetest

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"pillarbox"
)

// DeadLetters tests what dead letters promise. open returns a fresh, empty store.
func DeadLetters(t *testing.T, open func(t *testing.T) pillarbox.DeadLetters) {
	opened := func(t *testing.T) pillarbox.DeadLetters {
		letters := open(t)
		t.Cleanup(func() { closeTwice(t, letters) })
		return letters
	}
	t.Run("PutGet", func(t *testing.T) { testPutGet(t, opened(t)) })
	t.Run("PutAgain", func(t *testing.T) { testPutAgain(t, opened(t)) })
	t.Run("PutOnAnotherDay", func(t *testing.T) { testPutOnAnotherDay(t, opened(t)) })
	t.Run("PutKeepsNothing", func(t *testing.T) { testPutKeepsNothing(t, opened(t)) })
	t.Run("PutConcurrently", func(t *testing.T) { testPutConcurrently(t, opened(t)) })
	t.Run("PutMany", func(t *testing.T) { testPutMany(t, opened(t)) })
	t.Run("ResolveMany", func(t *testing.T) { testResolveMany(t, opened(t)) })
	t.Run("Summaries", func(t *testing.T) { testSummaries(t, opened(t)) })
	t.Run("ListAfter", func(t *testing.T) { testListAfter(t, opened(t)) })
	t.Run("KeepsBytes", func(t *testing.T) { testLettersKeepBytes(t, opened(t)) })
	t.Run("Get", func(t *testing.T) { testGet(t, opened(t)) })
	t.Run("Resolve", func(t *testing.T) { testResolve(t, opened(t)) })
	t.Run("ResolveUnknown", func(t *testing.T) { testResolveUnknown(t, opened(t)) })
	t.Run("PutOpensAgain", func(t *testing.T) { testPutOpensAgain(t, opened(t)) })
	t.Run("List", func(t *testing.T) { testListLetters(t, opened(t)) })
	t.Run("ListStops", func(t *testing.T) { testListStops(t, opened(t)) })
	t.Run("ListWhileChanging", func(t *testing.T) { testListWhileChanging(t, opened(t)) })
	t.Run("Closed", func(t *testing.T) { testLettersClosed(t, opened(t)) })
}

// LettersPlace is where a durable engine keeps dead letters.
type LettersPlace struct {
	// Open opens the dead letters in this place, any number of times.
	Open func() pillarbox.DeadLetters
	// Damage makes the stored letter unreadable, while it is open or closed.
	Damage func(destination string, key pillarbox.Key)
}

// DeadLettersDurable tests that letters are there when they are opened again, and that one that
// can't be read is reported and does not hide the others. place makes a fresh place.
func DeadLettersDurable(t *testing.T, place func(t *testing.T) LettersPlace) {
	t.Run("Reopen", func(t *testing.T) { testLettersReopen(t, place(t)) })
	t.Run("Damaged", func(t *testing.T) { testLettersDamaged(t, place(t)) })
}

func testPutGet(t *testing.T, store pillarbox.DeadLetters) {
	letters := Letters(30, 40)
	open := make(map[string]uint64)
	for _, letter := range letters {
		put(t, store, letter)
		open[letter.Destination]++
	}
	for _, letter := range letters {
		wantLetter(t, store, letter)
	}
	for destination, n := range open {
		wantCount(t, store, destination, pillarbox.DeadLetterCount{Open: n})
	}
	wantCount(t, store, "unknown", pillarbox.DeadLetterCount{})
}

// A crash between the letter and its settlement leads to the same letter again.
func testPutAgain(t *testing.T, store pillarbox.DeadLetters) {
	letter := Letters(1, 41)[0]
	put(t, store, letter, letter, cloneLetter(letter))
	letter.Reason = "another reason"
	letter.Attempts = append(letter.Attempts,
		pillarbox.Attempt{At: letter.DeadAt, Class: pillarbox.ClassPermanent, Error: "no"})
	put(t, store, letter)
	wantLetter(t, store, letter)
	wantCount(t, store, letter.Destination, pillarbox.DeadLetterCount{Open: 1})
}

// The letter of the newest Put is the one that stays, whatever its time of death.
func testPutOnAnotherDay(t *testing.T, store pillarbox.DeadLetters) {
	letter := Letters(1, 42)[0]
	for _, days := range []pillarbox.Timestamp{0, 3, -2, 1} {
		letter.DeadAt += days * letterDay
		put(t, store, letter)
		wantLetter(t, store, letter)
		wantCount(t, store, letter.Destination, pillarbox.DeadLetterCount{Open: 1})
	}
	wantLetters(t, listLetters(t, store, pillarbox.DeadLetterFilter{Resolved: true}),
		[]*pillarbox.DeadLetter{letter})
}

func testPutKeepsNothing(t *testing.T, store pillarbox.DeadLetters) {
	letter := Letters(1, 43)[0]
	letter.Attempts = []pillarbox.Attempt{{At: 1, Class: pillarbox.ClassRefused, Error: "first"}}
	want := cloneLetter(letter)
	put(t, store, letter)
	if diff := DiffLetter(letter, want); diff != "" {
		t.Errorf("put changed the letter: %s", diff)
	}
	letter.Attempts[0].Error = "changed"
	letter.Event.Source = "changed"
	for at := range letter.Event.Body {
		letter.Event.Body[at] = '!'
	}
	wantLetter(t, store, want)
	got, err := store.Get(t.Context(), want.Destination, want.Event.RequestID)
	if err != nil {
		t.Fatal(err)
	}
	got.Event.Source, got.Attempts[0].Error = "changed", "changed"
	wantLetter(t, store, want)
}

func testPutConcurrently(t *testing.T, store pillarbox.DeadLetters) {
	letters := Letters(40, 44)
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			for i := range letters {
				letter := letters[(i+worker*10)%len(letters)]
				if err := pillarbox.PutDeadLetter(t.Context(), store, letter); err != nil {
					t.Errorf("put: %v", err)
				}
				resolution := pillarbox.Resolution{At: letter.DeadAt, How: pillarbox.ResolvedReplayed}
				if err := pillarbox.ResolveDeadLetter(t.Context(), store,
					pillarbox.DeadLetterKey{Destination: letter.Destination,
						Key: letter.Event.Key()}, resolution); err != nil {
					t.Errorf("resolve: %v", err)
				}
			}
		})
	}
	group.Wait()
	replayed := make(map[string]uint64)
	for _, letter := range letters {
		letter.Resolved = &pillarbox.Resolution{At: letter.DeadAt, How: pillarbox.ResolvedReplayed}
		replayed[letter.Destination]++
		wantLetter(t, store, letter)
	}
	for destination, n := range replayed {
		wantCount(t, store, destination, pillarbox.DeadLetterCount{Replayed: n})
	}
}

func testLettersKeepBytes(t *testing.T, store pillarbox.DeadLetters) {
	bodies := []string{"", "\x00", "a\x00b", "\xff\xfe", "</script>&\u2028", "Grüße 🐘",
		strings.Repeat("\x01\xff", 1<<19)}
	letters := Letters(len(bodies), 45)
	for i, body := range bodies {
		letters[i].Event.Body = []byte(body)
		put(t, store, letters[i])
	}
	for _, letter := range letters {
		wantLetter(t, store, letter)
	}
}

func testGet(t *testing.T, store pillarbox.DeadLetters) {
	letters := Letters(2, 46)
	letters[0].Destination, letters[1].Destination = "a", "a"
	other := cloneLetter(letters[0])
	other.Destination = "b-2"
	put(t, store, letters[0], letters[1], other)
	resolve(t, store, letters[1], pillarbox.ResolvedDiscarded, 5)

	if _, err := store.Get(t.Context(), "", letters[0].Event.RequestID); !errors.Is(err,
		pillarbox.ErrConflict) {
		t.Errorf("get without destination of a letter that two have: %v, want ErrConflict", err)
	}
	got, err := store.Get(t.Context(), "", letters[1].Event.RequestID)
	if err != nil || got.Destination != "a" || got.Resolved == nil {
		t.Errorf("get without destination: %+v, %v; want the resolved letter of a", got, err)
	}
	for _, unknown := range []struct{ destination, requestID string }{
		{"a", "nothing"}, {"", "nothing"}, {"c_3", letters[0].Event.RequestID}, {"", ""}, {"a",
			"../../x"},
	} {
		if got, err := store.Get(t.Context(), unknown.destination, unknown.requestID); !errors.Is(err,
			pillarbox.ErrNotFound) {
			t.Errorf("get %q: %+v, %v; want ErrNotFound", unknown, got, err)
		}
	}
	wantLetter(t, store, other)
}

func testResolve(t *testing.T, store pillarbox.DeadLetters) {
	letters := Letters(4, 47)
	for _, letter := range letters {
		letter.Destination = "a"
		put(t, store, letter)
	}
	for _, again := range []pillarbox.Timestamp{0, 1} { // the second time changes nothing
		resolve(t, store, letters[0], pillarbox.ResolvedReplayed, 100+again)
		resolve(t, store, letters[1], pillarbox.ResolvedDiscarded, 200+again)
		wantCount(t, store, "a", pillarbox.DeadLetterCount{Open: 2, Replayed: 1, Discarded: 1})
	}
	resolve(t, store, letters[1], pillarbox.ResolvedReplayed, 300)
	wantCount(t, store, "a", pillarbox.DeadLetterCount{Open: 2, Replayed: 1, Discarded: 1})
	letters[0].Resolved = &pillarbox.Resolution{At: 100, How: pillarbox.ResolvedReplayed}
	letters[1].Resolved = &pillarbox.Resolution{At: 200, How: pillarbox.ResolvedDiscarded}
	for _, letter := range letters {
		wantLetter(t, store, letter)
	}
	open := listLetters(t, store, pillarbox.DeadLetterFilter{})
	wantLetters(t, open, sortLetters(letters[2:]))
}

func testResolveUnknown(t *testing.T, store pillarbox.DeadLetters) {
	letters := Letters(2, 48)
	put(t, store, letters[0])
	key := letters[0].Event.Key()
	for name, unknown := range map[string]struct {
		destination string
		key         pillarbox.Key
	}{
		"other destination": {"unknown", key},
		"other event":       {letters[0].Destination, letters[1].Event.Key()},
		"other time": {letters[0].Destination,
			pillarbox.Key{Timestamp: key.Timestamp + 1, RequestID: key.RequestID}},
	} {
		err := pillarbox.ResolveDeadLetter(t.Context(), store,
			pillarbox.DeadLetterKey{Destination: unknown.destination,
				Key: unknown.key}, pillarbox.Resolution{At: 1, How: pillarbox.ResolvedReplayed})
		if !errors.Is(err, pillarbox.ErrNotFound) {
			t.Errorf("resolve of %s: %v, want ErrNotFound", name, err)
		}
	}
	wantLetter(t, store, letters[0])
}

// A letter that was replayed and refused again is open again, and can be resolved again.
func testPutOpensAgain(t *testing.T, store pillarbox.DeadLetters) {
	letter := Letters(1, 49)[0]
	for round, days := range []pillarbox.Timestamp{0, 0, 1, -1} {
		letter.DeadAt += days * letterDay
		letter.Resolved = nil
		put(t, store, letter)
		wantLetter(t, store, letter)
		wantCount(t, store, letter.Destination, pillarbox.DeadLetterCount{Open: 1})
		resolve(t, store, letter, pillarbox.ResolvedReplayed, pillarbox.Timestamp(1000+round))
		letter.Resolved = &pillarbox.Resolution{At: pillarbox.Timestamp(1000 + round),
			How: pillarbox.ResolvedReplayed}
		wantLetter(t, store, letter)
		wantCount(t, store, letter.Destination, pillarbox.DeadLetterCount{Replayed: 1})
	}
	// What Get returned may be put back as it is.
	put(t, store, letter)
	letter.Resolved = nil
	wantLetter(t, store, letter)
	wantCount(t, store, letter.Destination, pillarbox.DeadLetterCount{Open: 1})
}

// List agrees with a loop over the letters, whatever the filter.
func testListLetters(t *testing.T, store pillarbox.DeadLetters) {
	letters := sortLetters(Letters(80, 50))
	random := rand.New(rand.NewPCG(50, 0))
	for _, at := range random.Perm(len(letters)) {
		put(t, store, letters[at])
		if random.IntN(4) == 0 {
			how := pick(random, pillarbox.ResolvedReplayed, pillarbox.ResolvedDiscarded)
			resolve(t, store, letters[at], how, letters[at].DeadAt)
			letters[at].Resolved = &pillarbox.Resolution{At: letters[at].DeadAt, How: how}
		}
	}
	for round := range 200 {
		filter := randomLetterFilter(random, letters)
		var want []*pillarbox.DeadLetter
		for _, letter := range letters {
			if filter.Match(letter) {
				want = append(want, letter)
			}
		}
		got := listLetters(t, store, filter)
		if len(got) != len(want) {
			t.Fatalf("seed 50, round %d, %+v: got %d letters, want %d", round, filter, len(got), len(want))
		}
		wantLetters(t, got, want)
	}
}

func randomLetterFilter(random *rand.Rand,
	letters []*pillarbox.DeadLetter) pillarbox.DeadLetterFilter {
	some := func() *pillarbox.DeadLetter { return letters[random.IntN(len(letters))] }
	filter := pillarbox.DeadLetterFilter{Resolved: random.IntN(2) == 0}
	if random.IntN(3) == 0 {
		filter.Destination = pick(random, "a", "b-2", "c_3", "b")
	}
	if random.IntN(3) == 0 {
		filter.Since = some().DeadAt + pillarbox.Timestamp(random.IntN(3)-1)
	}
	if random.IntN(3) == 0 {
		filter.Until = some().DeadAt + pillarbox.Timestamp(random.IntN(3)-1)
	}
	if random.IntN(4) == 0 {
		filter.Source = pick(random, "app", "orders", "nowhere")
	}
	if random.IntN(4) == 0 {
		filter.RequestIDs = []string{some().Event.RequestID, "nothing", some().Event.RequestID}
	}
	if random.IntN(4) == 0 {
		filter.Error = pick(random, "LoCKed", "amount", "no such words")
	}
	return filter
}

func testListStops(t *testing.T, store pillarbox.DeadLetters) {
	put(t, store, Letters(10, 51)...)
	seen := 0
	for _, err := range store.List(t.Context(), pillarbox.DeadLetterFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if seen++; seen == 3 {
			break
		}
	}
	if seen != 3 {
		t.Errorf("saw %d letters before the break, want 3", seen)
	}
	// A walk whose context has ended comes to an end, too.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range store.List(ctx, pillarbox.DeadLetterFilter{}) {
		seen++
	}
	if seen > 13 {
		t.Errorf("a cancelled walk over 10 letters went on %d times", seen-3)
	}
}

// A replay resolves letters while it walks through them.
func testListWhileChanging(t *testing.T, store pillarbox.DeadLetters) {
	letters := Letters(20, 52)
	put(t, store, letters...)
	seen := 0
	for letter, err := range store.List(t.Context(), pillarbox.DeadLetterFilter{}) {
		if err != nil {
			t.Fatalf("list while changing: %v", err)
		}
		resolve(t, store, letter, pillarbox.ResolvedReplayed, 7)
		seen++
	}
	if seen != len(letters) {
		t.Errorf("the walk met %d letters, want %d", seen, len(letters))
	}
	if open := listLetters(t, store, pillarbox.DeadLetterFilter{}); len(open) != 0 {
		t.Errorf("%d letters are still open", len(open))
	}
}

func testLettersClosed(t *testing.T, store pillarbox.DeadLetters) {
	letter := Letters(1, 53)[0]
	put(t, store, letter)
	closeTwice(t, store)
	if err := pillarbox.PutDeadLetter(t.Context(), store, letter); !errors.Is(err,
		pillarbox.ErrClosed) {
		t.Errorf("put after close: %v, want ErrClosed", err)
	}
	err := pillarbox.ResolveDeadLetter(t.Context(), store,
		pillarbox.DeadLetterKey{Destination: letter.Destination,
			Key: letter.Event.Key()}, pillarbox.Resolution{At: 1, How: pillarbox.ResolvedReplayed})
	if !errors.Is(err, pillarbox.ErrClosed) {
		t.Errorf("resolve after close: %v, want ErrClosed", err)
	}
}

func testLettersReopen(t *testing.T, place LettersPlace) {
	letters := Letters(30, 54)
	count := make(map[string]pillarbox.DeadLetterCount)
	store := place.Open()
	for i, letter := range letters {
		put(t, store, letter)
		counted := count[letter.Destination]
		if i%3 == 0 {
			resolve(t, store, letter, pillarbox.ResolvedDiscarded, letter.DeadAt)
			letter.Resolved = &pillarbox.Resolution{At: letter.DeadAt, How: pillarbox.ResolvedDiscarded}
			counted.Discarded++
		} else {
			counted.Open++
		}
		count[letter.Destination] = counted
	}
	for range 2 {
		closeTwice(t, store)
		store = place.Open()
		for destination, want := range count {
			wantCount(t, store, destination, want)
		}
		for _, letter := range letters {
			wantLetter(t, store, letter)
		}
	}
	closeTwice(t, store)
}

func testLettersDamaged(t *testing.T, place LettersPlace) {
	letters := Letters(10, 55)
	store := place.Open()
	put(t, store, letters...)
	damaged := letters[4]
	place.Damage(damaged.Destination, damaged.Event.Key())
	for range 2 {
		readable, corrupt := 0, 0
		for letter, err := range store.List(t.Context(), pillarbox.DeadLetterFilter{}) {
			switch {
			case err == nil:
				readable++
			case letter == nil && errors.Is(err, pillarbox.ErrCorrupt):
				corrupt++
			default:
				t.Errorf("list: %v, %v; want a nil letter and ErrCorrupt", letter, err)
			}
		}
		if readable != len(letters)-1 || corrupt != 1 {
			t.Errorf("list: %d letters and %d corrupt, want %d and 1", readable, corrupt, len(letters)-1)
		}
		if _, err := store.Get(t.Context(), damaged.Destination,
			damaged.Event.RequestID); !errors.Is(err, pillarbox.ErrCorrupt) {
			t.Errorf("get of the damaged letter: %v, want ErrCorrupt", err)
		}
		closeTwice(t, store)
		store = place.Open()
	}
	// The letter can be put again, and is then as good as new.
	put(t, store, damaged)
	wantLetter(t, store, damaged)
	closeTwice(t, store)
}
