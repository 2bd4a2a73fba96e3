package fakedynamo_test

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"pillarbox/test/standin/awsjson"
)

func TestTables(t *testing.T) {
	b := start(t)
	b.wantCode(b.create(), "ResourceInUseException")
	out, err := b.client.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: b.table})
	b.must(err)
	if d := out.Table; d.TableStatus != types.TableStatusActive || d.BillingModeSummary == nil ||
		d.SSEDescription == nil || len(d.GlobalSecondaryIndexes) != 2 ||
		d.GlobalSecondaryIndexes[1].Projection.ProjectionType != types.ProjectionTypeKeysOnly ||
		*d.KeySchema[1].AttributeName != "ID" {
		t.Errorf("got %+v", d)
	}
	_, err = b.client.DescribeTable(t.Context(),
		&dynamodb.DescribeTableInput{TableName: aws.String("nowhere")})
	var missing *types.ResourceNotFoundException
	if !errors.As(err, &missing) {
		t.Errorf("got %v", err)
	}
	_, err = b.client.DeleteTable(t.Context(), &dynamodb.DeleteTableInput{TableName: b.table})
	b.must(err)
	b.wantCode(b.put(keyOf("a", "b")), "ResourceNotFoundException")
}

// Values of every type that the stand-in knows come back as they were.
func TestValues(t *testing.T) {
	b := start(t)
	a := attributes{
		"At": text("a"), "ID": text("b"), "Text": text("ü\x00\u2028"), "Empty": text(
			""), "Raw": &types.AttributeValueMemberB{Value: []byte{0, 255}},
		"None": &types.AttributeValueMemberB{Value: []byte{}}, "Number": &types.AttributeValueMemberN{
			Value: "12.5"},
		"Yes": &types.AttributeValueMemberBOOL{Value: true}, "Null": &types.AttributeValueMemberNULL{
			Value: true},
		"Map": &types.AttributeValueMemberM{
			Value: attributes{"": text("x"),
				"List": &types.AttributeValueMemberL{Value: []types.AttributeValue{text("y")}}}},
		"List": &types.AttributeValueMemberL{Value: []types.AttributeValue{}},
	}
	b.must(b.put(a))
	if got := b.get("a", "b", true); !reflect.DeepEqual(got, a) {
		t.Errorf("got %v, want %v", got, a)
	}
	if got := b.get("a", "c", true); got != nil {
		t.Errorf("got %v", got)
	}
}

func TestItemsThatAreRefused(t *testing.T) {
	b := start(t)
	for name, a := range map[string]attributes{
		"no range":           {"At": text("a")},
		"empty key":          keyOf("", "b"),
		"key of other type":  {"At": text("a"), "ID": &types.AttributeValueMemberN{Value: "1"}},
		"long hash":          keyOf(strings.Repeat("a", 2049), "b"),
		"long range":         keyOf("a", strings.Repeat("b", 1025)),
		"index key is empty": with(keyOf("a", "b"), "Sort", text("")),
		"index key is N":     with(keyOf("a", "b"), "Sort", &types.AttributeValueMemberN{Value: "1"}),
		"no number":          with(keyOf("a", "b"), "N", &types.AttributeValueMemberN{Value: "one"}),
		"a set": with(keyOf("a", "b"), "Set",
			&types.AttributeValueMemberSS{Value: []string{"x"}}),
		"too large": with(keyOf("a", "b"), "Body", text(strings.Repeat("x", 400<<10-2-2-2-4+1))),
	} {
		t.Run(name, func(t *testing.T) { b.wantCode(b.put(a), "ValidationException") })
	}
	b.must(b.put(keyOf(strings.Repeat("a", 2048), strings.Repeat("b", 1024))))
	b.must(b.put(with(keyOf("a", "b"), "Body", text(strings.Repeat("x", 400<<10-2-2-2-4)))))
	// A map and a list count three and one for each element: Map 3+3+1+1+(3+1+1).
	a := with(keyOf("a", "b"), "Map", &types.AttributeValueMemberM{
		Value: attributes{"L": &types.AttributeValueMemberL{Value: []types.AttributeValue{text("x")}}}})
	size := 400<<10 - 2 - 2 - 2 - 13 - 4
	b.must(b.put(with(a, "Body", text(strings.Repeat("x", size)))))
	b.wantCode(b.put(with(a, "Body", text(strings.Repeat("x", size+1)))), "ValidationException")
}

