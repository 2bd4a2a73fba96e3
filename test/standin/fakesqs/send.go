package fakesqs

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"pillarbox/test/standin/awsjson"
)

const (
	// maxMessageBytes bounds a message, and a batch of them, since 2025.
	maxMessageBytes = 1 << 20
	// maxBatchEntries bounds every batch.
	maxBatchEntries = 10
	// maxMessageAttributes bounds the attributes of a message.
	maxMessageAttributes = 10
	// maxGroupChars bounds the name of a message group.
	maxGroupChars = 128
)

// outgoing is what a message and an entry of a batch have in common.
type outgoing struct {
	MessageBody             string
	DelaySeconds            *int
	MessageAttributes       map[string]attribute
	MessageSystemAttributes map[string]attribute
	MessageGroupID          *string `json:"MessageGroupId"`
	MessageDeduplicationID  *string `json:"MessageDeduplicationId"`
}

// attribute is an attribute of a message.
type attribute struct {
	DataType         string
	StringValue      *string  `json:",omitempty"`
	BinaryValue      []byte   `json:",omitempty"`
	StringListValues []string `json:",omitempty"`
	BinaryListValues [][]byte `json:",omitempty"`
}

// bytes is what the attribute adds to the size of its message.
func (a attribute) bytes(name string) int {
	n := len(name) + len(a.DataType) + len(a.BinaryValue)
	if a.StringValue != nil {
		n += len(*a.StringValue)
	}
	return n
}

func (o *outgoing) bytes() int {
	n := len(o.MessageBody)
	for name, a := range o.MessageAttributes {
		n += a.bytes(name)
	}
	return n
}

// check refuses what the queue refuses. The body is known not to be empty.
func (o *outgoing) check(q *queue) error {
	limit := q.number(attributeMaxSize)
	switch {
	case o.MessageDeduplicationID != nil: // a group is a tenant of a fair queue
		return errParameter.With("The request include parameter that is not valid for this queue type")
	case o.MessageGroupID != nil && !groupName.MatchString(*o.MessageGroupID):
		return invalid(*o.MessageGroupID, "MessageGroupId", fmt.Sprintf("MessageGroupId can only include alphanumeric and punctuation characters. 1 to %d in length.", maxGroupChars))
	case o.DelaySeconds != nil && (*o.DelaySeconds < 0 || *o.DelaySeconds > 900):
		return invalid(*o.DelaySeconds, "DelaySeconds", "DelaySeconds must be >= 0 and <= 900.")
	case !allowed(o.MessageBody):
		return errContents
	case o.bytes() > limit:
		return errParameter.With("One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", limit)
	}
	return o.checkAttributes()
}

var (
	attributeName = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)
	attributeType = regexp.MustCompile(`^(String|Number|Binary)(\..+)?$`)
	// groupName takes what ASCII shows, but for the blank.
	groupName   = regexp.MustCompile(fmt.Sprintf(`^[!-~]{1,%d}$`, maxGroupChars))
	traceHeader = regexp.MustCompile(`(^|;)\s*Root=1-[0-9a-f]{8}-[0-9a-f]{24}(;|$)`)
)

func (o *outgoing) checkAttributes() error {
	if len(o.MessageAttributes) > maxMessageAttributes {
		return errParameter.With("Number of message attributes [%d] exceeds the allowed maximum [%d].",
			len(o.MessageAttributes), maxMessageAttributes)
	}
	for name, a := range o.MessageAttributes {
		lower := strings.ToLower(name)
		switch {
		case len(name) > 256 || !attributeName.MatchString(name),
			strings.HasPrefix(lower, "aws.") || strings.HasPrefix(lower, "amazon."):
			return errParameter.With("Message (user) attribute name '%s' is invalid.", name)
		case len(a.DataType) > 256 || !attributeType.MatchString(a.DataType):
			return errParameter.With("The type of message (user) attribute '%s' is invalid. You must use only the following supported type prefixes: Binary, Number, String.", name)
		}
		if err := a.checkValue(name); err != nil {
			return err
		}
	}
	for name, a := range o.MessageSystemAttributes {
		switch {
		case name != "AWSTraceHeader":
			return errParameter.With("Message system attribute name '%s' is invalid.", name)
		case a.DataType != "String" || a.StringValue == nil || !traceHeader.MatchString(*a.StringValue):
			return errParameter.With("Message system attribute 'AWSTraceHeader' is not a correctly formatted trace header of the type String.")
		}
	}
	return nil
}

func (a attribute) checkValue(name string) error {
	binary := strings.HasPrefix(a.DataType, "Binary")
	switch {
	case a.StringListValues != nil || a.BinaryListValues != nil:
		return errUnsupported.With("Message attribute list values in SendMessage operation are not supported.")
	case binary && (len(a.BinaryValue) == 0 || a.StringValue != nil),
		!binary && (a.StringValue == nil || *a.StringValue == "" || a.BinaryValue != nil):
		return errParameter.With("The message (user) attribute '%s' must contain a non-empty value of its type '%s'.", name, a.DataType)
	case !binary && !allowed(*a.StringValue):
		return errContents
	}
	if strings.HasPrefix(a.DataType, "Number") {
		if _, err := strconv.ParseFloat(*a.StringValue, 64); err != nil {
			return errParameter.With("Can't cast the value of message (user) attribute '%s' to a number.",
				name)
		}
	}
	return nil
}

