package console

import (
	"encoding/json"
	"io"
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
	return NewList(w, form, "events", EventHead(form))
}

// AddEvent adds one to it.
func (l *List) AddEvent(event *pillarbox.Event) error {
	return l.Add(event, EventRow(event, l.form)...)
}

// EventHead is the head of a table of events.
func EventHead(form Form) []string {
	if form.Kind == CSV {
		return []string{"timestamp", "request_id", "source", "method", "path", "query", "content_type",
			"remote_addr", "traceparent", "body", "body_encoding"}
	}
	return []string{"timestamp", "request_id", "source", "method", "content_type", "bytes", "body"}
}

// EventRow is a row of it.
func EventRow(event *pillarbox.Event, form Form) []any {
	if form.Kind == CSV {
		body, encoding := bodyText(event)
		return []any{event.Timestamp, event.RequestID, event.Source, event.Method, event.Path,
			event.Query, event.ContentType, event.RemoteAddr, event.Traceparent, body, encoding}
	}
	return []any{event.Timestamp, event.RequestID, event.Source, event.Method, event.ContentType,
		len(event.Body), BodyPreview(event)}
}

// bodyText is the body as the JSON form has it.
func bodyText(event *pillarbox.Event) (body, encoding string) {
	text, err := json.Marshal(event)
	if err != nil {
		return "", ""
	}
	var form struct {
		Body     string `json:"body"`
		Encoding string `json:"body_encoding"`
	}
	if err := json.Unmarshal(text, &form); err != nil {
		return "", ""
	}
	return form.Body, form.Encoding
}
