package dynamodb

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"pillarbox"
)

// The attributes of an item. They are the format: they never change.
const (
	nameTimestamp   = "Timestamp"
	nameRequestID   = "RequestId"
	nameSource      = "Source"
	nameMethod      = "Method"
	namePath        = "Path"
	nameQuery       = "Query"
	nameHeaders     = "Headers"
	nameContentType = "ContentType"
	nameRemoteAddr  = "RemoteAddr"
	nameTraceparent = "Traceparent"
	nameBody        = "Body"
	nameBodyClaim   = "BodyClaim"
	nameStoredAt    = "StoredAt"
	nameTimeBucket  = "TimeBucket"
	nameTimeSort    = "TimeSort"
	nameAttributes  = "Attributes"

	claimKey    = "Key"
	claimBytes  = "Bytes"
	claimSHA256 = "Sha256"
)

// factNames are the attributes of an item for the texts of pillarbox.Facts, in their order.
var factNames = [pillarbox.FactCount]string{"Caller", "CeId", "CeSource", "CeType", "CeTime", "CeSubject", "Removed"}

// MaxIDBytes bounds a request id: DynamoDB takes 1,024 bytes of a range key, and that of the index
// is the timestamp, a mark and the id.
const MaxIDBytes = 1024 - len("2006-01-02T15:04:05.000000Z#")

const (
	// hourLayout is the hour in TimeBucket.
	hourLayout = "2006-01-02T15"
	// sortMark stands between the halves of the key in TimeSort.
	sortMark = "#"
)

// item is what DynamoDB keeps for an event, or the key of one.
type item = map[string]types.AttributeValue

// encode makes the item of an event. A claim takes the place of the body. The event was checked.
func (s *Store) encode(event *pillarbox.Event, claim *pillarbox.Claim,
	storedAt pillarbox.Timestamp) item {
	i := keyItem(event.Key())
	i[nameTimeBucket] = str(bucketOf(event.Timestamp.Time().Format(hourLayout),
		s.shardOf(event.RequestID)))
	i[nameTimeSort] = str(sortOf(event.Key()))
	i[nameStoredAt] = str(storedAt.String())
	for name, value := range map[string]string{
		nameSource: event.Source, nameMethod: event.Method, namePath: event.Path, nameQuery: event.Query,
		nameContentType: event.ContentType, nameRemoteAddr: event.RemoteAddr, nameTraceparent: event.Traceparent,
	} {
		if value != "" {
			i[name] = text(value)
		}
	}
	if len(event.Header) > 0 {
		i[nameHeaders] = encodeHeader(event.Header)
	}
	if event.Facts != nil {
		encodeFacts(i, event.Facts)
	}
	switch {
	case claim != nil:
		i[nameBodyClaim] = &types.AttributeValueMemberM{Value: item{
			claimKey: text(claim.Key), claimSHA256: text(claim.SHA256),
			claimBytes: &types.AttributeValueMemberN{Value: strconv.FormatInt(claim.Bytes, 10)},
		}}
	case len(event.Body) > 0:
		i[nameBody] = text(string(event.Body))
	}
	return i
}

func encodeFacts(i item, facts *pillarbox.Facts) {
	for at, value := range facts.Texts() {
		if *value != "" {
			i[factNames[at]] = text(*value)
		}
	}
	if len(facts.Attributes) > 0 {
		fields := make(item, len(facts.Attributes))
		for _, a := range facts.Attributes {
			fields[a.Name] = text(a.Value)
		}
		i[nameAttributes] = &types.AttributeValueMemberM{Value: fields}
	}
}

func keyItem(key pillarbox.Key) item {
	return item{nameTimestamp: str(key.Timestamp.String()), nameRequestID: str(key.RequestID)}
}

func str(value string) types.AttributeValue { return &types.AttributeValueMemberS{Value: value} }

// text is S where the value is valid UTF-8, and B otherwise: DynamoDB's strings are Unicode.
func text(value string) types.AttributeValue {
	if utf8.ValidString(value) {
		return str(value)
	}
	return &types.AttributeValueMemberB{Value: []byte(value)}
}

func encodeHeader(header pillarbox.Header) types.AttributeValue {
	lists := make(map[string]*types.AttributeValueMemberL, len(header))
	for _, field := range header {
		name := strings.ToValidUTF8(field.Name, "\uFFFD")
		if lists[name] == nil {
			lists[name] = &types.AttributeValueMemberL{}
		}
		lists[name].Value = append(lists[name].Value, text(field.Value))
	}
	fields := make(item, len(lists))
	for name, values := range lists {
		fields[name] = values
	}
	return &types.AttributeValueMemberM{Value: fields}
}

// shardOf spreads the events of an hour over the parts of the index. It is part of the format.
func (s *Store) shardOf(requestID string) int {
	hash := fnv.New32a()
	hash.Write([]byte(requestID))
	return int(hash.Sum32() % uint32(s.options.Shards))
}

func bucketOf(hour string, shard int) string { return hour + "#" + strconv.Itoa(shard) }

func sortOf(key pillarbox.Key) string { return key.Timestamp.String() + sortMark + key.RequestID }

