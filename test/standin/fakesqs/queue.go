package fakesqs

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"pillarbox/test/standin/awsjson"
)

const (
	account   = "000000000000"
	arnPrefix = "arn:aws:sqs:us-east-1:" + account + ":"

	// pauseAfterDelete and pauseAfterPurge are how long SQS wants to be left alone afterwards.
	pauseAfterDelete = 60 * time.Second
	pauseAfterPurge  = 60 * time.Second
)

var queueName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

// queue is one queue. Everything in it is guarded by Server.mu.
type queue struct {
	name       string
	attributes map[string]string
	redrive    redrive // zero without a redrive policy
	tags       map[string]string
	messages   []*message // in the order of sending, with some that are gone
	handles    map[string]*message
	gone       int // of messages
	created    time.Time
	modified   time.Time
	purged     time.Time
}

// message is one message. It is in one queue only.
type message struct {
	id         string
	sequence   uint64
	body       string
	attributes map[string]attribute
	trace      string // the system attribute AWSTraceHeader
	group      string // the system attribute MessageGroupId; empty for none

	sent         time.Time // stays when the message moves to a dead-letter queue, and so does what it may live
	firstReceive time.Time
	receives     int // in all queues
	source       string

	here      int       // receives in this queue
	delayed   bool      // hidden because it was sent so, not because it was received
	visibleAt time.Time // zero for at once
	received  time.Time // the last time
	handle    string    // of the last receive
	gone      bool
}

func (m *message) visible(now time.Time) bool { return !m.visibleAt.After(now) }

// inFlight reports whether the message was received and may still be deleted by whoever received
// it.
func (m *message) inFlight(now time.Time) bool { return !m.visible(now) && !m.delayed }

func (q *queue) arn() string { return arnPrefix + q.name }

// add puts the message into the queue.
func (q *queue) add(m *message) { q.messages = append(q.messages, m) }

// drop takes the message out of the queue.
func (q *queue) drop(m *message) {
	if m.gone {
		return
	}
	m.gone = true
	delete(q.handles, m.handle)
	if q.gone++; q.gone > len(q.messages)/2 { // so that a long queue is not copied for every message
		q.messages = slices.DeleteFunc(q.messages, func(m *message) bool { return m.gone })
		q.gone = 0
	}
}

// expired reports whether the message is gone or has been there for too long.
func (q *queue) expired(m *message, now time.Time) bool {
	return m.gone || !m.sent.Add(time.Duration(q.number(attributeRetention))*time.Second).After(now)
}

// expire drops what has been there for too long.
func (q *queue) expire(now time.Time) {
	for _, m := range slices.Clone(q.messages) {
		if q.expired(m, now) {
			q.drop(m)
		}
	}
}

// allAttributes returns those that were set and those that are computed.
func (q *queue) allAttributes(now time.Time) map[string]string {
	q.expire(now)
	visible, inFlight, delayed := 0, 0, 0
	for _, m := range q.messages {
		switch {
		case m.gone:
		case m.visible(now):
			visible++
		case m.delayed:
			delayed++
		default:
			inFlight++
		}
	}
	attributes := maps.Clone(q.attributes)
	attributes["QueueArn"] = q.arn()
	attributes["CreatedTimestamp"] = strconv.FormatInt(q.created.Unix(), 10)
	attributes["LastModifiedTimestamp"] = strconv.FormatInt(q.modified.Unix(), 10)
	attributes["ApproximateNumberOfMessages"] = strconv.Itoa(visible)
	attributes["ApproximateNumberOfMessagesNotVisible"] = strconv.Itoa(inFlight)
	attributes["ApproximateNumberOfMessagesDelayed"] = strconv.Itoa(delayed)
	return attributes
}

// queueLocked returns the queue of the URL.
func (s *Server) queueLocked(url string) (*queue, error) {
	if url == "" {
		return nil, missing("QueueUrl")
	}
	at := strings.LastIndexByte(url, '/')
	if q := s.queues[url[at+1:]]; q != nil && strings.HasSuffix(url[:max(at, 0)], "/"+account) {
		return q, nil
	}
	return nil, errNoQueue
}

func urlOf(call awsjson.Call, name string) string {
	return call.BaseURL + "/" + account + "/" + name
}

