package lambda_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/lambda"
	"pillarbox/internal/retry"
)

// TestWhatIsStoredIsDoneAndNothingElse: one event is refused, and its neighbours are stored.
func TestWhatIsStoredIsDoneAndNothingElse(t *testing.T) {
	b := newBench(t, lambda.DeliverOptions{})
	b.sink.Fault = refusing(errors.New("not now"), "b")
	wantIDs(t, "stay", b.deliver(message(t, "a", 1), message(t, "b", 3), message(t, "c", 1)), "b")
	wantIDs(t, "stored", b.stored(), "a", "c")
	if wait := b.queue.hidden["handle of b"]; len(b.queue.hidden) != 1 || wait < time.Minute ||
		wait > 2*time.Minute {
		t.Errorf("after the third receive hidden for %v, want 1 to 2 minutes", b.queue.hidden)
	}
	line := metricsOf(t, b.metrics.String())[0]
	for name, want := range map[string]any{"Batch": 3.0, "Stored": 2.0, "Retried": 1.0, "Failed": 1.0,
		"Destination": "events", "Role": "deliver"} {
		if line[name] != want {
			t.Errorf("%s is %v, want %v", name, line[name], want)
		}
	}
	if !strings.Contains(b.log.String(), "not now") || strings.Contains(b.log.String(), "body of") {
		t.Errorf("the log says %s", b.log.String())
	}
}

// TestRefusedForGoodIsDead, and only what was dead-lettered is done.
func TestRefusedForGoodIsDead(t *testing.T) {
	b := newBench(t, lambda.DeliverOptions{Destination: "table"})
	b.sink.Fault = refusing(pillarbox.Permanent(errors.New("too wide")), "b", "c")
	b.queue.fault = func(call string, n int) error {
		if call != "bury" {
			return nil
		}
		return &pillarbox.BatchError{Items: []pillarbox.ItemError{{Index: 1,
			Err: pillarbox.ErrUnavailable}}}
	}
	wantIDs(t, "stay", b.deliver(message(t, "a", 1), message(t, "b", 3), message(t, "c", 1)), "c")
	wantIDs(t, "stored", b.stored(), "a")
	wantIDs(t, "dead", b.queue.deadIDs(), "b")
	letter := b.queue.dead[0]
	if letter.Version != 1 || letter.Destination != "table" ||
		letter.Reason != "refused for good: too wide" ||
		letter.DeadAt != pillarbox.TimestampOf(noon) ||
		letter.Replay != "pillarbox dead replay b --destination table" ||
		string(letter.Event.Body) != "body of b" {
		t.Errorf("the letter is %+v", letter)
	}
	if n := len(letter.Attempts); n != 3 || letter.Attempts[2].Error != "too wide" ||
		letter.Attempts[0].At != pillarbox.TimestampOf(
			noon.Add(-50*time.Second).Truncate(time.Millisecond)) {
		t.Errorf("the attempts are %+v", letter.Attempts)
	}
	if _, hidden := b.queue.hidden["handle of c"]; !hidden || len(b.queue.hidden) != 1 {
		t.Errorf("hidden: %v", b.queue.hidden)
	}
}

// TestReceivesAreTheAttempts: the last of them condemns, and the one before does not.
func TestReceivesAreTheAttempts(t *testing.T) {
	b := newBench(t, lambda.DeliverOptions{MaxReceives: 20})
	b.sink.Fault = refusing(errors.New("not now"), "a", "b", "c")
	wantIDs(t, "stay", b.deliver(message(t, "a", 19), message(t, "b", 20), message(t, "c", 25)), "a")
	wantIDs(t, "dead", b.queue.deadIDs(), "b", "c")
	for _, letter := range b.queue.dead {
		want := map[string]string{
			"b": "received 20 times and not stored, the last time with: not now",
			"c": "received 25 times and not stored; the reasons are in the logs of those attempts",
		}[letter.Event.RequestID]
		if letter.Reason != want {
			t.Errorf("the reason is %q, want %q", letter.Reason, want)
		}
	}
}

