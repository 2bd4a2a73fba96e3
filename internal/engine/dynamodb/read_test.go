package dynamodb_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"pillarbox"
	"pillarbox/internal/engine/dynamodb"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/test/standin/fakedynamo"
)

// scattered are events in hours that are far apart, from the year 2019 on.
func scattered(seed uint64) []*pillarbox.Event {
	events := enginetest.Events(40, seed)
	at := time.Date(2019, 12, 31, 23, 0, 0, 0, time.UTC)
	for i, event := range events {
		switch {
		case i%10 == 0:
			at = at.Add(time.Duration(i) * 30 * time.Hour)
		case i%3 == 0:
			at = at.Add(61 * time.Minute)
		default:
			at = at.Add(time.Microsecond)
		}
		event.Timestamp = pillarbox.TimestampOf(at)
	}
	return events
}

func listAll(t *testing.T, store *dynamodb.Store, filter pillarbox.EventFilter) []*pillarbox.Event {
	t.Helper()
	var all []*pillarbox.Event
	for {
		page, err := store.List(t.Context(), filter)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page...)
		if len(page) < filter.Limit {
			return all
		}
		filter.After = page[len(page)-1].Key()
	}
}

func wantSame(t *testing.T, got, want []*pillarbox.Event) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d events, want %d", len(got), len(want))
	}
	for i := range got {
		if diff := enginetest.Diff(got[i], want[i]); diff != "" {
			t.Fatalf("event %d: %s", i, diff)
		}
	}
}

// Lists cross hours, days and years in which there is nothing, in both directions, and meet every
// event once.
func TestListAcrossEmptyHours(t *testing.T) {
	for _, projection := range []types.ProjectionType{types.ProjectionTypeKeysOnly,
		types.ProjectionTypeAll} {
		b := newBench(t, projection)
		b.options.Shards = 1
		b.options = dynamodb.WithEmptyHours(b.options, 24)
		store := b.open(t)
		events := scattered(1)
		if err := store.Write(t.Context(), events); err != nil {
			t.Fatal(err)
		}
		b.server.HoldReplicas() // that are up to date
		wantSame(t, listAll(t, store, pillarbox.EventFilter{Limit: 7}), events)
		newest := listAll(t, store, pillarbox.EventFilter{Limit: 7, Newest: true})
		slices.Reverse(newest)
		wantSame(t, newest, events)
		middle := pillarbox.EventFilter{Limit: 100, Since: events[11].Timestamp,
			Until: events[33].Timestamp}
		wantSame(t, listAll(t, store, middle), events[11:33])
		middle.Newest = true
		newest = listAll(t, store, middle)
		slices.Reverse(newest)
		wantSame(t, newest, events[11:33])
		if gets := b.server.Calls("BatchGetItem"); (gets == 0) != (projection == types.ProjectionTypeAll) {
			t.Errorf("index of %s: %d times items were read a second time", projection, gets)
		}
	}
}

// Where there is nothing for a long time, a list reads the keys of the index once, instead of
// asking for every hour.
func TestListReadsTheIndexAfterManyEmptyHours(t *testing.T) {
	b := newBench(t, types.ProjectionTypeKeysOnly)
	b.options.Shards = 1
	store := b.open(t)
	old := enginetest.Events(1, 2)
	old[0].Timestamp = pillarbox.TimestampOf(time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC))
	if err := store.Write(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	wantSame(t, listAll(t, store, pillarbox.EventFilter{Limit: 1, Newest: true}), old)
	if queries := b.server.Calls("Query"); queries < dynamodb.MaxEmptyHours ||
		queries > 2*dynamodb.MaxEmptyHours+4 {
		t.Errorf("%d queries", queries)
	}
}

