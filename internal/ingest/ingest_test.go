package ingest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/memory"
	"pillarbox/internal/ingest"
	"pillarbox/internal/source"
)

// app is a request that was let in.
var app = grant(source.Settings{Name: "app"})

func grant(settings source.Settings) source.Grant {
	g, _, err := source.New(settings, source.Options{}).AdmitOne(&source.Head{Method: "POST"}, nil)
	if err != nil {
		panic(err)
	}
	return g
}

func accept(t *testing.T, queue pillarbox.Queue, options ingest.Options,
	requests ...ingest.Request) []ingest.Result {
	t.Helper()
	return ingest.New(queue, options).Accept(context.Background(), requests)
}

func leaseAll(t *testing.T, queue pillarbox.Queue) []pillarbox.Delivery {
	t.Helper()
	deliveries, err := queue.Lease(context.Background(), "events",
		pillarbox.LeaseLimits{MaxEvents: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return deliveries
}

// TestReceiptNamesWhatIsQueued accepts three requests with one append and finds them again, body
// for body.
func TestReceiptNamesWhatIsQueued(t *testing.T) {
	queue := memory.NewQueue(nil)
	requests := []ingest.Request{
		{Grant: app, Method: "POST", Path: "/app", Query: "a=1&a=2", ContentType: "text/plain",
			RemoteAddr: "203.0.113.7", Body: []byte("hello")},
		{Grant: app, Body: []byte{0, 0xff, 0x80}},
		{Grant: app},
	}
	results := accept(t, queue, ingest.Options{}, requests...)
	deliveries := leaseAll(t, queue)
	if len(deliveries) != 3 {
		t.Fatalf("%d events are queued, want 3", len(deliveries))
	}
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	for i, result := range results {
		event := deliveries[i].Event
		if result.Err != nil || result.Receipt.RequestID != event.RequestID ||
			result.Receipt.Timestamp != event.Timestamp || result.Receipt.Status != "accepted" {
			t.Errorf("result %d is %+v for event %+v", i, result, event)
		}
		if !uuid.MatchString(event.RequestID) {
			t.Errorf("%q is no UUIDv7", event.RequestID)
		}
		if string(event.Body) != string(requests[i].Body) || event.Query != requests[i].Query {
			t.Errorf("event %d is %+v", i, event)
		}
	}
}

// TestStampsNeverGoBackwards lets the clock jump back an hour while many accept at once.
func TestStampsNeverGoBackwards(t *testing.T) {
	queue := memory.NewQueue(nil)
	var mu sync.Mutex
	calls := 0
	start := time.Date(2026, 11, 23, 14, 0, 0, 123456789, time.UTC)
	acceptor := ingest.New(queue, ingest.Options{Now: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		calls++
		if calls > 200 {
			return start.Add(-time.Hour)
		}
		return start.Add(time.Duration(calls) * time.Microsecond)
	}})
	var running sync.WaitGroup
	seen := sync.Map{}
	for range 8 {
		running.Go(func() {
			last := pillarbox.Timestamp(0)
			for range 50 {
				receipt := acceptor.Accept(context.Background(), []ingest.Request{{Grant: app}})[0].Receipt
				if receipt.Timestamp < last {
					t.Errorf("%v came after %v", receipt.Timestamp, last)
				}
				last = receipt.Timestamp
				if _, twice := seen.LoadOrStore(receipt.RequestID, true); twice {
					t.Errorf("%s was given twice", receipt.RequestID)
				}
			}
		})
	}
	running.Wait()
}

func TestRequestIDsSortLikeTimestamps(t *testing.T) {
	queue := memory.NewQueue(nil)
	now := time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC)
	last := ""
	acceptor := ingest.New(queue, ingest.Options{Now: func() time.Time { return now }})
	for range 3000 {
		now = now.Add(7 * time.Microsecond)
		id := acceptor.Accept(context.Background(), []ingest.Request{{Grant: app}})[0].Receipt.RequestID
		if id <= last {
			t.Fatalf("%s came after %s", id, last)
		}
		last = id
	}
}

