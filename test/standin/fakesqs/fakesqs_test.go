package fakesqs_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"pillarbox/test/standin/fakesqs"
)

// TestChecks holds the stand-in to what SQS does.
func TestChecks(t *testing.T) {
	for _, test := range []struct {
		name  string
		check func(b *bench)
	}{
		{"attributes of a queue", checkQueueAttributes},
		{"encryption is kept", checkEncryption},
		{"the same name with other attributes", checkSameName},
		{"a queue that is missing", checkMissingQueue},
		{"tags", checkTags},
		{"queues are listed in pages", checkListQueues},
		{"purging", checkPurge},
		{"deleting a queue", checkDeleteQueue},
		{"attributes of a message", checkMessageAttributes},
		{"attributes that are asked for", checkAskedAttributes},
		{"attributes that are refused", checkBadAttributes},
		{"trace header", checkTrace},
		{"in flight is hidden and counted", checkInFlight},
		{"visibility ends a long poll", checkVisibilityEnds},
		{"a send ends a long poll", checkSendEnds},
		{"a long poll of nothing", checkLongPoll},
		{"received too often", checkDeadLetter},
		{"dead letters are moved back", checkMove},
		{"visibility of nothing", checkVisibilityZero},
		{"visibility is extended", checkVisibilityExtended},
		{"visibility is bounded", checkVisibilityBounds},
		{"visibility of what is deleted", checkVisibilityDeleted},
		{"a handle that is none", checkBogusHandle},
		{"a handle that is stale", checkStaleHandle},
		{"batches", checkBatches},
		{"batches that are refused", checkBadBatches},
		{"entries that are refused", checkBadEntries},
		{"visibility in batches", checkVisibilityBatch},
		{"groups of a fair queue", checkGroups},
		{"limits of size", checkSizes},
		{"characters", checkCharacters},
		{"receives that are refused", checkBadReceive},
		{"delays", checkDelay},
		{"retention", checkRetention},
		{"order", checkOrder},
	} {
		t.Run(test.name, func(t *testing.T) { test.check(start(t, fakesqs.Options{})) })
	}
}

func checkMessageAttributes(b *bench) {
	out, err := b.client.SendMessage(b.Context(), &sqs.SendMessageInput{
		QueueUrl: b.queue, MessageBody: aws.String(
			"hello"), MessageAttributes: map[string]types.MessageAttributeValue{
			"attribName1": {DataType: aws.String("String"),
				StringValue: aws.String("attribValue 1")},
			"customNumberTypeAttrib": {DataType: aws.String("Number.float"),
				StringValue: aws.String("4563442423554324324264524243.32543234")},
			"binaryAttribute": {DataType: aws.String("Binary"),
				BinaryValue: []byte("Hello binary world!")},
		},
	})
	b.must(err)
	const sum = "c932db14a896c663f83c260297d594ff" // as others have computed it for these three
	if aws.ToString(out.MD5OfMessageAttributes) != sum {
		b.Errorf("sum of the attributes: got %s, want %s", aws.ToString(out.MD5OfMessageAttributes), sum)
	}
	m := b.receive(1)[0]
	sent := fmt.Sprint(b.clock.Now().UnixMilli())
	if *m.Body != "hello" || *m.MessageId != *out.MessageId ||
		aws.ToString(m.MD5OfMessageAttributes) != sum ||
		string(m.MessageAttributes["binaryAttribute"].BinaryValue) != "Hello binary world!" {
		b.Errorf("got %+v", m)
	}
	if m.Attributes["ApproximateReceiveCount"] != "1" || m.Attributes["SentTimestamp"] != sent ||
		m.Attributes["ApproximateFirstReceiveTimestamp"] != sent {
		b.Errorf("attributes: %v", m.Attributes)
	}
}

func checkAskedAttributes(b *bench) {
	value := types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String("v")}
	_, err := b.client.SendMessage(b.Context(), &sqs.SendMessageInput{
		QueueUrl: b.queue, MessageBody: aws.String(
			"x"), MessageAttributes: map[string]types.MessageAttributeValue{
			"a.one": value, "a.two": value, "b": value},
	})
	b.must(err)
	out, err := b.client.ReceiveMessage(b.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: b.queue, MessageAttributeNames: []string{
			"a.*"}, MessageSystemAttributeNames: []types.MessageSystemAttributeName{"SentTimestamp"},
	})
	b.must(err)
	if m := out.Messages[0]; len(m.MessageAttributes) != 2 || len(m.Attributes) != 1 {
		b.Errorf("got %v and %v", m.MessageAttributes, m.Attributes)
	}
}

