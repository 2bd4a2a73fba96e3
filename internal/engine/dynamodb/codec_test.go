package dynamodb_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"pillarbox"
	"pillarbox/internal/engine/dynamodb"
	"pillarbox/internal/engine/enginetest"
)

// The item is what others read: its attributes are names and types that never change.
func TestItem(t *testing.T) {
	b := newBench(t, types.ProjectionTypeKeysOnly)
	event := &pillarbox.Event{
		Timestamp: 1795443120_123456, RequestID: "019ab0c4-2a3b-7d26-a6ab-bb8b733cf11d", Source: "app", Method: "POST", Path: "/app", Query: "a=\xff",
		Header: pillarbox.Header{{Name: "X-Tag", Value: "one"},
			{Name: "Content-Type", Value: "text/plain"}, {Name: "X-Tag", Value: "\xfe"}},
		ContentType: "text/plain", RemoteAddr: "203.0.113.7", Body: []byte("hello"),
	}
	if err := b.open(t).Write(t.Context(), []*pillarbox.Event{event}); err != nil {
		t.Fatal(err)
	}
	want := `{
		"Timestamp": {"S": "2026-11-23T14:12:00.123456Z"}, "RequestId": {"S": "019ab0c4-2a3b-7d26-a6ab-bb8b733cf11d"},
		"TimeBucket": {"S": "2026-11-23T14#0"}, "TimeSort": {"S": "2026-11-23T14:12:00.123456Z#019ab0c4-2a3b-7d26-a6ab-bb8b733cf11d"},
		"StoredAt": {"S": "2026-11-23T14:13:00.000001Z"}, "Source": {"S": "app"}, "Method": {"S": "POST"}, "Path": {"S": "/app"},
		"Query": {"B": "YT3/"}, "ContentType": {"S": "text/plain"}, "RemoteAddr": {"S": "203.0.113.7"}, "Body": {"S": "hello"},
		"Headers": {"M": {"Content-Type": {"L": [{"S": "text/plain"}]}, "X-Tag": {"L": [{"S": "one"}, {"B": "/g=="}]}}}
	}`
	if got := canonical(t, b.server.Peek(tableName)[0]); got != canonical(t, []byte(want)) {
		t.Errorf("got %s\nwant %s", got, canonical(t, []byte(want)))
	}
}

func canonical(t *testing.T, text []byte) string {
	t.Helper()
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	sorted, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(sorted)
}

// Every event comes back from its item as it was, and its sizes are not underestimated.
func FuzzItem(f *testing.F) {
	f.Add(int64(1795443120_123456), "id", "app", "a=1", "Content-Type", "text/plain", "X-Tag", "",
		[]byte("hello"))
	f.Add(int64(0), "\u2028<&>\"\\", "\xff", "\x00", "A", "\xfe", "A", "ü", []byte{0xff, 0})
	f.Add(int64(-1), "x", "", "", "", "", "", "", []byte(nil))
	f.Add(int64(-1), "0", "", "", "\xaf", "", "", "", []byte{})
	client := newClient(f, "http://127.0.0.1:1")
	store, err := dynamodb.Open(f.Context(), client, tableName, dynamodb.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, at int64, id, source, query, name, value, name2, value2 string,
		body []byte) {
		event := &pillarbox.Event{
			Timestamp: pillarbox.Timestamp(at), RequestID: id, Source: source, Method: value, Path: value2, Query: query, ContentType: name,
			RemoteAddr: name2, Traceparent: query, Body: body,
			Header: pillarbox.Header{{Name: name, Value: value}, {Name: name2, Value: value2},
				{Name: name, Value: query}},
		}
		if dynamodb.CheckKey(event.Key()) != nil {
			return
		}
		item := store.Encode(event, nil, 1)
		wantDecoded(t, item, event, nil)
		claim := pillarbox.NewClaim("k"+strings.ToValidUTF8(name, "?"), body)
		bare := *event
		bare.Body = nil
		wantDecoded(t, store.Encode(event, &claim, 1), &bare, &claim)
		if text := canonicalItem(t, item); dynamodb.WireBytes(item) < len(text) {
			t.Errorf("%d bytes over the wire were expected, %d are sent: %s", dynamodb.WireBytes(item),
				len(text), text)
		}
	})
}