// TestOutageMakesNoDeadLetter: what was received too often while the destination is down becomes a
// new message.
func TestOutageMakesNoDeadLetter(t *testing.T) {
	b := newBench(t, lambda.DeliverOptions{MaxReceives: 20})
	b.sink.Fault = func([]*pillarbox.Event) error {
		return fmt.Errorf("table: %w", pillarbox.ErrUnavailable)
	}
	records := []events.SQSMessage{message(t, "a", 1), message(t, "b", 17), message(t, "c", 18),
		message(t, "d", 20), message(t, "e", 25)}
	b.queue.fault = func(call string, n int) error {
		if call == "send" {
			return &pillarbox.BatchError{Items: []pillarbox.ItemError{{Index: 1,
				Err: pillarbox.ErrUnavailable}}}
		}
		return nil
	}
	wantIDs(t, "stay", b.deliver(records...), "a", "b", "d")
	wantIDs(t, "sent again", b.queue.sentIDs(), "c")
	// SQS hands nothing out so often; it was refused before
	wantIDs(t, "dead", b.queue.deadIDs(), "e")
	if diff := enginetest.Diff(b.queue.sent[0].Event, eventOf("c", time.Minute)); diff != "" {
		t.Error(diff)
	}
	if b.queue.hidden["handle of a"] > 30*time.Second ||
		b.queue.hidden["handle of b"] < 5*time.Hour || len(b.queue.hidden) != 3 {
		t.Errorf("hidden: %v", b.queue.hidden)
	}
	line := metricsOf(t, b.metrics.String())[0]
	if line["Released"] != 4.0 || line["SentAgain"] != 1.0 || line["Buried"] != 1.0 ||
		line["Failed"] != 3.0 {
		t.Errorf("counted as %v", line)
	}
}

// TestReceivesLastForDays adds up the waits: an outage of hours burns few receives, and the last
// receive comes before an event is too old.
func TestReceivesLastForDays(t *testing.T) {
	sum := func(chance float64) (total time.Duration, after6h int) {
		policy := retry.Policy{Initial: lambda.RetryInitial, Max: lambda.LongestWait}
		for receive := 1; receive < retry.DefaultMaxAttempts; receive++ {
			total += policy.Delay(receive, chance)
			if total < 6*time.Hour {
				after6h = receive
			}
		}
		return total, after6h
	}
	shortest, many := sum(0)
	longest, few := sum(1)
	if shortest < 48*time.Hour || longest > 9*24*time.Hour {
		t.Errorf("20 receives last from %v to %v", shortest, longest)
	}
	if many > 12 {
		t.Errorf("an outage of 6 h burns %d to %d receives", few, many)
	}
	if lambda.LongestWait >= 12*time.Hour {
		t.Error("SQS hides nothing for so long")
	}
	t.Logf("20 receives last from %v to %v; an outage of 6 h burns %d to %d of them", shortest,
		longest, few+1, many+1)
}

// TestWaitsAreBounded by what the function was told.
func TestWaitsAreBounded(t *testing.T) {
	b := newBench(t, lambda.DeliverOptions{MaxRetryWait: time.Minute})
	b.sink.Fault = refusing(&pillarbox.RetryAfterError{After: time.Hour,
		Err: pillarbox.ErrUnavailable}, "a", "b")
	b.deliver(message(t, "a", 1), message(t, "b", 15), message(t, "c", 1))
	if b.queue.hidden["handle of a"] != time.Minute || b.queue.hidden["handle of b"] != time.Minute {
		t.Errorf("hidden: %v", b.queue.hidden)
	}
}

// TestFailedHideChangesNothingElse.
func TestFailedHideChangesNothingElse(t *testing.T) {
	b := newBench(t, lambda.DeliverOptions{})
	b.sink.Fault = refusing(errors.New("not now"), "a")
	b.queue.fault = func(string, int) error { return pillarbox.ErrUnavailable }
	wantIDs(t, "stay", b.deliver(message(t, "a", 1), message(t, "b", 1)), "a")
	wantIDs(t, "stored", b.stored(), "b")
	if !strings.Contains(b.log.String(), "sooner") {
		t.Errorf("the log says %s", b.log.String())
	}
}

