package intake_test

import (
	"bufio"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"pillarbox/internal/express"
	"pillarbox/internal/intake"
	"pillarbox/internal/source"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/telemetry/tracetest"
)

const (
	sampledParent   = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	unsampledParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
)

// serveTraced makes a box that records a part of what comes without a trace context.
func serveTraced(t *testing.T, f front, ratio float64) (*box, *tracetest.Recorder, *served) {
	t.Helper()
	recorder := &tracetest.Recorder{}
	traces := telemetry.NewTraces(recorder, telemetry.TraceOptions{Ratio: ratio})
	b := openBox(t, intake.Options{Traces: traces})
	f.limits = express.Options{Traces: traces}
	return b, recorder, f.serve(t, b, express.DefaultReadTimeout, express.DefaultWriteTimeout)
}

// status sends one request on a connection of its own.
func (s *served) status(t *testing.T, path, body string, lines ...string) int {
	t.Helper()
	conn := s.dial(t)
	defer conn.Close()
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n%s\r\n%s", path, len(body),
		strings.Join(append(lines, ""), "\r\n"), body)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode
}

// TestEventsNameTheSpanOfTheirRequest: the span is in the sender's trace, what is queued names it,
// and the append that it waited for is beneath it.
func TestEventsNameTheSpanOfTheirRequest(t *testing.T) {
	onFronts(t, func(t *testing.T, f front) {
		b, recorder, s := serveTraced(t, f, 0)
		if got := s.status(t, "/app", "x", "Traceparent: "+sampledParent, "Tracestate: a=1"); got != http.StatusAccepted {
			t.Fatalf("answered %d", got)
		}
		s.stop()
		spans, event := recorder.Ended(), b.Queued()[0]
		requests, appends := spans["POST /app"], spans["append"]
		if len(requests) != 1 || len(appends) != 1 || len(spans) != 2 {
			t.Fatalf("the spans are %v", recorder.Names())
		}
		r := requests[0]
		if r.Parent != sampledParent || r.State != "a=1" || event.Traceparent != r.ID || appends[0].Parent != r.ID {
			t.Errorf("the request is beneath %s (%s), the event beneath %s, the append beneath %s; the request is %s", r.Parent, r.State,
				event.Traceparent, appends[0].Parent, r.ID)
		}
		if r.Attr("pillarbox.request_id") != event.RequestID || r.Attr("http.response.status_code") != "202" || r.Failure != "" {
			t.Errorf("the span says %v, and fails with %q", r.Attrs, r.Failure)
		}
		if r.At.After(appends[0].At) || appends[0].Ended.After(r.Ended) {
			t.Errorf("the append from %v to %v is not within the request from %v to %v", appends[0].At, appends[0].Ended, r.At, r.Ended)
		}
	})
}

// TestWhatIsNotSampledGoesOnAsItCame: no span is made, and the sender's context is kept as it was.
func TestWhatIsNotSampledGoesOnAsItCame(t *testing.T) {
	onFronts(t, func(t *testing.T, f front) {
		b, recorder, s := serveTraced(t, f, 0)
		s.status(t, "/app", "1", "Traceparent: "+unsampledParent)
		s.status(t, "/app", "2")
		s.status(t, "/app", "3", "Traceparent: "+strings.ToUpper(sampledParent)) // malformed
		s.stop()
		var parents []string
		for _, event := range b.Queued() {
			parents = append(parents, event.Traceparent)
		}
		if got := fmt.Sprint(parents); got != "["+unsampledParent+"  ]" || len(recorder.Ended()) > 0 {
			t.Errorf("the events name %s, and there are the spans %v", got, recorder.Names())
		}
	})
}

// TestNobodyWhomNoSourceLetsInMakesASpan, whatever their trace context says: it costs the receiver, and
// the names of spans are not anybody's to choose.
func TestNobodyWhomNoSourceLetsInMakesASpan(t *testing.T) {
	onFronts(t, func(t *testing.T, f front) {
		b, recorder, s := serveTraced(t, f, 1)
		b.setSources(source.Settings{Name: "shut", Path: "/shut", MaxBody: testMaxBody, Deny: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}})
		for path, want := range map[string]int{"/nowhere": http.StatusNotFound, "/shut": http.StatusForbidden} {
			if got := s.status(t, path, "x", "Traceparent: "+sampledParent); got != want {
				t.Errorf("%s is answered with %d, want %d", path, got, want)
			}
		}
		s.stop()
		if names := recorder.Names(); len(names) > 0 {
			t.Errorf("there are the spans %v", names)
		}
	})
}

// TestABatchIsOneSpan: all of its events name it.
func TestABatchIsOneSpan(t *testing.T) {
	onFronts(t, func(t *testing.T, f front) {
		b, recorder, s := serveTraced(t, f, 1)
		if got := s.status(t, "/app/batch", `[1,2,3]`, "Content-Type: application/json"); got != http.StatusAccepted {
			t.Fatalf("answered %d", got)
		}
		s.stop()
		batches := recorder.Ended()["POST /app/batch"]
		if len(batches) != 1 || batches[0].Parent != "" {
			t.Fatalf("the spans are %v", recorder.Names())
		}
		events := b.Queued()
		for _, event := range events {
			if event.Traceparent != batches[0].ID {
				t.Errorf("an event names %s, and the batch is %s", event.Traceparent, batches[0].ID)
			}
		}
		if len(events) != 3 {
			t.Errorf("%d events are queued", len(events))
		}
	})
}

// TestAFailedAppendIsAFailedSpan: the request is answered with 503, and its span says so.
func TestAFailedAppendIsAFailedSpan(t *testing.T) {
	onFronts(t, func(t *testing.T, f front) {
		b, recorder, s := serveTraced(t, f, 1)
		if err := b.Queue.Close(); err != nil {
			t.Fatal(err)
		}
		if got := s.status(t, "/app", "x"); got != http.StatusServiceUnavailable {
			t.Fatalf("answered %d", got)
		}
		s.stop()
		spans := recorder.Ended()
		if len(spans["POST /app"]) != 1 || spans["POST /app"][0].Failure == "" || len(spans["append"]) != 1 || spans["append"][0].Failure == "" {
			t.Errorf("the spans are %+v", spans)
		}
	})
}
