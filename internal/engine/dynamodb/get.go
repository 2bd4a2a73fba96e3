package dynamodb

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"pillarbox"
)

// parallelReads is how many calls that read items run at once.
const parallelReads = 4

// StoredAt implements pillarbox.EventStore. It is the time of the latest write.
func (s *Store) StoredAt(ctx context.Context, key pillarbox.Key) (pillarbox.Timestamp, error) {
	if err := s.begin(ctx); err != nil {
		return 0, err
	}
	defer s.life.RUnlock()
	at, err := s.storedAt(ctx, key)
	if err != nil {
		return 0, s.failed(ctx, "read", err)
	}
	return at, nil
}

func (s *Store) storedAt(ctx context.Context, key pillarbox.Key) (pillarbox.Timestamp, error) {
	if checkKey(key) != nil {
		return 0, fmt.Errorf("event %q: %w", key.RequestID, pillarbox.ErrNotFound)
	}
	out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &s.table, Key: keyItem(key), ConsistentRead: aws.Bool(true),
		ProjectionExpression: aws.String("#at"), ExpressionAttributeNames: map[string]string{
			"#at": nameStoredAt},
	})
	if err != nil {
		return 0, err
	}
	if len(out.Item) == 0 { // it may also be an item without StoredAt, which somebody else wrote
		return 0, fmt.Errorf("event %s: %w", key.RequestID, pillarbox.ErrNotFound)
	}
	r := reader{i: out.Item}
	at, err := pillarbox.ParseTimestamp(r.text(nameStoredAt))
	if err != nil {
		return 0, fmt.Errorf("%s of event %s: %w: %w", nameStoredAt, key.RequestID, pillarbox.ErrCorrupt,
			err)
	}
	return at, nil
}

// Missing implements pillarbox.EventStore.
func (s *Store) Missing(ctx context.Context, keys []pillarbox.Key) ([]pillarbox.Key, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.life.RUnlock()
	stored := make(map[pillarbox.Key]bool, len(keys))
	items, err := s.get(ctx, keys, true)
	if err != nil {
		return nil, s.failed(ctx, "look up keys in", err)
	}
	for _, i := range items {
		key, err := decodeKey(i)
		if err != nil {
			return nil, s.failed(ctx, "look up keys in", err)
		}
		stored[key] = true
	}
	return slices.DeleteFunc(slices.Clone(keys),
		func(key pillarbox.Key) bool { return stored[key] }), nil
}

// get returns the items of the keys that are there, in no order. Keys that no item can have are not
// there.
func (s *Store) get(ctx context.Context, keys []pillarbox.Key, keysOnly bool) ([]item, error) {
	var asked []item
	seen := make(map[pillarbox.Key]bool, len(keys))
	for _, key := range keys {
		if !seen[key] && checkKey(key) == nil {
			asked = append(asked, keyItem(key))
		}
		seen[key] = true
	}
	chunks := slices.Collect(slices.Chunk(asked, maxBatchKeys))
	found, errs := make([][]item, len(chunks)), make([]error, len(chunks))
	inParallel(len(chunks), parallelReads,
		func(i int) { found[i], errs[i] = s.getChunk(ctx, chunks[i], keysOnly) })
	return slices.Concat(found...), joined(errs)
}

// getChunk asks until there is an answer for every key. DynamoDB hands keys back where the answer
// would be too large, which is progress, or where it throttles, for which there is a bounded number
// of tries.
func (s *Store) getChunk(ctx context.Context, keys []item, keysOnly bool) ([]item, error) {
	request := types.KeysAndAttributes{Keys: keys, ConsistentRead: aws.Bool(true)}
	if keysOnly {
		request.ProjectionExpression = aws.String("#t, #r")
		request.ExpressionAttributeNames = map[string]string{"#t": nameTimestamp, "#r": nameRequestID}
	}
	var found []item
	for tries := 0; ; {
		if err := s.goOn(ctx); err != nil {
			return nil, err
		}
		out, err := s.client.BatchGetItem(ctx,
			&dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{s.table: request}})
		if err != nil {
			return nil, err
		}
		left := 0
		for _, items := range out.Responses {
			found = append(found, items...)
		}
		for _, rest := range out.UnprocessedKeys {
			left += len(rest.Keys)
			tries++
			if len(rest.Keys) < len(request.Keys) {
				tries = 0
			}
			request.Keys = rest.Keys
		}
		switch {
		case left == 0:
			return found, nil
		case tries == maxTries:
			return nil, fmt.Errorf("%d keys were not processed, though asked for %d times: it throttles: %w", left, maxTries, pillarbox.ErrUnavailable)
		case tries > 0:
			if err := s.pause(ctx, s.waitBefore(tries)); err != nil {
				return nil, err
			}
		}
	}
}

// restore fetches the bodies that are kept elsewhere, and returns an error or nil for each event.
func (s *Store) restore(ctx context.Context, events []*pillarbox.Event,
	claims []*pillarbox.Claim) []error {
	var away []int
	for i, claim := range claims {
		if claim != nil {
			away = append(away, i)
		}
	}
	errs := make([]error, len(events))
	inParallel(len(away), parallelBodies, func(at int) {
		i := away[at]
		if s.options.Bodies == nil {
			errs[i] = fmt.Errorf("body of event %s is at %s, and no place for bodies is configured (bodies.url): %w", events[i].RequestID, claims[i].Key, pillarbox.ErrUnavailable)
			return
		}
		body, err := s.options.Bodies.Get(ctx, *claims[i])
		if err == nil {
			err = claims[i].Check(body)
		}
		if err != nil {
			errs[i] = fmt.Errorf("body of event %s: %w", events[i].RequestID, err)
		}
		events[i].Body = body
	})
	return errs
}

// Count implements pillarbox.EventStore. It reads the whole table.
func (s *Store) Count(ctx context.Context) (uint64, error) {
	if err := s.begin(ctx); err != nil {
		return 0, err
	}
	defer s.life.RUnlock()
	counts := make([]uint64, scanSegments)
	in := dynamodb.ScanInput{TableName: &s.table, Select: types.SelectCount,
		ConsistentRead: aws.Bool(true)}
	err := s.scan(ctx, in, func(segment int, page *dynamodb.ScanOutput) error {
		counts[segment] += uint64(page.Count)
		return nil
	})
	if err != nil {
		return 0, s.failed(ctx, "count", err)
	}
	sum := uint64(0)
	for _, n := range counts {
		sum += n
	}
	return sum, nil
}
