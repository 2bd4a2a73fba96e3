package dynamodb

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"pillarbox"
)

// Remove implements pillarbox.Sink: one call for each key, one after the other, because there are
// few. It needs dynamodb:DeleteItem, also where nothing is there to be removed. A body that was put
// away stays where it is: what is removed is small.
func (s *Store) Remove(ctx context.Context, keys []pillarbox.Key) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.life.RUnlock()
	for _, key := range keys {
		if checkKey(key) != nil {
			continue // no item has it
		}
		in := &dynamodb.DeleteItemInput{TableName: &s.table, Key: keyItem(key)}
		if _, err := s.client.DeleteItem(ctx, in, onceAgainOnBrokenConnections); err != nil {
			return s.failed(ctx, "remove from", err)
		}
	}
	return nil
}
