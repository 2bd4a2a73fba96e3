package enginetest

import (
	"context"
	"iter"
	"sync"

	"pillarbox"
)

// Spans counts calls of roles by name. It may be used concurrently.
type Spans struct {
	mu     sync.Mutex
	counts map[string]int
}

func (s *Spans) add(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts == nil {
		s.counts = map[string]int{}
	}
	s.counts[name]++
}

// Count returns how often a method was called.
func (s *Spans) Count(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[name]
}

// TraceQueue decorates a queue as somebody would who traces calls: it embeds the role, and replaces
// the methods that it looks at. Everything that the engine can do is left, because nothing is asked
// for beside the role.
func TraceQueue(queue pillarbox.Queue, spans *Spans) pillarbox.Queue {
	return &tracedQueue{Queue: queue, spans: spans}
}

type tracedQueue struct {
	pillarbox.Queue
	spans *Spans
}

func (q *tracedQueue) Append(ctx context.Context, events []*pillarbox.Event) error {
	q.spans.add("Append")
	return q.Queue.Append(ctx, events)
}

func (q *tracedQueue) AppendInline(ctx context.Context, events []*pillarbox.Event) error {
	q.spans.add("AppendInline")
	return q.Queue.AppendInline(ctx, events)
}

func (q *tracedQueue) Lease(ctx context.Context, destination string,
	limits pillarbox.LeaseLimits) ([]pillarbox.Delivery, error) {
	q.spans.add("Lease")
	return q.Queue.Lease(ctx, destination, limits)
}

func (q *tracedQueue) Settle(ctx context.Context, destination string,
	outcomes []pillarbox.Outcome) error {
	q.spans.add("Settle")
	return q.Queue.Settle(ctx, destination, outcomes)
}

func (q *tracedQueue) Requeue(ctx context.Context, letters []*pillarbox.DeadLetter) error {
	q.spans.add("Requeue")
	return q.Queue.Requeue(ctx, letters)
}

// TraceSink is TraceQueue for a sink.
func TraceSink(sink pillarbox.Sink, spans *Spans) pillarbox.Sink {
	return &tracedSink{Sink: sink, spans: spans}
}

type tracedSink struct {
	pillarbox.Sink
	spans *Spans
}

func (s *tracedSink) Write(ctx context.Context, events []*pillarbox.Event) error {
	s.spans.add("Write")
	return s.Sink.Write(ctx, events)
}

func (s *tracedSink) List(ctx context.Context,
	filter pillarbox.EventFilter) ([]*pillarbox.Event, error) {
	s.spans.add("List")
	return s.Sink.List(ctx, filter)
}

// TraceDeadLetters is TraceQueue for dead letters.
func TraceDeadLetters(letters pillarbox.DeadLetters, spans *Spans) pillarbox.DeadLetters {
	return &tracedLetters{DeadLetters: letters, spans: spans}
}

type tracedLetters struct {
	pillarbox.DeadLetters
	spans *Spans
}

func (l *tracedLetters) PutMany(ctx context.Context, letters []*pillarbox.DeadLetter) error {
	l.spans.add("PutMany")
	return l.DeadLetters.PutMany(ctx, letters)
}

func (l *tracedLetters) List(ctx context.Context,
	filter pillarbox.DeadLetterFilter) iter.Seq2[*pillarbox.DeadLetter, error] {
	l.spans.add("List")
	return l.DeadLetters.List(ctx, filter)
}
