package lambda_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"pillarbox"
	"pillarbox/internal/engine/memory"
	"pillarbox/internal/lambda"
)

// undertaker is a function that keeps dead letters, with its surroundings.
type undertaker struct {
	*lambda.DeadLetter
	t       testing.TB
	letters *memory.DeadLetters
	fault   func(letter *pillarbox.DeadLetter) error
	queue   *messageQueue
	metrics bytes.Buffer
	log     bytes.Buffer
}

func newUndertaker(t testing.TB) *undertaker {
	u := &undertaker{t: t, letters: memory.NewDeadLetters(),
		queue: &messageQueue{kept: map[string][]byte{}}}
	u.DeadLetter = lambda.NewDeadLetter(u, u.queue, lambda.DeadLetterOptions{
		Destination: "table", Metrics: &u.metrics, Logger: jsonLog(&u.log),
		Now: func() time.Time { return noon },
	})
	return u
}

func (u *undertaker) PutMany(ctx context.Context, letters []*pillarbox.DeadLetter) error {
	for _, letter := range letters {
		if u.fault == nil {
			continue
		}
		if err := u.fault(letter); err != nil {
			return err
		}
	}
	return u.letters.PutMany(ctx, letters)
}

func (u *undertaker) keep(records ...events.SQSMessage) []string {
	u.t.Helper()
	response, err := u.Handle(context.Background(), events.SQSEvent{Records: records})
	if err != nil {
		u.t.Fatal(err)
	}
	checkMetrics(u.t, u.metrics.String())
	return checkResponse(u.t, records, response)
}

func (u *undertaker) find(id string) *pillarbox.DeadLetter {
	u.t.Helper()
	letter, err := u.letters.Get(context.Background(), "", id)
	if err != nil {
		u.t.Fatal(err)
	}
	return letter
}

func (u *undertaker) count() int {
	n := 0
	for letter, err := range u.letters.List(context.Background(),
		pillarbox.DeadLetterFilter{Resolved: true}) {
		if letter != nil && err == nil {
			n++
		}
	}
	return n
}

// TestLettersAreKept: a letter as it is, an event by itself with a letter of its own, and any text
// in a letter.
func TestLettersAreKept(t *testing.T) {
	u := newUndertaker(t)
	whole := &pillarbox.DeadLetter{
		Version: 1, Destination: "events", Reason: "refused for good: no", DeadAt: 5,
		Event: eventOf("a", time.Hour), Replay: "pillarbox dead replay a --destination events",
		Attempts: []pillarbox.Attempt{{At: 4, Class: pillarbox.ClassPermanent, Error: "no"}},
	}
	moved := message(t, "b", 21)
	moved.Attributes["DeadLetterQueueSourceArn"] = "arn:aws:sqs:us-east-1:000000000000:events"
	wantIDs(t, "stay", u.keep(recordOf(t, "m1", 1, whole), moved, message(t, "c", 2),
		recordOf(t, "d", 1, "any text")))

	if got := u.find("a"); !reflect.DeepEqual(got, whole) {
		t.Errorf("the letter %+v is kept as %+v", whole, got)
	}
	for id, want := range map[string]string{
		"b": "received without being stored until SQS moved it from arn:aws:sqs:us-east-1:000000000000:events (SQS counts 21 receives); the reasons are in the logs of those attempts",
		"c": "sent to the dead-letter queue without a reason, and received there (SQS counts 2 receives)",
		"d": "sent to the dead-letter queue without a reason, and received there (SQS counts 1 receives); the message can't be read as an event: ",
	} {
		got := u.find(id)
		if !strings.HasPrefix(got.Reason, want) || got.Destination != "table" || got.Version != 1 ||
			got.DeadAt != pillarbox.TimestampOf(noon) || got.Attempts == nil ||
			len(got.Attempts) != 0 || got.Replay != "pillarbox dead replay "+id+" --destination table" {
			t.Errorf("%s became %+v", id, got)
		}
	}
	if body := string(u.find("d").Event.Body); body != "any text" {
		t.Errorf("the text is kept as %q", body)
	}
	if line := metricsOf(t, u.metrics.String())[0]; line["Letters"] != 4.0 ||
		line["Failed"] != 0.0 || line["Batch"] != 4.0 {
		t.Errorf("counted as %v", line)
	}
}

