package sqs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/sqs"
)

// held lets calls of SendMessageBatch pass when so many messages are on their way.
type held struct {
	*awssqs.Client
	mu     sync.Mutex
	left   int // messages that are still to come; guarded by mu
	enough chan struct{}
}

func (h *held) SendMessageBatch(ctx context.Context, in *awssqs.SendMessageBatchInput,
	options ...func(*awssqs.Options)) (*awssqs.SendMessageBatchOutput, error) {
	h.mu.Lock()
	before := h.left
	h.left -= len(in.Entries)
	if before > 0 && h.left <= 0 {
		close(h.enough)
	}
	h.mu.Unlock()
	<-h.enough
	return h.Client.SendMessageBatch(ctx, in, options...)
}

// TestAppendsAtOnceShareCalls: the first is sent alone, and those that come meanwhile by tens.
func TestAppendsAtOnceShareCalls(t *testing.T) {
	const appends = 100
	b := open(t, settings{standIn: true})
	// the first, and nine batches of ten
	client := &held{Client: b.client, left: 91, enough: make(chan struct{})}
	queue, err := sqs.Open(client, b.url, sqs.Options{Linger: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = queue.Close() }()
	want := map[string]bool{}
	var running sync.WaitGroup
	for _, event := range enginetest.Events(appends, 20) {
		want[event.RequestID] = true
		running.Go(func() {
			if err := queue.Append(t.Context(), []*pillarbox.Event{event}); err != nil {
				t.Errorf("append: %v", err)
			}
		})
	}
	running.Wait()
	if calls := b.server.Calls("SendMessageBatch"); calls < appends/10 || calls > 2*appends/10 {
		t.Errorf("%d calls, want 10 to 20", calls)
	}
	messages := b.server.Peek("events")
	for _, message := range messages {
		delete(want, requestID(t, message.Body))
	}
	if len(messages) != appends || len(want) != 0 {
		t.Errorf("%d messages for %d appends, and %d events are missing", len(messages), appends,
			len(want))
	}
}

func requestID(t *testing.T, text string) string {
	t.Helper()
	var message pillarbox.Message
	if err := message.UnmarshalJSON([]byte(text)); err != nil {
		t.Error(err)
		return ""
	}
	return message.Event.RequestID
}

// TestIdleQueueSendsAtOnce: whoever is alone does not pay for those who could come.
func TestIdleQueueSendsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{t: t}
		p := l.open(sqs.Options{})
		p.check("one", p.start("one"), 0)
		p.check("two", p.start("two"), 0)
		p.check("some", p.start("a", "b", "c"), 0)
		if got := l.sent(); got != "[[one] [two] [a b c]]" {
			t.Errorf("calls %s", got)
		}
	})
}

// TestFullBatchesAreNotGathered: of a large append only the rest is.
func TestFullBatchesAreNotGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{t: t, held: make(chan struct{})}
		p := l.open(sqs.Options{})
		first := p.start("first")
		large := p.start("0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "rest")
		if got := l.sent(); got != "[[first] [0 1 2 3 4 5 6 7 8 9]]" {
			t.Errorf("calls %s, want that the full batch was sent at once", got)
		}
		p.check("large", large, sqs.DefaultLinger)
		close(l.held)
		p.check("first", first, sqs.DefaultLinger)
	})
}

// TestLingerEndsBesideACallThatHangs: one call that is not answered holds up nobody else, and
// becomes an outage.
func TestLingerEndsBesideACallThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{t: t, held: make(chan struct{})}
		p := l.open(sqs.Options{Linger: 20 * time.Millisecond})
		first := p.start("first")
		second := p.start("second")
		time.Sleep(15 * time.Millisecond)
		third := p.start("third") // does not make the second wait longer
		p.check("second", second, 20*time.Millisecond)
		p.check("third", third, 5*time.Millisecond)
		p.check("fourth", p.start("fourth"), 20*time.Millisecond)
		p.check("first", first, sqs.DefaultCallTimeout, pillarbox.ErrUnavailable)
		if got := l.sent(); got != "[[first] [second third] [fourth]]" {
			t.Errorf("calls %s", got)
		}
	})
}

// TestFullBatchDoesNotLinger, nor does one that waits when the last call ends.
func TestFullBatchDoesNotLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{t: t, held: make(chan struct{})}
		p := l.open(sqs.Options{Linger: time.Second})
		first := p.start("first")
		some, more := p.start("a", "b", "c", "d", "e", "f"), p.start("g", "h", "i", "j", "k", "l")
		p.check("some", some, 0)
		if got := l.sent(); got != "[[first] [a b c d e f g h i j]]" {
			t.Errorf("calls %s", got)
		}
		close(l.held)
		p.check("first", first, 0)
		p.check("more", more, 0)
		if got := l.sent(); got != "[[first] [a b c d e f g h i j] [k l]]" {
			t.Errorf("calls %s", got)
		}
	})
}

