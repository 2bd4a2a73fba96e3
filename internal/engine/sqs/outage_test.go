package sqs_test

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"pillarbox"
	"pillarbox/internal/deliver"
	to "pillarbox/internal/destination"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/memory"
	"pillarbox/internal/engine/sqs"
	"pillarbox/internal/retry"
)

// redrive has SQS move messages to a queue "dead" after so many receives.
func (b *box) redrive(receives int) {
	b.t.Helper()
	create(b.t, b.client, "dead", nil)
	policy := fmt.Sprintf(`{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead","maxReceiveCount":"%d"}`, receives)
	if _, err := b.client.SetQueueAttributes(b.t.Context(), &awssqs.SetQueueAttributesInput{
		QueueUrl: &b.url, Attributes: map[string]string{"RedrivePolicy": policy},
	}); err != nil {
		b.t.Fatal(err)
	}
}

// TestOutageSpendsNoReceives, however often the destination is probed meanwhile.
func TestOutageSpendsNoReceives(t *testing.T) {
	const receives, events = 5, 6
	b := open(t, settings{standIn: true})
	b.redrive(receives)
	b.append(enginetest.Events(events, 21)...)
	var writes atomic.Int64
	probed := make(chan struct{})
	sink := memory.NewSink()
	sink.Fault = func([]*pillarbox.Event) error {
		switch n := writes.Add(1); {
		case n == 10*receives:
			close(probed)
			fallthrough
		case n < 10*receives:
			return fmt.Errorf("table: %w", pillarbox.ErrUnavailable)
		}
		return nil
	}
	loop := deliver.NewLoop(deliver.Options{
		Queue: b.Queue, Sink: sink, Letters: memory.NewDeadLetters(), Destination: to.New(to.Settings{
			Name: destination, Probe: retry.Breaker{ProbeInitial: time.Millisecond,
				ProbeMax: time.Millisecond},
		}),
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	ended := make(chan error)
	go func() { ended <- loop.Run(ctx) }()
	defer func() {
		cancel()
		<-ended
	}()
	select {
	case <-probed:
	case <-ctx.Done():
		t.Fatal("the destination was not probed often enough")
	}
	for _, message := range b.server.Peek("events") {
		if message.Receives != 1 {
			t.Errorf("message was received %d times, want once", message.Receives)
		}
	}
	for len(b.server.Peek("events")) > 0 && ctx.Err() == nil {
		time.Sleep(time.Millisecond) // SQS is told by another goroutine, over a connection
	}
	stored, err := sink.Count(t.Context())
	if dead := b.server.Peek("dead"); err != nil || len(dead) > 0 || stored != events {
		t.Errorf("%d events are stored and %d became dead letters, want %d stored: %v", stored,
			len(dead), events, err)
	}
}

// received has another reader receive a message so often, and give it back.
func (b *box) received(times int) {
	b.t.Helper()
	for range times {
		out, err := b.client.ReceiveMessage(b.t.Context(),
			&awssqs.ReceiveMessageInput{QueueUrl: &b.url, WaitTimeSeconds: 5})
		if err != nil || len(out.Messages) != 1 {
			b.t.Fatalf("receive: %v", err)
		}
		if _, err := b.client.ChangeMessageVisibility(b.t.Context(), &awssqs.ChangeMessageVisibilityInput{
			QueueUrl: &b.url, ReceiptHandle: out.Messages[0].ReceiptHandle, VisibilityTimeout: 0,
		}); err != nil {
			b.t.Fatal(err)
		}
	}
}

// TestReleasedNearTheEndIsSentAgain as it is, and before it is deleted. Its body stays where it was
// put.
func TestReleasedNearTheEndIsSentAgain(t *testing.T) {
	bodies := &shelf{}
	b := open(t, settings{standIn: true,
		attributes: map[string]string{"MaximumMessageSize": "4096", "VisibilityTimeout": "600"},
		options:    sqs.Options{Bodies: bodies}})
	b.redrive(5)
	event := &pillarbox.Event{Timestamp: 1, RequestID: "large", Source: "app",
		Body: bytes.Repeat([]byte("x"), 5000)}
	b.append(event)
	before := b.server.Peek("events")[0]
	b.received(2)
	got := b.lease(1)[0]
	b.server.Fail(1000, "SendMessageBatch")
	if err := b.settle(pillarbox.OutcomeReleased, got); err != nil {
		t.Fatal(err)
	}
	if left := b.server.Peek("events"); len(left) != 1 || left[0].ID != before.ID {
		t.Fatalf("it could not be sent again, and %+v is left, want the message as it was", left)
	}
	b.server.Allow()
	if err := b.settle(pillarbox.OutcomeReleased, b.lease(1)[0]); err != nil {
		t.Fatal(err)
	}
	if left := b.server.Peek("events"); len(left) != 1 || left[0].ID == before.ID ||
		left[0].Body != before.Body {
		t.Fatalf("%+v is left, want a new message in place of %+v", left, before)
	}
	again := b.lease(1)[0]
	if diff := enginetest.Diff(again.Event, event); diff != "" || len(again.Attempts) != 0 ||
		bodies.puts != 1 {
		t.Errorf("%s; came with %d attempts, its body was put %d times", diff, len(again.Attempts),
			bodies.puts)
	}
}

// TestRequeuedWaitsAndIsYoung: whoever puts a letter back has time to mark it, and its event's age
// counts from then on, also when it is sent again.
func TestRequeuedWaitsAndIsYoung(t *testing.T) {
	var clock atomic.Int64
	clock.Store(time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC).UnixMilli())
	b := open(t, settings{standIn: true,
		now: func() time.Time { return time.UnixMilli(clock.Load()) }})
	b.redrive(5)
	letter := enginetest.Letters(1, 22)[0]
	if err := b.Requeue(t.Context(), []*pillarbox.DeadLetter{letter}); err != nil {
		t.Fatal(err)
	}
	out, err := b.client.GetQueueAttributes(t.Context(), &awssqs.GetQueueAttributesInput{
		QueueUrl: &b.url, AttributeNames: []types.QueueAttributeName{
			types.QueueAttributeNameApproximateNumberOfMessagesDelayed},
	})
	if err != nil || out.Attributes["ApproximateNumberOfMessagesDelayed"] != "1" {
		t.Fatalf("%v waits, %v", out.Attributes, err)
	}
	before, sent := b.server.Peek("events")[0].ID, pillarbox.TimestampOf(time.UnixMilli(clock.Load()))
	clock.Add(sqs.RequeueDelay.Milliseconds())
	b.received(2)
	if err := b.settle(pillarbox.OutcomeReleased, b.lease(1)[0]); err != nil {
		t.Fatal(err)
	}
	clock.Add(time.Hour.Milliseconds())
	got := b.lease(1)[0]
	if diff := enginetest.Diff(got.Event, letter.Event); diff != "" || got.Since != sent ||
		len(got.Attempts) != 0 {
		t.Errorf("%s; waits since %v, want %v", diff, got.Since, sent)
	}
	if after := b.server.Peek("events"); len(after) != 1 || after[0].ID == before {
		t.Errorf("%+v is in the queue, want a new message", after)
	}
}

// TestCondemnedIsNotSentAgain: the copy would know nothing of the rejection, and a text that can't
// be read would become an event.
func TestCondemnedIsNotSentAgain(t *testing.T) {
	b := open(t, settings{standIn: true})
	b.redrive(5)
	if _, err := b.client.SendMessage(t.Context(),
		&awssqs.SendMessageInput{QueueUrl: &b.url,
			MessageBody: aws.String("no event")}); err != nil {
		t.Fatal(err)
	}
	before := b.server.Peek("events")[0]
	b.received(3)
	// its letter could not be written
	if err := b.settle(pillarbox.OutcomeReleased, b.lease(1)[0]); err != nil {
		t.Fatal(err)
	}
	if left := b.server.Peek("events"); len(left) != 1 || left[0].ID != before.ID {
		t.Errorf("%+v is left, want the message as it was", left)
	}
	if again := b.lease(1)[0]; again.Rejection == nil {
		t.Errorf("it came again as %+v", again)
	}
}

// TestTooOldIsNotSentAgain: SQS is to move it, as it would any other that nobody has delivered in
// time.
func TestTooOldIsNotSentAgain(t *testing.T) {
	b := open(t, settings{standIn: true, options: sqs.Options{MaxAge: time.Hour}})
	b.redrive(5)
	old := &pillarbox.Event{Timestamp: pillarbox.TimestampOf(time.Now().Add(-2 * time.Hour)),
		RequestID: "old"}
	b.append(old)
	before := b.server.Peek("events")[0]
	b.received(3)
	if err := b.settle(pillarbox.OutcomeReleased, b.lease(1)[0]); err != nil {
		t.Fatal(err)
	}
	if left := b.server.Peek("events"); len(left) != 1 || left[0].ID != before.ID {
		t.Errorf("%+v is left, want the message as it was", left)
	}
}

// TestWhatWaitsHoldsUpNobody: events that are to come later, one by one, are with SQS meanwhile.
func TestWhatWaitsHoldsUpNobody(t *testing.T) {
	b := open(t, settings{standIn: true})
	b.append(enginetest.Events(20, 23)...)
	for left := 20; left > 0; {
		got := b.lease(20)
		left -= len(got)
		outcomes := make([]pillarbox.Outcome, len(got))
		for i := range got {
			outcomes[i] = pillarbox.Outcome{Handle: got[i].Handle, Kind: pillarbox.OutcomeReleased,
				NotBefore: time.Now().Add(time.Hour)}
		}
		if err := b.Settle(t.Context(), destination, outcomes); err != nil {
			t.Fatal(err)
		}
	}
	b.append(&pillarbox.Event{Timestamp: 1, RequestID: "new"})
	if got := b.lease(20); len(got) != 1 || got[0].Event.RequestID != "new" {
		t.Errorf("%+v came, want the new one", got)
	}
}

// TestBodyThatCannotBeHadIsNoAttempt, and near its last receive the event is sent again with its
// claim, so that an outage of the bodies makes no dead letter.
func TestBodyThatCannotBeHadIsNoAttempt(t *testing.T) {
	var clock atomic.Int64
	clock.Store(time.Now().UnixMilli())
	bodies := &shelf{}
	b := open(t, settings{
		standIn: true, now: func() time.Time { return time.UnixMilli(clock.Load()) },
		attributes: map[string]string{"MaximumMessageSize": "4096", "VisibilityTimeout": "600"},
		options:    sqs.Options{Bodies: bodies},
	})
	b.redrive(5)
	event := &pillarbox.Event{Timestamp: 1, RequestID: "large", Body: bytes.Repeat([]byte("x"), 5000)}
	b.append(event)
	first := b.server.Peek("events")[0]
	bodies.fail(fmt.Errorf("bucket: %w", pillarbox.ErrUnavailable))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	leased := make(chan []pillarbox.Delivery, 1)
	go func() {
		deliveries, err := b.Lease(ctx, destination, pillarbox.LeaseLimits{MaxEvents: 1})
		if err != nil {
			t.Errorf("lease: %v", err)
		}
		leased <- deliveries
	}()
	receives := 0
	for ctx.Err() == nil {
		left := b.server.Peek("events")
		if len(left) == 1 && left[0].ID != first.ID {
			break
		}
		if len(left) > 0 {
			receives = max(receives, left[0].Receives)
		}
		clock.Add(int64(10 * time.Minute / time.Millisecond)) // longer than it waits
		time.Sleep(time.Millisecond)                          // SQS is asked by another goroutine, over a connection
	}
	bodies.fail(nil)
	for got := []pillarbox.Delivery(nil); got == nil && ctx.Err() == nil; {
		select {
		case got = <-leased:
			if diff := enginetest.Diff(got[0].Event, event); diff != "" || len(got[0].Attempts) != 0 {
				t.Errorf("%s; came with %d attempts after %d receives", diff, len(got[0].Attempts), receives)
			}
		case <-time.After(time.Millisecond):
			clock.Add(int64(10 * time.Minute / time.Millisecond))
		}
	}
	if dead := b.server.Peek("dead"); len(dead) > 0 {
		t.Errorf("%d dead letters", len(dead))
	}
}