// The hours ahead of the clock are listed for as long as somebody asks for them.
func TestListAheadOfTheClock(t *testing.T) {
	b := newBench(t, types.ProjectionTypeKeysOnly)
	store := b.open(t)
	now := time.Date(2026, 11, 23, 14, 13, 0, 0, time.UTC)
	events := enginetest.Events(3, 3)
	for i, ahead := range []time.Duration{0, 59 * time.Minute, 90 * time.Minute} {
		events[i].Timestamp = pillarbox.TimestampOf(now.Add(ahead))
	}
	if err := store.Write(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	wantSame(t, listAll(t, store, pillarbox.EventFilter{Limit: 10}), events[:2])
	wantSame(t, listAll(t, store, pillarbox.EventFilter{Limit: 10, Until: events[2].Timestamp + 1}),
		events)
	wantSame(t, listAll(t, store, pillarbox.EventFilter{Limit: 10, Until: 1 << 62}), events)
	wantSame(t, listAll(t, store, pillarbox.EventFilter{Limit: 10, Since: 1 << 62}), nil)
}

// Pages of DynamoDB end at a megabyte, and answers with many large items hand keys back.
func TestLargeEvents(t *testing.T) {
	for _, projection := range []types.ProjectionType{types.ProjectionTypeAll, ""} {
		b := newBench(t, projection)
		b.options.Shards = 1
		store := b.open(t)
		events := enginetest.Events(7, 4)
		for i := range events {
			events[i].Body = []byte(strings.Repeat("x", 300<<10))
		}
		if err := store.Write(t.Context(), events); err != nil {
			t.Fatal(err)
		}
		b.server.Trickle("BatchGetItem", 3, 2)
		wantSame(t, listAll(t, store, pillarbox.EventFilter{Limit: 100}), events)
		if count, err := store.Count(t.Context()); err != nil || count != 7 {
			t.Errorf("count: %d, %v", count, err)
		}
	}
}

// Only the index may lag behind: what reads the table sees every write.
func TestReadsAfterWrite(t *testing.T) {
	for _, projection := range []types.ProjectionType{types.ProjectionTypeKeysOnly, ""} {
		b := newBench(t, projection)
		store := b.open(t)
		b.server.HoldReplicas()
		events := enginetest.Events(30, 5)
		if err := store.Write(t.Context(), events); err != nil {
			t.Fatal(err)
		}
		wantAccount(t, store, events, nil)
		if count, err := store.Count(t.Context()); err != nil || count != 30 {
			t.Errorf("count: %d, %v", count, err)
		}
		if at, err := store.StoredAt(t.Context(), events[0].Key()); err != nil || at == 0 {
			t.Errorf("stored at: %v, %v", at, err)
		}
		if projection == "" {
			wantSame(t, listAll(t, store, pillarbox.EventFilter{Limit: 100}), events)
			continue
		}
		if found, err := store.Find(t.Context(), events[0].RequestID); !errors.Is(err,
			pillarbox.ErrNotFound) {
			t.Errorf("found by an index that lags behind: %v, %v", found, err)
		}
		b.server.ReleaseReplicas()
		if _, err := store.Find(t.Context(), events[0].RequestID); err != nil {
			t.Error(err)
		}
	}
}

// A UUIDv7 is found by its time, without a scan, also where its time is at the end of an hour.
func TestFindByTime(t *testing.T) {
	b := newBench(t, types.ProjectionTypeKeysOnly)
	store := b.open(t)
	event := enginetest.Events(1, 6)[0]
	event.Timestamp = pillarbox.TimestampOf(time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC))
	event.RequestID = fmt.Sprintf("%s-7aaa-8aaa-aaaaaaaaaaaa",
		uuidTime(time.Date(2026, 11, 23, 13, 59, 59, 900_000_000, time.UTC)))
	if err := store.Write(t.Context(), []*pillarbox.Event{event}); err != nil {
		t.Fatal(err)
	}
	found, err := store.Find(t.Context(), event.RequestID)
	if err != nil || enginetest.Diff(found, event) != "" || b.server.Calls("Scan") != 0 {
		t.Errorf("got %v, %v with %d scans", found, err, b.server.Calls("Scan"))
	}
}

