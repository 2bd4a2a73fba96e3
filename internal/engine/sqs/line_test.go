package sqs_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"pillarbox"
	"pillarbox/internal/engine/sqs"
)

// line is an SQS for a bubble, into which no network leads.
type line struct {
	sqs.API
	t      *testing.T
	holds  int                            // how many calls wait for held; 0 is one
	held   chan struct{}                  // the first calls wait until it is closed; nil: none waits
	refuse string                         // the event that is at fault
	fail   func(call int) error           // of the whole call, counted from 0; nil: none fails
	lose   func(call int, id string) bool // of one event, for no fault of its own; nil: none

	mu    sync.Mutex
	calls [][]string // ids of the events in each call; guarded by mu
}

func (l *line) GetQueueAttributes(_ context.Context, in *awssqs.GetQueueAttributesInput,
	_ ...func(*awssqs.Options)) (*awssqs.GetQueueAttributesOutput, error) {
	attributes := map[string]string{}
	for _, name := range in.AttributeNames {
		attributes[string(name)] = "0"
	}
	return &awssqs.GetQueueAttributesOutput{Attributes: attributes}, nil
}

func (l *line) SendMessageBatch(ctx context.Context, in *awssqs.SendMessageBatchInput,
	_ ...func(*awssqs.Options)) (*awssqs.SendMessageBatchOutput, error) {
	ids := make([]string, len(in.Entries))
	for i, sent := range in.Entries {
		ids[i] = requestID(l.t, aws.ToString(sent.MessageBody))
	}
	l.mu.Lock()
	call := len(l.calls)
	l.calls = append(l.calls, ids)
	l.mu.Unlock()
	if call < max(1, l.holds) && l.held != nil {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-l.held:
		}
	}
	if l.fail != nil && l.fail(call) != nil {
		return nil, l.fail(call)
	}
	out := &awssqs.SendMessageBatchOutput{}
	for i, id := range ids {
		if id == l.refuse || l.lose != nil && l.lose(call, id) {
			out.Failed = append(out.Failed, types.BatchResultErrorEntry{Id: in.Entries[i].Id,
				Code: aws.String("InTheTest"), SenderFault: id == l.refuse})
		} else {
			out.Successful = append(out.Successful, types.SendMessageBatchResultEntry{Id: in.Entries[i].Id})
		}
	}
	return out, nil
}

// sent says which events were in each call.
func (l *line) sent() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprint(l.calls)
}

// place is a queue on a line.
type place struct {
	*sqs.Queue
	*testing.T
}

func (l *line) open(options sqs.Options) place {
	l.t.Helper()
	queue, err := sqs.Open(l, "https://sqs.us-east-1.amazonaws.com/1/events", options)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = queue.Close() })
	return place{queue, l.t}
}

// appending is an Append that runs.
type appending struct {
	cancel context.CancelFunc
	ended  chan struct{}
	err    error         // once it has ended
	took   time.Duration // once it has ended
}

// start appends one event for each id, and returns when that waits for SQS.
func (p place) start(ids ...string) *appending {
	events := make([]*pillarbox.Event, len(ids))
	for i, id := range ids {
		events[i] = &pillarbox.Event{Timestamp: 1, RequestID: id, Source: "app"}
	}
	return p.startWith(events...)
}

func (p place) startWith(events ...*pillarbox.Event) *appending {
	ctx, cancel := context.WithCancel(p.T.Context())
	a := &appending{cancel: cancel, ended: make(chan struct{})}
	begun := time.Now()
	go func() {
		defer cancel()
		a.err = p.Append(ctx, events)
		a.took = time.Since(begun)
		close(a.ended)
	}()
	synctest.Wait()
	return a
}

// check waits for the end, and compares how long it took and how it ended with what is wanted: nil
// or kinds of errors.
func (p place) check(name string, a *appending, took time.Duration, kinds ...error) {
	p.Helper()
	<-a.ended
	if a.took != took {
		p.Errorf("%s took %v, want %v", name, a.took, took)
	}
	if len(kinds) == 0 && a.err != nil {
		p.Errorf("%s: %v, want nil", name, a.err)
	}
	for _, kind := range kinds {
		if !errors.Is(a.err, kind) {
			p.Errorf("%s: %v, want %v", name, a.err, kind)
		}
	}
}

// pending is how many events were confirmed and not settled.
func (p place) pending() uint64 {
	p.Helper()
	account, err := p.Account(destination)
	if err != nil {
		p.Fatal(err)
	}
	return account.Pending
}
