package fakesqs

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"pillarbox/test/standin/awsjson"
)

// moveTask is one StartMessageMoveTask. The stand-in carries it out at once, so that it is never
// running.
type moveTask struct {
	source, destination string // ARNs
	started             time.Time
	moved, toMove       int
	failure             string
}

func (s *Server) listDeadLetterSourceQueues(_ context.Context, call awsjson.Call, in *struct {
	QueueURL   string `json:"QueueUrl"`
	MaxResults *int
	NextToken  string
}) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.queueLocked(in.QueueURL)
	if err != nil {
		return nil, err
	}
	answer, err := page(call, s.sourcesLocked(q), in.MaxResults, in.NextToken, "queueUrls")
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// sourcesLocked returns the names of the queues whose dead letters go to q.
func (s *Server) sourcesLocked(q *queue) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(s.queues)), func(name string) bool {
		return s.queues[name].redrive.target != q.name
	})
}

func (s *Server) startMessageMoveTask(_ context.Context, _ awsjson.Call, in *struct {
	SourceARN      string `json:"SourceArn"`
	DestinationARN string `json:"DestinationArn"`
	MaxPerSecond   *int   `json:"MaxNumberOfMessagesPerSecond"`
}) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := s.queues[strings.TrimPrefix(in.SourceARN, arnPrefix)]
	to := s.queues[strings.TrimPrefix(in.DestinationARN, arnPrefix)]
	switch {
	case from == nil || in.DestinationARN != "" && to == nil:
		return nil, errNoResource
	case in.MaxPerSecond != nil && (*in.MaxPerSecond < 1 || *in.MaxPerSecond > 500):
		return nil, invalid(*in.MaxPerSecond, "MaxNumberOfMessagesPerSecond",
			"Must be between 1 and 500.")
	case len(s.sourcesLocked(from)) == 0:
		return nil, invalid(in.SourceARN, "SourceArn",
			"Source queue must be configured as a Dead Letter Queue.")
	}
	task := s.moveLocked(from, to)
	s.tasks = append(s.tasks, task)
	handle := fmt.Sprintf(`{"taskId":"%d","sourceArn":"%s"}`, len(s.tasks), in.SourceARN)
	return map[string]string{"TaskHandle": base64.StdEncoding.EncodeToString([]byte(handle))}, nil
}

// moveLocked sends the visible messages on, to the queue or, where it is nil, to where each came
// from. What arrives there is a new message to SQS: it has a new id, a new time of sending, and was
// never received.
func (s *Server) moveLocked(from, to *queue) moveTask {
	now := s.options.Now()
	from.expire(now)
	task := moveTask{source: from.arn(), started: now}
	if to != nil {
		task.destination = to.arn()
	}
	for _, m := range slices.Clone(from.messages) {
		if m.gone || !m.visible(now) {
			continue
		}
		task.toMove++
		target := to
		if target == nil {
			target = s.queues[strings.TrimPrefix(m.source, arnPrefix)]
		}
		if target == nil {
			task.failure = "CouldNotDetermineMessageSource"
			continue
		}
		s.sequence++
		target.add(&message{
			id: newID(s.random.Uint64(), s.sequence), sequence: s.sequence, body: m.body, attributes: m.attributes,
			trace: m.trace, group: m.group, sent: now,
		})
		from.drop(m)
		task.moved++
	}
	s.wakeLocked()
	return task
}

func (s *Server) listMessageMoveTasks(_ context.Context, _ awsjson.Call, in *struct {
	SourceARN  string `json:"SourceArn"`
	MaxResults *int
}) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queues[strings.TrimPrefix(in.SourceARN, arnPrefix)] == nil {
		return nil, errNoResource
	}
	limit := 1
	if in.MaxResults != nil {
		if limit = *in.MaxResults; limit < 1 || limit > 10 {
			return nil, invalid(limit, "MaxResults", "Must be between 1 and 10.")
		}
	}
	results := []map[string]any{}
	for _, task := range slices.Backward(s.tasks) {
		if task.source != in.SourceARN || len(results) == limit {
			continue
		}
		result := map[string]any{
			"SourceArn": task.source, "Status": "COMPLETED", "StartedTimestamp": task.started.UnixMilli(),
			"ApproximateNumberOfMessagesMoved": task.moved, "ApproximateNumberOfMessagesToMove": task.toMove,
		}
		if task.destination != "" {
			result["DestinationArn"] = task.destination
		}
		if task.failure != "" {
			result["Status"], result["FailureReason"] = "FAILED", task.failure
		}
		results = append(results, result)
	}
	return map[string]any{"Results": results}, nil
}
