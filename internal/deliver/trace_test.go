package deliver_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox"
	"pillarbox/internal/deliver"
	"pillarbox/internal/destination"
	"pillarbox/internal/engine/memory"
	"pillarbox/internal/retry"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/telemetry/tracetest"
)

// forwarder is a sink that sends events on, and keeps what it was given.
type forwarder struct {
	pillarbox.SinkDefaults
	forwards bool
	got      []string // traceparents
	refuse   error
}

func (f *forwarder) Traits() pillarbox.SinkTraits {
	return pillarbox.SinkTraits{Forwards: f.forwards}
}

func (f *forwarder) Write(_ context.Context, events []*pillarbox.Event) error {
	for _, event := range events {
		f.got = append(f.got, event.Traceparent)
	}
	return f.refuse
}

func (f *forwarder) Close() error { return nil }

func traced(n int, flags string) *pillarbox.Event {
	return &pillarbox.Event{Timestamp: pillarbox.Timestamp(n), RequestID: fmt.Sprint("id-", n),
		Traceparent: fmt.Sprintf("00-%032x-%016x-%s", 100+n, n, flags)}
}

func stepTraced(sink pillarbox.Sink, events ...*pillarbox.Event) (*tracetest.Recorder, deliver.Report) {
	recorder := &tracetest.Recorder{}
	var deliveries []pillarbox.Delivery
	for _, event := range events {
		deliveries = append(deliveries, pillarbox.Delivery{Event: event})
	}
	to := destination.New(destination.Settings{Name: "events", Retry: retry.Policy{MaxAttempts: 3}})
	report := deliver.Step(context.Background(), sink, deliveries, to, deliver.Moment{Now: time.Now(),
		Chance: func() float64 { return 0 }, Traces: telemetry.NewTraces(recorder, telemetry.TraceOptions{})})
	return recorder, report
}

// TestADeliveryIsInTheTraceOfItsEvent: each recorded event has a span beneath what it names, which
// links to that of the batch; the batch's links to them, and the others have none.
func TestADeliveryIsInTheTraceOfItsEvent(t *testing.T) {
	events := []*pillarbox.Event{traced(1, "01"), traced(2, "00"), {RequestID: "id-3"}, traced(4, "03")}
	recorder, _ := stepTraced(&forwarder{}, events...)
	spans := recorder.Ended()
	batches, each := spans["deliver events batch"], spans["deliver events"]
	if len(batches) != 1 || len(each) != 2 {
		t.Fatalf("the spans are %v", recorder.Names())
	}
	if want := []string{events[0].Traceparent, events[3].Traceparent}; !slices.Equal(batches[0].Links, want) || batches[0].Parent != "" {
		t.Errorf("the batch links to %v, want %v, beneath %q", batches[0].Links, want, batches[0].Parent)
	}
	for i, event := range []*pillarbox.Event{events[0], events[3]} {
		if each[i].Parent != event.Traceparent || !slices.Equal(each[i].Links, []string{batches[0].ID}) ||
			each[i].Attr("pillarbox.outcome") != "stored" || each[i].Attr("pillarbox.request_id") != event.RequestID {
			t.Errorf("the span of %s: %+v", event.RequestID, each[i])
		}
	}
}

// TestNothingIsRecordedOfABatchWithoutRecordedEvents.
func TestNothingIsRecordedOfABatchWithoutRecordedEvents(t *testing.T) {
	recorder, _ := stepTraced(&forwarder{forwards: true}, traced(1, "00"), &pillarbox.Event{RequestID: "id-2"})
	if names := recorder.Names(); len(names) > 0 {
		t.Errorf("there are the spans %v", names)
	}
}

// TestWhoIsSentAnEventIsBeneathItsDelivery, and who keeps it has what was accepted: a store writes the
// same however often it is told to. The event itself never changes.
func TestWhoIsSentAnEventIsBeneathItsDelivery(t *testing.T) {
	for _, forwards := range []bool{true, false} {
		events := []*pillarbox.Event{traced(1, "01"), traced(2, "00")}
		accepted := []string{events[0].Traceparent, events[1].Traceparent}
		sink := &forwarder{forwards: forwards}
		recorder, _ := stepTraced(sink, events...)
		want := slices.Clone(accepted)
		if forwards {
			want[0] = recorder.Ended()["deliver events"][0].ID
		}
		if !slices.Equal(sink.got, want) || events[0].Traceparent != accepted[0] {
			t.Errorf("forwards %v: the sink has got %v, want %v", forwards, sink.got, want)
		}
	}
}

// TestASpanSaysTheClassOfAFailureAndNotItsText: the text may hold a part of the event.
func TestASpanSaysTheClassOfAFailureAndNotItsText(t *testing.T) {
	const text = "value 4711 is not allowed"
	for want, err := range map[string]error{
		pillarbox.ClassRefused: fmt.Errorf("%s", text), pillarbox.ClassPermanent: pillarbox.Permanent(fmt.Errorf("%s", text)),
		pillarbox.ClassUnavailable: fmt.Errorf("%s: %w", text, pillarbox.ErrUnavailable),
	} {
		recorder, _ := stepTraced(&forwarder{refuse: err}, traced(1, "01"))
		span := recorder.Ended()["deliver events"][0]
		if span.Failure != want || strings.Contains(fmt.Sprintf("%+v", recorder.Ended()), "4711") {
			t.Errorf("want %s: %+v", want, span)
		}
	}
}

// TestAReplayIsInTheTraceToo, by its own name.
func TestAReplayIsInTheTraceToo(t *testing.T) {
	recorder := &tracetest.Recorder{}
	to := destination.New(destination.Settings{Name: "events"})
	event := traced(1, "01")
	if errs, down := deliver.Once(t.Context(), memory.NewSink(), []*pillarbox.Event{event}, deliver.Moment{Now: time.Now(), Verb: "replay",
		Traces: telemetry.NewTraces(recorder, telemetry.TraceOptions{})}, to); errs[0] != nil || down != nil {
		t.Fatal(errs, down)
	}
	if spans := recorder.Ended()["replay events"]; len(spans) != 1 || spans[0].Parent != event.Traceparent {
		t.Errorf("the spans are %v", recorder.Names())
	}
}

// TestADeadLetterIsInTheTrace: the writing of its letter has a span, with the class of what it died of.
func TestADeadLetterIsInTheTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		recorder, queue, event := &tracetest.Recorder{}, memory.NewQueue(nil), traced(1, "01")
		if _, err := queue.Account("events"); err != nil {
			t.Fatal(err)
		}
		if err := queue.Append(t.Context(), []*pillarbox.Event{event}); err != nil {
			t.Fatal(err)
		}
		loop := deliver.NewLoop(deliver.Options{
			Destination: destination.New(destination.Settings{Name: "events", Retry: retry.Policy{MaxAttempts: 1}}),
			Queue:       queue, Letters: memory.NewDeadLetters(), Sink: &forwarder{refuse: fmt.Errorf("no")},
			Traces: telemetry.NewTraces(recorder, telemetry.TraceOptions{}),
		})
		ended := make(chan error)
		go func() { ended <- loop.Run(t.Context()) }()
		synctest.Wait()
		loop.Drain()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		spans := recorder.Ended()["dead letter events"]
		if len(spans) != 1 {
			t.Fatalf("the spans are %v", recorder.Names())
		}
		if spans[0].Parent != event.Traceparent || spans[0].Attr("pillarbox.outcome") != pillarbox.ClassRefused || spans[0].Failure != "" {
			t.Errorf("the span is %+v", spans[0])
		}
	})
}
