package deliver_test

import (
	"context"
	"fmt"
	"time"

	"pillarbox"
	"pillarbox/internal/deliver"
	"pillarbox/internal/destination"
	"pillarbox/internal/engine/memory"
)

// One batch, of which the destination refuses one event for good: it is to become a dead letter,
// and the other is stored.
func ExampleStep() {
	sink := memory.NewSink()
	sink.Fault = func(events []*pillarbox.Event) error {
		for _, event := range events {
			if event.RequestID == "poison" {
				return pillarbox.Permanent(fmt.Errorf("it is poison"))
			}
		}
		return nil
	}
	batch := []pillarbox.Delivery{{Event: &pillarbox.Event{RequestID: "good"}},
		{Event: &pillarbox.Event{RequestID: "poison"}}}
	to := destination.New(destination.Settings{Name: "events"})
	report := deliver.Step(context.Background(), sink, batch, to,
		deliver.Moment{Now: time.UnixMicro(1), Chance: func() float64 { return 0 }})
	fmt.Println(report.Outcomes[0].Kind == pillarbox.OutcomeStored,
		report.Outcomes[1].Rejection.Reason)
	// Output: true refused for good: it is poison
}
