package enginetest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pillarbox"
)

// eventStore tests what a sink promises that can be read back.
func eventStore(t *testing.T, opened func(t *testing.T) pillarbox.Sink) {
	t.Run("StoresOnce", func(t *testing.T) { testStoresOnce(t, opened(t)) })
	t.Run("StoresOnceConcurrently", func(t *testing.T) { testStoresOnceConcurrently(t, opened(t)) })
	t.Run("KeepsNoSlice", func(t *testing.T) { testKeepsNoSlice(t, opened(t)) })
	t.Run("HandsOutCopies", func(t *testing.T) { testHandsOutCopies(t, opened(t)) })
	t.Run("KeepsBytes", func(t *testing.T) { testKeepsBytes(t, opened(t)) })
	t.Run("KeyIsBoth", func(t *testing.T) { testKeyIsBoth(t, opened(t)) })
	t.Run("Find", func(t *testing.T) { testFind(t, opened(t)) })
	t.Run("List", func(t *testing.T) { testList(t, opened(t)) })
	t.Run("ListLimit", func(t *testing.T) { testListLimit(t, opened(t)) })
	t.Run("ListPages", func(t *testing.T) { testListPages(t, opened(t)) })
	t.Run("Search", func(t *testing.T) { testSearch(t, opened(t)) })
	t.Run("SearchIsBounded", func(t *testing.T) { testSearchIsBounded(t, opened(t)) })
	t.Run("Missing", func(t *testing.T) { testMissing(t, opened(t)) })
	t.Run("StoredAt", func(t *testing.T) { testStoredAt(t, opened(t)) })
}

// SinkDurable tests that what was written is there when the store is opened again. place makes a
// fresh place and returns how to open the store in it, any number of times.
func SinkDurable(t *testing.T, place func(t *testing.T) (open func() pillarbox.Sink)) {
	open := place(t)
	events := Events(300, 30)
	var storedAt pillarbox.Timestamp
	for life := range 3 {
		store := open()
		if life > 0 {
			wantStored(t, store, events[:life*100])
			again, err := store.StoredAt(t.Context(), events[0].Key())
			if err != nil || again != storedAt {
				t.Errorf("life %d: first event was stored at %v, %v; want %v", life, again, err, storedAt)
			}
		}
		write(t, store, events[:(life+1)*100])
		wantStored(t, store, events[:(life+1)*100])
		var err error
		if storedAt, err = store.StoredAt(t.Context(), events[0].Key()); err != nil {
			t.Fatal(err)
		}
		closeTwice(t, store)
	}
}

// wantStored checks that the store holds exactly the events, which are ordered by key.
func wantStored(t *testing.T, store pillarbox.Sink, events []*pillarbox.Event) {
	t.Helper()
	count, err := store.Count(t.Context())
	if err != nil || count != uint64(len(events)) {
		t.Errorf("count: got %d, %v; want %d", count, err, len(events))
	}
	wantEvents(t, listAll(t, store, pillarbox.EventFilter{Limit: 77}), events)
}

func wantEvents(t *testing.T, got, want []*pillarbox.Event) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("got %d events, want %d", len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		if diff := Diff(got[i], want[i]); diff != "" {
			t.Fatalf("event %d: %s", i, diff)
		}
	}
}

func list(t *testing.T, store pillarbox.Sink, filter pillarbox.EventFilter) []*pillarbox.Event {
	t.Helper()
	events, err := store.List(t.Context(), filter)
	if err != nil {
		t.Fatalf("list %+v: %v", filter, err)
	}
	return events
}

// listAll walks through all pages.
func listAll(t *testing.T, store pillarbox.Sink, filter pillarbox.EventFilter) []*pillarbox.Event {
	t.Helper()
	var all []*pillarbox.Event
	for {
		page := list(t, store, filter)
		all = append(all, page...)
		if len(page) < filter.Limit {
			return all
		}
		filter.After = page[len(page)-1].Key()
	}
}

