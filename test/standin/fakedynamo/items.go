package fakedynamo

import (
	"context"
	"slices"

	"pillarbox/test/standin/awsjson"
)

type writeInput struct {
	TableName                           string
	Item                                item // of PutItem
	Key                                 item // of DeleteItem
	ConditionExpression                 string
	ExpressionAttributeNames            map[string]string
	ExpressionAttributeValues           map[string]value
	ReturnValues                        string
	ReturnConsumedCapacity              string
	ReturnItemCollectionMetrics         string
	ReturnValuesOnConditionCheckFailure string
}

// noReturn refuses to be asked for figures that the stand-in does not have.
func noReturn(asked ...string) error {
	for _, what := range asked {
		if what != "" && what != "NONE" {
			return unknown("how to return %s", what)
		}
	}
	return nil
}

// check checks what does not depend on the item, and returns the condition.
func (in *writeInput) check() (*node, error) {
	if err := noReturn(in.ReturnConsumedCapacity, in.ReturnItemCollectionMetrics); err != nil {
		return nil, err
	}
	if !slices.Contains([]string{"", "NONE", "ALL_OLD"}, in.ReturnValues) {
		return nil, invalid("ReturnValues can only be ALL_OLD or NONE")
	}
	x := newExpressions(in.ExpressionAttributeNames, in.ExpressionAttributeValues)
	condition, err := x.parse(in.ConditionExpression)
	if err != nil {
		return nil, err
	}
	return condition, x.finish()
}

// write answers a write of one item: what was there before, if that was asked for.
func (in *writeInput) write(t *table, key item, condition *node, change func()) (any, error) {
	var old item
	if e := t.get(key); e != nil {
		old = e.item
	}
	if !condition.holds(old) {
		failed := errCondition.With("The conditional request failed")
		if in.ReturnValuesOnConditionCheckFailure == "ALL_OLD" && old != nil {
			failed.Members = map[string]any{"Item": old}
		}
		return nil, failed
	}
	change()
	if in.ReturnValues == "ALL_OLD" && old != nil {
		return map[string]any{"Attributes": old}, nil
	}
	return struct{}{}, nil
}

func (s *Server) putItem(_ context.Context, _ awsjson.Call, in *writeInput) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	condition, err := in.check()
	if err != nil {
		return nil, err
	}
	t, err := s.tableLocked(in.TableName)
	if err != nil {
		return nil, err
	}
	if err := t.checkItem(in.Item); err != nil {
		return nil, err
	}
	return in.write(t, in.Item, condition, func() { s.putLocked(t, in.Item) })
}

func (s *Server) putLocked(t *table, i item) {
	s.sequence++
	t.put(i, s.sequence)
}

func (s *Server) deleteItem(_ context.Context, _ awsjson.Call, in *writeInput) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	condition, err := in.check()
	if err != nil {
		return nil, err
	}
	t, err := s.tableLocked(in.TableName)
	if err != nil {
		return nil, err
	}
	if err := t.checkExactKey(in.Key); err != nil {
		return nil, err
	}
	return in.write(t, in.Key, condition, func() {
		if e := t.get(in.Key); e != nil {
			t.drop(e.item)
		}
	})
}

func (s *Server) getItem(_ context.Context, _ awsjson.Call, in *struct {
	TableName                string
	Key                      item
	ConsistentRead           bool
	ProjectionExpression     string
	ExpressionAttributeNames map[string]string
	ReturnConsumedCapacity   string
}) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := noReturn(in.ReturnConsumedCapacity); err != nil {
		return nil, err
	}
	x := newExpressions(in.ExpressionAttributeNames, nil)
	names, err := x.projection(in.ProjectionExpression)
	if err != nil {
		return nil, err
	}
	if err := x.finish(); err != nil {
		return nil, err
	}
	t, err := s.tableLocked(in.TableName)
	if err != nil {
		return nil, err
	}
	if err := t.checkExactKey(in.Key); err != nil {
		return nil, err
	}
	e := t.get(in.Key)
	if e == nil || s.hidesLocked(e, in.ConsistentRead) {
		return struct{}{}, nil
	}
	return map[string]any{"Item": e.item.only(names)}, nil
}

// only returns the named attributes, or all where names is nil.
func (i item) only(names []string) item {
	if names == nil {
		return i
	}
	kept := item{}
	for _, name := range names {
		if v, ok := i[name]; ok {
			kept[name] = v
		}
	}
	return kept
}