// TestTooOldIsBuried, unless it is a dead letter that somebody has moved back.
func TestTooOldIsBuried(t *testing.T) {
	b := newBench(t, lambda.DeliverOptions{MaxAge: 240 * time.Hour})
	old := func(id string) *pillarbox.Event { return eventOf(id, 300*time.Hour) }
	letter := func(id string) *pillarbox.DeadLetter {
		return &pillarbox.DeadLetter{Version: 1, Destination: "events", Reason: "no", DeadAt: 1,
			Event: old(id), Attempts: slices.Repeat([]pillarbox.Attempt{{Class: "refused"}}, 20)}
	}
	stale := recordOf(t, "d", 2, letter("d"))
	stale.Attributes["SentTimestamp"] = fmt.Sprint(noon.Add(-250 * time.Hour).UnixMilli())
	wantIDs(t, "stay", b.deliver(recordOf(t, "a", 1, old("a")),
		recordOf(t, "b", 1, eventOf("b", time.Hour)), recordOf(t, "c", 2, letter("c")), stale))
	wantIDs(t, "stored", b.stored(), "b", "c")
	wantIDs(t, "dead", b.queue.deadIDs(), "a", "d")
	first := b.queue.dead[0]
	if first.Reason != "not delivered within 240h0m0s (queue.max_age)" ||
		len(first.Attempts) != 1 || first.Attempts[0].Class != pillarbox.ClassExpired {
		t.Errorf("the letter is %+v", first)
	}
}

// TestWhatIsSentAgainIsWhatItWas: an old letter stays a letter, because its event by itself would
// be too old at once, and a claim stays a claim, whether there was time to bring its body back or
// not. A text that can't be read is no event, and what is too old is not sent again.
func TestWhatIsSentAgainIsWhatItWas(t *testing.T) {
	b := newBench(t, lambda.DeliverOptions{MaxAge: 240 * time.Hour})
	b.sink.Fault = func([]*pillarbox.Event) error { return pillarbox.ErrUnavailable }
	var records []events.SQSMessage
	for i := range 100 { // more than one slice of what is restored at once
		id := fmt.Sprintf("c%02d", i)
		event, body := eventOf(id, time.Minute), make([]byte, 1<<20)
		b.queue.kept[id], event.Body = body, nil
		claim := pillarbox.NewClaim(id, body)
		records = append(records, recordOf(t, id, 20, &pillarbox.Message{Event: event, Claim: &claim}))
	}
	letter := &pillarbox.DeadLetter{Version: 1, Destination: "events",
		Event: eventOf("old", 300*time.Hour)}
	late := eventOf("late", 300*time.Hour)
	late.Body = nil
	// never tried, so that nothing condemns it
	claim := pillarbox.NewClaim("gone", make([]byte, 30<<20))
	records = append(records, recordOf(t, "old", 20, letter), recordOf(t, "text", 20, "no event"),
		recordOf(t, "late", 20, &pillarbox.Message{Event: late, Claim: &claim}))
	wantIDs(t, "stay", b.deliver(records...), "late", "text")
	if len(b.queue.sent) != 101 {
		t.Fatalf("%d messages were sent again, want 101", len(b.queue.sent))
	}
	for _, message := range b.queue.sent {
		old := message.Event.RequestID == "old"
		if (message.Letter != nil) != old || (message.Claim == nil) != old ||
			(message.Since != 0) != old {
			t.Errorf("sent again: %+v", message)
		}
	}
}

