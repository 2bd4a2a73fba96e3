package sqs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/sqs"
	"pillarbox/internal/sqsrules"
	"pillarbox/test/standin/awsjson"
	"pillarbox/test/standin/fakesqs"
)

// box is a queue in a stand-in.
type box struct {
	*sqs.Queue
	t      *testing.T
	server *fakesqs.Server
	client *awssqs.Client
	url    string
}

// emulatorURL names an emulator to test against as well, with everything that asks nothing of the
// stand-in. test/emulators/run starts one.
var emulatorURL = os.Getenv("PILLARBOX_TEST_SQS_URL")

type settings struct {
	standIn    bool // the test needs the stand-in, to see or to break something
	now        func() time.Time
	attributes map[string]string
	options    sqs.Options
}

func open(t *testing.T, s settings) *box {
	t.Helper()
	var server *fakesqs.Server
	endpoint, name := emulatorURL, fmt.Sprintf("events-%d", time.Now().UnixNano())
	if emulatorURL == "" || s.standIn {
		server = fakesqs.New(fakesqs.Options{Now: s.now})
		endpoint, name = server.Start(t), "events"
	}
	client := awssqs.New(awssqs.Options{
		Region: "us-east-1", BaseEndpoint: &endpoint, HTTPClient: awsjson.Client(t),
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
	b := &box{t: t, server: server, client: client, url: create(t, client, name, s.attributes)}
	s.options.Now = s.now
	queue, err := sqs.Open(client, b.url, s.options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := queue.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	b.Queue = queue
	return b
}

func create(t *testing.T, client *awssqs.Client, name string, attributes map[string]string) string {
	t.Helper()
	if attributes == nil {
		attributes = map[string]string{"VisibilityTimeout": "600"}
	}
	out, err := client.CreateQueue(t.Context(),
		&awssqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	if err != nil {
		t.Fatal(err)
	}
	return aws.ToString(out.QueueUrl)
}

func TestQueueContract(t *testing.T) {
	enginetest.Queue(t, func(t *testing.T, now func() time.Time) pillarbox.Queue {
		return open(t, settings{standIn: true, now: now, options: sqs.Options{MaxAge: time.Hour}})
	})
}

// TestQueueContractDecorated: a decorator takes nothing from what it can do.
func TestQueueContractDecorated(t *testing.T) {
	enginetest.Queue(t, func(t *testing.T, now func() time.Time) pillarbox.Queue {
		queue := open(t, settings{standIn: true, now: now, options: sqs.Options{MaxAge: time.Hour}})
		return enginetest.TraceQueue(queue, &enginetest.Spans{})
	})
}

const destination = "events"

func (b *box) lease(n int) []pillarbox.Delivery {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 5*time.Second)
	defer cancel()
	deliveries, err := b.Lease(ctx, destination, pillarbox.LeaseLimits{MaxEvents: n})
	if err != nil {
		b.t.Fatalf("lease: %v", err)
	}
	return deliveries
}

func (b *box) append(events ...*pillarbox.Event) {
	b.t.Helper()
	if err := b.Append(b.t.Context(), events); err != nil {
		b.t.Fatalf("append: %v", err)
	}
}

func (b *box) settle(kind pillarbox.OutcomeKind, deliveries ...pillarbox.Delivery) error {
	outcomes := make([]pillarbox.Outcome, len(deliveries))
	for i, delivery := range deliveries {
		outcomes[i] = pillarbox.Outcome{Handle: delivery.Handle, Kind: kind}
	}
	return b.Settle(b.t.Context(), destination, outcomes)
}

// TestEmulatorIsThere where test/emulators/run says that it is: the other tests would run without
// it.
func TestEmulatorIsThere(t *testing.T) {
	if os.Getenv("PILLARBOX_TEST_EMULATORS") != "" && emulatorURL == "" {
		t.Fatal("the emulators run, and PILLARBOX_TEST_SQS_URL is not set")
	}
}

// TestBodiesOfAnyBytes: SQS refuses characters, and none of them gets there.
func TestBodiesOfAnyBytes(t *testing.T) {
	b := open(t, settings{standIn: true}) // fauxqs refuses what is above U+FFFF, which SQS takes
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	bodies := []string{"", "\x00\x01\x1f\x7f\u0080", "\ufffe\uffff\ufffd", string(every),
		"\xff\xfe", "</&>\u2028 🐘\U0010ffff"}
	events := enginetest.Events(len(bodies), 1)
	for i := range events {
		events[i].Body, events[i].Query, events[i].Header = []byte(bodies[i]), "q=\ufffe",
			pillarbox.Header{{Name: "X-\uffff", Value: "\x01\ufffe"}}
	}
	b.append(events...)
	got := b.lease(len(events))
	if len(got) != len(events) {
		t.Fatalf("%d of %d came", len(got), len(events))
	}
	for i := range got {
		if diff := enginetest.Diff(got[i].Event, events[i]); diff != "" {
			t.Errorf("body %q: %s", bodies[i], diff)
		}
	}
}

// TestNamesOfANewerVersionAreKept with the event, as far as its message goes.
func TestNamesOfANewerVersionAreKept(t *testing.T) {
	b := open(t, settings{standIn: true})
	event := enginetest.Events(1, 1)[0]
	event.Others = pillarbox.Members{{Name: "newer", Text: []byte(`{"a":1}`)}}
	b.append(event)
	got := b.lease(1)
	if len(got) != 1 || len(got[0].Event.Others) != 1 || string(got[0].Event.Others[0].Text) != `{"a":1}` ||
		got[0].Event.Others[0].Name != "newer" {
		t.Errorf("got %+v", got)
	}
}

// shelf keeps bodies in memory.
type shelf struct {
	mu     sync.Mutex
	bodies map[string][]byte
	puts   int
	fault  error
}

func (s *shelf) Put(_ context.Context, key pillarbox.Key, body []byte) (pillarbox.Claim, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bodies == nil {
		s.bodies = map[string][]byte{}
	}
	s.puts++
	s.bodies[key.RequestID] = bytes.Clone(body)
	return pillarbox.NewClaim(key.RequestID, body), s.fault
}

// fail lets calls fail from now on, or not.
func (s *shelf) fail(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = why
}

func (s *shelf) Get(_ context.Context, claim pillarbox.Claim) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault != nil {
		return nil, s.fault
	}
	body, ok := s.bodies[claim.Key]
	if !ok {
		return nil, fmt.Errorf("body %s: %w", claim.Key, pillarbox.ErrNotFound)
	}
	return body, claim.Check(body)
}

// TestLargeBodiesAreClaimed: the queue's own limit decides, to the byte.
func TestLargeBodiesAreClaimed(t *testing.T) {
	bodies := &shelf{}
	b := open(t, settings{attributes: map[string]string{"MaximumMessageSize": "4096"},
		options: sqs.Options{Bodies: bodies}})
	event := &pillarbox.Event{Timestamp: 1, RequestID: "fits", Source: "app"}
	empty, err := event.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	event.Body = bytes.Repeat([]byte("x"), 4096-len(empty))
	over := *event
	over.RequestID, over.Body = "over", append(bytes.Clone(event.Body), 'x')
	huge := *event
	huge.RequestID, huge.Body = "huge", bytes.Repeat([]byte{0xff}, 3<<20)
	b.append(event, &over, &huge)
	if _, claimed := bodies.bodies["fits"]; claimed || len(bodies.bodies) != 2 {
		t.Errorf("claimed: %d bodies, the one that fits: %v", len(bodies.bodies), claimed)
	}
	for i, delivery := range b.lease(3) {
		if diff := enginetest.Diff(delivery.Event,
			[]*pillarbox.Event{event, &over, &huge}[i]); diff != "" {
			t.Error(diff)
		}
	}
}

func TestLargeBodiesAreRefusedWithoutAPlace(t *testing.T) {
	b := open(t, settings{attributes: map[string]string{"MaximumMessageSize": "4096"}})
	events := enginetest.Events(3, 2)
	for i := range events {
		events[i].Body = nil
	}
	events[1].Body = bytes.Repeat([]byte("x"), 5000)
	err := b.Append(t.Context(), events)
	var partial *pillarbox.BatchError
	if !errors.As(err, &partial) || len(partial.Items) != 1 || partial.Items[0].Index != 1 ||
		!errors.Is(partial.Items[0].Err, pillarbox.ErrTooLarge) {
		t.Errorf("append: %v, want ErrTooLarge for the second alone", err)
	}
	if got := b.lease(3); len(got) != 2 {
		t.Errorf("%d events came, want the 2 that were promised", len(got))
	}
}

// TestBodyThatIsGone: the event is not dropped, and becomes a dead letter that says what is
// missing. The claim of the body stands in its place, so that nobody takes it for an empty one.
func TestBodyThatIsGone(t *testing.T) {
	bodies := &shelf{}
	b := open(t, settings{attributes: map[string]string{"MaximumMessageSize": "4096"},
		options: sqs.Options{Bodies: bodies}})
	b.append(&pillarbox.Event{Timestamp: 1, RequestID: "id", Body: bytes.Repeat([]byte("x"), 5000)})
	clear(bodies.bodies)
	got := b.lease(1)[0]
	if got.Rejection == nil || !strings.Contains(got.Rejection.Reason,
		"claimed as id with 5000 bytes") {
		t.Errorf("came as %+v", got)
	}
	if !strings.HasPrefix(string(got.Event.Body),
		`{"body_claim":{"key":"id","bytes":5000,"sha256":"`) {
		t.Errorf("its body is %.100q", got.Event.Body)
	}
}

// TestUnreadableMessageBecomesADeadLetter with its text.
func TestUnreadableMessageBecomesADeadLetter(t *testing.T) {
	b := open(t, settings{})
	for _, text := range []string{"no JSON", `{"request_id":"x"}`, `{"request_id":"x","body_encoding":"claim","body_claim":{"key":"k","bytes":1,"sha256":"0"}}`} {
		if _, err := b.client.SendMessage(t.Context(),
			&awssqs.SendMessageInput{QueueUrl: &b.url, MessageBody: &text}); err != nil {
			t.Fatal(err)
		}
		got := b.lease(1)[0]
		if string(got.Event.Body) != text || got.Event.RequestID == "" || got.Event.Timestamp <= 0 {
			t.Errorf("%s came as %+v", text, got.Event)
		}
		if got.Rejection == nil || !strings.HasPrefix(got.Rejection.Reason,
			"the message can't be read as an event: ") {
			t.Errorf("%s came with %+v", text, got.Rejection)
		}
	}
}

// TestShortestMessageIsDelivered: it is what a program writes that knows nothing of events.
func TestShortestMessageIsDelivered(t *testing.T) {
	b := open(t, settings{})
	text := `{"timestamp":"2026-11-23T14:12:00.123456Z","request_id":"c6af9ac6-7b61-11e6-9a41-93e8deadbeef"}`
	if _, err := b.client.SendMessage(t.Context(),
		&awssqs.SendMessageInput{QueueUrl: &b.url, MessageBody: &text}); err != nil {
		t.Fatal(err)
	}
	if got := b.lease(1)[0]; got.Rejection != nil ||
		got.Event.RequestID != "c6af9ac6-7b61-11e6-9a41-93e8deadbeef" {
		t.Errorf("came as %+v", got)
	}
}

// TestPartOfABatchFails: what SQS has not confirmed is named, and nothing else.
func TestPartOfABatchFails(t *testing.T) {
	b := open(t, settings{standIn: true})
	events := enginetest.Events(10, 3)
	for _, fault := range []fakesqs.EntryFault{
		{Skip: 2, Entries: 1, Code: "InvalidMessageContents", SenderFault: true}, // the event at 2
		{Skip: 5, Entries: 1}, // the event at 8
		{Skip: 1, Entries: 2}, // the one at 9 passes, and that at 8 fails twice more
	} {
		fault.Operation = "SendMessageBatch"
		b.server.FailEntries(fault)
	}
	var partial *pillarbox.BatchError
	if err := b.Append(t.Context(), events); !errors.As(err, &partial) || len(partial.Items) != 2 {
		t.Fatalf("append: %v", err)
	}
	for i, want := range []struct {
		index int
		kind  error
	}{{2, pillarbox.ErrInvalid}, {8, pillarbox.ErrUnavailable}} {
		if item := partial.Items[i]; item.Index != want.index || !errors.Is(item.Err, want.kind) {
			t.Errorf("item %+v, want %+v", item, want)
		}
	}
	if got := b.lease(10); len(got) != 8 {
		t.Errorf("%d events came, want 8", len(got))
	}
}

// TestWhatFailsOnceIsSentAgain, alone.
func TestWhatFailsOnceIsSentAgain(t *testing.T) {
	b := open(t, settings{standIn: true})
	b.server.FailEntries(fakesqs.EntryFault{Operation: "SendMessageBatch", Skip: 3, Entries: 2})
	b.append(enginetest.Events(10, 15)...)
	if got := b.server.Peek("events"); len(got) != 10 {
		t.Errorf("%d messages, want 10", len(got))
	}
}

func TestOutageOfAppendIsUnavailable(t *testing.T) {
	b := open(t, settings{standIn: true})
	b.append(enginetest.Events(1, 4)...)
	b.server.Fail(1000, "SendMessageBatch")
	if err := b.Append(t.Context(), enginetest.Events(2,
		5)); !errors.Is(err, pillarbox.ErrUnavailable) {
		t.Errorf("append: %v, want ErrUnavailable", err)
	}
}

// TestCallThatHangsIsAnOutage: nobody waits for a connection that has died without a word.
func TestCallThatHangsIsAnOutage(t *testing.T) {
	b := open(t, settings{standIn: true, options: sqs.Options{CallTimeout: 100 * time.Millisecond}})
	b.append(enginetest.Events(1, 17)...)
	b.server.Stall(1, "SendMessageBatch")
	start := time.Now()
	err := b.Append(t.Context(), enginetest.Events(1, 18))
	if !errors.Is(err, pillarbox.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) ||
		!strings.Contains(err.Error(), "no answer within 100ms") {
		t.Errorf("append: %v, want ErrUnavailable that names the limit", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	b.server.Stall(1, "SendMessageBatch")
	if err := b.Append(ctx, enginetest.Events(1, 19)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("append of a caller who gave up: %v, want the context's error", err)
	}
}

// TestReceivesAreAttempts, also those of others, and what was given back here is none.
func TestReceivesAreAttempts(t *testing.T) {
	b := open(t, settings{})
	b.append(enginetest.Events(1, 6)...)
	b.received(2)
	for round := range 3 {
		got := b.lease(1)[0]
		if len(got.Attempts) != 2 {
			t.Fatalf("round %d: %d attempts, want the 2 of others", round, len(got.Attempts))
		}
		if first := got.Attempts[0]; first.Error != sqsrules.EarlierError || first.At <= 0 {
			t.Fatalf("an attempt of others is %+v", first)
		}
		if err := b.settle(pillarbox.OutcomeReleased, got); err != nil {
			t.Fatal(err)
		}
	}
	got := b.lease(1)[0]
	attempt := &pillarbox.Attempt{At: 5, Class: pillarbox.ClassRefused, Error: "no"}
	if err := b.Settle(t.Context(), destination,
		[]pillarbox.Outcome{{Handle: got.Handle, Kind: pillarbox.OutcomeRetry,
			Attempt: attempt}}); err != nil {
		t.Fatal(err)
	}
	if got := b.lease(1)[0]; len(got.Attempts) != 3 || got.Attempts[2] != *attempt {
		t.Errorf("attempts %+v", got.Attempts)
	}
}

// TestWhatIsInHandIsKept longer than the queue's own time.
func TestWhatIsInHandIsKept(t *testing.T) {
	t.Parallel()
	b := open(t, settings{standIn: true, attributes: map[string]string{"VisibilityTimeout": "4"}})
	b.append(enginetest.Events(12, 7)...)
	got := b.lease(12)
	other, err := sqs.Open(b.client, b.url, sqs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second) // twice the queue's time
	defer cancel()
	if stolen, err := other.Lease(ctx, destination,
		pillarbox.LeaseLimits{MaxEvents: 12}); len(stolen) > 0 {
		t.Errorf("%d events in hand were handed out to another, %v", len(stolen), err)
	}
	if err := b.settle(pillarbox.OutcomeStored, got...); err != nil {
		t.Fatal(err)
	}
	if left := b.server.Peek("events"); len(left) != 0 {
		t.Errorf("%d messages are left", len(left))
	}
}

// TestWhatNobodyLeasesIsKept: what was fetched for a lease that ended meanwhile is in hand as well,
// and costs one receive, however long the destination is down.
func TestWhatNobodyLeasesIsKept(t *testing.T) {
	t.Parallel()
	b := open(t, settings{standIn: true, attributes: map[string]string{"VisibilityTimeout": "4"}})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	leased := make(chan error, 1)
	go func() {
		_, err := b.Lease(ctx, destination, pillarbox.LeaseLimits{MaxEvents: 5})
		leased <- err
	}()
	for b.server.Polls() == 0 {
		time.Sleep(time.Millisecond) // SQS is asked by another goroutine, over a connection
	}
	cancel()
	if err := <-leased; !errors.Is(err, context.Canceled) {
		t.Fatalf("lease of nothing: %v", err)
	}
	b.append(enginetest.Events(5, 16)...) // the poll for that lease goes on
	time.Sleep(9 * time.Second)           // more than twice the queue's time
	for _, message := range b.server.Peek("events") {
		if message.Receives != 1 || message.Visible {
			t.Errorf("message %+v, want it in hand since its first receive", message)
		}
	}
}

// TestCloseGivesBack what is in hand, to another at once.
func TestCloseGivesBack(t *testing.T) {
	b := open(t, settings{})
	b.append(enginetest.Events(12, 8)...)
	b.lease(5)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	other, err := sqs.Open(b.client, b.url, sqs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b.Queue = other
	t.Cleanup(func() { _ = other.Close() })
	if got := b.lease(12); len(got) != 12 {
		t.Errorf("%d of 12 came", len(got))
	}
}

// TestSettleCanBeDoneAgain where SQS deleted a part only.
func TestSettleCanBeDoneAgain(t *testing.T) {
	b := open(t, settings{standIn: true})
	b.append(enginetest.Events(25, 9)...)
	got := b.lease(25)
	b.server.Refuse(awsjson.ErrInternal, "DeleteMessageBatch")
	if err := b.settle(pillarbox.OutcomeStored, got...); !errors.Is(err, pillarbox.ErrUnavailable) {
		t.Fatalf("settle: %v, want ErrUnavailable", err)
	}
	b.server.Allow()
	if err := b.settle(pillarbox.OutcomeStored, got...); err != nil {
		t.Fatal(err)
	}
	if left := b.server.Peek("events"); len(left) != 0 {
		t.Errorf("%d messages are left", len(left))
	}
	if account, err := b.Account(destination); err != nil || account.Stored != 25 ||
		account.Pending != 0 {
		t.Errorf("account %+v, %v", account, err)
	}
}

// TestDuplicatesAreHandedOutOnce while they are in hand, and settle once.
func TestDuplicatesAreHandedOutOnce(t *testing.T) {
	b := open(t, settings{standIn: true})
	b.server.Duplicate(10)
	b.append(enginetest.Events(10, 10)...)
	seen := map[string]int{}
	for len(seen) < 10 {
		got := b.lease(100)
		for _, delivery := range got {
			seen[delivery.Event.RequestID]++
		}
		if err := b.settle(pillarbox.OutcomeStored, got...); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBuriedIsInTheOtherQueue(t *testing.T) {
	b := open(t, settings{standIn: true})
	letters := enginetest.Letters(3, 11)
	if err := b.SendDeadLetters(t.Context(), letters); !errors.Is(err, pillarbox.ErrUnavailable) {
		t.Errorf("bury without a queue for it: %v", err)
	}
	dead := create(t, b.client, "dead", nil)
	burier, err := sqs.Open(b.client, b.url, sqs.Options{DeadLetterURL: dead})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = burier.Close() }()
	if err := burier.SendDeadLetters(t.Context(), letters); err != nil {
		t.Fatal(err)
	}
	for i, message := range b.server.Peek("dead") {
		var got pillarbox.Message
		if err := got.UnmarshalJSON([]byte(message.Body)); err != nil {
			t.Fatal(err)
		}
		if diff := enginetest.DiffLetter(got.Letter, letters[i]); diff != "" {
			t.Error(diff)
		}
	}
}

// TestDeadLetterThatIsMovedBackIsAnEvent with a fresh start.
func TestDeadLetterThatIsMovedBackIsAnEvent(t *testing.T) {
	b := open(t, settings{})
	mover, err := sqs.Open(b.client, b.url, sqs.Options{DeadLetterURL: b.url})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = mover.Close() }()
	letter := enginetest.Letters(1, 12)[0]
	if err := mover.SendDeadLetters(t.Context(), []*pillarbox.DeadLetter{letter}); err != nil {
		t.Fatal(err)
	}
	got := b.lease(1)[0]
	if diff := enginetest.Diff(got.Event, letter.Event); diff != "" || len(got.Attempts) != 0 ||
		got.Rejection != nil {
		t.Errorf("%s; came as %+v", diff, got)
	}
}

func TestTraceGoesOnBehindTheQueue(t *testing.T) {
	b := open(t, settings{standIn: true}) // fauxqs knows no trace header
	b.append(&pillarbox.Event{Timestamp: 1, RequestID: "id",
		Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
	out, err := b.client.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{
		QueueUrl: &b.url, MessageSystemAttributeNames: []types.MessageSystemAttributeName{
			"AWSTraceHeader"},
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331;Sampled=1"
	if got := out.Messages[0].Attributes["AWSTraceHeader"]; got != want {
		t.Errorf("trace header %q, want %q", got, want)
	}
}

// TestSendersOwnTraceGoesOn, and not that of the event's client: in events, in those that are put
// back and in dead letters. A sender that is in no trace says nothing of one.
func TestSendersOwnTraceGoesOn(t *testing.T) {
	own := "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1"
	b := open(t, settings{standIn: true})
	q, err := sqs.Open(b.client, b.url, sqs.Options{DeadLetterURL: b.url,
		Trace: func() string { return own }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = q.Close() }()
	event := &pillarbox.Event{Timestamp: 1, RequestID: "id",
		Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
	letter := enginetest.Letters(1, 12)[0]
	for range 2 {
		err := errors.Join(q.Append(t.Context(), []*pillarbox.Event{event}),
			q.Send(t.Context(), []*pillarbox.Message{{Event: event}}),
			q.SendDeadLetters(t.Context(), []*pillarbox.DeadLetter{letter}))
		if err != nil {
			t.Fatal(err)
		}
		sent := b.server.Peek("events")
		for _, message := range sent[len(sent)-3:] {
			if message.Trace != own {
				t.Errorf("the trace is %q, want %q", message.Trace, own)
			}
		}
		own = ""
	}
}

// TestEachMessageHasTheGroupOfItsSource, whichever way it came into the queue, so that one source
// that fills it does not hold up the others. A source that is no name of a group has none, and gets
// there.
func TestEachMessageHasTheGroupOfItsSource(t *testing.T) {
	b := open(t, settings{standIn: true})
	dead := create(t, b.client, "dead", nil)
	queue, err := sqs.Open(b.client, b.url, sqs.Options{DeadLetterURL: dead})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = queue.Close() }()
	sources := []string{"app", "orders", "a_b-c", strings.Repeat("s", 128), strings.Repeat("s", 129),
		"Ärger", "with blank", "tab\t", "", "app", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"}
	groups := []string{"app", "orders", "a_b-c", strings.Repeat("s", 128), "",
		"", "", "", "", "app", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"}
	events := enginetest.Events(len(sources), 40)
	var letters []*pillarbox.DeadLetter
	var messages []*pillarbox.Message
	for i, event := range events {
		event.Source = sources[i]
		letters = append(letters, &pillarbox.DeadLetter{Version: pillarbox.DeadLetterVersion,
			Destination: destination, Reason: "no", DeadAt: 1, Event: event})
		messages = append(messages, &pillarbox.Message{Event: event})
	}
	for way, put := range map[string]struct {
		into string
		do   func() error
	}{
		"appended":        {"events", func() error { return queue.Append(t.Context(), events) }},
		"sent again":      {"events", func() error { return queue.Send(t.Context(), messages) }},
		"put back":        {"events", func() error { return queue.Requeue(t.Context(), letters) }},
		"as dead letters": {"dead", func() error { return queue.SendDeadLetters(t.Context(), letters) }},
	} {
		before := len(b.server.Peek(put.into))
		if err := put.do(); err != nil {
			t.Errorf("%s: %v", way, err)
		}
		want := map[string]string{}
		for i, event := range events {
			want[event.RequestID] = groups[i]
		}
		for _, message := range b.server.Peek(put.into)[before:] {
			id := requestID(t, message.Body)
			if group, known := want[id]; !known || group != message.Group {
				t.Errorf("%s: the group of %s is %q, want %q", way, id, message.Group, group)
			}
			delete(want, id)
		}
		if len(want) != 0 {
			t.Errorf("%s: %d messages are missing", way, len(want))
		}
	}
}

func TestWhatIsNotSupportedIsSaid(t *testing.T) {
	if _, err := sqs.Open(nil, "https://sqs.us-east-1.amazonaws.com/1/events.fifo",
		sqs.Options{}); !errors.Is(err, pillarbox.ErrInvalid) {
		t.Errorf("FIFO queue: %v, want ErrInvalid", err)
	}
	b := open(t, settings{})
	if _, err := b.Account("one"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Account("two"); !errors.Is(err, pillarbox.ErrInvalid) {
		t.Errorf("second destination: %v, want ErrInvalid", err)
	}
}

// TestMissingQueueIsTold by everything that needs it.
func TestMissingQueueIsTold(t *testing.T) {
	b := open(t, settings{})
	if _, err := b.client.DeleteQueue(t.Context(),
		&awssqs.DeleteQueueInput{QueueUrl: &b.url}); err != nil {
		t.Fatal(err)
	}
	if err := b.Append(t.Context(), enginetest.Events(1,
		13)); !errors.Is(err, pillarbox.ErrUnavailable) ||
		!strings.Contains(err.Error(), "NonExistentQueue") &&
			!strings.Contains(err.Error(), "QueueDoesNotExist") {
		t.Errorf("append: %v", err)
	}
	if problem := b.Stats().Problem; !strings.Contains(problem, b.url) {
		t.Errorf("problem %q does not name the queue", problem)
	}
	if _, err := b.Lease(t.Context(), destination,
		pillarbox.LeaseLimits{}); !errors.Is(err, pillarbox.ErrUnavailable) {
		t.Errorf("lease: %v, want ErrUnavailable", err)
	}
}

// TestThousandsAreLeasedAtOnce: a batch for a database is larger than one call of SQS.
func TestThousandsAreLeasedAtOnce(t *testing.T) {
	b := open(t, settings{})
	b.append(enginetest.Events(1000, 14)...)
	got := b.lease(1000)
	if len(got) < 900 {
		t.Errorf("%d of 1000 came at once", len(got))
	}
	if err := b.settle(pillarbox.OutcomeStored, got...); err != nil {
		t.Fatal(err)
	}
}
