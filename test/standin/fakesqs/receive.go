package fakesqs

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"pillarbox/test/standin/awsjson"
)

// clockPeriod is how often a long poll looks at a clock that a test may have moved.
const clockPeriod = 2 * time.Millisecond

type receiveInput struct {
	QueueURL                    string `json:"QueueUrl"`
	MaxNumberOfMessages         *int
	WaitTimeSeconds             *int
	VisibilityTimeout           *int
	AttributeNames              []string
	MessageSystemAttributeNames []string
	MessageAttributeNames       []string
	ReceiveRequestAttemptID     string `json:"ReceiveRequestAttemptId"`
}

// received is a message in the answer.
type received struct {
	MessageID         string `json:"MessageId"`
	ReceiptHandle     string
	BodySum           string `json:"MD5OfBody"`
	Body              string
	Attributes        map[string]string    `json:",omitempty"`
	AttributesSum     string               `json:"MD5OfMessageAttributes,omitempty"`
	MessageAttributes map[string]attribute `json:",omitempty"`
}

func (in *receiveInput) check() error {
	within := func(value *int, high int) bool { return value == nil || *value >= 0 && *value <= high }
	switch {
	case in.ReceiveRequestAttemptID != "":
		return errParameter.With("The request include parameter that is not valid for this queue type")
	case !within(in.MaxNumberOfMessages, maxBatchEntries) || in.MaxNumberOfMessages != nil &&
		*in.MaxNumberOfMessages == 0:
		return invalid(*in.MaxNumberOfMessages, "MaxNumberOfMessages",
			"Must be between 1 and 10, if provided.")
	case !within(in.WaitTimeSeconds, 20):
		return invalid(*in.WaitTimeSeconds, "WaitTimeSeconds", "Must be >= 0 and <= 20, if provided.")
	case !within(in.VisibilityTimeout, maxVisibilitySeconds):
		return invalid(*in.VisibilityTimeout, "VisibilityTimeout",
			"Must be between 0 and 43200, if provided.")
	}
	for _, name := range slices.Concat(in.AttributeNames, in.MessageSystemAttributeNames) {
		if name != "All" && !slices.Contains(systemAttributes, name) {
			return errAttributeName.With("Unknown Attribute %s.", name)
		}
	}
	return nil
}

// receiveMessage waits as long as it was asked to for at least one message.
func (s *Server) receiveMessage(ctx context.Context, _ awsjson.Call,
	in *receiveInput) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	start, started := s.options.Now(), time.Now()
	ticker := time.NewTicker(clockPeriod)
	defer ticker.Stop()
	for waits := false; ; {
		if ctx.Err() != nil {
			return struct{}{}, nil // nobody would learn of what is handed out
		}
		s.mu.Lock()
		messages, wait, err := s.receiveLocked(in)
		changed := s.changed
		s.mu.Unlock()
		over := s.options.Now().Sub(start) >= wait
		switch {
		case err != nil:
			return nil, err
		case len(messages) > 0:
			return map[string]any{"Messages": messages}, nil
		case over:
			return struct{}{}, nil
		case time.Since(started) >= wait:
			s.count(&s.overslept, 1)
			return struct{}{}, nil
		case !waits:
			waits = true
			s.count(&s.polls, 1)
			defer s.count(&s.polls, -1)
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-ticker.C:
		}
	}
}

// receiveLocked returns what can be received now, and how long the caller wants to wait for that.
func (s *Server) receiveLocked(in *receiveInput) ([]received, time.Duration, error) {
	q, err := s.queueLocked(in.QueueURL)
	if err != nil {
		return nil, 0, err
	}
	now := s.options.Now()
	most, wait, visibility := 1, q.number(attributeWait), q.number(attributeVisibility)
	for value, given := range map[*int]*int{&most: in.MaxNumberOfMessages, &wait: in.WaitTimeSeconds,
		&visibility: in.VisibilityTimeout} {
		if given != nil {
			*value = *given
		}
	}
	if q.isOver(s.options.MaxInFlight, now) {
		if wait == 0 {
			return nil, 0, errOverLimit
		}
		return nil, time.Duration(wait) * time.Second, nil // a long poll is silent about it
	}
	var answer []received
	for _, m := range s.pickLocked(q, now, most) {
		q.hand(m, now, time.Duration(visibility)*time.Second)
		answer = append(answer, m.answer(in))
	}
	return answer, time.Duration(wait) * time.Second, nil
}

