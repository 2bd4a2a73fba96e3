package main

import (
	"net/http"
	"strings"
	"testing"

	"pillarbox/test/standin/fakelambda"
	"pillarbox/test/standin/fakexray"
)

// The trace that the stand-in for Lambda sets for every invocation.
const (
	lambdaRoot   = "1-5bef4de7-ad49b0e87f6ef6c87fc2e700"
	lambdaParent = "9a9197af755a6419"
)

// calls checks that there is one subsegment of the role, below Lambda's segment, and returns the
// calls below it, in order of their ends.
func calls(t *testing.T, sent []fakexray.Subsegment, role string) (names []string,
	work fakexray.Subsegment) {
	t.Helper()
	if len(sent) == 0 {
		t.Fatalf("%s sent nothing", role)
	}
	work = sent[len(sent)-1]
	if work.Name != role || work.ParentID != lambdaParent || work.Fault {
		t.Errorf("the last of %s is %s", role, work.Text)
	}
	for _, call := range sent {
		if call.TraceID != lambdaRoot {
			t.Errorf("%s parted the trace: %s", role, call.Text)
		}
		if call.ID == work.ID {
			continue
		}
		if call.ParentID != work.ID || call.Fault || call.Error {
			t.Errorf("a call of %s is %s", role, call.Text)
		}
		names = append(names, call.Name+" "+call.AWS["operation"].(string))
	}
	return names, work
}

// TestTraceIsLambdasOwn: whatever trace a client has, ours goes from the door to the table and to
// the bucket, and the client's is kept with the event.
func TestTraceIsLambdasOwn(t *testing.T) {
	const client = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	daemon := fakexray.New(t)
	s := newStack(t, "AWS_XRAY_DAEMON_ADDRESS="+daemon.Address())
	request, err := http.NewRequest(http.MethodPost, s.front(&fakelambda.Gateway{
		Kind: fakelambda.REST})+"/app", strings.NewReader("the body"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Traceparent", client)
	response, err := http.DefaultClient.Do(request)
	if err != nil || response.StatusCode != http.StatusAccepted {
		t.Fatalf("%v, %v", response, err)
	}
	id := response.Header.Get("X-Request-Id")
	_ = response.Body.Close() // the header says all

	sent := daemon.Take()
	names, work := calls(t, sent, roleAccept)
	if strings.Join(names, ", ") != "SQS GetQueueAttributes, SQS SendMessageBatch" {
		t.Errorf("accept calls %v", names)
	}
	if work.Annotations["request_id"] != id || work.Annotations["client_traceparent"] != client {
		t.Errorf("accept says %v", work.Annotations)
	}
	own := "Root=" + lambdaRoot + ";Parent=" + lambdaParent + ";Sampled=1"
	t.Logf("accept asks for work %v after its start", s.accept.Stats().Startup)
	if queued := s.queues.Peek("events"); len(queued) != 1 || queued[0].Trace != own {
		t.Errorf("the queue has %+v, want the trace %s", queued, own)
	}

	if result := s.poll(s.events); result.Deleted != 1 {
		t.Errorf("the batch: %+v\n%s", result, s.log)
	}
	delivered := daemon.Take()
	names, _ = calls(t, delivered, roleDeliver)
	if strings.Join(names, ", ") != "DynamoDB BatchWriteItem" {
		t.Errorf("deliver calls %v", names)
	}
	if item := s.stored()[id]; item == nil || item["Traceparent"] != client {
		t.Errorf("the event is stored as %v", item)
	}

	if err := s.put("no event"); err != nil {
		t.Fatal(err)
	}
	s.poll(s.events)
	names, _ = calls(t, daemon.Take(), roleDeliver)
	if !strings.Contains(strings.Join(names, ", "), "SQS SendMessageBatch") {
		t.Errorf("deliver calls %v", names)
	}
	if queued := s.queues.Peek("dead"); len(queued) != 1 || queued[0].Trace != own {
		t.Errorf("the queue of dead letters has %+v, want the trace %s", queued, own)
	}
	s.poll(s.dead)
	names, _ = calls(t, daemon.Take(), roleDeadLetter)
	if strings.Join(names, ", ") != "S3 PutObject" {
		t.Errorf("deadletter calls %v", names)
	}
	for _, call := range append(sent, delivered...) {
		if strings.Contains(call.Text, "the body") {
			t.Errorf("a body is in the trace: %s", call.Text)
		}
	}
}

// TestBadDaemonIsNoReasonNotToStart.
func TestBadDaemonIsNoReasonNotToStart(t *testing.T) {
	s := newStack(t, "AWS_XRAY_DAEMON_ADDRESS=no address")
	s.post(s.front(&fakelambda.Gateway{Kind: fakelambda.REST})+"/app", "text/plain", []byte("x"))
	if !strings.Contains(s.log.String(), "traces lack") {
		t.Errorf("the log says nothing of it: %s", s.log)
	}
}
