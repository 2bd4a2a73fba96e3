package source

import (
	"errors"
	"fmt"
	"net/http"

	"pillarbox"
	"pillarbox/internal/cloudevent"
	"pillarbox/internal/protocol"
)

// CloudEvents says what a source makes of CloudEvents.
type CloudEvents string

// What a source may make of CloudEvents.
const (
	CloudEventsOptional CloudEvents = "optional" // also where empty: their attributes are kept as facts; what is none, or a broken one, is data
	CloudEventsRequired CloudEvents = "required" // and what is none is refused
	CloudEventsNone     CloudEvents = "none"     // they are data as everything else
)

// The types of a CloudEvent as JSON, and of a batch of them.
const (
	TypeEvent      = cloudevent.TypeJSON
	TypeEventBatch = cloudevent.TypeBatch
)

// errForeign is the answer to an event in a format that is not understood, where one must be.
var errForeign = &protocol.Error{Status: http.StatusUnsupportedMediaType,
	Detail: "CloudEvents are understood in binary mode, as " + cloudevent.TypeJSON + " and as " + cloudevent.TypeBatch +
		", in UTF-8; nothing was stored"}

// errBatchBody is the answer to a batch where a single event must be.
var errBatchBody = &protocol.Error{Status: http.StatusUnsupportedMediaType,
	Detail: "batches of CloudEvents are not taken here; send them one by one; nothing was stored"}

// cloudEvent returns the facts of a request that is a CloudEvent, or nil.
func (s *Source) cloudEvent(header pillarbox.Header, body []byte) (*pillarbox.Facts, error) {
	if s.CloudEvents == CloudEventsNone {
		return nil, nil
	}
	contentType, binary := cloudevent.Look(header)
	var facts *pillarbox.Facts
	var err error
	switch cloudevent.ModeOf(contentType) {
	case cloudevent.Binary:
		if binary {
			facts, err = cloudevent.FromHeader(header)
		}
		if facts == nil && err == nil && s.CloudEvents == CloudEventsRequired {
			err = cloudevent.ErrNone
		}
	case cloudevent.Structured:
		facts, err = cloudevent.FromJSON(body)
	case cloudevent.Batched:
		err = errBatchBody
	default:
		err = errForeign
	}
	return facts, s.judge(err)
}

// judge is the answer to what is no CloudEvent: none, where it may be data.
func (s *Source) judge(err error) error {
	if err == nil || s.CloudEvents != CloudEventsRequired {
		return nil
	}
	var own *protocol.Error
	if errors.As(err, &own) {
		return own
	}
	return &protocol.Error{Status: http.StatusBadRequest,
		Detail: fmt.Sprintf("this is no CloudEvent: %v; nothing was stored", err)}
}

// IsEventBatch reports whether a Content-Type says that the body is a batch of CloudEvents, which
// is one at the path of single events too: their senders know one address.
func (s *Source) IsEventBatch(contentType string) bool {
	return s.CloudEvents != CloudEventsNone && cloudevent.ModeOf(contentType) == cloudevent.Batched
}

// CheckItem refuses an item of a batch that is no CloudEvent, where it must be one.
func (s *Source) CheckItem(body []byte) error {
	if s.CloudEvents != CloudEventsRequired {
		return nil
	}
	_, err := cloudevent.FromJSON(body)
	return s.judge(err)
}

// itemEvent returns the facts of an item of a batch, or nil.
func (g Grant) itemEvent(body []byte) *pillarbox.Facts {
	if !g.events && g.source.CloudEvents != CloudEventsRequired {
		return nil
	}
	facts, err := cloudevent.FromJSON(body)
	if err != nil {
		return nil
	}
	return facts
}
