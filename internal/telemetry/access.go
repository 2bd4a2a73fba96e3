package telemetry

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The formats of an access log.
const (
	AccessJSON     = "json"
	AccessCombined = "combined" // as Apache's: LogFormat "%h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-agent}i\"" combined
)

// MaxAccessText is how much of one text of a client is written, in bytes.
const MaxAccessText = 1024

// AccessEntry is one answered request.
type AccessEntry struct {
	Began     time.Time
	Took      time.Duration
	Client    string // its address
	Method    string
	Path      string // without the query, which may hold credentials; the template of a route where there is one
	Proto     string // such as HTTP/1.1
	Source    string // empty for none
	Status    int
	Bytes     int64  // of the answer's body
	RequestID string // of the one event that was accepted; empty for none
	TraceID   string // where the request is recorded
	Referer   string // as it came: what may hold credentials is not written
	UserAgent string
}

// Access writes one line for each answered request. All methods may be called concurrently, and on nil,
// where nothing is written. It is as fast as its writer, which should be Lines.
type Access struct {
	to     io.Writer
	append func(line []byte, e *AccessEntry) []byte
}

// NewAccess makes an access log. It fails for an unknown format.
func NewAccess(to io.Writer, format string) (*Access, error) {
	switch format {
	case AccessJSON:
		return &Access{to, appendAccessJSON}, nil
	case AccessCombined:
		return &Access{to, appendCombined}, nil
	}
	return nil, fmt.Errorf("access log %q: want %s or %s", format, AccessJSON, AccessCombined)
}

var accessLines = sync.Pool{New: func() any { return new([]byte) }}

// Answered writes a line.
func (a *Access) Answered(e *AccessEntry) {
	if a == nil {
		return
	}
	line := accessLines.Get().(*[]byte)
	defer accessLines.Put(line)
	entry := *e
	entry.Referer = plainURL(e.Referer)
	*line = append(a.append((*line)[:0], &entry), '\n')
	_, _ = a.to.Write(*line) // Lines never fails: it counts what it drops
}

// plainURL is a URL without its user, query and fragment.
func plainURL(text string) string {
	if end := strings.IndexAny(text, "?#"); end >= 0 {
		text = text[:end]
	}
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		return text
	}
	host, path, _ := strings.Cut(rest, "/")
	if at := strings.LastIndexByte(host, '@'); at >= 0 {
		return scheme + "://" + host[at+1:] + "/" + path
	}
	return text
}

func appendAccessJSON(b []byte, e *AccessEntry) []byte {
	b = e.Began.UTC().AppendFormat(append(b, `{"time":"`...), "2006-01-02T15:04:05.000000Z")
	b = append(b, '"')
	for _, text := range [...]struct{ key, value string }{
		{"client", e.Client}, {"method", e.Method}, {"path", e.Path}, {"protocol", e.Proto}, {KeySource, e.Source},
		{KeyRequestID, e.RequestID}, {KeyTraceID, e.TraceID}, {"referer", e.Referer}, {"user_agent", e.UserAgent},
	} {
		if text.value != "" {
			b = append(append(append(b, `,"`...), text.key...), `":`...)
			b = appendJSONText(b, text.value)
		}
	}
	b = strconv.AppendInt(append(b, `,"status":`...), int64(e.Status), 10)
	b = strconv.AppendInt(append(b, `,"bytes":`...), e.Bytes, 10)
	b = strconv.AppendInt(append(b, `,"took_us":`...), e.Took.Microseconds(), 10)
	return append(b, '}')
}

// appendJSONText is without reflection for what needs no escapes, which is nearly all.
func appendJSONText(b []byte, text string) []byte {
	text = text[:min(len(text), MaxAccessText)]
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			escaped, err := json.Marshal(text)
			if err != nil {
				panic("pillarbox: bug: a text is no JSON: " + err.Error())
			}
			return append(b, escaped...)
		}
	}
	return append(append(append(b, '"'), text...), '"')
}

func appendCombined(b []byte, e *AccessEntry) []byte {
	b = appendWord(b, e.Client)
	b = e.Began.AppendFormat(append(b, " - - ["...), "02/Jan/2006:15:04:05 -0700")
	b = appendEscaped(append(b, `] "`...), e.Method)
	b = appendEscaped(append(b, ' '), e.Path)
	b = appendEscaped(append(b, ' '), e.Proto)
	b = strconv.AppendInt(append(b, `" `...), int64(e.Status), 10)
	b = append(b, ' ')
	if e.Bytes > 0 {
		b = strconv.AppendInt(b, e.Bytes, 10)
	} else {
		b = append(b, '-')
	}
	b = appendQuotedWord(append(b, ' '), e.Referer)
	return appendQuotedWord(append(b, ' '), e.UserAgent)
}

func appendWord(b []byte, text string) []byte {
	if text == "" {
		return append(b, '-')
	}
	return appendEscaped(b, text)
}

func appendQuotedWord(b []byte, text string) []byte {
	return append(appendWord(append(b, '"'), text), '"')
}

// appendEscaped escapes as Apache does, so that no client can begin a line or end a field.
func appendEscaped(b []byte, text string) []byte {
	const digits = "0123456789abcdef"
	text = text[:min(len(text), MaxAccessText)]
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ' || c > '~':
			b = append(b, '\\', 'x', digits[c>>4], digits[c&15])
		default:
			b = append(b, c)
		}
	}
	return b
}
