package dynamodb

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"pillarbox"
	"pillarbox/internal/telemetry"
)

// scanSegments is how many parts of a table or an index are read at once.
const scanSegments = 4

// scan reads all pages of all segments. visit is called concurrently for different segments.
func (s *Store) scan(ctx context.Context, in dynamodb.ScanInput,
	visit func(segment int, page *dynamodb.ScanOutput) error) error {
	errs := make([]error, scanSegments)
	inParallel(scanSegments, scanSegments, func(segment int) {
		errs[segment] = s.scanSegment(ctx, in, segment,
			func(page *dynamodb.ScanOutput) error { return visit(segment, page) })
	})
	return joined(errs)
}

func (s *Store) scanSegment(ctx context.Context, in dynamodb.ScanInput, segment int,
	visit func(*dynamodb.ScanOutput) error) error {
	in.Segment, in.TotalSegments = aws.Int32(int32(segment)), aws.Int32(scanSegments)
	for {
		if err := s.goOn(ctx); err != nil {
			return err
		}
		page, err := s.client.Scan(ctx, &in)
		if err != nil {
			return err
		}
		if err := visit(page); err != nil {
			return err
		}
		if in.ExclusiveStartKey = page.LastEvaluatedKey; len(in.ExclusiveStartKey) == 0 {
			return nil
		}
	}
}

// best keeps the keys that come first in the order of a list.
type best struct {
	mu     sync.Mutex
	most   int
	newest bool
	keys   []pillarbox.Key // guarded by mu
}

func (b *best) add(key pillarbox.Key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.keys = append(b.keys, key); len(b.keys) > 2*b.most {
		b.cutLocked()
	}
}

func (b *best) cutLocked() {
	slices.SortFunc(b.keys, func(x, y pillarbox.Key) int { return compareKeys(x, y, b.newest) })
	b.keys = b.keys[:min(len(b.keys), b.most)]
}

// sorted returns them, once nothing is added any more.
func (b *best) sorted() []pillarbox.Key {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cutLocked()
	return b.keys
}

// scanKeys returns up to most of the keys that match the filter, first ones first. Of the index it
// can't see the source: then the caller has to look.
func (s *Store) scanKeys(ctx context.Context, to *page, most int) ([]pillarbox.Key, error) {
	filter := to.filter
	found := &best{most: most, newest: filter.Newest}
	err := s.scan(ctx, s.scanInput(filter), func(_ int, page *dynamodb.ScanOutput) error {
		for _, i := range page.Items {
			key, err := decodeKey(i)
			if err != nil && to.scans == 0 && !to.passOver(err) {
				return err
			}
			if err == nil && matchesKey(filter, key) {
				found.add(key)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found.sorted(), nil
}

// scanInput lets DynamoDB filter what it can, so that less comes over the wire; it reads everything
// all the same.
func (s *Store) scanInput(filter pillarbox.EventFilter) dynamodb.ScanInput {
	in := dynamodb.ScanInput{
		TableName: &s.table, ProjectionExpression: aws.String("#t, #r"),
		ExpressionAttributeNames:  map[string]string{"#t": nameTimestamp, "#r": nameRequestID},
		ExpressionAttributeValues: item{},
	}
	if s.options.Index != "" {
		in.IndexName = &s.options.Index
	} else {
		in.ConsistentRead = aws.Bool(true)
	}
	condition := ""
	add := func(text, name, value string) {
		if condition != "" {
			condition += " AND "
		}
		condition += text
		in.ExpressionAttributeValues[name] = str(value)
	}
	if filter.RequestID != "" {
		add("#r = :r", ":r", filter.RequestID)
	}
	if filter.Since != 0 {
		add("#t >= :since", ":since", boundText(filter.Since))
	}
	if filter.Until != 0 {
		add("#t < :until", ":until", boundText(filter.Until))
	}
	if filter.Source != "" && s.options.Index == "" {
		add("#s = :s", ":s", filter.Source)
		in.ExpressionAttributeNames["#s"] = nameSource
	}
	if condition == "" {
		in.ExpressionAttributeValues = nil
	} else {
		in.FilterExpression = &condition
	}
	return in
}

// nextHour reads all keys of the index to find the hour nearest to the beginning of the list that
// has something within the bounds.
func (s *Store) nextHour(ctx context.Context, within bounds, newest bool) (time.Time, bool, error) {
	s.options.Logger.Debug("reads all keys of the index to find an hour with events",
		telemetry.KeyTable, s.table, telemetry.KeyFrom, within.low, telemetry.KeyTo, within.high)
	var mu sync.Mutex
	hour := ""
	in := dynamodb.ScanInput{
		TableName: &s.table, IndexName: &s.options.Index, ProjectionExpression: aws.String("#s"),
		FilterExpression:         aws.String("#s BETWEEN :low AND :high"),
		ExpressionAttributeNames: map[string]string{"#s": nameTimeSort},
		ExpressionAttributeValues: map[string]types.AttributeValue{":low": str(within.low),
			":high": str(within.high)},
	}
	err := s.scan(ctx, in, func(_ int, page *dynamodb.ScanOutput) error {
		mu.Lock()
		defer mu.Unlock()
		for _, i := range page.Items {
			r := reader{i: i}
			found := r.text(nameTimeSort)
			if len(found) < len(hourLayout) {
				continue // nothing that was written here
			}
			if found = found[:len(hourLayout)]; hour == "" || (found < hour) != newest && found != hour {
				hour = found
			}
		}
		return nil
	})
	if err != nil || hour == "" {
		return time.Time{}, false, err
	}
	at, err := time.Parse(hourLayout, hour)
	if err != nil {
		return time.Time{}, false, errors.Join(pillarbox.ErrCorrupt, err)
	}
	return at, true, nil
}
