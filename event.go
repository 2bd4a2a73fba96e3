package pillarbox

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Key names one event. Every write to a sink is idempotent on it.
type Key struct {
	Timestamp Timestamp
	RequestID string
}

// Compare orders keys as stores list them: by timestamp, and then by request id.
func (k Key) Compare(other Key) int {
	return cmp.Or(cmp.Compare(k.Timestamp, other.Timestamp), strings.Compare(k.RequestID, other.RequestID))
}

// Event is one accepted item.
//
// Timestamp and RequestID together are its key and never change again, neither on a retry nor on a
// replay. Body is kept byte for byte. Credentials are removed before an Event is made: whoever
// holds an Event may store and show all of it.
type Event struct {
	Timestamp   Timestamp
	RequestID   string // a UUIDv7, or the id that the gateway in front gave
	Source      string // the named way in
	Method      string
	Path        string
	Query       string // without the question mark
	Header      Header
	ContentType string
	RemoteAddr  string // IP address without port
	Traceparent string // W3C trace context, empty if the sender sent none or a malformed one
	Body        []byte
	Facts       *Facts // what is known beside the request; nil for nothing, as for most events

	// Idempotency is by what the request is known when it comes again. It is for the queue, and in no
	// text of the event: nothing behind the queue needs it.
	Idempotency Idempotency

	// Others are the members of its JSON form that this version does not know, with their names, as
	// they came: a newer one has written them. They are written again, and kept in no store or log.
	Others Members
}

// Key returns the key of the event.
func (e *Event) Key() Key { return Key{Timestamp: e.Timestamp, RequestID: e.RequestID} }

// Header is the kept request headers, in the order of arrival. Names are in canonical form.
type Header []HeaderField

// HeaderField is one header line.
type HeaderField struct {
	Name, Value string
}

// MarshalJSON writes an object of name to list of values. JSON has no way to say bytes that are not
// valid UTF-8, which match ErrInvalid: see Encoded.
func (h Header) MarshalJSON() ([]byte, error) {
	return h.appendTo(make([]byte, 0, h.size()))
}

// size is how long the text is of headers that need no escapes.
func (h Header) size() int {
	size := 2
	for _, field := range h {
		size += len(field.Name) + len(field.Value) + len(`"":[""],`)
	}
	return size
}

func (h Header) appendTo(text []byte) ([]byte, error) {
	for _, field := range h {
		if !isPlain(field.Name) || !isPlain(field.Value) {
			general, err := h.marshalAny()
			return append(text, general...), err
		}
	}
	return h.appendPlain(text), nil
}

// appendPlain is for headers that need no escapes, which are nearly all: the general way takes a
// tenth of the time of a write to a store.
func (h Header) appendPlain(text []byte) []byte {
	sorted := h
	byName := func(a, b HeaderField) int { return strings.Compare(a.Name, b.Name) }
	if !slices.IsSortedFunc(h, byName) {
		sorted = slices.Clone(h)
		slices.SortStableFunc(sorted, byName)
	}
	text = append(text, '{')
	for i, field := range sorted {
		switch {
		case i > 0 && sorted[i-1].Name == field.Name:
			text = append(text, ',')
		case i > 0:
			text = append(text, "],"...)
			fallthrough
		default:
			text = append(text, '"')
			text = append(text, field.Name...)
			text = append(text, `":[`...)
		}
		text = append(text, '"')
		text = append(text, field.Value...)
		text = append(text, '"')
	}
	if len(sorted) > 0 {
		text = append(text, ']')
	}
	return append(text, '}')
}

// isPlain reports whether text is the same between the quotes of a JSON string.
func isPlain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// marshalAny is the general way.
func (h Header) marshalAny() ([]byte, error) {
	fields := make(map[string][]string, len(h))
	for _, field := range h {
		if !utf8.ValidString(field.Name) || !utf8.ValidString(field.Value) {
			return nil, Invalid("header %q: %q is not valid UTF-8", field.Name, field.Value)
		}
		fields[field.Name] = append(fields[field.Name], field.Value)
	}
	return marshalPlain(fields)
}

// UnmarshalJSON reads an object of name to list of values. The order of different names is not kept
// in JSON; they come back sorted as encoding/json sorted them.
func (h *Header) UnmarshalJSON(text []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	*h = nil
	token, err := decoder.Token()
	if err != nil || token == nil {
		return err
	}
	if token != json.Delim('{') {
		return Invalid("headers: want an object of name to list of values")
	}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return err
		}
		var values []string
		if err := decoder.Decode(&values); err != nil {
			return fmt.Errorf("header %v: %w", name, err)
		}
		for _, value := range values {
			*h = append(*h, HeaderField{Name: fmt.Sprint(name), Value: value})
		}
	}
	return nil
}

// eventJSON is the form of an event that the API, the CLI, dead letters, exports and queue messages
// share.
type eventJSON struct {
	RequestID           string    `json:"request_id"`
	Timestamp           Timestamp `json:"timestamp"`
	Source              string    `json:"source"`
	Method              string    `json:"method"`
	Path                string    `json:"path"`
	Query               string    `json:"query"`
	QueryEncoding       string    `json:"query_encoding,omitempty"`
	Header              Header    `json:"headers"`
	HeaderEncoding      string    `json:"header_encoding,omitempty"`
	ContentType         string    `json:"content_type"`
	ContentTypeEncoding string    `json:"content_type_encoding,omitempty"`
	RemoteAddr          string    `json:"remote_addr"`
	Traceparent         string    `json:"traceparent"`
	factsJSON
	Body         string `json:"body"`
	BodyEncoding string `json:"body_encoding"`
	BodyClaim    *Claim `json:"body_claim,omitempty"`
}

