package main

import (
	"context"
	"crypto/md5"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamotypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"pillarbox"
	"pillarbox/test/standin/fakedynamo"
	"pillarbox/test/standin/fakelambda"
	"pillarbox/test/standin/fakesecrets"
	"pillarbox/test/standin/fakesqs"
)

// binary builds the command once for all tests that run it.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "pillarbox-lambda-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "bootstrap")
	out, err := exec.Command("go", "build", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", path,
		".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if built {
		if path, err := binary(); err == nil {
			_ = os.RemoveAll(filepath.Dir(path)) // a directory for temporary files is cleared anyway
		}
	}
	os.Exit(code)
}

var built bool // by a test that needed it

// store is as much of S3 as the functions use: objects are put and got.
type store struct {
	mu      sync.Mutex
	objects map[string][]byte // by bucket and name
	refuse  int               // status of puts; 0 takes them
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	kept, found := s.objects[r.URL.Path]
	switch {
	case err != nil:
		w.WriteHeader(http.StatusBadRequest)
	case r.Method == http.MethodPut && s.refuse != 0:
		w.WriteHeader(s.refuse)
	case r.Method == http.MethodPut:
		s.objects[r.URL.Path] = body
	case found && r.Header.Get("If-None-Match") == tagOf(kept):
		w.WriteHeader(http.StatusNotModified)
	case r.Method != http.MethodGet:
		w.WriteHeader(http.StatusMethodNotAllowed)
	case !found:
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `<Error><Code>NoSuchKey</Code></Error>`)
	default:
		w.Header().Set("ETag", tagOf(kept))
		_, _ = w.Write(kept)
	}
}

// tagOf is the version of an object.
func tagOf(content []byte) string { return fmt.Sprintf(`"%x"`, md5.Sum(content)) }

// set puts an object there.
func (s *store) set(name string, content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects[name] = content
}

// below returns the objects whose names begin so.
func (s *store) below(prefix string) map[string][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[string][]byte{}
	for name, body := range s.objects {
		if strings.HasPrefix(name, prefix) {
			found[name] = body
		}
	}
	return found
}

// stack is the cloud design with everything of AWS stood in for, and the real binary three times.
type stack struct {
	t       *testing.T
	clock   func(time.Duration) // moves SQS's clock
	queues  *fakesqs.Server
	tables  *fakedynamo.Server
	secrets *fakesecrets.Server
	objects *store

	accept, deliver, deadletter *fakelambda.Function
	events, dead                *fakelambda.Mapping
	log                         *log
}

// log collects what functions write.
type log struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

const (
	maxReceives     = 7
	functionTimeout = 4 * time.Second
)

// newStack starts nothing yet. variables are further ones of every function.
func newStack(t *testing.T, variables ...string) *stack {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	built = true
	var mu sync.Mutex
	var ahead time.Duration
	s := &stack{t: t, log: &log{}, objects: &store{objects: map[string][]byte{}},
		tables: fakedynamo.New(nil), secrets: fakesecrets.New()}
	s.clock = func(by time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		ahead += by
	}
	s.queues = fakesqs.New(fakesqs.Options{Now: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return time.Now().Add(ahead)
	}})
	sqsURL, dynamoURL := s.queues.Start(t), s.tables.Start(t)
	s3 := httptest.NewServer(s.objects)
	t.Cleanup(s3.Close)
	queueURL, deadURL := s.create(sqsURL, dynamoURL)
	env := []string{
		"AWS_ENDPOINT_URL_SQS=" + sqsURL, "AWS_ENDPOINT_URL_DYNAMODB=" + dynamoURL, "AWS_ENDPOINT_URL_S3=" + s3.URL,
		"AWS_ENDPOINT_URL_SECRETS_MANAGER=" + s.secrets.Start(t),
		"PILLARBOX_SQS_QUEUE_URL=" + queueURL, "PILLARBOX_SQS_DEAD_LETTER_QUEUE_URL=" + deadURL, "PILLARBOX_DYNAMODB_TABLE=events",
		"PILLARBOX_DYNAMODB_TIME_INDEX=TimeIndex", "PILLARBOX_DEAD_LETTER_BUCKET=dead", "PILLARBOX_BODIES_BUCKET=large",
		fmt.Sprintf("PILLARBOX_MAX_RECEIVES=%d", maxReceives), "PILLARBOX_MAX_BODY=4000000",
		"PILLARBOX_IDEMPOTENCY_TABLE=keys",
	}
	env = append(env, variables...) // of two, the last one counts
	run := func(role string) *fakelambda.Function {
		f := fakelambda.New(fakelambda.Options{Path: path, Name: "pillarbox-" + role,
			Env: append(slices.Clone(env), "PILLARBOX_ROLE="+role), Timeout: functionTimeout, Stdout: s.log, Stderr: s.log})
		t.Cleanup(func() {
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		})
		return f
	}
	s.accept, s.deliver, s.deadletter = run(roleAccept), run(roleDeliver), run(roleDeadLetter)
	s.events = &fakelambda.Mapping{Source: &fakelambda.HTTPQueue{Endpoint: sqsURL, URL: queueURL},
		Function: s.deliver, BatchSize: 100, Report: true}
	s.dead = &fakelambda.Mapping{Source: &fakelambda.HTTPQueue{Endpoint: sqsURL, URL: deadURL},
		Function: s.deadletter, Report: true}
	return s
}

