package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"pillarbox/test/standin/fakedynamo"
	"pillarbox/test/standin/fakelambda"
	"pillarbox/test/standin/fakesqs"
)

// TestFromThePostToTheTable sends events through each kind of gateway, and finds them in the table
// as they were sent.
func TestFromThePostToTheTable(t *testing.T) {
	s := newStack(t)
	bodies := map[string][]byte{}
	for _, gateway := range []*fakelambda.Gateway{
		{Kind: fakelambda.REST}, {Kind: fakelambda.REST, BasePath: "/v1"}, {Kind: fakelambda.HTTP,
			Stage: "prod"}, {Kind: fakelambda.URL},
	} {
		url := s.front(gateway) + "/app?a=1&b=x%20y"
		for contentType, body := range map[string][]byte{"application/json": []byte(`{"hello":"wörld"}`), "application/octet-stream": {0, 0xff, 0x80, 'x'}, "text/plain": {}} {
			bodies[s.post(url, contentType, body)] = body
		}
	}
	if len(bodies) != 12 {
		t.Fatalf("%d ids for 12 events", len(bodies))
	}
	if result := s.poll(s.events); result.Deleted != 12 || result.Failure != nil {
		t.Errorf("the batch: %+v\n%s", result, s.log)
	}
	items := s.stored()
	for id, body := range bodies {
		item := items[id]
		if item == nil || item["Method"] != "POST" || item["Path"] != "/app" ||
			item["Source"] != "app" || item["RemoteAddr"] != "127.0.0.1" {
			t.Errorf("event %s is stored as %v", id, item)
			continue
		}
		if got, _ := item["Body"].(string); got != string(body) &&
			got != base64.StdEncoding.EncodeToString(body) {
			t.Errorf("the body %q of %s is stored as %q", body, id, got)
		}
	}
	for name, f := range map[string]*fakelambda.Function{"accept": s.accept, "deliver": s.deliver} {
		stats := f.Stats()
		t.Logf("%s: %d cold starts, %v from the start of the process until it asks for work, %d invocations", name, stats.ColdStarts, stats.Startup, stats.Invocations)
		if stats.ColdStarts != 1 {
			t.Errorf("%s had %d cold starts", name, stats.ColdStarts)
		}
	}
	if strings.Contains(s.log.String(), "wörld") {
		t.Errorf("a body is in the log:\n%s", s.log)
	}
}

// TestAliveAndRefused: answers that make no event.
func TestAliveAndRefused(t *testing.T) {
	s := newStack(t)
	url := s.front(&fakelambda.Gateway{Kind: fakelambda.HTTP})
	response, err := http.Get(url + "/app")
	if err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("GET: %v, %v", response, err)
	}
	if status, text := s.send(url+"/elsewhere", "text/plain", nil); status != http.StatusNotFound {
		t.Errorf("elsewhere: %d %s", status, text)
	}
	if status, text := s.send(url+"/app", "text/plain",
		bytes.Repeat([]byte("x"), 4_000_001)); status != http.StatusRequestEntityTooLarge {
		t.Errorf("too large: %d %s", status, text)
	}
	s.queues.Refuse(fakesqs.ErrRequestThrottled)
	if status, text := s.send(url+"/app", "text/plain", nil); status != http.StatusServiceUnavailable {
		t.Errorf("the queue is down: %d %s", status, text)
	}
	s.queues.Allow()
	s.queues.Stall(10)
	start := time.Now()
	if status, text := s.send(url+"/app", "text/plain",
		nil); status != http.StatusServiceUnavailable || time.Since(start) > functionTimeout {
		t.Errorf("the queue hangs: %d %s after %v", status, text, time.Since(start))
	}
	if n := len(s.queues.Peek("events")); n != 0 {
		t.Errorf("%d events are queued", n)
	}
}

// TestMessageHasTheGroupOfItsSource: a standard queue is fair between groups.
func TestMessageHasTheGroupOfItsSource(t *testing.T) {
	s := newStack(t)
	s.post(s.front(&fakelambda.Gateway{Kind: fakelambda.REST})+"/app", "text/plain", []byte("x"))
	if got := s.queues.Peek("events"); len(got) != 1 || got[0].Group != "app" {
		t.Errorf("the queue has %+v", got)
	}
}

// TestLargeBodiesGoRoundTheQueue and the table, and come back whole.
func TestLargeBodiesGoRoundTheQueue(t *testing.T) {
	s := newStack(t)
	body := make([]byte, 2_000_000)
	random := rand.New(rand.NewPCG(1, 1))
	for i := range body {
		body[i] = byte(random.Uint32())
	}
	id := s.post(s.front(&fakelambda.Gateway{Kind: fakelambda.REST})+"/app",
		"application/octet-stream", body)
	if kept := s.objects.below("/large/bodies/"); len(kept) != 1 {
		t.Fatalf("%d bodies are in the bucket", len(kept))
	}
	if result := s.poll(s.events); result.Deleted != 1 {
		t.Errorf("the batch: %+v\n%s", result, s.log)
	}
	if s.stored()[id] == nil {
		t.Errorf("the event is not stored\n%s", s.log)
	}
	for name, kept := range s.objects.below("/large/bodies/") {
		if !bytes.Equal(kept, body) {
			t.Errorf("%s has %d bytes that are not the body", name, len(kept))
		}
	}
}

