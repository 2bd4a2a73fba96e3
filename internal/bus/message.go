package bus

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"pillarbox"
	"pillarbox/internal/cloudevent"
	"pillarbox/internal/jsontext"
)

// headerID is the header that names the event, by its request id.
const headerID = "pillarbox-request-id"

// headerCanary marks what is of the canary.
const headerCanary = "pillarbox-canary"

// HeaderID is that header.
const HeaderID = headerID

// DefaultType is the type of what did not come as a CloudEvent.
const DefaultType = "pillarbox.event"

const (
	typeHeader = "content-type"
	typeJSON   = "application/json"
)

// Binding is how a broker's headers carry the attributes of CloudEvents.
type Binding struct {
	prefix string
	value  func(string) string
}

// The bindings. https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/
var (
	// Kafka is the binding 1.0.2: ce_id, and values in UTF-8.
	Kafka = Binding{prefix: "ce_", value: func(text string) string { return text }}
	// NATS is the binding 1.0.3: ce-id, and values percent-encoded as over HTTP.
	NATS = Binding{prefix: "ce-", value: percentEncode}
)

// Header is one header of a message.
type Header struct{ Name, Value string }

// Message is what is sent of an event. It shares no memory with it.
type Message struct {
	Key     []byte // nil for none
	Value   []byte
	Headers []Header
}

// Encoder makes messages. It may be used concurrently.
type Encoder struct {
	binding     Binding
	cloudEvents bool
	key         func(*pillarbox.Event) []byte
	headers     []Header // of each message
}

// NewEncoder returns an encoder. Errors: *SettingError.
func NewEncoder(binding Binding, opts Options) (*Encoder, error) {
	opts = opts.withDefaults()
	if err := opts.validate(); err != nil {
		return nil, err
	}
	e := &Encoder{binding: binding, cloudEvents: opts.Format == FormatCloudEvents, key: keyOf(opts.Key)}
	for _, name := range slices.Sorted(maps.Keys(opts.Headers)) {
		e.headers = append(e.headers, Header{name, opts.Headers[name]})
	}
	return e, nil
}

// keyOf returns what makes a key, which is checked. An event that does not have what it is made of
// has none.
func keyOf(key string) func(*pillarbox.Event) []byte {
	if name, is := strings.CutPrefix(key, keyHeader); is {
		return func(event *pillarbox.Event) []byte {
			for _, field := range event.Header {
				if strings.EqualFold(field.Name, name) {
					return []byte(field.Value)
				}
			}
			return nil
		}
	}
	if text, is := strings.CutPrefix(key, keyJSON); is {
		pointer := jsontext.ParsePointer(text)
		return func(event *pillarbox.Event) []byte { return keyInJSON(event.Body, pointer) }
	}
	switch key {
	case KeySource:
		return func(event *pillarbox.Event) []byte { return []byte(event.Source) }
	case KeyRequestID:
		return func(event *pillarbox.Event) []byte { return []byte(event.RequestID) }
	}
	return func(*pillarbox.Event) []byte { return nil }
}

// keyInJSON is the first value that the pointer finds: a text without its quotes, any other as it
// stands there.
func keyInJSON(body []byte, pointer jsontext.Pointer) (key []byte) {
	if !jsontext.Valid(body) {
		return nil
	}
	pointer.Find(gjson.ParseBytes(jsontext.Text(body)), func(value gjson.Result) {
		if key == nil && value.Type != gjson.Null {
			key = []byte(value.String())
		}
	})
	return key
}

// Encode makes the message of an event. Errors are refusals for good.
func (e *Encoder) Encode(event *pillarbox.Event) (Message, error) {
	m := Message{Key: e.key(event), Headers: make([]Header, 0, len(e.headers)+8)}
	m.Headers = append(append(m.Headers, Header{headerID, event.RequestID}), e.headers...)
	if event.IsCanary() {
		m.Headers = append(m.Headers, Header{headerCanary, "1"})
	}
	if event.Traceparent != "" { // W3C: what is sent on belongs to the same trace
		m.Headers = append(m.Headers, Header{"traceparent", event.Traceparent})
		if state := event.Header.Tracestate(); state != "" {
			m.Headers = append(m.Headers, Header{"tracestate", state})
		}
	}
	if e.cloudEvents {
		m.Value = slices.Clone(event.Body)
		m.Headers = e.attributes(m.Headers, event)
		return m, nil
	}
	m.Headers = append(m.Headers, Header{typeHeader, typeJSON})
	var err error
	// Not json.Marshal, which checks and copies what MarshalJSON returns.
	if m.Value, err = event.MarshalJSON(); err != nil {
		return m, pillarbox.Permanent(fmt.Errorf("encode event %s: %w", event.RequestID, err))
	}
	return m, nil
}

// attributes adds those of an event. What came in structured mode goes on in it, as its body says
// all. What came as no CloudEvent gets attributes of what is known of the request.
func (e *Encoder) attributes(headers []Header, event *pillarbox.Event) []Header {
	if contentType := headerValue(event.ContentType); contentType != "" {
		headers = append(headers, Header{typeHeader, contentType})
	}
	facts := event.Facts
	came := facts != nil && facts.CEID != ""
	if came && cloudevent.ModeOf(event.ContentType) == cloudevent.Structured {
		return headers
	}
	add := func(name, value string) {
		if value != "" {
			headers = append(headers, Header{e.binding.prefix + name, e.binding.value(value)})
		}
	}
	add("specversion", cloudevent.SpecVersion)
	if !came {
		add("id", event.RequestID)
		add("source", "/"+event.Source)
		add("type", DefaultType)
		add("time", event.Timestamp.String())
		return headers
	}
	add("id", facts.CEID)
	add("source", facts.CESource)
	add("type", facts.CEType)
	add("time", facts.CETime)
	add("subject", facts.CESubject)
	for _, extension := range cloudevent.Extensions(event.Header) {
		add(extension.Name, extension.Value)
	}
	return headers
}

// headerValue is a value that every broker takes, percent-encoded where it has to be.
func headerValue(text string) string {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return percentEncode(text)
		}
	}
	return text
}

const hexDigits = "0123456789ABCDEF"

// percentEncode encodes what the HTTP binding of CloudEvents does (section 3.1.3.2): space, quote,
// percent sign, and all that is not printable ASCII.
func percentEncode(text string) string {
	plain := true
	for i := range len(text) {
		plain = plain && isPlain(text[i])
	}
	if plain {
		return text
	}
	var out strings.Builder
	for i := range len(text) {
		if c := text[i]; isPlain(c) {
			out.WriteByte(c)
		} else {
			out.Write([]byte{'%', hexDigits[c>>4], hexDigits[c&15]})
		}
	}
	return out.String()
}

func isPlain(c byte) bool { return c > ' ' && c <= '~' && c != '"' && c != '%' }
