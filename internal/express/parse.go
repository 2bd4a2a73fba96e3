package express

import "bytes"

// verdict is what the parser makes of the bytes that are there.
type verdict int

const (
	more    verdict = iota // the head is not complete yet
	simple                 // a request that the loop answers itself
	odd                    // legal or not, net/http decides: the connection is handed over
	refused                // its end can be read in two ways: answered with 400 here
)

// Limits of a head that the loop reads itself. What is over them is handed over, and has the limits of net/http.
const (
	maxHead   = 8 << 10 // bytes of a simple one
	maxFields = 64      // of a simple one, without Host
	maxJudged = 64 << 10
)

// field is one header line, as it stands in the buffer.
type field struct{ name, value []byte }

// head is a parsed request. Its slices point into the buffer that was parsed.
type head struct {
	path, query   []byte
	fields        []field // without Host, as net/http has them
	contentType   []byte
	traceparent   []byte
	contentLength int64
	size          int // bytes of the head, with the empty line
	last          bool
	why           string // of a refusal
}

// parse reads one request head from the start of b. It is strict where two readers could differ about where a
// request ends (RFC 9112, sections 2.2, 5 and 6): every line ends with CRLF, no line is folded, nothing stands
// between a name and its colon, and the length is given in one way, once. Whatever is not a plain POST, but may
// be legal, is odd; a POST that is odd is held to the same rules first, because net/http is less strict and
// would store it. What is no POST stores nothing, and is odd from its first byte on.
func (h *head) parse(b []byte) verdict {
	*h = head{fields: h.fields[:0]}
	if !bytes.HasPrefix(b, post[:min(len(b), len(post))]) {
		return odd
	}
	line, rest, ok := cutLine(b)
	if !ok {
		return h.incomplete(b)
	}
	if line[len(line)-1] == '\n' {
		return h.refuse("a line does not end with CRLF")
	}
	seen := framing{old: !bytes.HasSuffix(line, version), unusual: !h.requestLine(line)}
	for {
		if line, rest, ok = cutLine(rest); !ok {
			return h.incomplete(b)
		}
		if len(line) == 0 {
			h.size = len(b) - len(rest)
			return h.judge(&seen)
		}
		f, ok := cutField(line)
		if !ok {
			return h.refuse("a header line is not of the form name: value, ended by CRLF")
		}
		if host := h.note(f, &seen); host {
			continue
		}
		if len(h.fields) == maxFields {
			seen.unusual = true
			continue
		}
		h.fields = append(h.fields, f)
	}
}

// framing is what the header lines say about the end of the request.
type framing struct {
	hosts, lengths int
	badLength      bool
	coded          bool // Transfer-Encoding
	old            bool // a version other than 1.1
	unusual        bool // asks for something that the loop does not do
}

func (h *head) judge(seen *framing) verdict {
	switch {
	case seen.badLength:
		return h.refuse("Content-Length is not a number")
	case seen.lengths > 1:
		return h.refuse("Content-Length stands more than once")
	case seen.lengths > 0 && seen.coded:
		return h.refuse("Content-Length and Transfer-Encoding exclude each other")
	case seen.hosts > 1 || seen.hosts == 0 && !seen.old:
		return h.refuse("Host must stand exactly once")
	case seen.coded || seen.unusual || h.size > maxHead:
		return odd
	}
	return simple
}

// incomplete waits for more, unless that would be too much.
func (h *head) incomplete(b []byte) verdict {
	if len(b) >= maxJudged {
		return odd
	}
	return more
}

func (h *head) refuse(why string) verdict {
	h.why = why
	return refused
}

// cutLine returns the line up to CRLF. A line that ends with a bare LF is returned with a byte that no line may
// hold, so that it is refused as what it is.
func cutLine(b []byte) (line, rest []byte, ok bool) {
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		return nil, b, false
	}
	if end == 0 || b[end-1] != '\r' {
		return b[:end+1], b[end+1:], true
	}
	return b[:end-1], b[end+1:], true
}

var (
	post    = []byte("POST ")
	version = []byte(" HTTP/1.1")
)

// requestLine reads a line of POST, a path and the version. It reports whether all of them are the plain ones.
func (h *head) requestLine(line []byte) bool {
	if !bytes.HasSuffix(line, version) || len(line) < len(post)+len(version) {
		return false
	}
	target := line[len(post) : len(line)-len(version)]
	for _, c := range target {
		if c <= ' ' || c >= 0x7f || c == '#' {
			return false
		}
	}
	if len(target) == 0 || target[0] != '/' {
		return false
	}
	h.path = target
	if mark := bytes.IndexByte(target, '?'); mark >= 0 {
		h.path, h.query = target[:mark], target[mark+1:]
	}
	return bytes.IndexByte(h.path, '%') < 0
}

// cutField splits a header line (RFC 9112, section 5): a token, a colon at once, a value without control
// characters.
func cutField(line []byte) (field, bool) {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		return field{}, false
	}
	name, value := line[:colon], line[colon+1:]
	for _, c := range name {
		if !tokens[c] {
			return field{}, false
		}
	}
	for _, c := range value {
		if c < ' ' && c != '\t' || c == 0x7f {
			return field{}, false
		}
	}
	return field{name: name, value: trimSpace(value)}, true
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

// tokens are the characters of a header name (RFC 9110, section 5.6.2).
var tokens = func() (set [256]bool) {
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
		set[c] = true
	}
	return set
}()

// note looks at the names that say something about the request itself. Their lengths tell most others apart. It
// reports whether the field is Host, which is no part of the header.
func (h *head) note(f field, seen *framing) (host bool) {
	switch len(f.name) {
	case len("Host"):
		if host = equalFold(f.name, "host"); host {
			seen.hosts++
			seen.unusual = seen.unusual || !plainHost(f.value)
		}
	case len("Expect"), len("Upgrade"), len("Idempotency-Key"), len("Content-Encoding"): // and as long as one of them: Prefer, Pragma
		for _, name := range unusual {
			seen.unusual = seen.unusual || equalFold(f.name, name)
		}
	case len("Connection"):
		if equalFold(f.name, "connection") {
			h.last = h.last || equalFold(f.value, "close")
			seen.unusual = seen.unusual || !equalFold(f.value, "close") && !equalFold(f.value, "keep-alive")
		}
	case len("Traceparent"):
		if equalFold(f.name, "traceparent") && h.traceparent == nil {
			h.traceparent = f.value
		}
	case len("Content-Type"):
		if equalFold(f.name, "content-type") && h.contentType == nil {
			h.contentType = f.value
		}
	case len("Content-Length"):
		if equalFold(f.name, "content-length") {
			var ok bool
			h.contentLength, ok = parseLength(f.value)
			seen.lengths, seen.badLength = seen.lengths+1, seen.badLength || !ok
		}
	case len("Transfer-Encoding"):
		seen.coded = seen.coded || equalFold(f.name, "transfer-encoding")
	}
	return host
}

// unusual are headers that ask for what the loop does not do. HTTP2-Settings comes with a Connection that says
// so. Pragma is here because net/http makes a Cache-Control of it.
var unusual = []string{"expect", "prefer", "pragma", "upgrade", "idempotency-key", "content-encoding"}

// plainHost reports whether a Host is made of what names and addresses are made of. The rest net/http judges.
func plainHost(value []byte) bool {
	for _, c := range value {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '-', c == ':', c == '_', c == '[', c == ']':
		default:
			return false
		}
	}
	return true
}

// equalFold compares with a lower-case ASCII text.
func equalFold(b []byte, lower string) bool {
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

// parseLength reads digits and nothing else, up to what an int64 holds.
func parseLength(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}
