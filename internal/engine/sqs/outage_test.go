package sqs_test

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"pillarbox"
	"pillarbox/internal/deliver"
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
		Destination: destination, Queue: b.Queue, Sink: sink, Letters: memory.NewDeadLetters(),
		Probe: retry.Breaker{ProbeInitial: time.Millisecond, ProbeMax: time.Millisecond},
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
		t.Errorf("%d events are stored and %d became dead letters, want %d stored: %v", stored, len(dead), events, err)
	}
}

// received has another reader receive a message so often, and give it back.
func (b *box) received(times int) {
	b.t.Helper()
	for range times {
		out, err := b.client.ReceiveMessage(b.t.Context(), &awssqs.ReceiveMessageInput{QueueUrl: &b.url, WaitTimeSeconds: 5})
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

// TestReleasedNearTheEndIsSentAgain as it is, and before it is deleted. Its body stays where it was put.
func TestReleasedNearTheEndIsSentAgain(t *testing.T) {
	bodies := &shelf{}
	b := open(t, settings{standIn: true, attributes: map[string]string{"MaximumMessageSize": "4096", "VisibilityTimeout": "600"}, options: sqs.Options{Bodies: bodies}})
	b.redrive(5)
	event := &pillarbox.Event{Timestamp: 1, RequestID: "large", Source: "app", Body: bytes.Repeat([]byte("x"), 5000)}
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
	if left := b.server.Peek("events"); len(left) != 1 || left[0].ID == before.ID || left[0].Body != before.Body {
		t.Fatalf("%+v is left, want a new message in place of %+v", left, before)
	}
	again := b.lease(1)[0]
	if diff := enginetest.Diff(again.Event, event); diff != "" || len(again.Attempts) != 0 || bodies.puts != 1 {
		t.Errorf("%s; came with %d attempts, its body was put %d times", diff, len(again.Attempts), bodies.puts)
	}
}

// TestRequeuedWaitsAndIsYoung: whoever puts a letter back has time to mark it, and its event's age counts from then on.
func TestRequeuedWaitsAndIsYoung(t *testing.T) {
	var clock atomic.Int64
	clock.Store(time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC).UnixMilli())
	b := open(t, settings{standIn: true, now: func() time.Time { return time.UnixMilli(clock.Load()) }})
	letters := enginetest.Letters(2, 22)
	if err := b.Requeue(t.Context(), letters); err != nil {
		t.Fatal(err)
	}
	out, err := b.client.GetQueueAttributes(t.Context(), &awssqs.GetQueueAttributesInput{
		QueueUrl: &b.url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameApproximateNumberOfMessagesDelayed},
	})
	if err != nil || out.Attributes["ApproximateNumberOfMessagesDelayed"] != "2" {
		t.Fatalf("%v of the 2 wait, %v", out.Attributes, err)
	}
	sent := pillarbox.TimestampOf(time.UnixMilli(clock.Load()))
	clock.Add(sqs.RequeueDelay.Milliseconds())
	for i, got := range b.lease(2) {
		if diff := enginetest.Diff(got.Event, letters[i].Event); diff != "" || got.Since != sent || len(got.Attempts) != 0 {
			t.Errorf("%s; waits since %v, want %v", diff, got.Since, sent)
		}
	}
}
