package ingest_test

import (
	"context"
	"errors"
	"testing"

	"pillarbox"
	"pillarbox/internal/engine/memory"
	"pillarbox/internal/ingest"
	"pillarbox/internal/source"
)

// TestKeysOfAppendsThatFail: after an outcome that is not known, a repeat gets the id of the first
// one; after a refusal it is new.
func TestKeysOfAppendsThatFail(t *testing.T) {
	app := source.New(source.Settings{Name: "app"}, source.Options{})
	for _, c := range []struct {
		err  error
		same bool
	}{{pillarbox.ErrUnavailable, true}, {pillarbox.ErrNoSpace, true}, {errors.New("a bug"), true},
		{pillarbox.ErrFull, false}, {pillarbox.ErrTooLarge, false}} {
		queue := memory.NewQueue(nil)
		var tried []string
		fault := c.err
		queue.SetFault(func(events []*pillarbox.Event) error {
			tried = append(tried, events[0].RequestID)
			return fault
		})
		acceptor := ingest.New(queue, ingest.Options{})
		accept := func() ingest.Result {
			head := &source.Head{Method: "POST", Header: pillarbox.Header{{Name: "Idempotency-Key", Value: "k"}}}
			grant, _, err := app.AdmitOne(head, nil)
			if err != nil {
				t.Fatal(err)
			}
			return acceptor.Accept(context.Background(), []ingest.Request{{Grant: grant, Method: "POST",
				Header: head.Header}})[0]
		}
		if got := accept(); !errors.Is(got.Err, c.err) {
			t.Fatalf("%+v", got)
		}
		fault = nil
		got := accept()
		if got.Err != nil || got.Replayed || (got.Receipt.RequestID == tried[0]) != c.same {
			t.Errorf("%v: %+v after %s, want the first id: %v", c.err, got, tried[0], c.same)
		}
		if again := accept(); again.Receipt != got.Receipt || !again.Replayed || len(tried) != 2 {
			t.Errorf("%v: %+v, and %+v before", c.err, again, got)
		}
	}
}

// TestAnAppendThatPanicsStoresNoKey: a bug below must not make a promise of a key.
func TestAnAppendThatPanicsStoresNoKey(t *testing.T) {
	app := source.New(source.Settings{Name: "app"}, source.Options{})
	queue := memory.NewQueue(nil)
	panics := true
	queue.SetFault(func([]*pillarbox.Event) error {
		if panics {
			panic("a bug")
		}
		return nil
	})
	keys := &memory.Keys{}
	acceptor := ingest.New(queue, ingest.Options{Keys: keys})
	accept := func() (got ingest.Result) {
		defer func() { _ = recover() }()
		head := &source.Head{Method: "POST", Header: pillarbox.Header{{Name: "Idempotency-Key", Value: "k"}}}
		grant, _, err := app.AdmitOne(head, nil)
		if err != nil {
			t.Fatal(err)
		}
		return acceptor.Accept(context.Background(), []ingest.Request{{Grant: grant, Method: "POST", Header: head.Header}})[0]
	}
	accept()
	panics = false
	if got := accept(); got.Err != nil || got.Replayed || queue.Stats().Accepted != 1 {
		t.Errorf("%+v, with %d events", got, queue.Stats().Accepted)
	}
}
