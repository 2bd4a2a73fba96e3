package postgres

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"pillarbox"
	"pillarbox/internal/jsontext"
	"pillarbox/internal/requestid"
)

// row is an event on its way into the table.
type row struct {
	event *pillarbox.Event
	index int // in the batch

	query, queryEncoding      string
	contentType, typeEncoding string
	headers                   []byte // JSON
	headerEncoding            string
	facts                     pillarbox.Facts
	factEncoding              string
	attributes                []byte // JSON; nil for none
	json                      []byte // the body where jsonb takes it, else nil
	findable                  bool   // by the time in its id
}

// encodeText is pillarbox.EncodeText, for a server that takes no NUL either.
func encodeText(text string) (encoded, encoding string) {
	if strings.IndexByte(text, 0) < 0 {
		return pillarbox.EncodeText(text)
	}
	return base64.StdEncoding.EncodeToString([]byte(text)), pillarbox.EncodingBase64
}

func newRow(index int, event *pillarbox.Event) (r row, err error) {
	r = row{event: event, index: index, findable: requestid.TellsTime(event.Key())}
	if _, err := event.Timestamp.MarshalText(); err != nil {
		return r, pillarbox.Permanent(err)
	}
	r.query, r.queryEncoding = encodeText(event.Query)
	r.contentType, r.typeEncoding = encodeText(event.ContentType)
	if r.headers, r.headerEncoding, err = headerJSON(event.Header); err != nil {
		return r, pillarbox.Permanent(fmt.Errorf("headers: %w", err))
	}
	size := len(event.Body) + len(r.headers) + len(r.query)
	if event.Facts != nil {
		size += event.Facts.Bytes()
		if err := r.encodeFacts(event.Facts); err != nil {
			return r, pillarbox.Permanent(fmt.Errorf("attributes: %w", err))
		}
	}
	if size > MaxEventBytes {
		return r, pillarbox.Permanent(fmt.Errorf("%d bytes, a row may have %d: %w", size, MaxEventBytes, pillarbox.ErrTooLarge))
	}
	if isJSONB(event.Body) {
		r.json = event.Body
	}
	return r, r.checkTexts()
}

// encodeFacts puts all that is known in base64 where one text of it is none of PostgreSQL.
func (r *row) encodeFacts(facts *pillarbox.Facts) (err error) {
	r.facts = *facts
	r.facts.Attributes = slices.Clone(facts.Attributes)
	texts := r.facts.Texts()
	values := make([]*string, 0, len(texts)+len(facts.Attributes))
	values = append(values, texts[:]...)
	for i := range r.facts.Attributes {
		values = append(values, &r.facts.Attributes[i].Value)
	}
	for _, text := range values {
		if !isText(*text) {
			r.factEncoding = pillarbox.EncodingBase64
		}
	}
	if r.factEncoding != "" {
		for _, text := range values {
			*text = base64.StdEncoding.EncodeToString([]byte(*text))
		}
	}
	if len(r.facts.Attributes) > 0 {
		r.attributes, err = r.facts.Attributes.MarshalJSON()
	}
	return err
}

// isText reports whether PostgreSQL takes the text.
func isText(text string) bool { return strings.IndexByte(text, 0) < 0 && utf8.ValidString(text) }

// checkTexts refuses what has no place for an encoding and is no text of PostgreSQL.
func (r *row) checkTexts() error {
	e := r.event
	for _, text := range []string{e.RequestID, e.Source, e.Method, e.Path, e.RemoteAddr, e.Traceparent} {
		if !isText(text) {
			return pillarbox.Permanent(pillarbox.Invalid("%.60q has a NUL or is no UTF-8, which PostgreSQL does not store", text))
		}
	}
	return nil
}