// TestIDsSortAsTheyWereGiven: within a call, from call to call, and whether the clock stands still,
// jumps or runs.
func TestIDsSortAsTheyWereGiven(t *testing.T) {
	now := time.Date(2026, 11, 23, 14, 0, 0, 999_999_000, time.UTC)
	acceptor := ingest.New(memory.NewQueue(nil), ingest.Options{Now: func() time.Time { return now }})
	last := pillarbox.Receipt{}
	for _, step := range []time.Duration{0, 0, time.Microsecond, -time.Hour, 0, 2 * time.Hour} {
		now = now.Add(step)
		for _, n := range []int{1, 2, 7, 1000} {
			requests := make([]ingest.Request, n)
			for i := range requests {
				requests[i].Grant = app
				if i%5 == 4 {
					requests[i].Grant = source.Grant{}
				}
			}
			for _, result := range acceptor.Accept(context.Background(), requests) {
				if result.Err != nil {
					continue
				}
				if receipt := result.Receipt; receipt.RequestID <= last.RequestID ||
					receipt.Timestamp < last.Timestamp {
					t.Fatalf("%+v came after %+v", receipt, last)
				}
				last = result.Receipt
			}
		}
	}
	if ahead := last.Timestamp.Time().Sub(now); ahead > time.Millisecond {
		t.Errorf("the stamps are %v ahead of the clock", ahead)
	}
}

// TestABatchIsAcceptedLikeItsRequests: events, results and order are the same, and only ids and
// times are others.
func TestABatchIsAcceptedLikeItsRequests(t *testing.T) {
	all := ingest.Request{
		Grant: app, Method: "POST", Path: "/app/batch", Query: "token=x&a=1", ContentType: "application/json", RemoteAddr: "203.0.113.7",
		Header: pillarbox.Header{{Name: "Cookie", Value: "c"}, {Name: "X-One", Value: "1"}},
	}
	bodies := [][]byte{[]byte("1"), []byte("12345"), nil, []byte("1234"), []byte("2")}
	for name, from := range map[string]source.Grant{
		"app": grant(source.Settings{Name: "app", MaxBody: 4}), "no grant": {}} {
		all.Grant = from
		requests := make([]ingest.Request, len(bodies))
		for i, body := range bodies {
			requests[i] = all
			requests[i].Body = body
		}
		queues := [2]*memory.Queue{memory.NewQueue(nil), memory.NewQueue(nil)}
		options := ingest.Options{}
		one := ingest.New(queues[0], options).Accept(t.Context(), requests)
		other := ingest.New(queues[1], options).AcceptBatch(t.Context(), all, bodies, nil)
		for i := range bodies {
			if fmt.Sprint(one[i].Err) != fmt.Sprint(other[i].Err) ||
				(one[i].Receipt.RequestID == "") != (other[i].Receipt.RequestID == "") {
				t.Errorf("%s: result %d is %+v in a batch, and else %+v", name, i, other[i], one[i])
			}
		}
		if name == "no grant" {
			continue
		}
		wanted, got := leaseAll(t, queues[0]), leaseAll(t, queues[1])
		for i := range wanted {
			want, event := *wanted[i].Event, *got[i].Event
			want.RequestID, want.Timestamp, event.RequestID, event.Timestamp = "", 0, "", 0
			if diff := enginetest.Diff(&event, &want); diff != "" {
				t.Errorf("event %d: %s", i, diff)
			}
		}
		if len(wanted) != 4 || len(got) != 4 {
			t.Errorf("%d and %d events, want 4", len(wanted), len(got))
		}
	}
}

