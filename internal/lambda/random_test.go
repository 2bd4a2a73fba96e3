package lambda_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"pillarbox"
	"pillarbox/internal/lambda"
)

// chaos answers calls at random: well, badly, in part, with nonsense, or with a panic.
type chaos struct{ random *rand.Rand }

func (c chaos) fault(n int) error {
	switch c.random.IntN(12) {
	case 0:
		return fmt.Errorf("down: %w", pillarbox.ErrUnavailable)
	case 1:
		return pillarbox.Permanent(errors.New("never"))
	case 2:
		return errors.New("not now")
	case 3:
		panic("bug")
	case 4:
		return &pillarbox.BatchError{Items: []pillarbox.ItemError{{Index: n + 3,
			Err: errors.New("somebody else")}}}
	case 5, 6, 7:
		var partial pillarbox.BatchError
		for i := range n {
			if kind := c.random.IntN(6); kind < 3 {
				err := []error{pillarbox.ErrUnavailable, errors.New("not now"),
					pillarbox.Permanent(errors.New("never"))}[kind]
				partial.Items = append(partial.Items, pillarbox.ItemError{Index: i, Err: err})
			}
		}
		if len(partial.Items) > 0 {
			return &partial
		}
	}
	return nil
}

// nonsense says of a queue's answer whether it is one that names a stranger; then nothing was done.
func nonsense(err error, n int) bool {
	var partial *pillarbox.BatchError
	return errors.As(err, &partial) && slices.ContainsFunc(partial.Items,
		func(item pillarbox.ItemError) bool { return item.Index >= n })
}

func (c chaos) message(t *testing.T, i int) events.SQSMessage {
	id := fmt.Sprint("m", i)
	receives := 1 + c.random.IntN(22)
	age := time.Duration(c.random.IntN(400)) * time.Hour
	switch c.random.IntN(8) {
	case 0:
		return recordOf(t, id, receives, "no event: "+id)
	case 1:
		return claimed(t, id, receives)
	case 2:
		return recordOf(t, id, receives, &pillarbox.DeadLetter{Version: 1, Destination: "events",
			Event: eventOf(id, age)})
	case 3:
		return message(t, fmt.Sprint("m", c.random.IntN(i+1)), receives)
	case 4:
		return recordOf(t, id, receives, eventOf(fmt.Sprint("m", c.random.IntN(i+1)), age))
	}
	return recordOf(t, id, receives, eventOf(id, age))
}

func seed(t *testing.T) uint64 {
	t.Helper()
	if text := os.Getenv("PILLARBOX_TEST_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return rand.Uint64()
}

// TestNothingIsLost runs batches of anything through parts that do anything. What is not named as a
// failure is stored, dead-lettered or sent again, and every name is one of the batch.
func TestNothingIsLost(t *testing.T) {
	start := seed(t)
	for n := range 3000 {
		c := chaos{rand.New(rand.NewPCG(start, uint64(n)))}
		b := newBench(t, lambda.DeliverOptions{MaxAge: 240 * time.Hour, Chance: c.random.Float64})
		b.sink.Fault = func(batch []*pillarbox.Event) error { return c.fault(len(batch)) }
		b.sink.AfterWrite = func([]*pillarbox.Event) error {
			if c.random.IntN(10) == 0 {
				return context.DeadlineExceeded // the answer is lost
			}
			return nil
		}
		b.queue.fault = func(call string, n int) error {
			if call == "restore" { // several at once, so that chance would not repeat itself
				return nil
			}
			err := c.fault(n)
			if nonsense(err, n) {
				return pillarbox.ErrUnavailable
			}
			return err
		}
		b.queue.gone = []error{nil, nil, pillarbox.ErrUnavailable, pillarbox.ErrCorrupt,
			errors.New("denied")}[c.random.IntN(5)]
		var records []events.SQSMessage
		for i := range 1 + c.random.IntN(30) {
			if c.random.IntN(3) > 0 {
				b.queue.kept["bodies/m"+strconv.Itoa(i)] = []byte("body of m" + strconv.Itoa(i))
			}
			records = append(records, c.message(t, i))
		}
		stay := b.deliver(records...)
		safe := slices.Concat(b.stored(), b.queue.deadIDs(), b.queue.sentIDs())
		for _, record := range records {
			event := record.MessageId
			var known pillarbox.Message
			if json.Unmarshal([]byte(record.Body), &known) == nil {
				event = known.Event.RequestID
			}
			if !slices.Contains(stay, record.MessageId) && !slices.Contains(safe, event) {
				t.Fatalf("PILLARBOX_TEST_SEED=%d, round %d: message %s is done, and its event %s is nowhere", start,
					n, record.MessageId, event)
			}
		}
	}
}

// FuzzDeliver hands over any text as a message, and any text as an event of AWS: nothing panics,
// and a text that is done is stored or in a letter.
func FuzzDeliver(f *testing.F) {
	event, err := json.Marshal(eventOf("a", time.Minute))
	if err != nil {
		f.Fatal(err)
	}
	letter, err := json.Marshal(&pillarbox.DeadLetter{Version: 1, Destination: "events",
		Event: eventOf("a", time.Minute)})
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{string(event), string(letter), "", "null", `{"timestamp":"2026-11-25T14:12:00.000000Z","request_id":"a","body_encoding":"claim","body_claim":{"key":"k"}}`} {
		f.Add(text, "1", "1795615920123")
	}
	f.Add(`{"Records":[{"messageId":"a","body":"","eventSource":"aws:sqs"}]}`, "-1", "x")
	f.Fuzz(func(t *testing.T, text, receives, sent string) {
		record := recordOf(t, "message", 1, text)
		record.Attributes["ApproximateReceiveCount"], record.Attributes["SentTimestamp"] = receives, sent
		b := newBench(t, lambda.DeliverOptions{MaxReceives: 20})
		stay := b.deliver(record)
		if n := len(b.stored()) + len(b.queue.dead) + len(b.queue.sent); n+len(stay) != 1 {
			t.Errorf("%q: %q stay, %d are elsewhere", text, stay, n)
		}
		kept := newUndertaker(t)
		if stay := kept.keep(record); len(stay)+kept.count() != 1 {
			t.Errorf("%q: %q stay, and %d letters are kept", text, stay, kept.count())
		}
		if _, err := b.Invoke(context.Background(), []byte(text)); err == nil && len(text) == 0 {
			t.Error("nothing was taken for a batch")
		}
	})
}