// TestUnreadableMessageIsKept as the body of an event, in a letter that says so.
func TestUnreadableMessageIsKept(t *testing.T) {
	b := newBench(t, lambda.DeliverOptions{Source: "door"})
	texts := []string{"", "hello", `{"timestamp":"x","request_id":"canary"}`, `{"request_id":"a"}`,
		`[]`, `null`, `{"event":{}}`}
	var records []events.SQSMessage
	for i, text := range texts {
		records = append(records, recordOf(t, fmt.Sprint("m", i), 1, text))
	}
	delete(records[0].Attributes, "SentTimestamp")
	records[1].Attributes = nil
	wantIDs(t, "stay", b.deliver(records...))
	if len(b.queue.dead) != len(texts) {
		t.Fatalf("%d are dead, want %d", len(b.queue.dead), len(texts))
	}
	for i, letter := range b.queue.dead {
		event := letter.Event
		if event.RequestID != fmt.Sprint("m", i) || event.Source != "door" ||
			string(event.Body) != texts[i] || event.Timestamp <= 0 ||
			!strings.HasPrefix(letter.Reason, "the message can't be read as an event: ") ||
			letter.DeadAt != pillarbox.TimestampOf(noon) {
			t.Errorf("%q became %+v of %+v", texts[i], letter, event)
		}
		if want := pillarbox.TimestampOf(noon.Add(-time.Minute).Truncate(time.Millisecond)); i > 1 &&
			event.Timestamp != want {
			t.Errorf("%q is of %v, want the time of sending, %v", texts[i], event.Timestamp, want)
		}
	}
	if strings.Contains(b.log.String(), "canary") {
		t.Errorf("the log has what was sent: %s", b.log.String())
	}
}

func claimed(t testing.TB, id string, receives int) events.SQSMessage {
	t.Helper()
	event := eventOf(id, time.Minute)
	claim := pillarbox.NewClaim("bodies/"+id, event.Body)
	event.Body = nil
	return recordOf(t, id, receives, &pillarbox.Message{Event: event, Claim: &claim})
}

// TestClaimedBodiesAreRestored: one can't be had for now, one is lost for good, and one makes the
// store panic.
func TestClaimedBodiesAreRestored(t *testing.T) {
	b := newBench(t, lambda.DeliverOptions{})
	b.queue.kept["bodies/a"] = []byte("body of a")
	wantIDs(t, "stay", b.deliver(claimed(t, "a", 1), message(t, "b", 1), claimed(t, "lost", 2)))
	wantIDs(t, "stored", b.stored(), "a", "b")
	if event, err := b.sink.Find(context.Background(), "a"); err != nil ||
		string(event.Body) != "body of a" {
		t.Errorf("stored %+v, %v", event, err)
	}
	letter := b.queue.dead[0]
	if body := string(letter.Event.Body); !strings.Contains(letter.Reason,
		"is lost, and its claim stands in its place") ||
		!strings.HasPrefix(body, `{"body_claim":{"key":"bodies/lost","bytes":12,"sha256":"`) {
		t.Errorf("the letter is %+v of %q", letter, body)
	}

	b = newBench(t, lambda.DeliverOptions{})
	b.queue.gone = fmt.Errorf("bucket: %w", pillarbox.ErrUnavailable)
	wantIDs(t, "stay", b.deliver(claimed(t, "a", 17), claimed(t, "ending", 20),
		message(t, "b", 20)), "a")
	wantIDs(t, "stored", b.stored(), "b")
	wantIDs(t, "sent again", b.queue.sentIDs(), "ending") // an outage of the bucket is no refusal
	if len(b.queue.dead) != 0 || b.queue.hidden["handle of a"] == 0 {
		t.Errorf("dead %v, hidden %v", b.queue.dead, b.queue.hidden)
	}

	b = newBench(t, lambda.DeliverOptions{})
	b.queue.fault = func(call string, _ int) error {
		if call == "restore" {
			panic("bug")
		}
		return nil
	}
	wantIDs(t, "stay", b.deliver(claimed(t, "a", 1), message(t, "b", 1)), "a")
	wantIDs(t, "stored", b.stored(), "b")
}

