package fakedynamo

import (
	"context"
	"math/bits"
	"slices"

	"pillarbox/test/standin/awsjson"
)

// maxPageBytes bounds what one call of Query or Scan looks at.
const maxPageBytes = 1 << 20

// readInput is what Query and Scan have in common.
type readInput struct {
	TableName                 string
	IndexName                 string
	FilterExpression          string
	ProjectionExpression      string
	ExpressionAttributeNames  map[string]string
	ExpressionAttributeValues map[string]value
	Select                    string
	Limit                     *int
	ExclusiveStartKey         item
	ConsistentRead            bool
	ReturnConsumedCapacity    string
}

// read is a Query or a Scan that was checked.
type read struct {
	view   *view
	filter *node
	names  []string
	count  bool // and no items
}

// prepareLocked checks the input, whose expressions x parses.
func (s *Server) prepareLocked(in *readInput, x *expressions) (*read, error) {
	t, err := s.tableLocked(in.TableName)
	if err != nil {
		return nil, err
	}
	r := &read{view: t.base, count: in.Select == "COUNT"}
	if in.IndexName != "" {
		if r.view = t.indexes[in.IndexName]; r.view == nil {
			return nil, invalid("The table does not have the specified index: %s", in.IndexName)
		}
		if in.ConsistentRead {
			return nil, invalid("Consistent reads are not supported on global secondary indexes")
		}
	}
	if in.Limit != nil && *in.Limit < 1 {
		return nil, invalid("1 validation error detected: Value '%d' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1", *in.Limit)
	}
	if err := noReturn(in.ReturnConsumedCapacity); err != nil {
		return nil, err
	}
	if r.filter, err = x.parse(in.FilterExpression); err != nil {
		return nil, err
	}
	if r.names, err = x.projection(in.ProjectionExpression); err != nil {
		return nil, err
	}
	return r, r.checkSelect(in)
}

// checkSelect refuses attributes that an index does not have, and ways to select them that exclude
// each other.
func (r *read) checkSelect(in *readInput) error {
	switch in.Select {
	case "", "COUNT", "ALL_PROJECTED_ATTRIBUTES", "SPECIFIC_ATTRIBUTES":
	case "ALL_ATTRIBUTES":
		if r.view.project != nil {
			return invalid("One or more parameter values were invalid: Select type ALL_ATTRIBUTES is not supported for global secondary index %s because its projection type is not ALL", in.IndexName)
		}
	default:
		return invalid("Unknown Select: %s", in.Select)
	}
	if in.Select != "" && (in.Select == "SPECIFIC_ATTRIBUTES") != (r.names != nil) {
		return invalid("Cannot specify the ProjectionExpression when choosing to get %s", in.Select)
	}
	for _, name := range slices.Concat(r.names, r.filter.attributes()) {
		if r.view.project != nil && !slices.Contains(r.view.project, name) {
			return invalid("One or more parameter values were invalid: Global secondary index %s does not project %s", in.IndexName, name)
		}
	}
	return nil
}

// start returns the entry behind which the page begins, or nil for the beginning.
func (r *read) start(key item) (*entry, error) {
	if key == nil {
		return nil, nil
	}
	names := append(r.view.table.names(), r.view.key.names()...)
	slices.Sort(names)
	names = slices.Compact(names)
	for _, name := range names {
		if key[name].kind != "S" || len(key) != len(names) {
			return nil, invalid("The provided starting key is invalid: The provided key element does not match the schema")
		}
	}
	return r.view.entryOf(key), nil
}

// answerLocked makes a page of the entries, which come in the order of reading.
func (s *Server) answerLocked(r *read, in *readInput, entries []*entry) map[string]any {
	limit, size, scanned := len(entries)+1, 0, 0
	if in.Limit != nil {
		limit = *in.Limit
	}
	items := []item{}
	answer := map[string]any{}
	var last *entry
	for _, e := range entries {
		if s.hidesLocked(e, in.ConsistentRead) {
			continue
		}
		if size += e.item.size(); scanned == limit || size > maxPageBytes && scanned > 0 {
			answer["LastEvaluatedKey"] = r.keyOf(last)
			break
		}
		scanned++
		last = e
		if r.filter.holds(e.item) {
			items = append(items, e.item.only(r.names))
		}
	}
	if scanned == limit { // DynamoDB does not look whether there is more
		answer["LastEvaluatedKey"] = r.keyOf(last)
	}
	answer["Count"], answer["ScannedCount"] = len(items), scanned
	if !r.count {
		answer["Items"] = items
	}
	return answer
}

