package aws_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"pillarbox"
	"pillarbox/internal/engine/dynamodb"
	"pillarbox/internal/engine/s3"
	"pillarbox/internal/engine/sqs"
	"pillarbox/test/standin/awsjson"
	"pillarbox/test/standin/fakedynamo"
	"pillarbox/test/standin/fakelambda"
	"pillarbox/test/standin/fakesqs"
)

const (
	timeIndex = "TimeIndex"
	receives  = 20 // maxReceiveCount
)

// cloud is the whole AWS path: the real functions, a real S3 server, and stand-ins for the rest; or
// moto for all of it.
type cloud struct {
	t      *testing.T
	clock  *atomic.Int64      // nanoseconds that SQS's clock is ahead
	sqs    *fakesqs.Server    // nil with moto
	dynamo *fakedynamo.Server // nil with moto
	names  string             // what stands before the names of queues and of the table
	bucket string
	table  string
	url    string // of the front

	queueURL, deadURL    string
	sqsClient            *awssqs.Client
	dynamoClient         *awsdynamodb.Client
	endpoints            []string // as variables of the environment
	deliver, deadletter  *fakelambda.Mapping
	accept, deliverer    *fakelambda.Function
	deadletterer, broken *fakelambda.Function
	log                  *lockedBuffer
}

// lockedBuffer collects what functions write.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(text []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(text)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// binaries are built once, with what the deployed ones are built with.
var binaries = sync.OnceValues(func() (dir string, err error) {
	dir, err = os.MkdirTemp("", "pillarbox-binaries-")
	if err != nil {
		return "", err
	}
	for _, build := range [][]string{
		{"-tags", "lambda.norpc", "-o", filepath.Join(dir, "bootstrap"),
			"./cmd/pillarbox-lambda"}, {"-o", filepath.Join(dir, "pillarbox"), "./cmd/pillarbox"},
	} {
		command := exec.Command("go", append([]string{"build", "-trimpath"}, build...)...)
		command.Dir = sourceDir
		if out, err := command.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%w: %s", err, out)
		}
	}
	return dir, nil
})

// sourceDir is the root of the project. The gateway changes the working directory, so it is found
// before.
var sourceDir = func() string {
	dir, err := filepath.Abs("../..")
	if err != nil {
		panic(err)
	}
	return dir
}()

func newCloud(t *testing.T) *cloud {
	t.Helper()
	dir, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	c := &cloud{t: t, clock: &atomic.Int64{}, log: &lockedBuffer{}, bucket: newBucket(t)}
	sqsURL, dynamoURL := moto, moto
	if moto == "" {
		c.sqs = fakesqs.New(fakesqs.Options{
			Now: func() time.Time { return time.Now().Add(time.Duration(c.clock.Load())) }})
		c.dynamo = fakedynamo.New(nil)
		sqsURL, dynamoURL = c.sqs.Start(t), c.dynamo.Start(t)
	} else {
		c.names = c.bucket + "-" // moto is one account for all tests
	}
	c.table = c.names + "events"
	cfg := aws.Config{Region: region, HTTPClient: awsjson.Client(t),
		Credentials: credentials.NewStaticCredentialsProvider(accessKey, secretKey, "")}
	c.sqsClient = awssqs.NewFromConfig(cfg, func(o *awssqs.Options) { o.BaseEndpoint = &sqsURL })
	c.dynamoClient = awsdynamodb.NewFromConfig(cfg,
		func(o *awsdynamodb.Options) { o.BaseEndpoint = &dynamoURL })
	c.createTable()
	c.deadURL = c.createQueue("dead-letters",
		map[string]string{"VisibilityTimeout": "360", "MessageRetentionPeriod": "1209600"})
	c.queueURL = c.createQueue("events", map[string]string{
		"VisibilityTimeout": "360", "MessageRetentionPeriod": "1209600", "MaximumMessageSize": "1048576",
		"RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, c.arn(c.deadURL), receives),
	})
	c.endpoints = []string{
		"AWS_ENDPOINT_URL_SQS=" + sqsURL, "AWS_ENDPOINT_URL_DYNAMODB=" + dynamoURL, "AWS_ENDPOINT_URL_S3=" + server.url,
		"SSL_CERT_FILE=" + server.caFile, "AWS_CA_BUNDLE=" + server.caFile, "AWS_ACCESS_KEY_ID=" + accessKey, "AWS_SECRET_ACCESS_KEY=" + secretKey, "AWS_SESSION_TOKEN=",
		"AWS_REGION=" + region, "AWS_EC2_METADATA_DISABLED=true",
	}
	binary := filepath.Join(dir, "bootstrap")
	c.accept = c.function(binary, "accept", "PILLARBOX_SOURCE_PATH=/app",
		"PILLARBOX_SQS_QUEUE_URL="+c.queueURL)
	c.deliverer = c.function(binary, "deliver",
		"PILLARBOX_SQS_QUEUE_URL="+c.queueURL, "PILLARBOX_SQS_DEAD_LETTER_QUEUE_URL="+c.deadURL, "PILLARBOX_DYNAMODB_TABLE="+c.table,
		"PILLARBOX_DYNAMODB_TIME_INDEX="+timeIndex, "PILLARBOX_MAX_RECEIVES="+fmt.Sprint(receives))
	c.deadletterer = c.function(binary, "deadletter", "PILLARBOX_SQS_DEAD_LETTER_QUEUE_URL="+c.deadURL,
		"PILLARBOX_DEAD_LETTER_BUCKET="+c.bucket, "PILLARBOX_DEAD_LETTER_PREFIX=dead-letters/")
	c.broken = c.function(binary, "nonsense")
	c.deliver = &fakelambda.Mapping{Source: &fakelambda.HTTPQueue{Endpoint: sqsURL, URL: c.queueURL},
		Function: c.deliverer, BatchSize: 100, Report: true}
	c.deadletter = &fakelambda.Mapping{
		Source: &fakelambda.HTTPQueue{Endpoint: sqsURL,
			URL: c.deadURL}, Function: c.deadletterer, Report: true}
	front := httptest.NewServer(&fakelambda.Gateway{Kind: fakelambda.REST, Function: c.accept})
	t.Cleanup(front.Close)
	c.url = front.URL + "/live/app"
	return c
}

