package ingest

import (
	"context"
	"fmt"
	"testing"

	"pillarbox"
	"pillarbox/internal/engine/memory"
	"pillarbox/internal/source"
)

// sinkhole is a queue that keeps nothing.
type sinkhole struct{ pillarbox.Queue }

func (sinkhole) Keys() pillarbox.Keys { return nil }

func (sinkhole) Append(context.Context, []*pillarbox.Event) error { return nil }

// app is a request that was let in.
var app = func() source.Grant {
	grant, _, err := source.New(source.Settings{Name: "app"}, source.Options{}).AdmitOne(&source.Head{Method: "POST"}, nil)
	if err != nil {
		panic(err)
	}
	return grant
}()

func requestsOf(n int) []Request {
	header := pillarbox.Header{
		{Name: "Content-Type", Value: "application/json"}, {Name: "Content-Length",
			Value: "5"}, {Name: "User-Agent", Value: "test"},
		{Name: "X-Github-Event", Value: "push"}, {Name: "Authorization", Value: "Bearer x"},
	}
	requests := make([]Request, n)
	for i := range requests {
		requests[i] = Request{Grant: app, Method: "POST", Path: "/app", Query: "a=1&b=2", Header: header,
			Body: []byte("hello")}
	}
	return requests
}

// TestAcceptingManyAllocatesOnce: all ids of one call are one text, and everything else is used
// again.
func TestAcceptingManyAllocatesOnce(t *testing.T) {
	acceptor := New(sinkhole{}, Options{})
	requests := requestsOf(100)
	var results []Result
	accept := func() {
		if results = acceptor.AcceptInto(context.Background(), requests,
			results); results[99].Err != nil {
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
	acceptor := New(queue, Options{})
	results := acceptor.Accept(context.Background(), []Request{{Grant: app}, {}, {Grant: app}})
	receipt := results[0].Receipt
	results = acceptor.AcceptInto(context.Background(), []Request{{}, {Grant: app}}, results)
	if len(results) != 2 || results[0].Err == nil || results[0].Receipt != (pillarbox.Receipt{}) ||
		results[1].Err != nil {
		t.Errorf("results %+v", results)
	}
	if results[1].Receipt.RequestID == receipt.RequestID || len(receipt.RequestID) != idBytes {
		t.Errorf("receipts %+v and %+v", receipt, results[1].Receipt)
	}
}

func BenchmarkAccept(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			acceptor := New(sinkhole{}, Options{})
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