// allowed reports whether SQS takes the text: it takes what XML takes.
func allowed(text string) bool {
	for _, r := range text {
		switch {
		case r == '\t', r == '\n', r == '\r', r >= 0x20 && r <= 0xD7FF, r >= 0xE000 &&
			r <= 0xFFFD, r >= 0x10000:
		default:
			return false
		}
	}
	return true
}

// sent is the answer to one message.
type sent struct {
	ID        string `json:"Id,omitempty"` // of the entry of a batch
	MessageID string `json:"MessageId"`
	BodySum   string `json:"MD5OfMessageBody"`
	UserSum   string `json:"MD5OfMessageAttributes,omitempty"`
	SystemSum string `json:"MD5OfMessageSystemAttributes,omitempty"`
}

func (s *Server) sendMessage(_ context.Context, _ awsjson.Call, in *struct {
	QueueURL string `json:"QueueUrl"`
	outgoing
}) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.queueLocked(in.QueueURL)
	if err != nil {
		return nil, err
	}
	if in.MessageBody == "" {
		return nil, missing("MessageBody")
	}
	if err := in.check(q); err != nil {
		return nil, err
	}
	return s.putLocked(q, &in.outgoing), nil
}

// putLocked makes a message of what was checked.
func (s *Server) putLocked(q *queue, out *outgoing) sent {
	now := s.options.Now()
	s.sequence++
	m := &message{
		id: newID(s.random.Uint64(), s.sequence), sequence: s.sequence, body: out.MessageBody,
		attributes: out.MessageAttributes, sent: now,
	}
	if out.MessageGroupID != nil {
		m.group = *out.MessageGroupID
	}
	if trace := out.MessageSystemAttributes["AWSTraceHeader"]; trace.StringValue != nil {
		m.trace = *trace.StringValue
	}
	delay := q.number(attributeDelay)
	if out.DelaySeconds != nil {
		delay = *out.DelaySeconds
	}
	if delay > 0 {
		m.delayed, m.visibleAt = true, now.Add(time.Duration(delay)*time.Second)
	}
	q.add(m)
	s.wakeLocked()
	return sent{
		MessageID: m.id, BodySum: sumOfBody(m.body), UserSum: sumOfAttributes(m.attributes),
		SystemSum: sumOfAttributes(out.MessageSystemAttributes),
	}
}

func newID(random, sequence uint64) string {
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", uint32(random>>32), uint16(random>>16),
		random&0xfff, sequence>>48&0xfff, sequence&0xffff_ffff_ffff)
}

// failedEntry is the part of a batch's answer that says what became of an entry that was refused.
type failedEntry struct {
	ID          string `json:"Id"`
	Code        string
	Message     string
	SenderFault bool
}

// failure makes the entry's failure of the error that a call of its own would have met.
func failure(id string, err error) *failedEntry {
	refusal, ok := err.(*awsjson.Error)
	if !ok {
		panic("fakesqs: bug: an error of another kind: " + err.Error())
	}
	return &failedEntry{ID: id, Code: refusal.QueryCode, Message: refusal.Message, SenderFault: true}
}

// batchAnswer is the answer to every batch.
type batchAnswer struct {
	Successful []any
	Failed     []*failedEntry `json:",omitempty"`
}

var entryID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

// checkIDs refuses a batch as a whole.
func checkIDs(ids []string) error {
	if len(ids) == 0 {
		return errEmptyBatch
	}
	if len(ids) > maxBatchEntries {
		return errManyEntries.With("Maximum number of entries per request are %d. You have sent %d.",
			maxBatchEntries, len(ids))
	}
	seen := map[string]bool{}
	for _, id := range ids {
		if !entryID.MatchString(id) {
			return errEntryID
		}
		if seen[id] {
			return errSameIDs.With("Id %s repeated.", id)
		}
		seen[id] = true
	}
	return nil
}

type sendEntry struct {
	ID string `json:"Id"`
	outgoing
}

func checkSendEntries(entries []sendEntry) error {
	var ids []string
	sum := 0
	for i := range entries {
		ids = append(ids, entries[i].ID)
		sum += entries[i].bytes()
	}
	if err := checkIDs(ids); err != nil {
		return err
	}
	if sum > maxMessageBytes {
		return errLongBatch.With("Batch requests cannot be longer than %d bytes. You have sent %d bytes.", maxMessageBytes, sum)
	}
	for i := range entries {
		if entries[i].MessageBody == "" {
			return missing(fmt.Sprintf("SendMessageBatchRequestEntry.%d.MessageBody", i+1))
		}
	}
	return nil
}

func (s *Server) sendMessageBatch(_ context.Context, _ awsjson.Call, in *struct {
	QueueURL string `json:"QueueUrl"`
	Entries  []sendEntry
}) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.queueLocked(in.QueueURL)
	if err != nil {
		return nil, err
	}
	if err := checkSendEntries(in.Entries); err != nil {
		return nil, err
	}
	answer := batchAnswer{Successful: []any{}}
	for i := range in.Entries {
		entry := &in.Entries[i]
		if failed := s.entryFaultLocked("SendMessageBatch", entry.ID); failed != nil {
			answer.Failed = append(answer.Failed, failed)
			continue
		}
		if err := entry.check(q); err != nil {
			answer.Failed = append(answer.Failed, failure(entry.ID, err))
			continue
		}
		result := s.putLocked(q, &entry.outgoing)
		result.ID = entry.ID
		answer.Successful = append(answer.Successful, result)
	}
	return answer, nil
}
