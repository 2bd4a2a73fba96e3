package webhook_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/webhook"
)

// TestContract: the suite of sinks, as it is, and with what the receiver has kept read back. Every byte
// of every event gets there, in each of the forms.
func TestContract(t *testing.T) {
	t.Run("as it is", func(t *testing.T) {
		t.Parallel()
		enginetest.Sink(t, func(t *testing.T) pillarbox.Sink {
			return open(t, receive(t, nil).URL, webhook.Options{})
		})
	})
	for _, send := range webhook.Sends() {
		t.Run(send+", read back", func(t *testing.T) {
			t.Parallel()
			enginetest.Sink(t, func(t *testing.T) pillarbox.Sink {
				r := receive(t, nil)
				return &readBack{open(t, r.URL, webhook.Options{Send: send}), r.kept}
			})
		})
	}
	t.Run("traced", func(t *testing.T) {
		enginetest.Sink(t, func(t *testing.T) pillarbox.Sink {
			return enginetest.TraceSink(open(t, receive(t, nil).URL, webhook.Options{}), &enginetest.Spans{})
		})
	})
}

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// TestRequestsAreSigned by each secret, with the time of this try, and verified by the library of
// Standard Webhooks; the id is that of the event, and stays the same.
func TestRequestsAreSigned(t *testing.T) {
	r := receive(t, nil)
	now := time.Now()
	sink := open(t, r.URL+"/in?a=1", webhook.Options{SigningSecrets: []string{"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", secret},
		Headers: map[string]string{"Authorization": "Bearer abc", "x-team": "a b"}, Now: func() time.Time { return now }})
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	event := enginetest.Events(1, 71)[0]
	for _, passed := range []time.Duration{0, time.Minute} {
		now = now.Add(passed)
		if err := sink.Write(t.Context(), []*pillarbox.Event{event}); err != nil {
			t.Fatal(err)
		}
		request, body := r.last()
		if err := verifier.Verify(body, request.Header); err != nil {
			t.Errorf("after %v: %v", passed, err)
		}
		for name, want := range map[string]string{"Webhook-Id": event.RequestID, "Idempotency-Key": event.RequestID, "Content-Type": "application/json",
			"Authorization": "Bearer abc", "X-Team": "a b", "User-Agent": "pillarbox", "Accept-Encoding": ""} {
			if got := request.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if request.Method != "POST" || request.RequestURI != "/in?a=1" {
			t.Errorf("%s %s", request.Method, request.RequestURI)
		}
	}
	if first, second := r.requests[0].Header.Get("Webhook-Timestamp"), r.requests[1].Header.Get("Webhook-Timestamp"); first == second {
		t.Errorf("both tries are signed for %s", first)
	}
}

// TestABatchHasAnIDOfItsEvents: the same one for the same batch, and another one for another batch; it
// can stand in the query, for stores that know a batch by it.
func TestABatchHasAnIDOfItsEvents(t *testing.T) {
	r := receive(t, nil)
	sink := open(t, r.URL+"/?query=INSERT%20INTO%20events%20FORMAT%20JSONEachRow&insert_deduplication_token={webhook-id}",
		webhook.Options{Send: webhook.SendLines})
	events := enginetest.Events(10, 72)
	var ids []string
	for _, batch := range [][]*pillarbox.Event{events, events, events[:9], events[1:]} {
		if err := sink.Write(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		request, body := r.last()
		id := request.Header.Get("Webhook-Id")
		if id == "" || request.Header.Get("Idempotency-Key") != id || request.URL.Query().Get("insert_deduplication_token") != id ||
			request.URL.Query().Get("query") != "INSERT INTO events FORMAT JSONEachRow" || strings.Count(string(body), "\n") != len(batch) {
			t.Errorf("id %q, %s", id, request.RequestURI)
		}
		ids = append(ids, id)
	}
	if ids[0] != ids[1] || ids[0] == ids[2] || ids[2] == ids[3] || ids[0] == ids[3] {
		t.Errorf("ids %v", ids)
	}
}

// TestSoManyAreInFlightAndNoMore, of all Writes together, on connections that are kept.
func TestSoManyAreInFlightAndNoMore(t *testing.T) {
	var now, most atomic.Int64
	release := make(chan struct{})
	var once sync.Once
	r := receive(t, func(http.ResponseWriter, *http.Request, []byte) bool {
		n := now.Add(1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		if n == 4 {
			once.Do(func() { close(release) })
		}
		<-release // all four are there at once, however slow the machine
		now.Add(-1)
		return false
	})
	sink := open(t, r.URL, webhook.Options{Concurrency: 4})
	events := enginetest.Events(200, 73)
	var writes sync.WaitGroup
	for part := range 2 {
		writes.Go(func() {
			if err := sink.Write(t.Context(), events[part*100:(part+1)*100]); err != nil {
				t.Error(err)
			}
		})
	}
	writes.Wait()
	if most.Load() != 4 {
		t.Errorf("%d were in flight, want 4", most.Load())
	}
	connections := map[string]bool{}
	for _, request := range r.requests {
		connections[request.RemoteAddr] = true
	}
	if len(connections) > 4 {
		t.Errorf("%d connections for 4 in flight", len(connections))
	}
}

// TestHTTP2 is spoken where the receiver does.
func TestHTTP2(t *testing.T) {
	r := receive(t, nil)
	secure, authority := receiveTLS(t, r, true)
	sink := open(t, secure, webhook.Options{TLS: webhook.TLS{CA: authority}})
	if err := sink.Write(t.Context(), enginetest.Events(40, 74)); err != nil {
		t.Fatal(err)
	}
	if request, _ := r.last(); request.ProtoMajor != 2 {
		t.Errorf("it is %s", request.Proto)
	}
	if n, _ := r.kept.Count(t.Context()); n != 40 {
		t.Errorf("%d of 40 are there", n)
	}
	unknown := open(t, secure, webhook.Options{})
	err := unknown.Write(t.Context(), enginetest.Events(2, 75))
	if !errors.Is(err, pillarbox.ErrUnavailable) || !strings.Contains(err.Error(), "tls.ca") {
		t.Errorf("an authority that is not known: %v", err)
	}
}

// TestTheRateIsKept: no more in a second than it says, and what can't be sent in time comes again.
func TestTheRateIsKept(t *testing.T) {
	r := receive(t, nil)
	sink := open(t, r.URL, webhook.Options{Rate: 20})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	start := time.Now()
	err := sink.Write(ctx, enginetest.Events(400, 76))
	took := time.Since(start)
	var partial *pillarbox.BatchError
	if !errors.As(err, &partial) || !errors.Is(err, pillarbox.ErrUnavailable) {
		t.Fatalf("400 events at 20 a second within a second: %v", err)
	}
	n, _ := r.kept.Count(t.Context())
	if most := 1 + 20*took.Seconds(); n == 0 || float64(n) > most || int(n) != 400-len(partial.Items) {
		t.Errorf("%d were sent in %v, and %d are to come again", n, took, len(partial.Items))
	}
}

// TestARequestIsInTheTraceOfItsEvent, with what the sender's systems gave beside it; a batch, whose
// events each have their own, is in none.
func TestARequestIsInTheTraceOfItsEvent(t *testing.T) {
	for send, want := range map[string]bool{webhook.SendEvent: true, webhook.SendBody: true, webhook.SendArray: false} {
		r := receive(t, nil)
		sink := open(t, r.URL, webhook.Options{Send: send})
		event := enginetest.Events(1, 72)[0]
		event.Traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		event.Header = pillarbox.Header{{Name: "Tracestate", Value: "a=1"}, {Name: "Tracestate", Value: "b=2"}}
		if err := sink.Write(t.Context(), []*pillarbox.Event{event}); err != nil {
			t.Fatal(err)
		}
		request, _ := r.last()
		got := request.Header.Get("Traceparent") + " " + request.Header.Get("Tracestate")
		if want := map[bool]string{true: event.Traceparent + " a=1,b=2", false: " "}[want]; got != want {
			t.Errorf("%s: %q, want %q", send, got, want)
		}
		if !sink.Traits().Forwards {
			t.Error("the sink does not say that it forwards")
		}
	}
}

// TestTheCanaryIsMarked in whatever is sent, and no user's event is, whatever it came with.
func TestTheCanaryIsMarked(t *testing.T) {
	for _, send := range []string{webhook.SendEvent, webhook.SendBody, webhook.SendArray, webhook.SendLines} {
		r := receive(t, nil)
		sink := open(t, r.URL, webhook.Options{Send: send})
		events := enginetest.Events(2, 73)
		for i, source := range []string{pillarbox.CanarySource, "app"} {
			events[i].Source, events[i].Header = source, pillarbox.Header{{Name: pillarbox.CanaryHeader, Value: "1"}}
			if err := sink.Write(t.Context(), events[i:i+1]); err != nil {
				t.Fatal(err)
			}
			request, _ := r.last()
			if got := request.Header.Get(pillarbox.CanaryHeader); got != map[bool]string{true: "1"}[i == 0] {
				t.Errorf("%s: an event of %s has %s: %q", send, source, pillarbox.CanaryHeader, got)
			}
		}
	}
}