// TestTheSameTwice: the same message twice in a batch, and the same event in two messages.
func TestTheSameTwice(t *testing.T) {
	b := newBench(t, lambda.DeliverOptions{})
	again := message(t, "a", 1)
	again.ReceiptHandle = "other handle of a"
	wantIDs(t, "stay", b.deliver(message(t, "a", 1), again,
		recordOf(t, "b", 1, eventOf("a", time.Minute))))
	wantIDs(t, "stored", b.stored(), "a")

	b.sink.Fault = refusing(errors.New("not now"), "a")
	wantIDs(t, "stay", b.deliver(message(t, "a", 1), again,
		recordOf(t, "b", 1, eventOf("a", time.Minute))), "a", "b")
	for _, handle := range []string{"handle of a", "other handle of a", "handle of b"} {
		if b.queue.hidden[handle] == 0 {
			t.Errorf("%s is not hidden: %v", handle, b.queue.hidden)
		}
	}
	// never seen, but nothing may be lost by it
	other := recordOf(t, "a", 1, eventOf("c", time.Minute))
	wantIDs(t, "stay", b.deliver(message(t, "a", 1), other), "a")
	wantIDs(t, "stored", b.stored(), "a", "c")
}

// TestPanicIsAFailureOfOne: an event that makes the sink panic is found, and the others are stored.
func TestPanicIsAFailureOfOne(t *testing.T) {
	b := newBench(t, lambda.DeliverOptions{})
	b.sink.Fault = func(batch []*pillarbox.Event) error {
		if slices.Contains(idsOf(batch), "c") {
			panic("bug")
		}
		return nil
	}
	wantIDs(t, "stay", b.deliver(message(t, "a", 1), message(t, "b", 1), message(t, "c", 1),
		message(t, "d", 1)), "c")
	wantIDs(t, "stored", b.stored(), "a", "b", "d")
}

// TestAnswerIsCompleteAfterAPanic anywhere behind the writes.
func TestAnswerIsCompleteAfterAPanic(t *testing.T) {
	for _, call := range []string{"bury", "send", "hide"} {
		b := newBench(t, lambda.DeliverOptions{})
		b.sink.Fault = splitFault
		b.queue.fault = func(name string, _ int) error {
			if name == call {
				panic("bug")
			}
			return nil
		}
		want := map[string][]string{"bury": {"b", "c", "d"}, "send": {"c", "d"}, "hide": {"c"}}[call]
		wantIDs(t, "stay after a panic of "+call,
			b.deliver(message(t, "a", 1), message(t, "b", 1), message(t, "c", 1),
				message(t, "d", 20)), want...)
		wantIDs(t, "stored", b.stored(), "a")
		if metricsOf(t, b.metrics.String())[0]["Panics"] != 1.0 ||
			!strings.Contains(b.log.String(), "deliver_test.go") {
			t.Errorf("a panic of %s is not told of: %s", call, b.log.String())
		}
	}
}

// splitFault stores a, refuses b for good, and has no room for others.
func splitFault(batch []*pillarbox.Event) error {
	var partial pillarbox.BatchError
	for i, event := range batch {
		switch event.RequestID {
		case "a":
		case "b":
			partial.Items = append(partial.Items,
				pillarbox.ItemError{Index: i, Err: pillarbox.Permanent(errors.New("no"))})
		default:
			partial.Items = append(partial.Items,
				pillarbox.ItemError{Index: i, Err: pillarbox.ErrUnavailable})
		}
	}
	if len(partial.Items) == 0 {
		return nil
	}
	return &partial
}

// TestEventThatLooksLikeAnOutageHoldsUpNobody: writes with it in them fail as if the destination
// was down.
func TestEventThatLooksLikeAnOutageHoldsUpNobody(t *testing.T) {
	b := newBench(t, lambda.DeliverOptions{})
	b.sink.Fault = func(batch []*pillarbox.Event) error {
		if slices.Contains(idsOf(batch), "poison") {
			return fmt.Errorf("connection lost: %w", pillarbox.ErrUnavailable)
		}
		return nil
	}
	wantIDs(t, "stay", b.deliver(message(t, "a", 1), message(t, "b", 1), message(t, "poison", 2),
		message(t, "c", 1)), "poison")
	wantIDs(t, "stored", b.stored(), "a", "b", "c")
	wantIDs(t, "stay", b.deliver(message(t, "d", 1), message(t, "poison", 20)))
	wantIDs(t, "stored", b.stored(), "a", "b", "c", "d")
	wantIDs(t, "dead", b.queue.deadIDs(), "poison")
	if class := b.queue.dead[0].Attempts[19].Class; class != pillarbox.ClassUnavailable {
		t.Errorf("the last attempt is of the class %s", class)
	}
}

