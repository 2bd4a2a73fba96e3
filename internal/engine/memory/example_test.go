package memory_test

import (
	"context"
	"fmt"

	"pillarbox"
	"pillarbox/internal/engine/memory"
)

// A queue in its shortest form: what was appended is leased, and settled.
func ExampleNewQueue() {
	ctx, queue := context.Background(), memory.NewQueue(nil)
	if _, err := queue.Account("events"); err != nil { // it exists for the queue from here on
		fmt.Println(err)
		return
	}
	fmt.Println(queue.Append(ctx, []*pillarbox.Event{
		{Timestamp: 1, RequestID: "a", Body: []byte("hello")}}))
	deliveries, err := queue.Lease(ctx, "events", pillarbox.LeaseLimits{MaxEvents: 10})
	fmt.Println(string(deliveries[0].Event.Body), err)
	fmt.Println(queue.Settle(ctx, "events",
		[]pillarbox.Outcome{{Handle: deliveries[0].Handle, Kind: pillarbox.OutcomeStored}}))
	account, err := queue.Account("events")
	fmt.Println(account.Stored, account.Pending, err)
	// Output:
	// <nil>
	// hello <nil>
	// <nil>
	// 1 0 <nil>
}