func TestConditions(t *testing.T) {
	b := start(t)
	put := func(expression string) error {
		_, err := b.client.PutItem(t.Context(), &dynamodb.PutItemInput{
			TableName: b.table, Item: keyOf("a",
				"b"), ConditionExpression: &expression, ExpressionAttributeNames: map[string]string{"#a": "At"},
		})
		return err
	}
	b.must(put("attribute_not_exists(#a)"))
	b.wantCode(put("attribute_not_exists(#a)"), "ConditionalCheckFailedException")
	b.must(put("attribute_exists(#a)"))
	out, err := b.client.DeleteItem(t.Context(),
		&dynamodb.DeleteItemInput{TableName: b.table, Key: keyOf("a", "b"),
			ReturnValues: types.ReturnValueAllOld})
	if err != nil || len(out.Attributes) != 2 {
		t.Errorf("got %v, %v", out, err)
	}
	if b.get("a", "b", true) != nil {
		t.Error("it is still there")
	}
}

func TestBatchWrite(t *testing.T) {
	b := start(t)
	var items []attributes
	for i := range 26 {
		items = append(items, keyOf("a", fmt.Sprint(i)))
	}
	_, err := b.write(puts(items...))
	b.wantCode(err, "ValidationException")
	out, err := b.write(puts(items[:25]...))
	if err != nil || len(out.UnprocessedItems) != 0 || len(b.server.Peek("events")) != 25 {
		t.Errorf("got %+v, %v", out, err)
	}
	_, err = b.write(puts(items[0], items[1], items[0]))
	b.wantCode(err, "ValidationException")
	_, err = b.write(puts(items[0], keyOf("", "x")))
	b.wantCode(err, "ValidationException")
	var large []attributes
	for i := range 25 { // each within the bounds of an item, and six times as large in JSON
		large = append(large, with(keyOf("a", fmt.Sprint(i)), "Body",
			text(strings.Repeat("\x01", 115<<10))))
	}
	_, err = b.write(puts(large...))
	b.wantCode(err, "RequestEntityTooLarge")
	_, err = b.write([]types.WriteRequest{{DeleteRequest: &types.DeleteRequest{Key: keyOf("a", "0")}}})
	if b.must(err); b.get("a", "0", true) != nil {
		t.Error("it is still there")
	}
}

// What a batch could not do comes back, and can be asked for again.
func TestTrickle(t *testing.T) {
	b := start(t)
	var items []attributes
	for i := range 20 {
		items = append(items, keyOf("a", fmt.Sprint(i)))
	}
	b.server.Trickle("BatchWriteItem", 7, 2)
	writes, calls := puts(items...), 0
	for len(writes) > 0 {
		out, err := b.write(writes)
		b.must(err)
		writes = out.UnprocessedItems[*b.table]
		calls++
	}
	if calls != 3 || len(b.server.Peek("events")) != 20 {
		t.Errorf("%d calls, %d items", calls, len(b.server.Peek("events")))
	}
	b.server.Trickle("BatchGetItem", 1, 1)
	request := map[string]types.KeysAndAttributes{
		*b.table: {Keys: items, ConsistentRead: aws.Bool(true)}}
	out, err := b.client.BatchGetItem(t.Context(), &dynamodb.BatchGetItemInput{RequestItems: request})
	if err != nil || len(out.Responses[*b.table]) != 1 ||
		len(out.UnprocessedKeys[*b.table].Keys) != 19 || !*out.UnprocessedKeys[*b.table].ConsistentRead {
		t.Fatalf("got %+v, %v", out, err)
	}
	out, err = b.client.BatchGetItem(t.Context(),
		&dynamodb.BatchGetItemInput{RequestItems: out.UnprocessedKeys})
	if err != nil || len(out.Responses[*b.table]) != 19 || len(out.UnprocessedKeys) != 0 {
		t.Errorf("got %+v, %v", out, err)
	}
}

