package fakedynamo_test

import (
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"pillarbox/test/standin/awsjson"
	"pillarbox/test/standin/fakedynamo"
)

type attributes = map[string]types.AttributeValue

// bench is a stand-in with a client and a table with the key (At, ID) and two indexes by (Bucket,
// Sort).
type bench struct {
	*testing.T
	server *fakedynamo.Server
	client *dynamodb.Client
	table  *string
}

func start(t *testing.T) *bench {
	b := &bench{T: t, server: fakedynamo.New(nil), table: aws.String("events")}
	url := b.server.Start(t)
	b.client = dynamodb.New(dynamodb.Options{
		BaseEndpoint: &url, Region: "us-east-1", Retryer: aws.NopRetryer{}, HTTPClient: awsjson.Client(t),
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
	b.must(b.create())
	return b
}

func (b *bench) create() error {
	define := func(name string) types.AttributeDefinition {
		return types.AttributeDefinition{AttributeName: &name, AttributeType: types.ScalarAttributeTypeS}
	}
	schema := func(hash, sort string) []types.KeySchemaElement {
		return []types.KeySchemaElement{{AttributeName: &hash, KeyType: types.KeyTypeHash},
			{AttributeName: &sort, KeyType: types.KeyTypeRange}}
	}
	index := func(name string, projection types.ProjectionType) types.GlobalSecondaryIndex {
		return types.GlobalSecondaryIndex{IndexName: &name, KeySchema: schema("Bucket", "Sort"),
			Projection: &types.Projection{ProjectionType: projection}}
	}
	_, err := b.client.CreateTable(b.Context(), &dynamodb.CreateTableInput{
		TableName: b.table, BillingMode: types.BillingModePayPerRequest, KeySchema: schema("At", "ID"),
		AttributeDefinitions: []types.AttributeDefinition{define("At"), define("ID"), define("Bucket"),
			define("Sort")},
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{index("keys", types.ProjectionTypeKeysOnly),
			index("everything", types.ProjectionTypeAll)},
		SSESpecification: &types.SSESpecification{Enabled: aws.Bool(true),
			SSEType: types.SSETypeKms},
	})
	return err
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) wantCode(err error, code string) {
	b.Helper()
	var known smithy.APIError
	if !errors.As(err, &known) || known.ErrorCode() != code {
		b.Errorf("got %v, want %s", err, code)
	}
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func keyOf(at, id string) attributes { return attributes{"At": text(at), "ID": text(id)} }

func with(a attributes, name string, v types.AttributeValue) attributes {
	a[name] = v
	return a
}

func (b *bench) put(a attributes) error {
	_, err := b.client.PutItem(b.Context(), &dynamodb.PutItemInput{TableName: b.table, Item: a})
	return err
}

func (b *bench) get(at, id string, consistent bool) attributes {
	b.Helper()
	out, err := b.client.GetItem(b.Context(),
		&dynamodb.GetItemInput{TableName: b.table, Key: keyOf(at, id), ConsistentRead: &consistent})
	b.must(err)
	return out.Item
}

func puts(items ...attributes) []types.WriteRequest {
	var writes []types.WriteRequest
	for _, a := range items {
		writes = append(writes, types.WriteRequest{PutRequest: &types.PutRequest{Item: a}})
	}
	return writes
}

func (b *bench) write(writes []types.WriteRequest) (*dynamodb.BatchWriteItemOutput, error) {
	return b.client.BatchWriteItem(b.Context(),
		&dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{*b.table: writes}})
}

// fill puts n items into each of the hash keys.
func (b *bench) fill(n int, hashes ...string) {
	b.Helper()
	for _, hash := range hashes {
		for i := range n {
			id := string([]byte{'0' + byte(i/10), '0' + byte(i%10)})
			b.must(b.put(attributes{"At": text(hash), "ID": text(id), "Bucket": text("b" + id[1:]),
				"Sort": text(hash + id), "Colour": text(id[:1])}))
		}
	}
}

func (b *bench) query(in dynamodb.QueryInput) (ids []string, out *dynamodb.QueryOutput, err error) {
	in.TableName = b.table
	if out, err = b.client.Query(b.Context(), &in); err != nil {
		return nil, nil, err
	}
	for _, a := range out.Items {
		ids = append(ids, a["ID"].(*types.AttributeValueMemberS).Value)
	}
	return ids, out, nil
}
