package deliver

import (
	"context"

	"pillarbox"
	"pillarbox/internal/destination"
	"pillarbox/internal/retry"
)

// Once writes events to a sink once, outside of any queue, by the same rules as Step: a batch that
// is refused is split until the culprits stand alone. It returns one error for each event, nil for
// the stored ones. down is set where the destination is down; events that were then not tried have
// it as their error. Of the moment, only Now, Traces and Verb matter. A person has asked for it: what the destination takes by its rules does not
// matter; that it shapes what it gets does.
func Once(ctx context.Context, sink pillarbox.Sink, events []*pillarbox.Event, at Moment,
	rules *destination.Destination) (errs []error, down error) {
	deliveries := make([]pillarbox.Delivery, len(events))
	for i, event := range events {
		deliveries[i].Event = event
	}
	to := destination.New(destination.Settings{Name: rules.Name, Retry: retry.Policy{MaxAttempts: 2},
		WriteTimeout: rules.WriteTimeout, Shape: rules.Shape})
	report := Step(ctx, sink, deliveries, to, Moment{Now: at.Now, Chance: func() float64 { return 0 },
		Traces: at.Traces, Verb: at.Verb})
	errs = make([]error, len(events))
	for i, outcome := range report.Outcomes {
		switch {
		case outcome.Kind == pillarbox.OutcomeStored:
		case outcome.Attempt != nil:
			errs[i] = &pillarbox.RefusedError{Attempt: *outcome.Attempt}
		default:
			if down = report.Down; down == nil {
				down = pillarbox.ErrUnavailable // throttled for this event alone
			}
			errs[i] = down
		}
	}
	return errs, down
}