func testStoresOnce(t *testing.T, store pillarbox.Sink) {
	wantStored(t, store, nil)
	events := Events(120, 10)
	shuffled := slices.Clone(events)
	rand.New(rand.NewPCG(10, 0)).Shuffle(len(shuffled), func(i, j int) {
		shuffled[i], shuffled[j] = shuffled[j], shuffled[i]
	})
	write(t, store, shuffled[:40])
	write(t, store, append(slices.Clone(shuffled[20:60]), shuffled[:60]...))
	write(t, store, shuffled)
	wantStored(t, store, events)
}

func testStoresOnceConcurrently(t *testing.T, store pillarbox.Sink) {
	events := Events(400, 11)
	writeConcurrently(t, store, events)
	wantStored(t, store, events)
}

// The caller uses its memory again as soon as Write returns.
func testKeepsNoSlice(t *testing.T, store pillarbox.Sink) {
	events, want := Events(40, 12), Events(40, 12)
	write(t, store, events)
	for i, event := range events {
		for at := range event.Body {
			event.Body[at] = '!'
		}
		for at := range event.Header {
			event.Header[at] = pillarbox.HeaderField{Name: "Gone", Value: "gone"}
		}
		*event = pillarbox.Event{RequestID: fmt.Sprint("gone", i), Timestamp: 1}
		events[i] = nil
	}
	wantStored(t, store, want)
}

// What a reader does with an event is its own affair.
func testHandsOutCopies(t *testing.T, store pillarbox.Sink) {
	want := Events(10, 13)
	write(t, store, want)
	for _, event := range list(t, store, pillarbox.EventFilter{}) {
		for at := range event.Body {
			event.Body[at] = '!'
		}
		for at := range event.Header {
			event.Header[at].Value = "gone"
		}
		event.Source = "gone"
	}
	wantStored(t, store, want)
}

func testKeepsBytes(t *testing.T, store pillarbox.Sink) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	bodies := [][]byte{
		nil, {}, {0}, []byte("\x00\x00"), []byte("a\x00b"), []byte("text\x00"), every, {0xff,
			0xfe}, {0xc3},
		[]byte("\xed\xa0\x80"), []byte("\xef\xbb\xbfmark"), []byte("null"), []byte("123"), []byte(
			" 1.50 "), []byte("1e400"),
		[]byte("'; DROP TABLE events; --"), []byte("\r\n\t \u2028"), []byte("Grüße 🐘"), []byte("x'00'"), []byte(`"\u0000"`),
		[]byte(strings.Repeat("🐘", 1<<18)), bytes.Repeat(every, 1<<12),
	}
	events := Events(len(bodies), 14)
	for i, body := range bodies {
		events[i].Body = body
	}
	write(t, store, events)
	wantEvents(t, listAll(t, store, pillarbox.EventFilter{Limit: 5}), events)
	for i, event := range events {
		found, err := store.Find(t.Context(), event.RequestID)
		if err != nil {
			t.Fatalf("find event with body %d: %v", i, err)
		}
		if diff := Diff(found, event); diff != "" {
			t.Errorf("body %d: %s", i, diff)
		}
	}
}

// Two events are the same only if both halves of their keys are.
func testKeyIsBoth(t *testing.T, store pillarbox.Sink) {
	events := Events(3, 15)
	events[1].RequestID = events[0].RequestID
	events[2].Timestamp = events[1].Timestamp
	slices.SortFunc(events, compareEvents)
	write(t, store, events)
	wantStored(t, store, events)
}