// TestOneBadRequestTouchesNoOther mixes good and bad requests, and a queue that refuses one of
// them.
func TestOneBadRequestTouchesNoOther(t *testing.T) {
	queue := memory.NewQueue(nil)
	short := grant(source.Settings{Name: "app", MaxBody: 3})
	results := accept(t, queue, ingest.Options{},
		ingest.Request{Grant: short, Body: []byte("abc")},
		ingest.Request{Grant: short, Body: []byte("abcd")},
		ingest.Request{Grant: source.Grant{}},
		ingest.Request{Grant: app, Body: []byte("x")},
	)
	if results[0].Err != nil || results[3].Err != nil {
		t.Errorf("good requests got %v and %v", results[0].Err, results[3].Err)
	}
	if !errors.Is(results[1].Err, pillarbox.ErrTooLarge) ||
		!strings.Contains(results[1].Err.Error(), "sources.app.max_body") {
		t.Errorf("a body over the limit got %v", results[1].Err)
	}
	if !errors.Is(results[2].Err, pillarbox.ErrNotFound) {
		t.Errorf("an unknown source got %v", results[2].Err)
	}
	if n := len(leaseAll(t, queue)); n != 2 {
		t.Errorf("%d events are queued, want 2", n)
	}
}

func TestNoReceiptWithoutDurability(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault error
		bad   []bool
	}{
		{"whole append fails", fmt.Errorf("disk: %w", pillarbox.ErrNoSpace), []bool{true, true, true}},
		{"one event fails", &pillarbox.BatchError{
			Items: []pillarbox.ItemError{{Index: 1, Err: pillarbox.ErrUnavailable}}}, []bool{
			false, true, false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			queue := memory.NewQueue(nil)
			queue.SetFault(func([]*pillarbox.Event) error { return c.fault })
			results := accept(t, queue, ingest.Options{}, ingest.Request{Grant: app},
				ingest.Request{Grant: app}, ingest.Request{Grant: app})
			for i, result := range results {
				if (result.Err != nil) != c.bad[i] || (result.Receipt.RequestID == "") != c.bad[i] {
					t.Errorf("result %d is %+v", i, result)
				}
			}
		})
	}
}

// TestCredentialsAreNeverQueued puts a canary into every place where senders put credentials.
func TestCredentialsAreNeverQueued(t *testing.T) {
	const canary = "canary-7f3a"
	var header pillarbox.Header
	for _, name := range []string{
		"Authorization", "authorization", "Proxy-Authorization", "Cookie", "Set-Cookie", "X-Api-Key", "X-API-KEY",
		"Api-Key", "Api_Key", "X-Auth", "Dpop", "Ocp-Apim-Subscription-Key", "X-Amz-Security-Token", "X-Gitlab-Token",
		"Cf-Access-Jwt-Assertion", "X-Goog-Iap-Jwt-Assertion", "X-Csrf-Token", "X-Secret", "Connection",
	} {
		header = append(header, pillarbox.HeaderField{Name: name, Value: canary})
	}
	header = append(header, pillarbox.HeaderField{Name: "X-Github-Event", Value: "push"},
		pillarbox.HeaderField{Name: "X-Hub-Signature-256", Value: "sha256=1"})
	queue := memory.NewQueue(nil)
	query := "a=1&token=" + canary + "&b=%20x&API_KEY=" + canary + "&j%77t=" + canary + "&empty&user[token]=" + canary
	accept(t, queue, ingest.Options{},
		ingest.Request{Grant: app, Header: header, Query: query, Traceparent: canary})
	event := leaseAll(t, queue)[0].Event
	text, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), canary) {
		t.Errorf("a credential is queued: %s", text)
	}
	if len(event.Header) != 2 {
		t.Errorf("kept headers %v, want the two that carry no credential", event.Header)
	}
	if want := "a=1&token=REDACTED&b=%20x&API_KEY=REDACTED&j%77t=REDACTED&empty&user[token]=REDACTED"; event.Query != want {
		t.Errorf("query %q, want %q", event.Query, want)
	}
}

