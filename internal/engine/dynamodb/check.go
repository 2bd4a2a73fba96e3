package dynamodb

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"pillarbox"
)

// Check asks DynamoDB once whether the table is there, has the keys that are needed, and the index.
// A person must act on ErrNotFound, where the table is missing, and on ErrInvalid, where it or its
// index has other keys; ErrUnavailable may pass by itself.
func (s *Store) Check(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.life.RUnlock()
	out, err := s.client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &s.table})
	switch {
	case code(err) == "ResourceNotFoundException":
		return fmt.Errorf("check table %s: %w: %s: %w", s.table, pillarbox.ErrNotFound, advice(err), err)
	case err != nil:
		return s.failed(ctx, "check", err)
	case out.Table == nil:
		return fmt.Errorf("check table %s: an answer without a table: %w", s.table,
			pillarbox.ErrUnavailable)
	}
	if err := s.checkTable(out.Table); err != nil {
		return fmt.Errorf("check table %s: %w", s.table, err)
	}
	return nil
}

func (s *Store) checkTable(table *types.TableDescription) error {
	kinds := make(map[string]types.ScalarAttributeType)
	for _, attribute := range table.AttributeDefinitions {
		kinds[deref(attribute.AttributeName)] = attribute.AttributeType
	}
	if err := checkSchema(table.KeySchema, kinds, nameTimestamp, nameRequestID); err != nil {
		return err
	}
	switch table.TableStatus {
	case types.TableStatusActive, types.TableStatusUpdating:
	default:
		return fmt.Errorf("it is %s: %w", table.TableStatus, pillarbox.ErrUnavailable)
	}
	if s.options.Index == "" {
		return nil
	}
	for _, index := range table.GlobalSecondaryIndexes {
		if deref(index.IndexName) != s.options.Index {
			continue
		}
		if err := checkSchema(index.KeySchema, kinds, nameTimeBucket, nameTimeSort); err != nil {
			return fmt.Errorf("index %s: %w", s.options.Index, err)
		}
		if index.IndexStatus == types.IndexStatusCreating {
			return fmt.Errorf("index %s is being built: %w", s.options.Index, pillarbox.ErrUnavailable)
		}
		return nil
	}
	return pillarbox.Invalid("it has no index %s; add one by %s and %s, or take ?index= out of the destination's url",
		s.options.Index, nameTimeBucket, nameTimeSort)
}

// checkSchema checks that the key is (hash, sort), both text.
func checkSchema(schema []types.KeySchemaElement, kinds map[string]types.ScalarAttributeType, hash,
	sort string) error {
	got := ""
	right := len(schema) == 2
	for at, element := range schema {
		name := deref(element.AttributeName)
		got += fmt.Sprintf(" %s (%s %s)", name, element.KeyType, kinds[name])
		want, keyType := hash, types.KeyTypeHash
		if at > 0 {
			want, keyType = sort, types.KeyTypeRange
		}
		right = right && name == want && element.KeyType == keyType &&
			kinds[name] == types.ScalarAttributeTypeS
	}
	if !right {
		return pillarbox.Invalid("its key is%s, want %s (HASH S) %s (RANGE S)", got, hash, sort)
	}
	return nil
}

func deref(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}