func testFind(t *testing.T, store pillarbox.Sink) {
	events := Events(60, 16)
	// Ids that are no UUID, and UUIDs whose time is far from the event's, are found as well.
	events[7].RequestID = "Abc-_= '\"ü"
	events[8].RequestID = "7d1c1f5e-5a0b-4c0e-9d3c-6d0f3a0f7a10"
	events[9].RequestID = "00000000-0000-7000-8000-000000000000"
	write(t, store, events)
	for i, event := range events {
		found, err := store.Find(t.Context(), event.RequestID)
		if err != nil {
			t.Fatalf("find event %d: %v", i, err)
		}
		if diff := Diff(found, event); diff != "" {
			t.Fatalf("event %d: %s", i, diff)
		}
	}
	for _, unknown := range []string{"", "nothing", Events(61, 16)[60].RequestID,
		strings.ToUpper(events[0].RequestID)} {
		if found, err := store.Find(t.Context(), unknown); !errors.Is(err, pillarbox.ErrNotFound) {
			t.Errorf("find %q: got %v, %v; want ErrNotFound", unknown, found, err)
		}
	}
}

// List agrees with a loop over the events, whatever the filter.
func testList(t *testing.T, store pillarbox.Sink) {
	events := Events(150, 17)
	for i := range events { // ties in time, so that the second half of the key decides
		events[i].Timestamp = events[i/5*5].Timestamp
	}
	slices.SortFunc(events, compareEvents)
	write(t, store, events)
	random := rand.New(rand.NewPCG(17, 0))
	for round := range 400 {
		filter := randomFilter(random, events)
		got, want := list(t, store, filter), filterEvents(events, filter)
		if len(got) != len(want) {
			t.Fatalf("seed 17, round %d, %+v: got %d events, want %d", round, filter, len(got), len(want))
		}
		for i := range got {
			if diff := Diff(got[i], want[i]); diff != "" {
				t.Fatalf("seed 17, round %d, %+v, event %d: %s", round, filter, i, diff)
			}
		}
	}
}

func randomFilter(random *rand.Rand, events []*pillarbox.Event) pillarbox.EventFilter {
	some := func() *pillarbox.Event { return events[random.IntN(len(events))] }
	filter := pillarbox.EventFilter{Newest: random.IntN(2) == 0, Limit: random.IntN(40)}
	if random.IntN(3) == 0 {
		filter.Source = pick(random, "app", "orders", "nowhere")
	}
	if random.IntN(8) == 0 {
		filter.RequestID = some().RequestID
	}
	if random.IntN(3) == 0 {
		filter.Since = some().Timestamp + pillarbox.Timestamp(random.IntN(3)-1)
	}
	if random.IntN(3) == 0 {
		filter.Until = some().Timestamp + pillarbox.Timestamp(random.IntN(3)-1)
	}
	if random.IntN(3) == 0 {
		filter.Facts = randomFactFilter(random, some().Facts)
	}
	if random.IntN(2) == 0 {
		filter.After = some().Key()
		if random.IntN(4) == 0 { // the event at the cursor need not exist
			filter.After.RequestID += "x"
		}
	}
	return filter
}

// randomFactFilter asks for a part of what is known of an event, or for what is known of none.
func randomFactFilter(random *rand.Rand, of *pillarbox.Facts) *pillarbox.Facts {
	if of == nil {
		return &pillarbox.Facts{Caller: "nobody"}
	}
	wanted := of.Clone()
	for _, text := range wanted.Texts() {
		if random.IntN(2) == 0 {
			*text = ""
		}
	}
	if len(wanted.Attributes) > 0 {
		wanted.Attributes = wanted.Attributes[:random.IntN(len(wanted.Attributes)+1)]
	}
	return wanted
}

// filterEvents is what List means: events are ordered by key.
func filterEvents(events []*pillarbox.Event, filter pillarbox.EventFilter) []*pillarbox.Event {
	limit := filter.Limit
	if limit == 0 {
		limit = pillarbox.DefaultListLimit
	}
	ordered := slices.Clone(events)
	behind := 1
	if filter.Newest {
		slices.Reverse(ordered)
		behind = -1
	}
	var found []*pillarbox.Event
	for _, event := range ordered {
		switch {
		case filter.Source != "" && event.Source != filter.Source,
			filter.RequestID != "" && event.RequestID != filter.RequestID,
			filter.Since != 0 && event.Timestamp < filter.Since,
			filter.Until != 0 && event.Timestamp >= filter.Until,
			!filter.Facts.Of(event),
			filter.After != pillarbox.Key{} && compareKeys(event.Key(), filter.After) != behind:
		default:
			found = append(found, event)
		}
	}
	return found[:min(len(found), limit)]
}

