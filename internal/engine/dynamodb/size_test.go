package dynamodb_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"pillarbox"
	"pillarbox/internal/engine/dynamodb"
	"pillarbox/internal/engine/enginetest"
)

// sized returns an event that is an item of exactly so many bytes.
func sized(t *testing.T, store *dynamodb.Store, size int, seed uint64) *pillarbox.Event {
	t.Helper()
	event := enginetest.Events(1, seed)[0]
	if event.Facts = nil; seed%2 == 0 { // ASCII, because the emulator counts letters where DynamoDB counts bytes
		event.Facts = &pillarbox.Facts{Caller: "shop", CEID: "1", CESource: "/s", Removed: "header Cookie",
			Attributes: pillarbox.Attributes{{Name: "plan", Value: ""}, {Name: "tenant", Value: "acme"}}}
	}
	event.Body = []byte{'x'}
	event.Body = bytes.Repeat([]byte{'x'}, size-dynamodb.SizeOf(store.Encode(event, nil, 1))+1)
	if got := dynamodb.SizeOf(store.Encode(event, nil, 1)); got != size {
		t.Fatalf("item of %d bytes, want %d", got, size)
	}
	return event
}

// An item of 400 KB is an item, and one of a byte more has its body elsewhere.
func TestLargestItem(t *testing.T) {
	if dynamodb.MaxItemBytes != 409_600 {
		t.Errorf("DynamoDB takes 400 KB, not %d bytes", dynamodb.MaxItemBytes)
	}
	b := newBench(t, "")
	store := b.open(t)
	fits, tooLarge := sized(t, store, dynamodb.MaxItemBytes, 1), sized(t, store,
		dynamodb.MaxItemBytes+1, 2)
	if err := store.Write(t.Context(), []*pillarbox.Event{fits}); err != nil ||
		len(b.bodies.keys()) != 0 {
		t.Errorf("an item of the largest size: %v, bodies %v", err, b.bodies.keys())
	}
	if err := store.Write(t.Context(), []*pillarbox.Event{tooLarge}); err != nil ||
		len(b.bodies.keys()) != 1 {
		t.Errorf("an item that is larger: %v, bodies %v", err, b.bodies.keys())
	}
	for _, event := range []*pillarbox.Event{fits, tooLarge} {
		found, err := store.Find(t.Context(), event.RequestID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := enginetest.Diff(found, event); diff != "" {
			t.Error(diff)
		}
	}
}

// The item carries the claim in attributes that others can read.
func TestClaimInItem(t *testing.T) {
	b := newBench(t, "")
	store := b.open(t)
	event := sized(t, store, dynamodb.MaxItemBytes+1, 3)
	if err := store.Write(t.Context(), []*pillarbox.Event{event}); err != nil {
		t.Fatal(err)
	}
	var item struct {
		Body      any
		BodyClaim struct {
			M struct {
				Key    struct{ S string }
				Bytes  struct{ N json.Number }
				Sha256 struct{ S string }
			}
		}
	}
	if err := json.Unmarshal(b.server.Peek(tableName)[0], &item); err != nil {
		t.Fatal(err)
	}
	bytes, _ := item.BodyClaim.M.Bytes.N.Int64()
	claim := pillarbox.Claim{Key: item.BodyClaim.M.Key.S, Bytes: bytes,
		SHA256: item.BodyClaim.M.Sha256.S}
	if item.Body != nil || claim != pillarbox.NewClaim(b.bodies.keys()[0], event.Body) {
		t.Errorf("got %+v", item)
	}
}

// What can't be an item is refused for good, and its neighbours are stored.
func TestTooLargeForGood(t *testing.T) {
	b := newBench(t, "")
	b.options.Bodies = nil
	store := b.open(t)
	events := append(enginetest.Events(3, 4), sized(t, store, dynamodb.MaxItemBytes+1, 5))
	named := failures(t, store.Write(t.Context(), events))
	if len(named) != 1 || !pillarbox.IsPermanent(named[3]) ||
		!errors.Is(named[3], pillarbox.ErrTooLarge) {
		t.Errorf("without a place for bodies: %v", named)
	}
	wantAccount(t, store, events, named)

	b.options.Bodies = b.bodies
	store = b.open(t)
	events[3].Query = strings.Repeat("q", dynamodb.MaxItemBytes)
	named = failures(t, store.Write(t.Context(), events))
	if len(named) != 1 || !pillarbox.IsPermanent(named[3]) ||
		!errors.Is(named[3], pillarbox.ErrTooLarge) || len(b.bodies.keys()) != 0 {
		t.Errorf("too large without its body: %v, bodies %v", named, b.bodies.keys())
	}
}

// A place for bodies that is down is an outage for the events that need it.
func TestBodiesAreDown(t *testing.T) {
	b := newBench(t, "")
	store := b.open(t)
	events := append(enginetest.Events(3, 6), sized(t, store, dynamodb.MaxItemBytes+1, 7))
	b.bodies.fail(pillarbox.ErrUnavailable)
	named := failures(t, store.Write(t.Context(), events))
	if len(named) != 1 || !errors.Is(named[3], pillarbox.ErrUnavailable) {
		t.Errorf("named: %v", named)
	}
	wantAccount(t, store, events, named)
	if err := store.Write(t.Context(), events[3:]); !errors.Is(err, pillarbox.ErrUnavailable) {
		t.Errorf("alone: %v", err)
	}
	b.bodies.fail(nil)
	if err := store.Write(t.Context(), events); err != nil {
		t.Error(err)
	}
}

// A body that is gone, or is not what was put there, is an error and no other body.
func TestBodyThatIsGone(t *testing.T) {
	b := newBench(t, "")
	store := b.open(t)
	event := sized(t, store, dynamodb.MaxItemBytes+1, 8)
	if err := store.Write(t.Context(), []*pillarbox.Event{event}); err != nil {
		t.Fatal(err)
	}
	at := b.bodies.keys()[0]
	b.bodies.kept[at] = []byte("another")
	if found, err := store.Find(t.Context(), event.RequestID); !errors.Is(err, pillarbox.ErrCorrupt) {
		t.Errorf("got %v, %v", found, err)
	}
	delete(b.bodies.kept, at)
	if found, err := store.Find(t.Context(), event.RequestID); !errors.Is(err, pillarbox.ErrCorrupt) ||
		!strings.Contains(err.Error(), "body of event "+event.RequestID) {
		t.Errorf("got %v, %v", found, err)
	}
	b.options.Bodies = nil
	if found, err := b.open(t).Find(t.Context(), event.RequestID); !errors.Is(err,
		pillarbox.ErrUnavailable) {
		t.Errorf("got %v, %v", found, err)
	}
}

// weighed is a client that weighs what would be written, and writes nothing.
type weighed struct {
	dynamodb.API
	mu    sync.Mutex
	bytes []int // of each call
	items int
}

func (w *weighed) BatchWriteItem(_ context.Context, in *awsdynamodb.BatchWriteItemInput,
	_ ...func(*awsdynamodb.Options)) (*awsdynamodb.BatchWriteItemOutput, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	sum := 0
	for _, write := range in.RequestItems[tableName] {
		sum += dynamodb.WireBytes(write.PutRequest.Item)
		w.items++
	}
	w.bytes = append(w.bytes, sum)
	return &awsdynamodb.BatchWriteItemOutput{}, nil
}

// A call stays within 16 MB, however much JSON makes of the bodies.
func TestCallsStayWithinTheWire(t *testing.T) {
	b := newBench(t, "")
	client := &weighed{API: b.client}
	store := b.openWith(t, client)
	events := enginetest.Events(12, 9)
	for i := range events {
		events[i].Body = bytes.Repeat([]byte{1}, 390<<10) // six bytes each: 28 MB in all
	}
	if err := store.Write(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	if client.items != 12 || len(client.bytes) != 2 || slices.Max(client.bytes) > 16_000_000 {
		t.Errorf("%d items in calls of %v bytes", client.items, client.bytes)
	}
}
