package aws_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"pillarbox"
	"pillarbox/internal/batch"
	"pillarbox/internal/deliver"
	"pillarbox/internal/destination"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/files"
	"pillarbox/internal/engine/seglog"
	"pillarbox/internal/engine/sqlite"
	"pillarbox/internal/engine/sqs"
	"pillarbox/internal/vfs"
	"pillarbox/test/standin/awsjson"
)

func (c *cloud) post(body []byte, contentType string) pillarbox.Receipt {
	c.t.Helper()
	response, err := http.Post(c.url, contentType, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	var receipt pillarbox.Receipt
	if err := json.Unmarshal(text, &receipt); err != nil ||
		response.StatusCode != http.StatusAccepted {
		c.t.Fatalf("POST: %d %s\n%s", response.StatusCode, text, c.log)
	}
	return receipt
}

// TestPostIsStored: POST, SQS, table, byte for byte, whatever the size; and the command line reads
// it there.
func TestPostIsStored(t *testing.T) {
	c := newCloud(t)
	bodies := [][]byte{
		[]byte(`{"hello":"world"}`), {}, []byte("\x00\xff\xfe"), bytes.Repeat([]byte("grüße "), 1<<16), // 448 KiB: over 400 KB of an item
		bytes.Repeat([]byte{0xff, 0x00}, 1<<19), // 1 MiB: over a message once it is base64
	}
	wanted := map[string][]byte{}
	for _, body := range bodies {
		wanted[c.post(body, "application/octet-stream").RequestID] = body
	}
	c.drain(c.deliver, "events")
	stored := c.stored()
	if len(stored) != len(bodies) {
		t.Fatalf("%d events are stored, want %d\n%s", len(stored), len(bodies), c.log)
	}
	for _, event := range stored {
		if body, known := wanted[event.RequestID]; !known || !bytes.Equal(body, event.Body) ||
			event.Path != "/app" || event.ContentType != "application/octet-stream" {
			t.Errorf("stored %s %s with %d bytes", event.RequestID, event.Path, len(event.Body))
		}
	}
	config := c.config()
	id := stored[0].RequestID
	for _, test := range []struct {
		want string
		args []string
	}{
		{id, []string{"events", "--config", config}},
		{`"state": "stored"`, []string{"explain", id, "--config", config, "-o", "json"}},
		{"balanced", []string{"audit", "--config", config}},
		{"no server runs here", []string{"status", "--config", config}},
	} {
		if out, exit := c.command(test.args...); exit != 0 || !strings.Contains(out, test.want) {
			t.Errorf("%v: exit %d, without %q", test.args, exit, test.want)
		}
	}
}

// TestPoisonIsOneFile: an event that its function breaks on is one object in S3 after 20 receives,
// and is replayed from there once the function is mended.
func TestPoisonIsOneFile(t *testing.T) {
	needsStandIns(t)
	c := newCloud(t)
	receipt := c.post([]byte("a drop of poison"), "text/plain")
	mended := c.deliver.Function
	c.deliver.Function = c.broken // it ends at its start: each batch comes back
	for n := range receives {
		if got := c.poll(c.deliver); got.Received != 1 || got.Failure == nil {
			t.Fatalf("receive %d: %+v", n+1, got)
		}
		c.pass(7 * time.Minute)
	}
	if got := c.poll(c.deliver); got.Received != 0 {
		t.Fatalf("it was received once more: %+v", got)
	}
	c.drain(c.deadletter, "dead-letters")
	objects := objectsOf(t, c.bucket)
	if len(objects) != 1 {
		t.Fatalf("%d objects, want one file for one event\n%s", len(objects), c.log)
	}
	for name, content := range objects {
		var letter pillarbox.DeadLetter
		if err := json.Unmarshal(content, &letter); err != nil ||
			letter.Event.RequestID != receipt.RequestID ||
			string(letter.Event.Body) != "a drop of poison" || letter.Reason == "" {
			t.Errorf("%s is %s, %v", name, content, err)
		}
		if !strings.HasPrefix(name, "dead-letters/") || !strings.HasSuffix(name, ".json") {
			t.Errorf("name %s", name)
		}
	}
	c.deliver.Function = mended
	config := c.config()
	if out, exit := c.command("dead", "list", "--config", config); exit != 0 ||
		!strings.Contains(out, receipt.RequestID) {
		t.Error("it is not listed")
	}
	if out, exit := c.command("dead", "show", receipt.RequestID, "--config", config); exit != 0 ||
		!strings.Contains(out, "a drop of poison") {
		t.Error("it is not shown")
	}
	if out, exit := c.command("dead", "replay", "--all", "--dry-run", "--config",
		config); exit != 0 || !strings.Contains(out, "1 dead letters would be replayed") {
		t.Error("the dry run does not count it")
	}
	if out, exit := c.command("dead", "replay", "--all", "--through-queue", "--config",
		config); exit != 0 || !strings.Contains(out, "done: 1 of 1 replayed") {
		t.Error("it was not put back")
	}
	if len(c.stored()) != 0 || c.waiting("events") != 1 {
		t.Error("it did not go through the queue")
	}
	c.pass(sqs.RequeueDelay)
	c.drain(c.deliver, "events")
	if stored := c.stored(); len(stored) != 1 || stored[0].RequestID != receipt.RequestID ||
		stored[0].Timestamp != receipt.Timestamp {
		t.Errorf("stored %+v", stored)
	}
	if out, exit := c.command("dead", "list", "--resolved", "--config", config); exit != 0 ||
		!strings.Contains(out, "replayed") {
		t.Error("the letter is not marked")
	}
}

// TestRefusedForGood: what the table never takes is a dead letter at once, its neighbours are
// stored, and a replay that is refused again says so.
func TestRefusedForGood(t *testing.T) {
	c := newCloud(t)
	events := enginetest.Events(30, 1)
	events[13].RequestID = strings.Repeat("x", 1100) // a sort key may have 1,024 bytes
	if err := c.openQueue().Append(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	c.drain(c.deliver, "events")
	c.drain(c.deadletter, "dead-letters")
	if stored := c.stored(); len(stored) != 29 {
		t.Errorf("%d are stored, want 29", len(stored))
	}
	if objects := objectsOf(t, c.bucket); len(objects) != 1 {
		t.Errorf("%d dead letters, want 1", len(objects))
	}
	config := c.config()
	if out, exit := c.command("dead", "replay", "--all", "--config", config); exit != 1 ||
		!strings.Contains(out, "1 refused again") {
		t.Errorf("replay: exit %d", exit)
	}
	if out, exit := c.command("audit", "--config", config); exit != 0 ||
		!strings.Contains(out, "does not count") {
		t.Errorf("audit: exit %d", exit)
	}
}

// TestOutageMakesNoDeadLetter: for days the table throttles, hangs up and answers with errors, and
// everything is stored when it is back.
func TestOutageMakesNoDeadLetter(t *testing.T) {
	needsStandIns(t)
	c := newCloud(t)
	events := enginetest.Events(50, 2)
	now := pillarbox.TimestampOf(time.Now())
	for i := range events {
		events[i].Timestamp = now + pillarbox.Timestamp(i)
	}
	if err := c.openQueue().Append(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	c.dynamo.Refuse(awsjson.ErrInternal, "BatchWriteItem")
	for range 4 * receives { // far more receives than an event has
		c.poll(c.deliver)
		c.pass(12*time.Hour + time.Minute)
		if len(c.sqs.Peek("dead-letters")) > 0 {
			t.Fatal("an outage made a dead letter")
		}
	}
	c.dynamo.Allow()
	c.drain(c.deliver, "events")
	if stored := c.stored(); len(stored) != len(events) {
		t.Errorf("%d are stored, want %d\n%s", len(stored), len(events), c.log)
	}
	if objects := objectsOf(t, c.bucket); len(objects) != 0 {
		t.Errorf("%d dead letters", len(objects))
	}
}

// TestServerDeliversBesideTheFunction, or instead of it, from the same queue into the same table.
// What others have put there is delivered as well, whatever its source is called.
func TestServerDeliversBesideTheFunction(t *testing.T) {
	c := newCloud(t)
	events := enginetest.Events(200, 3)
	if err := c.openQueue().Append(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := c.serve(ctx, "deliver,admin")
	for deadline := time.Now().Add(30 * time.Second); c.waiting("events") > 0 &&
		time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond) // another process works
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("serve: %v", err)
	}
	sameEvents(t, c.stored(), events)
}

// TestServerAcceptsIntoTheSameQueue: a server in front of SQS promises what the function does,
// whatever the body.
func TestServerAcceptsIntoTheSameQueue(t *testing.T) {
	c := newCloud(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := c.serve(ctx, "accept,deliver,admin")
	address := regexp.MustCompile(`"msg":"ready to accept".*"addr":"([^"]+)"`)
	for deadline := time.Now().Add(10 * time.Second); c.url == ""; {
		if found := address.FindStringSubmatch(c.log.String()); found != nil {
			c.url = found[1]
		}
		if time.Now().After(deadline) {
			t.Fatalf("the server does not listen:\n%s", c.log)
		}
		time.Sleep(10 * time.Millisecond) // another process starts
	}
	wanted := map[string][]byte{}
	for i := range 60 {
		body := bytes.Repeat([]byte{byte(i), 0xff, 'x'}, 1+i*i*100) // up to 1 MiB: some are claimed
		wanted[c.post(body, "application/octet-stream").RequestID] = body
	}
	for deadline := time.Now().Add(30 * time.Second); c.waiting("events") > 0 &&
		time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond) // another process works
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("serve: %v", err)
	}
	stored := c.stored()
	if len(stored) != len(wanted) {
		t.Fatalf("%d events are stored, want %d\n%s", len(stored), len(wanted), c.log)
	}
	for _, event := range stored {
		if body, known := wanted[event.RequestID]; !known || !bytes.Equal(body, event.Body) {
			t.Errorf("stored %s with %d bytes", event.RequestID, len(event.Body))
		}
	}
}

// TestBothWaysEndInTheSameRecords: 10,000 events through the embedded engine, and through SQS, the
// function and DynamoDB with everything going wrong that may: lost answers, throttling, unprocessed
// items, duplicates, crashes.
func TestBothWaysEndInTheSameRecords(t *testing.T) {
	needsStandIns(t)
	const n, seed = 10_000, 20261125
	t.Logf("seed %d", seed)
	events := enginetest.Events(n, seed)
	embedded := throughTheEmbeddedEngine(t, events)
	c := newCloud(t)
	c.sqs.Duplicate(500)
	queue := c.openQueue()
	for some := range slices.Chunk(events, 500) {
		if err := queue.Append(t.Context(), some); err != nil {
			t.Fatal(err)
		}
	}
	random := rand.New(rand.NewPCG(seed, 0))
	batches := 0
	for len(c.sqs.Peek("events")) > 0 {
		switch random.IntN(8) {
		case 0:
			c.dynamo.LoseAnswers(1, "BatchWriteItem")
		case 1:
			c.dynamo.Throttle(1+random.IntN(4), "BatchWriteItem")
		case 2:
			c.dynamo.Trickle("BatchWriteItem", random.IntN(25), 1+random.IntN(3))
		case 3:
			c.dynamo.HangUp(1, "BatchWriteItem")
		case 4:
			c.sqs.Throttle(1, "ChangeMessageVisibilityBatch")
		case 5: // written, and the process ends before Lambda deletes anything
			crash := *c.deliver
			crash.Function = crashing{c.deliver.Function}
			c.poll(&crash)
		}
		if c.poll(c.deliver).Received == 0 {
			c.pass(10 * time.Minute)
		}
		batches++
	}
	if batches < n/100 {
		t.Errorf("only %d batches ran", batches)
	}
	if dead := c.sqs.Peek("dead-letters"); len(dead) != 0 {
		t.Fatalf("%d dead letters, the first %s", len(dead), dead[0].Body)
	}
	cloud := c.stored()
	sameEvents(t, embedded, events)
	sameEvents(t, cloud, embedded)
}

// crashing works, and is gone before it has answered.
type crashing struct {
	function interface {
		Invoke(context.Context, []byte) ([]byte, error)
	}
}

func (f crashing) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	if _, err := f.function.Invoke(ctx, payload); err != nil {
		return nil, err
	}
	return nil, io.ErrUnexpectedEOF
}

