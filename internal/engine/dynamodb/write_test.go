package dynamodb_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"pillarbox"
	"pillarbox/internal/engine/dynamodb"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/test/standin/awsjson"
	"pillarbox/test/standin/fakedynamo"
)

// failures returns the errors of a *BatchError by index.
func failures(t *testing.T, err error) map[int]error {
	t.Helper()
	var batch *pillarbox.BatchError
	if !errors.As(err, &batch) {
		t.Fatalf("got %v, want a BatchError", err)
	}
	named := map[int]error{}
	for _, item := range batch.Items {
		if named[item.Index] != nil {
			t.Errorf("event %d is named twice", item.Index)
		}
		named[item.Index] = item.Err
	}
	return named
}

func keysOf(events []*pillarbox.Event) []pillarbox.Key {
	var keys []pillarbox.Key
	for _, event := range events {
		keys = append(keys, event.Key())
	}
	return keys
}

// wantAccount checks that the events which the error does not name are stored, and the others are
// not.
func wantAccount(t *testing.T, store *dynamodb.Store, events []*pillarbox.Event,
	named map[int]error) {
	t.Helper()
	missing, err := store.Missing(t.Context(), keysOf(events))
	if err != nil {
		t.Fatal(err)
	}
	for i, event := range events {
		if gone := slices.Contains(missing, event.Key()); gone != (named[i] != nil) {
			t.Errorf("event %d: missing %t, named with %v", i, gone, named[i])
		}
	}
}