// isOver reports whether so many messages are in flight.
func (q *queue) isOver(most int, now time.Time) bool {
	if len(q.messages) < most {
		return false
	}
	inFlight := 0
	for _, m := range q.messages {
		if !m.gone && m.inFlight(now) {
			inFlight++
		}
	}
	return inFlight >= most
}

// pickLocked takes up to most messages that are visible. Those that were received too often go to
// the dead-letter queue instead, and those that a test wants twice come behind the others once
// more.
func (s *Server) pickLocked(q *queue, now time.Time, most int) []*message {
	candidates := q.messages
	if s.options.Reorder {
		candidates = slices.Clone(candidates)
		s.random.Shuffle(len(candidates),
			func(i, j int) { candidates[i], candidates[j] = candidates[j], candidates[i] })
	}
	var picked, rejected []*message
	for i := 0; i < len(candidates) && len(picked) < most; i++ {
		m := candidates[i]
		if !m.visible(now) || q.expired(m, now) {
			continue
		}
		if s.rejected(q, m) {
			rejected = append(rejected, m)
			continue
		}
		picked = append(picked, m)
		if s.duplicates > 0 {
			s.duplicates--
			s.sequence++
			twin := *m
			twin.sequence = s.sequence
			q.add(&twin)
			candidates = append(slices.Clip(candidates), &twin)
		}
	}
	for _, m := range rejected {
		s.rejectLocked(q, m)
	}
	return picked
}

// rejected reports whether the message was received too often, and there is a queue for such.
func (s *Server) rejected(q *queue, m *message) bool {
	return s.queues[q.redrive.target] != nil && m.here >= q.redrive.maxReceive
}

// rejectLocked moves the message to the dead-letter queue. It stays what it is: its id, the time
// of sending and the number of receives.
func (s *Server) rejectLocked(q *queue, m *message) {
	moved := *m
	q.drop(m)
	moved.source, moved.here, moved.handle, moved.delayed = q.arn(), 0, "", false
	s.queues[q.redrive.target].add(&moved)
	s.wakeLocked()
}

// handleParts is how many parts a receipt handle has.
const handleParts = 4

// hand marks the message as received.
func (q *queue) hand(m *message, now time.Time, visibility time.Duration) {
	if m.receives == 0 {
		m.firstReceive = now
	}
	m.receives++
	m.here++
	m.delayed, m.received, m.visibleAt = false, now, now.Add(visibility)
	delete(q.handles, m.handle)
	m.handle = base64.StdEncoding.EncodeToString(
		fmt.Appendf(nil, "%s %s %d %d", m.id, q.name, m.sequence, m.receives))
	q.handles[m.handle] = m
}

var systemAttributes = []string{
	"SenderId", "SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp", "AWSTraceHeader",
	"DeadLetterQueueSourceArn", "SequenceNumber", "MessageDeduplicationId", "MessageGroupId",
}

func (m *message) answer(in *receiveInput) received {
	milliseconds := func(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
	system := map[string]string{
		"SenderId": "AIDAIENQZJOLO23YVJ4VO", "SentTimestamp": milliseconds(m.sent),
		"ApproximateReceiveCount":          strconv.Itoa(m.receives),
		"ApproximateFirstReceiveTimestamp": milliseconds(m.firstReceive),
	}
	if m.trace != "" {
		system["AWSTraceHeader"] = m.trace
	}
	if m.group != "" {
		system["MessageGroupId"] = m.group
	}
	if m.source != "" {
		system["DeadLetterQueueSourceArn"] = m.source
	}
	asked := slices.Concat(in.AttributeNames, in.MessageSystemAttributeNames)
	if !slices.Contains(asked, "All") {
		for name := range system {
			if !slices.Contains(asked, name) {
				delete(system, name)
			}
		}
	}
	attributes := map[string]attribute{}
	for name, value := range m.attributes {
		if slices.ContainsFunc(in.MessageAttributeNames,
			func(pattern string) bool { return asks(pattern, name) }) {
			attributes[name] = value
		}
	}
	return received{
		MessageID: m.id, ReceiptHandle: m.handle, BodySum: sumOfBody(
			m.body), Body: m.body, Attributes: system,
		AttributesSum: sumOfAttributes(attributes), MessageAttributes: attributes,
	}
}

// asks reports whether the pattern of a ReceiveMessage means the attribute.
func asks(pattern, name string) bool {
	prefix, isPrefix := strings.CutSuffix(pattern, ".*")
	return pattern == "All" || pattern == name || isPrefix && strings.HasPrefix(name, prefix)
}