// TestNothingIsGatheredWithoutALinger: each append makes calls of its own.
func TestNothingIsGatheredWithoutALinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{t: t, held: make(chan struct{})}
		p := l.open(sqs.Options{Linger: -1})
		first := p.start("first")
		p.check("second", p.start("second"), 0)
		p.check("third", p.start("third"), 0)
		first.cancel()
		p.check("first", first, 0, context.Canceled)
		if errors.Is(first.err, pillarbox.ErrUnavailable) {
			t.Errorf("first: %v, want that its own call was cut off", first.err)
		}
		if got := l.sent(); got != "[[first] [second] [third]]" {
			t.Errorf("calls %s", got)
		}
	})
}

// TestRefusalIsForItsOwnAppend, in a batch that others share.
func TestRefusalIsForItsOwnAppend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{t: t, held: make(chan struct{}), refuse: "bad"}
		p := l.open(sqs.Options{})
		p.pending() // is asked of SQS once, and counted from then on
		first, good, mixed, last := p.start("first"), p.start("good"), p.start("fine", "bad"),
			p.start("last")
		close(l.held)
		p.check("first", first, 0)
		p.check("good", good, 0)
		p.check("mixed", mixed, 0, pillarbox.ErrInvalid)
		p.check("last", last, 0)
		if got := l.sent(); got != "[[first] [good fine bad last]]" {
			t.Errorf("calls %s", got)
		}
		var partial *pillarbox.BatchError
		if !errors.As(mixed.err, &partial) || len(partial.Items) != 1 || partial.Items[0].Index != 1 {
			t.Errorf("append: %v, want an error of the second event alone", mixed.err)
		}
		if got := p.pending(); got != 4 {
			t.Errorf("%d events are counted, want the 4 that were confirmed", got)
		}
	})
}

// TestConfirmedDoesNotWaitForItsNeighbours: what fails for no fault of its own is sent again
// without them.
func TestConfirmedDoesNotWaitForItsNeighbours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{t: t, held: make(chan struct{}),
			lose: func(call int, id string) bool { return call == 1 && id == "late" }}
		p := l.open(sqs.Options{})
		first, late, other := p.start("first"), p.start("late"), p.start("other")
		close(l.held)
		p.check("first", first, 0)
		p.check("other", other, 0)
		if <-late.ended; late.err != nil || late.took == 0 {
			t.Errorf("it took %v: %v, want nil after a wait", late.took, late.err)
		}
		if got := l.sent(); got != "[[first] [late other] [late]]" {
			t.Errorf("calls %s", got)
		}
	})
}

// TestOutageIsForAllThatShareACall, and for nobody else.
func TestOutageIsForAllThatShareACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{t: t, held: make(chan struct{}), fail: func(call int) error {
			if call == 1 {
				return errors.New("connection refused")
			}
			return nil
		}}
		p := l.open(sqs.Options{})
		p.pending()
		first, one, two := p.start("first"), p.start("one"), p.start("two")
		close(l.held)
		p.check("first", first, 0)
		p.check("one", one, 0, pillarbox.ErrUnavailable)
		p.check("two", two, 0, pillarbox.ErrUnavailable)
		p.check("three", p.start("three"), 0)
		if got := p.pending(); got != 2 {
			t.Errorf("%d events are counted, want 2", got)
		}
	})
}

// TestCallerWhoGivesUpHarmsNobody: it goes at once, and the message that it has left goes on with
// the others.
func TestCallerWhoGivesUpHarmsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{t: t, held: make(chan struct{})}
		p := l.open(sqs.Options{})
		first, gone, stays := p.start("first"), p.start("gone", "too"), p.start("stays")
		gone.cancel()
		p.check("gone", gone, 0, pillarbox.ErrUnknown, pillarbox.ErrUnavailable, context.Canceled)
		if !strings.Contains(gone.err.Error(), "the outcome is unknown") {
			t.Errorf("append of a caller who gave up: %v", gone.err)
		}
		close(l.held)
		p.check("first", first, 0)
		p.check("stays", stays, 0)
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if got := l.sent(); got != "[[first] [gone too stays]]" {
			t.Errorf("calls %s", got)
		}
	})
}