// Other ids cost a scan of the index, and no walk through the hours; so does a list by id that is
// not within bounds.
func TestFindByScan(t *testing.T) {
	b := newBench(t, types.ProjectionTypeKeysOnly)
	store := b.open(t)
	events := enginetest.Events(30, 9)
	events[7].RequestID = "L0ca1-id="
	if err := store.Write(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	found, err := store.Find(t.Context(), events[7].RequestID)
	if err != nil || enginetest.Diff(found, events[7]) != "" {
		t.Errorf("got %v, %v", found, err)
	}
	wantSame(t, listAll(t, store, pillarbox.EventFilter{Limit: 5, RequestID: events[8].RequestID,
		Source: events[8].Source}), events[8:9])
	if scans, queries := b.server.Calls("Scan"), b.server.Calls(
		"Query"); scans != 2*dynamodb.ScanSegments || queries != 0 {
		t.Errorf("%d scans, %d queries", scans, queries)
	}
	wantSame(t, listAll(t, store, pillarbox.EventFilter{Limit: 5, RequestID: events[8].RequestID,
		Since: events[0].Timestamp}), events[8:9])
	if scans := b.server.Calls("Scan"); scans != 2*dynamodb.ScanSegments {
		t.Errorf("within bounds: %d scans", scans)
	}
}

// A page behind a cursor begins there, without looking for a beginning.
func TestPagesCostNoScan(t *testing.T) {
	b := newBench(t, types.ProjectionTypeKeysOnly)
	store := b.open(t)
	events := enginetest.Events(30, 10)
	if err := store.Write(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	got, err := store.List(t.Context(), pillarbox.EventFilter{Limit: 10, After: events[9].Key()})
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, got, events[10:20])
	if got, err = store.List(t.Context(),
		pillarbox.EventFilter{Limit: 10, After: events[20].Key(), Newest: true}); err != nil {
		t.Fatal(err)
	}
	slices.Reverse(got)
	wantSame(t, got, events[10:20])
	if scans := b.server.Calls("Scan"); scans != 0 {
		t.Errorf("%d scans", scans)
	}
}

// asked is a client that notes how many keys are asked for at once.
type asked struct {
	dynamodb.API
	keys []int
}

func (a *asked) BatchGetItem(ctx context.Context, in *awsdynamodb.BatchGetItemInput,
	options ...func(*awsdynamodb.Options)) (*awsdynamodb.BatchGetItemOutput, error) {
	a.keys = append(a.keys, len(in.RequestItems[tableName].Keys))
	return a.API.BatchGetItem(ctx, in, options...)
}

// Keys that are handed back are asked for again, and no others.
func TestUnprocessedKeysAreAskedForAgain(t *testing.T) {
	b := newBench(t, "")
	events := enginetest.Events(30, 11)
	client := &asked{API: b.client}
	store := b.openWith(t, client)
	if err := store.Write(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	b.server.Trickle("BatchGetItem", 12, 2)
	wantAccount(t, store, events, nil)
	if want := []int{30, 18, 6}; !slices.Equal(client.keys, want) {
		t.Errorf("asked for %v keys, want %v", client.keys, want)
	}
}

func uuidTime(at time.Time) string {
	text := fmt.Sprintf("%012x", at.UnixMilli())
	return text[:8] + "-" + text[8:]
}

// Keys that are handed back again and again are an outage, and no answer.
func TestThrottledReads(t *testing.T) {
	b := newBench(t, "")
	store := b.open(t)
	store.RecordWaits()
	events := enginetest.Events(10, 7)
	if err := store.Write(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	b.server.Trickle("BatchGetItem", 0, dynamodb.MaxTries)
	if missing, err := store.Missing(t.Context(), keysOf(events)); !errors.Is(err,
		pillarbox.ErrUnavailable) {
		t.Errorf("got %d keys, %v", len(missing), err)
	}
	b.server.Trickle("BatchGetItem", 0, dynamodb.MaxTries-1)
	wantAccount(t, store, events, nil)
	for name, read := range map[string]func() error{
		"list": func() error {
			_, err := store.List(t.Context(),
				pillarbox.EventFilter{})
			return err
		},
		"find":    func() error { _, err := store.Find(t.Context(), "x"); return err },
		"count":   func() error { _, err := store.Count(t.Context()); return err },
		"missing": func() error { _, err := store.Missing(t.Context(), keysOf(events)); return err },
		"stored":  func() error { _, err := store.StoredAt(t.Context(), events[0].Key()); return err },
	} {
		b.server.Refuse(fakedynamo.ErrThroughput)
		if err := read(); !errors.Is(err, pillarbox.ErrUnavailable) {
			t.Errorf("%s: got %v", name, err)
		}
		b.server.Allow()
	}
}

// After Close every call says so, and a read that is under way ends.
func TestReadsAfterClose(t *testing.T) {
	b := newBench(t, "")
	store := b.open(t)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	_, listErr := store.List(t.Context(), pillarbox.EventFilter{})
	_, findErr := store.Find(t.Context(), "x")
	_, countErr := store.Count(t.Context())
	_, missingErr := store.Missing(t.Context(), nil)
	_, storedErr := store.StoredAt(t.Context(), pillarbox.Key{})
	for _, err := range []error{listErr, findErr, countErr, missingErr, storedErr,
		store.Check(t.Context())} {
		if !errors.Is(err, pillarbox.ErrClosed) {
			t.Errorf("got %v", err)
		}
	}
}

// endless is a client of a table whose scans never end.
type endless struct {
	dynamodb.API
	scanning func()
}

func (e *endless) Scan(context.Context, *awsdynamodb.ScanInput,
	...func(*awsdynamodb.Options)) (*awsdynamodb.ScanOutput, error) {
	e.scanning()
	return &awsdynamodb.ScanOutput{Count: 1,
		LastEvaluatedKey: dynamodb.Item{"Timestamp": &types.AttributeValueMemberS{Value: "x"}}}, nil
}

// Close ends a read that is under way, and returns after it.
func TestCloseWhileReading(t *testing.T) {
	b := newBench(t, "")
	started := make(chan struct{})
	var once sync.Once
	store := b.openWith(t, &endless{API: b.client,
		scanning: func() { once.Do(func() { close(started) }) }})
	read := make(chan error, 1)
	go func() {
		_, err := store.Count(t.Context())
		read <- err
	}()
	<-started
	if err := store.Close(); err != nil {
		t.Error(err)
	}
	select {
	case err := <-read:
		if !errors.Is(err, pillarbox.ErrClosed) {
			t.Errorf("got %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("close did not wait for the read")
	}
}

// Hours with events in them are walked through, however many there are.
func TestListThroughFullHours(t *testing.T) {
	b := newBench(t, types.ProjectionTypeKeysOnly)
	b.options.Shards = 1
	b.options = dynamodb.WithEmptyHours(b.options, 3)
	store := b.open(t)
	events := enginetest.Events(20, 12)
	for i := range events {
		events[i].Timestamp = pillarbox.TimestampOf(time.Date(2026, 11, 22, 18+i, 0, 0, 0, time.UTC))
	}
	if err := store.Write(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	wantSame(t, listAll(t, store, pillarbox.EventFilter{Limit: 100, Since: events[0].Timestamp}),
		events)
	if scans := b.server.Calls("Scan"); scans != 0 {
		t.Errorf("%d scans", scans)
	}
}

// An index that is being built can't be read yet.
func TestCheckOfIndexThatIsBeingBuilt(t *testing.T) {
	b := newBench(t, types.ProjectionTypeKeysOnly)
	store := b.openWith(t, building{b.client})
	if err := store.Check(t.Context()); !errors.Is(err, pillarbox.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

type building struct{ dynamodb.API }

func (b building) DescribeTable(ctx context.Context, in *awsdynamodb.DescribeTableInput,
	options ...func(*awsdynamodb.Options)) (*awsdynamodb.DescribeTableOutput, error) {
	out, err := b.API.DescribeTable(ctx, in, options...)
	if err == nil {
		out.Table.GlobalSecondaryIndexes[0].IndexStatus = types.IndexStatusCreating
	}
	return out, err
}

// A read of many pages ends when its context does.
func TestReadThatIsGivenUp(t *testing.T) {
	b := newBench(t, "")
	store := b.open(t)
	b.server.Stall(1, "Scan")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := store.Count(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// Check says what is wrong with the table, in time for whoever starts the server.
func TestCheck(t *testing.T) {
	for _, test := range []struct {
		name  string
		index string
		make  func(b *bench, t *testing.T)
		want  error
	}{
		{"right", indexName, nil, nil},
		{"no index is needed", "", nil, nil},
		{"another index", "Other", nil, pillarbox.ErrInvalid},
		{"no table", "", func(b *bench, t *testing.T) { b.drop(t) }, pillarbox.ErrNotFound},
		{"other keys", "", func(b *bench, t *testing.T) {
			b.drop(t)
			b.createWith(t, "RequestId", "Timestamp", "TimeBucket", "TimeSort")
		}, pillarbox.ErrInvalid},
		{"another index key", indexName, func(b *bench, t *testing.T) {
			b.drop(t)
			b.createWith(t, "Timestamp", "RequestId", "TimeSort", "TimeBucket")
		}, pillarbox.ErrInvalid},
		{"throttled", "", func(b *bench, _ *testing.T) { b.server.Throttle(1) },
			pillarbox.ErrUnavailable},
		{"unreachable", "", func(b *bench, _ *testing.T) { b.server.HangUp(9) },
			pillarbox.ErrUnavailable},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, types.ProjectionTypeKeysOnly)
			if test.make != nil {
				test.make(b, t)
			}
			b.options.Index = test.index
			if err := b.open(t).Check(t.Context()); !errors.Is(err, test.want) ||
				(err == nil) != (test.want == nil) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

func (b *bench) drop(t *testing.T) {
	t.Helper()
	if _, err := b.client.DeleteTable(t.Context(),
		&awsdynamodb.DeleteTableInput{TableName: aws.String(tableName)}); err != nil {
		t.Fatal(err)
	}
}

// createWith makes a table with another key, and an index with another.
func (b *bench) createWith(t *testing.T, hash, sort, indexHash, indexSort string) {
	t.Helper()
	_, err := b.client.CreateTable(t.Context(), &awsdynamodb.CreateTableInput{
		TableName: aws.String(tableName), BillingMode: types.BillingModePayPerRequest, KeySchema: schema(
			hash, sort),
		AttributeDefinitions: define(hash, sort, indexHash, indexSort),
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{{
			IndexName: aws.String(indexName), KeySchema: schema(indexHash,
				indexSort), Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A table with other keys refuses every item, and no event is to blame for that.
func TestWriteToOtherKeys(t *testing.T) {
	b := newBench(t, "")
	b.drop(t)
	b.createWith(t, "Source", "RequestId", "TimeBucket", "TimeSort")
	events := enginetest.Events(2, 8)
	events[0].Source, events[1].Source = "", ""
	for _, batch := range [][]*pillarbox.Event{events, events[:1]} {
		if err := b.open(t).Write(t.Context(), batch); !errors.Is(err, pillarbox.ErrUnavailable) ||
			pillarbox.IsPermanent(err) {
			t.Errorf("got %v", err)
		}
	}
}

// TestOneBadItemCostsItself: an item that somebody has changed by hand, one with a key of another
// form and one whose body is gone are named beside the events that a list returns.
func TestOneBadItemCostsItself(t *testing.T) {
	for name, projection := range map[string]types.ProjectionType{
		"keys": types.ProjectionTypeKeysOnly, "all": types.ProjectionTypeAll, "no index": ""} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, projection)
			store := b.open(t)
			events := enginetest.Events(12, 31)
			events[5] = sized(t, store, dynamodb.MaxItemBytes+1, 32)
			events[5].Timestamp = events[4].Timestamp + 1
			if err := store.Write(t.Context(), events); err != nil {
				t.Fatal(err)
			}
			delete(b.bodies.kept, b.bodies.keys()[0])
			number := &types.AttributeValueMemberN{Value: "1"}
			changed, foreign := store.Encode(events[3], nil, 1), store.Encode(events[7], nil, 1)
			changed["Source"] = number
			foreign["Timestamp"] = &types.AttributeValueMemberS{Value: "2026-today"}
			for _, item := range []dynamodb.Item{changed, foreign} {
				if _, err := b.client.PutItem(t.Context(), &awsdynamodb.PutItemInput{
					TableName: aws.String(tableName), Item: item}); err != nil {
					t.Fatal(err)
				}
			}
			good := slices.Concat(events[:3], events[4:5], events[6:])
			found, err := store.List(t.Context(), pillarbox.EventFilter{Limit: len(good)})
			slices.SortFunc(good, func(x, y *pillarbox.Event) int {
				return cmp.Or(cmp.Compare(x.Timestamp, y.Timestamp), cmp.Compare(x.RequestID, y.RequestID))
			})
			wantSame(t, found, good)
			var others *pillarbox.UnreadableError
			if !errors.As(err, &others) || others.Count != 3 {
				t.Fatalf("beside them: %v; want three named", err)
			}
			for _, part := range []string{"Source of event " + events[3].RequestID, "2026-today",
				"body of event " + events[5].RequestID} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%v does not name %q", err, part)
				}
			}
			if found, err := store.Find(t.Context(), events[8].RequestID); err != nil ||
				enginetest.Diff(found, events[8]) != "" {
				t.Errorf("find another one: %v, %v", found, err)
			}
		})
	}
}

// A search reads no more items than it may, whatever the caller would let it: each of them costs.
func TestASearchReadsNoMoreThanItMay(t *testing.T) {
	store := newBench(t, types.ProjectionTypeAll).open(t)
	events := enginetest.Events(dynamodb.MaxLooked+100, 7)
	for batch := range slices.Chunk(events, 1000) {
		if err := store.Write(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	filter := pillarbox.EventFilter{Content: &pillarbox.ContentFilter{Path: "/nowhere"}, Since: events[0].Timestamp,
		Until: events[len(events)-1].Timestamp + 1, MaxScan: 10 * dynamodb.MaxLooked}
	found, err := store.List(t.Context(), filter)
	var ended *pillarbox.ScanLimitError
	if len(found) > 0 || !errors.As(err, &ended) || ended.Looked != dynamodb.MaxLooked || ended.Last != events[dynamodb.MaxLooked-1].Key() {
		t.Fatalf("found %d, %v", len(found), err)
	}
	filter.After = ended.Last
	if found, err := store.List(t.Context(), filter); len(found) > 0 || err != nil {
		t.Errorf("behind it: found %d, %v", len(found), err)
	}
}
