package enginetest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pillarbox"
)

// letterDay is one day in microseconds.
const letterDay = pillarbox.Timestamp(24 * 60 * 60 * 1_000_000)

// Letters returns n open dead letters for destinations a, b-2 and c_3, of n different events, that
// died over four days. The same n and seed give the same letters.
func Letters(n int, seed uint64) []*pillarbox.DeadLetter {
	random := rand.New(rand.NewPCG(seed, 0x64656164))
	letters := make([]*pillarbox.DeadLetter, n)
	for i, event := range Events(n, seed) {
		died := event.Timestamp + pillarbox.Timestamp(random.Int64N(int64(4*letterDay)))
		letter := &pillarbox.DeadLetter{
			Version: pillarbox.DeadLetterVersion, Destination: pick(random, "a", "b-2", "c_3"), DeadAt: died,
			Reason: pick(random, "refused for good: CHECK constraint failed: amount > 0",
				"20 attempts <&> \"no\""),
			Event: event, Replay: "pillarbox dead replay " + event.RequestID,
		}
		for range random.IntN(3) {
			letter.Attempts = append(letter.Attempts, pillarbox.Attempt{
				At: died - 1, Class: pillarbox.ClassRefused, Error: pick(random, "Table is LOCKED",
					"amount > 0 – nö"),
			})
		}
		letters[i] = letter
	}
	return letters
}

func cloneLetter(letter *pillarbox.DeadLetter) *pillarbox.DeadLetter {
	clone := *letter
	clone.Attempts = slices.Clone(letter.Attempts)
	clone.Event = Clone(letter.Event)
	if letter.Resolved != nil {
		resolved := *letter.Resolved
		clone.Resolved = &resolved
	}
	return &clone
}

// DiffLetter says where two letters differ, and is empty where they are the same.
func DiffLetter(got, want *pillarbox.DeadLetter) string {
	if got == nil || want == nil {
		if got == want {
			return ""
		}
		return fmt.Sprintf("got letter %v, want %v", got, want)
	}
	if diff := Diff(got.Event, want.Event); diff != "" {
		return "event: " + diff
	}
	rest := func(letter pillarbox.DeadLetter) string {
		letter.Event = nil
		letter.Attempts = append([]pillarbox.Attempt{}, letter.Attempts...)
		text, err := json.Marshal(letter)
		return fmt.Sprint(string(text), err)
	}
	if rest(*got) != rest(*want) {
		return fmt.Sprintf("got %s, want %s", rest(*got), rest(*want))
	}
	return ""
}

// sortLetters brings letters into the order of List: by day of death, then by event key.
func sortLetters(letters []*pillarbox.DeadLetter) []*pillarbox.DeadLetter {
	sorted := slices.Clone(letters)
	slices.SortStableFunc(sorted, func(a, b *pillarbox.DeadLetter) int {
		if byDay := strings.Compare(a.DeadAt.String()[:10], b.DeadAt.String()[:10]); byDay != 0 {
			return byDay
		}
		return compareEvents(a.Event, b.Event)
	})
	return sorted
}

func put(t *testing.T, store pillarbox.DeadLetters, letters ...*pillarbox.DeadLetter) {
	t.Helper()
	for _, letter := range letters {
		if err := pillarbox.PutDeadLetter(t.Context(), store, letter); err != nil {
			t.Fatalf("put: %v", err)
		}
	}
}

func resolve(t *testing.T, store pillarbox.DeadLetters, letter *pillarbox.DeadLetter, how string,
	at pillarbox.Timestamp) {
	t.Helper()
	resolution := pillarbox.Resolution{At: at, How: how}
	if err := pillarbox.ResolveDeadLetter(t.Context(), store,
		pillarbox.DeadLetterKey{Destination: letter.Destination,
			Key: letter.Event.Key()}, resolution); err != nil {
		t.Fatalf("resolve: %v", err)
	}
}

func wantCount(t *testing.T, store pillarbox.DeadLetters, destination string,
	want pillarbox.DeadLetterCount) {
	t.Helper()
	if got, err := store.Count(t.Context(), destination); err != nil || got != want {
		t.Errorf("count of %s: got %+v, %v; want %+v", destination, got, err, want)
	}
}

// wantLetter checks that Get and List agree on the letter.
func wantLetter(t *testing.T, store pillarbox.DeadLetters, want *pillarbox.DeadLetter) {
	t.Helper()
	got, err := store.Get(t.Context(), want.Destination, want.Event.RequestID)
	if err != nil {
		t.Fatalf("get %s: %v", want.Event.RequestID, err)
	}
	if diff := DiffLetter(got, want); diff != "" {
		t.Errorf("get: %s", diff)
	}
	filter := pillarbox.DeadLetterFilter{
		Destination: want.Destination, RequestIDs: []string{want.Event.RequestID}, Resolved: true,
	}
	wantLetters(t, listLetters(t, store, filter), []*pillarbox.DeadLetter{want})
}

func listLetters(t *testing.T, store pillarbox.DeadLetters,
	filter pillarbox.DeadLetterFilter) []*pillarbox.DeadLetter {
	t.Helper()
	var found []*pillarbox.DeadLetter
	for letter, err := range store.List(t.Context(), filter) {
		if err != nil {
			t.Fatalf("list %+v: %v", filter, err)
		}
		found = append(found, letter)
	}
	return found
}

func wantLetters(t *testing.T, got, want []*pillarbox.DeadLetter) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("got %d letters, want %d", len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		if diff := DiffLetter(got[i], want[i]); diff != "" {
			t.Fatalf("letter %d: %s", i, diff)
		}
	}
}

// FullLetter has something in every field. Formats are held to its bytes, so it only changes on
// purpose.
func FullLetter() *pillarbox.DeadLetter {
	return &pillarbox.DeadLetter{
		Version: 1, Destination: "events", Reason: `refused for good: amount <must> be > 0 & "whole"`, DeadAt: 1795443125_000001,
		Attempts: []pillarbox.Attempt{{At: 1795443121_000000, Class: pillarbox.ClassRefused,
			Error: "locked"}},
		Event: &pillarbox.Event{
			Timestamp: 1795443120_123456, RequestID: "019ab123-4567-7abc-8def-0123456789ab", Source: "app", Method: "POST",
			Path: "/app", Query: "a=1&b=2", ContentType: "application/json", RemoteAddr: "203.0.113.7",
			Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
			Header: pillarbox.Header{{Name: "Content-Type", Value: "application/json"},
				{Name: "X-Tag", Value: "a"}, {Name: "X-Tag", Value: "b"}},
			Body: []byte(`{"hello":"wörld <&>"}`),
		},
		Replay: "pillarbox dead replay --destination events 019ab123-4567-7abc-8def-0123456789ab",
	}
}
