package fakesqs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"pillarbox/test/standin/awsjson"
	"pillarbox/test/standin/fakesqs"
)

func (b *bench) trySend() error {
	_, err := b.client.SendMessage(b.Context(),
		&sqs.SendMessageInput{QueueUrl: b.queue, MessageBody: aws.String("x")})
	return err
}

// What a test asks for happens as often as it asked, to the operations that it named, and is
// counted.
func TestFaults(t *testing.T) {
	b := start(t, fakesqs.Options{})
	b.server.Throttle(2, "SendMessage")
	b.receive(0)
	b.wantCode(b.trySend(), "RequestThrottled")
	var throttled *types.RequestThrottled
	if err := b.trySend(); !errors.As(err, &throttled) {
		t.Errorf("got %v", err)
	}
	b.must(b.trySend())
	b.server.FailWith(1, fakesqs.ErrThrottling)
	b.wantCode(b.trySend(), "Throttling")
	b.server.FailWith(1, awsjson.ErrExpiredToken)
	b.wantCode(b.trySend(), "ExpiredToken")
	b.server.Fail(1)
	b.wantCode(b.trySend(), "InternalError")
	b.server.HangUp(1)
	if err := b.trySend(); err == nil {
		t.Error("the connection was not closed")
	}
	b.server.Refuse(awsjson.ErrAccessDenied, "SendMessage")
	for range 3 {
		b.wantCode(b.trySend(), "AccessDenied")
	}
	b.server.Allow()
	b.must(b.trySend())
	if got := b.server.Calls("SendMessage"); got != 11 {
		t.Errorf("%d calls were counted", got)
	}
	b.receive(2)
}

// A lost answer is a call that was carried out.
func TestLostAnswer(t *testing.T) {
	b := start(t, fakesqs.Options{})
	b.server.LoseAnswers(1, "SendMessage")
	if err := b.trySend(); err == nil {
		t.Error("the answer was not lost")
	}
	b.receive(1)
}

func TestStall(t *testing.T) {
	b := start(t, fakesqs.Options{})
	b.server.Stall(1)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := b.client.SendMessage(ctx,
		&sqs.SendMessageInput{QueueUrl: b.queue, MessageBody: aws.String("x")})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	b.receive(0)
}

// Single entries of a batch fail, and the others are carried out.
func TestFailEntries(t *testing.T) {
	b := start(t, fakesqs.Options{})
	b.server.FailEntries(fakesqs.EntryFault{Operation: "SendMessageBatch", Skip: 2, Entries: 2})
	out, err := b.batch("a", "b", "c", "d", "e")
	b.must(err)
	if len(out.Failed) != 2 || *out.Failed[0].Id != "e2" || *out.Failed[1].Id != "e3" ||
		*out.Failed[0].Code != "InternalError" || out.Failed[0].SenderFault {
		t.Errorf("got %+v", out.Failed)
	}
	var bodies []string
	for _, m := range b.receive(3) {
		bodies = append(bodies, *m.Body)
	}
	if !slices.Equal(bodies, []string{"a", "b", "e"}) {
		t.Errorf("sent: %v", bodies)
	}
}

// A duplicate comes in the same call where there is room, and later also after the message was
// deleted.
func TestDuplicate(t *testing.T) {
	b := start(t, fakesqs.Options{})
	b.server.Duplicate(1)
	b.send("a")
	if twins := b.receive(2); *twins[0].MessageId != *twins[1].MessageId ||
		*twins[0].ReceiptHandle == *twins[1].ReceiptHandle {
		t.Errorf("got %+v", twins)
	}
	b.must(func() error {
		_, err := b.client.PurgeQueue(b.Context(), &sqs.PurgeQueueInput{QueueUrl: b.queue})
		return err
	}())
	_, err := b.batch("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
	b.must(err)
	b.server.Duplicate(1)
	for _, m := range b.receive(10) {
		b.must(b.delete(m.ReceiptHandle))
	}
	if m := b.receive(1)[0]; *m.Body != "0" {
		t.Errorf("got %s", *m.Body)
	}
}

func TestReorder(t *testing.T) {
	const seed = 7
	b := start(t, fakesqs.Options{Reorder: true, Seed: seed})
	var sent, got []string
	for i := range 50 {
		sent = append(sent, fmt.Sprint(i))
		b.send(sent[i])
	}
	for len(got) < len(sent) {
		for _, m := range b.receive(10) {
			got = append(got, *m.Body)
		}
	}
	if slices.Equal(got, sent) {
		t.Errorf("seed %d: nothing changed places", seed)
	}
	slices.Sort(got)
	slices.Sort(sent)
	if !slices.Equal(got, sent) {
		t.Errorf("seed %d: got %v", seed, got)
	}
}

// With too many messages in flight a short poll is refused, and a long poll is silent.
func TestOverLimit(t *testing.T) {
	b := start(t, fakesqs.Options{MaxInFlight: 1})
	b.one()
	b.send("another")
	_, err := b.client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: b.queue})
	b.wantCode(err, "OverLimit")
	if messages := b.poll(b.queue, func() { b.clock.Advance(20 * time.Second) }); len(messages) != 0 {
		t.Errorf("got %+v", messages)
	}
}

// A long queue is sent, received and deleted in a time that grows with its length only.
func TestLongQueue(t *testing.T) {
	b := start(t, fakesqs.Options{})
	const batches = 200
	for range batches {
		_, err := b.batch("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
		b.must(err)
	}
	for range batches {
		var entries []types.DeleteMessageBatchRequestEntry
		for i, m := range b.receive(10) {
			entries = append(entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(i)),
				ReceiptHandle: m.ReceiptHandle})
		}
		out, err := b.client.DeleteMessageBatch(t.Context(),
			&sqs.DeleteMessageBatchInput{QueueUrl: b.queue, Entries: entries})
		if err != nil || len(out.Successful) != 10 {
			t.Fatalf("got %+v, %v", out, err)
		}
	}
	b.receive(0)
}
