package dynamodb_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"pillarbox"
	"pillarbox/internal/engine/dynamodb"
	"pillarbox/test/standin/awsjson"
	"pillarbox/test/standin/fakedynamo"
)

const (
	tableName = "events"
	indexName = "TimeIndex"
)

// bench is a table in a DynamoDB of its own, and what is needed to open stores of it.
type bench struct {
	server  *fakedynamo.Server
	client  *awsdynamodb.Client
	bodies  *bodies
	options dynamodb.Options
}

// newBench makes a table; projection is that of the index, and empty for none.
func newBench(t testing.TB, projection types.ProjectionType) *bench {
	t.Helper()
	server := fakedynamo.New(nil)
	b := &bench{server: server, client: newClient(t, server.Start(t)), bodies: newBodies()}
	b.options = dynamodb.Options{Shards: 2, Bodies: b.bodies, Now: ticking()}
	if projection != "" {
		b.options.Index = indexName
	}
	createTable(t, b.client, tableName, projection)
	return b
}

func newClient(t testing.TB, url string) *awsdynamodb.Client {
	return awsdynamodb.New(awsdynamodb.Options{
		BaseEndpoint: &url, Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider(
			"test", "test", ""),
		Retryer: aws.NopRetryer{}, HTTPClient: awsjson.Client(t), // so that reads show every error; writes bring their own
	})
}

// ticking returns a clock that stands a minute behind the first of enginetest.Events, and goes on
// by a microsecond each time.
func ticking() func() time.Time {
	at := atomic.Int64{}
	at.Store(time.Date(2026, 11, 23, 14, 13, 0, 0, time.UTC).UnixMicro())
	return func() time.Time { return time.UnixMicro(at.Add(1)) }
}

func createTable(t testing.TB, client *awsdynamodb.Client, name string,
	projection types.ProjectionType) {
	t.Helper()
	in := &awsdynamodb.CreateTableInput{
		TableName: &name, BillingMode: types.BillingModePayPerRequest, KeySchema: schema("Timestamp",
			"RequestId"),
		AttributeDefinitions: define("Timestamp", "RequestId"),
	}
	if projection != "" {
		in.AttributeDefinitions = define("Timestamp", "RequestId", "TimeBucket", "TimeSort")
		in.GlobalSecondaryIndexes = []types.GlobalSecondaryIndex{{
			IndexName: aws.String(indexName), KeySchema: schema("TimeBucket",
				"TimeSort"), Projection: &types.Projection{ProjectionType: projection},
		}}
	}
	if _, err := client.CreateTable(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

func schema(hash, sort string) []types.KeySchemaElement {
	return []types.KeySchemaElement{{AttributeName: &hash, KeyType: types.KeyTypeHash},
		{AttributeName: &sort, KeyType: types.KeyTypeRange}}
}

func define(names ...string) []types.AttributeDefinition {
	var attributes []types.AttributeDefinition
	for _, name := range names {
		attributes = append(attributes, types.AttributeDefinition{AttributeName: &name,
			AttributeType: types.ScalarAttributeTypeS})
	}
	return attributes
}

func (b *bench) open(t testing.TB) *dynamodb.Store {
	t.Helper()
	store, err := dynamodb.Open(t.Context(), b.client, tableName, b.options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// bodies is a pillarbox.Bodies in memory.
type bodies struct {
	mu   sync.Mutex
	kept map[string][]byte // guarded by mu
	err  error             // of every Put; guarded by mu
}

func newBodies() *bodies { return &bodies{kept: map[string][]byte{}} }

func (b *bodies) Put(ctx context.Context, key pillarbox.Key, body []byte) (pillarbox.Claim, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return pillarbox.Claim{}, b.err
	}
	claim := pillarbox.NewClaim(fmt.Sprintf("bodies/%s/%s", key.Timestamp, key.RequestID), body)
	b.kept[claim.Key] = slices.Clone(body)
	return claim, ctx.Err()
}

func (b *bodies) Get(ctx context.Context, claim pillarbox.Claim) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	body, ok := b.kept[claim.Key]
	if !ok {
		return nil, fmt.Errorf("body %s: %w", claim.Key, pillarbox.ErrNotFound)
	}
	return slices.Clone(body), ctx.Err()
}

func (b *bodies) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

func (b *bodies) keys() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Sorted(maps.Keys(b.kept))
}
