package lambda_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"pillarbox"
	"pillarbox/internal/engine/memory"
	"pillarbox/internal/lambda"
)

// messageQueue is the queue behind a function, as far as functions call it.
type messageQueue struct {
	fault func(call string, n int) error // may refuse a call, or some of it
	gone  error                          // why bodies can't be had; nil: they can
	kept  map[string][]byte              // bodies by the key of their claim

	mu     sync.Mutex
	hidden map[string]time.Duration
	sent   []*pillarbox.Message
	dead   []*pillarbox.DeadLetter
}

func (m *messageQueue) call(name string, n int) ([]bool, error) {
	ok := slices.Repeat([]bool{true}, n)
	if m.fault == nil {
		return ok, nil
	}
	err := m.fault(name, n)
	var partial *pillarbox.BatchError
	switch {
	case errors.As(err, &partial):
		for _, item := range partial.Items {
			ok[item.Index] = false
		}
	case err != nil:
		clear(ok)
	}
	return ok, err
}

func (m *messageQueue) Hide(_ context.Context, handles []string, waits []time.Duration) error {
	ok, err := m.call("hide", len(handles))
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, handle := range handles {
		if ok[i] {
			m.hidden[handle] = waits[i]
		}
	}
	return err
}

func (m *messageQueue) Send(_ context.Context, messages []*pillarbox.Message) error {
	ok, err := m.call("send", len(messages))
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, message := range messages {
		if ok[i] {
			m.sent = append(m.sent, message)
		}
	}
	return err
}

func (m *messageQueue) SendDeadLetters(_ context.Context, letters []*pillarbox.DeadLetter) error {
	ok, err := m.call("bury", len(letters))
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, letter := range letters {
		if ok[i] {
			m.dead = append(m.dead, letter)
		}
	}
	return err
}

func (m *messageQueue) Restore(_ context.Context, message *pillarbox.Message) error {
	if _, err := m.call("restore", 1); err != nil {
		return err
	}
	if m.gone != nil {
		return m.gone
	}
	body, ok := m.kept[message.Claim.Key]
	if !ok {
		return fmt.Errorf("body %s: %w", message.Claim.Key, pillarbox.ErrNotFound)
	}
	message.Event.Body, message.Claim = body, nil
	return nil
}

// bench is a delivering function with its surroundings.
type bench struct {
	*lambda.Deliver
	t       testing.TB
	sink    *memory.Sink
	queue   *messageQueue
	metrics bytes.Buffer
	log     bytes.Buffer
}

func newBench(t testing.TB, opts lambda.DeliverOptions) *bench {
	b := &bench{t: t, sink: memory.NewSink(),
		queue: &messageQueue{hidden: map[string]time.Duration{}, kept: map[string][]byte{}}}
	if opts.Now == nil {
		opts.Now = func() time.Time { return noon }
	}
	opts.Metrics, opts.Logger = &b.metrics, jsonLog(&b.log)
	b.Deliver = lambda.NewDeliver(b.sink, b.queue, opts)
	return b
}

// deliver runs one batch, and checks what holds for every answer. It returns the ids of the
// messages that stay.
func (b *bench) deliver(records ...events.SQSMessage) []string {
	b.t.Helper()
	return b.deliverWithin(context.Background(), records...)
}

func (b *bench) deliverWithin(ctx context.Context, records ...events.SQSMessage) []string {
	b.t.Helper()
	response, err := b.Handle(ctx, events.SQSEvent{Records: records})
	if err != nil {
		b.t.Fatal(err)
	}
	checkMetrics(b.t, b.metrics.String())
	return checkResponse(b.t, records, response)
}

// checkResponse holds a response to what AWS makes of it.
func checkResponse(t testing.TB, records []events.SQSMessage,
	response events.SQSEventResponse) []string {
	t.Helper()
	text, err := json.Marshal(response)
	if err != nil {
		t.Fatal(err)
	}
	if len(response.BatchItemFailures) == 0 && string(text) != `{"batchItemFailures":[]}` {
		t.Errorf("success is written as %s", text)
	}
	ids := []string{}
	for _, failure := range response.BatchItemFailures {
		id := failure.ItemIdentifier
		if id == "" || slices.Contains(ids, id) ||
			!slices.ContainsFunc(records,
				func(r events.SQSMessage) bool { return r.MessageId == id }) {
			t.Errorf("the response names %q: %s", id, text)
		}
		ids = append(ids, id)
	}
	return ids
}

// stored returns the ids of the events in the destination, in the order of their keys.
func (b *bench) stored() []string {
	b.t.Helper()
	list, err := b.sink.List(context.Background(),
		pillarbox.EventFilter{Limit: pillarbox.MaxListLimit})
	if err != nil {
		b.t.Fatal(err)
	}
	ids := []string{}
	for _, event := range list {
		ids = append(ids, event.RequestID)
	}
	return ids
}

func eventOf(id string, age time.Duration) *pillarbox.Event {
	return &pillarbox.Event{
		Timestamp: pillarbox.TimestampOf(noon.Add(-age)), RequestID: id, Source: "app",
		Method: "POST", Path: "/app", Body: []byte("body of " + id),
	}
}

// recordOf makes a record of anything that has a JSON form, or of a text.
func recordOf(t testing.TB, id string, receives int, content any) events.SQSMessage {
	t.Helper()
	text, ok := content.(string)
	if !ok {
		encoded, err := json.Marshal(content)
		if err != nil {
			t.Fatal(err)
		}
		text = string(encoded)
	}
	return events.SQSMessage{
		MessageId: id, ReceiptHandle: "handle of " + id, Body: text, EventSource: "aws:sqs",
		EventSourceARN: "arn:aws:sqs:us-east-1:000000000000:events",
		Attributes: map[string]string{
			"ApproximateReceiveCount":          strconv.Itoa(receives),
			"SentTimestamp":                    strconv.FormatInt(noon.Add(-time.Minute).UnixMilli(), 10),
			"ApproximateFirstReceiveTimestamp": strconv.FormatInt(noon.Add(-50*time.Second).UnixMilli(), 10),
		},
	}
}

// message is the record of an event whose message has the same name.
func message(t testing.TB, id string, receives int) events.SQSMessage {
	t.Helper()
	return recordOf(t, id, receives, eventOf(id, time.Minute))
}

// refusing refuses the named events and stores the others.
func refusing(err error, ids ...string) func([]*pillarbox.Event) error {
	return func(batch []*pillarbox.Event) error {
		var partial pillarbox.BatchError
		for i, event := range batch {
			if slices.Contains(ids, event.RequestID) {
				partial.Items = append(partial.Items, pillarbox.ItemError{Index: i, Err: err})
			}
		}
		if len(partial.Items) == 0 {
			return nil
		}
		return &partial
	}
}

func wantIDs(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	got = slices.Sorted(slices.Values(got))
	if !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func idsOf(list []*pillarbox.Event) []string {
	ids := []string{}
	for _, event := range list {
		ids = append(ids, event.RequestID)
	}
	return ids
}

func (m *messageQueue) sentIDs() []string {
	ids := []string{}
	for _, message := range m.sent {
		ids = append(ids, message.Event.RequestID)
	}
	return ids
}

func (m *messageQueue) deadIDs() []string {
	ids := []string{}
	for _, letter := range m.dead {
		ids = append(ids, letter.Event.RequestID)
	}
	return ids
}
