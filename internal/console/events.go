package console

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"pillarbox"
)

// bodyPreview is how much of a body a table shows, in characters.
const bodyPreview = 60

// BodyPreview is the beginning of a body, if it is text.
func BodyPreview(event *pillarbox.Event) string {
	if !utf8.Valid(event.Body) {
		return "(binary)"
	}
	return Shorten(string(event.Body), bodyPreview)
}

// NewEvents is a list of events.
func NewEvents(w io.Writer, form Form) *List {
	list := NewList(w, form, "events", EventHead(form))
	list.rare = rare
	return list
}

// AddEvent adds one to it.
func (l *List) AddEvent(event *pillarbox.Event) error {
	return l.Add(event, EventRow(event, l.form)...)
}

// EventHead is the head of a table of events.
func EventHead(form Form) []string {
	if form.Kind == CSV {
		return []string{"timestamp", "request_id", "source", "method", "path", "query", "content_type",
			"remote_addr", "traceparent", "body", "body_encoding", "headers", "query_encoding",
			"content_type_encoding", "header_encoding", "caller", "ce_id", "ce_source", "ce_type", "ce_time",
			"ce_subject", "removed", "attributes"}
	}
	return []string{"timestamp", "request_id", "source", "caller", "ce_type", "attributes", "method",
		"content_type", "bytes", "body"}
}

// rare are the columns of a table of events that it has only where one of them has something there.
var rare = []string{"caller", "ce_type", "attributes"}

// EventRow is a row of it.
func EventRow(event *pillarbox.Event, form Form) []any {
	if form.Kind != CSV {
		facts := event.Facts
		if facts == nil {
			facts = &pillarbox.Facts{}
		}
		var attributes []string
		for _, a := range facts.Attributes {
			attributes = append(attributes, a.Name+"="+a.Value)
		}
		return []any{event.Timestamp, event.RequestID, event.Source, facts.Caller, facts.CEType,
			Shorten(strings.Join(attributes, " "), bodyPreview), event.Method, event.ContentType, len(event.Body),
			BodyPreview(event)}
	}
	texts := textsOf(event)
	return []any{event.Timestamp, event.RequestID, event.Source, event.Method, event.Path,
		texts.Query, texts.ContentType, event.RemoteAddr, event.Traceparent, texts.Body,
		texts.BodyEncoding, string(texts.Headers), texts.QueryEncoding, texts.ContentTypeEncoding,
		texts.HeaderEncoding, texts.Caller, texts.CEID, texts.CESource, texts.CEType, texts.CETime,
		texts.CESubject, texts.Removed, string(texts.Attributes)}
}

// eventTexts are the fields of an event that may be bytes, as its JSON form has them.
type eventTexts struct {
	Query               string          `json:"query"`
	QueryEncoding       string          `json:"query_encoding"`
	Headers             json.RawMessage `json:"headers"`
	HeaderEncoding      string          `json:"header_encoding"`
	ContentType         string          `json:"content_type"`
	ContentTypeEncoding string          `json:"content_type_encoding"`
	Body                string          `json:"body"`
	BodyEncoding        string          `json:"body_encoding"`
	Caller              string          `json:"caller"`
	CEID                string          `json:"ce_id"`
	CESource            string          `json:"ce_source"`
	CEType              string          `json:"ce_type"`
	CETime              string          `json:"ce_time"`
	CESubject           string          `json:"ce_subject"`
	Removed             string          `json:"removed"`
	Attributes          json.RawMessage `json:"attributes"`
}

// textsOf reads them from that form, so that there is one way of writing them.
func textsOf(event *pillarbox.Event) (texts eventTexts) {
	text, err := json.Marshal(event)
	if err == nil {
		err = json.Unmarshal(text, &texts)
	}
	if err != nil { // an event that came out of a store has a JSON form
		panic(fmt.Sprintf("pillarbox: bug: the JSON form of event %s: %v", event.RequestID, err))
	}
	return texts
}
