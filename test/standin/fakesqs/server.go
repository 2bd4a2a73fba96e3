// Package fakesqs is an in-memory stand-in for Amazon SQS, for tests: the real SDK talks to it.
//
// It knows standard queues: visibility and receipt handles, long polls, delays, retention,
// dead-letter queues and the way back from them, attributes of messages and queues, batches that
// fail in part, and the limits and error codes of all that. FIFO queues and policies it does not
// know, and refuses.
//
// It hands messages out in the order in which they were sent, each once per visibility, so that
// tests are repeatable. That is kinder than SQS, which promises neither: Options.Reorder and
// Duplicate take it back.
//
// Time comes from Options.Now. A long poll looks at that clock every few milliseconds, so a test
// may move it, and ends at the latest after its wait in real time, so that a clock that stands
// still does not hang anybody.
package fakesqs

import (
	"math/rand/v2"
	"sync"
	"time"

	"pillarbox/test/standin/awsjson"
)

// DefaultMaxInFlight is how many messages of a standard queue may be received and not deleted.
const DefaultMaxInFlight = 120_000

// Options says how the stand-in differs from the default. The zero value is the default.
type Options struct {
	Now         func() time.Time // nil is time.Now
	Reorder     bool             // hand messages out in a random order
	Seed        uint64           // of the random order
	MaxInFlight int              // 0 is DefaultMaxInFlight
}

// Server is the stand-in. It is an http.Handler. The faults are those of awsjson.Server, and
// Duplicate and FailEntries.
type Server struct {
	*awsjson.Server
	options Options

	mu         sync.Mutex
	random     *rand.Rand           // guarded by mu
	queues     map[string]*queue    // by name; guarded by mu
	deleted    map[string]time.Time // when a queue of that name was deleted; guarded by mu
	sequence   uint64               // guarded by mu
	duplicates int                  // guarded by mu
	entries    []*entryRule         // guarded by mu
	tasks      []moveTask           // guarded by mu
	changed    chan struct{}        // closed when a message was sent or shown again; guarded by mu
	polls      int                  // long polls that wait; guarded by mu
	overslept  int                  // long polls that have ended in real time only; guarded by mu
}

// New returns a stand-in without queues.
func New(options Options) *Server {
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.MaxInFlight == 0 {
		options.MaxInFlight = DefaultMaxInFlight
	}
	s := &Server{
		options: options, random: rand.New(rand.NewPCG(options.Seed, 0)), queues: map[string]*queue{},
		deleted: map[string]time.Time{}, changed: make(chan struct{}),
	}
	s.Server = awsjson.NewServer(awsjson.Service{
		Target: "AmazonSQS", Version: "1.0", Namespace: "com.amazonaws.sqs", Throttled: ErrRequestThrottled,
		Operations: map[string]awsjson.Operation{
			"CreateQueue":                  awsjson.Operate(s.createQueue),
			"GetQueueUrl":                  awsjson.Operate(s.getQueueURL),
			"ListQueues":                   awsjson.Operate(s.listQueues),
			"DeleteQueue":                  awsjson.Operate(s.deleteQueue),
			"PurgeQueue":                   awsjson.Operate(s.purgeQueue),
			"GetQueueAttributes":           awsjson.Operate(s.getQueueAttributes),
			"SetQueueAttributes":           awsjson.Operate(s.setQueueAttributes),
			"TagQueue":                     awsjson.Operate(s.tagQueue),
			"UntagQueue":                   awsjson.Operate(s.untagQueue),
			"ListQueueTags":                awsjson.Operate(s.listQueueTags),
			"SendMessage":                  awsjson.Operate(s.sendMessage),
			"SendMessageBatch":             awsjson.Operate(s.sendMessageBatch),
			"ReceiveMessage":               awsjson.Operate(s.receiveMessage),
			"DeleteMessage":                awsjson.Operate(s.deleteMessage),
			"DeleteMessageBatch":           awsjson.Operate(s.deleteMessageBatch),
			"ChangeMessageVisibility":      awsjson.Operate(s.changeMessageVisibility),
			"ChangeMessageVisibilityBatch": awsjson.Operate(s.changeMessageVisibilityBatch),
			"ListDeadLetterSourceQueues":   awsjson.Operate(s.listDeadLetterSourceQueues),
			"StartMessageMoveTask":         awsjson.Operate(s.startMessageMoveTask),
			"ListMessageMoveTasks":         awsjson.Operate(s.listMessageMoveTasks),
		},
	})
	return s
}

// Duplicate lets each of the next n messages that are received be received once more, whatever
// becomes of it: at once, if the same call has room for it, or later, also after it was deleted.
func (s *Server) Duplicate(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.duplicates += n
}

// EntryFault fails single entries of a batch that succeeds otherwise.
type EntryFault struct {
	Operation   string // the batch operation
	Skip        int    // so many entries pass first
	Entries     int    // so many entries fail then
	Code        string // empty is InternalError
	SenderFault bool
}

type entryRule struct{ EntryFault }

// FailEntries lets entries of the next batches fail. They are not carried out.
func (s *Server) FailEntries(fault EntryFault) {
	if fault.Code == "" {
		fault.Code = "InternalError"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries = append(s.entries, &entryRule{fault})
}

// entryFaultLocked returns how the entry is to fail, or nil.
func (s *Server) entryFaultLocked(operation, id string) *failedEntry {
	for _, rule := range s.entries {
		switch {
		case rule.Operation != operation || rule.Entries == 0:
			continue
		case rule.Skip > 0:
			rule.Skip--
			return nil
		}
		rule.Entries--
		return &failedEntry{ID: id, Code: rule.Code, Message: "a test asked for it",
			SenderFault: rule.SenderFault}
	}
	return nil
}

// Peeked is a message as a test sees it from above.
type Peeked struct {
	ID       string
	Body     string
	Group    string // empty for none
	Trace    string // the system attribute AWSTraceHeader; empty for none
	Receives int    // in all queues where it was
	Visible  bool   // and not delayed or in flight
}

// Peek returns the messages of the queue in the order of sending, without receiving them.
func (s *Server) Peek(name string) []Peeked {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[name]
	if q == nil {
		return nil
	}
	now := s.options.Now()
	q.expire(now)
	var peeked []Peeked
	for _, m := range q.messages {
		if !m.gone {
			peeked = append(peeked, Peeked{ID: m.id, Body: m.body, Group: m.group, Trace: m.trace,
				Receives: m.receives, Visible: m.visible(now)})
		}
	}
	return peeked
}

// Polls returns how many long polls wait: they have noted until when, and have found nothing. Who
// moves the clock for one of them waits for that first.
func (s *Server) Polls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.polls
}

// Overslept returns how many long polls have ended because real time has, with a clock that had not
// come so far.
func (s *Server) Overslept() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.overslept
}

// count changes a number that mu guards.
func (s *Server) count(what *int, by int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*what += by
}

// wakeLocked wakes the long polls.
func (s *Server) wakeLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}
