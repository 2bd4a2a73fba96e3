package ledger_test

import (
	"context"
	"fmt"

	"pillarbox"
	"pillarbox/internal/destination"
	"pillarbox/internal/engine/memory"
	"pillarbox/internal/ledger"
)

// Two events are accepted and none is delivered yet: the account balances.
func ExampleNew() {
	ctx, queue := context.Background(), memory.NewQueue(nil)
	events := destination.New(destination.Settings{Name: "events"})
	if _, err := queue.Account(events.Name); err != nil { // it exists for the queue from here on
		fmt.Println(err)
		return
	}
	if err := queue.Append(ctx, []*pillarbox.Event{{Timestamp: 1, RequestID: "a"},
		{Timestamp: 2, RequestID: "b"}}); err != nil {
		fmt.Println(err)
		return
	}
	l := ledger.New(queue, memory.NewDeadLetters(),
		func() []ledger.Destination {
			return []ledger.Destination{{Destination: events, Sink: memory.NewSink()}}
		}, nil)
	totals, err := l.Totals(ctx)
	entry := totals.Destinations[0]
	fmt.Println(entry.Accepted, entry.Stored, entry.Pending, entry.Balanced, err)
	// Output: 2 0 2 true <nil>
}
