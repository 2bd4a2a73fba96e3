package parquet

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"

	"pillarbox"
)

// MaxEventBytes bounds one event as it is stored: body, headers and the other columns together.
const MaxEventBytes = 32 << 20

// row is an event in a file. The tags are the format: names are added, never changed. What an event
// need not have is NULL.
type row struct {
	Timestamp    int64   `parquet:"timestamp,timestamp(microsecond),delta"`
	RequestID    string  `parquet:"request_id"`
	Source       string  `parquet:"source,dict"`
	Method       string  `parquet:"method,dict"`
	Path         string  `parquet:"path,dict"`
	Query        string  `parquet:"query"`
	ContentType  string  `parquet:"content_type,dict"`
	Headers      string  `parquet:"headers,dict"` // JSON object of name to list of values
	RemoteAddr   string  `parquet:"remote_addr,dict"`
	Traceparent  string  `parquet:"traceparent"`
	Body         []byte  `parquet:"body"`
	StoredAt     int64   `parquet:"stored_at,timestamp(microsecond),delta"`
	QueryEnc     *string `parquet:"query_encoding,optional,dict"`
	TypeEnc      *string `parquet:"content_type_encoding,optional,dict"`
	HeaderEnc    *string `parquet:"header_encoding,optional,dict"`
	Caller       *string `parquet:"caller,optional,dict"`
	CEID         *string `parquet:"ce_id,optional"`
	CESource     *string `parquet:"ce_source,optional,dict"`
	CEType       *string `parquet:"ce_type,optional,dict"`
	CETime       *string `parquet:"ce_time,optional"`
	CESubject    *string `parquet:"ce_subject,optional"`
	Removed      *string `parquet:"removed,optional,dict"`
	Attributes   *string `parquet:"attributes,optional"` // JSON object of name to text
	FactEncoding *string `parquet:"fact_encoding,optional,dict"`
}

// facts are the columns of the single texts, in the order of pillarbox.FactNames.
func (r *row) facts() [pillarbox.FactCount]**string {
	return [...]**string{&r.Caller, &r.CEID, &r.CESource, &r.CEType, &r.CETime, &r.CESubject, &r.Removed}
}

func (r *row) key() pillarbox.Key {
	return pillarbox.Key{Timestamp: pillarbox.Timestamp(r.Timestamp), RequestID: r.RequestID}
}

// headerTexts writes headers as JSON, and remembers the last one: most events of a batch have the
// headers of the one before.
type headerTexts struct {
	last     pillarbox.Header
	text     string
	encoding *string
}

func (h *headerTexts) of(header pillarbox.Header) (text string, encoding *string, err error) {
	if h.text != "" && slices.Equal(h.last, header) {
		return h.text, h.encoding, nil
	}
	encoded, how := header.Encoded()
	b, err := encoded.MarshalJSON()
	if err != nil {
		return "", nil, err
	}
	h.last, h.text, h.encoding = header, string(b), optional(how)
	return h.text, h.encoding, nil
}

// optional is NULL for nothing.
func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// rowOf makes the row of an event. It shares the event's memory. An error is a refusal for good.
func rowOf(event *pillarbox.Event, storedAt pillarbox.Timestamp, headers *headerTexts) (r row, err error) {
	r = row{
		Timestamp: int64(event.Timestamp), RequestID: event.RequestID, Source: event.Source, Method: event.Method,
		Path: event.Path, RemoteAddr: event.RemoteAddr, Traceparent: event.Traceparent, Body: event.Body,
		StoredAt: int64(storedAt),
	}
	if err := checkTexts(&r); err != nil {
		return r, err
	}
	var queryEncoding, typeEncoding string
	r.Query, queryEncoding = pillarbox.EncodeText(event.Query)
	r.ContentType, typeEncoding = pillarbox.EncodeText(event.ContentType)
	r.QueryEnc, r.TypeEnc = optional(queryEncoding), optional(typeEncoding)
	if r.Headers, r.HeaderEnc, err = headers.of(event.Header); err != nil {
		return r, pillarbox.Permanent(fmt.Errorf("headers: %w", err))
	}
	size := len(r.Body) + len(r.Headers) + len(r.Query)
	if event.Facts != nil {
		size += event.Facts.Bytes()
		if err := r.setFacts(event.Facts); err != nil {
			return r, pillarbox.Permanent(fmt.Errorf("attributes: %w", err))
		}
	}
	if size > MaxEventBytes {
		return r, pillarbox.Permanent(fmt.Errorf("%d bytes, and a row may have %d: %w", size, MaxEventBytes, pillarbox.ErrTooLarge))
	}
	return r, nil
}