// TestCallerWhoGivesUpLearnsWhatIsKnown: only the others have an unknown outcome.
func TestCallerWhoGivesUpLearnsWhatIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{t: t, held: make(chan struct{}), holds: 2}
		p := l.open(sqs.Options{})
		p.start("first")
		p.start("1", "2", "3", "4", "5", "6", "7", "8", "9")
		some := p.start("a", "b", "c", "d", "e", "f", "g", "h", "i")
		time.Sleep(sqs.DefaultLinger)
		synctest.Wait()
		if got := l.sent(); got != "[[first] [1 2 3 4 5 6 7 8 9 a] [b c d e f g h i]]" {
			t.Errorf("calls %s", got)
		}
		some.cancel()
		p.check("some", some, sqs.DefaultLinger, context.Canceled)
		var partial *pillarbox.BatchError
		if !errors.As(some.err, &partial) || len(partial.Items) != 1 || partial.Items[0].Index != 0 {
			t.Errorf("append: %v, want an error of the first event alone", some.err)
		}
		close(l.held)
	})
}

// TestOnlyConfirmedIsCounted: not what somebody has stopped waiting for.
func TestOnlyConfirmedIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{t: t, held: make(chan struct{})}
		p := l.open(sqs.Options{})
		p.pending()
		first, gone, large := p.start("first"), p.start("gone"),
			p.start("0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "rest")
		gone.cancel()
		large.cancel()
		p.check("gone", gone, 0, context.Canceled)
		p.check("large", large, 0, context.Canceled)
		close(l.held)
		p.check("first", first, 0)
		if got := p.pending(); got != 11 {
			t.Errorf("%d events are counted, want the first and ten of the large append", got)
		}
	})
}

// TestCloseWaitsForNobodyWhoHasLeft: the calls of those end with it.
func TestCloseWaitsForNobodyWhoHasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{t: t, held: make(chan struct{})}
		p := l.open(sqs.Options{Linger: time.Second})
		first, second := p.start("first"), p.start("second")
		first.cancel()
		second.cancel()
		p.check("first", first, 0, context.Canceled)
		p.check("second", second, 0, context.Canceled)
		begun := time.Now()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("close took %v", took)
		}
	})
}

// TestCloseWaitsForWhatIsGathered: it cuts off nobody who waits.
func TestCloseWaitsForWhatIsGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{t: t, held: make(chan struct{})}
		p := l.open(sqs.Options{})
		first, second := p.start("first"), p.start("second")
		closed := make(chan error)
		go func() { closed <- p.Close() }()
		close(l.held)
		p.check("first", first, 0)
		p.check("second", second, 0)
		if err := <-closed; err != nil {
			t.Error(err)
		}
	})
}

// TestBatchesKeepToTheBytes that SQS takes in one call.
func TestBatchesKeepToTheBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{t: t, held: make(chan struct{})}
		p := l.open(sqs.Options{})
		event := func(id string, size int) *pillarbox.Event {
			return &pillarbox.Event{Timestamp: 1, RequestID: id, Body: bytes.Repeat([]byte("x"), size)}
		}
		first := p.start("first")
		one, two := p.startWith(event("one", 100_000)), p.startWith(event("two", 100_000))
		three := p.startWith(event("three", 100_000)) // with it, it would be more than a queue must take
		p.check("one", one, 0)
		p.check("two", two, 0)
		p.check("three", three, sqs.DefaultLinger)
		close(l.held)
		p.check("first", first, sqs.DefaultLinger)
		if got := l.sent(); got != "[[first] [one two] [three]]" {
			t.Errorf("calls %s", got)
		}
	})
}

// TestGatheringUnderStress: callers come, give up, and find the queue closed. What was confirmed is
// there, once.
func TestGatheringUnderStress(t *testing.T) {
	b := open(t, settings{standIn: true})
	queue, err := sqs.Open(b.client, b.url, sqs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	confirmed := map[string]bool{}
	var running sync.WaitGroup
	for w := range 32 {
		random := rand.New(rand.NewPCG(21, uint64(w)))
		running.Go(func() {
			for i := range 40 {
				id := fmt.Sprintf("%d-%d", w, i)
				ctx, cancel := context.WithTimeout(t.Context(),
					time.Duration(1+random.IntN(40))*time.Millisecond)
				err := queue.Append(ctx, []*pillarbox.Event{{Timestamp: 1, RequestID: id}})
				cancel()
				mu.Lock()
				confirmed[id] = err == nil
				mu.Unlock()
				if errors.Is(err, pillarbox.ErrClosed) {
					return
				}
				if w == 0 && i == 30 {
					running.Go(func() { _ = queue.Close() })
				}
			}
		})
	}
	running.Wait()
	if err := queue.Close(); err != nil {
		t.Error(err)
	}
	times := map[string]int{}
	for _, message := range b.server.Peek("events") {
		times[requestID(t, message.Body)]++
	}
	for id, ok := range confirmed {
		if ok && times[id] != 1 {
			t.Errorf("event %s was confirmed and is there %d times", id, times[id])
		}
	}
}