// create makes the queues and the table as Terraform does.
func (s *stack) create(sqsURL, dynamoURL string) (queueURL, deadURL string) {
	s.t.Helper()
	ctx := context.Background()
	config := aws.Config{Region: "us-east-1",
		Credentials: credentials.NewStaticCredentialsProvider("id", "key", "")}
	queues := sqs.NewFromConfig(config, func(o *sqs.Options) { o.BaseEndpoint = &sqsURL })
	dead, err := queues.CreateQueue(ctx,
		&sqs.CreateQueueInput{QueueName: aws.String("dead"),
			Attributes: map[string]string{"MaximumMessageSize": "1048576", "VisibilityTimeout": "60"}})
	if err != nil {
		s.t.Fatal(err)
	}
	events, err := queues.CreateQueue(ctx,
		&sqs.CreateQueueInput{QueueName: aws.String("events"), Attributes: map[string]string{
			"MaximumMessageSize": "1048576", "VisibilityTimeout": "360",
			"RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead","maxReceiveCount":"%d"}`, maxReceives),
		}})
	if err != nil {
		s.t.Fatal(err)
	}
	text := func(name string) dynamotypes.AttributeDefinition {
		return dynamotypes.AttributeDefinition{AttributeName: &name,
			AttributeType: dynamotypes.ScalarAttributeTypeS}
	}
	key := func(hash, sort string) []dynamotypes.KeySchemaElement {
		return []dynamotypes.KeySchemaElement{{AttributeName: &hash, KeyType: dynamotypes.KeyTypeHash},
			{AttributeName: &sort, KeyType: dynamotypes.KeyTypeRange}}
	}
	tables := dynamodb.NewFromConfig(config, func(o *dynamodb.Options) { o.BaseEndpoint = &dynamoURL })
	_, err = tables.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName: aws.String("events"), BillingMode: dynamotypes.BillingModePayPerRequest, KeySchema: key("Timestamp", "RequestId"),
		AttributeDefinitions: []dynamotypes.AttributeDefinition{text("Timestamp"), text("RequestId"),
			text("TimeBucket"), text("TimeSort")},
		GlobalSecondaryIndexes: []dynamotypes.GlobalSecondaryIndex{{
			IndexName: aws.String("TimeIndex"), KeySchema: key("TimeBucket",
				"TimeSort"), Projection: &dynamotypes.Projection{
				ProjectionType: dynamotypes.ProjectionTypeKeysOnly},
		}},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = tables.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName: aws.String("keys"), BillingMode: dynamotypes.BillingModePayPerRequest,
		KeySchema:            key("Key", "")[:1],
		AttributeDefinitions: []dynamotypes.AttributeDefinition{text("Key")},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return *events.QueueUrl, *dead.QueueUrl
}

// poll takes one batch, and says how many messages of it are gone.
func (s *stack) poll(m *fakelambda.Mapping) fakelambda.Result {
	s.t.Helper()
	result, err := m.Poll(context.Background(), 0)
	if err != nil {
		s.t.Fatal(err)
	}
	return result
}

// stored returns the items of the table by request id.
func (s *stack) stored() map[string]map[string]any {
	s.t.Helper()
	items := map[string]map[string]any{}
	for _, text := range s.tables.Peek("events") {
		var item map[string]map[string]any
		if err := json.Unmarshal(text, &item); err != nil {
			s.t.Fatal(err)
		}
		plain := map[string]any{}
		for name, value := range item {
			for _, v := range value {
				plain[name] = v
			}
		}
		items[fmt.Sprint(plain["RequestId"])] = plain
	}
	return items
}

// letters returns the dead letters in the bucket by request id.
func (s *stack) letters() map[string]*pillarbox.DeadLetter {
	s.t.Helper()
	letters := map[string]*pillarbox.DeadLetter{}
	for name, text := range s.objects.below("/dead/dead-letters/") {
		letter := &pillarbox.DeadLetter{}
		if err := json.Unmarshal(text, letter); err != nil {
			s.t.Fatalf("%s: %v", name, err)
		}
		letters[letter.Event.RequestID] = letter
	}
	return letters
}

// front serves a kind of gateway before the accepting function.
func (s *stack) front(gateway *fakelambda.Gateway) string {
	s.t.Helper()
	gateway.Function = s.accept
	server := httptest.NewServer(gateway)
	s.t.Cleanup(server.Close)
	return server.URL
}

// post sends a body, wants a receipt, and returns the id.
func (s *stack) post(url, contentType string, body []byte) string {
	s.t.Helper()
	status, text := s.send(url, contentType, body)
	var receipt pillarbox.Receipt
	if err := json.Unmarshal(text, &receipt); err != nil || status != http.StatusAccepted ||
		receipt.RequestID == "" || receipt.Status != pillarbox.StateAccepted {
		s.t.Fatalf("answered with %d %s\n%s", status, text, s.log)
	}
	return receipt.RequestID
}

func (s *stack) send(url, contentType string, body []byte) (int, []byte) {
	s.t.Helper()
	response, err := http.Post(url, contentType, strings.NewReader(string(body)))
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response.StatusCode, text
}

// put sends any text to the queue.
func (s *stack) put(text string) error {
	queue := s.events.Source.(*fakelambda.HTTPQueue)
	config := aws.Config{Region: "us-east-1",
		Credentials: credentials.NewStaticCredentialsProvider("id", "key", "")}
	client := sqs.NewFromConfig(config, func(o *sqs.Options) { o.BaseEndpoint = &queue.Endpoint })
	_, err := client.SendMessage(context.Background(),
		&sqs.SendMessageInput{QueueUrl: &queue.URL, MessageBody: &text})
	return err
}

// broken is a function that always fails.
type broken struct{}

func (broken) Invoke(context.Context, []byte) ([]byte, error) {
	return nil, &fakelambda.FunctionError{Type: "Unhandled", Message: "bug"}
}
