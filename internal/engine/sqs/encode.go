package sqs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"pillarbox"
)

// encode writes the message as text that SQS takes, and puts its body elsewhere if the text would
// be larger than limit bytes. A body that is elsewhere already stays there. Errors: ErrTooLarge,
// and those of Bodies.
func encode(ctx context.Context, message *pillarbox.Message, limit int,
	bodies pillarbox.Bodies) (string, error) {
	text, err := marshal(message)
	if err != nil || len(text) <= limit {
		return text, err
	}
	if message.Claim != nil {
		return "", withoutBody(text, limit)
	}
	if bodies == nil {
		return "", fmt.Errorf("a message of %d bytes is over the limit of %d bytes of the queue, and no place is configured for large bodies: %w", len(text), limit, pillarbox.ErrTooLarge)
	}
	claim, err := bodies.Put(ctx, message.Event.Key(), message.Event.Body)
	if err != nil {
		return "", fmt.Errorf("keep the body of a message of %d bytes elsewhere: %w", len(text), err)
	}
	claimed := *message
	claimed.Claim = &claim
	if text, err = marshal(&claimed); err == nil && len(text) > limit {
		return "", withoutBody(text, limit)
	}
	return text, err
}

// withoutBody is the error of a message that is too large although its body is elsewhere.
func withoutBody(text string, limit int) error {
	return fmt.Errorf("a message of %d bytes without its body is over the limit of %d bytes of the queue: %w", len(text), limit, pillarbox.ErrTooLarge)
}

// marshal writes JSON in which no character stands that SQS refuses. JSON escapes the control
// characters by itself; of the others that SQS refuses, only U+FFFE and U+FFFF can stand in UTF-8,
// and inside of texts alone.
func marshal(message *pillarbox.Message) (string, error) {
	text, err := json.Marshal(message)
	if err != nil {
		return "", fmt.Errorf("encode message: %w: %w", pillarbox.ErrInvalid, err)
	}
	text = bytes.ReplaceAll(text, []byte("\uFFFE"), []byte(`\ufffe`))
	text = bytes.ReplaceAll(text, []byte("\uFFFF"), []byte(`\uffff`))
	return string(text), nil
}

// groupName is what SQS takes as the name of a message group: letters, digits and punctuation of
// ASCII, 128 at most (quotas-messages.html of its developer guide).
var groupName = regexp.MustCompile(`^[!-~]{1,128}$`)

// groupOf returns the message group of an event, which is its source: in a standard queue, a source
// that fills the queue does not make the others wait (sqs-fair-queues.html of the developer guide).
// It is empty for none, where the source is no name of a group: then the message is sent all the
// same.
func groupOf(event *pillarbox.Event) string {
	if !groupName.MatchString(event.Source) {
		return ""
	}
	return event.Source
}

// traceOf returns the header of the trace that a message belongs to. A sender that has a trace of
// its own goes on with that, so that no client parts it; one that has none goes on with the
// client's.
func (q *Queue) traceOf(event *pillarbox.Event) string {
	if q.options.Trace != nil {
		return q.options.Trace()
	}
	return traceHeader(event.Traceparent)
}

// traceHeader turns a W3C trace context into the form that X-Ray has, so that the trace goes on
// behind the queue. It is empty where there is none.
func traceHeader(traceparent string) string {
	parts := strings.Split(traceparent, "-") // version, 32 digits, 16 digits, flags
	if len(parts) != 4 || len(parts[1]) != 32 || len(parts[2]) != 16 || len(parts[3]) != 2 {
		return ""
	}
	sampled := "0"
	if strings.ContainsAny(parts[3][1:], "13579bdf") {
		sampled = "1"
	}
	return "Root=1-" + parts[1][:8] + "-" + parts[1][8:] + ";Parent=" + parts[2] + ";Sampled=" +
		sampled
}
