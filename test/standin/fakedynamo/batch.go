package fakedynamo

import (
	"context"
	"slices"

	"pillarbox/test/standin/awsjson"
)

const (
	// maxBatchWrites and maxBatchKeys bound the batch operations, and maxBatchBytes what goes over the
	// wire.
	maxBatchWrites = 25
	maxBatchKeys   = 100
	maxBatchBytes  = 16 << 20
)

type writeRequest struct {
	PutRequest    *struct{ Item item } `json:",omitempty"`
	DeleteRequest *struct{ Key item }  `json:",omitempty"`
}

func (w *writeRequest) key() item {
	if w.PutRequest != nil {
		return w.PutRequest.Item
	}
	return w.DeleteRequest.Key
}

// check refuses the whole batch because of one write.
func (w *writeRequest) check(t *table) error {
	switch {
	case (w.PutRequest == nil) == (w.DeleteRequest == nil):
		return invalid("Supplied AttributeValue has more than one datatypes set, must contain exactly one of PutRequest and DeleteRequest")
	case w.PutRequest != nil:
		return t.checkItem(w.PutRequest.Item)
	default:
		return t.checkExactKey(w.DeleteRequest.Key)
	}
}

type batchWriteInput struct {
	RequestItems                map[string][]writeRequest
	ReturnConsumedCapacity      string
	ReturnItemCollectionMetrics string
}

// withinBatch refuses what is too large as it came over the wire.
func withinBatch(operation awsjson.Operation) awsjson.Operation {
	return func(ctx context.Context, call awsjson.Call) (any, error) {
		if len(call.Body) > maxBatchBytes {
			return nil, ErrTooLarge
		}
		return operation(ctx, call)
	}
}

func (s *Server) batchWriteItem(_ context.Context, _ awsjson.Call,
	in *batchWriteInput) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := noReturn(in.ReturnConsumedCapacity, in.ReturnItemCollectionMetrics); err != nil {
		return nil, err
	}
	if err := s.checkWritesLocked(in.RequestItems); err != nil {
		return nil, err
	}
	left := map[string][]writeRequest{}
	for name, writes := range in.RequestItems {
		t, err := s.tableLocked(name)
		if err != nil {
			return nil, err
		}
		n := s.trickleLocked("BatchWriteItem", len(writes))
		for _, w := range writes[:n] {
			if w.PutRequest != nil {
				s.putLocked(t, w.PutRequest.Item)
			} else if e := t.get(w.DeleteRequest.Key); e != nil {
				t.drop(e.item)
			}
		}
		if n < len(writes) {
			left[name] = slices.Clone(writes[n:])
			slices.Reverse(left[name])
		}
	}
	return map[string]any{"UnprocessedItems": left}, nil
}

func (s *Server) checkWritesLocked(requests map[string][]writeRequest) error {
	n := 0
	for name, writes := range requests {
		t, err := s.tableLocked(name)
		if err != nil {
			return err
		}
		if n += len(writes); n > maxBatchWrites {
			return invalid("Too many items requested for the BatchWriteItem call")
		}
		seen := map[string]bool{}
		for i := range writes {
			if err := writes[i].check(t); err != nil {
				return err
			}
			primary := primaryOf(t.base.key, writes[i].key())
			if seen[primary] {
				return invalid("Provided list of item keys contains duplicates")
			}
			seen[primary] = true
		}
		if len(writes) == 0 {
			return invalid("The batch write request list for a table cannot be null or empty")
		}
	}
	if n == 0 {
		return invalid("1 validation error detected: Value at 'requestItems' failed to satisfy constraint: Member must have length greater than or equal to 1")
	}
	return nil
}

type keysRequest struct {
	Keys                     []item
	ConsistentRead           bool              `json:",omitempty"`
	ProjectionExpression     string            `json:",omitempty"`
	ExpressionAttributeNames map[string]string `json:",omitempty"`
}

type batchGetInput struct {
	RequestItems           map[string]*keysRequest
	ReturnConsumedCapacity string
}

func (s *Server) batchGetItem(_ context.Context, _ awsjson.Call, in *batchGetInput) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := noReturn(in.ReturnConsumedCapacity); err != nil {
		return nil, err
	}
	n := 0
	for _, request := range in.RequestItems {
		n += len(request.Keys)
	}
	if n == 0 || n > maxBatchKeys {
		return nil, invalid("Too many items requested for the BatchGetItem call, or none: %d", n)
	}
	responses, left := map[string][]item{}, map[string]*keysRequest{}
	room := maxBatchBytes
	for name, request := range in.RequestItems {
		t, err := s.tableLocked(name)
		if err != nil {
			return nil, err
		}
		items, rest, err := s.getKeysLocked(t, request, &room)
		if err != nil {
			return nil, err
		}
		responses[name] = items
		if len(rest) > 0 {
			again := *request
			again.Keys = rest
			left[name] = &again
		}
	}
	return map[string]any{"Responses": responses, "UnprocessedKeys": left}, nil
}

// getKeysLocked returns the items of the keys that are there, and the keys for which there was no
// room. The items come in no promised order, so it turns them round.
func (s *Server) getKeysLocked(t *table, in *keysRequest,
	room *int) (items []item, rest []item, err error) {
	x := newExpressions(in.ExpressionAttributeNames, nil)
	names, err := x.projection(in.ProjectionExpression)
	if err != nil {
		return nil, nil, err
	}
	if err := x.finish(); err != nil {
		return nil, nil, err
	}
	seen := map[string]bool{}
	for _, key := range in.Keys {
		if err := t.checkExactKey(key); err != nil {
			return nil, nil, err
		}
		primary := primaryOf(t.base.key, key)
		if seen[primary] {
			return nil, nil, invalid("Provided list of item keys contains duplicates")
		}
		seen[primary] = true
	}
	n := s.trickleLocked("BatchGetItem", len(in.Keys))
	items = []item{}
	for at, key := range in.Keys[:n] {
		e := t.get(key)
		if e == nil || s.hidesLocked(e, in.ConsistentRead) {
			continue
		}
		if *room -= e.item.size(); *room < 0 {
			n = at
			break
		}
		items = append(items, e.item.only(names))
	}
	slices.Reverse(items)
	rest = slices.Clone(in.Keys[n:])
	slices.Reverse(rest)
	return items, rest, nil
}
