// Package sqsrules holds the rules for messages in an SQS queue that everybody who takes them
// obeys: the engine, which receives them for a server, and the functions, which are handed batches
// of them.
//
// It promises that no message is dropped: what can't be read, or has lost its body, becomes the
// event of a dead letter that says so. It keeps an outage of the destination from making dead
// letters: SQS counts each receive, also those in vain, and moves a message to the queue of dead
// letters after the last; one that comes near its last without having been refused is sent again as
// a new message. It makes no call to AWS, and knows nothing of the SDK.
package sqsrules

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"pillarbox"
)

// The names of what SQS says about a message, as far as it is used here.
const (
	AttributeReceives  = "ApproximateReceiveCount"
	AttributeFirst     = "ApproximateFirstReceiveTimestamp"
	AttributeSent      = "SentTimestamp"
	AttributeMovedFrom = "DeadLetterQueueSourceArn"
)

// ReceivesInReserve is how many receives before its last an event is sent again as a new message,
// if it was not refused: a process that is killed spends one for each of its lives, and so does a
// function that never ran.
const ReceivesInReserve = 2

// MaxMessageBytes bounds the message of any queue, in bytes (quotas-messages.html of the developer
// guide). A queue may be set to less.
const MaxMessageBytes = 1 << 20

// MaxEarlier bounds the attempts of which only the number is known. It is the largest
// maxReceiveCount of a queue, so that an event that is over its number is still known to be.
const MaxEarlier = 1000

// EarlierError stands for the error of an attempt of which nothing is left but the number.
const EarlierError = "received at or after this time and not stored; " +
	"the reason is in the log of that attempt"

// Received is a message that SQS has handed out.
type Received struct {
	ID        string
	Text      string
	Receives  int                 // so far, by whomever, with this one; at least 1
	First     pillarbox.Timestamp // when it was first received, or else when it was sent
	Sent      pillarbox.Timestamp // when it was sent, or when it was read if SQS does not say
	MovedFrom string              // the queue from which SQS moved it; empty if it did not

	Message pillarbox.Message // what the text says
	Claim   *pillarbox.Claim  // of the body, also when that was brought back
	Lost    error             // why it can't become what its sender meant, if it can't
}

// Read reads a message. What can't be read becomes an event of what there is, of the source that is
// given.
func Read(id, text string, attributes map[string]string, source string, now time.Time) Received {
	r := Received{
		ID: id, Text: text, Receives: 1, Sent: milliseconds(attributes[AttributeSent]),
		First: milliseconds(attributes[AttributeFirst]), MovedFrom: attributes[AttributeMovedFrom],
	}
	r.Sent = cmp.Or(r.Sent, pillarbox.TimestampOf(now))
	r.First = cmp.Or(r.First, r.Sent)
	if n, err := strconv.Atoi(attributes[AttributeReceives]); err == nil && n > 0 {
		r.Receives = n
	}
	if err := json.Unmarshal([]byte(text), &r.Message); err != nil {
		r.Unreadable(source, fmt.Errorf("the message can't be read as an event: %w", err))
		return r
	}
	r.Claim = r.Message.Claim
	return r
}

// maxMilliseconds is the end of the year 9999, behind which there is no timestamp.
const maxMilliseconds = 253402300799_999

func milliseconds(text string) pillarbox.Timestamp {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 || n > maxMilliseconds {
		return 0
	}
	return pillarbox.TimestampOf(time.UnixMilli(n))
}

// Unreadable makes the text as it is the body of an event. Nothing else of what was read counts:
// the dead letter is to have the text, and not a body that it claims.
func (r *Received) Unreadable(source string, why error) {
	event := &pillarbox.Event{Timestamp: r.Sent, RequestID: r.ID, Source: source, Body: []byte(r.Text)}
	r.Message, r.Claim, r.Lost = pillarbox.Message{Event: event}, nil, why
}

// Restorer brings back bodies that were too large to travel with their message.
type Restorer interface {
	// Restore puts the claimed body into the message's event and takes the claim away. A message
	// without a claim stays as it is. Errors: ErrNotFound and ErrCorrupt where the body is lost;
	// any other may pass.
	Restore(ctx context.Context, message *pillarbox.Message) error
}