// headerJSON is the JSON form of the headers, as jsonb takes it, and their encoding.
func headerJSON(header pillarbox.Header) (text []byte, encoding string, err error) {
	for _, field := range header {
		if strings.IndexByte(field.Value, 0) >= 0 {
			// All values are encoded where one has to be.
			encoded, encoding := append(pillarbox.Header{{Name: "x", Value: "\xff"}}, header...).Encoded()
			text, err := encoded[1:].MarshalJSON()
			return text, encoding, err
		}
	}
	encoded, encoding := header.Encoded()
	text, err = encoded.MarshalJSON()
	return text, encoding, err
}

// Limits of what is handed to the server as jsonb. What is beyond them is in body all the same.
const (
	maxJSONDepth  = 512 // the server counts its stack: the default of 2 MiB has room for some thousands
	maxJSONDigits = 256 // of a number; numeric has 131,072 before its point, and 1e99999999 is out of range
)

// isJSONB reports whether jsonb takes a body: JSON in UTF-8, without NUL, with whole surrogate pairs,
// numbers in range, and not too deep.
func isJSONB(body []byte) bool {
	if len(body) == 0 || !utf8.Valid(body) || bytes.IndexByte(body, 0) >= 0 || !jsontext.Valid(body) {
		return false
	}
	depth, inString := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case inString && c == '"':
			inString = false
		case inString && c == '\\':
			n, ok := escape(body[i:])
			if !ok {
				return false
			}
			i += n - 1
		case inString:
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			if depth++; depth > maxJSONDepth {
				return false
			}
		case c == '}' || c == ']':
			depth--
		case c == '-' || c >= '0' && c <= '9':
			n, ok := number(body[i:])
			if !ok {
				return false
			}
			i += n - 1
		}
	}
	return true
}

// escape returns how long an escape of a valid string is: both halves of a surrogate pair are one.
func escape(b []byte) (n int, ok bool) {
	if b[1] != 'u' {
		return 2, true
	}
	switch unit := hexUnit(b[2:6]); {
	case unit == 0, unit >= 0xdc00 && unit < 0xe000:
		return 0, false
	case unit >= 0xd800 && unit < 0xdc00:
		if len(b) < 12 || b[6] != '\\' || b[7] != 'u' {
			return 0, false
		}
		low := hexUnit(b[8:12])
		return 12, low >= 0xdc00 && low < 0xe000
	}
	return 6, true
}

func hexUnit(b []byte) (unit int) {
	for _, c := range b {
		unit <<= 4
		switch {
		case c >= '0' && c <= '9':
			unit |= int(c - '0')
		default:
			unit |= int(c|0x20) - 'a' + 10
		}
	}
	return unit
}

// number returns how long a number is, and whether numeric certainly has room for it.
func number(b []byte) (n int, ok bool) {
	exponent, inExponent := 0, false
	for ; n < len(b); n++ {
		c := b[n]
		if c == 'e' || c == 'E' {
			inExponent = true
			continue
		}
		if c >= '0' && c <= '9' {
			if inExponent {
				exponent = min(exponent*10+int(c-'0'), 1_000_000)
			}
			continue
		}
		if c != '.' && c != '-' && c != '+' {
			break
		}
	}
	return n, n <= maxJSONDigits && exponent <= maxJSONDigits
}

// optional is NULL for nothing.
func optional(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// values are in the order of columns. stored_at is the server's.
func (r *row) values(to []any) []any {
	e := r.event
	to = append(to, e.Timestamp.Time(), e.RequestID, e.Source, e.Method, e.Path, r.query, r.contentType,
		r.headers, e.RemoteAddr, e.Traceparent, notNil(e.Body), nil,
		optional(r.queryEncoding), optional(r.typeEncoding), optional(r.headerEncoding))
	for _, text := range r.facts.Texts() {
		to = append(to, optional(*text))
	}
	return append(to, jsonOrNull(r.attributes), optional(r.factEncoding), jsonOrNull(r.json))
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func jsonOrNull(text []byte) any {
	if text == nil {
		return nil
	}
	return text
}
