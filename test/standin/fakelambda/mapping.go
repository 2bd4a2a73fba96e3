package fakelambda

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Source is a queue that a Mapping polls.
type Source interface {
	// Receive returns up to n messages, waiting for the first of them.
	Receive(ctx context.Context, n int, wait time.Duration) ([]Message, error)
	// Delete deletes messages by their receipt handles.
	Delete(ctx context.Context, handles []string) error
	// ARN names the queue in events.
	ARN() string
}

// Message is one message as SQS hands it out. Its JSON form is that of a record in an event.
type Message struct {
	ID            string            `json:"messageId"`
	ReceiptHandle string            `json:"receiptHandle"`
	Body          string            `json:"body"`
	BodySum       string            `json:"md5OfBody"`
	Attributes    map[string]string `json:"attributes"`
}

type record struct {
	Message
	MessageAttributes struct{} `json:"messageAttributes"`
	EventSource       string   `json:"eventSource"`
	EventSourceARN    string   `json:"eventSourceARN"`
	Region            string   `json:"awsRegion"`
}

// Mapping is an event source mapping of a queue.
type Mapping struct {
	Source    Source
	Function  Invoker
	BatchSize int  // default 10
	Report    bool // ReportBatchItemFailures
}

// Result is what became of one batch.
type Result struct {
	Received int
	Deleted  int
	Failure  error // why the whole batch stays, if it does
}

// maxReceive is how many messages one receive brings at most.
const maxReceive = 10

// Poll takes one batch to the function, and deletes what is done. Messages that stay come back when
// SQS says so.
func (m *Mapping) Poll(ctx context.Context, wait time.Duration) (Result, error) {
	batch, err := m.gather(ctx, wait)
	if err != nil || len(batch) == 0 {
		return Result{}, err
	}
	records := make([]record, len(batch))
	for i, message := range batch {
		records[i] = record{Message: message, EventSource: "aws:sqs", EventSourceARN: m.Source.ARN(),
			Region: region}
	}
	payload, err := json.Marshal(map[string]any{"Records": records})
	if err != nil {
		return Result{}, err
	}
	result := Result{Received: len(batch)}
	response, err := m.Function.Invoke(ctx, payload)
	if err != nil {
		result.Failure = err
		return result, nil
	}
	failed := map[string]bool{}
	if m.Report {
		if failed, err = Failures(response, batch); err != nil {
			result.Failure = err
			return result, nil
		}
	}
	var handles []string
	for _, message := range batch {
		if !failed[message.ID] {
			handles = append(handles, message.ReceiptHandle)
		}
	}
	result.Deleted = len(handles)
	return result, m.Source.Delete(ctx, handles)
}

func (m *Mapping) gather(ctx context.Context, wait time.Duration) ([]Message, error) {
	size := m.BatchSize
	if size == 0 {
		size = maxReceive
	}
	var batch []Message
	for len(batch) < size {
		more, err := m.Source.Receive(ctx, min(maxReceive, size-len(batch)), wait)
		if err != nil {
			return batch, err
		}
		if len(more) == 0 {
			break
		}
		batch = append(batch, more...)
		wait = 0
	}
	return batch, nil
}

// Failures reads a response by the rules of ReportBatchItemFailures. Nothing, null, and no list or
// an empty one are success. What is no JSON, and a list that has anything else than the id of a
// message of the batch under the right name, fail the whole batch, which is the error.
func Failures(response []byte, batch []Message) (map[string]bool, error) {
	failed := map[string]bool{}
	if len(response) == 0 {
		return failed, nil
	}
	var form struct {
		BatchItemFailures []map[string]any `json:"batchItemFailures"`
	}
	if err := json.Unmarshal(response, &form); err != nil {
		return nil, fmt.Errorf("the response can't be read: %w", err)
	}
	known := map[string]bool{}
	for _, message := range batch {
		known[message.ID] = true
	}
	for _, item := range form.BatchItemFailures {
		id, ok := item["itemIdentifier"].(string)
		if !ok || !known[id] {
			return nil, fmt.Errorf("the response names %v, which is no message of the batch", item)
		}
		failed[id] = true
	}
	return failed, nil
}
