package fakesqs

import (
	"bytes"
	"context"
	"encoding/base64"
	"time"

	"pillarbox/test/standin/awsjson"
)

// maxVisibilitySeconds bounds how long a message may stay hidden after it was received.
const maxVisibilitySeconds = 43_200

type handleEntry struct {
	ID                string `json:"Id"`
	ReceiptHandle     string
	VisibilityTimeout *int
}

// findLocked returns the message whose last receive gave the handle, or nil.
func (q *queue) findLocked(handle string) (*message, error) {
	if handle == "" {
		return nil, missing("ReceiptHandle")
	}
	if text, err := base64.StdEncoding.DecodeString(handle); err != nil ||
		bytes.Count(text, []byte(" ")) != handleParts-1 {
		return nil, errHandle.With("The input receipt handle \"%s\" is not a valid receipt handle.",
			handle)
	}
	return q.handles[handle], nil
}

// deleteLocked deletes the message. A handle that is not that of the last receive deletes nothing,
// and is not refused: so SQS documents it.
func (q *queue) deleteLocked(handle string) error {
	m, err := q.findLocked(handle)
	if err != nil {
		return err
	}
	if m != nil {
		q.drop(m)
	}
	return nil
}

// changeLocked sets when the message is shown again.
func (s *Server) changeLocked(q *queue, handle string, timeout *int) error {
	if timeout == nil {
		return missing("VisibilityTimeout")
	}
	if *timeout < 0 || *timeout > maxVisibilitySeconds {
		return invalid(*timeout, "VisibilityTimeout",
			"VisibilityTimeout must be an integer between 0 and 43200.")
	}
	now := s.options.Now()
	m, err := q.findLocked(handle)
	switch {
	case err != nil:
		return err
	case m == nil || q.expired(m, now):
		return invalid(handle, "ReceiptHandle",
			"Message does not exist or is not available for visibility timeout change.")
	case !m.inFlight(now):
		return errNotInFlight
	}
	until := now.Add(time.Duration(*timeout) * time.Second)
	if until.Sub(m.received) > maxVisibilitySeconds*time.Second {
		return invalid(*timeout, "VisibilityTimeout",
			"Total VisibilityTimeout for the message is beyond the limit [43200 seconds]")
	}
	m.visibleAt = until
	s.wakeLocked()
	return nil
}

func (s *Server) deleteMessage(_ context.Context, _ awsjson.Call, in *struct {
	QueueURL      string `json:"QueueUrl"`
	ReceiptHandle string
}) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.queueLocked(in.QueueURL)
	if err != nil {
		return nil, err
	}
	return struct{}{}, q.deleteLocked(in.ReceiptHandle)
}

func (s *Server) changeMessageVisibility(_ context.Context, _ awsjson.Call, in *struct {
	QueueURL          string `json:"QueueUrl"`
	ReceiptHandle     string
	VisibilityTimeout *int
}) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.queueLocked(in.QueueURL)
	if err != nil {
		return nil, err
	}
	return struct{}{}, s.changeLocked(q, in.ReceiptHandle, in.VisibilityTimeout)
}

type handleBatch struct {
	QueueURL string `json:"QueueUrl"`
	Entries  []handleEntry
}

func (s *Server) deleteMessageBatch(_ context.Context, _ awsjson.Call,
	in *handleBatch) (any, error) {
	for _, entry := range in.Entries {
		if entry.VisibilityTimeout != nil {
			return nil, &awsjson.Error{Code: "SerializationException",
				Message: "VisibilityTimeout in a DeleteMessageBatch"}
		}
	}
	return s.settleBatch("DeleteMessageBatch", in, func(q *queue, entry handleEntry) error {
		return q.deleteLocked(entry.ReceiptHandle)
	})
}

func (s *Server) changeMessageVisibilityBatch(_ context.Context, _ awsjson.Call,
	in *handleBatch) (any, error) {
	return s.settleBatch("ChangeMessageVisibilityBatch", in, func(q *queue, entry handleEntry) error {
		return s.changeLocked(q, entry.ReceiptHandle, entry.VisibilityTimeout)
	})
}

func (s *Server) settleBatch(operation string, in *handleBatch,
	settle func(*queue, handleEntry) error) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.queueLocked(in.QueueURL)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, entry := range in.Entries {
		ids = append(ids, entry.ID)
	}
	if err := checkIDs(ids); err != nil {
		return nil, err
	}
	answer := batchAnswer{Successful: []any{}}
	for _, entry := range in.Entries {
		failed := s.entryFaultLocked(operation, entry.ID)
		if failed == nil {
			if err := settle(q, entry); err != nil {
				failed = failure(entry.ID, err)
			}
		}
		if failed != nil {
			answer.Failed = append(answer.Failed, failed)
			continue
		}
		answer.Successful = append(answer.Successful, map[string]string{"Id": entry.ID})
	}
	return answer, nil
}
