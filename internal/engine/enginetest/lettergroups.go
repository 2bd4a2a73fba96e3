package enginetest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"pillarbox"
)

// A group is kept as its letters are one by one: each replaces what was there, the later of two of
// one event stays, and a letter that can't be kept is named and takes no other with it.
func testPutMany(t *testing.T, store pillarbox.DeadLetters) {
	letters := Letters(40, 60)
	for _, letter := range letters {
		letter.Destination = "a"
	}
	put(t, store, letters[0], letters[1])
	resolve(t, store, letters[1], pillarbox.ResolvedDiscarded, 9)
	older := cloneLetter(letters[2])
	older.Reason = "an older reason"
	letters[0].Reason = "another reason"
	if err := store.PutMany(t.Context(),
		append([]*pillarbox.DeadLetter{older}, letters...)); err != nil {
		t.Fatalf("put many: %v", err)
	}
	if err := store.PutMany(t.Context(), nil); err != nil {
		t.Errorf("put of no letters: %v", err)
	}
	for _, letter := range letters {
		wantLetter(t, store, letter)
	}
	wantCount(t, store, "a", pillarbox.DeadLetterCount{Open: uint64(len(letters))})
	wantLetters(t, listLetters(t, store, pillarbox.DeadLetterFilter{}), sortLetters(letters))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := store.PutMany(ctx, letters); !errors.Is(err, context.Canceled) {
		t.Errorf("put with a context that has ended: %v", err)
	}
}

// What can't be resolved is named by its place, and the others are resolved, once.
func testResolveMany(t *testing.T, store pillarbox.DeadLetters) {
	letters := Letters(10, 61)
	var keys []pillarbox.DeadLetterKey
	for _, letter := range letters {
		letter.Destination = "a"
		keys = append(keys, pillarbox.DeadLetterKey{Destination: "a", Key: letter.Event.Key()})
	}
	put(t, store, letters...)
	resolve(t, store, letters[3], pillarbox.ResolvedDiscarded, 5)
	keys = append(keys[:7], append([]pillarbox.DeadLetterKey{
		{Destination: "nobody", Key: keys[0].Key}, keys[2]}, keys[7:]...)...)
	err := store.ResolveMany(t.Context(), keys,
		pillarbox.Resolution{At: 6, How: pillarbox.ResolvedReplayed})
	var partial *pillarbox.BatchError
	if !errors.As(err, &partial) || len(partial.Items) != 1 || partial.Items[0].Index != 7 ||
		!errors.Is(err, pillarbox.ErrNotFound) {
		t.Fatalf("resolve many: %v; want one item, at 7, that is not found", err)
	}
	for i, letter := range letters {
		letter.Resolved = &pillarbox.Resolution{At: 6, How: pillarbox.ResolvedReplayed}
		if i == 3 {
			letter.Resolved = &pillarbox.Resolution{At: 5, How: pillarbox.ResolvedDiscarded}
		}
		wantLetter(t, store, letter)
	}
	wantCount(t, store, "a", pillarbox.DeadLetterCount{Replayed: 9, Discarded: 1})
}

// Summaries tell what the letters would, for whatever filter.
func testSummaries(t *testing.T, store pillarbox.DeadLetters) {
	letters := sortLetters(Letters(60, 62))
	put(t, store, letters...)
	for i := range letters {
		if i%4 == 0 {
			resolve(t, store, letters[i], pillarbox.ResolvedReplayed, 7)
			letters[i].Resolved = &pillarbox.Resolution{At: 7, How: pillarbox.ResolvedReplayed}
		}
	}
	for name, filter := range map[string]pillarbox.DeadLetterFilter{
		"open": {}, "all": {Resolved: true,
			Missing: true}, "destination": {Destination: "a"}, "source": {Source: "orders", Resolved: true},
		"ids": {RequestIDs: []string{letters[3].Event.RequestID, "nothing", letters[8].Event.RequestID,
			letters[3].Event.RequestID}, Resolved: true},
		"error": {Error: "LOCKED", Resolved: true}, "since": {Since: letters[20].DeadAt}, "until": {
			Until: letters[20].DeadAt},
	} {
		var want, got []string
		for _, letter := range letters {
			if filter.Match(letter) {
				want = append(want, fmt.Sprintf("%+v", letter.Summary()))
			}
		}
		for summary, err := range store.Summaries(t.Context(), filter) {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got = append(got, fmt.Sprintf("%+v", summary))
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

// A page goes on behind the last letter of the one before, also where letters share a time, or a
// name is hashed.
func testListAfter(t *testing.T, store pillarbox.DeadLetters) {
	letters := Letters(30, 63)
	for i, letter := range letters[:8] {
		letter.Event.Timestamp = letters[0].Event.Timestamp
		if i%2 == 0 {
			letter.Event.RequestID = fmt.Sprintf("no uuid %d", i)
		}
	}
	put(t, store, letters...)
	letters = sortLetters(letters)
	var after pillarbox.DeadLetterPosition
	for at := range letters {
		filter := pillarbox.DeadLetterFilter{After: after}
		wantLetters(t, listLetters(t, store, filter), letters[at:])
		after = pillarbox.DeadLetterPosition{DeadAt: letters[at].DeadAt, Key: letters[at].Event.Key(),
			Destination: letters[at].Destination}
	}
	if left := listLetters(t, store, pillarbox.DeadLetterFilter{After: after}); len(left) != 0 {
		t.Errorf("%d letters are behind the last one", len(left))
	}
}
