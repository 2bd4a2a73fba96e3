package fakesqs_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"pillarbox/test/standin/awsjson"
	"pillarbox/test/standin/fakesqs"
)

// clock is a clock that only a test moves.
type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.at.Store(time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) Now() time.Time                 { return time.Unix(0, c.at.Load()) }
func (c *clock) Advance(duration time.Duration) { c.at.Add(int64(duration)) }

// bench is a stand-in with a client, a queue whose messages die after two receives, and the queue
// where they go.
type bench struct {
	*testing.T
	server *fakesqs.Server
	client *sqs.Client
	clock  *clock
	queue  *string
	dead   *string
}

func start(t *testing.T, options fakesqs.Options) *bench {
	b := &bench{T: t, clock: newClock()}
	options.Now = b.clock.Now
	b.server = fakesqs.New(options)
	url := b.server.Start(t)
	b.client = sqs.New(sqs.Options{
		BaseEndpoint: &url, Region: "us-east-1", Retryer: aws.NopRetryer{}, HTTPClient: awsjson.Client(t),
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
	b.dead = b.create("dead", map[string]string{"MessageRetentionPeriod": "1209600"})
	b.queue = b.create("main", map[string]string{
		"VisibilityTimeout": "30", "RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":2}`, b.arn(b.dead)),
	})
	return b
}

func (b *bench) create(name string, attributes map[string]string) *string {
	b.Helper()
	out, err := b.client.CreateQueue(b.Context(),
		&sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	b.must(err)
	return out.QueueUrl
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) attribute(queue *string, name types.QueueAttributeName) string {
	b.Helper()
	out, err := b.client.GetQueueAttributes(b.Context(),
		&sqs.GetQueueAttributesInput{QueueUrl: queue, AttributeNames: []types.QueueAttributeName{name}})
	b.must(err)
	return out.Attributes[string(name)]
}

func (b *bench) arn(queue *string) string { return b.attribute(queue, "QueueArn") }

func (b *bench) send(body string) *sqs.SendMessageOutput {
	b.Helper()
	out, err := b.client.SendMessage(b.Context(),
		&sqs.SendMessageInput{QueueUrl: b.queue, MessageBody: &body})
	b.must(err)
	return out
}

func (b *bench) receiveFrom(queue *string, wait int32) []types.Message {
	b.Helper()
	out, err := b.client.ReceiveMessage(b.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: queue, MaxNumberOfMessages: 10, WaitTimeSeconds: wait,
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{
			"All"}, MessageAttributeNames: []string{"All"},
	})
	b.must(err)
	return out.Messages
}

func (b *bench) receive(want int) []types.Message {
	b.Helper()
	messages := b.receiveFrom(b.queue, 0)
	if len(messages) != want {
		b.Fatalf("received %d messages, want %d", len(messages), want)
	}
	return messages
}

// one sends a message and receives it.
func (b *bench) one() types.Message {
	b.Helper()
	b.send("one")
	return b.receive(1)[0]
}

func (b *bench) visibility(m types.Message, seconds int32) error {
	_, err := b.client.ChangeMessageVisibility(b.Context(),
		&sqs.ChangeMessageVisibilityInput{QueueUrl: b.queue, ReceiptHandle: m.ReceiptHandle,
			VisibilityTimeout: seconds})
	return err
}

func (b *bench) delete(handle *string) error {
	_, err := b.client.DeleteMessage(b.Context(),
		&sqs.DeleteMessageInput{QueueUrl: b.queue, ReceiptHandle: handle})
	return err
}

func (b *bench) batch(bodies ...string) (*sqs.SendMessageBatchOutput, error) {
	var entries []types.SendMessageBatchRequestEntry
	for i, body := range bodies {
		entries = append(entries, types.SendMessageBatchRequestEntry{Id: aws.String(fmt.Sprint("e", i)),
			MessageBody: aws.String(body)})
	}
	return b.client.SendMessageBatch(b.Context(),
		&sqs.SendMessageBatchInput{QueueUrl: b.queue, Entries: entries})
}

// wantCode checks the code that the SDK made of the answer, which for most errors is that of the
// old protocol.
func (b *bench) wantCode(err error, code string) {
	b.Helper()
	var known smithy.APIError
	if !errors.As(err, &known) || known.ErrorCode() != code {
		b.Errorf("got %v, want %s", err, code)
	}
}

// poll receives with a wait of 20 s while something else happens, and checks that this has ended
// it, and not real time.
func (b *bench) poll(queue *string, meanwhile func()) []types.Message {
	b.Helper()
	overslept := b.server.Overslept()
	done := make(chan []types.Message)
	go func() { done <- b.receiveFrom(queue, 20) }()
	for b.server.Polls() == 0 {
		select {
		case <-done:
			b.Fatal("the long poll did not wait")
		case <-time.After(time.Millisecond):
		}
	}
	meanwhile()
	messages := <-done
	if b.server.Overslept() != overslept {
		b.Error("the long poll was not woken")
	}
	return messages
}