// TestLetterThatCannotBeKeptComesAgain, and no other does.
func TestLetterThatCannotBeKeptComesAgain(t *testing.T) {
	u := newUndertaker(t)
	u.fault = func(letter *pillarbox.DeadLetter) error {
		switch letter.Event.RequestID {
		case "b":
			return fmt.Errorf("bucket: %w", pillarbox.ErrUnavailable)
		case "c":
			panic("bug")
		}
		return nil
	}
	wantIDs(t, "stay", u.keep(message(t, "a", 1), message(t, "b", 1), message(t, "c", 1),
		message(t, "d", 1)), "b", "c")
	if u.count() != 2 || strings.Contains(u.log.String(), "body of") {
		t.Errorf("%d letters are kept; the log says %s", u.count(), u.log.String())
	}
}

// TestStrangersLetterIsKeptAsText where no file can be made of it.
func TestStrangersLetterIsKeptAsText(t *testing.T) {
	u := newUndertaker(t)
	u.fault = func(letter *pillarbox.DeadLetter) error {
		if letter.Destination != "table" {
			return pillarbox.Invalid("destination")
		}
		return nil
	}
	record := recordOf(t, "m", 1, &pillarbox.DeadLetter{Version: 1, Destination: "../x",
		Event: eventOf("a", time.Hour)})
	wantIDs(t, "stay", u.keep(record))
	if letter := u.find("m"); string(letter.Event.Body) != record.Body ||
		!strings.Contains(letter.Reason, "a dead letter that can't be kept as it is") {
		t.Errorf("kept as %+v", letter)
	}
}

// TestClaimsOfLetters: the body comes back, or its claim stands in its place, or the message comes
// again.
func TestClaimsOfLetters(t *testing.T) {
	letter := func(id string) events.SQSMessage {
		event := eventOf(id, time.Hour)
		claim := pillarbox.NewClaim("bodies/"+id, event.Body)
		event.Body = nil
		return recordOf(t, id, 1, &pillarbox.Message{Event: event, Claim: &claim,
			Letter: &pillarbox.DeadLetter{Version: 1, Destination: "table", Reason: "no",
				Event: event}})
	}
	u := newUndertaker(t)
	u.queue.kept["bodies/a"] = []byte("body of a")
	wantIDs(t, "stay", u.keep(letter("a"), letter("lost"), claimed(t, "gone", 1)))
	if got := u.find("a"); string(got.Event.Body) != "body of a" || got.Reason != "no" {
		t.Errorf("kept %+v", got)
	}
	for _, id := range []string{"lost", "gone"} {
		got := u.find(id)
		if !strings.Contains(got.Reason,
			"; the body, which was kept elsewhere, is lost, and its claim stands in its place: ") ||
			!strings.HasPrefix(string(got.Event.Body),
				`{"body_claim":{"key":"bodies/`+id+`","bytes":12,"sha256":"`) {
			t.Errorf("kept %+v of %s", got, got.Event.Body)
		}
	}
	u.queue.gone = errors.New("denied")
	wantIDs(t, "stay", u.keep(letter("b"), message(t, "c", 1)), "b")
}

// TestLettersStopBeforeTheDeadline: what is not written by then comes again.
func TestLettersStopBeforeTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUndertaker(t)
		u.fault = func(*pillarbox.DeadLetter) error {
			time.Sleep(3 * time.Second)
			return nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		records := []events.SQSMessage{message(t, "a", 1), message(t, "b", 1), message(t, "c", 1),
			message(t, "d", 1), message(t, "e", 1), message(t, "f", 1)}
		response, err := u.Handle(ctx, events.SQSEvent{Records: records})
		if err != nil {
			t.Fatal(err)
		}
		stay := checkResponse(t, records, response)
		if len(stay)+u.count() != 6 || u.count() < 3 || u.count() > 4 {
			t.Errorf("%q stay, %d are kept", stay, u.count())
		}
	})
}