func (r *read) keyOf(e *entry) item {
	return e.item.only(append(r.view.table.names(), r.view.key.names()...))
}

type queryInput struct {
	readInput
	KeyConditionExpression string
	ScanIndexForward       *bool
}

func (s *Server) query(_ context.Context, _ awsjson.Call, in *queryInput) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := newExpressions(in.ExpressionAttributeNames, in.ExpressionAttributeValues)
	r, err := s.prepareLocked(&in.readInput, x)
	if err != nil {
		return nil, err
	}
	condition, err := x.parse(in.KeyConditionExpression)
	if err != nil {
		return nil, err
	}
	if err := x.finish(); err != nil {
		return nil, err
	}
	hash, err := r.view.hashOf(condition)
	if err != nil {
		return nil, err
	}
	for _, name := range r.filter.attributes() {
		if slices.Contains(r.view.key.names(), name) {
			return nil, invalid("Filter Expression can only contain non-primary key attributes: Primary key attribute: %s", name)
		}
	}
	start, err := r.start(in.ExclusiveStartKey)
	if err != nil {
		return nil, err
	}
	backward := in.ScanIndexForward != nil && !*in.ScanIndexForward
	var entries []*entry
	for _, e := range r.view.of(hash) {
		behind := start == nil || compareEntries(e, start) > 0 && !backward ||
			compareEntries(e, start) < 0 && backward
		if behind && condition.holds(e.item) {
			entries = append(entries, e)
		}
	}
	if backward {
		slices.Reverse(entries)
	}
	return s.answerLocked(r, &in.readInput, entries), nil
}

// hashOf returns the hash key that the condition asks for. The condition must be that, and at most
// one of the range besides.
func (v *view) hashOf(condition *node) (string, error) {
	if condition == nil {
		return "", invalid("Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.")
	}
	parts := []*node{condition}
	if condition.operator == "AND" {
		parts = condition.operands
	}
	hash := ""
	seen := map[string]bool{}
	for _, part := range parts {
		if len(part.operands) < 2 || part.operands[0].name == "" || part.operands[1].value == nil ||
			part.operands[1].value.kind != "S" {
			return "", invalid("Query key condition not supported: want the key on the left, and a string on the right")
		}
		name := part.operands[0].name
		switch {
		case seen[name] || !slices.Contains(v.key.names(), name):
			return "", invalid("Query key condition not supported: %s is no key, or comes twice", name)
		case len(part.operands[1].value.text) > v.key.limit(name):
			return "", invalid("One or more parameter values were invalid: Size of the key %s in the condition has exceeded the maximum size limit", name)
		case part.operator == "<>" || part.operator == "NOT" || part.operator == "OR":
			return "", invalid("Invalid operator used in KeyConditionExpression: %s", part.operator)
		case name == v.key.hash && part.operator != "=":
			return "", invalid("Query key condition not supported: the hash key wants =")
		case name == v.key.hash:
			hash = part.operands[1].value.text
		}
		seen[name] = true
	}
	if hash == "" {
		return "", invalid("Query condition missed key schema element: %s", v.key.hash)
	}
	return hash, nil
}

type scanInput struct {
	readInput
	Segment       *int
	TotalSegments *int
}

func (s *Server) scan(_ context.Context, _ awsjson.Call, in *scanInput) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := newExpressions(in.ExpressionAttributeNames, in.ExpressionAttributeValues)
	r, err := s.prepareLocked(&in.readInput, x)
	if err != nil {
		return nil, err
	}
	if err := x.finish(); err != nil {
		return nil, err
	}
	segment, total := 0, 1
	if (in.Segment == nil) != (in.TotalSegments == nil) {
		return nil, invalid("The Segment parameter and the TotalSegments parameter come together")
	}
	if in.Segment != nil {
		if segment, total = *in.Segment, *in.TotalSegments; total < 1 || total > 1_000_000 ||
			segment < 0 || segment >= total {
			return nil, invalid("The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: %d is not less than TotalSegments: %d", segment, total)
		}
	}
	start, err := r.start(in.ExclusiveStartKey)
	if err != nil {
		return nil, err
	}
	var entries []*entry
	for _, e := range r.view.entries {
		of, _ := bits.Mul64(e.order, uint64(total))
		if int(of) == segment && (start == nil || compareEntries(e, start) > 0) {
			entries = append(entries, e)
		}
	}
	return s.answerLocked(r, &in.readInput, entries), nil
}
