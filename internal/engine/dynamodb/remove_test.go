package dynamodb_test

import (
	"errors"
	"testing"

	"pillarbox"
	"pillarbox/internal/engine/dynamodb"
	"pillarbox/internal/engine/enginetest"
)

// TestARemovalThatIsNotProcessed is sent again, and named as an outage after all tries.
func TestARemovalThatIsNotProcessed(t *testing.T) {
	b := newBench(t, "")
	store := b.open(t)
	store.RecordWaits()
	events := enginetest.Events(2, 1)
	if err := store.Write(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	key := []pillarbox.Key{events[0].Key()}
	b.server.Trickle("BatchWriteItem", 0, dynamodb.MaxTries)
	if err := store.Remove(t.Context(), key); !errors.Is(err, pillarbox.ErrUnavailable) || pillarbox.IsPermanent(err) {
		t.Errorf("after %d tries: %v", dynamodb.MaxTries, err)
	}
	b.server.Trickle("BatchWriteItem", 0, dynamodb.MaxTries-1)
	if err := store.Remove(t.Context(), key); err != nil {
		t.Errorf("at the last try: %v", err)
	}
	wantAccount(t, store, events[1:], nil)
	if _, err := store.Find(t.Context(), events[0].RequestID); !errors.Is(err, pillarbox.ErrNotFound) {
		t.Errorf("find what was removed: %v", err)
	}
}
