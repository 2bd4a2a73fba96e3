// Package fakedynamo is an in-memory stand-in for Amazon DynamoDB, for tests: the real SDK talks to
// it.
//
// It knows tables whose keys are strings, global secondary indexes, single items, batches, queries
// and scans with conditions, filters, projections, pages and segments, and checks sizes, keys and
// types as DynamoDB does. What it does not know (updates, transactions, streams, sets, paths into
// documents) it refuses with a ValidationException that says so; nothing is ignored in silence.
// Names in expressions must be placeholders (#name), because it does not have DynamoDB's list of
// words that are reserved.
//
// Tables are there at once and reads see every write. That is kinder than DynamoDB, whose reads are
// eventually consistent unless asked not to be, and those of indexes always: HoldReplicas takes it
// back.
package fakedynamo

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"pillarbox/test/standin/awsjson"
)

const coralValidation = "com.amazon.coral.validate"

// The errors that a test may want DynamoDB to answer.
var (
	ErrThroughput = &awsjson.Error{Code: "ProvisionedThroughputExceededException",
		Message: "The level of configured provisioned throughput for the table was exceeded. Consider increasing your provisioning level with the UpdateTable API."}
	ErrThrottling = &awsjson.Error{Code: "ThrottlingException",
		Message: "Throughput exceeds the current capacity of your table or index."}
	ErrRequestLimit = &awsjson.Error{Code: "RequestLimitExceeded",
		Message: "Throughput exceeds the current throughput limit for your account."}
	ErrValidation = &awsjson.Error{Code: "ValidationException", Namespace: coralValidation,
		Message: "One or more parameter values were invalid"}
	ErrNotFound = &awsjson.Error{Code: "ResourceNotFoundException",
		Message: "Requested resource not found"}
	ErrTooLarge = &awsjson.Error{Code: "RequestEntityTooLarge",
		Namespace: "com.amazon.coral.service", Status: http.StatusRequestEntityTooLarge, Message: "Request size exceeded."}
	ErrCollection = &awsjson.Error{Code: "ItemCollectionSizeLimitExceededException",
		Message: "Collection size exceeded."}
)

var (
	errInUse     = &awsjson.Error{Code: "ResourceInUseException"}
	errCondition = &awsjson.Error{Code: "ConditionalCheckFailedException",
		Message: "The conditional request failed"}
)

// invalid is a ValidationException.
func invalid(format string, args ...any) *awsjson.Error {
	return ErrValidation.With(format, args...)
}

// unknown is a ValidationException that is the stand-in's own.
func unknown(format string, args ...any) *awsjson.Error {
	return ErrValidation.With("the stand-in does not know "+format, args...)
}

// Server is the stand-in. It is an http.Handler. The faults are those of awsjson.Server, and
// Trickle and HoldReplicas.
type Server struct {
	*awsjson.Server
	now func() time.Time

	mu       sync.Mutex
	tables   map[string]*table // guarded by mu
	sequence uint64            // of writes; guarded by mu
	held     *uint64           // the last write that eventually consistent reads see, nil for all; guarded by mu
	trickles []*trickle        // guarded by mu
}

// trickle is a batch operation that does a part of what it is asked.
type trickle struct {
	operation string
	perCall   int
	calls     int
}

// New returns a stand-in without tables. now is nil for time.Now.
func New(now func() time.Time) *Server {
	if now == nil {
		now = time.Now
	}
	s := &Server{now: now, tables: map[string]*table{}}
	s.Server = awsjson.NewServer(awsjson.Service{
		Target: "DynamoDB_20120810", Version: "1.0", Namespace: "com.amazonaws.dynamodb.v20120810", Throttled: ErrThroughput,
		Operations: map[string]awsjson.Operation{
			"CreateTable":    awsjson.Operate(s.createTable),
			"DescribeTable":  awsjson.Operate(s.describeTable),
			"DeleteTable":    awsjson.Operate(s.deleteTable),
			"ListTables":     awsjson.Operate(s.listTables),
			"PutItem":        awsjson.Operate(s.putItem),
			"GetItem":        awsjson.Operate(s.getItem),
			"DeleteItem":     awsjson.Operate(s.deleteItem),
			"BatchWriteItem": withinBatch(awsjson.Operate(s.batchWriteItem)),
			"BatchGetItem":   awsjson.Operate(s.batchGetItem),
			"Query":          awsjson.Operate(s.query),
			"Scan":           awsjson.Operate(s.scan),
		},
	})
	return s
}

// Trickle lets the next calls of a batch operation do so many of the things that they are asked,
// and hand the others back as unprocessed, in the reverse order.
func (s *Server) Trickle(operation string, perCall, calls int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trickles = append(s.trickles, &trickle{operation, perCall, calls})
}

// trickleLocked returns how many of n things the operation may do now.
func (s *Server) trickleLocked(operation string, n int) int {
	for _, t := range s.trickles {
		if t.operation == operation && t.calls > 0 {
			t.calls--
			return min(n, t.perCall)
		}
	}
	return n
}

// HoldReplicas keeps items that are put from now on from all reads that are not consistent, those
// of indexes included, until ReleaseReplicas.
func (s *Server) HoldReplicas() {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.sequence
	s.held = &last
}

// ReleaseReplicas shows all items to all reads.
func (s *Server) ReleaseReplicas() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = nil
}

// hidesLocked reports whether a read does not see the item yet.
func (s *Server) hidesLocked(e *entry, consistent bool) bool {
	return !consistent && s.held != nil && e.created > *s.held
}

// Peek returns the items of the table as DynamoDB writes them in JSON, in no particular order.
func (s *Server) Peek(name string) []json.RawMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tables[name]
	if t == nil {
		return nil
	}
	var items []json.RawMessage
	for _, e := range t.base.entries {
		text, err := json.Marshal(e.item)
		if err != nil {
			panic("fakedynamo: bug: an item that is no JSON: " + err.Error())
		}
		items = append(items, text)
	}
	return items
}
