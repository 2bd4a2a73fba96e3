package sqs

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"pillarbox"
)

// StatsAge is how old the counts of Account and Stats may be.
const StatsAge = 5 * time.Second

// statsTime bounds the request for counts.
const statsTime = 2 * time.Second

// attributes are what a queue says of itself once.
type attributes struct {
	maxBytes    int           // of one message
	visibility  time.Duration // for which a message is hidden that is handed out
	maxReceives int           // after which SQS moves a message to another queue; 0 for never
}

// The attributes of a queue that says nothing: what every queue had for years.
const (
	defaultMaxBytes   = 256 << 10
	defaultVisibility = 30 * time.Second
)

// attributes asks the queue once, and remembers the answer.
func (q *Queue) attributes(ctx context.Context) (attributes, error) {
	q.attributesMu.Lock()
	defer q.attributesMu.Unlock()
	if q.known != nil {
		return *q.known, nil
	}
	answer, err := q.ask(ctx, types.QueueAttributeNameMaximumMessageSize,
		types.QueueAttributeNameVisibilityTimeout, types.QueueAttributeNameRedrivePolicy)
	if err != nil {
		return attributes{}, err
	}
	known := attributes{maxBytes: defaultMaxBytes, visibility: defaultVisibility}
	if n, err := strconv.Atoi(answer[string(
		types.QueueAttributeNameMaximumMessageSize)]); err == nil && n > 0 {
		known.maxBytes = n
	}
	if n, err := strconv.Atoi(answer[string(types.QueueAttributeNameVisibilityTimeout)]); err == nil {
		known.visibility = time.Duration(n) * time.Second
	}
	known.maxReceives = maxReceivesOf(answer[string(types.QueueAttributeNameRedrivePolicy)])
	q.known = &known
	return known, nil
}

// maxReceivesOf reads a redrive policy. SQS gives the count back as it was set, as a number or as
// text.
func maxReceivesOf(policy string) int {
	var redrive struct {
		MaxReceiveCount any `json:"maxReceiveCount"`
	}
	if json.Unmarshal([]byte(policy), &redrive) != nil {
		return 0
	}
	n, err := strconv.Atoi(fmt.Sprint(redrive.MaxReceiveCount))
	if err != nil {
		return 0
	}
	return n
}

// Check asks whether the queue is there and can serve. Errors: ErrUnavailable; ErrNotFound;
// ErrInvalid where SQS would delete events before they become dead letters.
func (q *Queue) Check(ctx context.Context) error {
	answer, err := q.ask(ctx, types.QueueAttributeNameMessageRetentionPeriod)
	if name := code(err); name == "NonExistentQueue" || name == "QueueDoesNotExist" {
		return fmt.Errorf("there is no queue %s: %w: %w", q.url, pillarbox.ErrNotFound, err)
	}
	if err != nil {
		return err
	}
	seconds, err := strconv.Atoi(answer[string(types.QueueAttributeNameMessageRetentionPeriod)])
	if err != nil {
		return fmt.Errorf("queue %s does not say how long it keeps messages: %w: %w", q.url,
			pillarbox.ErrUnavailable, err)
	}
	if retention := time.Duration(seconds) * time.Second; q.options.MaxAge == 0 ||
		q.options.MaxAge >= retention {
		return pillarbox.Invalid("queue.max_age is %s, and SQS deletes messages from %s after %s; set queue.max_age to less, so that events become dead letters before", q.options.MaxAge, q.url, retention)
	}
	return nil
}

func (q *Queue) ask(ctx context.Context,
	names ...types.QueueAttributeName) (map[string]string, error) {
	out, err := q.client.GetQueueAttributes(ctx,
		&sqs.GetQueueAttributesInput{QueueUrl: &q.url, AttributeNames: names})
	if err != nil {
		return nil, kind("ask queue "+q.url, err)
	}
	return out.Attributes, nil
}

// refresh asks for the counts where they are old. The error is the last answer's, also while it is
// not asked again.
func (q *Queue) refresh() error {
	if !q.counts.old() {
		return q.counts.problem()
	}
	ctx, cancel := context.WithTimeout(q.working, statsTime)
	defer cancel()
	names := []types.QueueAttributeName{
		types.QueueAttributeNameApproximateNumberOfMessages,
		types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
		types.QueueAttributeNameApproximateNumberOfMessagesDelayed,
	}
	answer, err := q.ask(ctx, names...)
	pending := 0
	for _, name := range names {
		n, numberErr := strconv.Atoi(answer[string(name)])
		if err == nil && numberErr != nil {
			err = fmt.Errorf("queue %s says %q of %s: %w", q.url, answer[string(name)], name,
				pillarbox.ErrUnavailable)
		}
		pending += n
	}
	q.counts.learn(pending, err)
	return err
}

// counts are what was settled here, and what waits as far as SQS knows.
type counts struct {
	mu      sync.Mutex
	stored  uint64
	skipped uint64
	dead    uint64

	skippedBy pillarbox.Skips
	pending   int // as of asked, and what happened here since
	asked     time.Time
	failure   error
}

func (c *counts) old() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.asked) < StatsAge {
		return false
	}
	c.asked = time.Now() // one asks, the others take what is there
	return true
}

func (c *counts) problem() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failure
}

func (c *counts) learn(pending int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failure = err; err == nil {
		c.pending = pending
	}
}

func (c *counts) appended(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending += n
}

func (c *counts) settled(outcome pillarbox.Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch outcome.Kind {
	case pillarbox.OutcomeStored:
		c.stored++
	case pillarbox.OutcomeSkipped:
		c.skipped++
		*c.skippedBy.Of(outcome.Skip)++
	case pillarbox.OutcomeDead:
		c.dead++
	}
	c.pending--
}

func (c *counts) account() pillarbox.Account {
	c.mu.Lock()
	defer c.mu.Unlock()
	account := pillarbox.Account{
		Stored: c.stored, Skipped: c.skipped, Dead: c.dead, Pending: uint64(max(0, c.pending)),
		SkippedBy: c.skippedBy, Uncounted: true,
	}
	account.Accepted = account.Stored + account.Skipped + account.Dead + account.Pending
	return account
}