// checkTexts refuses what has no place for an encoding and is no UTF-8: readers take a column of
// text for what it says that it is.
func checkTexts(r *row) error {
	for _, text := range [...]string{r.RequestID, r.Source, r.Method, r.Path, r.RemoteAddr, r.Traceparent} {
		if !utf8.ValidString(text) {
			return pillarbox.Permanent(pillarbox.Invalid("%.60q is no UTF-8, as a column of text must be", text))
		}
	}
	return nil
}

// setFacts puts what is known into its columns: all in base64 where one text of it is no UTF-8.
func (r *row) setFacts(facts *pillarbox.Facts) error {
	texts, values := facts.Texts(), []string(nil)
	for _, text := range texts {
		values = append(values, *text)
	}
	attributes := slices.Clone(facts.Attributes)
	for _, a := range attributes {
		values = append(values, a.Value)
	}
	encode := func(text string) string { return text }
	if slices.ContainsFunc(values, func(text string) bool { return !utf8.ValidString(text) }) {
		encode = inBase64
		r.FactEncoding = optional(pillarbox.EncodingBase64)
	}
	for i, to := range r.facts() {
		*to = optional(encode(*texts[i]))
	}
	if len(attributes) == 0 {
		return nil
	}
	for i := range attributes {
		attributes[i].Value = encode(attributes[i].Value)
	}
	text, err := attributes.MarshalJSON()
	r.Attributes = optional(string(text))
	return err
}

// valueOf is the text of an optional column.
func valueOf(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// event makes the event of a row that was read. It shares the memory of the row, which is its own. An
// error says that the row is none of ours.
func (r *row) event() (*pillarbox.Event, error) {
	query, queryErr := pillarbox.DecodeText(r.Query, valueOf(r.QueryEnc))
	contentType, typeErr := pillarbox.DecodeText(r.ContentType, valueOf(r.TypeEnc))
	var header pillarbox.Header
	headerErr := json.Unmarshal([]byte(r.Headers), &header)
	header, decodeErr := header.Decoded(valueOf(r.HeaderEnc))
	facts, factsErr := r.knownFacts()
	if err := cmp.Or(queryErr, typeErr, headerErr, decodeErr, factsErr); err != nil {
		return nil, err
	}
	return &pillarbox.Event{
		Timestamp: pillarbox.Timestamp(r.Timestamp), RequestID: r.RequestID, Source: r.Source,
		Method: r.Method, Path: r.Path, Query: query,
		ContentType: contentType, Header: header, RemoteAddr: r.RemoteAddr,
		Traceparent: r.Traceparent, Body: r.Body, Facts: facts,
	}, nil
}

func (r *row) knownFacts() (*pillarbox.Facts, error) {
	var facts pillarbox.Facts
	var err error
	decode := func(text string) string {
		decoded, wrong := pillarbox.DecodeText(text, valueOf(r.FactEncoding))
		err = cmp.Or(err, wrong)
		return decoded
	}
	columns := r.facts()
	for i, to := range facts.Texts() {
		*to = decode(valueOf(*columns[i]))
	}
	if r.Attributes != nil {
		if err := json.Unmarshal([]byte(*r.Attributes), &facts.Attributes); err != nil {
			return nil, err
		}
		for i := range facts.Attributes {
			facts.Attributes[i].Value = decode(facts.Attributes[i].Value)
		}
	}
	if facts.IsZero() {
		return nil, err
	}
	return &facts, err
}

func inBase64(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