func wantDecoded(t *testing.T, item dynamodb.Item, want *pillarbox.Event,
	wantClaim *pillarbox.Claim) {
	t.Helper()
	got, claim, err := dynamodb.Decode(item)
	if err != nil {
		t.Fatal(err)
	}
	want = enginetest.Clone(want)
	for i, field := range want.Header { // so it is in the JSON form, too
		want.Header[i].Name = strings.ToValidUTF8(field.Name, "\uFFFD")
	}
	if diff := enginetest.Diff(got, want); diff != "" {
		t.Error(diff)
	}
	if (claim == nil) != (wantClaim == nil) || claim != nil && *claim != *wantClaim {
		t.Errorf("claim: got %v, want %v", claim, wantClaim)
	}
	values := map[string][]string{} // bytes that JSON can't show are kept as well
	for _, field := range want.Header {
		values[field.Name] = append(values[field.Name], field.Value)
	}
	for _, field := range got.Header {
		if len(values[field.Name]) == 0 || values[field.Name][0] != field.Value {
			t.Fatalf("header %q: got %q, want %q", field.Name, field.Value, values[field.Name])
		}
		values[field.Name] = values[field.Name][1:]
	}
}

// canonicalItem is the item as DynamoDB's JSON has it, with as many escapes as the standard library
// makes.
func canonicalItem(t *testing.T, item dynamodb.Item) string {
	t.Helper()
	text, err := json.Marshal(plain(item))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func plain(item dynamodb.Item) map[string]any {
	form := map[string]any{}
	for name, value := range item {
		form[name] = plainValue(value)
	}
	return form
}

func plainValue(value types.AttributeValue) map[string]any {
	switch value := value.(type) {
	case *types.AttributeValueMemberS:
		return map[string]any{"S": value.Value}
	case *types.AttributeValueMemberB:
		return map[string]any{"B": value.Value}
	case *types.AttributeValueMemberN:
		return map[string]any{"N": value.Value}
	case *types.AttributeValueMemberM:
		return map[string]any{"M": plain(value.Value)}
	case *types.AttributeValueMemberL:
		list := []any{}
		for _, element := range value.Value {
			list = append(list, plainValue(element))
		}
		return map[string]any{"L": list}
	}
	return nil
}

// An item that somebody else wrote is read, or named as what it is.
func TestForeignItems(t *testing.T) {
	text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	number := &types.AttributeValueMemberN{Value: "1"}
	key := func() dynamodb.Item {
		return dynamodb.Item{"Timestamp": text("2026-11-23T14:12:00.123456Z"), "RequestId": text("id")}
	}
	if event, claim, err := dynamodb.Decode(key()); err != nil || claim != nil ||
		event.RequestID != "id" {
		t.Errorf("the shortest item: %v, %v, %v", event, claim, err)
	}
	for name, value := range map[string]types.AttributeValue{
		"Timestamp": text("today"), "RequestId": number, "Source": number, "Body": number, "Headers": text("{}"), "BodyClaim": text("x"),
	} {
		item := key()
		item[name] = value
		if event, _, err := dynamodb.Decode(item); err == nil {
			t.Errorf("%s: got %v", name, event)
		}
	}
	for name, header := range map[string]types.AttributeValue{"value": text("x"),
		"list": &types.AttributeValueMemberL{Value: []types.AttributeValue{number}}} {
		item := key()
		item["Headers"] = &types.AttributeValueMemberM{Value: dynamodb.Item{"A": header}}
		if event, _, err := dynamodb.Decode(item); err == nil {
			t.Errorf("header that is no list of text (%s): got %v", name, event)
		}
	}
	for _, claim := range []dynamodb.Item{
		{"Key": text("k"), "Bytes": number}, {"Key": text("k"), "Sha256": text("s")}, {"Key": number,
			"Bytes": number, "Sha256": text("s")},
		{"Key": text("k"), "Bytes": &types.AttributeValueMemberN{Value: "1.5"}, "Sha256": text("s")},
	} {
		item := key()
		item["BodyClaim"] = &types.AttributeValueMemberM{Value: claim}
		if event, _, err := dynamodb.Decode(item); err == nil {
			t.Errorf("claim %v: got %v", claim, event)
		}
	}
}