// slow is a sink whose writes take a while.
type slow struct {
	pillarbox.Sink
	each time.Duration
}

func (s slow) Write(ctx context.Context, batch []*pillarbox.Event) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Duration(len(batch)) * s.each):
		return s.Sink.Write(ctx, batch)
	}
}

// TestTimeIsUpBeforeTheDeadline: there is always time left to hide, to dead-letter and to answer.
func TestTimeIsUpBeforeTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, each := range []time.Duration{time.Millisecond, 20 * time.Millisecond, time.Hour} {
			b := newBench(t, lambda.DeliverOptions{})
			b.Deliver = lambda.NewDeliver(slow{b.sink, each}, b.queue, lambda.DeliverOptions{})
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			var records []events.SQSMessage
			for i := range 2000 {
				records = append(records, message(t, fmt.Sprintf("%04d", i), 1))
			}
			stay := b.deliverWithin(ctx, records...)
			left := time.Until(deadlineOf(ctx))
			if left < 3*time.Second {
				t.Errorf("%v for each event: %v were left", each, left)
			}
			stored := b.stored()
			for _, id := range stay {
				if slices.Contains(stored, id) {
					t.Errorf("%s is stored, and stays", id)
				}
			}
			if len(stay)+len(stored) < len(records) && len(stored) < pillarbox.MaxListLimit {
				t.Errorf("%v for each event: %d stay and %d are stored of %d", each, len(stay),
					len(stored), len(records))
			}
			if len(b.queue.hidden) != len(stay) || len(b.queue.dead) != 0 {
				t.Errorf("%d stay, %d are hidden, %d dead", len(stay), len(b.queue.hidden),
					len(b.queue.dead))
			}
			cancel()
		}
	})
}

func deadlineOf(ctx context.Context) time.Time {
	deadline, _ := ctx.Deadline()
	return deadline
}

// TestOnlyBatchesOfAQueueAreTaken: an answer without failures to anything else would be a success.
func TestOnlyBatchesOfAQueueAreTaken(t *testing.T) {
	for _, payload := range []string{
		``, `null`, `{}`, `{"Records":[]}`, `{"Records":[{"messageId":"a","body":"{}"}]}`,
		`{"Records":"canary"}`,
		`{"Records":[{"eventSource":"aws:kinesis","kinesis":{"data":"canary"}}]}`,
		string(read(t, "http.json")),
	} {
		b := newBench(t, lambda.DeliverOptions{})
		response, err := b.Invoke(context.Background(), []byte(payload))
		if err == nil || response != nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q is answered with %s, %v", payload, response, err)
		}
		letters := lambda.NewDeadLetter(nil, nil, lambda.DeadLetterOptions{})
		if response, err := letters.Invoke(context.Background(), []byte(payload)); err == nil ||
			response != nil {
			t.Errorf("%q is answered with %s, %v", payload, response, err)
		}
	}
}

// TestNamelessMessageKeepsTheWholeBatch: it can't be reported, and is not to be lost.
func TestNamelessMessageKeepsTheWholeBatch(t *testing.T) {
	b := newBench(t, lambda.DeliverOptions{})
	b.sink.Fault = refusing(errors.New("not now"), "b")
	nameless := recordOf(t, "", 1, eventOf("b", time.Minute))
	if response, err := b.Handle(context.Background(),
		events.SQSEvent{Records: []events.SQSMessage{message(t, "a", 1), nameless}}); err == nil {
		t.Errorf("answered with %+v", response)
	}
	b.sink.Fault = nil
	wantIDs(t, "stay", b.deliver(message(t, "a", 1), nameless))
	wantIDs(t, "stored", b.stored(), "a", "b")
}