func sameEvents(t *testing.T, got, want []*pillarbox.Event) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d events, want %d", len(got), len(want))
	}
	for i := range got {
		if diff := enginetest.Diff(got[i], want[i]); diff != "" {
			t.Fatalf("event %d: %s", i, diff)
		}
	}
}

// throughTheEmbeddedEngine delivers from the log to SQLite and returns what is stored.
func throughTheEmbeddedEngine(t *testing.T, events []*pillarbox.Event) []*pillarbox.Event {
	t.Helper()
	disk, err := vfs.OpenDisk(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	queue, err := seglog.Open(disk, "queue", seglog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer queue.Close()
	store, err := sqlite.Open(t.Context(), filepath.Join(disk.Dir(), "events.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	letters, err := files.Open(disk, "dead-letters", files.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer letters.Close()
	if _, err := queue.Account("events"); err != nil {
		t.Fatal(err)
	}
	if err := queue.Append(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	loop := deliver.NewLoop(deliver.Options{
		Destination: destination.New(destination.Settings{Name: "events",
			Batch: batch.Limits{MaxEvents: 1000}}), Queue: queue, Sink: store, Letters: letters,
	})
	ended := make(chan error, 1)
	go func() { ended <- loop.Run(t.Context()) }()
	for {
		account, err := queue.Account("events")
		if err != nil {
			t.Fatal(err)
		}
		if account.Pending == 0 {
			break
		}
		time.Sleep(5 * time.Millisecond) // the loop works
	}
	loop.Drain()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	return listAll(t, store)
}

// TestShortestMessageOfTheReference is delivered by the function as well.
func TestShortestMessageOfTheReference(t *testing.T) {
	c := newCloud(t)
	_, err := c.sqsClient.SendMessage(t.Context(), &awssqs.SendMessageInput{
		QueueUrl: &c.queueURL, MessageBody: aws.String(`{"timestamp":"2026-11-23T14:12:00.123456Z","request_id":"c6af9ac6-7b61-11e6-9a41-93e8deadbeef"}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	c.drain(c.deliver, "events")
	if stored := c.stored(); len(stored) != 1 ||
		stored[0].RequestID != "c6af9ac6-7b61-11e6-9a41-93e8deadbeef" {
		t.Errorf("stored %+v\n%s", stored, c.log)
	}
}