// factsJSON are the facts of an event in its JSON form: those that are known.
type factsJSON struct {
	Caller     string     `json:"caller,omitempty"`
	CEID       string     `json:"ce_id,omitempty"`
	CESource   string     `json:"ce_source,omitempty"`
	CEType     string     `json:"ce_type,omitempty"`
	CETime     string     `json:"ce_time,omitempty"`
	CESubject  string     `json:"ce_subject,omitempty"`
	Removed    string     `json:"removed,omitempty"`
	Attributes Attributes `json:"attributes,omitempty"`
}

const (
	bodyUTF8   = "utf8"
	bodyBase64 = EncodingBase64
)

// MarshalJSON writes the event with its body as text where the bytes are valid UTF-8, else in
// base64. Query, headers and content type say their encoding where they are not valid UTF-8; then
// all values of headers are in base64.
func (e *Event) MarshalJSON() ([]byte, error) { return e.marshal(formOf(e)) }

func (e *Event) marshal(form eventJSON) ([]byte, error) {
	text, err := form.appendTo(make([]byte, 0, form.size()))
	if err != nil {
		return nil, err
	}
	return e.Others.appendTo(text), nil
}

func formOf(e *Event) eventJSON {
	form := eventJSON{
		RequestID: e.RequestID, Timestamp: e.Timestamp, Source: e.Source, Method: e.Method, Path: e.Path,
		RemoteAddr: e.RemoteAddr, Traceparent: e.Traceparent, Body: string(e.Body),
		BodyEncoding: bodyUTF8,
	}
	if e.Facts != nil {
		form.factsJSON = factsJSON(*e.Facts)
	}
	form.Query, form.QueryEncoding = EncodeText(e.Query)
	form.Header, form.HeaderEncoding = e.Header.Encoded()
	form.ContentType, form.ContentTypeEncoding = EncodeText(e.ContentType)
	if !utf8.Valid(e.Body) {
		form.Body, form.BodyEncoding = base64.StdEncoding.EncodeToString(e.Body), bodyBase64
	}
	return form
}

// UnmarshalJSON reads an event. The shortest legal one is {"timestamp":"…","request_id":"…"}.
// Names that are not known become Others, so that a newer writer can be read.
func (e *Event) UnmarshalJSON(text []byte) error {
	var form eventJSON
	if err := json.Unmarshal(text, &form); err != nil {
		return fmt.Errorf("event: %w", err)
	}
	if err := e.read(form); err != nil {
		return err
	}
	e.Others = othersIn(text)
	return nil
}

func (e *Event) read(form eventJSON) error {
	if form.RequestID == "" || form.Timestamp == 0 {
		return Invalid("event without timestamp or request_id")
	}
	body := []byte(form.Body)
	switch form.BodyEncoding {
	case "", bodyUTF8:
	case bodyBase64:
		decoded, err := base64.StdEncoding.DecodeString(form.Body)
		if err != nil {
			return fmt.Errorf("body of event %s: %w", form.RequestID, err)
		}
		body = decoded
	default:
		return Invalid("event %s has the unknown body_encoding %q", form.RequestID,
			form.BodyEncoding)
	}
	query, queryErr := DecodeText(form.Query, form.QueryEncoding)
	header, headerErr := form.Header.Decoded(form.HeaderEncoding)
	contentType, typeErr := DecodeText(form.ContentType, form.ContentTypeEncoding)
	if err := cmp.Or(queryErr, headerErr, typeErr); err != nil {
		return fmt.Errorf("query, headers or content_type of event %s: %w", form.RequestID, err)
	}
	*e = Event{
		Timestamp: form.Timestamp, RequestID: form.RequestID, Source: form.Source, Method: form.Method,
		Path: form.Path, Query: query, Header: header, ContentType: contentType,
		RemoteAddr: form.RemoteAddr, Traceparent: form.Traceparent, Body: body,
	}
	if facts := Facts(form.factsJSON); !facts.IsZero() {
		e.Facts = &facts
	}
	return nil
}

// marshalPlain leaves <, > and & as they are: the text is read by people, not put into a page.
func marshalPlain(value any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimRight(out.Bytes(), "\n"), nil
}

// The states of an event, as receipts and stories write them.
const (
	StateAccepted = "accepted" // durable in the queue
	StatePending  = "pending"  // not yet settled for a destination
	StateStored   = "stored"   // durable in the destination
	StateDead     = "dead"     // refused for good, kept as a dead letter

	// StateQuarantined is of a request whose signature fails: durable, and kept apart until a person
	// decides about it.
	StateQuarantined = "quarantined"
)

// Receipt is what the client gets back. It is made only after the event is durable.
type Receipt struct {
	RequestID string    `json:"request_id"`
	Timestamp Timestamp `json:"timestamp"`
	Status    string    `json:"status"`
}
