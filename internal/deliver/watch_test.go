package deliver_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox"
	"pillarbox/internal/deliver"
	"pillarbox/internal/destination"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/memory"
)

func watchOf(t *testing.T, settings ...destination.Settings) (*deliver.Watch, *destination.Table) {
	t.Helper()
	table, err := destination.Compile(settings, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return deliver.NewWatch(table), table
}

// TestHurryEndsWaits, those that run and those that begin later.
func TestHurryEndsWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		watch, _ := watchOf(t, destination.Settings{Name: "events"})
		expected := watch.Expect(&pillarbox.Event{RequestID: "id"})
		defer expected.Close()
		ended := make(chan bool, 1)
		go func() { ended <- expected.Wait(context.Background()) }()
		synctest.Wait()
		if len(ended) != 0 {
			t.Fatal("it does not wait")
		}
		watch.Hurry()
		if <-ended || expected.Wait(context.Background()) {
			t.Error("what is not stored counts as stored")
		}
	})
}

// TestWaitIsForThoseThatTakeTheEvent: nobody waits for a destination that does not take the event,
// for one that skips it after all, or where none would ever store it.
func TestWaitIsForThoseThatTakeTheEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		app, other := &pillarbox.Rule{Sources: []string{"app"}}, &pillarbox.Rule{
			Sources: []string{"other"}}
		watch, table := watchOf(t, destination.Settings{Name: "all"},
			destination.Settings{Name: "app", Rule: app}, destination.Settings{Name: "other", Rule: other})
		queue := memory.NewQueue(nil)
		// What the queue was told when the event came is what counts for the delivery: "all" was to get
		// none of them.
		for _, d := range table.All() {
			if _, err := queue.Account(d.Name); err != nil {
				t.Fatal(err)
			}
		}
		if err := queue.Oblige(ctx, "all", pillarbox.Rule{Sources: []string{}}); err != nil {
			t.Fatal(err)
		}
		event := &pillarbox.Event{Timestamp: 1763907120000000, RequestID: "id", Source: "app"}
		expected := watch.Expect(event)
		defer expected.Close()
		if err := queue.Append(ctx, []*pillarbox.Event{event}); err != nil {
			t.Fatal(err)
		}
		for _, d := range table.All() {
			loop := deliver.NewLoop(deliver.Options{Destination: d, Queue: queue, Sink: memory.NewSink(),
				Letters: memory.NewDeadLetters(), Watch: watch})
			go func() { _ = loop.Run(ctx) }()
		}
		if !expected.Wait(ctx) {
			t.Error("it is stored by the one that was to get it, and does not count as stored")
		}
		none, _ := watchOf(t, destination.Settings{Name: "other", Rule: other})
		if none.Expect(event) != nil {
			t.Error("somebody would wait for what nobody takes")
		}
		cancel()
		synctest.Wait()
	})
}

// TestSkippedIsNotWaitedFor: a destination that skips the event after all completes a wait at once.
func TestSkippedIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		queue := memory.NewQueue(nil)
		watch, table := watchOf(t, destination.Settings{Name: "events", Rule: &pillarbox.Rule{}})
		if err := queue.Oblige(ctx, "events", pillarbox.Rule{Sources: []string{}}); err != nil { // what it was meant to get when the event came
			t.Fatal(err)
		}
		event := enginetest.Events(1, 1)[0]
		expected := watch.Expect(event)
		defer expected.Close()
		ended := make(chan bool, 1)
		go func() { ended <- expected.Wait(ctx) }()
		if err := queue.Append(ctx, []*pillarbox.Event{event}); err != nil {
			t.Fatal(err)
		}
		loop := deliver.NewLoop(deliver.Options{Destination: table.Get("events"), Queue: queue, Sink: memory.NewSink(),
			Letters: memory.NewDeadLetters(), Watch: watch})
		done := make(chan error, 1)
		go func() { done <- loop.Run(ctx) }()
		time.Sleep(time.Minute)
		select {
		case stored := <-ended:
			if stored {
				t.Error("what was skipped counts as stored")
			}
		default:
			t.Error("somebody still waits for what was skipped")
		}
		cancel()
		<-done
	})
}
