package framing

import (
	"bytes"
	"net/http"

	"pillarbox/internal/protocol"
)

// Field is one header line, as it stands in the buffer.
type Field struct{ Name, Value []byte }

// Head is a request head that keeps to the rules. Its slices point into the buffer that it was read
// from.
type Head struct {
	Method, Target []byte
	Host           []byte  // nil where there is none
	Fields         []Field // in their order, without Host
	Old            bool    // HTTP/1.0
	Chunked        bool
	Length         int64 // of the body, where it is not Chunked
	Size           int   // bytes of the head, with the empty line
}

// The refusals. Each is a text of its own, because a client that is refused should find out why.
var (
	errLineEnd     = refusal("a line does not end with CRLF")
	errRequestLine = refusal("the request line is not of the form METHOD TARGET HTTP/1.1")
	errTargetByte  = refusal("the target holds a space, a control character, or a byte over 127 in its path; percent-encode it")
	errTarget      = refusal("the target is neither a path nor an absolute http URL")
	errField       = refusal("a header line is not of the form name: value, ended by CRLF")
	errLength      = refusal("Content-Length is not a number of at most 18 digits without leading zeros")
	errLengthTwice = refusal("Content-Length stands more than once")
	errBothLengths = refusal("Content-Length and Transfer-Encoding exclude each other")
	errCoding      = refusal("Transfer-Encoding can only be chunked, once")
	errCodingOld   = refusal("Transfer-Encoding is not possible in HTTP/1.0")
	errHost        = refusal("Host must stand exactly once")
	errHostValue   = refusal("Host is not a name or an address")
	errConnect     = refusal("CONNECT is not possible here")
	errBefore      = refusal("something other than one empty line stands before the request")
	errVersion     = &protocol.Error{Status: http.StatusHTTPVersionNotSupported,
		Detail: "this server speaks HTTP/1.1 and HTTP/1.0; nothing was stored"}

	// ErrHeadTooLarge says that a head is over the limit.
	ErrHeadTooLarge error = &protocol.Error{Status: http.StatusRequestHeaderFieldsTooLarge,
		Detail: "the head of the request is over the limit (http.max_header_bytes); nothing was stored"}
	// ErrUnclean says that the client has ended its side within a request.
	ErrUnclean error = refusal("the request did not end cleanly")
	// ErrSecondEmptyLine says that more than the one empty line that is let pass stands before a
	// request.
	ErrSecondEmptyLine error = errBefore
)

func refusal(why string) *protocol.Error {
	return &protocol.Error{Status: http.StatusBadRequest, Detail: why + "; nothing was stored"}
}

// Read reads the head at the start of b. It returns false where the head is not complete yet;
// whoever calls again with more bytes first asks a Scan, which goes on where the last look ended,
// so that no head is read once for each line.
func (h *Head) Read(b []byte) (complete bool, err error) {
	*h = Head{Fields: h.Fields[:0]}
	line, rest, complete, err := cutLine(b)
	if !complete || err != nil {
		return false, err
	}
	if err := h.requestLine(line); err != nil {
		return false, err
	}
	seen := count{}
	for {
		if line, rest, complete, err = cutLine(rest); !complete || err != nil {
			return false, err
		}
		if len(line) == 0 {
			break
		}
		field, ok := cutField(line)
		if !ok {
			return false, errField
		}
		if !h.note(field, &seen) {
			h.Fields = append(h.Fields, field)
		}
	}
	h.Size = len(b) - len(rest)
	return true, h.judge(&seen)
}

// count is what the header lines say about the end of the request.
type count struct {
	hosts, lengths, codings int
	badHost, badLength      bool
	badCoding               bool
}

// note looks at the fields that say where the request ends, and for whom it is. It reports whether
// the field is Host, which is no part of the header.
func (h *Head) note(f Field, seen *count) (host bool) {
	switch len(f.Name) {
	case len("Host"):
		if host = EqualFold(f.Name, "host"); host {
			h.Host = f.Value
			seen.hosts++
			seen.badHost = seen.badHost || !validHost(f.Value)
		}
	case len("Content-Length"):
		if EqualFold(f.Name, "content-length") {
			var ok bool
			h.Length, ok = parseLength(f.Value)
			seen.lengths, seen.badLength = seen.lengths+1, seen.badLength || !ok
		}
	case len("Transfer-Encoding"):
		if EqualFold(f.Name, "transfer-encoding") {
			h.Chunked = true
			seen.codings, seen.badCoding = seen.codings+1, seen.badCoding || !EqualFold(f.Value, "chunked")
		}
	}
	return host
}

func (h *Head) judge(seen *count) error {
	switch {
	case seen.badLength:
		return errLength
	case seen.lengths > 1:
		return errLengthTwice
	case seen.lengths > 0 && seen.codings > 0:
		return errBothLengths
	case seen.codings > 0 && h.Old:
		return errCodingOld
	case seen.badCoding || seen.codings > 1:
		return errCoding
	case seen.hosts > 1 || seen.hosts == 0 && !h.Old:
		return errHost
	case seen.badHost:
		return errHostValue
	}
	return nil
}