func TestBatchGetBounds(t *testing.T) {
	b := start(t)
	var keys []attributes
	for i := range 101 {
		keys = append(keys, keyOf("a", fmt.Sprint(i)))
	}
	get := func(keys ...attributes) error {
		_, err := b.client.BatchGetItem(t.Context(),
			&dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{
				*b.table: {Keys: keys}}})
		return err
	}
	b.must(get(keys[:100]...))
	b.wantCode(get(keys...), "ValidationException")
	b.wantCode(get(keys[0], keys[0]), "ValidationException")
	b.wantCode(get(attributes{"At": text("a")}), "ValidationException")
}

func TestQuery(t *testing.T) {
	b := start(t)
	b.fill(25, "h1", "h2")
	names, values := map[string]string{"#a": "At", "#i": "ID"}, attributes{":a": text("h1"),
		":x": text("05"), ":y": text("07")}
	condition := "#a = :a AND #i BETWEEN :x AND :y"
	ids, _, err := b.query(dynamodb.QueryInput{KeyConditionExpression: &condition,
		ExpressionAttributeNames: names, ExpressionAttributeValues: values})
	if err != nil || !slices.Equal(ids, []string{"05", "06", "07"}) {
		t.Errorf("got %v, %v", ids, err)
	}
	condition = "#a = :a and #i > :x"
	delete(values, ":y")
	var all []string
	var from attributes
	for page := 0; page == 0 || from != nil; page++ {
		ids, out, err := b.query(dynamodb.QueryInput{
			KeyConditionExpression: &condition, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
			Limit: aws.Int32(4), ScanIndexForward: aws.Bool(false), ExclusiveStartKey: from,
		})
		b.must(err)
		all, from = append(all, ids...), out.LastEvaluatedKey
	}
	if len(all) != 19 || all[0] != "24" || all[18] != "06" ||
		!slices.IsSortedFunc(all, func(x, y string) int { return strings.Compare(y, x) }) {
		t.Errorf("got %v", all)
	}
}

// The filter is applied behind the limit, and what an index does not have cannot be asked of it.
func TestQueryOfIndex(t *testing.T) {
	b := start(t)
	b.fill(25, "h1", "h2")
	in := dynamodb.QueryInput{
		IndexName: aws.String("everything"), KeyConditionExpression: aws.String(
			"#b = :b"), FilterExpression: aws.String("#c <> :c AND NOT (#c >= :d)"),
		ExpressionAttributeNames:  map[string]string{"#b": "Bucket", "#c": "Colour"},
		ExpressionAttributeValues: attributes{":b": text("b3"), ":c": text("0"), ":d": text("2")},
	}
	ids, out, err := b.query(in)
	if err != nil || !slices.Equal(ids, []string{"13", "13"}) || out.ScannedCount != 6 {
		t.Errorf("got %v, %+v, %v", ids, out, err)
	}
	in.Select, in.Limit = types.SelectCount, aws.Int32(2)
	_, out, err = b.query(in)
	if err != nil || out.Count != 1 || out.ScannedCount != 2 || len(out.Items) != 0 ||
		len(out.LastEvaluatedKey) != 4 {
		t.Errorf("got %+v, %v", out, err)
	}
	in.IndexName = aws.String("keys")
	_, _, err = b.query(in)
	b.wantCode(err, "ValidationException")
	in.IndexName, in.ConsistentRead = aws.String("everything"), aws.Bool(true)
	_, _, err = b.query(in)
	b.wantCode(err, "ValidationException")
}

func TestQueriesThatAreRefused(t *testing.T) {
	b := start(t)
	names, values := map[string]string{"#a": "At", "#i": "ID",
		"#c": "Colour"}, attributes{":a": text("h1"), ":x": text("05")}
	for _, condition := range []string{
		"", "#i = :a", "#a > :a", "#a = :a AND #c = :x", "#a = :a OR #i = :x", "#a = :a AND contains(#i, :x)", "#a = :a AND #i.x = :x",
		"#a = :a AND #i IN (:x)", "At = :a", "#a = :a AND #i BETWEEN :x", "#a = :nothing", "#a = :a AND #i <> :x",
	} {
		used, usedValues := map[string]string{}, attributes{}
		for name, v := range names {
			if strings.Contains(condition, name) {
				used[name] = v
			}
		}
		for name, v := range values {
			if strings.Contains(condition, name) {
				usedValues[name] = v
			}
		}
		_, _, err := b.query(dynamodb.QueryInput{KeyConditionExpression: &condition,
			ExpressionAttributeNames: used, ExpressionAttributeValues: usedValues})
		b.wantCode(err, "ValidationException")
	}
	condition := "#a = :a"
	_, _, err := b.query(dynamodb.QueryInput{KeyConditionExpression: &condition,
		ExpressionAttributeNames: names, ExpressionAttributeValues: values})
	b.wantCode(err, "ValidationException") // placeholders that are not used
}