func compareEvents(a, b *pillarbox.Event) int { return compareKeys(a.Key(), b.Key()) }

func compareKeys(a, b pillarbox.Key) int {
	return cmp.Or(cmp.Compare(a.Timestamp, b.Timestamp), cmp.Compare(a.RequestID, b.RequestID))
}

func testListLimit(t *testing.T, store pillarbox.Sink) {
	events := Events(pillarbox.MaxListLimit+20, 18)
	write(t, store, events)
	for _, test := range []struct{ limit, want int }{
		{0, pillarbox.DefaultListLimit},
		{1, 1},
		{pillarbox.MaxListLimit, pillarbox.MaxListLimit},
		{pillarbox.MaxListLimit + 10, pillarbox.MaxListLimit},
	} {
		wantEvents(t, list(t, store, pillarbox.EventFilter{Limit: test.limit}), events[:test.want])
	}
}

// A walk by cursor meets every event once, in both directions, also when events share a time.
func testListPages(t *testing.T, store pillarbox.Sink) {
	events := Events(101, 19)
	for i := range events {
		events[i].Timestamp = events[i/10*10].Timestamp
	}
	slices.SortFunc(events, compareEvents)
	write(t, store, events)
	for _, limit := range []int{1, 7, 10, 101} {
		wantEvents(t, listAll(t, store, pillarbox.EventFilter{Limit: limit}), events)
		newest := listAll(t, store, pillarbox.EventFilter{Limit: limit, Newest: true})
		slices.Reverse(newest)
		wantEvents(t, newest, events)
	}
}

func testMissing(t *testing.T, store pillarbox.Sink) {
	events := Events(3000, 20)
	var stored []*pillarbox.Event
	var keys, want []pillarbox.Key
	random := rand.New(rand.NewPCG(20, 0))
	for _, at := range random.Perm(len(events)) {
		key := events[at].Key()
		switch random.IntN(3) {
		case 0:
			stored = append(stored, events[at])
		case 1: // half of the key is stored
			stored = append(stored, events[at])
			key.RequestID += "0"
			want = append(want, key)
		case 2:
			want = append(want, key)
		}
		keys = append(keys, key)
	}
	keys, want = append(keys, want[0]), append(want, want[0])
	write(t, store, stored)
	got, err := store.Missing(t.Context(), keys)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("missing: got %d keys, %v; want %d, in the order given", len(got), err, len(want))
	}
	if got, err := store.Missing(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("missing of nothing: %v, %v", got, err)
	}
}

// The first write counts, not the one that came again, unless the engine overwrites.
func testStoredAt(t *testing.T, store pillarbox.Sink) {
	latest := store.Traits().LatestAt
	events := Events(3, 21)
	write(t, store, events[:1])
	first, err := store.StoredAt(t.Context(), events[0].Key())
	if err != nil || first == 0 {
		t.Fatalf("stored at %v, %v", first, err)
	}
	write(t, store, events[:2])
	if again, err := store.StoredAt(t.Context(), events[0].Key()); err != nil || again < first ||
		again > first && !latest {
		t.Errorf("stored at %v, %v after it came again; want %v", again, err, first)
	}
	if second, err := store.StoredAt(t.Context(), events[1].Key()); err != nil || second < first {
		t.Errorf("second event stored at %v, %v; the first at %v", second, err, first)
	}
	half := pillarbox.Key{Timestamp: events[0].Timestamp, RequestID: events[2].RequestID}
	for _, key := range []pillarbox.Key{half, events[2].Key(), {}} {
		if at, err := store.StoredAt(t.Context(), key); !errors.Is(err, pillarbox.ErrNotFound) {
			t.Errorf("unknown key: got %v, %v; want ErrNotFound", at, err)
		}
	}
}