func checkBadAttributes(b *bench) {
	text := func(s string) types.MessageAttributeValue {
		return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &s}
	}
	many := map[string]types.MessageAttributeValue{}
	for i := range 11 {
		many[fmt.Sprint("a", i)] = text("v")
	}
	for _, attributes := range []map[string]types.MessageAttributeValue{
		many, {"aws.mine": text("v")}, {"a b": text("v")}, {".a": text("v")}, {"a": text("")},
		{"a": {DataType: aws.String("Date"), StringValue: aws.String("v")}},
		{"a": {DataType: aws.String("Number"), StringValue: aws.String("v")}},
		{"a": {DataType: aws.String("Binary"), StringValue: aws.String("v")}},
	} {
		_, err := b.client.SendMessage(b.Context(),
			&sqs.SendMessageInput{QueueUrl: b.queue, MessageBody: aws.String("x"),
				MessageAttributes: attributes})
		b.wantCode(err, "InvalidParameterValue")
	}
}

func checkTrace(b *bench) {
	send := func(header string) error {
		_, err := b.client.SendMessage(b.Context(), &sqs.SendMessageInput{
			QueueUrl: b.queue, MessageBody: aws.String(
				"x"), MessageSystemAttributes: map[string]types.MessageSystemAttributeValue{
				"AWSTraceHeader": {DataType: aws.String("String"), StringValue: &header},
			},
		})
		return err
	}
	const header = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
	b.must(send(header))
	if got := b.receive(1)[0].Attributes["AWSTraceHeader"]; got != header {
		b.Errorf("got %q", got)
	}
	b.wantCode(send("anything"), "InvalidParameterValue")
}

func checkInFlight(b *bench) {
	b.one()
	b.receive(0)
	if visible, inFlight := b.attribute(b.queue, "ApproximateNumberOfMessages"), b.attribute(b.queue,
		"ApproximateNumberOfMessagesNotVisible"); visible != "0" || inFlight != "1" {
		b.Errorf("visible %s, in flight %s", visible, inFlight)
	}
}

func checkVisibilityEnds(b *bench) {
	b.must(b.visibility(b.one(), 5))
	messages := b.poll(b.queue, func() { b.clock.Advance(5 * time.Second) })
	if len(messages) != 1 || messages[0].Attributes["ApproximateReceiveCount"] != "2" {
		b.Errorf("got %+v", messages)
	}
}

func checkSendEnds(b *bench) {
	if messages := b.poll(b.queue, func() { b.send("wake") }); len(messages) != 1 {
		b.Errorf("got %+v", messages)
	}
}

func checkLongPoll(b *bench) {
	if messages := b.poll(b.queue, func() { b.clock.Advance(20 * time.Second) }); len(messages) != 0 {
		b.Errorf("got %+v", messages)
	}
	began := time.Now() // with a clock that stands still, a poll ends in real time
	if messages := b.receiveFrom(b.queue, 1); len(messages) != 0 ||
		time.Since(began) < 900*time.Millisecond {
		b.Errorf("got %+v after %v", messages, time.Since(began))
	}
	ctx, cancel := context.WithCancel(b.Context())
	cancel()
	_, err := b.client.ReceiveMessage(ctx,
		&sqs.ReceiveMessageInput{QueueUrl: b.queue, WaitTimeSeconds: 20})
	if !errors.Is(err, context.Canceled) {
		b.Errorf("got %v", err)
	}
}

func checkDeadLetter(b *bench) {
	first := b.one()
	sent := first.Attributes["SentTimestamp"]
	b.clock.Advance(30 * time.Second)
	b.receive(1)
	b.clock.Advance(30 * time.Second)
	if messages := b.receiveFrom(b.dead, 0); len(messages) != 0 {
		b.Error("a message moves when it would be received, not before")
	}
	b.receive(0)
	messages := b.receiveFrom(b.dead, 0)
	if len(messages) != 1 {
		b.Fatalf("%d dead", len(messages))
	}
	m := messages[0]
	if *m.MessageId != *first.MessageId || m.Attributes["SentTimestamp"] != sent ||
		m.Attributes["ApproximateReceiveCount"] != "3" ||
		m.Attributes["DeadLetterQueueSourceArn"] != b.arn(b.queue) {
		b.Errorf("got %s %v", *m.MessageId, m.Attributes)
	}
}