func TestHeaderPolicyChooses(t *testing.T) {
	header := pillarbox.Header{{Name: "X-One", Value: "1"}, {Name: "X-Two", Value: "2"},
		{Name: "X-Two", Value: "3"}, {Name: "Cookie", Value: "c"}}
	for _, c := range []struct {
		policy source.HeaderPolicy
		want   string
	}{
		{source.HeaderPolicy{}, `{"X-One":["1"],"X-Two":["2","3"]}`},
		{source.HeaderPolicy{Allow: []string{"x-two"}}, `{"X-Two":["2","3"]}`},
		{source.HeaderPolicy{Allow: []string{"cookie"}}, `{}`},
		{source.HeaderPolicy{Deny: []string{"X-TWO"}}, `{"X-One":["1"]}`},
	} {
		queue := memory.NewQueue(nil)
		accept(t, queue, ingest.Options{},
			ingest.Request{Grant: grant(source.Settings{Name: "app", Headers: c.policy}), Header: header})
		if got, _ := json.Marshal(leaseAll(t, queue)[0].Event.Header); string(got) != c.want {
			t.Errorf("policy %+v keeps %s, want %s", c.policy, got, c.want)
		}
	}
}

func TestOnlyWellFormedTraceparentIsKept(t *testing.T) {
	const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for text, want := range map[string]string{
		good: good, "": "", "00-xyz": "", strings.ToUpper(
			good): "", good + "-more": "", "01" + good[2:] + "-more": "01" + good[2:],
		"ff" + good[2:]: "", "00-00000000000000000000000000000000-b7ad6b7169203331-01": "",
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01": "",
	} {
		queue := memory.NewQueue(nil)
		accept(t, queue, ingest.Options{}, ingest.Request{Grant: app, Traceparent: text})
		if got := leaseAll(t, queue)[0].Event.Traceparent; got != want {
			t.Errorf("traceparent %q became %q, want %q", text, got, want)
		}
	}
}

// TestStampsAreKeysOnAnyClock accepts on clocks that stand at the epoch and before it.
func TestStampsAreKeysOnAnyClock(t *testing.T) {
	for _, now := range []time.Time{time.UnixMicro(0), time.Unix(-3600, 0)} {
		got := accept(t, memory.NewQueue(nil), ingest.Options{Now: func() time.Time { return now }},
			ingest.Request{Grant: app})[0]
		if got.Err != nil || got.Receipt.Timestamp <= 0 ||
			got.Receipt.RequestID[:13] != "00000000-0000" || got.Receipt.RequestID[14] != '7' {
			t.Errorf("at %v: %+v, %v", now, got.Receipt, got.Err)
		}
	}
}

// TestGatewaysIDIsTheEventsID mixes requests that bring an id with one that does not.
func TestGatewaysIDIsTheEventsID(t *testing.T) {
	queue := memory.NewQueue(nil)
	var stamped pillarbox.Key
	results := accept(t, queue, ingest.Options{},
		ingest.Request{Grant: app, RequestID: "JKJaXmPLvHcESHA=",
			Stamped: func(event *pillarbox.Event) { stamped = event.Key() }},
		ingest.Request{Grant: app},
		ingest.Request{Grant: app, RequestID: "b"},
	)
	deliveries := leaseAll(t, queue)
	for i, want := range []string{"JKJaXmPLvHcESHA=", "", "b"} {
		got := results[i].Receipt.RequestID
		if got != deliveries[i].Event.RequestID || (want != "" && got != want) ||
			(want == "" && len(got) != 36) {
			t.Errorf("receipt %d is for %q, the event is %q, want %q", i, got,
				deliveries[i].Event.RequestID, want)
		}
	}
	if stamped.RequestID != "JKJaXmPLvHcESHA=" || stamped.Timestamp != results[0].Receipt.Timestamp {
		t.Errorf("stamped as %+v, the receipt is %+v", stamped, results[0].Receipt)
	}
}
