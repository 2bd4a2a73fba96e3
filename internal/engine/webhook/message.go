package webhook

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"pillarbox"
	"pillarbox/internal/signature"
)

// message is one request.
type message struct {
	method string // POST where empty
	id     string // Webhook-Id
	body   []byte
	header http.Header // beside those of every request
}

// The types of what is sent.
const (
	typeJSON  = "application/json"
	typeLines = "application/x-ndjson"
)

// message makes the request of one event. Errors are refusals for good.
func (s *Sink) message(event *pillarbox.Event) (message, error) {
	m := message{id: idOf(event), header: http.Header{"Content-Type": {typeJSON}}}
	if s.opts.Send == SendBody {
		m.body, m.header = event.Body, factsOf(event)
		markCanary(m.header, event)
		return m, nil
	}
	markCanary(m.header, event)
	var err error
	if m.body, err = encode(event); err != nil {
		return m, err
	}
	inTrace(m.header, event)
	return m, nil
}

// markCanary marks what is of the canary. What a user's event came with has another name: it stands in the
// event, or behind headerPrefix.
func markCanary(header http.Header, event *pillarbox.Event) {
	if event.IsCanary() {
		header[pillarbox.CanaryHeader] = []string{"1"}
	}
}

// inTrace lets what is sent on belong to the same trace, as W3C has it. A batch belongs to none: its
// events each say theirs.
func inTrace(header http.Header, event *pillarbox.Event) {
	if event.Traceparent == "" {
		return
	}
	header["Traceparent"] = []string{event.Traceparent}
	if state := event.Header.Tracestate(); state != "" {
		header["Tracestate"] = []string{state}
	}
}

func encode(event *pillarbox.Event) ([]byte, error) {
	// Not json.Marshal, which checks and copies what MarshalJSON returns.
	text, err := event.MarshalJSON()
	if err != nil {
		return nil, pillarbox.Permanent(fmt.Errorf("encode event %s: %w", event.RequestID, err))
	}
	return text, nil
}

// batchMessage makes the request of a batch. Its id is a digest of its keys: the same events in the
// same order have the same one, and a batch that is cut in another way has another.
func (s *Sink) batchMessage(events []*pillarbox.Event) (message, error) {
	array := s.opts.Send == SendArray
	m := message{header: http.Header{"Content-Type": {typeLines}}}
	if array {
		m.header = http.Header{"Content-Type": {typeJSON}}
	}
	var body bytes.Buffer
	digest := sha256.New()
	if len(events) > 0 {
		markCanary(m.header, events[0]) // a batch has events of the canary alone, or none
	}
	for i, event := range events {
		text, err := encode(event)
		if err != nil {
			return m, &pillarbox.BatchError{Items: refuseAll(events, i, err)}
		}
		fmt.Fprintf(digest, "%s %s\n", event.Timestamp, event.RequestID)
		switch {
		case array && i == 0:
			body.WriteByte('[')
		case array:
			body.WriteByte(',')
		}
		body.Write(text)
		if !array {
			body.WriteByte('\n')
		}
	}
	if array {
		body.WriteByte(']')
	}
	m.id, m.body = batchIDPrefix+hex.EncodeToString(digest.Sum(nil)[:16]), body.Bytes()
	return m, nil
}

// refuseAll lays an error to one event of a batch that was not sent. The others come again.
func refuseAll(events []*pillarbox.Event, culprit int, err error) []pillarbox.ItemError {
	items := make([]pillarbox.ItemError, len(events))
	for i := range events {
		items[i] = pillarbox.ItemError{Index: i,
			Err: fmt.Errorf("not sent, because another event of its batch can't be: %w", pillarbox.ErrUnavailable)}
	}
	items[culprit].Err = err
	return items
}

// The headers by which SendBody says what the body is of.
const (
	factPrefix      = "Pillarbox-"
	headerPrefix    = factPrefix + "Header-"
	attributePrefix = factPrefix + "Attribute-"
	// base64Header names those of the headers whose values are in base64, because a header can't hold
	// them.
	base64Header = factPrefix + "Base64"
)

