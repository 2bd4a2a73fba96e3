package replay_test

import (
	"context"
	"fmt"

	"pillarbox"
	"pillarbox/internal/engine/memory"
	"pillarbox/internal/replay"
)

// A dry run counts; the real one writes, and marks the letter as replayed.
func ExampleNew() {
	ctx, letters := context.Background(), memory.NewDeadLetters()
	event := &pillarbox.Event{Timestamp: 1, RequestID: "id", Source: "app", Body: []byte("hello")}
	letter := &pillarbox.DeadLetter{Version: pillarbox.DeadLetterVersion, Destination: "events",
		Reason: "refused", DeadAt: 2, Event: event}
	if err := pillarbox.PutDeadLetter(ctx, letters, letter); err != nil {
		fmt.Println(err)
		return
	}
	replayer := replay.New(replay.Options{Letters: letters,
		Deliver: func(_ context.Context, _ string, events []*pillarbox.Event) ([]error, error) {
			return make([]error, len(events)), nil // stored, all of them
		}})
	dry, err := replayer.Run(ctx, replay.Request{DryRun: true}, nil)
	fmt.Println(dry.Matched, dry.Replayed, err)
	done, err := replayer.Run(ctx, replay.Request{}, nil)
	fmt.Println(done.Matched, done.Replayed, done.State, err)
	// Output:
	// 1 0 <nil>
	// 1 1 done <nil>
}
