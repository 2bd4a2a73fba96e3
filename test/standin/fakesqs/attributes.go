package fakesqs

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"pillarbox/test/standin/awsjson"
)

// The attributes of a queue whose values the stand-in acts on.
const (
	attributeDelay      = "DelaySeconds"
	attributeMaxSize    = "MaximumMessageSize"
	attributeRetention  = "MessageRetentionPeriod"
	attributeWait       = "ReceiveMessageWaitTimeSeconds"
	attributeVisibility = "VisibilityTimeout"
	attributeRedrive    = "RedrivePolicy"
)

// bounds of the attributes that are numbers.
var bounds = map[string]struct{ low, high int }{
	attributeDelay:                 {0, 900},
	attributeMaxSize:               {1024, maxMessageBytes},
	attributeRetention:             {60, 1_209_600},
	attributeWait:                  {0, 20},
	attributeVisibility:            {0, maxVisibilitySeconds},
	"KmsDataKeyReusePeriodSeconds": {60, 86_400},
}

// texts are the attributes that are kept and not acted on.
var texts = []string{"KmsMasterKeyId", "Policy", "RedriveAllowPolicy", "SqsManagedSseEnabled",
	attributeRedrive}

// computed are the attributes that can only be read.
var computed = []string{
	"QueueArn", "CreatedTimestamp", "LastModifiedTimestamp", "ApproximateNumberOfMessages",
	"ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed",
}

func defaultAttributes() map[string]string {
	return map[string]string{
		attributeDelay: "0", attributeMaxSize: strconv.Itoa(
			maxMessageBytes), attributeRetention: "345600",
		attributeWait: "0", attributeVisibility: "30", "SqsManagedSseEnabled": "true",
	}
}

// checkAttributesLocked checks attributes that are to be set. The queue that the redrive policy
// names must exist.
func (s *Server) checkAttributesLocked(attributes map[string]string) error {
	for name, value := range attributes {
		bound, isNumber := bounds[name]
		switch {
		case isNumber:
			n, err := strconv.Atoi(value)
			if err != nil || n < bound.low || n > bound.high {
				return errAttributeValue.With("Invalid value for the parameter %s.", name)
			}
		case strings.HasPrefix(name, "Fifo") || name == "ContentBasedDeduplication" ||
			name == "DeduplicationScope":
			return errUnsupported.With("the stand-in has no FIFO queues, and therefore no %s", name)
		case !slices.Contains(texts, name):
			return errAttributeName.With("Unknown Attribute %s.", name)
		case name == attributeRedrive && value != "":
			if err := s.checkRedriveLocked(value); err != nil {
				return err
			}
		}
	}
	return nil
}

// redrive is a redrive policy: where messages go that were received too often.
type redrive struct {
	target     string // name of the queue
	maxReceive int
}

func (s *Server) checkRedriveLocked(text string) error {
	policy, err := parseRedrive(text)
	if err != nil {
		return err
	}
	if s.queues[policy.target] == nil {
		return invalid(text, attributeRedrive, "Dead letter target does not exist.")
	}
	return nil
}

func parseRedrive(text string) (redrive, error) {
	var policy struct {
		Target     string          `json:"deadLetterTargetArn"`
		MaxReceive json.RawMessage `json:"maxReceiveCount"` // a number, or one in quotes
	}
	if err := json.Unmarshal([]byte(text), &policy); err != nil {
		return redrive{}, invalid(text, attributeRedrive, "Redrive policy is not a valid JSON map.")
	}
	count, err := strconv.Atoi(strings.Trim(string(policy.MaxReceive), `"`))
	if err != nil || count < 1 || count > 1000 {
		return redrive{}, invalid(text, attributeRedrive,
			"Invalid value for maxReceiveCount: must be between 1 and 1000.")
	}
	name, ok := strings.CutPrefix(policy.Target, arnPrefix)
	if !ok {
		return redrive{}, invalid(text, attributeRedrive,
			"deadLetterTargetArn is not the ARN of a queue.")
	}
	return redrive{target: name, maxReceive: count}, nil
}

func (s *Server) setQueueAttributes(_ context.Context, _ awsjson.Call, in *struct {
	QueueURL   string `json:"QueueUrl"`
	Attributes map[string]string
}) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.queueLocked(in.QueueURL)
	if err != nil {
		return nil, err
	}
	if err := s.checkAttributesLocked(in.Attributes); err != nil {
		return nil, err
	}
	q.set(in.Attributes)
	q.modified = s.options.Now()
	return struct{}{}, nil
}

// set takes over attributes that were checked. An empty text removes one.
func (q *queue) set(attributes map[string]string) {
	for name, value := range attributes {
		if value == "" {
			delete(q.attributes, name)
		} else {
			q.attributes[name] = value
		}
		if name == "KmsMasterKeyId" { // a queue is encrypted in one way only
			q.attributes["SqsManagedSseEnabled"] = strconv.FormatBool(value == "")
		}
	}
	q.redrive = redrive{}
	if text := q.attributes[attributeRedrive]; text != "" {
		q.redrive, _ = parseRedrive(text) // it was checked
	}
}

func (s *Server) getQueueAttributes(_ context.Context, _ awsjson.Call, in *struct {
	QueueURL       string `json:"QueueUrl"`
	AttributeNames []string
}) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.queueLocked(in.QueueURL)
	if err != nil {
		return nil, err
	}
	for _, name := range in.AttributeNames {
		_, isNumber := bounds[name]
		if !isNumber && name != "All" && !slices.Contains(texts, name) &&
			!slices.Contains(computed, name) {
			return nil, errAttributeName.With("Unknown Attribute %s.", name)
		}
	}
	attributes := q.allAttributes(s.options.Now())
	if !slices.Contains(in.AttributeNames, "All") {
		for name := range attributes {
			if !slices.Contains(in.AttributeNames, name) {
				delete(attributes, name)
			}
		}
	}
	if len(attributes) == 0 {
		return struct{}{}, nil
	}
	return map[string]any{"Attributes": attributes}, nil
}

// number returns an attribute that is a number.
func (q *queue) number(name string) int {
	n, err := strconv.Atoi(q.attributes[name])
	if err != nil {
		panic(fmt.Sprintf("fakesqs: bug: attribute %s is %q", name, q.attributes[name]))
	}
	return n
}