func (c *cloud) function(binary, role string, variables ...string) *fakelambda.Function {
	function := fakelambda.New(fakelambda.Options{
		Path: binary, Name: "pillarbox-" + role, Timeout: 20 * time.Second, Stdout: c.log, Stderr: c.log,
		Env: append(append([]string{
			"PILLARBOX_ROLE=" + role, "PILLARBOX_SOURCE=app", "PILLARBOX_DESTINATION=events", "PILLARBOX_LOG_FORMAT=json",
			"PILLARBOX_BODIES_BUCKET=" + c.bucket, "PILLARBOX_BODIES_PREFIX=bodies/",
		}, c.endpoints...), variables...),
	})
	c.t.Cleanup(func() { _ = function.Close() })
	return function
}

func (c *cloud) createQueue(name string, attributes map[string]string) string {
	c.t.Helper()
	out, err := c.sqsClient.CreateQueue(c.t.Context(),
		&awssqs.CreateQueueInput{QueueName: aws.String(c.names + name), Attributes: attributes})
	if err != nil {
		c.t.Fatal(err)
	}
	return aws.ToString(out.QueueUrl)
}

// arn asks for the ARN of a queue, which names the account.
func (c *cloud) arn(url string) string {
	c.t.Helper()
	out, err := c.sqsClient.GetQueueAttributes(c.t.Context(), &awssqs.GetQueueAttributesInput{
		QueueUrl: &url, AttributeNames: []sqstypes.QueueAttributeName{"QueueArn"}})
	if err != nil {
		c.t.Fatal(err)
	}
	return out.Attributes["QueueArn"]
}

// waiting is how many messages a queue has, whoever has them in hand.
func (c *cloud) waiting(name string) int {
	c.t.Helper()
	if c.sqs != nil {
		return len(c.sqs.Peek(name))
	}
	url := map[string]string{"events": c.queueURL, "dead-letters": c.deadURL}[name]
	out, err := c.sqsClient.GetQueueAttributes(c.t.Context(), &awssqs.GetQueueAttributesInput{
		QueueUrl: &url, AttributeNames: []sqstypes.QueueAttributeName{"All"}})
	if err != nil {
		c.t.Fatal(err)
	}
	n := 0
	for _, state := range []string{"", "NotVisible", "Delayed"} {
		of, err := strconv.Atoi(out.Attributes["ApproximateNumberOfMessages"+state])
		if err != nil {
			c.t.Fatal(err)
		}
		n += of
	}
	return n
}

