package dynamodb

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"pillarbox"
)

// Remove implements pillarbox.Sink: one call for each key, one after the other, because there are
// few. It needs what a write needs, dynamodb:BatchWriteItem, and no more. A body that was put away
// stays where it is: what is removed is small.
func (s *Store) Remove(ctx context.Context, keys []pillarbox.Key) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.life.RUnlock()
	for _, key := range keys {
		if checkKey(key) != nil {
			continue // no item has it
		}
		if err := s.remove(ctx, key); err != nil {
			return s.failed(ctx, "remove from", err)
		}
	}
	return nil
}

func (s *Store) remove(ctx context.Context, key pillarbox.Key) error {
	in := &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{
		s.table: {{DeleteRequest: &types.DeleteRequest{Key: keyItem(key)}}}}}
	for try := range maxTries {
		if try > 0 {
			if err := s.pause(ctx, s.waitBefore(try)); err != nil {
				return err
			}
		}
		out, err := s.client.BatchWriteItem(ctx, in, onceAgainOnBrokenConnections)
		if err != nil || len(out.UnprocessedItems) == 0 {
			return err
		}
	}
	return fmt.Errorf("the removal was not processed, though sent %d times: it throttles: %w", maxTries, pillarbox.ErrUnavailable)
}