// Restore brings the body back if it is kept elsewhere. A body that is gone leaves its claim in its
// place, as text that people can read; nobody is to take it for an empty body. Any error that it
// returns may pass: the message waits.
func (r *Received) Restore(ctx context.Context, from Restorer) error {
	if r.Message.Claim == nil {
		return nil
	}
	claim := *r.Message.Claim
	err := from.Restore(ctx, &r.Message)
	switch {
	case err == nil && r.Message.Claim != nil:
		return fmt.Errorf("restore a body: it is still not there: %w", pillarbox.ErrUnavailable)
	case errors.Is(err, pillarbox.ErrNotFound), errors.Is(err, pillarbox.ErrCorrupt):
		r.Lost = fmt.Errorf("the body, which was kept elsewhere, is lost, "+
			"and its claim stands in its place: %w", err)
		text, err := json.Marshal(map[string]pillarbox.Claim{"body_claim": claim})
		if err != nil {
			return fmt.Errorf("encode a claim: %w", err)
		}
		r.Message.Claim, r.Message.Event.Body = nil, text
	case err != nil:
		return err
	}
	if r.Message.Letter != nil {
		r.Message.Letter.Event = r.Message.Event
	}
	return nil
}

// RestoreBody is what a Restorer does that has the bodies; nil where no place is configured.
// Errors: ErrNotFound and ErrCorrupt where the body is gone for good, ErrUnavailable.
func RestoreBody(ctx context.Context, bodies pillarbox.Bodies, message *pillarbox.Message) error {
	if message.Claim == nil {
		return nil
	}
	what := fmt.Sprintf("body of event %s, claimed as %s with %d bytes and SHA-256 %s",
		message.Event.RequestID, message.Claim.Key, message.Claim.Bytes, message.Claim.SHA256)
	if bodies == nil {
		return fmt.Errorf("%s: no place is configured for large bodies: %w", what,
			pillarbox.ErrUnavailable)
	}
	body, err := bodies.Get(ctx, *message.Claim)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	message.Event.Body, message.Claim = body, nil
	return nil
}

// Since is when a dead letter was put back, whose event may be as old as it likes; 0 for other
// messages.
func (r *Received) Since() pillarbox.Timestamp {
	if r.Message.Letter == nil {
		return 0
	}
	return cmp.Or(r.Message.Since, r.Sent)
}

// Rejection condemns a message that is lost. It is nil for others.
func (r *Received) Rejection(now time.Time) *pillarbox.Rejection {
	if r.Lost == nil {
		return nil
	}
	return &pillarbox.Rejection{Reason: r.Lost.Error(), DeadAt: pillarbox.TimestampOf(now)}
}

// Earlier are the attempts before this receive of which SQS has the number and nobody anything
// else. Of the receives, known ones were no attempts, or are known with their errors.
func (r *Received) Earlier(known int) []pillarbox.Attempt {
	var attempts []pillarbox.Attempt
	for range min(r.Receives-1-known, MaxEarlier) {
		attempts = append(attempts, pillarbox.Attempt{At: r.First, Class: pillarbox.ClassRefused,
			Error: EarlierError})
	}
	return attempts
}

// Limits say when a queue, or who takes from it, gives a message up.
type Limits struct {
	MaxReceives int           // after which SQS moves it to another queue; 0 for never
	MaxAge      time.Duration // of an event; 0 for no limit
}

// Again is the new message that is to take the place of one that nobody has refused and that comes
// near its last receive. It is nil where there is to be none: there are receives enough; or the
// message is lost, and the copy would not know it; or the event is too old, and given up. The old
// message is deleted after the new one is sent, so that a crash in between makes two messages of
// one event, which is stored once.
func (r *Received) Again(limits Limits, now time.Time) *pillarbox.Message {
	ending := limits.MaxReceives > 0 && r.Receives >= max(2, limits.MaxReceives-ReceivesInReserve)
	if !ending || r.Lost != nil || r.tooOld(limits.MaxAge, now) {
		return nil
	}
	return &pillarbox.Message{Event: r.Message.Event, Claim: r.Claim, Letter: r.Message.Letter,
		Since: r.Since()}
}

// tooOld says of a message that it was not delivered in time. Where there is no try that would
// reject it, SQS moves it to the queue of dead letters after its last receive.
func (r *Received) tooOld(maxAge time.Duration, now time.Time) bool {
	since := cmp.Or(r.Since(), r.Message.Event.Timestamp).Time()
	return maxAge > 0 && now.Sub(since) > maxAge
}