// factsOf are the headers of an event that is sent as its body alone: what is known of it, and the
// headers that it came with, each behind a prefix, so that no sender can set what a receiver
// believes.
func factsOf(event *pillarbox.Event) http.Header {
	h := facts{header: http.Header{}}
	h.set(factPrefix+"Timestamp", event.Timestamp.String())
	for _, known := range []struct{ name, value string }{
		{"Request-Id", event.RequestID}, {"Source", event.Source}, {"Method", event.Method}, {"Path", event.Path}, {"Query", event.Query},
		{"Content-Type", event.ContentType}, {"Remote-Addr", event.RemoteAddr}, {"Traceparent", event.Traceparent},
	} {
		if known.value != "" {
			h.set(factPrefix+known.name, known.value)
		}
	}
	if isHeaderValue(event.ContentType) && event.ContentType != "" {
		h.header["Content-Type"] = []string{event.ContentType}
	}
	inTrace(h.header, event)
	if event.Facts != nil {
		for i, text := range event.Facts.Texts() {
			if *text != "" {
				h.set(factPrefix+strings.ReplaceAll(pillarbox.FactNames()[i], "_", "-"), *text)
			}
		}
		for _, a := range event.Facts.Attributes {
			h.set(attributePrefix+a.Name, a.Value)
		}
	}
	for _, field := range event.Header {
		h.set(headerPrefix+field.Name, field.Value)
	}
	return h.header
}

// facts are headers under construction.
type facts struct{ header http.Header }

// set adds a value. Where one value of a name is in base64, all are.
func (f facts) set(name, value string) {
	name = http.CanonicalHeaderKey(headerName(name))
	before := f.header[name]
	switch coded := f.isCoded(name); {
	case coded:
		value = base64.StdEncoding.EncodeToString([]byte(value))
	case !isHeaderValue(value):
		for i, plain := range before {
			before[i] = base64.StdEncoding.EncodeToString([]byte(plain))
		}
		f.header[base64Header] = append(f.header[base64Header], name)
		value = base64.StdEncoding.EncodeToString([]byte(value))
	}
	f.header[name] = append(before, value)
}

func (f facts) isCoded(name string) bool {
	for _, coded := range f.header[base64Header] {
		if coded == name {
			return true
		}
	}
	return false
}

// isHeaderValue reports whether every receiver gets a value as it was sent.
func isHeaderValue(value string) bool {
	for i := range len(value) {
		if value[i] < ' ' || value[i] > '~' {
			return false
		}
	}
	return strings.TrimSpace(value) == value
}

// headerName makes a name of a header of any text: names of attributes may have other characters.
func headerName(text string) string {
	return strings.Map(func(r rune) rune {
		if r > '~' || r <= ' ' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r) {
			return '-'
		}
		return r
	}, text)
}

// idOf is the id of an event's requests: its own one, which any that pillarbox gives can be. Those of
// a queue that others fill may be anything: where one can't stand in a header, or can't be signed
// because of a dot, a digest of it is sent.
func idOf(event *pillarbox.Event) string {
	id := event.RequestID
	if id != "" && len(id) <= signature.MaxID && isHeaderValue(id) && !strings.ContainsAny(id, " .") {
		return id
	}
	digest := sha256.Sum256([]byte(id))
	return "id_" + hex.EncodeToString(digest[:16])
}

// idInQuery stands in the query of the URL for the id of the request.
const idInQuery = "{webhook-id}"

// request is the message on its way. The time that is signed is that of this try.
func (s *Sink) request(m message) *http.Request {
	header := make(http.Header, len(s.header)+len(m.header)+5)
	maps.Copy(header, m.header)
	maps.Copy(header, s.header)
	header[signature.HeaderID] = []string{m.id}
	header["Idempotency-Key"] = []string{m.id}
	if s.signer != nil {
		timestamp, signatures := s.signer.Sign(m.id, s.opts.Now(), m.body)
		header[signature.HeaderTimestamp] = []string{timestamp}
		header[signature.HeaderSignature] = []string{signatures}
	}
	to := s.to
	if strings.Contains(to.RawQuery, idInQuery) {
		with := *to
		with.RawQuery = strings.ReplaceAll(to.RawQuery, idInQuery, url.QueryEscape(m.id))
		to = &with
	}
	request := &http.Request{Method: cmp.Or(m.method, http.MethodPost), URL: to, Host: to.Host, Header: header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, ContentLength: int64(len(m.body)), Body: http.NoBody}
	if len(m.body) > 0 {
		request.Body, request.GetBody = bodyOf(m.body)
	}
	return request
}

// maxResends is how often a request may be sent once more at once, because its connection was closed
// before there was any answer. A receiver closes connections that rest; but one that a request kills
// must not be killed on each connection there is.
const maxResends = 2

var errCut = errors.New("the connection was closed before there was an answer")

// bodyOf returns a body, and what makes it again for another connection.
func bodyOf(text []byte) (body io.ReadCloser, again func() (io.ReadCloser, error)) {
	resends := 0
	return io.NopCloser(bytes.NewReader(text)), func() (io.ReadCloser, error) {
		if resends++; resends > maxResends {
			return nil, errCut
		}
		return io.NopCloser(bytes.NewReader(text)), nil
	}
}
