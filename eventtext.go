package pillarbox

import (
	"fmt"
	"unicode/utf8"
)

// appendTo writes the form as encoding/json does, member by member: an event is written for each
// message of a broker, each webhook and each follower, and by reflection that is most of their time.
// Errors: ErrInvalid for a timestamp outside of the years 0000 to 9999.
func (f *eventJSON) appendTo(out []byte) (_ []byte, err error) {
	out = appendQuoted(append(out, `{"request_id":`...), f.RequestID)
	out = append(out, `,"timestamp":"`...)
	if out, err = f.Timestamp.AppendText(out); err != nil {
		return nil, err
	}
	out = appendQuoted(append(out, `","source":`...), f.Source)
	out = appendQuoted(append(out, `,"method":`...), f.Method)
	out = appendQuoted(append(out, `,"path":`...), f.Path)
	out = appendQuoted(append(out, `,"query":`...), f.Query)
	out = appendKnown(out, `,"query_encoding":`, f.QueryEncoding)
	if out, err = f.Header.appendTo(append(out, `,"headers":`...)); err != nil {
		return nil, err
	}
	out = appendKnown(out, `,"header_encoding":`, f.HeaderEncoding)
	out = appendQuoted(append(out, `,"content_type":`...), f.ContentType)
	out = appendKnown(out, `,"content_type_encoding":`, f.ContentTypeEncoding)
	out = appendQuoted(append(out, `,"remote_addr":`...), f.RemoteAddr)
	out = appendQuoted(append(out, `,"traceparent":`...), f.Traceparent)
	out = f.factsJSON.appendTo(out)
	out = appendQuoted(append(out, `,"body":`...), f.Body)
	out = appendQuoted(append(out, `,"body_encoding":`...), f.BodyEncoding)
	if f.BodyClaim != nil {
		claim, err := marshalPlain(f.BodyClaim)
		if err != nil {
			return nil, err
		}
		out = append(append(out, `,"body_claim":`...), claim...)
	}
	return append(out, '}'), nil
}

// size is how long the text is where little of it has to be escaped.
func (f *eventJSON) size() int {
	const around, escaped = 384, 8 // of the names and the short values; quotes of a body are an eighth of it
	return around + len(f.Path) + len(f.Query) + f.Header.size() + len(f.Body) + len(f.Body)/escaped
}

func (f *factsJSON) appendTo(out []byte) []byte {
	out = appendKnown(out, `,"caller":`, f.Caller)
	out = appendKnown(out, `,"ce_id":`, f.CEID)
	out = appendKnown(out, `,"ce_source":`, f.CESource)
	out = appendKnown(out, `,"ce_type":`, f.CEType)
	out = appendKnown(out, `,"ce_time":`, f.CETime)
	out = appendKnown(out, `,"ce_subject":`, f.CESubject)
	out = appendKnown(out, `,"removed":`, f.Removed)
	if len(f.Attributes) == 0 {
		return out
	}
	return f.Attributes.appendTo(append(out, `,"attributes":`...))
}

// appendKnown leaves out a member that is empty.
func appendKnown(out []byte, name, text string) []byte {
	if text == "" {
		return out
	}
	return appendQuoted(append(out, name...), text)
}

// appendQuoted writes a text as a string of JSON, as marshalPlain does.
func appendQuoted(out []byte, text string) []byte {
	out = append(out, '"')
	plain := 0 // from here on to i nothing has to be escaped
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf {
			if c < ' ' || c == '"' || c == '\\' {
				out = appendEscaped(append(out, text[plain:i]...), c)
				plain = i + 1
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		// The separators of lines end a string of JavaScript, and bytes that are no UTF-8 are none of JSON.
		if r == utf8.RuneError && size == 1 || r == '\u2028' || r == '\u2029' {
			out = fmt.Appendf(append(out, text[plain:i]...), `\u%04x`, r)
			plain = i + size
		}
		i += size
	}
	return append(append(out, text[plain:]...), '"')
}

func appendEscaped(out []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(out, '\\', c)
	case '\b':
		return append(out, `\b`...)
	case '\f':
		return append(out, `\f`...)
	case '\n':
		return append(out, `\n`...)
	case '\r':
		return append(out, `\r`...)
	case '\t':
		return append(out, `\t`...)
	}
	return fmt.Appendf(out, `\u%04x`, c)
}