func checkMove(b *bench) {
	list, err := b.client.ListDeadLetterSourceQueues(b.Context(),
		&sqs.ListDeadLetterSourceQueuesInput{QueueUrl: b.dead})
	if err != nil || len(list.QueueUrls) != 1 || list.QueueUrls[0] != *b.queue {
		b.Errorf("sources: %v, %v", list, err)
	}
	first := b.one()
	for range 2 {
		b.clock.Advance(30 * time.Second)
		b.receiveFrom(b.queue, 0)
	}
	move := func(source string) error {
		_, err := b.client.StartMessageMoveTask(b.Context(),
			&sqs.StartMessageMoveTaskInput{SourceArn: &source})
		return err
	}
	b.must(move(b.arn(b.dead)))
	m := b.receive(1)[0]
	if *m.MessageId == *first.MessageId || m.Attributes["ApproximateReceiveCount"] != "1" ||
		*m.Body != "one" {
		b.Errorf("got %+v", m)
	}
	tasks, err := b.client.ListMessageMoveTasks(b.Context(),
		&sqs.ListMessageMoveTasksInput{SourceArn: aws.String(b.arn(b.dead))})
	if err != nil || len(tasks.Results) != 1 ||
		tasks.Results[0].ApproximateNumberOfMessagesMoved != 1 ||
		*tasks.Results[0].Status != "COMPLETED" {
		b.Errorf("tasks: %+v, %v", tasks, err)
	}
	b.wantCode(move(b.arn(b.queue)), "InvalidParameterValue")
	b.wantCode(move(b.arn(b.queue)+"x"), "ResourceNotFoundException")
}

func checkVisibilityZero(b *bench) {
	b.must(b.visibility(b.one(), 0))
	if m := b.receive(1)[0]; m.Attributes["ApproximateReceiveCount"] != "2" {
		b.Errorf("got %v", m.Attributes)
	}
}

func checkVisibilityExtended(b *bench) {
	b.must(b.visibility(b.one(), 60))
	b.clock.Advance(59 * time.Second)
	b.receive(0)
	b.clock.Advance(time.Second)
	b.receive(1)
}

func checkVisibilityBounds(b *bench) {
	m := b.one()
	b.must(b.visibility(m, 43_200))
	b.wantCode(b.visibility(m, 43_201), "InvalidParameterValue")
	b.clock.Advance(time.Second)
	b.wantCode(b.visibility(m, 43_200), "InvalidParameterValue") // twelve hours from the receive, not from now
	b.must(b.visibility(m, 1))
	b.clock.Advance(time.Second)
	b.wantCode(b.visibility(m, 1), "AWS.SimpleQueueService.MessageNotInflight")
}

func checkVisibilityDeleted(b *bench) {
	m := b.one()
	b.must(b.delete(m.ReceiptHandle))
	b.wantCode(b.visibility(m, 3), "InvalidParameterValue")
	b.must(b.delete(m.ReceiptHandle)) // deleting twice is fine
}

func checkBogusHandle(b *bench) {
	b.wantCode(b.delete(aws.String("bogus")), "ReceiptHandleIsInvalid")
	b.wantCode(b.visibility(types.Message{ReceiptHandle: aws.String("bogus")}, 1),
		"ReceiptHandleIsInvalid")
}

func checkStaleHandle(b *bench) {
	first := b.one()
	b.clock.Advance(30 * time.Second)
	second := b.receive(1)[0]
	b.must(b.delete(first.ReceiptHandle))
	if len(b.server.Peek("main")) != 1 {
		b.Error("a stale handle deleted the message")
	}
	b.wantCode(b.visibility(first, 1), "InvalidParameterValue")
	b.must(b.delete(second.ReceiptHandle))
	if len(b.server.Peek("main")) != 0 {
		b.Error("the message is still there")
	}
}