// checkKey refuses keys that DynamoDB refuses, or could not give back.
func checkKey(key pillarbox.Key) error {
	if _, err := key.Timestamp.MarshalText(); err != nil {
		return err
	}
	switch {
	case key.RequestID == "":
		return pillarbox.Invalid("request id is empty")
	case !utf8.ValidString(key.RequestID):
		return pillarbox.Invalid("request id is not valid UTF-8")
	case len(key.RequestID) > MaxIDBytes:
		return fmt.Errorf("request id of %d bytes, DynamoDB has room for %d: %w", len(key.RequestID),
			MaxIDBytes, pillarbox.ErrTooLarge)
	}
	return nil
}

// decode reads an item. The event's body is empty where there is a claim. Errors: ErrCorrupt.
func decode(i item) (*pillarbox.Event, *pillarbox.Claim, error) {
	key, err := decodeKey(i)
	if err != nil {
		return nil, nil, err
	}
	r := reader{i: i}
	event := &pillarbox.Event{
		Timestamp: key.Timestamp, RequestID: key.RequestID, Source: r.text(nameSource), Method: r.text(
			nameMethod),
		Path: r.text(namePath), Query: r.text(nameQuery), ContentType: r.text(nameContentType),
		RemoteAddr: r.text(nameRemoteAddr), Traceparent: r.text(nameTraceparent), Header: r.header(),
	}
	if body := r.text(nameBody); body != "" {
		event.Body = []byte(body)
	}
	event.Facts = r.facts()
	claim := r.claim()
	if r.bad != "" {
		return nil, nil, fmt.Errorf("attribute %s of event %s has an unknown form: %w", r.bad,
			key.RequestID, pillarbox.ErrCorrupt)
	}
	return event, claim, nil
}

func decodeKey(i item) (pillarbox.Key, error) {
	r := reader{i: i}
	at, err := pillarbox.ParseTimestamp(r.text(nameTimestamp))
	id := r.text(nameRequestID)
	if err != nil || id == "" {
		return pillarbox.Key{}, fmt.Errorf("item with the key %q, %q: %w", r.text(nameTimestamp), id,
			pillarbox.ErrCorrupt)
	}
	return pillarbox.Key{Timestamp: at, RequestID: id}, nil
}

// reader takes attributes out of an item, and remembers the first that has an unknown form.
type reader struct {
	i   item
	bad string
}

// text returns the bytes of S or B, and nothing for an attribute that is not there.
func (r *reader) text(name string) string {
	value, ok := r.i[name]
	if !ok {
		return ""
	}
	found, ok := textOf(value)
	if !ok {
		r.fail(name)
	}
	return found
}

func textOf(value types.AttributeValue) (string, bool) {
	switch value := value.(type) {
	case *types.AttributeValueMemberS:
		return value.Value, true
	case *types.AttributeValueMemberB:
		return string(value.Value), true
	}
	return "", false
}

func (r *reader) fail(name string) {
	if r.bad == "" {
		r.bad = name
	}
}

// header returns the fields sorted by name, as their JSON form is read.
func (r *reader) header() pillarbox.Header {
	value, ok := r.i[nameHeaders]
	if !ok {
		return nil
	}
	fields, ok := value.(*types.AttributeValueMemberM)
	if !ok {
		r.fail(nameHeaders)
		return nil
	}
	var header pillarbox.Header
	for _, name := range slices.Sorted(maps.Keys(fields.Value)) {
		list, ok := fields.Value[name].(*types.AttributeValueMemberL)
		if !ok {
			r.fail(nameHeaders)
			return nil
		}
		for _, value := range list.Value {
			found, ok := textOf(value)
			if !ok {
				r.fail(nameHeaders)
			}
			header = append(header, pillarbox.HeaderField{Name: name, Value: found})
		}
	}
	return header
}

// facts returns what is known of the event, or nil.
func (r *reader) facts() *pillarbox.Facts {
	facts := &pillarbox.Facts{}
	for at, to := range facts.Texts() {
		*to = r.text(factNames[at])
	}
	if value, ok := r.i[nameAttributes]; ok {
		fields, ok := value.(*types.AttributeValueMemberM)
		if !ok {
			r.fail(nameAttributes)
			return nil
		}
		inner := reader{i: fields.Value}
		for name := range fields.Value {
			facts.Attributes.Set(name, inner.text(name))
		}
		if inner.bad != "" {
			r.fail(nameAttributes)
		}
	}
	if facts.IsZero() {
		return nil
	}
	return facts
}

func (r *reader) claim() *pillarbox.Claim {
	value, ok := r.i[nameBodyClaim]
	if !ok {
		return nil
	}
	fields, ok := value.(*types.AttributeValueMemberM)
	if !ok {
		r.fail(nameBodyClaim)
		return nil
	}
	inner := reader{i: fields.Value}
	claim := &pillarbox.Claim{Key: inner.text(claimKey), SHA256: inner.text(claimSHA256)}
	number, ok := fields.Value[claimBytes].(*types.AttributeValueMemberN)
	if ok {
		var err error
		claim.Bytes, err = strconv.ParseInt(number.Value, 10, 64)
		ok = err == nil
	}
	if !ok || inner.bad != "" || claim.Key == "" || claim.SHA256 == "" {
		r.fail(nameBodyClaim)
	}
	return claim
}
