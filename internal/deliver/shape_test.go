package deliver_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/deliver"
	"pillarbox/internal/destination"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/memory"
)

// cannotTell is a filter that fails.
type cannotTell struct{}

func (cannotTell) Takes(*pillarbox.Event) (bool, error) {
	return false, errors.New("the filter fails: no such key: type")
}

// TestShapedIsWhatIsWritten, live and by a replay, and the dead letter has what came.
func TestShapedIsWhatIsWritten(t *testing.T) {
	to := destination.New(destination.Settings{Shape: destination.Shape{Redact: destination.Places{JSON: []string{"/card"}}}})
	events := enginetest.Events(2, 1)
	events[0].Body, events[1].Body = []byte(`{"card":"4111"}`), []byte(`no JSON`)
	moment := deliver.Moment{Now: events[0].Timestamp.Time(), Chance: func() float64 { return 0 }}
	sink := memory.NewSink()
	report := deliver.Step(t.Context(), sink, []pillarbox.Delivery{{Event: events[0]}, {Event: events[1]}}, to, moment)
	bodies := func(sink *memory.Sink) (bodies []string) {
		stored, err := sink.List(context.Background(), pillarbox.EventFilter{})
		if err != nil {
			t.Fatal(err)
		}
		for _, event := range stored {
			bodies = append(bodies, string(event.Body))
		}
		return bodies
	}
	if got := bodies(sink); len(got) != 1 || got[0] != `{"card":"REDACTED"}` {
		t.Errorf("stored %q; want what is shaped and not the original", got)
	}
	if o := report.Outcomes[1]; o.Kind != pillarbox.OutcomeRejected || o.Attempt == nil || o.Attempt.Class != pillarbox.ClassPermanent {
		t.Errorf("what can't be shaped: %+v", o)
	}
	if report.Changes.Redacted != 1 || string(events[0].Body) != `{"card":"4111"}` {
		t.Errorf("changes %+v, the event is %s", report.Changes, events[0].Body)
	}
	again := memory.NewSink()
	errs, down := deliver.Once(t.Context(), again, events, deliver.Moment{Now: time.Now()}, to)
	if got := bodies(again); down != nil || errs[0] != nil || errs[1] == nil || len(got) != 1 || got[0] != `{"card":"REDACTED"}` {
		t.Errorf("a replay stored %q, %v, %v; want no original", got, errs, down)
	}
}

// TestFailingFilterLosesNothing: what it fails on is delivered, or is a dead letter, by choice.
func TestFailingFilterLosesNothing(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		table, err := destination.Compile([]destination.Settings{{Name: "events", Rule: &pillarbox.Rule{Where: "fails"}, RefuseFailed: refuse}}, nil,
			func(string) (destination.Filter, error) { return cannotTell{}, nil })
		if err != nil {
			t.Fatal(err)
		}
		event := enginetest.Events(1, 1)[0]
		report := deliver.Step(t.Context(), memory.NewSink(), []pillarbox.Delivery{{Event: event}}, table.Get("events"),
			deliver.Moment{Now: event.Timestamp.Time(), Chance: func() float64 { return 0 }})
		want := pillarbox.OutcomeStored
		if refuse {
			want = pillarbox.OutcomeRejected
		}
		if o := report.Outcomes[0]; o.Kind != want || report.FilterFailed != 1 || report.FilterFailure == nil {
			t.Errorf("refuse %v: %+v, %d failed with %v", refuse, o, report.FilterFailed, report.FilterFailure)
		}
	}
}