// requestLine reads a method, a target and the version, each with one space between.
func (h *Head) requestLine(line []byte) error {
	first, last := bytes.IndexByte(line, ' '), bytes.LastIndexByte(line, ' ')
	if first <= 0 || first == last {
		return errRequestLine
	}
	h.Method, h.Target = line[:first], line[first+1:last]
	if !isToken(h.Method) {
		return errRequestLine
	}
	switch version := line[last+1:]; {
	case string(version) == "HTTP/1.1":
	case string(version) == "HTTP/1.0":
		h.Old = true
	case isVersion(version):
		return errVersion
	default:
		return errRequestLine
	}
	return h.target()
}

// isVersion reports whether it is a version of HTTP at all (RFC 9112, section 2.3).
func isVersion(b []byte) bool {
	return len(b) == len("HTTP/1.1") && string(b[:5]) == "HTTP/" && isDigit(b[5]) && b[6] == '.' &&
		isDigit(b[7])
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// target looks at the form of the target (RFC 9112, section 3.2). What is behind the form is for
// who routes it. In the query, bytes over 127 are taken: they should be percent-encoded and often
// are not, nothing is routed by them, and what a client sent is kept.
func (h *Head) target() error {
	inQuery := false
	for _, c := range h.Target {
		inQuery = inQuery || c == '?'
		if c <= ' ' || c == 0x7f || c > 0x7f && !inQuery {
			return errTargetByte
		}
	}
	switch {
	case string(h.Method) == "CONNECT":
		return errConnect
	case string(h.Method) == refusedMethod:
		return errRequestLine // it is how a Conn says that it has refused: see refused
	case len(h.Target) == 0:
		return errTarget
	case h.Target[0] == '/':
	case string(h.Target) == "*" && string(h.Method) == http.MethodOptions:
	case len(h.Target) > len("http://") && EqualFold(h.Target[:len("http://")], "http://"):
	default:
		return errTarget
	}
	return nil
}

// cutLine returns the line up to CRLF.
func cutLine(b []byte) (line, rest []byte, complete bool, err error) {
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		return nil, b, false, nil
	}
	if end == 0 || b[end-1] != '\r' {
		return nil, b, false, errLineEnd
	}
	return b[:end-1], b[end+1:], true, nil
}

// cutField splits a header line (RFC 9112, section 5): a token, a colon at once, a value without
// control characters. A folded line has no token at its start.
func cutField(line []byte) (Field, bool) {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		return Field{}, false
	}
	name, value := line[:colon], line[colon+1:]
	if !isToken(name) || !isText(value) {
		return Field{}, false
	}
	return Field{Name: name, Value: trimSpace(value)}, true
}

func isToken(b []byte) bool {
	for _, c := range b {
		if !tokens[c] {
			return false
		}
	}
	return len(b) > 0
}

// isText reports whether b has no control character but the tab.
func isText(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

func trimSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// tokens are the characters of a header name and of a method (RFC 9110, section 5.6.2).
var tokens = set("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")

// hosts are the characters of a Host (RFC 3986, section 3.2.2), with the port.
var hosts = set("!$%&'()*+,-.:;=[]_~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")

func set(characters string) (all [256]bool) {
	for _, c := range []byte(characters) {
		all[c] = true
	}
	return all
}

func validHost(value []byte) bool {
	for _, c := range value {
		if !hosts[c] {
			return false
		}
	}
	return true
}

// EqualFold compares with a lower-case ASCII text.
func EqualFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// parseLength reads digits and nothing else, up to what an int64 holds. A leading zero is refused because there are
// readers that take such a number for an octal one, and no sender that writes one.
func parseLength(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > 18 || b[0] == '0' && len(b) > 1 {
		return 0, false
	}
	for _, c := range b {
		if !isDigit(c) {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// Scan finds the end of a head that comes in pieces. It looks at each byte once.
type Scan struct {
	at   int // bytes that were looked at
	line int // where the line begins that they end in
}

// Begun reports whether something was looked at.
func (s *Scan) Begun() bool { return s.at > 0 }

// Looked is how many bytes were looked at.
func (s *Scan) Looked() int { return s.at }

// Next looks at what is new in b, which begins with the head. It reports whether the empty line is there.
func (s *Scan) Next(b []byte) (complete bool, err error) {
	for {
		end := bytes.IndexByte(b[s.at:], '\n')
		if end < 0 {
			s.at = len(b)
			return false, nil
		}
		end += s.at
		if end == 0 || b[end-1] != '\r' {
			return false, errLineEnd
		}
		empty := end-1 == s.line
		if s.at, s.line = end+1, end+1; empty {
			return true, nil
		}
	}
}