// createTable makes the table as the Terraform module does.
func (c *cloud) createTable() {
	c.t.Helper()
	var defined []types.AttributeDefinition
	for _, name := range []string{"Timestamp", "RequestId", "TimeBucket", "TimeSort"} {
		defined = append(defined, types.AttributeDefinition{AttributeName: aws.String(name),
			AttributeType: types.ScalarAttributeTypeS})
	}
	key := func(hash, sort string) []types.KeySchemaElement {
		return []types.KeySchemaElement{{AttributeName: &hash, KeyType: types.KeyTypeHash},
			{AttributeName: &sort, KeyType: types.KeyTypeRange}}
	}
	_, err := c.dynamoClient.CreateTable(c.t.Context(), &awsdynamodb.CreateTableInput{
		TableName: &c.table, BillingMode: types.BillingModePayPerRequest, AttributeDefinitions: defined, KeySchema: key("Timestamp", "RequestId"),
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{{
			IndexName: aws.String(timeIndex), KeySchema: key("TimeBucket",
				"TimeSort"), Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly},
		}},
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// poll has a mapping take one batch to its function.
func (c *cloud) poll(mapping *fakelambda.Mapping) fakelambda.Result {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	result, err := mapping.Poll(ctx, 0)
	if err != nil {
		c.t.Fatalf("poll: %v\n%s", err, c.log)
	}
	return result
}

// drain polls, and lets the time pass that messages are hidden for, until the queue is empty.
func (c *cloud) drain(mapping *fakelambda.Mapping, name string) {
	c.t.Helper()
	for range 10_000 {
		if c.waiting(name) == 0 {
			return
		}
		if c.poll(mapping).Received == 0 {
			c.pass(10 * time.Minute)
		}
	}
	c.t.Fatalf("queue %s is not empty:\n%s", name, c.log)
}

func (c *cloud) pass(wait time.Duration) {
	c.t.Helper()
	if c.sqs == nil {
		c.t.Fatalf("messages are hidden, and moto's clock can't be moved\n%s", c.log)
	}
	c.clock.Add(int64(wait))
}

func (c *cloud) bodies() *s3.Bodies { return s3.NewBodies(gatewayClient(), c.bucket, "bodies") }

func (c *cloud) openQueue() *sqs.Queue {
	c.t.Helper()
	queue, err := sqs.Open(c.sqsClient, c.queueURL,
		sqs.Options{DeadLetterURL: c.deadURL, Bodies: c.bodies()})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = queue.Close() })
	return queue
}

func (c *cloud) openStore() pillarbox.Sink {
	c.t.Helper()
	store, err := dynamodb.Open(c.t.Context(), c.dynamoClient, c.table,
		dynamodb.Options{Index: timeIndex, Bodies: c.bodies()})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = store.Close() })
	return store
}

// stored reads the whole table, in order.
func (c *cloud) stored() []*pillarbox.Event {
	c.t.Helper()
	return listAll(c.t, c.openStore())
}

func listAll(t *testing.T, store pillarbox.Sink) (all []*pillarbox.Event) {
	t.Helper()
	filter := pillarbox.EventFilter{Since: 1, Limit: pillarbox.MaxListLimit}
	for {
		page, err := store.List(t.Context(), filter)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page...)
		if len(page) < filter.Limit {
			return all
		}
		filter.After = page[len(page)-1].Key()
	}
}

// config writes the configuration of a server or command on this cloud.
func (c *cloud) config() string {
	c.t.Helper()
	file := filepath.Join(c.t.TempDir(), "aws.yaml")
	text := fmt.Sprintf(`
queue: { url: "sqs:%s?region=%s", max_age: 10d }
sources: { app: { path: /app } }
destinations: { events: { url: "dynamodb://%s/%s?index=%s", sources: [app] } }
dead_letters: { url: "s3://%s/dead-letters?path_style=true" }
bodies: { url: "s3://%s/bodies?path_style=true" }
admin: { listen: "127.0.0.1:0" }
listen: "127.0.0.1:0"
`, c.queueURL, region, region, c.table, timeIndex, c.bucket, c.bucket)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return file
}

// command runs the real command line on this cloud and returns its output and its exit code.
func (c *cloud) command(args ...string) (string, int) {
	c.t.Helper()
	dir, err := binaries()
	if err != nil {
		c.t.Fatal(err)
	}
	command := exec.CommandContext(c.t.Context(), filepath.Join(dir, "pillarbox"), args...)
	command.Dir = c.t.TempDir()
	command.Env = append(os.Environ(), c.endpoints...)
	var out, talk strings.Builder
	command.Stdout, command.Stderr = &out, &talk
	err = command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		c.t.Fatal(err)
	}
	c.t.Logf("$ pillarbox %s\n%s%s", strings.Join(args, " "), talk.String(), out.String())
	return out.String() + talk.String(), command.ProcessState.ExitCode()
}

// serve runs a server on this cloud until ctx ends.
func (c *cloud) serve(ctx context.Context, roles string) <-chan error {
	c.t.Helper()
	dir, err := binaries()
	if err != nil {
		c.t.Fatal(err)
	}
	command := exec.CommandContext(ctx, filepath.Join(dir, "pillarbox"), "serve", "--roles", roles,
		"--config", c.config())
	command.Dir, command.Env = c.t.TempDir(), append(os.Environ(), c.endpoints...)
	command.Stdout, command.Stderr = c.log, c.log
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	if err := command.Start(); err != nil {
		c.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		err := command.Wait()
		if errors.Is(err, context.Canceled) && command.ProcessState.Success() {
			err = nil
		}
		ended <- err
	}()
	return ended
}