// What DynamoDB did not process is sent again, with waits that grow, within the same write.
func TestUnprocessedItemsAreSentAgain(t *testing.T) {
	b := newBench(t, "")
	store := b.open(t)
	waits := store.RecordWaits()
	events := enginetest.Events(25, 1)
	b.server.Trickle("BatchWriteItem", 7, dynamodb.MaxTries-2)
	if err := store.Write(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	wantAccount(t, store, events, nil)
	if want := []time.Duration{50 * time.Millisecond, 100 * time.Millisecond,
		200 * time.Millisecond}; !slices.Equal(*waits, want) {
		t.Errorf("waits: %v, want %v", *waits, want)
	}
}

// What is left after all tries is named as an outage, and nothing else is. All tries together take
// less than a second.
func TestUnprocessedItemsAreNamed(t *testing.T) {
	b := newBench(t, "")
	store := b.open(t)
	waits := store.RecordWaits()
	events := enginetest.Events(25, 2)
	events = append(events, events[12], events[13]) // which are among those that are left
	b.server.Trickle("BatchWriteItem", 4, dynamodb.MaxTries)
	named := failures(t, store.Write(t.Context(), events))
	wantAccount(t, store, events, named)
	if len(named) != 7 { // 5 items of 25, two of which came twice
		t.Errorf("%d events are named", len(named))
	}
	for i, err := range named {
		if !errors.Is(err, pillarbox.ErrUnavailable) || pillarbox.IsPermanent(err) {
			t.Errorf("event %d: %v", i, err)
		}
	}
	sum := time.Duration(0)
	for _, wait := range *waits {
		sum += wait
	}
	if b.server.Calls("BatchWriteItem") != dynamodb.MaxTries || sum >= time.Second {
		t.Errorf("%d calls with waits of %v", b.server.Calls("BatchWriteItem"), sum)
	}
}

// A call that fails while items are sent again speaks of those items only.
func TestOutageWhileSendingAgain(t *testing.T) {
	b := newBench(t, "")
	events := enginetest.Events(10, 3)
	b.server.Trickle("BatchWriteItem", 6, 1)
	store := b.openWith(t, &hooked{API: b.client, before: func(call int) {
		if call == 2 {
			b.server.Throttle(1)
		}
	}})
	named := failures(t, store.Write(t.Context(), events))
	if len(named) != 4 {
		t.Errorf("%d events are named", len(named))
	}
	wantAccount(t, store, events, named)
}

// hooked is a client that calls a test before each write.
type hooked struct {
	dynamodb.API
	calls  int
	before func(call int)
	change func(*awsdynamodb.BatchWriteItemOutput)
}

func (h *hooked) BatchWriteItem(ctx context.Context, in *awsdynamodb.BatchWriteItemInput,
	options ...func(*awsdynamodb.Options)) (*awsdynamodb.BatchWriteItemOutput, error) {
	h.calls++
	if h.before != nil {
		h.before(h.calls)
	}
	out, err := h.API.BatchWriteItem(ctx, in, options...)
	if err == nil && h.change != nil {
		h.change(out)
	}
	return out, err
}

func (b *bench) openWith(t *testing.T, client dynamodb.API) *dynamodb.Store {
	t.Helper()
	store, err := dynamodb.Open(t.Context(), client, tableName, b.options)
	if err != nil {
		t.Fatal(err)
	}
	store.RecordWaits()
	return store
}

// An answer that hands back something that was not sent is not believed.
func TestAnswerWithForeignItems(t *testing.T) {
	b := newBench(t, "")
	store := b.openWith(t, &hooked{API: b.client, change: func(out *awsdynamodb.BatchWriteItemOutput) {
		item := map[string]types.AttributeValue{
			"Timestamp": &types.AttributeValueMemberS{
				Value: "2026-11-23T14:12:00.000000Z"}, "RequestId": &types.AttributeValueMemberS{Value: "x"}}
		out.UnprocessedItems = map[string][]types.WriteRequest{
			tableName: {{PutRequest: &types.PutRequest{Item: item}}}}
	}})
	if err := store.Write(t.Context(), enginetest.Events(3, 4)); !errors.Is(err,
		pillarbox.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

// None of these is an event's fault. Each is tried once, but for a connection that broke.
func TestOutages(t *testing.T) {
	for _, test := range []struct {
		name  string
		calls int
		fault func(*fakedynamo.Server)
	}{
		{"throughput", 1, func(s *fakedynamo.Server) { s.Throttle(1) }},
		{"throttling", 1, func(s *fakedynamo.Server) { s.FailWith(1, fakedynamo.ErrThrottling) }},
		{"request limit", 1, func(s *fakedynamo.Server) { s.FailWith(1, fakedynamo.ErrRequestLimit) }},
		{"broken inside", 1, func(s *fakedynamo.Server) { s.Fail(1) }},
		{"access denied", 1, func(s *fakedynamo.Server) { s.FailWith(1, awsjson.ErrAccessDenied) }},
		{"expired token", 1, func(s *fakedynamo.Server) { s.FailWith(1, awsjson.ErrExpiredToken) }},
		{"no table", 1, func(s *fakedynamo.Server) { s.FailWith(1, fakedynamo.ErrNotFound) }},
		{"other keys", 1, func(s *fakedynamo.Server) {
			s.FailWith(1, fakedynamo.ErrValidation.With(
				"One or more parameter values were invalid: Missing the key At in the item"))
		}},
		{"connections break", 2, func(s *fakedynamo.Server) { s.HangUp(2) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, "")
			store := b.open(t)
			events := enginetest.Events(20, 5)
			test.fault(b.server)
			err := store.Write(t.Context(), events)
			var batch *pillarbox.BatchError
			if !errors.Is(err, pillarbox.ErrUnavailable) || errors.As(err, &batch) ||
				pillarbox.IsPermanent(err) {
				t.Errorf("got %v", err)
			}
			if got := b.server.Calls("BatchWriteItem"); got != test.calls {
				t.Errorf("%d calls, want %d", got, test.calls)
			}
			if err := store.Write(t.Context(), events); err != nil {
				t.Errorf("afterwards: %v", err)
			}
			wantAccount(t, store, events, nil)
		})
	}
}

// A connection that broke once is nobody's business.
func TestBrokenConnectionIsTriedOnceAgain(t *testing.T) {
	b := newBench(t, "")
	store := b.open(t)
	for _, fault := range []func(int, ...string){b.server.HangUp, b.server.LoseAnswers} {
		fault(1)
		if err := store.Write(t.Context(), enginetest.Events(20, 6)); err != nil {
			t.Error(err)
		}
	}
}

func TestUnreachable(t *testing.T) {
	b := newBench(t, "")
	store := b.openWith(t, newClient(t, "http://127.0.0.1:1"))
	if err := store.Write(t.Context(), enginetest.Events(2, 7)); !errors.Is(err,
		pillarbox.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

// The other side may say how long it wants to be left alone.
func TestRetryAfter(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()
	b := newBench(t, "")
	err := b.openWith(t, newClient(t, server.URL)).Write(t.Context(), enginetest.Events(2, 8))
	if !errors.Is(err, pillarbox.ErrUnavailable) || pillarbox.RetryAfter(err) != 7*time.Second {
		t.Errorf("got %v, wait %v", err, pillarbox.RetryAfter(err))
	}
}

// A write that is given up tells nothing about its events.
func TestWriteThatIsGivenUp(t *testing.T) {
	b := newBench(t, "")
	store := b.open(t)
	b.server.Stall(1)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := store.Write(ctx, enginetest.Events(3, 9))
	if !errors.Is(err, context.DeadlineExceeded) || pillarbox.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
}

// Some calls of one write get through and one does not: the events are told apart.
func TestOneCallOfMany(t *testing.T) {
	b := newBench(t, "")
	store := b.open(t)
	events := enginetest.Events(110, 10)
	b.server.Throttle(1)
	named := failures(t, store.Write(t.Context(), events))
	if len(named) != 25 && len(named) != 10 { // four full calls and the rest
		t.Errorf("%d events are named", len(named))
	}
	wantAccount(t, store, events, named)
}

// A call of several events that is refused does not blame any: the caller splits, and the one that
// is to blame ends alone.
func TestRefusals(t *testing.T) {
	b := newBench(t, "")
	store := b.open(t)
	events := enginetest.Events(60, 11)
	b.server.FailWith(1, fakedynamo.ErrValidation)
	err := store.Write(t.Context(), events)
	var batch *pillarbox.BatchError
	if err == nil || errors.As(err, &batch) || errors.Is(err, pillarbox.ErrUnavailable) ||
		pillarbox.IsPermanent(err) {
		t.Errorf("several events: got %v", err)
	}
	b.server.FailWith(1, fakedynamo.ErrValidation)
	err = store.Write(t.Context(), events[:1])
	if named := failures(t, err); len(named) != 1 || !pillarbox.IsPermanent(named[0]) {
		t.Errorf("one event: got %v", err)
	}
	b.server.FailWith(1, fakedynamo.ErrTooLarge)
	if err = store.Write(t.Context(), events); err == nil || errors.As(err, &batch) ||
		errors.Is(err, pillarbox.ErrUnavailable) {
		t.Errorf("a call that is too large: got %v", err)
	}
	b.server.FailWith(1, fakedynamo.ErrCollection)
	err = store.Write(t.Context(), events[:1])
	if named := failures(t, err); len(named) != 1 || pillarbox.IsPermanent(named[0]) ||
		errors.Is(named[0], pillarbox.ErrUnavailable) {
		t.Errorf("a full partition: got %v", err)
	}
	b.server.FailWith(1, fakedynamo.ErrValidation) // and another call is throttled: that is an outage before it is a refusal
	b.server.Throttle(1)
	if err = store.Write(t.Context(), events); !errors.Is(err, pillarbox.ErrUnavailable) {
		t.Errorf("refused and throttled: got %v", err)
	}
}

// Keys that DynamoDB does not take are refused before it is asked, and the others are stored.
func TestImpossibleKeys(t *testing.T) {
	b := newBench(t, types.ProjectionTypeKeysOnly)
	store := b.open(t)
	events := enginetest.Events(8, 12)
	events[1].RequestID = ""
	events[3].RequestID = "\xff"
	events[4].RequestID = strings.Repeat("x", dynamodb.MaxIDBytes+1)
	events[5].RequestID = strings.Repeat("x", dynamodb.MaxIDBytes)
	events[6].Timestamp = 1 << 62
	named := failures(t, store.Write(t.Context(), events))
	for i := range events {
		if bad := i == 1 || i == 3 || i == 4 || i == 6; bad != (named[i] != nil) || bad &&
			!pillarbox.IsPermanent(named[i]) {
			t.Errorf("event %d: %v", i, named[i])
		}
	}
	wantAccount(t, store, events, named)
	found, err := store.Find(t.Context(), events[5].RequestID)
	if err != nil || found.Timestamp != events[5].Timestamp {
		t.Errorf("the longest id: got %v, %v", found, err)
	}
	for _, id := range []string{events[3].RequestID, events[4].RequestID} {
		if _, err := store.Find(t.Context(), id); !errors.Is(err, pillarbox.ErrNotFound) {
			t.Errorf("find an impossible id: %v", err)
		}
		if list, err := store.List(t.Context(),
			pillarbox.EventFilter{After: pillarbox.Key{Timestamp: events[0].Timestamp,
				RequestID: id}}); err != nil || len(list) == 0 {
			t.Errorf("list behind an impossible key: %d events, %v", len(list), err)
		}
	}
}

// An event that comes several times in one write is one item, and if it fails, all of its places
// are named.
func TestDuplicatesInOneWrite(t *testing.T) {
	b := newBench(t, "")
	store := b.open(t)
	events := enginetest.Events(30, 13)
	events = slices.Concat(events, events, events[:5])
	if err := store.Write(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	if count, err := store.Count(t.Context()); err != nil || count != 30 {
		t.Errorf("count: %d, %v", count, err)
	}
	large := enginetest.Events(3, 14)
	large[1].Query = strings.Repeat("x", dynamodb.MaxItemBytes)
	named := failures(t, store.Write(t.Context(),
		[]*pillarbox.Event{large[1], large[0], large[1], large[2], large[1]}))
	if len(named) != 3 || named[0] == nil || named[2] == nil || named[4] == nil {
		t.Errorf("named: %v", named)
	}
}

func TestOpenRefuses(t *testing.T) {
	b := newBench(t, "")
	for name, open := range map[string]func() (*dynamodb.Store, error){
		"no client": func() (*dynamodb.Store,
			error) {
			return dynamodb.Open(t.Context(), nil, "t", dynamodb.Options{})
		},
		"no table": func() (*dynamodb.Store,
			error) {
			return dynamodb.Open(t.Context(), b.client, "", dynamodb.Options{})
		},
		"many shards": func() (*dynamodb.Store, error) {
			return dynamodb.Open(t.Context(), b.client, "t", dynamodb.Options{Shards: 101})
		},
		"few shards": func() (*dynamodb.Store, error) {
			return dynamodb.Open(t.Context(), b.client, "t", dynamodb.Options{Shards: -1})
		},
	} {
		if store, err := open(); !errors.Is(err, pillarbox.ErrInvalid) {
			t.Errorf("%s: got %v, %v", name, store, err)
		}
	}
	if calls := fmt.Sprint(b.server.Calls("DescribeTable"), b.server.Calls("Query"),
		b.server.Calls("Scan")); calls != "0 0 0" {
		t.Errorf("opening made calls: %s", calls)
	}
}