func (s *Server) createQueue(_ context.Context, call awsjson.Call, in *struct {
	QueueName  string
	Attributes map[string]string
	Tags       map[string]string `json:"tags"`
}) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case strings.HasSuffix(in.QueueName, ".fifo"):
		return nil, errUnsupported.With("the stand-in has no FIFO queues")
	case !queueName.MatchString(in.QueueName):
		return nil, errParameter.With("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
	}
	if err := s.checkAttributesLocked(in.Attributes); err != nil {
		return nil, err
	}
	now := s.options.Now()
	answer := map[string]string{"QueueUrl": urlOf(call, in.QueueName)}
	if q := s.queues[in.QueueName]; q != nil {
		for name, value := range in.Attributes {
			if q.attributes[name] != value {
				return nil, errQueueExists.With(
					"A queue already exists with the same name and a different value for attribute %s", name)
			}
		}
		return answer, nil
	}
	if at, ok := s.deleted[in.QueueName]; ok && now.Sub(at) < pauseAfterDelete {
		return nil, errDeletedRecently
	}
	q := &queue{
		name: in.QueueName, attributes: defaultAttributes(), tags: map[string]string{}, handles: map[string]*message{}, created: now, modified: now,
	}
	q.set(in.Attributes)
	maps.Copy(q.tags, in.Tags)
	s.queues[q.name] = q
	return answer, nil
}

func (s *Server) getQueueURL(_ context.Context, call awsjson.Call, in *struct {
	QueueName              string
	QueueOwnerAWSAccountID string `json:"QueueOwnerAWSAccountId"`
}) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queues[in.QueueName] == nil || in.QueueOwnerAWSAccountID != "" &&
		in.QueueOwnerAWSAccountID != account {
		return nil, errNoQueue
	}
	return map[string]string{"QueueUrl": urlOf(call, in.QueueName)}, nil
}

func (s *Server) listQueues(_ context.Context, call awsjson.Call, in *struct {
	QueueNamePrefix string
	MaxResults      *int
	NextToken       string
}) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(s.queues)), func(name string) bool {
		return !strings.HasPrefix(name, in.QueueNamePrefix)
	})
	return page(call, names, in.MaxResults, in.NextToken, "QueueUrls")
}

// page answers a part of a list of queues. The token is the name of the last one.
func page(call awsjson.Call, names []string, most *int, token, member string) (any, error) {
	limit := 1000
	if most != nil {
		if limit = *most; limit < 1 || limit > 1000 {
			return nil, invalid(limit, "MaxResults", "MaxResults must be an integer between 1 and 1000.")
		}
	}
	names = slices.DeleteFunc(names, func(name string) bool { return name <= token })
	answer := map[string]any{}
	if most != nil && len(names) > limit { // without a limit SQS answers the first thousand, and no token
		answer["NextToken"] = names[limit-1]
	}
	var urls []string
	for _, name := range names[:min(len(names), limit)] {
		urls = append(urls, urlOf(call, name))
	}
	if urls != nil {
		answer[member] = urls
	}
	return answer, nil
}

// onQueue is the input of operations that need nothing but the queue.
type onQueue struct {
	QueueURL string `json:"QueueUrl"`
}

func (s *Server) deleteQueue(_ context.Context, _ awsjson.Call, in *onQueue) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.queueLocked(in.QueueURL)
	if err != nil {
		return nil, err
	}
	delete(s.queues, q.name)
	s.deleted[q.name] = s.options.Now()
	s.wakeLocked() // whoever waits for a message learns that there is no queue
	return struct{}{}, nil
}

func (s *Server) purgeQueue(_ context.Context, _ awsjson.Call, in *onQueue) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.queueLocked(in.QueueURL)
	if err != nil {
		return nil, err
	}
	now := s.options.Now()
	if !q.purged.IsZero() && now.Sub(q.purged) < pauseAfterPurge {
		return nil, errPurging
	}
	q.purged = now
	for _, m := range slices.Clone(q.messages) {
		q.drop(m)
	}
	return struct{}{}, nil
}

func (s *Server) tagQueue(_ context.Context, _ awsjson.Call, in *struct {
	QueueURL string `json:"QueueUrl"`
	Tags     map[string]string
}) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.queueLocked(in.QueueURL)
	if err != nil {
		return nil, err
	}
	maps.Copy(q.tags, in.Tags)
	return struct{}{}, nil
}

func (s *Server) untagQueue(_ context.Context, _ awsjson.Call, in *struct {
	QueueURL string `json:"QueueUrl"`
	TagKeys  []string
}) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.queueLocked(in.QueueURL)
	if err != nil {
		return nil, err
	}
	for _, key := range in.TagKeys {
		delete(q.tags, key)
	}
	return struct{}{}, nil
}

func (s *Server) listQueueTags(_ context.Context, _ awsjson.Call, in *onQueue) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.queueLocked(in.QueueURL)
	if err != nil {
		return nil, err
	}
	return map[string]any{"Tags": q.tags}, nil
}
