package ingest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/engine/memory"
)

// sinkhole is a queue that keeps nothing.
type sinkhole struct{ pillarbox.Queue }

func (sinkhole) Append(context.Context, []*pillarbox.Event) error { return nil }

func requestsOf(n int) []Request {
	header := pillarbox.Header{
		{Name: "Content-Type", Value: "application/json"}, {Name: "Content-Length", Value: "5"}, {Name: "User-Agent", Value: "test"},
		{Name: "X-Github-Event", Value: "push"}, {Name: "Authorization", Value: "Bearer x"},
	}
	requests := make([]Request, n)
	for i := range requests {
		requests[i] = Request{Source: "app", Method: "POST", Path: "/app", Query: "a=1&b=2", Header: header, Body: []byte("hello")}
	}
	return requests
}

// TestAcceptingManyAllocatesOnce: all ids of one call are one text, and everything else is used again.
func TestAcceptingManyAllocatesOnce(t *testing.T) {
	acceptor := New(sinkhole{}, Options{Sources: map[string]Source{"app": {}}})
	requests := requestsOf(100)
	var results []Result
	accept := func() {
		if results = acceptor.AcceptInto(context.Background(), requests, results); results[99].Err != nil {
			t.Fatal(results[99].Err)
		}
	}
	accept()
	if n := testing.AllocsPerRun(100, accept); n > 30 { // and not once for each: the pool may be emptied meanwhile, and is with the race detector
		t.Errorf("%v allocations for 100 requests", n)
	}
}

// TestResultsTakeThePlaceOfOldOnes: what was in the slice before doesn't show through.
func TestResultsTakeThePlaceOfOldOnes(t *testing.T) {
	queue := memory.NewQueue(nil)
	acceptor := New(queue, Options{Sources: map[string]Source{"app": {}}})
	results := acceptor.Accept(context.Background(), []Request{{Source: "app"}, {Source: "none"}, {Source: "app"}})
	receipt := results[0].Receipt
	results = acceptor.AcceptInto(context.Background(), []Request{{Source: "none"}, {Source: "app"}}, results)
	if len(results) != 2 || results[0].Err == nil || results[0].Receipt != (pillarbox.Receipt{}) || results[1].Err != nil {
		t.Errorf("results %+v", results)
	}
	if results[1].Receipt.RequestID == receipt.RequestID || len(receipt.RequestID) != idBytes {
		t.Errorf("receipts %+v and %+v", receipt, results[1].Receipt)
	}
}

// TestNamesAreLearnedWithinBounds: a client that invents names takes no memory, and names that lie in a buffer
// may change after the call.
func TestNamesAreLearnedWithinBounds(t *testing.T) {
	filter := HeaderPolicy{Deny: []string{"X-Denied"}}.filter()
	for i := range 10 * maxLearned {
		if !filter.keeps(fmt.Sprintf("X-%d", i)) || filter.keeps(fmt.Sprintf("X-%d-Token", i)) {
			t.Fatalf("wrong about name %d", i)
		}
	}
	filter.keeps(strings.Repeat("x", 10*maxLearnedName))
	learned := *filter.learned.Load()
	if len(learned) > maxLearned {
		t.Errorf("%d names are learned", len(learned))
	}
	for name := range learned {
		if len(name) > maxLearnedName {
			t.Errorf("a name of %d bytes is learned", len(name))
		}
	}
	for _, name := range append(commonHeaders, "X-Denied", "x-denied", "X-1", "COOKIE", "cookie") {
		if filter.keeps(name) != filter.decide(name) {
			t.Errorf("%s is remembered wrongly", name)
		}
	}
}

func BenchmarkAccept(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			acceptor := New(sinkhole{}, Options{Sources: map[string]Source{"app": {}}})
			requests := requestsOf(n)
			var results []Result
			b.ReportAllocs()
			b.SetBytes(int64(n * len(requests[0].Body)))
			for b.Loop() {
				results = acceptor.AcceptInto(context.Background(), requests, results)
			}
		})
	}
}
