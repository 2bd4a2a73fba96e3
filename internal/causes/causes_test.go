package causes_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"

	"pillarbox"
	"pillarbox/internal/causes"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/memory"
)

// letters are summaries of dead letters.
type letters []pillarbox.DeadLetterSummary

func (l letters) Summaries(context.Context, pillarbox.DeadLetterFilter) iter.Seq2[pillarbox.DeadLetterSummary, error] {
	return func(yield func(pillarbox.DeadLetterSummary, error) bool) {
		for _, summary := range l {
			var err error
			if summary.Reason == "damaged" {
				err = errors.New("can't be read")
			}
			if !yield(summary, err) {
				return
			}
		}
	}
}

func TestTwoThousandFailuresAreThreeErrors(t *testing.T) {
	var all letters
	for i := range 2000 {
		reason := []string{"HTTP 500: request %d", "HTTP 422: no user %d", "row %d is too long", "row %d is too long"}[i%4]
		all = append(all, pillarbox.DeadLetterSummary{Destination: "events", Key: pillarbox.Key{RequestID: fmt.Sprint(i)}, Source: "app",
			Reason: fmt.Sprintf("refused 20 times, the last time with: "+reason, i), DeadAt: pillarbox.Timestamp(i + 1)})
	}
	all = append(all, pillarbox.DeadLetterSummary{Reason: "damaged"})
	found, err := causes.Dead(t.Context(), all, pillarbox.DeadLetterFilter{})
	if err != nil || len(found.Groups) != 3 || found.Unreadable != 1 || found.Others != 0 {
		t.Fatalf("%+v, %v", found, err)
	}
	largest := found.Groups[0]
	if largest.Cause != "row N is too long" || largest.Count != 1000 || largest.First != 3 || largest.Last != 2000 || largest.Sample != "1999" {
		t.Errorf("the largest is %+v", largest)
	}
}

func TestGroupsAreBounded(t *testing.T) {
	var all letters
	for i := range 3 * causes.MaxGroups {
		reason := "cause "
		for n := i; n > 0; n /= 26 {
			reason += string(rune('a' + n%26))
		}
		all = append(all, pillarbox.DeadLetterSummary{Destination: "events", Reason: reason, DeadAt: 1})
	}
	found, err := causes.Dead(t.Context(), all, pillarbox.DeadLetterFilter{})
	if err != nil || len(found.Groups) != causes.MaxGroups || found.Others != 2*causes.MaxGroups {
		t.Errorf("%d groups, %d others, %v", len(found.Groups), found.Others, err)
	}
}

func TestWhatIsRetriedIsGrouped(t *testing.T) {
	queue := memory.NewQueue(nil)
	if err := queue.Append(t.Context(), enginetest.Events(5, 1)); err != nil {
		t.Fatal(err)
	}
	deliveries, err := queue.Lease(t.Context(), "events", pillarbox.LeaseLimits{MaxEvents: 5})
	if err != nil {
		t.Fatal(err)
	}
	var outcomes []pillarbox.Outcome
	for i, d := range deliveries {
		outcome := pillarbox.Outcome{Handle: d.Handle, Kind: pillarbox.OutcomeReleased}
		if i > 1 {
			outcome.Kind, outcome.NotBefore = pillarbox.OutcomeRetry, pillarbox.Timestamp(1e15).Time()
			outcome.Attempt = &pillarbox.Attempt{At: pillarbox.Timestamp(i), Class: pillarbox.ClassRefused, Error: fmt.Sprintf("lock %d", i)}
		}
		outcomes = append(outcomes, outcome)
	}
	if err := queue.Settle(t.Context(), "events", outcomes); err != nil {
		t.Fatal(err)
	}
	found, err := causes.Retrying(t.Context(), queue, []string{"events"})
	if err != nil || len(found.Groups) != 1 {
		t.Fatalf("%+v, %v", found, err)
	}
	if g := found.Groups[0]; g.Count != 3 || g.Cause != "lock N" || g.Attempts != 1 || g.Next != 1e15 || g.Last != 4 {
		t.Errorf("%+v", g)
	}
}