func checkBatches(b *bench) {
	bodies := strings.Split("0123456789", "")
	sent, err := b.batch(bodies...)
	if err != nil || len(sent.Successful) != 10 || len(sent.Failed) != 0 {
		b.Fatalf("got %+v, %v", sent, err)
	}
	var entries []types.DeleteMessageBatchRequestEntry
	for i, m := range b.receive(10) {
		entries = append(entries, types.DeleteMessageBatchRequestEntry{
			Id: aws.String(fmt.Sprint("d", i)), ReceiptHandle: m.ReceiptHandle})
	}
	entries[9].ReceiptHandle = aws.String("bogus")
	deleted, err := b.client.DeleteMessageBatch(b.Context(),
		&sqs.DeleteMessageBatchInput{QueueUrl: b.queue, Entries: entries})
	b.must(err)
	if len(deleted.Successful) != 9 || len(deleted.Failed) != 1 ||
		*deleted.Failed[0].Code != "ReceiptHandleIsInvalid" || *deleted.Failed[0].Id != "d9" ||
		!deleted.Failed[0].SenderFault {
		b.Errorf("got %+v", deleted)
	}
	if peeked := b.server.Peek("main"); len(peeked) != 1 || peeked[0].Body != "9" {
		b.Errorf("left: %+v", peeked)
	}
}

func checkBadBatches(b *bench) {
	_, err := b.batch(make([]string, 11)...)
	b.wantCode(err, "AWS.SimpleQueueService.TooManyEntriesInBatchRequest")
	_, err = b.client.SendMessageBatch(b.Context(),
		&sqs.SendMessageBatchInput{QueueUrl: b.queue, Entries: []types.SendMessageBatchRequestEntry{}})
	b.wantCode(err, "AWS.SimpleQueueService.EmptyBatchRequest")
	_, err = b.batch("a", "")
	b.wantCode(err, "MissingParameter")
	_, err = b.batch(strings.Repeat("a", 1<<19), strings.Repeat("b", 1<<19+1))
	b.wantCode(err, "AWS.SimpleQueueService.BatchRequestTooLong")
	if _, err = b.batch(strings.Repeat("a", 1<<19), strings.Repeat("b", 1<<19)); err != nil {
		b.Errorf("a batch of the largest size: %v", err)
	}
	for _, test := range []struct{ id, code string }{
		{"e", "AWS.SimpleQueueService.BatchEntryIdsNotDistinct"}, {"a b",
			"AWS.SimpleQueueService.InvalidBatchEntryId"},
		{strings.Repeat("a", 81), "AWS.SimpleQueueService.InvalidBatchEntryId"},
	} {
		entries := []types.SendMessageBatchRequestEntry{
			{Id: aws.String("e"), MessageBody: aws.String("x")}, {Id: &test.id,
				MessageBody: aws.String("x")}}
		_, err := b.client.SendMessageBatch(b.Context(),
			&sqs.SendMessageBatchInput{QueueUrl: b.queue, Entries: entries})
		b.wantCode(err, test.code)
	}
}

func checkBadEntries(b *bench) {
	_, err := b.client.SetQueueAttributes(b.Context(),
		&sqs.SetQueueAttributesInput{QueueUrl: b.queue,
			Attributes: map[string]string{"MaximumMessageSize": "1024"}})
	b.must(err)
	out, err := b.batch("fine", "a\x01b", strings.Repeat("x", 1025), "fine")
	b.must(err)
	if len(out.Successful) != 2 || len(out.Failed) != 2 ||
		*out.Failed[0].Code != "InvalidMessageContents" ||
		*out.Failed[1].Code != "InvalidParameterValue" {
		b.Errorf("got %+v", out)
	}
}

// checkGroups: a standard queue takes a group, and gives it back to who asks; it takes no id
// against duplicates.
func checkGroups(b *bench) {
	entry := func(id string, group *string) types.SendMessageBatchRequestEntry {
		return types.SendMessageBatchRequestEntry{Id: &id, MessageBody: &id, MessageGroupId: group}
	}
	most := strings.Repeat("~", 128)
	out, err := b.client.SendMessageBatch(b.Context(), &sqs.SendMessageBatchInput{QueueUrl: b.queue,
		Entries: []types.SendMessageBatchRequestEntry{
			entry("none", nil), entry("app", aws.String("app")), entry("most", &most),
			entry("long", aws.String(most+"~")), entry("empty", aws.String("")),
			entry("blank", aws.String("a b")), entry("foreign", aws.String("ä")),
		}})
	b.must(err)
	for i, id := range []string{"long", "empty", "blank", "foreign"} {
		if len(out.Successful) != 3 || len(out.Failed) != 4 || *out.Failed[i].Id != id ||
			*out.Failed[i].Code != "InvalidParameterValue" || !out.Failed[i].SenderFault {
			b.Fatalf("got %+v", out)
		}
	}
	_, err = b.client.SendMessage(b.Context(), &sqs.SendMessageInput{QueueUrl: b.queue,
		MessageBody: aws.String("x"), MessageDeduplicationId: aws.String("x")})
	b.wantCode(err, "InvalidParameterValue")
	got, err := b.client.ReceiveMessage(b.Context(), &sqs.ReceiveMessageInput{QueueUrl: b.queue,
		MaxNumberOfMessages:         10,
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{"MessageGroupId"}})
	b.must(err)
	want := map[string]string{"none": "", "app": "app", "most": most}
	for _, m := range got.Messages {
		if group := m.Attributes["MessageGroupId"]; group != want[*m.Body] {
			b.Errorf("the group of %s is %q", *m.Body, group)
		}
		delete(want, *m.Body)
	}
	if len(want) != 0 {
		b.Errorf("missing: %v", want)
	}
}

