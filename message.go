package pillarbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// Bodies keeps bodies that are too large to travel with their event. All methods may be called
// concurrently.
type Bodies interface {
	// Put makes the body of the event durable and returns the claim by which it is found again. Doing
	// so again changes nothing. Errors: ErrUnavailable, or a plain one where the store refuses.
	Put(ctx context.Context, key Key, body []byte) (Claim, error)

	// Get returns the claimed body. Errors: ErrNotFound, ErrCorrupt for bytes that are not those of
	// the claim, ErrUnavailable.
	Get(ctx context.Context, claim Claim) ([]byte, error)
}

// Claim stands in for a body that is kept elsewhere.
type Claim struct {
	Key    string `json:"key"` // where it is kept, in the words of who keeps it
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // of the body, in hexadecimal
}

// NewClaim returns the claim of a body that is kept under the key.
func NewClaim(key string, body []byte) Claim {
	sum := sha256.Sum256(body)
	return Claim{Key: key, Bytes: int64(len(body)), SHA256: hex.EncodeToString(sum[:])}
}

// Check returns an error that matches ErrCorrupt where body is not what was claimed.
func (c Claim) Check(body []byte) error {
	if NewClaim(c.Key, body) != c {
		return &CorruptError{File: c.Key,
			Reason: fmt.Sprintf("%d bytes that are not the %d bytes that were put there", len(body),
				c.Bytes)}
	}
	return nil
}

// Message is what travels through a queue that keeps text: an event, or one that is rejected, as
// its dead letter.
type Message struct {
	Event  *Event      // its Body is empty where Claim is set
	Claim  *Claim      // of the body, where it is kept elsewhere
	Letter *DeadLetter // of a rejected event, else nil; its Event is Event
	Since  Timestamp   // of a letter that was put back, and sent again since: when it was put back; else 0
}

// bodyClaim is the body_encoding of a body that is kept elsewhere. No event can be read from such a
// text by itself, so that nobody takes the body for an empty one.
const bodyClaim = "claim"

// MarshalJSON writes the event or the dead letter, in the form that the API and the files have, and
// the claim in place of the body.
func (m *Message) MarshalJSON() ([]byte, error) {
	form := formOf(m.Event)
	if m.Claim != nil {
		form.Body, form.BodyEncoding, form.BodyClaim = "", bodyClaim, m.Claim
	}
	event, err := m.Event.marshal(form)
	if err != nil || m.Letter == nil {
		return event, err
	}
	return marshalPlain(letterText{plainLetter: plainLetter(*m.Letter), Event: event, Since: m.Since})
}

// plainLetter is a DeadLetter without methods, and letterText one whose event is text.
type plainLetter DeadLetter

type letterText struct {
	plainLetter
	Event json.RawMessage `json:"event"`
	Since Timestamp       `json:"since,omitempty"`
}

// UnmarshalJSON reads what MarshalJSON writes. The shortest legal message is
// {"timestamp":"…","request_id":"…"}.
func (m *Message) UnmarshalJSON(text []byte) error {
	var letter letterText
	if err := json.Unmarshal(text, &letter); err != nil {
		return fmt.Errorf("message: %w: %w", ErrInvalid, err)
	}
	*m = Message{}
	if letter.Event != nil {
		m.Letter, m.Since = (*DeadLetter)(&letter.plainLetter), letter.Since
		if m.Letter.Version < DeadLetterVersion {
			return Invalid("message: an event in something that is no dead letter")
		}
		text = letter.Event
	}
	var form eventJSON
	if err := json.Unmarshal(text, &form); err != nil {
		return fmt.Errorf("message: %w: %w", ErrInvalid, err)
	}
	if form.BodyEncoding == bodyClaim {
		if form.BodyClaim == nil {
			return Invalid("message %s claims a body and does not say which", form.RequestID)
		}
		m.Claim = form.BodyClaim
		form.Body, form.BodyEncoding = "", ""
	}
	m.Event = &Event{}
	if err := m.Event.read(form); err != nil {
		return err
	}
	m.Event.Others = othersIn(text)
	if m.Letter != nil {
		m.Letter.Event = m.Event
	}
	return nil
}