// A scan meets every item once, in pages, in segments, and of an index.
func TestScan(t *testing.T) {
	b := start(t)
	b.fill(25, "h1", "h2", "h3")
	for _, index := range []*string{nil, aws.String("keys")} {
		for _, total := range []int32{1, 4} {
			var ids []string
			for segment := range total {
				pages := dynamodb.NewScanPaginator(b.client, &dynamodb.ScanInput{
					TableName: b.table, IndexName: index, Segment: &segment, TotalSegments: &total, Limit: aws.Int32(7),
					ProjectionExpression: aws.String("#a, #i"), ExpressionAttributeNames: map[string]string{
						"#a": "At", "#i": "ID"},
				})
				for pages.HasMorePages() {
					page, err := pages.NextPage(t.Context())
					b.must(err)
					for _, a := range page.Items {
						if len(a) != 2 {
							t.Fatalf("got %v", a)
						}
						ids = append(ids, a["At"].(*types.AttributeValueMemberS).Value+a["ID"].(*types.AttributeValueMemberS).Value)
					}
				}
			}
			slices.Sort(ids)
			if len(slices.Compact(ids)) != 75 {
				t.Errorf("index %v, %d segments: %d items", index, total, len(ids))
			}
		}
	}
}

func TestPagesOfOneMegabyte(t *testing.T) {
	b := start(t)
	for i := range 10 {
		b.must(b.put(with(keyOf("a", fmt.Sprint(i)), "Body",
			&types.AttributeValueMemberB{Value: bytes.Repeat([]byte{1}, 300<<10)})))
	}
	pages := dynamodb.NewScanPaginator(b.client,
		&dynamodb.ScanInput{TableName: b.table, Select: types.SelectCount})
	var counts []int32
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		b.must(err)
		counts = append(counts, page.Count)
	}
	if !slices.Equal(counts, []int32{3, 3, 3, 1}) {
		t.Errorf("got %v", counts)
	}
}

func TestHoldReplicas(t *testing.T) {
	b := start(t)
	b.fill(1, "old")
	b.server.HoldReplicas()
	b.fill(1, "new")
	if b.get("new", "00", false) != nil || b.get("new", "00", true) == nil ||
		b.get("old", "00", false) == nil {
		t.Error("a read that need not be consistent sees what is new, or one that must does not")
	}
	in := dynamodb.QueryInput{
		IndexName: aws.String("keys"), KeyConditionExpression: aws.String(
			"#b = :b"), ExpressionAttributeNames: map[string]string{"#b": "Bucket"},
		ExpressionAttributeValues: attributes{":b": text("b0")},
	}
	if ids, _, err := b.query(in); err != nil || len(ids) != 1 {
		t.Errorf("got %v, %v", ids, err)
	}
	b.server.ReleaseReplicas()
	if ids, _, err := b.query(in); err != nil || len(ids) != 2 {
		t.Errorf("got %v, %v", ids, err)
	}
}

func TestFaults(t *testing.T) {
	b := start(t)
	b.server.Throttle(1)
	var throughput *types.ProvisionedThroughputExceededException
	if err := b.put(keyOf("a", "b")); !errors.As(err, &throughput) {
		t.Errorf("got %v", err)
	}
	b.server.Fail(1, "PutItem")
	var internal *types.InternalServerError
	if err := b.put(keyOf("a", "b")); !errors.As(err, &internal) {
		t.Errorf("got %v", err)
	}
	b.server.HangUp(1)
	if err := b.put(keyOf("a", "b")); err == nil {
		t.Error("the connection was not closed")
	}
	b.server.Refuse(awsjson.ErrAccessDenied, "PutItem")
	b.wantCode(b.put(keyOf("a", "b")), "AccessDeniedException")
	b.server.Allow()
	b.must(b.put(keyOf("a", "b")))
	if got := b.server.Calls("PutItem"); got != 5 {
		t.Errorf("%d calls were counted", got)
	}
}