func checkVisibilityBatch(b *bench) {
	m := b.one()
	entry := func(id string, handle *string,
		seconds int32) types.ChangeMessageVisibilityBatchRequestEntry {
		return types.ChangeMessageVisibilityBatchRequestEntry{Id: &id, ReceiptHandle: handle,
			VisibilityTimeout: seconds}
	}
	out, err := b.client.ChangeMessageVisibilityBatch(b.Context(),
		&sqs.ChangeMessageVisibilityBatchInput{
			QueueUrl: b.queue, Entries: []types.ChangeMessageVisibilityBatchRequestEntry{
				entry("good", m.ReceiptHandle, 0), entry("bad", aws.String("bogus"), 1)},
		})
	b.must(err)
	if len(out.Successful) != 1 || len(out.Failed) != 1 || *out.Failed[0].Id != "bad" {
		b.Errorf("got %+v", out)
	}
	b.receive(1)
}

func checkSizes(b *bench) {
	b.send(strings.Repeat("y", 1<<20))
	body := strings.Repeat("y", 1<<20+1)
	_, err := b.client.SendMessage(b.Context(),
		&sqs.SendMessageInput{QueueUrl: b.queue, MessageBody: &body})
	b.wantCode(err, "InvalidParameterValue")
	body = body[:1<<20-5]
	_, err = b.client.SendMessage(b.Context(), &sqs.SendMessageInput{
		QueueUrl: b.queue, MessageBody: &body, MessageAttributes: map[string]types.MessageAttributeValue{
			"abcd": {DataType: aws.String("String"), StringValue: aws.String("v")}},
	})
	b.wantCode(err, "InvalidParameterValue")
}

func checkCharacters(b *bench) {
	b.send("\t\n\r \u00e4\ud7ff\ue000\ufffd\U0001F418")
	for _, body := range []string{"a\x00b", "\x0b", "\x1f", "\ufffe", "\uffff"} {
		_, err := b.client.SendMessage(b.Context(),
			&sqs.SendMessageInput{QueueUrl: b.queue, MessageBody: &body})
		b.wantCode(err, "InvalidMessageContents")
	}
}

func checkBadReceive(b *bench) {
	for _, in := range []*sqs.ReceiveMessageInput{{MaxNumberOfMessages: 11}, {WaitTimeSeconds: 21},
		{VisibilityTimeout: 43_201}} {
		in.QueueUrl = b.queue
		_, err := b.client.ReceiveMessage(b.Context(), in)
		b.wantCode(err, "InvalidParameterValue")
	}
}

func checkDelay(b *bench) {
	_, err := b.client.SendMessage(b.Context(),
		&sqs.SendMessageInput{QueueUrl: b.queue, MessageBody: aws.String("late"), DelaySeconds: 2})
	b.must(err)
	if got := b.attribute(b.queue, "ApproximateNumberOfMessagesDelayed"); got != "1" {
		b.Errorf("delayed: %s", got)
	}
	b.clock.Advance(1999 * time.Millisecond)
	b.receive(0)
	b.clock.Advance(time.Millisecond)
	b.receive(1)
}

func checkRetention(b *bench) {
	b.send("old")
	b.clock.Advance(4*24*time.Hour - time.Second)
	b.send("new")
	b.clock.Advance(time.Second)
	if m := b.receive(1)[0]; *m.Body != "new" {
		b.Errorf("got %s", *m.Body)
	}
}

func checkOrder(b *bench) {
	for i := range 25 {
		b.send(fmt.Sprint(i))
	}
	for at := 0; at < 25; {
		for _, m := range b.receiveFrom(b.queue, 0) {
			if *m.Body != fmt.Sprint(at) {
				b.Fatalf("got %s, want %d", *m.Body, at)
			}
			at++
		}
	}
}