// TestFromTheTableThatIsDownToTheTable: an outage longer than all receives makes no dead letter.
func TestFromTheTableThatIsDownToTheTable(t *testing.T) {
	s := newStack(t)
	url := s.front(&fakelambda.Gateway{Kind: fakelambda.URL}) + "/app"
	ids := []string{s.post(url, "text/plain", []byte("one")), s.post(url, "text/plain", []byte("two"))}
	s.tables.Refuse(fakedynamo.ErrThroughput)
	receives := 0
	for range 3 * maxReceives {
		receives += s.poll(s.events).Received
		s.clock(12 * time.Hour)
	}
	if receives < 4*maxReceives || len(s.stored()) != 0 {
		t.Errorf("received %d times, %d are stored", receives, len(s.stored()))
	}
	if dead := s.queues.Peek("dead"); len(dead) != 0 {
		t.Errorf("an outage made %d dead letters: %v", len(dead), dead)
	}
	s.tables.Allow()
	s.poll(s.events)
	for _, id := range ids {
		if s.stored()[id] == nil {
			t.Errorf("%s is not stored\n%s", id, s.log)
		}
	}
	if rest := s.queues.Peek("events"); len(rest) != 0 {
		t.Errorf("in the queue: %v", rest)
	}
}

// TestFromTheQueueToTheBucket: what can't be read, what is too old, and what SQS gave up become
// letters.
func TestFromTheQueueToTheBucket(t *testing.T) {
	s := newStack(t)
	put := func(text string) {
		t.Helper()
		if err := s.put(text); err != nil {
			t.Fatal(err)
		}
	}
	put("no event at all")
	put(`{"timestamp":"2020-01-01T00:00:00.000000Z","request_id":"old","body":"once"}`)
	now := time.Now().UTC().Format("2006-01-02T15:04:05.000000Z")
	put(fmt.Sprintf(`{"timestamp":%q,"request_id":"good"}`, now))
	if result := s.poll(s.events); result.Deleted != 3 {
		t.Errorf("the batch: %+v\n%s", result, s.log)
	}
	// A function that always fails: SQS moves the event by itself.
	put(fmt.Sprintf(`{"timestamp":%q,"request_id":"moved","body":"kept"}`, now))
	for range maxReceives {
		if received := s.poll(&fakelambda.Mapping{Source: s.events.Source, Function: broken{},
			Report: true}); received.Received != 1 || received.Failure == nil {
			t.Errorf("a broken function: %+v", received)
		}
		s.clock(time.Hour)
	}
	s.poll(s.events)
	s.objects.refuse = http.StatusForbidden
	if result := s.poll(s.dead); result.Received != 3 || result.Deleted != 0 {
		t.Errorf("while the bucket refuses: %+v", result)
	}
	s.objects.refuse = 0
	s.clock(time.Hour)
	if result := s.poll(s.dead); result.Deleted != 3 {
		t.Errorf("the batch of dead letters: %+v\n%s", result, s.log)
	}
	letters := s.letters()
	for id, want := range map[string]string{"old": "not delivered within 240h0m0s",
		"moved": "received without being stored until SQS moved it from arn:aws:sqs:us-east-1:000000000000:events"} {
		if letter := letters[id]; letter == nil || !strings.HasPrefix(letter.Reason, want) ||
			letter.Destination != "events" {
			t.Errorf("the letter of %s is %+v", id, letter)
		}
	}
	found := false
	for _, letter := range letters {
		found = found || string(letter.Event.Body) == "no event at all" &&
			strings.HasPrefix(letter.Reason, "the message can't be read")
	}
	if !found || len(letters) != 3 || s.stored()["good"] == nil {
		t.Errorf("letters %v\n%s", letters, s.log)
	}
}

// TestKilledFunctionLosesNothing: a table that hangs is given up in time for an answer, a process
// that is killed leaves its batch in the queue, and so does a write whose answer is lost; the event
// is stored once.
func TestKilledFunctionLosesNothing(t *testing.T) {
	s := newStack(t)
	url := s.front(&fakelambda.Gateway{Kind: fakelambda.HTTP}) + "/app"
	id := s.post(url, "text/plain", []byte("one"))
	s.tables.Stall(1000)
	if result := s.poll(s.events); result.Received != 1 || result.Failure != nil ||
		result.Deleted != 0 || s.deliver.Stats().ColdStarts != 1 {
		t.Errorf("a table that hangs: %+v\n%s", result, s.log)
	}
	s.clock(time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if result, err := s.events.Poll(ctx, 0); err != nil || result.Received != 1 ||
		result.Failure == nil {
		t.Errorf("a function that is killed: %+v, %v", result, err)
	}
	s.tables.Allow()
	s.clock(time.Hour)
	s.tables.LoseAnswers(1000, "BatchWriteItem")
	if result := s.poll(s.events); result.Deleted != 0 || s.deliver.Stats().ColdStarts != 2 ||
		s.stored()[id] == nil {
		t.Errorf("a lost answer: %+v, %+v\n%s", result, s.deliver.Stats(), s.log)
	}
	s.tables.Allow()
	s.clock(time.Hour)
	if result := s.poll(s.events); result.Deleted != 1 || len(s.stored()) != 1 ||
		len(s.queues.Peek("events")) != 0 {
		t.Errorf("after all that: %+v\n%s", result, s.log)
	}
}

// TestWrongEnvironmentIsNamedInTheLog, and the function does not start.
func TestWrongEnvironmentIsNamedInTheLog(t *testing.T) {
	s := newStack(t)
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	f := fakelambda.New(fakelambda.Options{Path: path, Env: []string{"PILLARBOX_ROLE=deliver"},
		Stderr: s.log})
	defer f.Close()
	if _, err := f.Invoke(t.Context(), []byte("{}")); err == nil ||
		!strings.Contains(s.log.String(), "PILLARBOX_SQS_QUEUE_URL is missing: set it to") {
		t.Errorf("%v\n%s", err, s.log)
	}
}
