package files_test

import (
	"context"
	"fmt"

	"pillarbox"
	"pillarbox/internal/engine/files"
	"pillarbox/internal/vfs/faultfs"
)

// A letter is found by the request id of its event.
func ExampleOpen() {
	ctx := context.Background()
	letters, err := files.Open(faultfs.New(faultfs.Options{}), "dead-letters", files.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	event := &pillarbox.Event{Timestamp: 1, RequestID: "01a20982-735b-7980-86a3-0c4338e0f4c0",
		Source: "app", Body: []byte("hello")}
	fmt.Println(pillarbox.PutDeadLetter(ctx, letters, &pillarbox.DeadLetter{
		Version: pillarbox.DeadLetterVersion, Destination: "events", Reason: "refused 20 times",
		DeadAt: 2, Event: event,
	}))
	letter, err := letters.Get(ctx, "", event.RequestID)
	fmt.Println(letter.Reason, err, letters.Close())
	// Output:
	// <nil>
	// refused 20 times <nil> <nil>
}
